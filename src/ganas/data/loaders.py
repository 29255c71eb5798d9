"""From image sources to tensors: resize, crop, flip, split, and unpaired batches that resume at any image.

Time is counted in images seen, of each domain. Which one comes as number n, how it is cropped and whether it is flipped
are pure functions of (seed, domain, n): neither the number of workers, nor the cache, nor where a run was started
changes a bit. They come from Philox counters (numpy promises that the raw stream never changes), not from numpy's
distributions.
"""

import functools
import itertools
import signal
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ganas.data.limits import LONGEST
from ganas.data.sources import ImageSource, in_threads
from ganas.errors import DataError

_Batch = tuple[Tensor, ...]  # of each domain, uint8 [batch, 3, resolution, resolution]
_BATCHES_AHEAD = 2

Pixels = npt.NDArray[np.uint8]
Draws = npt.NDArray[np.uint64]

# Streams of random numbers: one key of Philox each. The first domain has 0 and 1, the second one 2 and 3, then 6 and 7.
_CROPS, _ORDER, _SPLIT, _HALVES = 0, 1, 4, 5


def to_network(images: Tensor) -> Tensor:
    """uint8 [n, 3, h, w] -> float32 in [-1, 1], same shape: 0 is -1, 255 is 1."""
    return images.float().div(127.5).sub_(1.0)


def to_images(x: Tensor) -> Tensor:
    """Float [n, 3, h, w] -> uint8, same shape: clamped to [-1, 1] and rounded. Undoes :func:`to_network` exactly."""
    return x.detach().float().clamp(-1.0, 1.0).add(1.0).mul(127.5).round().to(torch.uint8)


