"""Read any run's folder as one typed record, for `ganas runs`, notebooks and reports. No torch.

This module imports both methods and the recipes, because it reads their configs, architectures, candidates and jobs.
Only it and `ganas.store` know where a run keeps what a reader may want to see.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ganas.config import kind_of, load_config
from ganas.cyclegan.architecture import Architecture, load_architecture
from ganas.cyclegan.config import RunConfig
from ganas.cyclegan.front import Front, read_front
from ganas.cyclegan.layout import DIRECTIONS
from ganas.document import parse_object, parsing
from ganas.errors import RunError
from ganas.growing.autogan import GANArchitecture
from ganas.growing.candidates import candidates, paid_for
from ganas.growing.config import GrowConfig
from ganas.growing.history import History, read_history
from ganas.metrics.measurement import Measurement
from ganas.paths import StrPath, as_path
from ganas.recipes.cyclegan.jobs import JOB, RecipeFolder, RecipeJob
from ganas.recipes.growing.jobs import GrowingFolder, GrowingJob
from ganas.store import CONFIG, OUTPUT_LOCK, Run, is_locked

if TYPE_CHECKING:
    from PIL.Image import Image

Kind = Literal["search", "train", "repeats", "grow", "recipe", "measurement"]
State = Literal["finished", "running", "unfinished", "failed"]
JobState = Literal["pending", "running", "done", "failed"]


@dataclass(frozen=True)
class Point:
    """One line of ``metrics.jsonl``: numbers after a number of images."""

    images: int
    values: Mapping[str, float]  # as "loss/cycle_a", "scores/ab/swd@laplacian-clean-64", "search/median_entropy"
    slots: tuple[Mapping[str, Any], ...] = ()  # search: the choice in every slot (`ganas.cyclegan.derive.Choice`)
    protocol: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # of the scores, by direction


@dataclass(frozen=True)
class Sample:
    """A picture that a run wrote of its outputs."""

    images: int  # seen by then
    path: Path

    def open(self) -> "Image":
        """Read the picture; raises `RunError` if it is damaged."""
        from PIL import Image, UnidentifiedImageError

        try:
            with Image.open(self.path) as picture:
                return picture.convert("RGB")
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError, UnidentifiedImageError) as error:
            raise RunError(f"{str(self.path)!r} cannot be read ({error}): remove it") from None


@dataclass(frozen=True)
class Examples:
    """The pairs that one direction of a training translates worst and best."""

    direction: str
    key: str  # of the score
    images: int  # seen by the generator
    side: int  # pixels of a tile
    names: tuple[str, ...]  # the worst first
    scores: tuple[float, ...]
    picture: Sample  # a column each; rows: input, output, right answer


@dataclass(frozen=True)
class Trace:
    """What one training left behind on its way."""

    points: tuple[Point, ...] = ()
    samples: tuple[Sample, ...] = ()  # the oldest first
    log: tuple[str, ...] = ()  # the last lines of log.txt
    error: str | None = None  # why it ended early; None: it did not, or was killed


@dataclass(frozen=True)
class Score:
    """One score of a result."""

    key: str  # names its protocol
    value: float | None  # None: not a number
    direction: str | None = None  # ab or ba; None: not a translator
    untranslated: float | None = None  # the score of the untranslated images

    def __str__(self) -> str:
        before = f", {self.untranslated:.4g} before translation" if self.untranslated is not None else ""
        value = "not a number" if self.value is None else f"{self.value:.4g}"
        return f"{f'{self.direction} ' if self.direction else ''}{self.key} {value}{before}"


@dataclass(frozen=True)
class JobRecord:
    """One search, training or growing run of a recipe."""

    job: RecipeJob | GrowingJob
    path: str  # of its run, relative to the recipe's folder
    state: JobState
    error: str | None
    scores: tuple[Score, ...]  # of a finished training, on the test images; of a growing run, those of its winner


@dataclass(frozen=True)
class RunRecord:
    """The state and results of a run, during and after it."""

    path: Path
    kind: Kind
    state: State
    config: RunConfig | GrowConfig | None  # resolved; repeats: that of the first; None: a recipe
    images: int  # seen so far, summed over candidates or repeats
    result: Mapping[str, Any]  # result.json; empty until the end
    architecture: Architecture | GANArchitecture | None  # the found or trained one
    trace: Trace = Trace()
    scores: tuple[Score, ...] = ()
    history: History | None = None  # grow: candidates, beams, lineage
    repeats: tuple["RunRecord", ...] = ()
    jobs: tuple[JobRecord, ...] = ()  # of a recipe; of CycleGANAS those started so far
    rows: tuple[Mapping[str, Any], ...] = ()  # of a recipe of CycleGANAS (`ganas.recipes.cyclegan.rows.Row`)
    reports: tuple[Mapping[str, Any], ...] = ()  # of recipes of DGGAN (`ganas.recipes.growing.report`)
    examples: tuple[Examples, ...] = ()  # of a finished training with pairs
    measurements: Mapping[str, Measurement] = field(default_factory=dict)  # by name, "" for a single one
    front: Front | None = None  # of a finished search with strategy sampled
    front_pictures: Mapping[int, Sample] = field(default_factory=dict)  # by point: rows A, A→B, B, B→A
    variant_samples: Mapping[str, Sample] = field(default_factory=dict)  # of a recipe: the last of its first seed

    @property
    def points(self) -> tuple[Point, ...]:
        """The numbers of a search or a training, in order."""
        return self.trace.points

    @property
    def samples(self) -> tuple[Sample, ...]:
        """The pictures of a search or a training; of a growing run those of its winner; of a recipe its figures."""
        return self.trace.samples

    @cached_property
    def name(self) -> str:
        """The last part of the path, even of ``.``."""
        return self.path.name or self.path.resolve().name

    def candidate(self, name: str) -> Trace:
        """Read the trace of one candidate of a growing run, by id."""
        return _trace(Run(self.path).candidate(name))

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        from ganas.report.notebook import as_html

        return as_html(self)

    def as_json(self) -> dict[str, Any]:
        """Return JSON values, including those of `History`."""
        return {
            "path": str(self.path),
            "kind": self.kind,
            "state": self.state,
            "images": self.images,
            "config": self.config.model_dump(mode="json", by_alias=True) if self.config else None,
            "architecture": self.architecture.id if self.architecture else None,
            "scores": [vars(score) for score in self.scores],
            "result": self.result,
            "error": self.trace.error,
            "points": [vars(point) for point in self.points],
            "repeats": [repeat.as_json() for repeat in self.repeats],
            "jobs": [
                {"id": one.job.id, "kind": one.job.kind, "name": one.job.name, "dataset": one.job.dataset.name}
                | {"seed": one.job.seed, "state": one.state, "error": one.error}
                | {"scores": [vars(score) for score in one.scores]}
                for one in self.jobs
            ],
            "rows": self.rows,
            "reports": self.reports,
            "front": json.loads(self.front.to_json()) if self.front else None,
            "measurements": {name: one.as_json() for name, one in self.measurements.items()},
        } | (self.history.as_json() if self.history else {})


def read_run(run: StrPath) -> RunRecord:
    """Read the folder of any run, or the JSON that ``ganas evaluate --json`` printed, from a file.

    Raises `RunError` if it is neither, or is damaged.
    """
    if as_path(run).is_file():
        return _measured(as_path(run))
    folder = Run(run)
    if any(folder.path.glob(f"jobs/*/{JOB}")) or GrowingFolder(folder.path).job_files():
        return _recipe(folder)
    if not folder.config.is_file():
        if any(folder.path.glob(f"repeats/*/{CONFIG}")):
            return _repeats(folder)
        raise RunError(f"{str(folder.path)!r} is not a run: give the --out of a ganas search, train, grow or reproduce")
    text = folder.config.read_bytes()
    if kind_of(text) == "grow":
        return _grown(folder, load_config(GrowConfig, text, str(folder.config)))
    config = load_config(RunConfig, text, str(folder.config))
    trace, result = _trace(folder), folder.read_result()
    images = max([result.get("images") or 0, folder.images_saved or 0, *(point.images for point in trace.points)])
    state = _state(folder.is_locked, folder.result.is_file())
    if state == "finished" and result.get("images", inf) < (config.training.images or 0):
        state = "unfinished"  # a longer run began where it ended
    if state == "unfinished" and trace.error:
        state = "failed"
    front = read_front(folder) if folder.front.is_file() else None
    pictures = {number: folder.front_picture(number) for number in range(len(front.points) if front else 0)}
    return RunRecord(
        path=folder.path,
        kind=config.kind,
        state=state,
        config=config,
        images=images,
        result=result,
        architecture=load_architecture(folder.architecture) if folder.architecture.is_file() else None,
        trace=trace,
        scores=_kept(result),
        examples=tuple(_examples(folder)),
        front=front,
        front_pictures={number: Sample(images, path) for number, path in pictures.items() if path.is_file()},
    )


def _examples(run: Run) -> Iterable[Examples]:
    for direction in DIRECTIONS:
        file = run.example_scores(direction)
        if file.is_file():
            document = parse_object(file.read_text(encoding="utf-8"), str(file), "list of examples")
            with parsing(str(file)):
                names, scores = zip(
                    *((str(one["name"]), float(one["score"])) for one in document["examples"]), strict=True
                )
                picture = Sample(int(document["images"]), run.example_picture(direction))
                sizes = int(document["images"]), int(document["side"])
                yield Examples(direction, str(document["key"]), *sizes, names, scores, picture)


def _trace(run: Run) -> Trace:
    lines = run.read_metrics()
    samples = tuple(Sample(images, path) for images, path in run.sample_paths())
    error = lines[-1].get("error") if lines else None
    return Trace(tuple(_points(lines)), samples, tuple(run.read_log()), error)


def _state(locked: bool, finished: bool) -> State:
    return "running" if locked else "finished" if finished else "unfinished"


def _repeats(run: Run) -> RunRecord:
    folders = (path.parent for path in run.path.glob(f"repeats/*/{CONFIG}"))
    repeats = tuple(map(read_run, sorted(folders, key=lambda path: (len(path.name), path.name))))
    result = run.read_result()
    return RunRecord(
        path=run.path,
        kind="repeats",
        state=_state(run.is_locked, run.result.is_file()),
        config=repeats[0].config,
        images=sum(repeat.images for repeat in repeats),
        result=result,
        architecture=load_architecture(run.architecture) if run.architecture.is_file() else repeats[0].architecture,
        scores=_kept(result),
        repeats=repeats,
    )


def _grown(run: Run, config: GrowConfig) -> RunRecord:
    history, result = read_history(run.path), run.read_result()
    return RunRecord(
        path=run.path,
        kind="grow",
        state=_state(run.is_locked, run.result.is_file()),
        config=config,
        images=sum(result.images or 0 for result in paid_for(record.result for record in history.records)),
        result=result,
        architecture=history.record(result["winner"]).spec.architecture if result else None,
        trace=replace(_trace(run.candidate(history.best)) if history.best else Trace(), log=tuple(run.read_log())),
        scores=(Score(result["metric"], result["score"]),) if result else (),
        history=history,
    )


def _recipe(run: Run) -> RunRecord:
    recipe_folder = RecipeFolder(run.path)
    jobs = [_job(recipe_folder, Run(path.parent)) for path in sorted(run.path.glob(f"jobs/*/{JOB}"))]
    images = sum(_images(recipe_folder.run(one.job.id)) for one in jobs)
    growing = GrowingFolder(run.path)
    grown = [_growing_job(growing, job, error) for job, error in growing.jobs()]
    results = (result for one in grown for _, result in candidates(growing.run(one.job.id)))
    images += sum(result.images for result in paid_for(results))
    reports = growing.reports()
    figures = [*recipe_folder.figures(), *(path for one in reports if (path := growing.figure(one)).is_file())]
    jobs += grown
    rows = recipe_folder.read_rows()
    first_runs = {row["variant"]: Run(run.path / row["runs"][0]) for row in rows if row.get("runs")}
    last = {variant: one.sample_paths()[-1:] for variant, one in first_runs.items()}
    return RunRecord(
        path=run.path,
        kind="recipe",
        # jobs of CycleGANAS that have not started have no folder: of them only started ones decide
        state=_state(is_locked(run.path / OUTPUT_LOCK), all(one.state == "done" for one in jobs)),
        config=None,
        images=images,
        result={},
        architecture=None,
        trace=Trace(samples=tuple(Sample(0, path) for path in figures)),
        jobs=tuple(jobs),
        rows=tuple(rows),
        reports=tuple(reports),
        variant_samples={variant: Sample(*found) for variant, paths in last.items() for found in paths},
    )


def _measured(file: Path) -> RunRecord:
    """Read a measurement: of one or more folders, or of both directions of a run."""
    try:
        text = file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise RunError(f"{str(file)!r} is not a run: give a folder, or what ganas evaluate --json printed") from None
    document = parse_object(text, str(file), "measurement", way_out="give a run's folder")
    found = document if "scores" not in document else {"": document}
    if "repeats" in document:
        found = {f"{number + 1}": one for number, one in enumerate(document["repeats"])}
    elif found is document:  # {"ab": {"untranslated": ..., "translated": ...}, "ba": ...}
        pairs = ((part, both) for part, both in found.items() if isinstance(both, dict))
        found = {f"{part} {name}": one for part, both in pairs for name, one in both.items()}
    measurements = {name: _measurement(one, str(file)) for name, one in found.items()}
    if not measurements:
        raise RunError(f"{str(file)!r} holds no scores: give a run's folder, or what ganas evaluate --json printed")
    scores = tuple(_measured_scores(measurements))
    return RunRecord(file, "measurement", "finished", None, 0, {}, None, scores=scores, measurements=measurements)


def _measured_scores(measurements: Mapping[str, Measurement]) -> Iterable[Score]:
    for name, one in measurements.items():
        direction, _, translated = name.partition(" ")
        before = measurements[f"{direction} untranslated"].scores if translated == "translated" else {}
        for key, value in one.scores.items() if translated != "untranslated" else ():
            yield Score(key, value, direction or None, before.get(key))


def _measurement(document: Any, origin: str) -> Measurement:
    with parsing(origin, way_out="give what ganas evaluate --json printed"):
        scores = {str(key): inf if value is None else float(value) for key, value in document["scores"].items()}
        intervals = {str(key): (float(low), float(high)) for key, (low, high) in document.get("intervals", {}).items()}
        warnings = tuple(map(str, document.get("warnings", ())))
        return Measurement(scores, dict(document.get("protocol", {})), warnings, given_intervals=intervals)


def _job(recipe_folder: RecipeFolder, folder: Run) -> JobRecord:
    job, result = RecipeJob.read(folder), folder.read_result()
    scores: tuple[Score, ...] = ()
    if recipe_folder.result(job) and job.kind == "train":
        document = json.loads(recipe_folder.scores(job.id).read_text(encoding="utf-8"))
        scores = tuple(_translation_scores(document["untranslated"], document["translated"]))
    state: JobState = result.get("state") or ("running" if folder.is_locked else "pending")
    path = recipe_folder.run(job.id).path.relative_to(recipe_folder.path)
    return JobRecord(job, path.as_posix(), state, result.get("error"), scores)


def _growing_job(folder: GrowingFolder, job: GrowingJob, error: str | None) -> JobRecord:
    run = folder.run(job.id)
    result = run.read_result()
    state: JobState = "done" if result else "running" if run.is_locked else "failed" if error else "pending"
    scores = (Score(result["metric"], result["score"]),) if result else ()
    return JobRecord(job, run.path.relative_to(folder.path).as_posix(), state, error, scores)


def _images(run: Run) -> int:
    """Return the number of images seen so far, without reading a whole record."""
    lines = run.read_metrics()
    return max(run.images_saved or 0, lines[-1]["nimg"] if lines else 0)


def _points(lines: Iterable[Mapping[str, Any]]) -> Iterable[Point]:
    """Yield the numbers of each line of metrics.jsonl, named GROUP/NAME."""
    for line in lines:
        values = {name: value for name, value in line.items() if name != "nimg" and isinstance(value, int | float)}
        for group in ("loss", "scores", "search"):
            values |= {f"{group}/{name}": value for name, value in line.get(group, {}).items() if value is not None}
        yield Point(line["nimg"], values, tuple(line.get("slots", ())), line.get("protocol", {}))


def _kept(result: Mapping[str, Any]) -> tuple[Score, ...]:
    """Return the scores of the generators that a training kept."""
    return tuple(
        Score(kept["metric"], kept["score"], direction, kept.get("untranslated", {}).get(kept["metric"]))
        for direction, kept in result.get("kept", {}).items()
    )


def _translation_scores(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterable[Score]:
    for direction, measured in after.items():
        for key, value in measured["scores"].items():
            yield Score(key, value, direction, before[direction]["scores"].get(key))
