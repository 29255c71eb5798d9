"""What a recipe came to: a row for each variant and direction, as Markdown, as JSON, and as the paper's figure."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from math import isfinite
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from ganas.cyclegan.layout import DIRECTIONS, Direction, find_layout
from ganas.cyclegan.size import parameters
from ganas.metrics.measurement import SPREADS, metric_of
from ganas.recipes.figures import HANDMADE, Recipe, Variant
from ganas.recipes.jobs import Workplace, readable_id
from ganas.store import Run, write_atomically

PREFERRED = ("fid", "kid", "swd")  # the first there is, is drawn; the paper's is FID


@dataclass(frozen=True)
class Row:
    """One variant on one data set in one direction."""

    dataset: str
    variant: str
    group: str
    direction: Direction
    architecture: str
    runs: tuple[str, ...]  # folders of its trainings, in the recipe's
    seeds: tuple[int, ...]
    width: float
    parameters: int
    bytes: int
    macs: int
    size: float  # parameters over those of the reference's hand-made generator
    asymmetry: float  # parameters over those of the generator of the other direction
    metric: str  # key
    untranslated: float  # the score of images as they are
    scores: tuple[float, ...]  # of each repeat
    share: float | None  # mean score over the reference's mean
    others: dict[str, tuple[float, ...]]  # the other metrics' scores
    # of each repeat, the same metric of translated held-out images, at the run's resolution and against images of the
    # other domain that were learned from: the mean over the second half of the run, which is quieter than the last
    # checkpoint alone. Empty where a run did not measure this metric: too few held out, or metrics.select=swd
    late: tuple[float, ...] = ()
    untranslated_held: float | None = None  # the same of the held-out images as they are


def collect(recipe: Recipe, workplace: Workplace) -> list[Row]:
    """The rows of all trainings that are done; a variant none of whose is, is left out."""
    size = parameters(find_layout(HANDMADE).generator, (), recipe.size_reference)
    rows = [row for variant in recipe.variants for row in _rows(variant, workplace, size)]
    means = {(row.dataset, row.direction): mean(row.scores) for row in rows if row.variant == recipe.reference}

    def share(row: Row) -> float | None:
        base = means.get((row.dataset, row.direction))
        return mean(row.scores) / base if base else None

    return [replace(row, share=share(row)) for row in rows]


def _rows(variant: Variant, workplace: Workplace, size: int) -> Iterable[Row]:
    jobs = [job for job in variant.jobs if workplace.scores(job.id).is_file()]
    done: list[dict[str, Any]] = [json.loads(workplace.scores(job.id).read_text(encoding="utf-8")) for job in jobs]
    if not done:
        return
    runs = [workplace.run(job.id) for job in jobs]
    for direction in DIRECTIONS:
        found = [document["translated"][direction]["scores"] for document in done]
        keys = [key for key in found[0] if metric_of(key) not in SPREADS]
        drawn = min(keys, key=_rank)
        (other,) = DIRECTIONS.keys() - {direction}
        generator, opposite = (done[0]["sizes"][one] for one in (direction, other))
        yield Row(
            dataset=variant.dataset,
            variant=variant.name,
            group=variant.group,
            direction=direction,
            architecture=done[0]["architecture"],
            runs=tuple(str(run.path.relative_to(workplace.path)) for run in runs),
            seeds=tuple(job.seed for job in jobs),
            width=generator["width"],
            parameters=generator["parameters"],
            bytes=generator["bytes"],
            macs=generator["macs"],
            size=generator["parameters"] / size,
            asymmetry=generator["parameters"] / opposite["parameters"],
            metric=drawn,
            untranslated=done[0]["untranslated"][direction]["scores"][drawn],
            scores=tuple(scores[drawn] for scores in found),
            share=None,
            others={key: tuple(scores[key] for scores in found) for key in keys if key != drawn},
            late=_late(runs, direction, metric_of(drawn)),
            untranslated_held=_untranslated_held(runs, direction, metric_of(drawn)),
        )


def _rank(key: str) -> int:
    """How much a metric is preferred: 0 most."""
    metric = metric_of(key)
    return PREFERRED.index(metric) if metric in PREFERRED else len(PREFERRED)


def _late(runs: Sequence[Run], direction: str, metric: str) -> tuple[float, ...]:
    """Means over what was measured in the second half of each run."""
    means = []
    for run in runs:
        lines = run.read_metrics()
        half = lines[-1]["nimg"] / 2 if lines else 0
        scored = (line["scores"] for line in lines if "scores" in line and line["nimg"] > half)
        late = [score for scores in scored for key, score in scores.items() if _is(key, direction, metric)]
        if not late:
            return ()
        means.append(mean(late))
    return tuple(means)


def _untranslated_held(runs: Sequence[Run], direction: str, metric: str) -> float | None:
    """Of any run that says it, as all of a data set hold out the same images; an older ganas did not write it."""
    kept = (run.read_result().get("kept", {}).get(direction, {}) for run in runs)
    scores = (one for scores in kept for one in scores.get("untranslated", {}).items())
    return next((score for key, score in scores if metric_of(key) == metric), None)


def _is(key: str, direction: str, metric: str) -> bool:
    """Whether it is ``ab/fid@squeezenet-clean-128``, for ab and fid."""
    start, _, name = key.partition("/")
    return (start, metric_of(name)) == (direction, metric)


def as_markdown(recipe: Recipe, rows: Sequence[Row]) -> str:
    """A table a data set, and what its columns mean."""
    lines = []
    for dataset in dict.fromkeys(row.dataset for row in rows):
        here = [row for row in rows if row.dataset == dataset]
        lines += [
            f"**{dataset}**, `{here[0].metric}`",
            "",
            "| variant | direction | width | parameters | MB | GMACs | size | ÷ other | before | mean ± deviation "
            "| range | runs | normalised | held out, before | held out, late |",
            "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|",
        ]
        for row in here:
            share = f"{row.share:.3f}" if row.share is not None else ""
            lines.append(
                f"| {row.variant} | {DIRECTIONS[row.direction]} | {row.width:g} | {row.parameters:,} "
                f"| {row.bytes / 10**6:.2f} | {row.macs / 10**9:.3f} | {row.size:.3f} | {row.asymmetry:.2f} "
                f"| {_four(row.untranslated)} | {_spread(row.scores)} "
                f"| {_four(min(row.scores))} to {_four(max(row.scores))} | {len(row.scores)} | {share} "
                f"| {_four(row.untranslated_held) if row.untranslated_held is not None else ''} "
                f"| {_spread(row.late) if row.late else ''} |"
            )
        lines.append("")
    reference = f"resnet9 at width {recipe.size_reference:g}"
    lines += [
        f"size: parameters ÷ those of {reference}; ÷ other: ÷ those of the other direction's generator; before: the "
        f"score of untranslated images; deviation: standard deviation over runs; normalised: mean ÷ the mean of "
        f"{recipe.reference}; held out: the same metric of held-out images at the size of training, compared with "
        f"images learned from, before translation (before) and the mean over the second half of a run (late).",
        "",
    ]
    return "\n".join(lines)


def _spread(scores: Sequence[float]) -> str:
    """The mean, and the standard deviation over repeats where there are several, and all of them numbers."""
    several = len(scores) > 1 and all(map(isfinite, scores))
    return _four(mean(scores)) + (f" ± {_four(stdev(scores))}" if several else "")


def _four(number: float) -> str:
    """Four digits, or all there are before the point."""
    return f"{number:.0f}" if abs(number) >= 1000 else f"{number:.4g}"


def write_report(recipe: Recipe, rows: Sequence[Row], folder: Path) -> list[Path]:
    """The table in two forms, and the figure where matplotlib is installed; the files written.

    They are named by what they are of: figure, scale, data sets, and six hex digits of all jobs, which another seed,
    setting or feature network changes.
    """
    name = "-".join((recipe.figure, recipe.scale, *(readable_id(one) for one in recipe.datasets), recipe.digest[:6]))
    table, document = folder / f"{name}.md", folder / f"{name}.json"
    write_atomically(table, as_markdown(recipe, rows).encode())
    write_atomically(document, (json.dumps([asdict(row) for row in rows], indent=1) + "\n").encode())
    picture = folder / f"{name}.png"
    return [table, document, *([picture] if _draw(recipe, rows, picture) else [])]


def _draw(recipe: Recipe, rows: Sequence[Row], path: Path) -> bool:
    try:
        from ganas.recipes.drawing import draw
    except ImportError:  # matplotlib is not here, or not whole
        return False
    draw(recipe, rows, path)
    return True
