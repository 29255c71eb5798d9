"""One side of a measurement of two sets of images."""

import hashlib
from contextlib import AbstractContextManager
from copy import copy
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from ganas.data.images import Images
from ganas.errors import DataError
from ganas.metrics.cache import Cache, Statistics
from ganas.metrics.distances import Features, Gaussian, RunningGaussian, fit
from ganas.metrics.features import FeatureNetwork, extract
from ganas.metrics.features.base import Activations, activations
from ganas.metrics.features.preprocessing import TensorImages, resized_batches
from ganas.progress import Bar, Reporter

BATCH = 32  # images per forward pass: half a gigabyte for Inception
KEPT_FEATURES = 1 << 24  # numbers: 64 MiB, and three times as much in the float64 of metrics
SWD_MAX_IMAGES = 8192  # per side: 1.5 GiB at 256 pixels


class ImageSet(Images):
    """One side of a measurement: images that are read and passed through the network once for all metrics.

    Raises DataError for fewer than two images: they have no spread.
    """

    def __init__(
        self,
        images: Images | Tensor,  # a tensor is uint8 [n, 3, h, w]
        name: str,  # ``real`` or ``fake``, for messages
        network: FeatureNetwork | None,  # None if no metric needs features
        cache: Cache | None = None,
        reporter: Reporter | None = None,
        *,
        moments_only: bool = False,  # no metric needs more than mean and covariance of the features
    ) -> None:
        if len(images) < 2:
            raise DataError(f"{len(images)} {name} images are too few: metrics compare two sets of at least 2")
        self.name = name
        self._images = TensorImages(images) if isinstance(images, Tensor) else images
        self._network = network
        self._cache = cache
        self._reporter = reporter
        self._moments_only = moments_only
        self._lengths: dict[int, tuple[int, int]] = {}  # image index -> width and height, of images read so far
        self._resized: tuple[int, Tensor] | None = None  # the last requested size, and images in their order

    def __len__(self) -> int:
        return len(self._images)

    def read(self, index: int, /) -> Image.Image:
        image = self._images.read(index)
        self._lengths[index] = image.size
        return image

    @cached_property
    def _digest(self) -> str:
        return self._images.digest()

    def digest(self) -> str:
        """The digest of the images, computed once."""
        return self._digest

    @property
    def network(self) -> FeatureNetwork:
        assert self._network is not None, "Reference refuses metrics whose network is missing"
        return self._network

    @property
    def streams(self) -> bool:
        """Whether features are summed up as they come, since all of them would take much memory."""
        return self._moments_only and len(self) * self.network.dimension > KEPT_FEATURES

    def prepare(self, *, keep_features: bool = False) -> None:
        """Pass the images through the network now; keep_features: even if only their moments were asked for."""
        self._moments_only = self._moments_only and not keep_features
        _ = self.gaussian if self.streams else self.features

    @cached_property
    def statistics(self) -> Statistics:
        """Statistics from the cache, or computed and cached."""
        cached = self._cache.read(self.digest(), self.network) if self._cache else None
        if cached and cached.activations and len(cached.activations.features) == len(self):
            return cached
        with self._bar() as bar:
            found = extract(self.network, self, batch=BATCH, on_progress=bar.update)
        return self._store(Statistics(found, self._measured_lengths()))

    @cached_property
    def _streamed(self) -> Statistics:
        """The Gaussian of the features without them, from the cache, or computed and cached."""
        cached = self._cache.read(self.digest(), self.network, features=False) if self._cache else None
        if cached and cached.gaussian:
            return cached
        running = RunningGaussian(self.network.dimension)
        with self._bar() as bar:
            for part in activations(self.network, self, batch=BATCH, on_progress=bar.update):
                running.add(part.features.double().numpy())
        return self._store(Statistics(None, self._measured_lengths(), running.fit()))

    def _bar(self) -> AbstractContextManager[Bar]:
        return (self._reporter or Reporter(quiet=True)).bar(f"{self.name} features", 0, len(self))

    @property
    def _activations(self) -> Activations:
        found = self.statistics.activations
        assert found, "`statistics` extracts them"
        return found

    def _store(self, statistics: Statistics) -> Statistics:
        if self._cache:
            self._cache.write(self.digest(), self.network, statistics)
        return statistics

    @cached_property
    def _order(self) -> npt.NDArray[np.intp]:
        """Rows of the features, sorted by value, so that samples of them do not depend on file names."""
        return np.lexsort(self._activations.features.numpy().T[::-1])

    @cached_property
    def features(self) -> Features:
        """float64 [n, network.dimension], sorted by value."""
        return self._activations.features.double().numpy()[self._order]

    @cached_property
    def logits(self) -> Features:
        """float64 [n, network.classes], in the order of the features."""
        logits = self._activations.logits
        assert logits is not None, "Reference refuses metrics whose logits are missing"
        return logits.double().numpy()[self._order]

    @cached_property
    def gaussian(self) -> Gaussian | None:
        """Mean and covariance of the features; None if there are fewer than dimensions and none is cached."""
        if self.streams:
            return self._streamed.gaussian
        if self.statistics.gaussian or len(self) < self.network.dimension:
            return self.statistics.gaussian
        # in the order of the images, as torch-fidelity does: another order changes the last bits
        gaussian = fit(self._activations.features.double().numpy())
        self._store(Statistics(self._activations, self.statistics.lengths, gaussian))
        return gaussian

    @property
    def lengths(self) -> tuple[int, int]:
        """The shortest and the longest edge of all images, in pixels."""
        if self._network is None:
            return self._measured_lengths()
        return (self._streamed if self.streams else self.statistics).lengths

    def _measured_lengths(self) -> tuple[int, int]:
        for index in set(range(len(self))) - self._lengths.keys():  # empty if features were extracted before
            self.read(index)
        edges = [edge for size in self._lengths.values() for edge in size]
        return min(edges), max(edges)

    def resized(self, size: int, seed: int) -> Tensor:
        """Return uint8 [min(n, SWD_MAX_IMAGES), 3, size, size], rounded, sorted by hash; `seed` chooses the subset."""
        if self._resized is None or self._resized[0] != size:
            indices = np.random.default_rng(seed).permutation(len(self))[:SWD_MAX_IMAGES]
            chosen = self.subset(sorted(indices.tolist()))
            images = torch.cat([batch.round().to(torch.uint8) for batch in resized_batches(chosen, size, BATCH)])
            self._resized = size, images
        images = self._resized[1]
        hashes = [hashlib.sha256(image.numpy().tobytes()).digest() for image in images]
        return images[sorted(range(len(images)), key=hashes.__getitem__)]

    def resample(self, generator: np.random.Generator) -> "ImageSet":
        """Return a bootstrap resample: as many images, with replacement; features are not recomputed.

        Two sets of as many images, such as translations of one set, get the same images from equal generators.
        """
        indices = generator.integers(len(self), size=len(self))
        other = copy(self)
        for name in ("features", "logits", "gaussian", "statistics", "_order"):
            other.__dict__.pop(name, None)
        if self._network and "statistics" in self.__dict__:
            features, logits = self._activations
            rows = torch.from_numpy(indices)
            drawn = Activations(features[rows], None if logits is None else logits[rows])
            other.__dict__["statistics"] = Statistics(drawn, self.statistics.lengths)
            other.__dict__["gaussian"] = None  # that of other images
        if self._resized is not None:
            size, images = self._resized
            chosen = indices if len(images) == len(self) else generator.integers(len(images), size=len(images))
            other._resized = size, images[torch.from_numpy(chosen)]
        return other
