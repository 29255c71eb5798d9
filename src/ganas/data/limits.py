"""Memory limits for reading images: pixels per image, and pixels in memory at once."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

MAX_PIXELS = 178_956_970  # where Pillow stops calling an image a possible decompression bomb and refuses it
LONGEST = 16  # how many times as long as wide an image may be and be seen whole in training
AT_ONCE = 1 << 20  # pixels that are converted at a time: they take many bytes each meanwhile


class UnreadableError(Exception):
    """An image cannot be read. The message is a short reason."""


class PixelLimit:
    """A budget of pixels shared by decoding threads: together they use no more memory than the largest single image."""

    def __init__(self, pixels: int) -> None:
        self._pixels = pixels
        self.reset()

    def reset(self) -> None:
        """Forget who holds pixels: in a forked process, threads that are not there."""
        self._free = self._pixels
        self._changed = threading.Condition()

    @contextmanager
    def hold(self, pixels: int) -> Iterator[None]:
        """Wait until this many pixels are free, and reserve them until the block ends; at most the whole budget."""
        pixels = min(pixels, self._pixels)
        with self._changed:
            self._changed.wait_for(lambda: self._free >= pixels)
            self._free -= pixels
        try:
            yield
        finally:
            with self._changed:
                self._free += pixels
                self._changed.notify_all()


in_memory = PixelLimit(MAX_PIXELS)

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=in_memory.reset)
