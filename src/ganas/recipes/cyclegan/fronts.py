"""Compare fronts of milliseconds and score: which is ahead, by how much at equal score and at equal time. No torch.

Every seed has a front of each kind of its own: its teacher, search and trainings. So seeds are independent, and
intervals are those of a mean over seeds.
"""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean

from ganas.cyclegan.layout import DIRECTIONS, Direction
from ganas.metrics.measurement import higher_is_better, loss_of
from ganas.recipes.cyclegan.figures import ALONE, DISTILLED, DRAWN, SEARCHED, Recipe
from ganas.recipes.cyclegan.rows import Row
from ganas.stats import Interval, difference, hypervolume, mean_interval

Point = tuple[float, float]  # milliseconds and loss: a score so that lower is better
BASELINES = (ALONE, DISTILLED, DRAWN)


@dataclass(frozen=True)
class Comparison:
    """One metric of one direction: the fronts of all seeds, and how far the searched one is ahead of the others."""

    dataset: str
    direction: Direction
    key: str
    reference: Point  # milliseconds of the widest hand-made generator, loss of the untranslated images
    fronts: Mapping[str, Mapping[int, Sequence[Point]]]  # by group and seed
    volumes: Mapping[str, Interval]  # by group: mean gain over the untranslated images within the reference's time
    ahead: Mapping[str, Interval]  # by baseline: the searched front's volume less the baseline's
    time: Mapping[str, Interval]  # by baseline: milliseconds ÷ those of the baseline at equal score, geometric mean
    unreached: Mapping[str, int]  # by baseline: searched points whose score it does not reach, left out of `time`
    gain: Mapping[str, Interval]  # by baseline: its loss at equal time less the searched one
    slower: Mapping[str, int]  # by baseline: searched points that are faster than all of its own, left out of `gain`


def compare_fronts(recipe: Recipe, rows: Sequence[Row]) -> list[Comparison]:
    """Compare the searched front with the others, for every data set, direction and metric with all groups."""
    found = []
    for dataset in dict.fromkeys(row.dataset for row in rows):
        for direction in DIRECTIONS:
            here = [row for row in rows if (row.dataset, row.direction) == (dataset, direction) and row.milliseconds]
            reference = next((row for row in here if row.variant == recipe.reference), None)
            if reference is None:
                continue
            untranslated = {reference.metric: reference.untranslated, **reference.untranslated_others}
            for key, before in untranslated.items():
                corner = min(reference.milliseconds), loss_of(key, before)
                found.append(_compare(dataset, direction, key, corner, fronts_of(here, key, recipe.reference)))
    return found


def fronts_of(rows: Sequence[Row], key: str, reference: str) -> dict[str, dict[int, list[Point]]]:
    """The points of each group and seed, the fastest first; a taught front ends with the teacher."""
    fronts: dict[str, dict[int, list[Point]]] = defaultdict(lambda: defaultdict(list))
    times: dict[tuple[float, int], float] = {}  # equal generators take equally long: the least of all measurements
    for row in rows:
        for milliseconds in row.milliseconds if row.group in (ALONE, DISTILLED) else ():
            size = row.width, row.parameters
            times[size] = min(milliseconds, times.get(size, math.inf))
    for row in rows:
        scores = row.scores if row.metric == key else row.others.get(key, ())
        groups = [row.group, *([DISTILLED] if row.variant == reference else [])]
        for seed, milliseconds, score in zip(row.seeds, row.milliseconds, scores, strict=False):
            point = (
                times.get((row.width, row.parameters), milliseconds)
                if row.group in (ALONE, DISTILLED)
                else milliseconds
            )
            for group in groups:
                fronts[group][seed].append((point, loss_of(key, score)))
    return {group: {seed: sorted(points) for seed, points in seeds.items()} for group, seeds in fronts.items()}


