"""The table of metrics; measurements with their protocol, and when two may be compared. No torch.

The choices of configs and the help of commands derive from `METRICS`.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from statistics import mean, pstdev, stdev
from typing import Any, Literal

from ganas.errors import ConfigError


@dataclass(frozen=True)
class Metric:
    """Which function measures how well fakes imitate real images, and what that takes.

    The function is imported when called. For a metric of sets it is (real: ImageSet, fake: ImageSet, seed) ->
    Measurement, for a metric of pairs (truth: Images, images: Images, network) -> (key, the score of each pair).
    """

    function: str  # module:function
    needs: Literal["features", "logits", "nothing"]  # of a feature network
    moments: bool = False  # mean and covariance of the features are enough
    selects: bool = False  # a single score that may select a checkpoint; unpaired ones may also rank candidates
    paired: bool = False  # compares each image with the right answer
    higher_is_better: bool = False
    slow_to_resample: bool = False  # features are reused, pixels are not: no bootstrap unless asked for by name


METRICS = {
    # the papers' number, biased for few images
    "fid": Metric("ganas.metrics.unpaired:fid", "features", moments=True, selects=True),
    # unbiased, with a standard error
    "kid": Metric("ganas.metrics.unpaired:kid", "features", selects=True),
    # less biased than fid
    "mind": Metric("ganas.metrics.unpaired:mind", "features", selects=True),
    "pr": Metric("ganas.metrics.unpaired:pr", "features", higher_is_better=True),  # how realistic and how varied
    # sure of the class, and many classes; sees no real image
    "is": Metric("ganas.metrics.unpaired:isc", "logits", higher_is_better=True),
    "swd": Metric("ganas.metrics.unpaired:swd", "nothing", selects=True, slow_to_resample=True),
    "psnr": Metric("ganas.metrics.paired:psnr_of_pairs", "nothing", selects=True, paired=True, higher_is_better=True),
    "ssim": Metric("ganas.metrics.paired:ssim_of_pairs", "nothing", selects=True, paired=True, higher_is_better=True),
    "perceptual": Metric("ganas.metrics.paired:perceptual_of_pairs", "features", selects=True, paired=True),
}


def selecting_metrics(*, paired: bool) -> list[str]:
    """Return the metrics that may select a checkpoint or rank candidates; `paired`: those of pairs, too."""
    return [name for name, metric in METRICS.items() if metric.selects and (paired or not metric.paired)]


def is_paired(metric: str) -> bool:
    """Whether a metric, by name, compares pairs; False for other choices, such as ``last``."""
    return metric in METRICS and METRICS[metric].paired


def loss_of(key: str, score: float | None) -> float:
    """Return a score so that lower is better, and infinity for None (stored for NaN)."""
    if score is None or math.isnan(score):
        return math.inf
    return -score if higher_is_better(key) else score


def higher_is_better(key: str) -> bool:
    """Whether a higher score of this key is better."""
    name = metric_of(key)
    return METRICS[_METRIC_OF_SCORE.get(name, name)].higher_is_better


CONFIDENCE = 1.96  # standard deviations either side of an estimate: 95 % of a normal distribution
SPREADS = ("kid_stderr", "is_std")  # uncertainties of scores
_METRIC_OF_SCORE = {"precision": "pr", "recall": "pr", "kid_stderr": "kid", "is_std": "is"}  # where names differ

# Two scores are comparable if these facts of the protocol agree; the other facts are informative.
IDENTITY = (
    *("split", "chosen_on", "real_digest", "real_images", "source_digest", "fake_images", "fake_pixels", "seed"),
    *("network_digest", "classifier_digest", "kid_subset_size", "is_splits", "swd_images", "pairs_digest", "versions"),
)


@dataclass(frozen=True)
class Measurement:
    """Scores with all that decides whether they may be compared with other scores."""

    scores: dict[str, float]  # by key (:mod:`ganas.metrics.unpaired`)
    protocol: dict[str, Any] = field(default_factory=dict)  # facts that are not in the keys, as JSON values
    warnings: tuple[str, ...] = ()  # one line each: why a score may mislead
    per_image: dict[str, tuple[float, ...]] = field(default_factory=dict)  # metrics of pairs: the score of each pair
    resampled: dict[str, tuple[float, ...]] = field(default_factory=dict)  # scores of bootstrap resamples, if requested
    given_intervals: dict[str, tuple[float, float]] = field(default_factory=dict)  # of one that was read from JSON

    @property
    def intervals(self) -> dict[str, tuple[float, float]]:
        """95 % intervals (low, high) of scores, if resamples were requested: ± 1.96 standard deviations.

        Percentiles would be biased: duplicate images shift all distances of sets upward. The bootstrap of a mean over
        pairs has a closed form.
        """
        if self.given_intervals or "bootstrap" not in self.protocol:
            return self.given_intervals
        errors = {key: stdev(values) for key, values in self.resampled.items()}
        errors |= {key: pstdev(values) / math.sqrt(len(values)) for key, values in self.per_image.items()}
        return {
            key: (self.scores[key] - CONFIDENCE * error, self.scores[key] + CONFIDENCE * error)
            for key, error in errors.items()
        }

    def as_json(self) -> dict[str, Any]:
        """Return a JSON object."""
        intervals = {"intervals": {key: list(pair) for key, pair in self.intervals.items()}} if self.intervals else {}
        return {"scores": self.scores, **intervals, "protocol": self.protocol, "warnings": list(self.warnings)}


def joined(one: Measurement, other: Measurement) -> Measurement:
    """Combine two measurements of one model with different keys; facts of the protocol that differ are the first's."""
    protocol = {**other.protocol, **{fact: value for fact, value in one.protocol.items() if value is not None}}
    protocol |= {fact: None for fact in one.protocol if fact not in protocol}
    if "seconds" in protocol:
        protocol["seconds"] = round(sum(part.protocol.get("seconds", 0) for part in (one, other)), 3)
    return Measurement(
        {**one.scores, **other.scores},
        protocol,
        (*one.warnings, *other.warnings),
        {**one.per_image, **other.per_image},
        {**one.resampled, **other.resampled},
    )


