"""Plot the figures in the paper's style: sizes as bars, repeats as crosses, means as lines, ranges as bands."""

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, mean
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from ganas.cyclegan.layout import DIRECTIONS
from ganas.metrics.measurement import higher_is_better
from ganas.recipes.cyclegan.figures import (
    ALONE,
    BARE_DISTILLED,
    DISTILLED,
    DRAWN,
    FRONT,
    SEARCHED,
    SHALLOW_DISTILLED,
    Recipe,
)
from ganas.recipes.cyclegan.fronts import compare_fronts
from ganas.recipes.cyclegan.rows import Row
from ganas.recipes.plotting import PANEL, save

HAND_MADE, SEARCHED_COLOR, OTHER, BAR = "#c0392b", "#2e8b57", "#34699a", "#d9d9d9"


def draw(recipe: Recipe, rows: Sequence[Row], path: Path) -> None:
    """Plot one panel per data set and direction and write them to a PNG file."""
    if recipe.figure == FRONT:
        return save(_draw_fronts(recipe, rows), path)
    datasets = [*dict.fromkeys(row.dataset for row in rows)]
    figure = Figure(figsize=(PANEL[0] * len(DIRECTIONS), PANEL[1] * len(datasets)), layout="constrained")
    panels = figure.subplots(len(datasets), len(DIRECTIONS), squeeze=False)
    for dataset, panel_row in zip(datasets, panels, strict=True):
        for direction, axes in zip(DIRECTIONS, panel_row, strict=True):
            panel_rows = [row for row in rows if (row.dataset, row.direction) == (dataset, direction)]
            (_plot_widths if recipe.figure == "fig4" else _plot_variants)(recipe, panel_rows, axes)
            axes.tick_params(labelsize=8)
            axes.set_title(f"{dataset}, {DIRECTIONS[direction]}", fontsize=9)
    save(figure, path)


GROUP_COLORS = {
    ALONE: HAND_MADE,
    DISTILLED: "#e59866",
    SHALLOW_DISTILLED: "#8e44ad",
    BARE_DISTILLED: "#c39bd3",
    SEARCHED: SEARCHED_COLOR,
    DRAWN: OTHER,
}


def _draw_fronts(recipe: Recipe, rows: Sequence[Row]) -> Figure:
    """A panel per data set and direction, and per metric: seeds as crosses, means over seeds as lines."""
    found = compare_fronts(recipe, rows)
    keys = [*dict.fromkeys(one.key for one in found)]
    places = [*dict.fromkeys((one.dataset, one.direction) for one in found)]
    figure = Figure(figsize=(PANEL[0] * max(1, len(keys)), PANEL[1] * max(1, len(places))), layout="constrained")
    panels = figure.subplots(max(1, len(places)), max(1, len(keys)), squeeze=False)
    for one in found:
        axes = panels[places.index((one.dataset, one.direction))][keys.index(one.key)]
        sign = -1 if higher_is_better(one.key) else 1
        for group, seeds in one.fronts.items():
            points = [point for seed in seeds.values() for point in seed]
            axes.plot([x for x, _ in points], [sign * y for _, y in points], "x", color=GROUP_COLORS[group], alpha=0.5)
            same = [*zip(*seeds.values(), strict=False)]  # points of the same number, of all seeds
            means = [[fmean(point[aim] for point in points) for points in same] for aim in (0, 1)]
            axes.plot(means[0], [sign * y for y in means[1]], "-", color=GROUP_COLORS[group], label=group)
        low, high = axes.get_ylim()
        axes.axhline(sign * one.reference[1], color="grey", linestyle="--", linewidth=0.8)
        axes.set_ylim(low, high)  # a line far away would press all fronts into one
        axes.axvline(one.reference[0], color="grey", linestyle=":", linewidth=0.8)
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xlabel("ms", fontsize=8)
        axes.set_ylabel(one.key, fontsize=8)
        axes.tick_params(labelsize=8, which="both")
        axes.set_title(f"{one.dataset}, {DIRECTIONS[one.direction]}", fontsize=9)
    if found and found[0].fronts:
        panels[0][0].legend(fontsize=7)
    return figure


def _color(row: Row) -> str:
    return HAND_MADE if row.group.startswith("CycleGAN") else SEARCHED_COLOR if row.group == SEARCHED else OTHER


def _plot_variants(recipe: Recipe, rows: Sequence[Row], axes: Any) -> None:
    """Plot normalized scores as crosses, their range as a line and their mean as a dash, with sizes as bars behind.

    All random architectures of one size share an x position.
    """
    base = next((mean(row.scores) for row in rows if row.variant == recipe.reference), None)
    names = [*dict.fromkeys(row.group if row.group.startswith("R") else row.variant for row in rows)]
    sizes = axes.twinx()
    axes.set_zorder(sizes.get_zorder() + 1)
    axes.patch.set_visible(False)
    for x, name in enumerate(names):
        members = [row for row in rows if name in (row.group, row.variant)]
        scores, color = [score / (base or 1) for row in members for score in row.scores], _color(members[0])
        sizes.bar(x, mean(row.size for row in members), width=0.7, color=BAR)
        axes.plot([x] * len(scores), scores, "x", color=color, zorder=3, markersize=5)
        axes.vlines(x, min(scores), max(scores), color=color, linewidth=0.8, alpha=0.6, zorder=2)
        axes.hlines(mean(scores), x - 0.3, x + 0.3, color=color, zorder=2)
    axes.set_xticks(range(len(names)), names, fontsize=8)
    divisor = f" ÷ mean of {recipe.reference}" if base else ""
    axes.set_ylabel(f"{rows[0].metric}{divisor}", fontsize=8)
    sizes.set_ylabel("generator size (bars)", fontsize=8, color="grey")
    sizes.tick_params(labelsize=8, colors="grey")


def _plot_widths(recipe: Recipe, rows: Sequence[Row], axes: Any) -> None:
    """Plot scores over widths: the mean as a line, the range as a band."""
    for group in dict.fromkeys(row.group for row in rows):
        members = sorted((row for row in rows if row.group == group), key=lambda row: row.width)
        widths, scores, color = [row.width for row in members], [row.scores for row in members], _color(members[0])
        axes.fill_between(widths, [*map(min, scores)], [*map(max, scores)], color=color, alpha=0.15)
        axes.plot(widths, [*map(mean, scores)], "o-", color=color, linewidth=2, label=group)
    axes.set_xlabel("width", fontsize=8)
    axes.set_ylabel(rows[0].metric, fontsize=8)
    axes.legend(fontsize=8)
