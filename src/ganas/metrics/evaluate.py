"""Distances between generated and real images, under keys that state the protocol.

Scores of different protocols cannot be compared, so a key is ``METRIC[N]@NETWORK-PREPROCESSING-SIZE``, as in

    fid@squeezenet-clean-128         `frechet` of SqueezeNet's features at 128 px
    fid10k@inception-clean-299       the same of Inception's, with a sample of 10,000 fakes
    kid@…, kid_stderr@…              `kernel` of the features, and its standard error
    mind@…                           `monge` of the features
    precision@…, recall@…            `precision_recall` of the features
    is@…, is_std@…                   `inception_score` of the network's logits
    swd@laplacian-clean-64           `sliced_wasserstein` at 64 px: no network
    psnr@…, ssim@…, perceptual@…     of pairs (:mod:`ganas.metrics.paired`)

A measurement's protocol holds everything else that a score depends on (:mod:`ganas.metrics.measurement`). No score
depends on the order of the images (except for the choice of a subset of N or SWD_MAX_IMAGES), nor on batches or threads
beyond float32 rounding.
"""

import hashlib
import time
from collections.abc import Mapping, Sequence
from copy import copy
from functools import cached_property
from importlib.metadata import version
from pkgutil import resolve_name
from statistics import fmean
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from ganas.data.images import Images
from ganas.data.sources import check_overlap, notes_of, open_source
from ganas.errors import ConfigError, DataError, shown
from ganas.metrics.cache import Cache, Statistics
from ganas.metrics.distances import (
    DIRECTIONS,
    NEIGHBORS,
    Features,
    Gaussian,
    fit,
    frechet,
    inception_score,
    kernel,
    kernel_subset_size,
    monge,
    precision_recall,
)
from ganas.metrics.features import FeatureNetwork, extract, load_features
from ganas.metrics.features.base import Activations, features_key
from ganas.metrics.features.preprocessing import TensorImages, resized_batches
from ganas.metrics.measurement import METRICS, SPREADS, Measurement, Metric, is_paired, joined, metric_of
from ganas.metrics.sliced import SMALLEST_SIDE, sliced_wasserstein
from ganas.paths import StrPath
from ganas.progress import Reporter
from ganas.version import __version__

BATCH = 32  # images per forward pass: half a gigabyte for Inception
SWD_LARGEST_SIDE = 256  # pixels
SWD_MAX_IMAGES = 8192  # per side: 1.5 GiB at 256 pixels
SPLITS = 10  # of the inception score, as in papers

Split = Literal["given", "training", "validation", "test", "all"]


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
    ) -> None:
        if len(images) < 2:
            raise DataError(f"{len(images)} {name} images are too few: metrics compare two sets of at least 2")
        self.name = name
        self._images = TensorImages(images) if isinstance(images, Tensor) else images
        self._network = network
        self._cache = cache
        self._reporter = reporter
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

    @cached_property
    def statistics(self) -> Statistics:
        """Statistics from the cache, or computed and cached."""
        cached = self._cache.read(self.digest(), self.network) if self._cache else None
        if cached and len(cached.activations.features) == len(self):
            return cached
        reporter = self._reporter or Reporter(quiet=True)
        with reporter.bar(f"{self.name} features", 0, len(self)) as bar:
            activations = extract(self.network, self, batch=BATCH, on_progress=bar.update)
        return self._store(Statistics(activations, self._measured_lengths()))

    def _store(self, statistics: Statistics) -> Statistics:
        if self._cache:
            self._cache.write(self.digest(), self.network, statistics)
        return statistics

    @cached_property
    def _order(self) -> npt.NDArray[np.intp]:
        """Rows of the features, sorted by value, so that samples of them do not depend on file names."""
        return np.lexsort(self.statistics.activations.features.numpy().T[::-1])

    @cached_property
    def features(self) -> Features:
        """float64 [n, network.dimension], sorted by value."""
        return self.statistics.activations.features.double().numpy()[self._order]

    @cached_property
    def logits(self) -> Features:
        """float64 [n, network.classes], in the order of the features."""
        logits = self.statistics.activations.logits
        assert logits is not None, "Reference refuses metrics whose logits are missing"
        return logits.double().numpy()[self._order]

    @cached_property
    def gaussian(self) -> Gaussian | None:
        """Mean and covariance of the features; None if there are fewer than dimensions and none is cached."""
        if self.statistics.gaussian or len(self) < self.network.dimension:
            return self.statistics.gaussian
        # in the order of the images, as torch-fidelity does: another order changes the last bits
        gaussian = fit(self.statistics.activations.features.double().numpy())
        self._store(Statistics(self.statistics.activations, self.statistics.lengths, gaussian))
        return gaussian

    @property
    def lengths(self) -> tuple[int, int]:
        """The shortest and the longest edge of all images, in pixels."""
        return self.statistics.lengths if self._network else self._measured_lengths()

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
            features, logits = self.statistics.activations
            rows = torch.from_numpy(indices)
            activations = Activations(features[rows], None if logits is None else logits[rows])
            other.__dict__["statistics"] = Statistics(activations, self.statistics.lengths)
            other.__dict__["gaussian"] = None  # that of other images
        if self._resized is not None:
            size, images = self._resized
            chosen = indices if len(images) == len(self) else generator.integers(len(images), size=len(images))
            other._resized = size, images[torch.from_numpy(chosen)]
        return other


