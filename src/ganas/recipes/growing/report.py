"""The report of a table or a figure of DGGAN: sheets of numbers, as Markdown and JSON. No torch.

A sheet is plain values with a caption; Markdown, JSON and the page of ``ganas report`` all show the same ones.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from ganas.document import SCHEMA, finite
from ganas.growing import analysis_tables
from ganas.growing.analysis import Analysis, Setting
from ganas.recipes.growing.experiments import ANALYSIS, CIFAR, LSUN, SAMPLES, Experiment
from ganas.recipes.growing.jobs import RUN, RUNS
from ganas.recipes.growing.models import Model
from ganas.recipes.growing.published import (
    CIFAR_LEVELS,
    DGGAN,
    LSUN_LEVELS,
    PROGGAN,
    TABLE_1,
    TABLE_3,
    improvement,
)
from ganas.recipes.reproduction import report_name, run_page, short_number, write_files

Cell = str | int | float | None
SWD_UNIT = 1000  # the paper's
NO_NETWORK = "FID and IS are missing: they need a feature network, --features"
NO_CLASSIFIER = "IS is missing: it needs a feature network with a classifier, such as --features inception"
PROTOCOL = "on new latents, which no search has seen, against the real images of its training"


@dataclass(frozen=True)
class Sheet:
    """A table of plain values."""

    title: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[Cell, ...]]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Findings:
    """All that is known of the runs of a recipe so far."""

    models: Sequence[Model] = ()
    analysis: Analysis | None = None  # of the search
    simulations: Sequence[Setting] = field(default_factory=tuple)
    missing: Sequence[str] = ()  # models without weights, a line each
    failed: Sequence[str] = ()  # models that could not be scored, a line each

    def with_scores(self, of_a_run: "Findings") -> "Findings":
        """Add the scores of another run."""
        return replace(
            self,
            models=(*self.models, *of_a_run.models),
            missing=(*self.missing, *of_a_run.missing),
            failed=(*self.failed, *of_a_run.failed),
        )

    def final(self, name: str) -> Model | None:
        """What a model's run ended with."""
        return next((one for one in self.models if one.model == name and one.final), None)

    def at(self, name: str, resolution: int) -> Model | None:
        """A model's network of one resolution."""
        return next((one for one in self.models if (one.model, one.resolution) == (name, resolution)), None)

    def __bool__(self) -> bool:
        return bool(self.models or self.analysis)

    @property
    def resolutions(self) -> list[int]:
        """Those that there is any network of."""
        return sorted({one.resolution for one in self.models})


def make_sheets(made: Experiment, found: Findings) -> list[Sheet]:
    """The sheets of a table or a figure."""
    notes = tuple(f"{line}." for line in (*found.missing, *found.failed))
    runs = Sheet("Runs", ("model", RUN), [(job.name, f"{RUNS}/{job.id}") for job in made.jobs], notes)
    return [*_BY_FIGURE[made.figure](found), runs]


# ── scores ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def _notes(found: Findings, *, inception_score: bool = False) -> tuple[str, ...]:
    """What the scores of all models are, and what is missing."""
    final = [one for one in found.models if one.final]
    keys = [*dict.fromkeys(key for one in final for key in one.scores if not key.startswith("is_std"))]
    notes = [f"Scores: {', '.join(f'`{key}`' for key in keys)}, {PROTOCOL}."] if keys else []
    if final and not any(one.key_of("fid") for one in final):
        notes.append(f"{NO_NETWORK}.")
    elif final and inception_score and not any(one.key_of("is") for one in final):
        notes.append(f"{NO_CLASSIFIER}.")
    warnings = dict.fromkeys(warning for one in final for warning in one.warnings)
    return (*notes, *(f"Warning: {warning}." for warning in warnings))


def _sliced_distance(model: Model | None) -> float | None:
    score = model.score("swd") if model else None
    return None if score is None else SWD_UNIT * score


def _inception_score(model: Model | None) -> str | None:
    if model is None or (score := model.score("is")) is None:
        return None
    deviation = model.score("is_std")
    return f"{score:.2f}" + ("" if deviation is None else f" ± {deviation:.2f}")


def _main(model: Model) -> float | None:
    """The paper's metric, or the one that needs no network."""
    return model.score("fid") if model.key_of("fid") else model.score("swd")


