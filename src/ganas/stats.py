"""Intervals, differences and power of comparisons. No torch.

Scores of several seeds are taken as normal: intervals and tests are Student's and Welch's (scipy).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from statistics import fmean, stdev

CONFIDENCE = 0.95
POWER = 0.8  # the chance to find a difference that is there
SEEDS_FOR_A_METHOD = 3  # a side; fewer say something of these models only


@dataclass(frozen=True)
class Interval:
    """An estimate and its 95 % confidence interval, infinite where one value says nothing of the spread."""

    estimate: float
    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        """Whether the sign is known."""
        return self.low > 0 or self.high < 0

    @property
    def percent(self) -> str:
        """A share in percent."""
        return f"{self.estimate:.0%} [{self.low:.0%}, {self.high:.0%}]"

    def __str__(self) -> str:
        return f"{self.estimate:.4g} [{self.low:.4g}, {self.high:.4g}]"


def interval(estimate: float, error: float, freedom: float) -> Interval:
    """Return estimate ± t · error, for a standard error with so many degrees of freedom."""
    margin = _quantile((1 + CONFIDENCE) / 2, freedom) * error if error else 0.0
    return Interval(estimate, estimate - margin, estimate + margin)


def mean_interval(values: Sequence[float]) -> Interval:
    """Return the mean of independent values, such as the scores of seeds or of images."""
    if len(values) < 2:
        return Interval(values[0], -math.inf, math.inf)
    return interval(fmean(values), stdev(values) / math.sqrt(len(values)), len(values) - 1)


def share_interval(count: int, total: int) -> Interval:
    """Return the share count / total of independent trials, with Wilson's interval."""
    from scipy.stats import binomtest  # takes a second to import

    low, high = binomtest(count, total).proportion_ci(CONFIDENCE, method="wilson")
    return Interval(count / total, float(low), float(high))


def paired_difference(one: Sequence[float], other: Sequence[float]) -> Interval:
    """Return the mean of one - other over pairs, as of two models on the same images."""
    return mean_interval([a - b for a, b in zip(one, other, strict=True)])


def difference(one: Sequence[float], other: Sequence[float]) -> Interval:
    """Return the difference of the means of two independent groups: Welch's t, which allows unequal variances."""
    estimate = fmean(one) - fmean(other)
    if min(len(one), len(other)) < 2:
        return Interval(estimate, -math.inf, math.inf)
    parts = [stdev(values) ** 2 / len(values) for values in (one, other)]
    error = math.sqrt(sum(parts))
    if not error:
        return Interval(estimate, estimate, estimate)
    freedom = error**4 / sum(part**2 / (len(values) - 1) for part, values in zip(parts, (one, other), strict=True))
    return interval(estimate, error, freedom)


def pooled_deviation(*groups: Sequence[float]) -> float:
    """Return the standard deviation within groups, from at least one group of two values; NaN without."""
    freedom = sum(len(group) - 1 for group in groups)
    squares = sum((value - fmean(group)) ** 2 for group in groups for value in group)
    return math.sqrt(squares / freedom) if freedom else math.nan


def power(difference: float, deviation: float, one: int, other: int) -> float:
    """Return the chance that a two-sided t-test of so many seeds a side finds a true difference, with its sign."""
    from scipy.stats import nct  # noncentral t

    freedom = one + other - 2
    shift = abs(difference) / (deviation * math.sqrt(1 / one + 1 / other))
    return float(nct.sf(_quantile((1 + CONFIDENCE) / 2, freedom), freedom, shift))


def detectable_difference(deviation: float, one: int, other: int) -> float:
    """Return the smallest true difference that so many seeds a side would find with a chance of 80 %.

    Infinite for fewer than three seeds in all; NaN for an unknown deviation.
    """
    from scipy.optimize import brentq

    if one + other < 3:
        return math.inf
    if not deviation > 0:
        return deviation
    upper = 1.0
    while power(upper, 1, one, other) < POWER:
        upper *= 2
    return deviation * float(brentq(lambda size: power(size, 1, one, other) - POWER, 0, upper))


def detectable_margins(freedom: float) -> float:
    """Return the smallest true difference that a test finds with a chance of 80 %, in half-widths of its interval."""
    return 1 + _quantile(POWER, freedom) / _quantile((1 + CONFIDENCE) / 2, freedom)


def seeds_needed(difference: float, deviation: float) -> int:
    """Return the seeds a side that find a true difference with a chance of 80 %."""
    return next(seeds for seeds in count(2) if power(difference, deviation, seeds, seeds) >= POWER)


def _quantile(probability: float, freedom: float) -> float:
    from scipy.stats import t  # slow to import

    return float(t.ppf(probability, freedom))


def hypervolume(points: Sequence[tuple[float, float]], reference: tuple[float, float]) -> float:
    """Return the area that points dominate up to a reference point (Zitzler and Thiele 1999); both aims are minimized.

    Points that are worse than the reference in an aim add nothing.
    """
    area, level = 0.0, reference[1]
    inside = sorted(point for point in points if point[0] < reference[0])
    for number, (cost, score) in enumerate(inside):
        level = min(level, score)
        until = inside[number + 1][0] if number + 1 < len(inside) else reference[0]
        area += (until - cost) * (reference[1] - level)
    return area


def rank_correlation(one: Sequence[float], other: Sequence[float]) -> float:
    """Return Spearman's rank correlation, with mean ranks for equal values; NaN if all of one side are equal."""
    ranks = [
        [sum(b < a for b in values) + (values.count(a) + 1) / 2 for a in values] for values in map(list, (one, other))
    ]
    means = [fmean(side) for side in ranks]
    parts = [[rank - mean for rank in side] for side, mean in zip(ranks, means, strict=True)]
    scale = math.sqrt(math.prod(sum(part**2 for part in side) for side in parts))
    return sum(a * b for a, b in zip(*parts, strict=True)) / scale if scale else math.nan
