"""The pictures of DGGAN's tables and figures."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from ganas.recipes.growing.analysis_drawing import SMALL, draw_analysis
from ganas.recipes.growing.experiments import ANALYSIS, CIFAR, EXPERIMENTS, SAMPLES, Experiment
from ganas.recipes.growing.jobs import GrowingFolder
from ganas.recipes.growing.models import Model
from ganas.recipes.growing.published import CIFAR_LEVELS, DGGAN, LSUN_LEVELS, PROGGAN
from ganas.recipes.growing.report import SWD_UNIT, Findings
from ganas.recipes.plotting import PANEL, save

SHOWN = 64  # images of each model
COLORS = {DGGAN: "#2e8b57", PROGGAN: "#c0392b"}
OTHER = "#34699a"


def draw(made: Experiment, found: Findings, folder: Path, path: Path) -> None:
    """Draw a table or a figure and write it to a PNG file."""
    if made.figure == ANALYSIS:
        assert found.analysis
        draw_analysis(found.analysis, found.simulations, path)
    elif made.figure == SAMPLES:
        _draw_samples([one for one in found.models if one.final], GrowingFolder(folder), path)
    else:
        _draw_table(made, found, path)


def _draw_samples(models: Sequence[Model], folder: GrowingFolder, path: Path) -> None:
    """Grids of images side by side: not chosen, of the same latent seeds."""
    from ganas.growing.sample import grid, make_images
    from ganas.recipes.growing.scores import FIRST_LATENT, open_generator

    figure = Figure(figsize=(PANEL[0] * max(1, len(models)), PANEL[0] * 1.1), layout="constrained")
    panels = figure.subplots(1, max(1, len(models)), squeeze=False)[0]
    for model, axes in zip(models, panels, strict=False):
        images = make_images(open_generator(folder, model), range(FIRST_LATENT, FIRST_LATENT + SHOWN))
        axes.imshow(grid(images).permute(1, 2, 0).numpy(), interpolation="nearest")
        axes.set_axis_off()
        axes.set_title(f"{model.model}, {model.resolution}×{model.resolution}", fontsize=SMALL + 2)
    save(figure, path)


def _draw_table(made: Experiment, found: Findings, path: Path) -> None:
    """Ratios to ProgGAN over resolutions, beside the scores of each model or, for table 3, the levels of SWD."""
    figure = Figure(figsize=(PANEL[0] * 2, PANEL[1]), layout="constrained")
    ratios, scores = figure.subplots(1, 2)
    for metric, style in (("fid", "o-"), ("swd", "s--")):
        pairs = [(side, found.at(DGGAN, side), found.at(PROGGAN, side)) for side in found.resolutions]
        values = [(s, one.score(metric), other.score(metric)) for s, one, other in pairs if one and other]
        line = [(side, ours / theirs) for side, ours, theirs in values if ours is not None and theirs]
        if line:
            ratios.plot(*zip(*line, strict=True), style, color=COLORS[DGGAN], label=metric.upper(), markersize=4)
    data = EXPERIMENTS[made.figure].data
    levels = CIFAR_LEVELS if data == CIFAR else LSUN_LEVELS
    published = [level.ours / level.baseline for level in levels.values()]
    ratios.plot([*levels], published, "x:", color="grey", label=f"FID, published, {data}", markersize=4)
    ratios.axhline(1, color=COLORS[PROGGAN], linewidth=0.8)
    ratios.set_xscale("log", base=2)
    sides = sorted({*levels, *found.resolutions})
    ratios.set_xticks(sides, map(str, sides))
    ratios.legend(fontsize=SMALL - 1)
    _label(ratios, "resolution", "DGGAN ÷ ProgGAN", "each resolution")
    final = [one for one in found.models if one.final and one.resolution == max(found.resolutions)]
    (_draw_levels if made.figure == "table3" else _draw_scores)(final, scores)
    save(figure, path)


def _draw_levels(models: Sequence[Model], axes: Any) -> None:
    """The sliced Wasserstein distance over the levels of the pyramid."""
    for one in models:
        line = sorted((int(side), SWD_UNIT * value) for side, value in one.levels.items())
        if line:
            color = COLORS.get(one.model, OTHER)
            axes.plot(*zip(*line, strict=True), "o-", color=color, label=one.model, markersize=4)
            axes.set_xticks([side for side, _ in line], [str(side) for side, _ in line])
    if models:
        axes.legend(fontsize=SMALL - 1)
    _label(axes, "level", "SWD · 1000", "levels at the highest resolution")


def _draw_scores(models: Sequence[Model], axes: Any) -> None:
    """The score of each model, lower is better."""
    key = next((one.key_of("fid") or one.key_of("swd") for one in models), None)
    values = [(one, one.scores[key]) for one in models if key and key in one.scores]
    unit = SWD_UNIT if key and key.startswith("swd") else 1
    for place, (one, score) in enumerate(values):
        axes.bar(place, unit * score, color=COLORS.get(one.model, OTHER), alpha=0.7)
    axes.set_xticks(range(len(values)), [one.model for one, _ in values])
    _label(axes, "", f"{key}{' · 1000' if unit > 1 else ''}" if key else "", "models at the highest resolution")


def _label(axes: Any, x: str, y: str, title: str) -> None:
    axes.set_xlabel(x, fontsize=SMALL)
    axes.set_ylabel(y, fontsize=SMALL)
    axes.set_title(title, fontsize=SMALL + 1)
    axes.tick_params(labelsize=SMALL, which="both")