def fid(real: ImageSet, fake: ImageSet, seed: int) -> Measurement:
    """:func:`~ganas.metrics.distances.frechet` of the two sides' features, with a warning where it is biased."""
    count, dimension = min(len(real), len(fake)), fake.network.dimension
    warning = f"fid: {count} images in a {dimension}-dimensional feature space: biased upward, read kid beside it"
    return Measurement(
        scores={f"fid@{features_key(fake.network)}": frechet(real.features, fake.features, fitted=real.gaussian)},
        warnings=(warning,) if count <= dimension else (),
    )


def kid(real: ImageSet, fake: ImageSet, seed: int) -> Measurement:
    """:func:`~ganas.metrics.distances.kernel` of the two sides' features, and its standard error."""
    estimate, standard_error = kernel(real.features, fake.features, seed=seed)
    key = features_key(fake.network)
    return Measurement(
        scores={f"kid@{key}": estimate, f"kid_stderr@{key}": standard_error},
        protocol={"kid_subset_size": kernel_subset_size(real.features, fake.features)},
    )


def mind(real: ImageSet, fake: ImageSet, seed: int) -> Measurement:
    """:func:`~ganas.metrics.distances.monge` of the two sides' features."""
    score = monge(real.features, fake.features, seed=seed)
    return Measurement({f"mind@{features_key(fake.network)}": score}, {"mind_directions": DIRECTIONS})


def pr(real: ImageSet, fake: ImageSet, seed: int) -> Measurement:
    """:func:`~ganas.metrics.distances.precision_recall` of the two sides' features."""
    for side in (real, fake):
        if len(side) <= NEIGHBORS:
            raise DataError(f"pr needs at least {NEIGHBORS + 1} {side.name} images, got {len(side)}: leave pr out")
    precision, recall = precision_recall(real.features, fake.features)
    key = features_key(fake.network)
    return Measurement({f"precision@{key}": precision, f"recall@{key}": recall}, {"pr_neighbours": NEIGHBORS})


def isc(real: ImageSet, fake: ImageSet, seed: int) -> Measurement:
    """:func:`~ganas.metrics.distances.inception_score` of the fakes, with a warning where it is biased."""
    splits = min(SPLITS, len(fake))
    score, deviation = inception_score(fake.logits, splits=splits, seed=seed)
    classes, share = fake.network.classes or 0, len(fake) // splits
    warning = f"is: {share} images a split for {classes} classes: biased downward"
    key = features_key(fake.network)
    return Measurement(
        scores={f"is@{key}": score, f"is_std@{key}": deviation},
        protocol={"is_splits": splits, "classifier_digest": fake.network.classifier_digest},
        warnings=(warning,) if share < classes else (),
    )


def swd(real: ImageSet, fake: ImageSet, seed: int) -> Measurement:
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


