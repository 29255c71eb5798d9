"""The table of metrics; measurements with their protocol, and when two may be compared. No torch.

The choices of configs and the help of commands derive from `METRICS`.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from statistics import mean, stdev
from typing import Any, Literal

from ganas.errors import ConfigError


@dataclass(frozen=True)
class Metric:
    """Which function measures how well fakes imitate real images, and what that takes."""

    function: str  # module:function of (real: ImageSet, fake: ImageSet, seed) -> Measurement; imported when called
    needs: Literal["features", "logits", "nothing"]  # of a feature network
    distance: bool = False  # a single score, lower is better: may select a checkpoint or rank candidates


METRICS = {
    "fid": Metric("ganas.metrics.evaluate:fid", "features", distance=True),  # the papers' number, biased for few images
    "kid": Metric("ganas.metrics.evaluate:kid", "features", distance=True),  # unbiased, with a standard error
    "pr": Metric("ganas.metrics.evaluate:pr", "features"),  # how realistic and how varied the fakes are
    "is": Metric("ganas.metrics.evaluate:isc", "logits"),  # sure of the class, and many classes; sees no real image
    "swd": Metric("ganas.metrics.evaluate:swd", "nothing", distance=True),
}


def distance_names() -> list[str]:
    """Return the metrics that may select a checkpoint or rank candidates."""
    return [name for name, metric in METRICS.items() if metric.distance]


SPREADS = ("kid_stderr", "is_std")  # uncertainties of scores

# Two scores are comparable if these facts of the protocol agree; the other facts are informative.
IDENTITY = (
    *("split", "chosen_on", "real_digest", "real_images", "source_digest", "fake_images", "fake_pixels", "seed"),
    *("network_digest", "classifier_digest", "kid_subset_size", "is_splits", "swd_images", "versions"),
)


@dataclass(frozen=True)
class Measurement:
    """Scores with all that decides whether they may be compared with other scores."""

    scores: dict[str, float]  # by key (:mod:`ganas.metrics.evaluate`)
    protocol: dict[str, Any] = field(default_factory=dict)  # facts that are not in the keys, as JSON values
    warnings: tuple[str, ...] = ()  # one line each: why a score may mislead
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)  # 95 % bootstrap (low, high), if requested

    def as_json(self) -> dict[str, Any]:
        """Return a JSON object."""
        intervals = {"intervals": {key: list(pair) for key, pair in self.intervals.items()}} if self.intervals else {}
        return {"scores": self.scores, **intervals, "protocol": self.protocol, "warnings": list(self.warnings)}


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
