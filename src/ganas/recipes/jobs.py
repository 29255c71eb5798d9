"""One search or one training of a recipe, as data. No torch here.

OUT/jobs/ID/
  job.json       what to do
  config.yaml    what its run is told, but for places and its size
  run/           the run of ``ganas search`` or ``ganas train``
  scores.json    train: both directions on the test images, and the sizes of the generators
  result.json    written last: how it ended (`ganas.jobs.result.Result`)
  log.txt, lock
"""

import hashlib
import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from ganas.config import adjustable, network_of
from ganas.cyclegan.config import RunConfig
from ganas.document import parsing, read_document, write_record
from ganas.jobs.result import Result, read_result
from ganas.settings import read_setting
from ganas.store import Run

JOB = "job.json"
RUN_AGAIN = "remove its folder, and it is run again"
JOB_PREFIX = "job:"  # how an architecture that another job finds begins
SIZE_SEPARATOR = "@"


@dataclass(frozen=True)
class Dataset:
    """Two domains, split into images to learn from and images to be judged by."""

    name: str
    folder: str  # with trainA, trainB, testA and testB
    count_a: int  # images to learn from
    count_b: int
    digest: str  # of all images: those of jobs that are done must not change

    def part(self, name: str) -> Path:
        """``trainA`` and so on."""
        return Path(self.folder) / name


@dataclass(frozen=True)
class Job:
    """What a worker is told. Equal jobs have equal ids, whichever figure they are for."""

    kind: Literal["search", "train"]
    name: str  # of the variant, for people
    dataset: Dataset
    preset: str
    seed: int
    values: tuple[tuple[str, Any], ...] = ()  # of the config, beside the preset's
    settings: tuple[str, ...] = ()  # of --set, which have the last word
    features: str | None = None
    weights: str | None = None  # digest of the network that `features` names
    architecture: str | None = None  # train: as on the command line, or job:ID of a search
    match: str | None = None  # train: --match-size, or job:ID@SIZE: like what a search found, in total of that size
    match_each: bool = False

    @property
    def id(self) -> str:
        """A readable beginning, and ten hex digits of all that results depend on; not of where files lie.

        What a preset's name and the defaults stand for is a version's of ganas: ``config.yaml`` has it.
        """
        content = asdict(self) | {"dataset": self.dataset.digest, "features": network_of(self.features)}
        told = dict(read_setting(RunConfig, setting) for setting in self.settings)  # however they are written
        content["settings"] = sorted((key, told[key]) for key in told.keys() - adjustable(RunConfig).keys())
        del content["name"]
        digest = hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:10]
        return f"{readable_id(self.dataset.name)}-{self.kind}-{self.seed}-{digest}"

    @property
    def parents(self) -> tuple[str, ...]:
        """Ids of the jobs that have to end first."""
        wanted = (self.architecture, self.match)
        found = (text.removeprefix(JOB_PREFIX) for text in wanted if text and text.startswith(JOB_PREFIX))
        return tuple(text.partition(SIZE_SEPARATOR)[0] for text in found)

    def to_json(self) -> str:
        """The text of a ``job.json``."""
        return write_record(asdict(self))

    @classmethod
    def read(cls, folder: Run) -> "Job":
        """Out of its folder; raises `RunError`."""
        path = folder.path / JOB
        return cls.from_json(path.read_text(encoding="utf-8"), str(path))

    @classmethod
    def from_json(cls, text: str, origin: str) -> "Job":
        """Read what `to_json` wrote; raises `RunError` that names `origin`."""
        document = read_document(text, origin, "job", way_out=RUN_AGAIN)
        with parsing(origin, way_out=RUN_AGAIN):
            values = tuple((key, value) for key, value in document.pop("values"))
            settings = tuple(document.pop("settings"))
            return cls(dataset=Dataset(**document.pop("dataset")), values=values, settings=settings, **document)


def readable_id(text: str) -> str:
    """What of a name can stand in the name of a file anywhere."""
    return re.sub(r"[^A-Za-z0-9_.]+", "_", text)


class RecipeFolder:
    """The folder of a recipe; every job has one of its own in it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def of(cls, folder: Run) -> "RecipeFolder":
        """The one that a job's folder is in."""
        return cls(folder.path.parent.parent)

    def job(self, name: str) -> Run:
        """Where a job's files are."""
        return Run(self.path / "jobs" / name)

    def run(self, name: str) -> Run:
        """The run of its search or training."""
        return Run(self.path / "jobs" / name / "run")

    def outcome(self, job: Job) -> Result | None:
        """That of a job that is done, as long as what it was for is there."""
        result = read_result(self.job(job.id))
        return result if result and result.state == "done" and self.product(job).is_file() else None

    def product(self, job: Job) -> Path:
        """What a job is for: the result of a search, the scores of a training."""
        return self.run(job.id).result if job.kind == "search" else self.scores(job.id)

    def scores(self, name: str) -> Path:
        """What a training came to."""
        return self.path / "jobs" / name / "scores.json"
