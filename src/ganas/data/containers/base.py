"""The protocol of a container of encoded images, and the handle that each process opens for itself."""

import os
import threading
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from ganas.data.limits import UnreadableError
from ganas.data.listing import Listing

MAX_BYTES = 1 << 30  # of an encoded image: 178 million pixels are 0.5 GiB uncompressed

# int64 [n, 3], one row an image: its bytes; its time of change, or a checksum, which a copy keeps; the time, in
# nanoseconds, of any change on this disk, which nobody can set
Stamps = npt.NDArray[np.int64]

T = TypeVar("T")


class Container(Protocol):
    """Encoded images by name, readable from several threads.

    Containers are frozen, hashable and picklable: each process opens their files for itself. Opening one that is not
    there, or not of its kind, raises `DataError`.
    """

    path: Path  # as the user gave it

    def list(self) -> Listing:
        """List all images, without reading them."""
        ...

    def read(self, name: str, /) -> bytes:
        """Return the bytes of one image, at most MAX_BYTES; raises whatever the file system or a codec does."""
        ...

    def stamps(self, names: Sequence[str], /) -> Stamps:
        """Return the stamps of these images, without reading them."""
        ...

    def files(self, names: Sequence[str], /) -> frozenset[tuple[str, str]]:
        """Return where each image is: the real path of its file, with links resolved, and its name in that file."""
        path = os.path.realpath(self.path)
        return frozenset((path, name) for name in names)


class Handle(Generic[T]):
    """What a container has opened: once a process, for all its threads.

    A forked process must not share its parent's file positions and environments, so it opens its own.
    """

    def __init__(self) -> None:
        self.forget()
        _handles.add(self)

    def forget(self) -> None:
        """Have the next `get` open it again."""
        self._lock, self._opened = threading.Lock(), False

    def get(self, open_it: Callable[[], T]) -> T:
        """Return what ``open_it`` returned in this process."""
        if not self._opened:
            with self._lock:
                if not self._opened:
                    self._value = open_it()
                    self._opened = True
        return self._value


_handles: "weakref.WeakSet[Handle[Any]]" = weakref.WeakSet()


def _forget_all() -> None:
    for handle in tuple(_handles):
        handle.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)


def stamp_of(status: os.stat_result) -> tuple[int, int, int]:
    """Return the stamp of a file."""
    return status.st_size, status.st_mtime_ns, max(status.st_ctime_ns, status.st_mtime_ns)


def check_size(size: int) -> None:
    """Raise `UnreadableError` for an image of too many bytes."""
    if size > MAX_BYTES:
        raise UnreadableError("file too large")
