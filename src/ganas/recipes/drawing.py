"""The figures, drawn as the paper draws them: sizes as bars, repeats as crosses, means as lines, ranges as bands."""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from statistics import mean
from typing import Any

from matplotlib.figure import Figure

from ganas.cyclegan.layout import DIRECTIONS
from ganas.data.decode import SOFTWARE
from ganas.recipes.figures import Recipe
from ganas.recipes.report import Row
from ganas.store import write_atomically

HAND_MADE, SEARCHED, OTHER, BAR = "#c0392b", "#2e8b57", "#34699a", "#d9d9d9"
PANEL = (4.2, 3.2)  # inches


def draw(recipe: Recipe, rows: Sequence[Row], path: Path) -> None:
    """A panel for each data set and direction."""
    datasets = [*dict.fromkeys(row.dataset for row in rows)]
    figure = Figure(figsize=(PANEL[0] * len(DIRECTIONS), PANEL[1] * len(datasets)), layout="constrained")
    panels = figure.subplots(len(datasets), len(DIRECTIONS), squeeze=False)
    for dataset, line in zip(datasets, panels, strict=True):
        for direction, axes in zip(DIRECTIONS, line, strict=True):
            here = [row for row in rows if (row.dataset, row.direction) == (dataset, direction)]
            (_sweep if recipe.figure == "fig4" else _variants)(recipe, here, axes)
            axes.set_title(f"{dataset}, {DIRECTIONS[direction]}", fontsize=9)
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=150, metadata={"Software": SOFTWARE})
    write_atomically(path, buffer.getvalue())


def _colour(row: Row) -> str:
    return HAND_MADE if row.group.startswith("CycleGAN") else SEARCHED if row.group == "searched" else OTHER


def _variants(recipe: Recipe, rows: Sequence[Row], axes: Any) -> None:
    """Normalised scores: crosses, their range as a line and their mean as a dash; sizes as bars behind them.

    Architectures drawn by lot share a place.
    """
    base = next((mean(row.scores) for row in rows if row.variant == recipe.reference), None)
    places = [*dict.fromkeys(row.group if row.group.startswith("R") else row.variant for row in rows)]
    sizes = axes.twinx()
    axes.set_zorder(sizes.get_zorder() + 1)
    axes.patch.set_visible(False)
    for place, name in enumerate(places):
        members = [row for row in rows if name in (row.group, row.variant)]
        scores = [score / (base or 1) for row in members for score in row.scores]
        sizes.bar(place, mean(row.size for row in members), width=0.7, color=BAR)
        axes.plot([place] * len(scores), scores, "x", color=_colour(members[0]), zorder=3, markersize=5)
        axes.vlines(place, min(scores), max(scores), color=_colour(members[0]), linewidth=0.8, alpha=0.6, zorder=2)
        axes.hlines(mean(scores), place - 0.3, place + 0.3, color=_colour(members[0]), zorder=2)
    axes.set_xticks(range(len(places)), places, fontsize=8)
    divided = f" ÷ {recipe.reference}'s mean" if base else ""
    axes.set_ylabel(f"{rows[0].metric}{divided}", fontsize=8)
    sizes.set_ylabel("size of the generator (bars)", fontsize=8, color="grey")
    sizes.tick_params(labelsize=8, colors="grey")
    axes.tick_params(labelsize=8)


def _sweep(recipe: Recipe, rows: Sequence[Row], axes: Any) -> None:
    """Scores over widths: the mean as a line, the range as a band."""
    for group in dict.fromkeys(row.group for row in rows):
        members = sorted((row for row in rows if row.group == group), key=lambda row: row.width)
        widths, colour = [row.width for row in members], _colour(members[0])
        axes.fill_between(
            widths, [min(row.scores) for row in members], [max(row.scores) for row in members], color=colour, alpha=0.15
        )
        axes.plot(widths, [mean(row.scores) for row in members], "o-", color=colour, linewidth=2, label=group)
    axes.set_xlabel("width", fontsize=8)
    axes.set_ylabel(rows[0].metric, fontsize=8)
    axes.tick_params(labelsize=8)
    axes.legend(fontsize=8)