class Reference:
    """The real side of a measurement, prepared once for all sets of fakes.

    Raises ConfigError if a metric is unknown or its network is missing, DataError for fewer than two images.
    """

    def __init__(
        self,
        real: Images | Tensor,  # a tensor is uint8 [n, 3, h, w]
        metrics: Sequence[str] | None,  # keys of METRICS; None: all possible ones, with a warning for those left out
        features: FeatureNetwork | None,
        *,
        seed: int = 0,  # of all random choices: the same images get the same scores
        cache: Cache | None = None,  # of statistics of the real images
        split: Split = "given",  # the origin of the fakes, for the protocol
        paired: bool = False,  # the real images are the right answers, in the order of the fakes
        reporter: Reporter | None = None,
    ) -> None:
        self._requested = metrics is not None
        if metrics is None:
            self._metrics = possible_metrics(features, paired=paired)
        else:
            self._metrics = check_metrics(metrics, features, paired=paired)
        self._reporter = reporter
        # swd does not depend on a network, so the protocol of swd alone does not name it.
        self._network = features if any(METRICS[name].needs != "nothing" for name in self._metrics) else None
        self._seed = seed
        self._split = split
        self._real = ImageSet(real, "real", self._network, cache, reporter)
        if any(METRICS[name].needs != "nothing" and not is_paired(name) for name in self._metrics):
            _ = self._real.features  # now, so that every call of measure takes the same time

    def measure(
        self,
        fake: Images | Tensor,
        *,
        count: int | None = None,
        bootstrap: int = 0,
        facts: Mapping[str, Any] | None = None,
    ) -> Measurement:
        """Score ``fake`` (an image source, or uint8 [m, 3, h, w]).

        count        size of a random subset of the fakes, which the keys then name
        bootstrap    number of resamples of both sides for 95 % intervals; 0: no intervals. Of all metrics, swd has one
                     only if no other has
        facts        about the origin of the fakes, for the protocol

        Raises DataError for fewer than two images, or fewer than ``count``.
        """
        start = time.monotonic()
        side = ImageSet(_choose(fake, count, self._seed), "fake", self._network, reporter=self._reporter)
        of_sets = [name for name in self._metrics if not is_paired(name)]
        whole = joined(self._scores(of_sets, self._real, side), self._scores_of_pairs(side))
        scores = {_with_count(key, count): value for key, value in whole.scores.items()}
        protocol = {**self._protocol(side), **(facts or {}), **whole.protocol}
        resampled: dict[str, tuple[float, ...]] = {}
        if bootstrap:
            protocol["bootstrap"] = bootstrap
            resampled = self._resampled(self._to_resample(of_sets), side, max(2, bootstrap))
            resampled = {_with_count(key, count): values for key, values in resampled.items()}
        warnings = _sharpness_warnings(self._real, side, self._network) + whole.warnings
        protocol["seconds"] = round(time.monotonic() - start, 3)
        return Measurement(scores, protocol, warnings, whole.per_image, resampled)

    def _scores_of_pairs(self, fake: ImageSet) -> Measurement:
        """Score each fake against the real image of the same index."""
        names = [name for name in self._metrics if is_paired(name)]
        if not names:
            return Measurement({})
        if len(self._real) != len(fake):
            raise DataError(f"{len(self._real)} real and {len(fake)} fake images are not pairs: give as many of each")
        per_image: dict[str, tuple[float, ...]] = {}
        warnings: list[str] = []
        for name in names:
            try:
                key, scores = resolve_name(METRICS[name].function)(self._real, fake, self._network)
            except DataError as error:
                if self._requested:
                    raise
                warnings.append(f"left out: {error}")
                continue
            per_image[key] = tuple(scores)
        means = {key: fmean(scores) for key, scores in per_image.items()}
        protocol = {"pairs": len(fake), "pairs_digest": self._real.digest()}
        return Measurement(means, protocol, tuple(warnings), per_image)

    def _to_resample(self, names: Sequence[str]) -> Sequence[str]:
        """Return the metrics of sets to resample: slow ones only if requested or alone."""
        quick = [name for name in self._metrics if not METRICS[name].slow_to_resample]
        return names if self._requested or not quick else [name for name in names if name in quick]

    def _scores(self, names: Sequence[str], real: ImageSet, fake: ImageSet) -> Measurement:
        results = []
        for name in names:
            try:
                results.append(resolve_name(METRICS[name].function)(real, fake, self._seed))
            except DataError as error:
                if self._requested:
                    raise
                results.append(Measurement({}, warnings=(f"left out: {error}",)))
        return Measurement(
            scores={key: value for result in results for key, value in result.scores.items()},
            protocol={key: value for result in results for key, value in result.protocol.items()},
            warnings=tuple(warning for result in results for warning in result.warnings),
        )

    def _resampled(self, names: Sequence[str], fake: ImageSet, resamples: int) -> dict[str, tuple[float, ...]]:
        """Return the scores of bootstrap resamples of both sides, equal ones for all fakes of one number."""
        generator, scores = np.random.default_rng(self._seed), []
        if not names:
            return {}
        with (self._reporter or Reporter()).bar("resamples", 0, resamples) as bar:
            for number in range(resamples):
                scores.append(self._scores(names, self._real.resample(generator), fake.resample(generator)).scores)
                bar.update(number + 1)
        return {key: tuple(one[key] for one in scores) for key in scores[0] if metric_of(key) not in SPREADS}

    def _protocol(self, fake: ImageSet) -> dict[str, Any]:
        """Return the facts that all metrics depend on."""
        return {
            "split": self._split,
            "real_images": len(self._real),
            "fake_images": len(fake),
            "real_pixels": list(self._real.lengths),  # shortest and longest edge
            "fake_pixels": list(fake.lengths),
            "real_digest": self._real.digest(),
            "network_digest": None if self._network is None else self._network.digest,
            "seed": self._seed,
            "versions": {"ganas": __version__, "torch": torch.__version__}
            | {name: version(name) for name in ("torch-fidelity", "pillow")},
        }


