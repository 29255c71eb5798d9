"""An LMDB of encoded images, as LSUN is published: read in place, whatever its size.

It is opened read-only and without its lock file, so that a database on a read-only disk, or of another user, can be
read. Nothing may write to it meanwhile.
"""

import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ganas.data.containers.base import Container, Stamps, check_size, stamp_of
from ganas.data.keys import Keys
from ganas.data.limits import UnreadableError
from ganas.data.listing import Listing
from ganas.errors import ConfigError, DataError, shown

FILE = "data.mdb"
NOT_IMAGES = (b"__keys__", b"__len__", b"length", b"num-samples")  # what people's scripts store beside the images


@dataclass(frozen=True)
class Lmdb(Container):
    """An LMDB; names are its keys, in their order, which is that of their bytes."""

    path: Path  # the folder that holds data.mdb, or such a file

    def list(self) -> Listing:
        environment, others = self._open(), []

        def is_image(key: bytes) -> bool:
            if key in NOT_IMAGES:
                others.append(key.decode())
            return key not in NOT_IMAGES

        try:
            with environment.begin() as transaction:
                names = Keys.of(filter(is_image, transaction.cursor().iternext(keys=True, values=False)))
        except _lmdb().Error as error:
            raise DataError(f"{shown(self.path)}: a damaged LMDB ({error}): make it again") from error
        if not names:
            raise DataError(f"{shown(self.path)}: an LMDB without images: give another")
        return Listing(names, (f"keys {', '.join(others)} left out, which are not of images",) if others else ())

    def read(self, name: str, /) -> bytes:
        with self._open().begin(buffers=True) as transaction:
            value = transaction.get(_key(name))
            if value is None:
                raise UnreadableError("no longer in the LMDB")
            check_size(len(value))
            return bytes(value)

    def stamps(self, names: Sequence[str], /) -> Stamps:
        _, modified, changed = stamp_of(os.stat(self._file))
        stamps = np.empty((len(names), 3), np.int64)
        stamps[:, 1:] = modified, changed
        with self._open().begin(buffers=True) as transaction:  # a buffer's length is known without reading it
            stamps[:, 0] = np.fromiter((len(transaction.get(_key(name), b"")) for name in names), np.int64, len(names))
        return stamps

    @property
    def _file(self) -> Path:
        return self.path / FILE if self.path.is_dir() else self.path

    def _open(self) -> Any:
        return _environments.get(self._file)


def is_lmdb(path: Path) -> bool:
    """Whether a path looks like an LMDB."""
    return (path / FILE).is_file() or (path.is_file() and path.suffix.lower() == ".mdb")


def _key(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")


class _Environments:
    """The open environments of this process, one a file, as LMDB requires."""

    def __init__(self) -> None:
        self._opened: dict[str, tuple[tuple[int, ...], Any]] = {}  # real path -> what the file was, environment
        self._lock = threading.Lock()

    def get(self, file: Path) -> Any:
        """Return the environment of a file; opened anew if another file has taken its place."""
        path = os.path.realpath(file)
        with self._lock:
            status = os.stat(path)
            identity = (status.st_dev, status.st_ino, *stamp_of(status))
            before, environment = self._opened.get(path, (None, None))
            if before != identity:
                if environment is not None:
                    environment.close()
                self._opened.pop(path, None)
                environment = _open_environment(path, status.st_size, file)
                self._opened[path] = identity, environment
        return environment

    def close(self) -> None:
        """Close what a forked process inherited, which it must not use."""
        self._lock = threading.Lock()
        for _, environment in self._opened.values():
            environment.close()
        self._opened.clear()


_environments = _Environments()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_environments.close)


def _open_environment(path: str, size: int, file: Path) -> Any:
    """Open an LMDB; raises DataError for a damaged one, since reading beyond the end of its file would kill us."""
    lmdb = _lmdb()
    try:
        environment = lmdb.open(path, subdir=False, readonly=True, lock=False, readahead=False)
    except lmdb.Error as error:
        raise DataError(f"{shown(file)}: not an LMDB, or a damaged one ({error}): make it again") from error
    needed = (environment.info()["last_pgno"] + 1) * environment.stat()["psize"]
    if size < needed:
        environment.close()
        raise DataError(f"{shown(file)}: truncated, {size} of {needed} bytes are there: copy it again")
    return environment


def _lmdb() -> Any:
    try:
        import lmdb
    except ImportError:
        raise ConfigError("reading an LMDB needs lmdb: pip install 'ganas[data]'") from None
    return lmdb
