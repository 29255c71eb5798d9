"""Compare fronts of milliseconds and score: which is ahead, by how much at equal score and at equal time. No torch.

Every seed has a front of each kind of its own: its teacher, search and trainings. So seeds are independent, and
intervals are those of a mean over seeds.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean, median

from ganas.cyclegan.layout import DIRECTIONS, Direction
from ganas.metrics.measurement import higher_is_better, loss_of
from ganas.recipes.cyclegan.figures import (
    ALONE,
    BARE_DISTILLED,
    DISTILLED,
    DRAWN,
    SEARCHED,
    SHALLOW_DISTILLED,
    Recipe,
)
from ganas.recipes.cyclegan.rows import Row
from ganas.stats import Interval, hypervolume, mean_interval, paired_difference

Point = tuple[float, float]  # milliseconds and loss: a score so that lower is better
Fronts = Mapping[int, Sequence[Point]]  # by seed
HAND_MADE = (ALONE, DISTILLED, SHALLOW_DISTILLED, BARE_DISTILLED)
BASELINES = (*HAND_MADE, DRAWN)
SAME_TIME = 1.05  # times that differ by less, as those of equal generators do, are one for `loss_at`


@dataclass(frozen=True)
class AtPoint:
    """One searched point against another front, over seeds."""

    time: Interval | None  # its milliseconds ÷ the other front's at equal score, geometric mean
    gain: Interval | None  # the other front's loss less its own at equal time
    left_out: Mapping[str, int]  # seeds in which it is better or worse than all points, faster or slower than all


@dataclass(frozen=True)
class Against:
    """The searched front against another one, over the seeds that have both."""

    ahead: Interval  # the searched front's hypervolume less the other one's; also for times that the other one lacks
    gain: Interval | None  # the other front's loss less its own at equal time: mean over log ms, where both have points
    points: tuple[AtPoint, ...]  # the fastest first


@dataclass(frozen=True)
class Comparison:
    """One metric of one direction: the fronts of all seeds, and how far the searched one is ahead of the others."""

    dataset: str
    direction: Direction
    key: str
    reference: Point  # milliseconds of the widest hand-made generator, loss of the untranslated images
    fronts: Mapping[str, Fronts]  # by group
    volumes: Mapping[str, Interval]  # by group: mean gain over the untranslated images within the reference's time
    against: Mapping[str, Against]  # by baseline


def compare_fronts(recipe: Recipe, rows: Sequence[Row]) -> list[Comparison]:
    """Compare the searched front with the others, for every data set, direction and metric that has complete ones."""
    found = []
    for dataset in dict.fromkeys(row.dataset for row in rows):
        for direction in DIRECTIONS:
            here = [row for row in rows if (row.dataset, row.direction) == (dataset, direction) and row.milliseconds]
            reference = next((row for row in here if row.variant == recipe.reference), None)
            if reference is None:
                continue
            times = _times_of_equals(here)
            corners = {seed: times[seed, reference.width, reference.parameters] for seed in reference.seeds}
            untranslated = {reference.metric: reference.untranslated, **reference.untranslated_others}
            for key, before in untranslated.items():
                loss, fronts = loss_of(key, before), fronts_of(recipe, here, key)
                volumes = {group: _volumes(seeds, corners, loss) for group, seeds in fronts.items()}
                against = {
                    group: _against(fronts[SEARCHED], fronts[group], volumes[SEARCHED], volumes[group])
                    for group in BASELINES
                    if fronts.get(SEARCHED, {}).keys() & fronts.get(group, {}).keys()
                }
                means = {group: mean_interval([*of.values()]) for group, of in volumes.items()}
                corner = fmean(corners.values()), loss
                found.append(Comparison(dataset, direction, key, corner, fronts, means, against))
    return found


def _times_of_equals(rows: Sequence[Row]) -> dict[tuple[int, float, int], float]:
    """Equal generators take equally long: of the hand-made ones of a seed and size, the median of all that were timed.

    Never of several seeds: theirs may have been timed on different machines.
    """
    times: dict[tuple[int, float, int], list[float]] = defaultdict(list)
    for row in rows:
        if row.group in HAND_MADE:
            for seed, milliseconds in zip(row.seeds, row.milliseconds, strict=True):
                times[seed, row.width, row.parameters].append(milliseconds)
    return {size: median(measured) for size, measured in times.items()}


def fronts_of(recipe: Recipe, rows: Sequence[Row], key: str) -> dict[str, Fronts]:
    """The points of each group and seed, the fastest first; the front of the distilled ones ends with their teacher.

    Without seeds that lack a point: a front of fewer points would be a worse one.
    """
    times = _times_of_equals(rows)
    found: dict[str, dict[int, dict[str, Point]]] = defaultdict(lambda: defaultdict(dict))
    for row in rows:
        scores = row.scores if row.metric == key else row.others.get(key, ())
        for seed, milliseconds, score in zip(row.seeds, row.milliseconds, scores, strict=False):
            time = times[seed, row.width, row.parameters] if row.group in HAND_MADE else milliseconds
            for group in (row.group, *([DISTILLED] if row.variant == recipe.reference else [])):
                found[group][seed][row.variant] = time, loss_of(key, score)
    wanted: dict[str, set[str]] = defaultdict(set)
    for variant in recipe.variants:
        wanted[variant.group].add(variant.name)
    wanted[DISTILLED].add(recipe.reference)
    complete = {
        group: {seed: sorted(points.values()) for seed, points in seeds.items() if points.keys() == wanted[group]}
        for group, seeds in found.items()
    }
    return {group: seeds for group, seeds in complete.items() if seeds}


def _volumes(seeds: Fronts, corners: Mapping[int, float], loss: float) -> dict[int, float]:
    """The mean gain over a loss, by seed, within the seed's time of the widest hand-made generator."""
    return {seed: hypervolume(points, (corners[seed], loss)) / corners[seed] for seed, points in seeds.items()}