def metric_of(key: str) -> str:
    """``fid10k@inception-clean-299`` -> ``fid``."""
    return key.partition("@")[0].rstrip("0123456789k")


@dataclass(frozen=True)
class Summary:
    """Statistics of one score over repeats."""

    mean: float
    low: float
    high: float
    standard_error: float  # of the mean; NaN for a single value
    repeats: int

    @classmethod
    def of(cls, values: Sequence[float]) -> "Summary":
        """Summarize one or more values."""
        finite = len(values) > 1 and all(map(math.isfinite, values))
        spread = stdev(values) / math.sqrt(len(values)) if finite else math.nan
        return cls(mean(values), min(values), max(values), spread, len(values))

    def __str__(self) -> str:
        return f"mean {self.mean:.4g} ± {self.standard_error:.2g}, range {self.low:.4g} to {self.high:.4g}"


def summarize(measurements: Sequence[Measurement]) -> dict[str, Summary]:
    """Return mean, range and standard error of every score; raises `ConfigError` if the protocols differ."""
    first = measurements[0]
    for other in measurements[1:]:
        if difference := next(differences(first, other), None):
            raise ConfigError(f"scores of different protocols cannot be compared: {difference}")
    return {
        key: Summary.of([measurement.scores[key] for measurement in measurements])
        for key in first.scores
        if metric_of(key) not in SPREADS
    }


def differences(one: Measurement, other: Measurement) -> Iterator[str]:
    """Yield each fact in which two measurements differ so that they may not be compared."""
    if one.scores.keys() != other.scores.keys():
        yield f"keys {', '.join(one.scores)} and {', '.join(other.scores)}"
    for fact in IDENTITY:
        if one.protocol.get(fact) != other.protocol.get(fact):
            yield f"{fact} {one.protocol.get(fact)} and {other.protocol.get(fact)}"