def _choose(images: Images | Tensor, count: int | None, seed: int) -> Images | Tensor:
    """Return a random subset of `count` images, determined by `seed` and their order."""
    if count is None:
        return images
    if not 2 <= count <= len(images):
        raise DataError(f"cannot sample {count} of {len(images)} images: give a number from 2 to {len(images)}")
    indices = sorted(np.random.default_rng(seed).permutation(len(images))[:count].tolist())
    return images[indices] if isinstance(images, Tensor) else images.subset(indices)


def _with_count(key: str, count: int | None) -> str:
    """``fid@…`` -> ``fid500@…``, ``fid10k@…``."""
    if count is None:
        return key
    metric, _, rest = key.partition("@")
    return f"{metric}{f'{count // 1000}k' if count % 1000 == 0 else count}@{rest}"


def evaluate_folders(
    real: StrPath,
    fakes: Sequence[StrPath],
    *,
    metrics: Sequence[str] | None,  # None: all that `features` allows
    features: str | None,  # specification of a feature network
    count: int | None = None,
    bootstrap: int = 0,
    cache: Cache | None = None,
    skip_bad: bool = False,
    white: float | None = None,
    icc: bool = True,
    reporter: Reporter | None = None,
) -> list[Measurement]:
    """Score the images under each of ``fakes`` (folder or zip) against those under ``real``.

    Several fakes must have the same number of images, unless ``count`` is given. Arguments and errors: see `Reference`,
    its `measure`, and `open_source`.
    """
    sources = [open_source(path, minimum=2, skip_bad=skip_bad, white=white, icc=icc) for path in (real, *fakes)]
    same = [fake for fake in sources[1:] if check_overlap(sources[0], fake)]
    if reporter:
        reporter.note((*notes_of(*sources), *(f"{shown(fake.path)}: the real images themselves" for fake in same)))
    counts = sorted({len(source) for source in sources[1:]})
    if count is None and len(counts) > 1:
        raise ConfigError(
            f"folders of {counts[0]} and {counts[-1]} images cannot be compared: "
            f"give --images {counts[0]} to sample as many of each"
        )
    if count is not None and count > counts[0]:
        raise DataError(f"cannot sample {count} of {counts[0]} images: give a number from 2 to {counts[0]}")
    network = load_network(features, metrics)
    reference = Reference(sources[0], metrics, network, cache=cache, reporter=reporter)
    return [reference.measure(source, count=count, bootstrap=bootstrap) for source in sources[1:]]


def load_network(features: str | None, metrics: Sequence[str] | None) -> FeatureNetwork | None:
    """Load a feature network, on the GPU if there is one; None if no metric needs it. Raises ConfigError."""
    needs = {_find_metric(name).needs for name in metrics or ()}
    if needs == {"nothing"}:
        return None
    return load_features(features, device="cuda" if torch.cuda.is_available() else "cpu") if features else None


def possible_metrics(network: FeatureNetwork | None, *, paired: bool = False) -> list[str]:
    """Return all metrics available with this network, or without one; `paired`: those of pairs, too."""
    available = {"nothing"} if network is None else {"nothing", "features"} | ({"logits"} if network.classes else set())
    return [name for name, metric in METRICS.items() if metric.needs in available and (paired or not metric.paired)]


def _find_metric(name: str) -> Metric:
    if name not in METRICS:
        raise ConfigError(f"unknown metric {name!r}: choose from {', '.join(METRICS)}")
    return METRICS[name]


def check_metrics(metrics: Sequence[str], features: FeatureNetwork | None, *, paired: bool) -> list[str]:
    """Return the requested metrics without repeats; raises ConfigError if one is unknown or unavailable."""
    for name in metrics:
        needs = _find_metric(name).needs
        if needs != "nothing" and features is None:
            raise ConfigError(f"{name} needs a feature network: give --features squeezenet:PATH or inception")
        if needs == "logits" and features is not None and features.classes is None:
            weights = f"the weights of {features.name}"
            raise ConfigError(f"{name} needs a classifier, and {weights} have none: give a file with it")
        if is_paired(name) and not paired:
            raise ConfigError(f"{name} compares each image with the right answer: give pairs with --paired DIR")
    if not metrics:
        raise ConfigError(f"no metric given: choose from {', '.join(METRICS)}")
    return list(dict.fromkeys(metrics))


def _sharpness_warnings(real: ImageSet, fake: ImageSet, network: FeatureNetwork | None) -> tuple[str, ...]:
    """Warn if one side is upsampled more than the other: that blur dominates the features."""
    if network is None:
        return ()
    smaller, larger = sorted((real, fake), key=lambda side: side.lengths[0])
    pixels = smaller.lengths[0]
    if pixels >= min(larger.lengths[0], network.size):
        return ()
    return (
        f"{smaller.name} images of {pixels} px are upsampled to {network.size} px and {larger.name} ones less or not: "
        f"part of the distance is sharpness, downsample the {larger.name} ones to {pixels} px first",
    )