def _ratio(model: Model | None, baseline: Model | None) -> float | None:
    """A model's score over the baseline's, of the same metric."""
    if model is None or baseline is None or model.resolution != baseline.resolution:
        return None
    one, other = _main(model), _main(baseline)
    return one / other if one is not None and other else None


def _percent(share: float | None) -> str | None:
    return None if share is None else f"{share:.0%}"


def _models_beside_published(found: Findings) -> Sheet:
    """Table 1: our models and what others published, each in columns of its own."""
    ours, baseline = {one.model: one for one in found.models if one.final}, found.final(PROGGAN)
    rows: list[tuple[Cell, ...]] = []
    for one in TABLE_1:
        model = ours.get(one.ours or "")
        scores = model.score("fid") if model else None, _inception_score(model), _sliced_distance(model)
        sizes = (model.images, model.generator, model.discriminator) if model else (None, None, None)
        rows.append((one.model, *scores, _ratio(model, baseline), *sizes, one.fid, one.inception_score))
    columns = (
        *("model", "FID", "IS", "SWD · 1000", "÷ ProgGAN", "images seen", "parameters of G", "parameters of D"),
        *("published FID, CIFAR-10, 50k", "published IS, CIFAR-10, 50k"),
    )
    side = max(found.resolutions, default=0)
    comparable = (
        "Published numbers are the paper's (table 1): other images, network or number of images make other scores, so "
        "compare them with ours only if all of these agree. ÷ ProgGAN: our score over that of our ProgGAN, of "
        f"{'FID' if any(one.key_of('fid') for one in found.models) else 'SWD'}."
    )
    return Sheet(f"Models at {side}×{side}", columns, rows, (*_notes(found, inception_score=True), comparable))


def _by_resolution(found: Findings, data: str) -> Iterator[Sheet]:
    """Our DGGAN against our ProgGAN at each resolution, a sheet per metric, beside what is published."""
    published = CIFAR_LEVELS if data == CIFAR else LSUN_LEVELS
    metrics = [name for name in ("fid", "swd") if any(one.key_of(name) for one in found.models)]
    for metric in metrics:
        unit = SWD_UNIT if metric == "swd" else 1
        rows: list[tuple[Cell, ...]] = []
        for side in found.resolutions:
            pair = found.at(DGGAN, side), found.at(PROGGAN, side)
            scores = [None if one is None else one.score(metric) for one in pair]
            ours, baseline = (None if score is None else unit * score for score in scores)
            known = ours is not None and baseline is not None and baseline != 0
            share = improvement(ours, baseline) if known else None  # type: ignore[arg-type]
            images = (one.images_there if one else None for one in pair)
            numbers = ours, baseline, _percent(share), 1 - share if share is not None else None
            paper = published.get(side) if metric == metrics[0] else None
            there = (paper.ours, paper.baseline, _percent(paper.improvement)) if paper else (None, None, None)
            rows.append((f"{side}×{side}", *numbers, *images, *there))
        columns = (
            *("resolution", "DGGAN", "ProgGAN", "improvement", "DGGAN ÷ ProgGAN"),
            *("images at it, DGGAN", "images at it, ProgGAN"),
            *(f"published {name}, {data}" for name in ("FID of DGGAN", "FID of ProgGAN", "improvement")),
        )
        if metric != metrics[0]:  # nothing is published of it
            columns, rows = columns[:-3], [row[:-3] for row in rows]
        key = next(key for one in reversed(found.models) if (key := one.key_of(metric)))
        title = f"Each resolution, {'SWD · 1000' if metric == 'swd' else 'FID'}"
        note = (
            f"`{key}` at the highest resolution, {PROTOCOL}. There: what the runs ended with; below: the search's best "
            "candidate, and the one of the ProgGAN route that was trained longest. Improvement: 1 - ours ÷ ProgGAN's. "
            "Scores of two resolutions are not comparable."
        )
        yield Sheet(title, columns, rows, (note,) if metric != metrics[0] else (note, *_notes(found)[1:]))


