"""One search or one training of a recipe, as data. No torch here.

OUT/jobs/ID/
  job.json       what to do
  config.yaml    the config of its run, without paths and sizes
  run/           the run of ``ganas search`` or ``ganas train``
  scores.json    train: both directions on the test images, and the sizes of the generators
  result.json    written last: the outcome (`ganas.jobs.result.Result`)
  log.txt, lock
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from ganas.config import adjustable, network_of
from ganas.cyclegan.config import DataConfig, RunConfig
from ganas.document import parsing, read_record, stored_object, write_record
from ganas.jobs.result import Result, read_result
from ganas.recipes.reproduction import readable_id
from ganas.settings import read_setting
from ganas.store import Run, write_atomically

JOB = "job.json"
RUN_AGAIN = "remove its folder to run it again"
JOB_PREFIX = "job:"  # prefix of an architecture that another job finds
SIZE_SEPARATOR = "@"
REPORTS = ("fig", "front-")  # how the names of reports begin

ConfigItem = tuple[str, Any]  # key and value of a config


@dataclass(frozen=True)
class Dataset:
    """Two domains, split into training and test images."""

    name: str
    folder: str  # with trainA, trainB, testA and testB
    count_a: int  # training images
    count_b: int
    digest: str  # of all images: finished jobs must not depend on changed ones

    def part(self, name: str) -> Path:
        """Return the folder of a part: ``trainA``, ``trainB``, ``testA`` or ``testB``."""
        return Path(self.folder) / name

    def training_counts(self, data: DataConfig) -> tuple[int, int]:
        """Return the numbers of images of both domains that are used and not held out."""
        count_a, count_b = (min(count, data.limit or count) for count in (self.count_a, self.count_b))
        return count_a - data.held_out(count_a), count_b - data.held_out(count_b)


@dataclass(frozen=True)
class RecipeJob:
    """The specification of a job. Equal jobs have equal ids, also across figures."""

    kind: Literal["search", "train"]
    name: str  # of the variant, human-readable
    dataset: Dataset
    preset: str
    seed: int
    values: tuple[ConfigItem, ...] = ()  # of the config, over the preset's
    settings: tuple[str, ...] = ()  # of --set, over everything else
    features: str | None = None
    weights: str | None = None  # digest of the network that `features` names
    architecture: str | None = None  # train: as on the command line, or job:ID of a search
    match: str | None = None  # train: --match-size, or job:ID@SIZE: like that search's result at total size SIZE
    match_each: bool = False
    teacher: str | None = None  # job:ID of a training, whose translator this one learns from
    point: int | None = None  # train: of the front that `architecture` found, or its last one
    drawn: int | None = None  # train: instead of it a random choice of about its time, with this seed
    paired: bool = False  # scored by the right answers of the data set's pairs
    timed: int | None = None  # train: side of the image whose translation is timed

    @property
    def id(self) -> str:
        """A readable prefix and ten hex digits of everything that results depend on, except paths.

        The values of presets and defaults depend on the version of ganas: ``config.yaml`` has them.
        """
        content = asdict(self) | {"dataset": self.dataset.digest, "features": network_of(self.features)}
        settings = dict(read_setting(RunConfig, setting) for setting in self.settings)  # parsed: 1e3 equals 1000
        content["settings"] = sorted((key, settings[key]) for key in settings.keys() - adjustable(RunConfig).keys())
        del content["name"]
        # later than the first recipes, whose ids stay as they were
        added = {"teacher": None, "point": None, "drawn": None, "paired": False, "timed": None}
        content = {key: value for key, value in content.items() if key not in added or value != added[key]}
        digest = hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:10]
        return f"{readable_id(self.dataset.name)}-{self.kind}-{self.seed}-{digest}"

    @property
    def parents(self) -> tuple[str, ...]:
        """Ids of the jobs that have to finish first."""
        names = (text for text in (self.architecture, self.match, self.teacher) if text and text.startswith(JOB_PREFIX))
        return tuple(dict.fromkeys(name.removeprefix(JOB_PREFIX).partition(SIZE_SEPARATOR)[0] for name in names))

    def to_json(self) -> str:
        """The text of a ``job.json``."""
        return write_record(asdict(self))

    @classmethod
    def read(cls, folder: Run) -> "RecipeJob":
        """Read a job from its folder; raises `RunError`."""
        path = folder.path / JOB
        return cls.from_json(path.read_text(encoding="utf-8"), str(path))

    @classmethod
    def from_json(cls, text: str, origin: str) -> "RecipeJob":
        """Read what `to_json` wrote; raises `RunError` that names `origin`."""
        document = read_record(text, origin, "job", RUN_AGAIN)
        with parsing(origin, way_out=RUN_AGAIN):
            values = tuple((key, value) for key, value in document.pop("values"))
            settings = tuple(document.pop("settings"))
            return cls(dataset=Dataset(**document.pop("dataset")), values=values, settings=settings, **document)


class RecipeFolder:
    """The folder of a recipe, which has one folder per job."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def job(self, name: str) -> Run:
        """Return the folder of a job."""
        return Run(self.path / "jobs" / name)

    def run(self, name: str) -> Run:
        """Return the run of a job's search or training."""
        return Run(self.job(name).path / "run")

    def result(self, job: RecipeJob) -> Result | None:
        """Return the result of a job that is done, or None; its output file must still exist."""
        result = read_result(self.job(job.id))
        return result if result and result.state == "done" and self.output(job).is_file() else None

    def output(self, job: RecipeJob) -> Path:
        """Return the file that a job produces: the result of a search, or the scores of a training."""
        return self.run(job.id).result if job.kind == "search" else self.scores(job.id)

    def scores(self, name: str) -> Path:
        """Return the file with a training's scores."""
        return self.job(name).path / "scores.json"

    @property
    def times(self) -> Path:
        """The file with the milliseconds of trainings that were timed together (`ganas.recipes.cyclegan.timing`)."""
        return self.path / "times.json"

    def read_times(self) -> dict[str, dict[str, float]]:
        """The milliseconds of both directions by id of a training, without those that were trained again since."""
        try:
            known = stored_object(self.times).items()
            return {name: entry["milliseconds"] for name, entry in known if entry["of"] == self._version(name)}
        except (TypeError, KeyError):
            return {}  # damaged: they are timed again

    def write_times(self, times: Mapping[str, Mapping[str, float]]) -> None:
        """Write the milliseconds of trainings that are done."""
        entries = {name: {"milliseconds": one, "of": self._version(name)} for name, one in times.items()}
        write_atomically(self.times, (json.dumps(entries, indent=1) + "\n").encode())

    def _version(self, name: str) -> str | None:
        """Tell two trainings of one job apart: no two have the same scores and milliseconds."""
        path = self.scores(name)
        return hashlib.sha256(path.read_bytes()).hexdigest()[:16] if path.is_file() else None

    def _tables(self) -> list[Path]:
        """The JSON tables of reports (`ganas.recipes.cyclegan.report.write_report`), one per seed and settings."""
        return sorted(path for prefix in REPORTS for path in self.path.glob(f"{prefix}*.json"))

    def read_rows(self) -> list[dict[str, Any]]:
        """The rows of the newest table; none before the first training ends."""
        if not (tables := self._tables()):
            return []
        try:
            rows = json.loads(max(tables, key=lambda path: path.stat().st_mtime).read_text(encoding="utf-8"))
        except ValueError:
            return []  # another program's
        return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []

    def figures(self) -> list[Path]:
        """The figures that were drawn."""
        return [path for table in self._tables() if (path := table.with_suffix(".png")).is_file()]
