"""Score images against a reference: the real images, prepared once for all sets of fakes."""

import time
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pkgutil import resolve_name
from statistics import fmean
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from ganas.data.images import Images
from ganas.errors import ConfigError, DataError
from ganas.metrics.cache import Cache
from ganas.metrics.features import FeatureNetwork
from ganas.metrics.image_set import ImageSet
from ganas.metrics.measurement import METRICS, SPREADS, Measurement, Metric, is_paired, joined, metric_of
from ganas.progress import Reporter
from ganas.version import __version__

Split = Literal["given", "training", "validation", "test", "all"]


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
        requested: bool
        | None = None,  # raise for a metric that fails, and resample slow ones; None: if metrics are given
        paired: bool = False,  # the real images are the right answers, in the order of the fakes
        reporter: Reporter | None = None,
    ) -> None:
        self._requested = metrics is not None if requested is None else requested
        if metrics is None:
            self._metrics = possible_metrics(features, paired=paired)
        else:
            self._metrics = check_metrics(metrics, features, paired=paired)
        self._reporter = reporter
        # swd does not depend on a network, so the protocol of swd alone does not name it.
        self._network = features if any(METRICS[name].needs != "nothing" for name in self._metrics) else None
        self._seed = seed
        self._split = split
        by_features = [name for name in self._metrics if METRICS[name].needs != "nothing" and not is_paired(name)]
        self._moments_only = all(METRICS[name].moments for name in by_features)
        self._real = ImageSet(real, "real", self._network, cache, reporter, moments_only=self._moments_only)
        if by_features:
            self._real.prepare()  # now, so that every call of measure takes the same time

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
        moments_only = self._moments_only and not bootstrap  # resamples are of features
        chosen = _choose(fake, count, self._seed)
        side = ImageSet(chosen, "fake", self._network, reporter=self._reporter, moments_only=moments_only)
        if self._moments_only and bootstrap and self._network:
            self._real.prepare(keep_features=True)
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
        packages = ("torch-fidelity", "pillow", *(["scikit-image"] if "ssim" in self._metrics else []))
        return {
            "split": self._split,
            "real_images": len(self._real),
            "fake_images": len(fake),
            "real_pixels": list(self._real.lengths),  # shortest and longest edge
            "fake_pixels": list(fake.lengths),
            "real_digest": self._real.digest(),
            "network_digest": None if self._network is None else self._network.digest,
            "seed": self._seed,
            "versions": {"ganas": __version__, "torch": torch.__version__} | {name: version(name) for name in packages},
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


def possible_metrics(network: FeatureNetwork | None, *, paired: bool = False) -> list[str]:
    """Return all metrics available with this network, or without one; `paired`: those of pairs, too."""
    available = {"nothing"} if network is None else {"nothing", "features"} | ({"logits"} if network.classes else set())
    return [name for name, metric in METRICS.items() if metric.needs in available and (paired or not metric.paired)]


def find_metric(name: str) -> Metric:
    """Return a metric by name; raises `ConfigError` that lists the known ones."""
    if name not in METRICS:
        raise ConfigError(f"unknown metric {name!r}: choose from {', '.join(METRICS)}")
    return METRICS[name]


def check_metrics(metrics: Sequence[str], features: FeatureNetwork | None, *, paired: bool) -> list[str]:
    """Return the requested metrics without repeats; raises ConfigError if one is unknown or unavailable."""
    for name in metrics:
        needs = find_metric(name).needs
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
