"""The protocol of an image source. No torch here."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from PIL import Image


class Images(Protocol):
    """Images by index, in a fixed order, readable from several threads.

    A new source derives from this class and defines `__len__` and `read`; the rest has defaults.
    """

    def __len__(self) -> int: ...

    def read(self, index: int, /) -> Image.Image:
        """Return image ``index`` as PIL RGB, of any size."""
        ...

    @contextmanager
    def opened(self, index: int, /) -> Iterator[Image.Image]:
        """`read` for a block that shrinks the image; a source may limit how many are open at once."""
        yield self.read(index)

    def digest(self) -> str:
        """Return 16 hex digits that change when an image does."""
        total = hashlib.sha256()
        for image in map(self.read, range(len(self))):
            total.update(str(image.size).encode() + image.tobytes())
        return total.hexdigest()[:16]

    def subset(self, indices: Iterable[int]) -> "Images":
        """Return the images at ``indices``, in that order."""
        return Subset(self, tuple(indices))


class Subset(Images):
    """Some images of another source."""

    def __init__(self, images: Images, indices: Sequence[int]) -> None:
        self._images, self._indices = images, indices

    def __len__(self) -> int:
        return len(self._indices)

    def read(self, index: int, /) -> Image.Image:
        return self._images.read(self._indices[index])

    @contextmanager
    def opened(self, index: int, /) -> Iterator[Image.Image]:
        with self._images.opened(self._indices[index]) as image:
            yield image
