"""A folder of image files, with its sub-folders; or one image file."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from posixpath import basename, dirname
from stat import S_ISREG

import numpy as np

from ganas.data.containers.base import Container, Stamps, check_size, stamp_of
from ganas.data.limits import UnreadableError
from ganas.data.listing import Listing, list_folder
from ganas.data.threads import in_threads

BLOCK = 4096  # files whose stamps one thread gets at a time
STAMPING_THREADS = 8  # they wait for the disk, not for a core
_MISSING = (-1, -1, -1)  # the stamp of a file that vanished after it was listed, or of a broken link


@dataclass(frozen=True)
class Folder(Container):
    """A folder; names are relative to it, with forward slashes: ``night/street 1.png``."""

    path: Path

    def list(self) -> Listing:
        return list_folder(self.path)

    def read(self, name: str, /) -> bytes:
        return _file_bytes(f"{self.path}/{name}")

    def stamps(self, names: Sequence[str], /) -> Stamps:
        def stamps_of(block: int) -> Stamps:
            some = names[block * BLOCK : (block + 1) * BLOCK]
            stamps = chain.from_iterable(_stamp(f"{self.path}/{name}") for name in some)
            return np.fromiter(stamps, np.int64, 3 * len(some)).reshape(-1, 3)

        blocks = in_threads(stamps_of, -(-len(names) // BLOCK), threads=STAMPING_THREADS, block=1)
        return np.concatenate([np.empty((0, 3), np.int64), *blocks])

    def files(self, names: Sequence[str], /) -> frozenset[tuple[str, str]]:
        parents = {parent: os.path.realpath(self.path / parent) for parent in set(map(dirname, names))}
        paths = (os.path.join(parents[dirname(name)], basename(name)) for name in names)
        return frozenset((os.path.realpath(path) if os.path.islink(path) else path, "") for path in paths)


@dataclass(frozen=True)
class SingleImage(Container):
    """One image file; its name is its file name."""

    path: Path

    def list(self) -> Listing:
        return Listing((self.path.name,))

    def read(self, name: str, /) -> bytes:
        return _file_bytes(str(self.path))

    def stamps(self, names: Sequence[str], /) -> Stamps:
        return np.array([_stamp(str(self.path)) for _ in names], np.int64).reshape(-1, 3)


def _stamp(file: str) -> tuple[int, int, int]:
    try:
        return stamp_of(os.stat(file))
    except OSError:
        return _MISSING


def _file_bytes(file: str) -> bytes:
    status = os.stat(file)
    if not S_ISREG(status.st_mode):
        raise UnreadableError("not a regular file")  # reading a pipe would wait forever
    check_size(status.st_size)
    with open(file, "rb") as stream:
        return stream.read()