def _compare(
    dataset: str, direction: Direction, key: str, reference: Point, fronts: Mapping[str, Mapping[int, Sequence[Point]]]
) -> Comparison:
    volumes = {
        group: [hypervolume(points, reference) / reference[0] for points in seeds.values()]
        for group, seeds in fronts.items()
    }
    searched, baselines = fronts.get(SEARCHED, {}), [group for group in BASELINES if group in fronts]
    ahead = {group: difference(volumes[SEARCHED], volumes[group]) for group in baselines if SEARCHED in volumes}
    time, gain = {}, {}
    unreached, slower = dict.fromkeys(baselines, 0), dict.fromkeys(baselines, 0)
    for group in baselines:
        ratios, gains = [], []  # of each seed
        for seed in searched.keys() & fronts[group].keys():
            other = fronts[group][seed]
            times = [(point[0], time_at(other, point[1])) for point in searched[seed]]
            losses = [(point[1], loss_at(other, point[0])) for point in searched[seed]]
            reached = [math.log(mine / theirs) for mine, theirs in times if theirs is not None]
            fast = [theirs - mine for mine, theirs in losses if theirs is not None]
            unreached[group] += len(times) - len(reached)
            slower[group] += len(losses) - len(fast)
            ratios += [fmean(reached)] if reached else []
            gains += [fmean(fast)] if fast else []
        if ratios:
            mean = mean_interval(ratios)
            time[group] = Interval(*(_exp(value) for value in (mean.estimate, mean.low, mean.high)))
        if gains:
            gain[group] = mean_interval(gains)
    means = {group: mean_interval(values) for group, values in volumes.items()}
    return Comparison(dataset, direction, key, reference, fronts, means, ahead, time, unreached, gain, slower)


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
    """Return the milliseconds at which a front reaches a loss, by straight lines over log milliseconds; None: never.

    A front that is better from its fastest point on has that one's.
    """
    front = _improving(points)
    if not front or front[-1][1] > loss:
        return None
    if front[0][1] <= loss:
        return front[0][0]
    for (fast, high), (slow, low) in pairwise(front):
        if low <= loss:
            return math.exp(_between(loss, high, low, math.log(fast), math.log(slow)))
    raise AssertionError("the last point reaches it")


def loss_at(points: Sequence[Point], milliseconds: float) -> float | None:
    """Return the loss that a front has at a time, as `time_at`; None: all of it is slower. It never gets worse."""
    front = _improving(points)
    if not front or front[0][0] > milliseconds:
        return None
    for (fast, high), (slow, low) in pairwise(front):
        if milliseconds <= slow:
            return _between(math.log(milliseconds), math.log(fast), math.log(slow), high, low)
    return front[-1][1]


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
            "| front | ms: score, means over seeds | hypervolume | searched is ahead by | ms ÷ its ms at equal score "
            "| better at equal ms by |",
            "|---|---|---|---|---|---|",
        ]
        for group, seeds in one.fronts.items():
            points = zip(*seeds.values(), strict=False)
            means = [(fmean(p[0] for p in same), fmean(p[1] for p in same)) for same in points]
            text = ", ".join(f"{time:.1f}: {_score(one.key, loss)}" for time, loss in means)
            time = _or_empty(one.time.get(group), one.unreached.get(group, 0), "not reached")
            gain = _or_empty(one.gain.get(group), one.slower.get(group, 0), "faster than all")
            lines.append(f"| {group} | {text} | {one.volumes[group]} | {one.ahead.get(group, '')} | {time} | {gain} |")
        lines.append("")
    if lines:
        lines += [
            f"Hypervolume: the mean gain over the untranslated images within the time of {recipe.reference}, in units "
            "of the score; every seed has a front of its own, and brackets hold 95 % intervals of a mean over seeds. "
            "Equal score and equal ms: along straight lines between the points of the other front of the same seed, "
            "over log ms; below 1 and above 0 the searched front is ahead. The front of the distilled ones ends with "
            "their teacher. Only what is ahead of the distilled and of the random front is the merit of the search.",
            "",
        ]
    return lines


def _score(key: str, loss: float) -> str:
    """A loss as the score that it was."""
    return f"{-loss if higher_is_better(key) else loss:.4g}"


def _or_empty(interval: Interval | None, left_out: int, why: str) -> str:
    parts = [str(interval)] if interval else []
    return "; ".join([*parts, *([f"{left_out} {why}"] if left_out else [])])