def split(count: int, validation: int, seed: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """(training, validation): indices below ``count``, sorted, disjoint, together all of them, fixed by ``seed``.

    validation: the number of images to hold out. Raises DataError if that leaves none to train on.
    """
    return _divided(count, validation, seed, _SPLIT)


def halves(count: int, seed: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """As `split`, into two parts of which the first has the odd image; raises DataError for fewer than two images."""
    if count < 2:
        raise DataError("a domain of 1 image cannot be halved: add images")
    return _divided(count, count // 2, seed, _HALVES)


def _divided(count: int, validation: int, seed: int, stream: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    if validation < 0:
        raise ValueError(f"the number of validation images cannot be negative, got {validation=}")
    if validation >= count:
        images = "1 image" if count == 1 else f"{count} images"
        raise DataError(f"holding out {validation} of {images} leaves none to train on; hold out fewer or add images")
    order = np.argsort(_draws(seed, stream, 0, count)[:, 0], kind="stable").tolist()
    return tuple(sorted(order[validation:])), tuple(sorted(order[:validation]))


def centre_images(source: ImageSource, resolution: int) -> Tensor:
    """All images of ``source`` as uint8 [n, 3, resolution, resolution]: its :func:`centre_squares`."""
    images = np.empty((len(source), 3, resolution, resolution), np.uint8)
    for index, pixels in enumerate(centre_squares(source, resolution)):
        images[index] = pixels
    return torch.from_numpy(images)


def centre_squares(source: ImageSource, resolution: int) -> Iterator[Pixels]:
    """All images of ``source`` in order, each as uint8 [3, resolution, resolution].

    The shorter side is resized to ``resolution`` (bicubic, antialiased), then the centre is cut out. No randomness:
    this is what validation and samples see. Raises DataError when a file has become unreadable.
    """

    def centre(index: int) -> Pixels:
        with source.opened(index) as image:
            pixels = _resized(image, resolution)  # [3, h, w]
        top, left = ((side - resolution) // 2 for side in pixels.shape[1:])
        return pixels[:, top : top + resolution, left : left + resolution]

    return in_threads(centre, len(source))


class Batches:
    """Endless batches of images of one domain, or unpaired ones of several.

    Each domain is walked in shuffled permutations of its own, so that within len(domain) images each is seen once; the
    smaller domain starts over sooner. Each image is resized (shorter side to ``load_size``, bicubic, antialiased), cut
    to a random square of ``resolution`` and, with ``flip``, mirrored half of the time. A domain may also be given as
    an array uint8 [n, 3, h, w] of images that were resized before.
    """

    def __init__(
        self,
        sources: Sequence[ImageSource | Pixels],  # one a domain
        *,
        resolution: int,  # side of the squares handed out, in pixels
        load_size: int,  # shorter side before the crop, in pixels, at least resolution
        flip: bool,  # mirror horizontally with probability 1/2
        batch: int,  # images a batch and domain
        seed: int,
        workers: int = 0,  # processes that decode ahead; only used when the images do not fit the cache
        cache_bytes: int = 1 << 30,  # resized images are kept in memory if all domains fit in so much
    ) -> None:
        if load_size < resolution:
            raise ValueError(f"load_size must be at least resolution, got {load_size=}, {resolution=}")
        counts = [len(source) for source in sources]
        if batch < 1 or not all(counts):
            raise ValueError(f"a batch and every domain need at least one image, got {batch=}, {counts=}")
        self._domains = [
            _Domain(source, seed, number, resolution, load_size, flip) for number, source in enumerate(sources)
        ]
        self._batch = batch
        self._workers = workers
        self._cache_bytes = cache_bytes

    @property
    def epoch_images(self) -> int:
        """Images an epoch: the number of those of the largest domain."""
        return max(len(domain.source) for domain in self._domains)

    @property
    def cached(self) -> bool:
        """Whether all images are kept in memory."""
        return self._cached is not None

    def from_image(self, nimg: int) -> Generator[tuple[Tensor, ...], None, None]:
        """From image ``nimg`` on: of each domain float32 [batch, 3, resolution, resolution] in [-1, 1].

        ``from_image(k)`` goes on exactly where ``from_image(0)`` is after k images. The first batch fills the cache.
        Worker processes end with the iterator. Raises DataError when a file has become unreadable.
        """
        starts = itertools.count(nimg, self._batch)
        unpaired = _Unpaired(self._domains, self._batch, self._cached)
        if self._cached is not None or self._workers == 0:
            batches: Iterator[_Batch | DataError] = _ahead(unpaired, starts)
        else:
            batches = iter(_worker_loader(unpaired, starts, self._workers))
        try:
            for result in batches:
                if isinstance(result, DataError):
                    raise result
                yield tuple(map(to_network, result))
        finally:
            # Ends the workers now. Held by a traceback until that is collected, they would take seconds to end.
            del batches

    @functools.cached_property
    def _cached(self) -> list[Sequence[Pixels]] | None:
        """The resized images of every domain, or None if they are too many bytes."""
        encoded = [domain for domain in self._domains if isinstance(domain.source, ImageSource)]
        squares = sum(3 * domain.load_size**2 * len(domain.source) for domain in encoded)
        if squares > self._cache_bytes:  # exact if all images are squares, too little for others
            return None
        cached: list[Sequence[Pixels]] = []
        left = self._cache_bytes
        for domain in self._domains:
            if not isinstance(domain.source, ImageSource):
                cached.append(cast(Sequence[Pixels], domain.source))  # wherever it is, in memory or on a disk
                continue
            images = domain.all_images(left)
            if images is None:
                return None
            cached.append(images)
            left -= sum(pixels.nbytes for pixels in images)
        return cached


@dataclass(frozen=True)
class _Domain:
    """One domain's endless walk. Position p is image p % len of permutation number p // len."""

    source: ImageSource | Pixels
    seed: int
    number: int  # which domain it is
    resolution: int
    load_size: int
    flip: bool

    def image(self, index: int) -> Pixels:
        if isinstance(self.source, ImageSource):
            with self.source.opened(index) as image:
                return _resized(image, self.load_size)
        return self.source[index]  # type: ignore[no-any-return]

    def all_images(self, limit: int) -> list[Pixels] | None:
        """Every image resized, or None as soon as they exceed ``limit`` bytes."""
        images: list[Pixels] = []
        for pixels in in_threads(self.image, len(self.source)):
            images.append(pixels)
            limit -= pixels.nbytes
            if limit < 0:
                return None
        return images

    def batch(self, start: int, count: int, cached: Sequence[Pixels] | None) -> Tensor:
        """Positions ``start`` to ``start + count``, as uint8 [count, 3, resolution, resolution]."""
        side = self.resolution
        draws = _draws(self.seed, self._stream(_CROPS), start, count)
        images = np.empty((count, 3, side, side), np.uint8)
        for row, position in enumerate(range(start, start + count)):
            index = self._index(position)
            pixels = self.image(index) if cached is None else cached[index]
            top = _below(draws[row, 0], pixels.shape[1] - side + 1)
            left = _below(draws[row, 1], pixels.shape[2] - side + 1)
            crop = pixels[:, top : top + side, left : left + side]
            images[row] = crop[:, :, ::-1] if self.flip and _below(draws[row, 2], 2) else crop
        return torch.from_numpy(images)

    def _index(self, position: int) -> int:
        epoch, entry = divmod(position, len(self.source))
        return int(_permutation(self.seed, self._stream(_ORDER), epoch, len(self.source))[entry])

    def _stream(self, which: int) -> int:
        return 2 * (self.number if self.number < 2 else self.number + 1) + which


@dataclass(frozen=True)
class _Unpaired(Dataset["_Batch | DataError"]):
    """Batches by the number of their first image.

    A DataError is returned, not raised: on its way out of a worker, torch would wrap it in a page of traceback.
    """

    domains: Sequence[_Domain]
    batch: int
    cached: list[Sequence[Pixels]] | None

    def __getitem__(self, start: int) -> _Batch | DataError:
        cached: Sequence[Sequence[Pixels] | None] = self.cached or [None] * len(self.domains)
        try:
            return tuple(
                domain.batch(start, self.batch, images) for domain, images in zip(self.domains, cached, strict=True)
            )
        except DataError as error:
            return error


def _ahead(batches: _Unpaired, starts: Iterator[int]) -> Generator[_Batch | DataError, None, None]:
    """One item of ``starts`` is one batch. A thread makes the next ones while the caller computes."""
    maker = ThreadPoolExecutor(1, thread_name_prefix="batches")
    try:
        waiting = deque(maker.submit(batches.__getitem__, next(starts)) for _ in range(_BATCHES_AHEAD))
        while True:
            waiting.append(maker.submit(batches.__getitem__, next(starts)))
            yield waiting.popleft().result()
    finally:
        maker.shutdown(cancel_futures=True)


def _worker_loader(batches: _Unpaired, starts: Iterator[int], workers: int) -> DataLoader[_Batch | DataError]:
    """One item of ``starts`` is one batch. The workers live as long as the iterator over the loader."""
    return DataLoader(
        batches,
        batch_size=None,
        sampler=starts,  # any iterable will do
        num_workers=workers,
        collate_fn=_as_it_is,
        worker_init_fn=_ignore_signals,
        generator=torch.Generator(),  # else starting a loader would advance the global one, which training draws from
    )


def _as_it_is(item: Any) -> Any:
    return item


def _ignore_signals(_worker: int) -> None:
    """Ctrl-C and a group's SIGTERM reach the workers, too: they must outlive it, so that the loop can save."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _resized(image: Image.Image, shorter: int) -> Pixels:
    """RGB image -> uint8 [3, h, w] whose shorter side is ``shorter``, the other in proportion.

    Of a strip longer than LONGEST times its width, the middle: enlarged whole, 1 × 60,000 pixels would be gigabytes.
    """
    longest = LONGEST * min(image.size)
    if max(image.size) > longest:
        left, top = (max(0, side - longest) // 2 for side in image.size)
        image = image.crop((left, top, min(left + longest, image.width), min(top + longest, image.height)))
    scale = shorter / min(image.size)
    width, height = (max(shorter, round(side * scale)) for side in image.size)
    resized = image.resize((width, height), Image.Resampling.BICUBIC)
    return np.ascontiguousarray(np.asarray(resized).transpose(2, 0, 1))


def _draws(seed: int, stream: int, start: int, count: int) -> Draws:
    """Four random words for each of ``count`` positions from ``start`` on: uint64 [count, 4].

    One step of Philox' counter makes four words, so position p has the same four wherever one starts.
    """
    key = (seed % 2**64) | (stream << 64)
    return np.random.Philox(key=key, counter=start).random_raw(4 * count).reshape(count, 4)


@functools.lru_cache(maxsize=8)
def _permutation(seed: int, stream: int, epoch: int, count: int) -> npt.NDArray[np.intp]:
    """The order of ``count`` images in one epoch. Each epoch has a stretch of the counter far from all others."""
    return np.argsort(_draws(seed, stream, epoch << 128, count)[:, 0], kind="stable")


def _below(draw: np.uint64, limit: int) -> int:
    """A random word -> 0 ... limit - 1, uniform to one part in 2³² for limits such as image sides."""
    return (int(draw) >> 32) * limit >> 32