def _against(searched: Fronts, other: Fronts, volume: Mapping[int, float], others: Mapping[int, float]) -> Against:
    seeds = sorted(searched.keys() & other.keys())
    ahead = paired_difference([volume[seed] for seed in seeds], [others[seed] for seed in seeds])
    gains = [mean_gain(searched[seed], other[seed]) for seed in seeds]
    known = [gain for gain in gains if gain is not None]
    of_seeds = zip(*(searched[seed] for seed in seeds), strict=True)
    at_points = (_at_point(points, [other[seed] for seed in seeds]) for points in of_seeds)
    return Against(ahead, mean_interval(known) if known else None, tuple(at_points))


def _at_point(points: Sequence[Point], others: Sequence[Sequence[Point]]) -> AtPoint:
    logs, gains, left_out = [], [], Counter[str]()
    for (time, loss), theirs in zip(points, others, strict=True):
        if (same_score := time_at(theirs, loss)) is not None:
            logs.append(math.log(time / same_score))
        else:
            left_out["better" if loss < min(loss for _, loss in theirs) else "worse"] += 1
        if (same_time := loss_at(theirs, time)) is not None:
            gains.append(same_time - loss)
        else:
            left_out["faster" if time < min(time for time, _ in theirs) else "slower"] += 1
    ratio = mean_interval(logs) if logs else None
    times = ratio and Interval(*(_exp(value) for value in (ratio.estimate, ratio.low, ratio.high)))
    return AtPoint(times, mean_interval(gains) if gains else None, left_out)


def _exp(value: float) -> float:
    return math.inf if value == math.inf else math.exp(value)


def _improving(points: Sequence[Point]) -> list[Point]:
    """The points that no faster one equals in score, the fastest first."""
    found: list[Point] = []
    for point in sorted(points):
        if not found or point[1] < found[-1][1]:
            found.append(point)
    return found


def time_at(points: Sequence[Point], loss: float) -> float | None:
    """Return the milliseconds at which a front has a loss, by straight lines over log milliseconds.

    None for a loss that is better, or worse, than those of all points.
    """
    front = _improving(points)
    if not front or not front[-1][1] <= loss <= front[0][1]:
        return None
    for (fast, high), (slow, low) in pairwise(front):
        if low <= loss:
            return math.exp(_between(loss, high, low, math.log(fast), math.log(slow)))
    return front[0][0]  # the only point


def loss_at(points: Sequence[Point], milliseconds: float) -> float | None:
    """Return the loss that a front has at a time, as `time_at`; it never gets worse with time.

    None for a time that is shorter, or longer, than those of all points by more than times are sure.
    """
    front = _improving(points)
    if not front or not front[0][0] / SAME_TIME <= milliseconds <= max(time for time, _ in points) * SAME_TIME:
        return None
    for (fast, high), (slow, low) in pairwise(front):
        if milliseconds <= slow:
            return _between(math.log(max(milliseconds, fast)), math.log(fast), math.log(slow), high, low)
    return front[-1][1]