def _sliced(found: Findings) -> Sheet:
    """Table 3: FID, and the sliced Wasserstein distance by level, at the highest resolution and at 64."""
    highest = max(found.resolutions, default=0)
    ours = [one for side in dict.fromkeys((64, highest)) for one in found.models if one.resolution == side]
    levels = sorted({int(level) for one in ours for level in one.levels} | {*TABLE_3[-2].swd}, reverse=True)
    rows: list[tuple[Cell, ...]] = []
    for one in ours:
        by_level = (SWD_UNIT * one.levels[str(side)] if str(side) in one.levels else None for side in levels)
        rows.append((f"our {one.model}", one.resolution, one.score("fid"), *by_level, _sliced_distance(one)))
    for row in TABLE_3:
        by_level = (row.swd.get(side) for side in levels)
        rows.append((f"{row.model}, published, {LSUN}", row.resolution, row.fid, *by_level, row.average))
    columns = ("model", "pixels", "FID", *(f"SWD · 1000 at {side}" for side in levels), "average")
    return Sheet("FID and SWD by level", columns, rows, _notes(found))


def _models(found: Findings) -> Sheet:
    rows = [
        (one.model, one.resolution, one.score("fid"), _sliced_distance(one), one.images, one.generator)
        for one in found.models
        if one.final
    ]
    columns = ("model", "pixels", "FID", "SWD · 1000", "images seen", "parameters of G")
    return Sheet("The models of the pictures", columns, rows, _notes(found))


def _analysis(found: Findings) -> list[Sheet]:
    if found.analysis is None:
        return []
    tables = analysis_tables.tables(found.analysis, found.simulations)
    summary = f"{analysis_tables.summary(found.analysis)}."
    titles = {"action": "Actions", "kind": "Kernel sizes and filters", "simulated K": "Simulations"}
    return [
        Sheet(titles.get(columns[0], "Good parents, good children"), columns, rows, () if number else (summary,))
        for number, (columns, rows) in enumerate(tables.items())
    ]


_BY_FIGURE: Mapping[str, Callable[[Findings], Iterable[Sheet]]] = {
    "table1": lambda found: [_models_beside_published(found), *_by_resolution(found, CIFAR)],
    "table2": lambda found: _by_resolution(found, LSUN),
    "table3": lambda found: [_sliced(found)],
    SAMPLES: lambda found: [_models(found)],
    ANALYSIS: _analysis,
}


# ── files ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def as_markdown(sheets: Sequence[Sheet], folder: Path) -> str:
    """One Markdown table per sheet, with links to the pages of runs in `folder`."""
    lines = []
    for sheet in sheets:
        lines += [f"**{sheet.title}**", "", f"| {' | '.join(sheet.columns)} |", "|---" * len(sheet.columns) + "|"]
        for row in sheet.rows:
            cells = (_cell(column, value, folder) for column, value in zip(sheet.columns, row, strict=True))
            lines.append(f"| {' | '.join(cells)} |")
        lines += ["", *(line for note in sheet.notes for line in (note, ""))]
    return "\n".join(lines)


def _cell(column: str, value: Cell, folder: Path) -> str:
    page = run_page(folder, str(value)) if column == RUN else None
    return f"[{value}]({page})" if page else _text(value)


def _text(value: Cell) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return short_number(value)
    return f"{value:,}" if isinstance(value, int) else value


def as_document(made: Experiment, found: Findings, sheets: Sequence[Sheet]) -> dict[str, Any]:
    """The JSON of a report."""
    document: dict[str, Any] = {
        "schema": SCHEMA,
        "figure": made.figure,
        "scale": made.scale,
        "data": made.dataset.name,
        "runs": {job.name: f"{RUNS}/{job.id}" for job in made.jobs},
        "models": [one.as_json() for one in found.models],
        "sheets": [asdict(sheet) for sheet in sheets],
    }
    if found.analysis:
        document["analysis"] = analysis_tables.as_json(found.analysis, found.simulations)
    return dict(finite(document))


def write_report(made: Experiment, found: Findings, folder: Path) -> tuple[str, list[Path]]:
    """Write the sheets and the plot (`write_files`); return the Markdown and the files written."""
    sheets = make_sheets(made, found)
    text = as_markdown(sheets, folder)

    def plot(path: Path) -> None:
        from ganas.recipes.growing.drawing import draw

        draw(made, found, folder, path)

    name = report_name(made.figure, made.scale, [made.dataset.name], made.digest)
    return text, write_files(folder, name, text, as_document(made, found, sheets), plot)
