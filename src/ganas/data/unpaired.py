"""Unpaired batches of encoded images, as arrays. No torch here, so that decoding processes start fast and stay small.

The choice, crop and flip of image n are pure functions of (seed, domain, n). They use raw words of Philox, whose stream
numpy guarantees never to change, not numpy's distributions.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from ganas.data.images import Images
from ganas.data.limits import MAX_ASPECT_RATIO

Pixels = npt.NDArray[np.uint8]
Draws = npt.NDArray[np.uint64]
Batch = tuple[Pixels, ...]  # of each domain, [batch, 3, resolution, resolution]

# Random streams, one Philox key each. The first domain uses 0 and 1, the second 2 and 3, the third 6 and 7.
_CROPS, _ORDER, SPLIT, HALVES, LIMIT = 0, 1, 4, 5, 8


@dataclass(frozen=True)
class Domain:
    """The endless sequence of one domain: position p is image p % len of permutation number p // len."""

    source: Images | Pixels | list[Pixels]  # arrays hold images that are resized already
    seed: int
    number: int  # index of the domain
    resolution: int
    load_size: int
    flip: bool

    def image(self, index: int) -> Pixels:
        if isinstance(self.source, np.ndarray | list):
            return self.source[index]
        with self.source.opened(index) as image:
            return resized(image, self.load_size)

    def batch(self, start: int, count: int) -> Pixels:
        """Return positions ``start`` to ``start + count`` as uint8 [count, 3, resolution, resolution]."""
        side = self.resolution
        draws = random_words(self.seed, self._stream(_CROPS), start, count)
        images = np.empty((count, 3, side, side), np.uint8)
        for row, position in enumerate(range(start, start + count)):
            pixels = self.image(self._index(position))
            top = _below(draws[row, 0], pixels.shape[1] - side + 1)
            left = _below(draws[row, 1], pixels.shape[2] - side + 1)
            crop = pixels[:, top : top + side, left : left + side]
            images[row] = crop[:, :, ::-1] if self.flip and _below(draws[row, 2], 2) else crop
        return images

    def _index(self, position: int) -> int:
        epoch, entry = divmod(position, len(self.source))
        return int(_permutation(self.seed, self._stream(_ORDER), epoch, len(self.source))[entry])

    def _stream(self, which: int) -> int:
        return 2 * (self.number if self.number < 2 else self.number + 1) + which


def unpaired_batch(domains: Sequence[Domain], count: int, start: int) -> Batch:
    """Return images ``start`` to ``start + count`` of each domain. Raises DataError if a file became unreadable."""
    return tuple(domain.batch(start, count) for domain in domains)


def resized(image: Image.Image, shorter: int) -> Pixels:
    """Resize an RGB image to uint8 [3, h, w] with shorter side ``shorter``, keeping proportions.

    Images with a larger aspect ratio than MAX_ASPECT_RATIO are center-cropped: 1 × 60,000 pixels would need gigabytes.
    """
    longest = MAX_ASPECT_RATIO * min(image.size)
    if max(image.size) > longest:
        left, top = (max(0, side - longest) // 2 for side in image.size)
        image = image.crop((left, top, min(left + longest, image.width), min(top + longest, image.height)))
    scale = shorter / min(image.size)
    width, height = (max(shorter, round(side * scale)) for side in image.size)
    pixels = image.resize((width, height), Image.Resampling.BICUBIC)
    return np.ascontiguousarray(np.asarray(pixels).transpose(2, 0, 1))


def random_words(seed: int, stream: int, start: int, count: int) -> Draws:
    """Return four random words for each of ``count`` positions from ``start`` on: uint64 [count, 4].

    One step of the Philox counter makes four words, so the words of a position do not depend on ``start``.
    """
    key = (seed % 2**64) | (stream << 64)
    return np.random.Philox(key=key, counter=start).random_raw(4 * count).reshape(count, 4)


@functools.lru_cache(maxsize=8)
def _permutation(seed: int, stream: int, epoch: int, count: int) -> npt.NDArray[np.intp]:
    """Return the order of ``count`` images in one epoch. Each epoch uses its own distant range of the counter."""
    return np.argsort(random_words(seed, stream, epoch << 128, count)[:, 0], kind="stable")


def _below(draw: np.uint64, limit: int) -> int:
    """Map a random word to 0 ... limit - 1, uniform to one part in 2³² for limits such as image sides."""
    return (int(draw) >> 32) * limit >> 32
