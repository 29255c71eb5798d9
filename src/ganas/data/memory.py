"""What is known of images that were read before, so that a resume, or another run, does not read them again.

An entry is named by a digest of all that it depends on: where the images are, their names and stamps
(:mod:`ganas.data.containers.base`), and how they were read. So a file that was replaced, added or removed is noticed
without reading any. Entries are JSON; damaged ones are ignored.
"""

import hashlib
import json
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from ganas.data.containers.base import Stamps
from ganas.document import read_record, write_record
from ganas.errors import UserError
from ganas.store import default_cache, write_atomically
from ganas.version import __version__

SCHEMA = 1
SETTLED = 2.0  # seconds since the last change: files that change twice within a tick of the clock have one time


class Memory:
    """What is kept about some images at one place; nothing without a cache folder, or right after a change."""

    def __init__(self, path: Path, names: Sequence[str], stamps: Stamps) -> None:
        cache = default_cache()
        self._folder = cache and cache / "data"
        self._settled = not len(stamps) or int(stamps[:, 2].max()) < time.time_ns() - SETTLED * 1e9
        self._images = f"{os.path.realpath(path)} {hash_names(names).hex()} {hash_stamps(stamps).hex()}"

    def read(self, what: str, **facts: Any) -> dict[str, Any] | None:
        """Return what was kept under a name and these facts, or None."""
        entry = self._entry(what, facts)
        if entry is None:
            return None
        with suppress(OSError, UserError, UnicodeDecodeError):
            return read_record(entry.read_text(encoding="utf-8"), str(entry), what, "remove it")
        return None

    def write(self, content: Mapping[str, Any], what: str, **facts: Any) -> None:
        """Keep a JSON object; a cache that cannot be written is ignored."""
        entry = self._entry(what, facts)
        if entry and self._settled:
            with suppress(OSError):
                write_atomically(entry, write_record(content).encode("utf-8", "surrogateescape"))

    def _entry(self, what: str, facts: Mapping[str, Any]) -> Path | None:
        identity = json.dumps([SCHEMA, what, __version__, version("pillow"), self._images, facts], sort_keys=True)
        name = hashlib.sha256(identity.encode("utf-8", "surrogatepass")).hexdigest()[:32]
        return self._folder and self._folder / f"{name}.json"


def hash_names(names: Sequence[str]) -> bytes:
    """Return a SHA-256 of names and where each ends."""
    total = hashlib.sha256(np.fromiter(map(len, names), "<i8", len(names)).tobytes())
    total.update("".join(names).encode("utf-8", "surrogateescape"))
    return total.digest()


def hash_stamps(stamps: Stamps) -> bytes:
    """Return a SHA-256 of stamps."""
    return hashlib.sha256(np.ascontiguousarray(stamps, "<i8").tobytes()).digest()
