"""How far generated images are from real ones, and by which measure exactly.

A score without its protocol cannot be compared with another, so every key says it:
``METRIC@NETWORK-PREPROCESSING-SIZE``, as in

    fid@squeezenet-clean-128         :func:`ganas.metrics.distances.frechet` of SqueezeNet's features at 128 px
    kid@squeezenet-clean-128         :func:`ganas.metrics.distances.kernel` of the same features
    kid_stderr@squeezenet-clean-128  its standard error
    swd@laplacian-clean-64           :func:`ganas.metrics.sliced.sliced_wasserstein` at 64 px: no network

Lower is better for all of them. Numbers under different keys are never compared; what else they depend on (how many
images of which sizes, weights, versions) stands beside them in :attr:`Measurement.protocol`.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

import ganas
from ganas.data.sources import open_source
from ganas.errors import ConfigError, DataError
from ganas.metrics.distances import frechet, kernel, kernel_subset_size
from ganas.metrics.features import FeatureNetwork, Images, TensorImages, extract, load_features, resized_batches
from ganas.metrics.sliced import SMALLEST_SIDE, sliced_wasserstein

BATCH = 32  # images that go through the network at once: half a gigabyte for Inception
SWD_LARGEST_SIDE = 256  # pixels
SWD_MOST_IMAGES = 8192  # of each side: at 256 pixels they hold 1.5 GiB


@dataclass(frozen=True)
class Measurement:
    """Scores, and all that is needed to tell whether two of them may be compared.

    scores      key (module docstring) -> value, lower is better
    protocol    facts of this measurement that its keys have no room for; JSON can hold them
    warnings    one line each: why a score should be read with care
    """

    scores: dict[str, float]
    protocol: dict[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


class Side:
    """One of the two sets of images, read and passed through the network once for all metrics.

    images     an image source, or uint8 [n, 3, h, w]
    name       ``real`` or ``fake``, for messages
    network    None where no metric needs features

    Raises DataError where there are fewer than two images: no distribution has a spread then.
    """

    def __init__(self, images: Images | Tensor, name: str, network: FeatureNetwork | None) -> None:
        if len(images) < 2:
            raise DataError(f"{len(images)} {name} images are too few: metrics compare two sets of at least 2")
        self._images = TensorImages(images) if isinstance(images, Tensor) else images
        self._network = network
        self._lengths: dict[int, tuple[int, int]] = {}  # image index -> width and height, once it was read
        self._resized: tuple[int, Tensor] | None = None  # the last size asked for

    def __len__(self) -> int:
        return len(self._images)

    def read(self, index: int, /) -> Image.Image:
        """Image ``index`` as PIL RGB."""
        image = self._images.read(index)
        self._lengths[index] = image.size
        return image

    @property
    def network(self) -> FeatureNetwork:
        """What :attr:`features` come from."""
        assert self._network is not None, "Reference refuses metrics that need a network where there is none"
        return self._network

    @cached_property
    def features(self) -> npt.NDArray[np.float64]:
        """float64 [n, network.dimension]."""
        return extract(self.network, self, batch=BATCH)

    @cached_property
    def lengths(self) -> tuple[int, int]:
        """The shortest and the longest edge of all images, in pixels."""
        for index in set(range(len(self))) - self._lengths.keys():  # none, where features were extracted before
            self.read(index)
        edges = [edge for size in self._lengths.values() for edge in size]
        return min(edges), max(edges)

    def resized(self, size: int, seed: int) -> Tensor:
        """uint8 [n or SWD_MOST_IMAGES, 3, size, size], rounded; which images is drawn where there are more."""
        if self._resized is None or self._resized[0] != size:
            indices = np.random.default_rng(seed).permutation(len(self))[:SWD_MOST_IMAGES]
            chosen = Subset(self, sorted(indices.tolist()))
            batches = [images.round().to(torch.uint8) for images in resized_batches(chosen, size, BATCH)]
            self._resized = size, torch.cat(batches)
        return self._resized[1]


@dataclass(frozen=True)
class Subset:
    """Some images of a set."""

    images: Images
    indices: Sequence[int]

    def __len__(self) -> int:
        return len(self.indices)

    def read(self, index: int, /) -> Image.Image:
        """Image ``index`` of the subset as PIL RGB."""
        return self.images.read(self.indices[index])


def fid(real: Side, fake: Side, seed: int) -> Measurement:
    """:func:`~ganas.metrics.distances.frechet` of the two sides' features, with a warning where it is biased."""
    count, dimension = min(len(real), len(fake)), fake.network.dimension
    warning = f"fid: {count} images in a {dimension}-dimensional feature space: biased upward, read kid beside it"
    return Measurement(
        scores={f"fid@{_features_key(fake.network)}": frechet(real.features, fake.features)},
        warnings=(warning,) if count <= dimension else (),
    )


def kid(real: Side, fake: Side, seed: int) -> Measurement:
    """:func:`~ganas.metrics.distances.kernel` of the two sides' features, and its standard error."""
    mean, standard_error = kernel(real.features, fake.features, seed=seed)
    key = _features_key(fake.network)
    return Measurement(
        scores={f"kid@{key}": mean, f"kid_stderr@{key}": standard_error},
        protocol={"kid_subset_size": kernel_subset_size(real.features, fake.features)},
    )


def swd(real: Side, fake: Side, seed: int) -> Measurement:
    """:func:`~ganas.metrics.sliced.sliced_wasserstein`, at the largest power of two that enlarges no image."""
    shortest = min(real.lengths[0], fake.lengths[0])
    if shortest < SMALLEST_SIDE:
        raise DataError(f"swd needs images of {SMALLEST_SIDE} px and more, got one of {shortest} px")
    size = min(1 << (shortest.bit_length() - 1), SWD_LARGEST_SIDE)
    images = real.resized(size, seed), fake.resized(size, seed)
    levels = sliced_wasserstein(*images, seed=seed)
    return Measurement(
        scores={f"swd@laplacian-clean-{size}": levels.pop("mean")},
        protocol={"swd_images": min(map(len, images)), "swd_levels": levels},
    )


