"""From image sources to tensors: resize, crop, flip, split, and unpaired batches that resume at any image.

Time is counted in images per domain. Batches do not depend on the number of workers, the cache, or where a run was
resumed (:mod:`ganas.data.unpaired`).
"""

import functools
import itertools
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, wait
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ganas.data.images import Images
from ganas.data.processes import processes
from ganas.data.threads import Threads, in_threads
from ganas.data.unpaired import HALVES, SPLIT, Batch, Domain, Pixels, random_words, resized, unpaired_batch
from ganas.data.verification import with_progress
from ganas.errors import DataError, RunError, counted
from ganas.store import atomic_file

_BATCHES_AHEAD = 2
_PATIENCE = 60.0  # seconds without a batch until a warning


def to_network(images: Tensor) -> Tensor:
    """uint8 [n, 3, h, w] -> float32 in [-1, 1], same shape: 0 is -1, 255 is 1."""
    return images.float().div(127.5).sub_(1.0)


def to_images(x: Tensor) -> Tensor:
    """Float [n, 3, h, w] -> uint8, same shape: clamped to [-1, 1] and rounded. Exactly inverts :func:`to_network`."""
    return x.detach().float().clamp(-1.0, 1.0).add(1.0).mul(127.5).round().to(torch.uint8)


def split(count: int, validation: int, seed: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return (training, validation): sorted, disjoint indices that cover range(``count``), determined by ``seed``.

    validation: the number of images to hold out. Raises DataError if that leaves none to train on.
    """
    return _split_indices(count, validation, seed, SPLIT)


def halves(count: int, seed: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Split into halves; the first gets the odd image. Raises DataError for fewer than two images."""
    if count < 2:
        raise DataError("a domain of 1 image cannot be halved: add images")
    return _split_indices(count, count // 2, seed, HALVES)


def _split_indices(count: int, validation: int, seed: int, stream: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    if validation < 0:
        raise ValueError(f"the number of validation images cannot be negative, got {validation=}")
    if validation >= count:
        of = f"{validation} of {counted(count, 'image')}"
        raise DataError(f"holding out {of} leaves none to train on: hold out fewer or add images")
    order = np.argsort(random_words(seed, stream, 0, count)[:, 0], kind="stable").tolist()
    return tuple(sorted(order[validation:])), tuple(sorted(order[:validation]))


def center_crops(source: Images, resolution: int) -> Tensor:
    """Return the crops of :func:`iter_center_crops` as uint8 [n, 3, resolution, resolution]."""
    images = np.empty((len(source), 3, resolution, resolution), np.uint8)
    for index, pixels in enumerate(iter_center_crops(source, resolution)):
        images[index] = pixels
    return torch.from_numpy(images)


def iter_center_crops(source: Images, resolution: int) -> Iterator[Pixels]:
    """Yield all images of ``source`` in order, each as uint8 [3, resolution, resolution].

    The shorter side is resized to ``resolution`` (bicubic, antialiased), then the center is cropped. Raises DataError
    if a file has become unreadable.
    """

    return in_threads(lambda index: _center_crop(source, index, resolution), len(source))


def _center_crop(source: Images, index: int, resolution: int) -> Pixels:
    with source.opened(index) as image:
        pixels = resized(image, resolution)  # [3, h, w]
    top, left = ((side - resolution) // 2 for side in pixels.shape[1:])
    return pixels[:, top : top + resolution, left : left + resolution]


class CenterCrops(Images):
    """The same crops as images of their own, decoded whenever one is read: for sets of which no copy would fit."""

    def __init__(self, source: Images, resolution: int) -> None:
        self._source, self.resolution = source, resolution

    def __len__(self) -> int:
        return len(self._source)

    def read(self, index: int, /) -> Image.Image:
        return Image.fromarray(_center_crop(self._source, index, self.resolution).transpose(1, 2, 0))


def write_center_crops(path: Path, source: Images, resolution: int) -> None:
    """Write the center crops of all images as one .npy array: uint8 [n, 3, resolution, resolution].

    Any number of processes can memory-map it. An interrupted write leaves no file behind.
    """
    header = {"descr": "|u1", "fortran_order": False, "shape": (len(source), 3, resolution, resolution)}
    crops = with_progress(
        f"decoding into {path.name}", lambda index: _center_crop(source, index, resolution), len(source)
    )
    with atomic_file(path) as file:
        np.lib.format.write_array_header_1_0(file, header)
        for pixels in crops:
            file.write(pixels.tobytes())


def map_center_crops(path: Path) -> Pixels:
    """Memory-map what `write_center_crops` wrote; raises `RunError` if the file is damaged."""
    try:
        return np.load(path, mmap_mode="c", allow_pickle=False)  # type: ignore[no-any-return]
    except (OSError, ValueError, EOFError) as error:
        raise RunError(f"{str(path)!r} cannot be read ({error}): remove it to have it made again") from None


class Batches:
    """Endless batches of images of one domain, or unpaired batches of several.

    Each domain is shuffled anew every len(domain) images; the smaller domain starts over sooner. Each image is resized
    (shorter side to ``load_size``, bicubic, antialiased), randomly cropped to ``resolution`` and, with ``flip``,
    mirrored with probability 1/2. A domain may also be an array uint8 [n, 3, h, w] of already resized images.
    """

    def __init__(
        self,
        sources: Sequence[Images | Pixels],  # one per domain
        *,
        resolution: int,  # side of the crops, in pixels
        load_size: int,  # shorter side before the crop, in pixels, at least resolution
        flip: bool,  # mirror horizontally with probability 1/2
        batch: int,  # images per batch and domain
        seed: int,
        workers: int = 0,  # decoding processes; used only if the images do not fit the cache
        cache_bytes: int = 1 << 30,  # keep resized images in memory if all domains fit
        say: Callable[[str], object] = lambda line: None,  # called with a one-line warning if loading stalls
    ) -> None:
        if load_size < resolution:
            raise ValueError(f"load_size must be at least resolution, got {load_size=}, {resolution=}")
        counts = [len(source) for source in sources]
        if batch < 1 or not all(counts):
            raise ValueError(f"a batch and every domain need at least one image, got {batch=}, {counts=}")
        self._domains = [
            Domain(source, seed, number, resolution, load_size, flip) for number, source in enumerate(sources)
        ]
        self._batch = batch
        self.workers = workers
        self._cache_bytes = cache_bytes
        self._say = say

    @property
    def epoch_images(self) -> int:
        """Images per epoch: the size of the largest domain."""
        return max(len(domain.source) for domain in self._domains)

    @property
    def cached(self) -> bool:
        """Whether all images are cached in memory."""
        return self._cached is not None

    def from_image(self, nimg: int) -> Generator[tuple[Tensor, ...], None, None]:
        """Yield batches from image ``nimg`` on: per domain float32 [batch, 3, resolution, resolution] in [-1, 1].

        ``from_image(k)`` continues exactly where ``from_image(0)`` is after k images. Threads and processes end with
        the iterator. Raises DataError if a file has become unreadable or a process died.
        """
        starts = itertools.count(nimg, self._batch)
        in_processes = self.workers and self._cached is None
        local = functools.partial(unpaired_batch, self._cached or self._domains, self._batch)
        makers = processes(self.workers, self._domains, self._batch, nimg) if in_processes else nullcontext(local)
        with Threads(1, "batches") as thread, makers as make:
            waiting = deque(thread.submit(make, next(starts)) for _ in range(_BATCHES_AHEAD))
            while True:
                waiting.append(thread.submit(make, next(starts)))
                yield tuple(to_network(torch.from_numpy(images)) for images in self._wait_for(waiting.popleft()))

    def _wait_for(self, batch: Future[Batch]) -> Batch:
        """Wait for a batch; report the delay after one, two, four, ... minutes."""
        start, patience = time.monotonic(), _PATIENCE
        while not wait([batch], timeout=1).done:  # a wait without timeout ignores Ctrl-C on Windows
            if time.monotonic() - start >= patience:
                self._say(
                    f"waiting for images for {patience:.0f} s: their disk, or a process that decodes them, is slow or "
                    f"hangs; Ctrl-C saves and ends the run"
                )
                patience *= 2
        return batch.result()

    @functools.cached_property
    def _cached(self) -> list[Domain] | None:
        """The domains with all their images resized in memory, or None if they exceed the cache."""
        encoded = [domain for domain in self._domains if not isinstance(domain.source, np.ndarray)]
        squares = sum(3 * domain.load_size**2 * len(domain.source) for domain in encoded)
        if squares > self._cache_bytes:  # exact for squares, a lower bound otherwise
            return None
        cached = {}
        left = self._cache_bytes
        for domain in encoded:
            images: list[Pixels] = []
            for pixels in in_threads(domain.image, len(domain.source)):
                images.append(pixels)
                left -= pixels.nbytes
                if left < 0:
                    return None
            cached[domain.number] = replace(domain, source=images)
        return [cached.get(domain.number, domain) for domain in self._domains]
