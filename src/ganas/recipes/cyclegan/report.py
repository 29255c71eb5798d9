"""The results of a recipe: a row per variant and direction, as Markdown, as JSON and as the paper's figure."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from math import isfinite
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from ganas.cyclegan.layout import DIRECTIONS, find_layout
from ganas.cyclegan.size import parameters
from ganas.metrics.measurement import SPREADS, metric_of, selecting_metrics
from ganas.recipes.cyclegan.figures import FRONT, HANDMADE, Recipe, Variant
from ganas.recipes.cyclegan.fronts import fronts_as_markdown
from ganas.recipes.cyclegan.jobs import RecipeFolder
from ganas.recipes.cyclegan.rows import Row
from ganas.recipes.reproduction import report_name, short_number, write_files
from ganas.store import Run

# the figure shows the first of these that was measured; the paper uses FID
PREFERRED = [*selecting_metrics(paired=False), "psnr", "perceptual"]


def collect(recipe: Recipe, recipe_folder: RecipeFolder) -> list[Row]:
    """Return the rows of all finished trainings; variants without a finished training are left out."""
    size = parameters(find_layout(HANDMADE).generator, (), recipe.size_reference)
    rows = [row for variant in recipe.variants for row in _rows(variant, recipe_folder, size)]
    bases = {(row.dataset, row.direction): mean(row.scores) for row in rows if row.variant == recipe.reference}
    return [
        replace(row, share=mean(row.scores) / base) if (base := bases.get((row.dataset, row.direction))) else row
        for row in rows
    ]


def _rows(variant: Variant, recipe_folder: RecipeFolder, size: int) -> Iterator[Row]:
    jobs = [job for job in variant.jobs if recipe_folder.scores(job.id).is_file()]
    if not jobs:
        return
    texts = (recipe_folder.scores(job.id).read_text(encoding="utf-8") for job in jobs)
    documents: list[dict[str, Any]] = [json.loads(text) for text in texts]
    runs, times = [recipe_folder.run(job.id) for job in jobs], recipe_folder.read_times()
    for direction in DIRECTIONS:
        repeats = [document["translated"][direction]["scores"] for document in documents]
        keys = [key for key in repeats[0] if metric_of(key) not in SPREADS]
        metric_key = min(keys, key=_rank)
        metric = metric_of(metric_key)
        (opposite_direction,) = DIRECTIONS.keys() - {direction}
        sizes = [document["sizes"][direction] for document in documents]
        # equal for all seeds, but for searched fronts, where each seed has networks of its own
        count, opposite = (
            mean(document["sizes"][one]["parameters"] for document in documents)
            for one in (direction, opposite_direction)
        )
        yield Row(
            dataset=variant.dataset,
            variant=variant.name,
            group=variant.group,
            direction=direction,
            architecture=", ".join(dict.fromkeys(document["architecture"] for document in documents)),
            runs=tuple(str(run.path.relative_to(recipe_folder.path)) for run in runs),
            seeds=tuple(job.seed for job in jobs),
            width=sizes[0]["width"],
            parameters=round(count),
            bytes=round(mean(one["bytes"] for one in sizes)),
            macs=round(mean(one["macs"] for one in sizes)),
            size=count / size,
            asymmetry=count / opposite,
            metric=metric_key,
            untranslated=documents[0]["untranslated"][direction]["scores"][metric_key],
            scores=tuple(scores[metric_key] for scores in repeats),
            share=None,
            others={key: tuple(scores[key] for scores in repeats) for key in keys if key != metric_key},
            late=_late_means(runs, direction, metric),
            untranslated_held=_untranslated_held_out(runs, direction, metric),
            untranslated_others={
                key: documents[0]["untranslated"][direction]["scores"][key] for key in keys if key != metric_key
            },
            milliseconds=tuple(
                times.get(job.id, document["milliseconds"])[direction]
                for job, document in zip(jobs, documents, strict=True)
                if "milliseconds" in document
            ),
        )


def _rank(key: str) -> int:
    """Return the position of a metric in the order of preference; lower is better."""
    metric = metric_of(key)
    return PREFERRED.index(metric) if metric in PREFERRED else len(PREFERRED)


def _late_means(runs: Sequence[Run], direction: str, metric: str) -> tuple[float, ...]:
    """Return the mean score over the second half of each run; empty if a run did not measure the metric."""
    means = []
    for run in runs:
        lines = run.read_metrics()
        half = lines[-1]["nimg"] / 2 if lines else 0
        all_scores = (line["scores"] for line in lines if "scores" in line and line["nimg"] > half)
        items = ((key.partition("/"), score) for scores in all_scores for key, score in scores.items())
        # keys are like ab/fid@squeezenet-clean-128
        late = [score for (scored, _, key), score in items if (scored, metric_of(key)) == (direction, metric)]
        if not late:
            return ()
        means.append(mean(late))
    return tuple(means)


def _untranslated_held_out(runs: Sequence[Run], direction: str, metric: str) -> float | None:
    """Return the score of the untranslated held-out images, which are the same in all runs; old runs lack it."""
    results = (run.read_result().get("kept", {}).get(direction, {}) for run in runs)
    scores = (item for result in results for item in result.get("untranslated", {}).items())
    return next((score for key, score in scores if metric_of(key) == metric), None)


def as_markdown(recipe: Recipe, rows: Sequence[Row]) -> str:
    """Return one table per data set, and the meaning of the columns."""
    lines = []
    for dataset in dict.fromkeys(row.dataset for row in rows):
        dataset_rows = [row for row in rows if row.dataset == dataset]
        lines += [
            f"**{dataset}**, `{dataset_rows[0].metric}`",
            "",
            "| variant | direction | width | parameters | MB | GMACs | size | ÷ other | before | mean ± deviation "
            "| range | runs | normalized | held out, before | held out, late |",
            "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|",
        ]
        for row in dataset_rows:
            share = f"{row.share:.3f}" if row.share is not None else ""
            lines.append(
                f"| {row.variant} | {DIRECTIONS[row.direction]} | {row.width:g} | {row.parameters:,} "
                f"| {row.bytes / 10**6:.2f} | {row.macs / 10**9:.3f} | {row.size:.3f} | {row.asymmetry:.2f} "
                f"| {short_number(row.untranslated)} | {_mean_and_std(row.scores)} "
                f"| {short_number(min(row.scores))} to {short_number(max(row.scores))} | {len(row.scores)} | {share} "
                f"| {short_number(row.untranslated_held) if row.untranslated_held is not None else ''} "
                f"| {_mean_and_std(row.late) if row.late else ''} |"
            )
        lines.append("")
    reference = f"resnet9 at width {recipe.size_reference:g}"
    lines += [
        f"size: parameters ÷ parameters of {reference}; ÷ other: parameters ÷ parameters of the other direction's "
        f"generator; before: score of the untranslated images; deviation: standard deviation over runs; normalized: "
        f"mean ÷ mean of {recipe.reference}; sizes are means over runs; held out: the same metric on held-out images "
        f"at the training resolution, against training images, before translation (before) and averaged over the "
        f"second half of a run (late).",
        "",
    ]
    if recipe.figure == FRONT:
        lines += fronts_as_markdown(recipe, rows)
    return "\n".join(lines)


def _mean_and_std(scores: Sequence[float]) -> str:
    """Format the mean, and the standard deviation if there are several scores and all are finite."""
    has_std = len(scores) > 1 and all(map(isfinite, scores))
    return short_number(mean(scores)) + (f" ± {short_number(stdev(scores))}" if has_std else "")


def write_report(recipe: Recipe, rows: Sequence[Row], folder: Path) -> list[Path]:
    """Write the table and the figure (`write_files`)."""

    def plot(path: Path) -> None:
        from ganas.recipes.cyclegan.drawing import draw

        draw(recipe, rows, path)

    name = report_name(recipe.figure, recipe.scale, recipe.datasets, recipe.digest)
    return write_files(folder, name, as_markdown(recipe, rows), [asdict(row) for row in rows], plot)