@dataclass(frozen=True)
class Metric:
    """A line of METRICS."""

    summary: str
    measure: Callable[[Side, Side, int], Measurement]  # real, fake, seed
    needs_features: bool


METRICS: dict[str, Metric] = {
    "fid": Metric("Fréchet distance of features: the papers' number, biased for few images", fid, needs_features=True),
    "kid": Metric("kernel distance of features: unbiased, with a standard error", kid, needs_features=True),
    "swd": Metric("sliced Wasserstein distance of Laplacian patches: no network", swd, needs_features=False),
}


class Reference:
    """The real side of a measurement, prepared once for all the fakes that are measured against it.

    real        an image source, or uint8 [n, 3, h, w]
    metrics     keys of METRICS
    features    the network for fid and kid; None where only swd is asked for
    seed        of every draw: the same images get the same scores

    Raises ConfigError where a metric is unknown or lacks its network, DataError for fewer than two images.
    """

    def __init__(
        self, real: Images | Tensor, metrics: Sequence[str], features: FeatureNetwork | None, *, seed: int = 0
    ) -> None:
        self._metrics = _checked(metrics, features)
        # Scores of swd alone don't depend on a network that happens to be there, so their protocol does not name it.
        self._network = features if any(METRICS[name].needs_features for name in self._metrics) else None
        self._seed = seed
        self._real = Side(real, "real", self._network)
        if self._network is not None:
            _ = self._real.features  # now, so that measure takes the same time whenever it is called

    def measure(self, fake: Images | Tensor) -> Measurement:
        """The scores of ``fake`` (an image source, or uint8 [m, 3, h, w]); DataError for fewer than two images."""
        start = time.monotonic()
        side = Side(fake, "fake", self._network)
        results = [METRICS[name].measure(self._real, side, self._seed) for name in self._metrics]
        scores: dict[str, float] = {}
        protocol, warnings = self._protocol(side), _sharpness_warnings(self._real, side, self._network)
        for result in results:
            scores |= result.scores
            protocol |= result.protocol
            warnings += result.warnings
        protocol["seconds"] = round(time.monotonic() - start, 3)
        return Measurement(scores, protocol, warnings)

    def _protocol(self, fake: Side) -> dict[str, Any]:
        """What every metric's number depends on."""
        return {
            "real_images": len(self._real),
            "fake_images": len(fake),
            "real_pixels": list(self._real.lengths),  # shortest and longest edge
            "fake_pixels": list(fake.lengths),
            "network_digest": None if self._network is None else self._network.digest,
            "seed": self._seed,
            "versions": {"ganas": ganas.__version__, "torch": torch.__version__}
            | {"torch-fidelity": version("torch-fidelity")},
        }


def evaluate(
    real: Images | Tensor,
    fake: Images | Tensor,
    *,
    metrics: Sequence[str],
    features: FeatureNetwork | None,
    seed: int = 0,
) -> Measurement:
    """The distance of ``fake`` from ``real`` by every one of ``metrics``; arguments and errors as in Reference."""
    return Reference(real, metrics, features, seed=seed).measure(fake)


def evaluate_folders(
    real: Path,
    fake: Path,
    *,
    metrics: Sequence[str] | None,  # None: all that `features` allows
    features: str | None,  # NAME[:PATH] of a feature network
) -> Measurement:
    """The distance of the images under ``fake`` (folder or zip) from those under ``real``; errors as in Reference."""
    for name in metrics or ():
        if name not in METRICS:
            raise ConfigError(f"unknown metric {name!r}: choose from {', '.join(METRICS)}")
    sources = open_source(real, minimum=2), open_source(fake, minimum=2)
    network = load_features(features) if features else None
    possible = [name for name, metric in METRICS.items() if network is not None or not metric.needs_features]
    return evaluate(*sources, metrics=metrics or possible, features=network)


def _checked(metrics: Sequence[str], features: FeatureNetwork | None) -> list[str]:
    """The metrics asked for, each once; ConfigError where one is unknown or cannot be had."""
    for name in metrics:
        if name not in METRICS:
            raise ConfigError(f"unknown metric {name!r}: choose from {', '.join(METRICS)}")
        if METRICS[name].needs_features and features is None:
            raise ConfigError(f"{name} needs a feature network: give --features squeezenet:PATH or inception")
    if not metrics:
        raise ConfigError(f"no metric asked for: choose from {', '.join(METRICS)}")
    return list(dict.fromkeys(metrics))


def _features_key(network: FeatureNetwork) -> str:
    """The part of a metric's key behind the @."""
    return f"{network.name}-{network.preprocessing}-{network.size}"


def _sharpness_warnings(real: Side, fake: Side, network: FeatureNetwork | None) -> tuple[str, ...]:
    """A warning where one side is enlarged more than the other: the network sees that blur before anything else."""
    if network is None:
        return ()
    shortest = {"real": real.lengths[0], "fake": fake.lengths[0]}
    if len({min(pixels, network.size) for pixels in shortest.values()}) == 1:
        return ()
    smaller, larger = sorted(shortest, key=lambda name: shortest[name])
    pixels = shortest[smaller]
    return (
        f"{smaller} images of {pixels} px are enlarged to {network.size} px and {larger} ones less or not: "
        f"part of the distance is sharpness, shrink the {larger} ones to {pixels} px first",
    )
