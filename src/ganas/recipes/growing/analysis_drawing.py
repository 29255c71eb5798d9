"""The paper's analysis of a growing search (DGGAN, figure 3) as a picture of what `ganas.growing.analysis` finds.

Left: parameters of G over those of D, and scores; all, and the good ones. Middle: what actions do. Right: whether good
parents have good children, and searches with smaller K and p.
"""

from collections.abc import Sequence
from itertools import pairwise
from math import isfinite
from pathlib import Path
from statistics import median
from typing import Any

from matplotlib.figure import Figure

from ganas.growing.analysis import Analysis, Group, Point, Setting
from ganas.recipes.plotting import PANEL, save
from ganas.stats import Interval

GOOD = 1.2  # normalized scores below it are zoomed in on, as in the paper
ROUTE, IMPROVED, OTHER = "#c0392b", "#2e8b57", "#34699a"
SMALL = 8  # points of text


def draw_analysis(found: Analysis, simulations: Sequence[Setting], path: Path) -> None:
    """Draw all panels and write them to a PNG file; those without data say so."""
    figure = Figure(figsize=(PANEL[0] * 4, PANEL[1] * 2.6), layout="constrained")
    grid = figure.add_gridspec(1, 4)
    left, actions, kinds, right = (figure.add_subfigure(grid[0, column]) for column in range(4))
    every, zoomed = left.subplots(2)
    _balance(found, found.points, every, "all candidates")
    limit = GOOD if found.normalized else median([one.score for one in found.points] or [0.0])
    title = f"below {GOOD}" if found.normalized else "the better half"
    _balance(found, [one for one in found.points if one.score < limit], zoomed, title)
    for side, groups, title in ((actions, found.by_action, "action"), (kinds, found.by_kind, "kernel size, filters")):
        share, gain = side.subplots(2, sharey=True)
        share.invert_yaxis()  # the best on top
        _shares(groups, share, f"better than their parent, by {title}")
        _gains(groups, gain)
    heredity, over_p, over_k = right.subplots(3)
    _heredity(found, heredity)
    _simulations(simulations, over_p, "probability", "keep")
    _simulations(simulations, over_k, "keep", "probability")
    save(figure, path)


def _finish(axes: Any, x: str, y: str, title: str, *, empty: bool = False) -> None:
    axes.set_xlabel(x, fontsize=SMALL)
    axes.set_ylabel(y, fontsize=SMALL)
    axes.set_title(title, fontsize=SMALL + 1)
    axes.tick_params(labelsize=SMALL - 1, which="both")
    if empty:
        axes.text(0.5, 0.5, "too few candidates", transform=axes.transAxes, ha="center", color="grey", fontsize=SMALL)


def _balance(found: Analysis, points: Sequence[Point], axes: Any, title: str) -> None:
    """Each candidate, and the growth of the best as arrows."""
    for side in sorted({one.architecture.resolution for one in points}):
        there = [one for one in points if one.architecture.resolution == side]
        axes.plot([one.ratio for one in there], [one.score for one in there], ".", label=f"{side}²", alpha=0.7)
    shown = {one.id: one for one in points}
    route = [shown[name] for name in found.lineage if name in shown]
    for start, end in pairwise(route):
        if end.parent == start.id:
            arrow = {"arrowstyle": "->", "color": ROUTE, "linewidth": 1.2}
            axes.annotate("", (end.ratio, end.score), (start.ratio, start.score), arrowprops=arrow)
    if points:
        axes.set_xscale("log", base=2)
        axes.legend(fontsize=SMALL - 1)
    if found.normalized and points:
        axes.axhline(1, color="grey", linewidth=0.8, linestyle="--")
    score = "score ÷ ProgGAN's" if found.normalized else "score"
    _finish(axes, "parameters of G ÷ those of D", score, title, empty=not points)


def _error(one: Interval) -> tuple[float, float]:
    """The lengths of an error bar; none where the interval is infinite."""
    known = isfinite(one.low) and isfinite(one.high)
    return (max(0.0, one.estimate - one.low), max(0.0, one.high - one.estimate)) if known else (0.0, 0.0)


def _shares(groups: Sequence[Group], axes: Any, title: str) -> None:
    names, places = [one.name for one in groups], range(len(groups))
    errors = [*zip(*(_error(one.improved) for one in groups), strict=True)]
    if groups:
        axes.barh(places, [one.improved.estimate for one in groups], color=IMPROVED, alpha=0.5)
        axes.errorbar([one.improved.estimate for one in groups], places, xerr=errors, fmt="none", ecolor="black")
        axes.set_yticks(places, names)
        axes.set_xlim(0, 1)
    _finish(axes, "share improved, 95 %", "", title, empty=not groups)


def _gains(groups: Sequence[Group], axes: Any) -> None:
    """Mean and standard deviation, as in the paper."""
    places = range(len(groups))
    if groups:
        estimates = [one.gain.estimate for one in groups]
        axes.errorbar(estimates, places, xerr=[one.deviation for one in groups], fmt="o", color=OTHER, markersize=4)
        axes.axvline(0, color="grey", linewidth=0.8)
        axes.set_yticks(places, [one.name for one in groups])
    _finish(axes, "log(parent's score ÷ child's), ± deviation", "", "improvement", empty=not groups)


def _heredity(found: Analysis, axes: Any) -> None:
    for parents, color in (("good", IMPROVED), ("other", OTHER)):
        line = [one for one in found.heredity if one.parents == parents]
        if line:
            x = [one.threshold for one in line]
            axes.plot(
                x, [one.good.estimate for one in line], "o-", color=color, label=f"{parents} parents", markersize=4
            )
            axes.fill_between(
                x, [one.good.low for one in line], [one.good.high for one in line], color=color, alpha=0.15
            )
    if found.heredity:
        axes.legend(fontsize=SMALL - 1)
    good = "score ÷ ProgGAN's below" if found.normalized else "among the best … of its generation"
    _finish(axes, f"good: {good}", "good children", "good parents, good children", empty=not found.heredity)


def _simulations(settings: Sequence[Setting], axes: Any, x: str, line: str) -> None:
    """The best score over one of K and p, a line for each value of the other."""
    names = {"keep": "K", "probability": "p"}
    for value in sorted({getattr(one, line) for one in settings}):
        members = sorted((one for one in settings if getattr(one, line) == value), key=lambda one: getattr(one, x))
        places, best = [getattr(one, x) for one in members], [one.best.estimate for one in members]
        axes.errorbar(
            places,
            best,
            yerr=[*zip(*(_error(one.best) for one in members), strict=True)],
            fmt="o-",
            markersize=3,
            capsize=2,
            label=f"{names[line]} = {value:g}",
        )
    if settings:
        axes.legend(fontsize=SMALL - 2, ncols=2)
    _finish(axes, names[x], "best score", f"simulated searches over {names[x]}", empty=not settings)
