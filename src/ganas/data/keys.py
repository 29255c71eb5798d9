"""Many names in little memory. No torch here."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, overload

import numpy as np
import numpy.typing as npt

_ENCODING, _ERRORS = "utf-8", "surrogateescape"  # of names that are not text, as in file systems
_CHUNK = 1 << 16


class Keys(Sequence[str]):
    """An immutable sequence of names: their bytes one after the other, and where each ends.

    A million names of 40 bytes take 46 MiB, where strings in a tuple take 90.
    """

    __slots__ = ("_bytes", "_ends")

    def __init__(self, joined: bytes, ends: npt.NDArray[np.int64]) -> None:
        self._bytes, self._ends = joined, ends

    @classmethod
    def of(cls, names: Iterable[bytes]) -> "Keys":
        """Collect names, which need not fit into memory as objects."""
        remaining, parts, lengths = iter(names), [], []
        while chunk := [*islice(remaining, _CHUNK)]:
            parts.append(b"".join(chunk))
            lengths.append(np.fromiter(map(len, chunk), np.int64, len(chunk)))
        return cls(b"".join(parts), np.cumsum(np.concatenate([np.zeros(0, np.int64), *lengths])))

    def __len__(self) -> int:
        return len(self._ends)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> "Keys": ...
    def __getitem__(self, index: int | slice) -> "str | Keys":
        if isinstance(index, slice):
            return self.take(range(len(self))[index])
        return self._key(range(len(self))[index]).decode(_ENCODING, _ERRORS)

    def __iter__(self) -> Iterator[str]:
        return (key.decode(_ENCODING, _ERRORS) for key in self._keys(range(len(self))))

    def take(self, indices: Iterable[int]) -> "Keys":
        """Return the names at ``indices``, in that order."""
        return Keys.of(self._keys(indices))

    def _keys(self, indices: Iterable[int]) -> Iterator[bytes]:
        return map(self._key, indices)

    def _key(self, index: int) -> bytes:
        return self._bytes[self._ends[index - 1] if index else 0 : self._ends[index]]

    def __eq__(self, other: Any) -> bool:
        if not isinstance(other, Keys):
            return NotImplemented
        return self._bytes == other._bytes and np.array_equal(self._ends, other._ends)

    def __hash__(self) -> int:
        return hash(self._bytes)

    def __repr__(self) -> str:
        return f"Keys({len(self)})"


def take(names: Sequence[str], indices: Iterable[int]) -> Sequence[str]:
    """Return the names at ``indices``, in that order."""
    return names.take(indices) if isinstance(names, Keys) else tuple(names[index] for index in indices)
