"""Limits for reading images: pixels per image, pixels in memory at once, and images that are decoded beforehand."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

MAX_PIXELS = 178_956_970  # Pillow refuses larger images as decompression bombs
VERIFIED = 100_000  # images up to which all of a set are decoded before training
ALL = 1 << 62  # the same limit where each image counts: those of pairs, and those to translate
MAX_ASPECT_RATIO = 16  # training crops longer images to their middle
TILE_PIXELS = 1 << 20  # converted at a time: conversion takes many bytes per pixel


class UnreadableError(Exception):
    """An image cannot be read. The message is a short reason."""


class PixelLimit:
    """A budget of pixels shared by decoding threads: together they use no more memory than the largest image."""

    def __init__(self, pixels: int) -> None:
        self._pixels = pixels
        self.reset()

    def reset(self) -> None:
        """Free all pixels: a forked process does not have the threads that reserved them."""
        self._free = self._pixels
        self._changed = threading.Condition()

    @contextmanager
    def reserve(self, pixels: int) -> Iterator[None]:
        """Wait until this many pixels (at most the whole budget) are free and reserve them until the block ends."""
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


pixel_budget = PixelLimit(MAX_PIXELS)

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=pixel_budget.reset)