def mean_gain(points: Sequence[Point], others: Sequence[Point]) -> float | None:
    """Return how much lower the loss of a front is than that of others, on average over log milliseconds.

    In the range of times that both have; None if there is none.
    """
    low = max(min(time for time, _ in front) for front in (points, others))
    high = min(max(time for time, _ in front) for front in (points, others))
    if low >= high:
        return None
    knots = [low, *sorted(time for time, _ in (*points, *others) if low < time < high), high]
    gains = [(loss_at(others, time) or 0) - (loss_at(points, time) or 0) for time in knots]
    parts = zip(pairwise(knots), pairwise(gains), strict=True)
    return sum(math.log(slow / fast) * (one + other) / 2 for (fast, slow), (one, other) in parts) / math.log(high / low)


def _between(x: float, x0: float, x1: float, y0: float, y1: float) -> float:
    return y0 + (y1 - y0) * (x - x0) / (x1 - x0) if x1 != x0 else y1


def fronts_as_markdown(recipe: Recipe, rows: Sequence[Row]) -> list[str]:
    """The points of all fronts, and the searched one against each other one, as Markdown lines."""
    lines: list[str] = []
    for one in compare_fronts(recipe, rows):
        corner = f"untranslated {_score(one.key, one.reference[1])}, {recipe.reference} {one.reference[0]:.1f} ms"
        lines += [
            f"**{one.dataset}, {DIRECTIONS[one.direction]}**, `{one.key}`, {corner}",
            "",
            "| front | ms: score, means over seeds | hypervolume | searched is ahead by | better at equal ms by |",
            "|---|---|---|---|---|",
        ]
        for group, seeds in one.fronts.items():
            means = _means(seeds)
            text = ", ".join(f"{time:.1f}: {_score(one.key, loss)}" for time, loss in means)
            against = one.against.get(group)
            parts = (against.ahead, against.gain or "no time in common") if against else ("", "")
            lines.append(f"| {group} | {text} | {one.volumes[group]} | {parts[0]} | {parts[1]} |")
        if one.against:
            lines += [
                "",
                "| searched point | against | ms ÷ its ms at equal score | better at equal ms by |",
                "|---|---|---|---|",
            ]
        for number, (time, loss) in enumerate(_means(one.fronts.get(SEARCHED, {}))):
            for group, against in one.against.items():
                found = against.points[number]
                lines.append(
                    f"| S{number}, {time:.1f}: {_score(one.key, loss)} | {group} "
                    f"| {_describe(found.time, found.left_out, ('better', 'worse'))} "
                    f"| {_describe(found.gain, found.left_out, ('faster', 'slower'))} |"
                )
        lines.append("")
    if lines:
        lines += [
            f"Hypervolume: the mean gain over the untranslated images within the time of {recipe.reference}, in units "
            "of the score; a front also gains there by being faster than all points of the other. Better at equal ms: "
            "on average over log ms, where both fronts have points. Every seed has a front of its own, and brackets "
            "hold 95 % intervals of a mean over seeds. "
            "Equal score and equal ms: along straight lines between the points of the other front of the same seed, "
            "over log ms; below 1 and above 0 the searched front is ahead. Seeds in which the other front has nothing "
            "to compare with are left out and counted. The front of the distilled ones ends with their teacher. Only "
            "what is ahead of all distilled fronts and of the random one is the merit of the search.",
            "",
        ]
    return lines


def _score(key: str, loss: float) -> str:
    """A loss as the score that it was."""
    return f"{-loss if higher_is_better(key) else loss:.4g}"


def _means(seeds: Fronts) -> list[Point]:
    """The mean over seeds of each point."""
    same = zip(*seeds.values(), strict=True)
    return [(fmean(time for time, _ in points), fmean(loss for _, loss in points)) for points in same]


def _describe(found: Interval | None, left_out: Mapping[str, int], words: Sequence[str]) -> str:
    parts = [str(found)] if found else []
    return "; ".join(parts + [f"{left_out[word]} {word} than all" for word in words if word in left_out])
