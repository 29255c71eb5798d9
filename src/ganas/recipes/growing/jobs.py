"""One growing run of a recipe, as data, and the folder of a recipe. No torch here.

OUT/runs/ID.json    what to run, and why it failed if it did
OUT/runs/ID/        the run of ``ganas grow``
OUT/scores/ID.json  scores of its models (`ganas.recipes.growing.scores`)
"""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

from ganas.config import adjustable, network_of
from ganas.document import SCHEMA, parsing, read_record, stored_object, write_record
from ganas.growing.config import GrowConfig
from ganas.presets import make_config
from ganas.recipes.growing.published import PROGGAN
from ganas.recipes.reproduction import readable_id
from ganas.settings import read_setting
from ganas.store import Run

RUNS = "runs"
RUN = "run"  # the column of reports that holds paths of runs
JOB_NAME = re.compile(r"-[a-z]+-\d+-[0-9a-f]{10}$")  # how their ids end
RUN_AGAIN = "remove it, and its run, to run it again"
REPORTS = ("table", "dggan-")  # how the names of reports begin
REPORT_KEYS = {"figure", "scale", "data", "models", "sheets"}  # that readers of a report need


@dataclass(frozen=True)
class TrainingImages:
    """The images that all runs of a recipe learn to generate."""

    name: str
    path: str
    digest: str  # finished runs must not depend on changed ones


@dataclass(frozen=True)
class GrowingJob:
    """The specification of a growing run. Equal ones have equal ids, also across tables and figures."""

    kind: ClassVar[str] = "grow"

    name: str  # DGGAN, ProgGAN or AutoGAN
    dataset: TrainingImages
    preset: str
    seed: int
    values: tuple[tuple[str, Any], ...] = ()  # of the config, over the preset's
    settings: tuple[str, ...] = ()  # of --set, over everything else
    features: str | None = None
    weights: str | None = None  # digest of the network that `features` names

    @property
    def route(self) -> str | None:
        """``--route`` of ``ganas grow``."""
        return "proggan" if self.name == PROGGAN else None

    @property
    def id(self) -> str:
        """A readable prefix and ten hex digits of everything that results depend on, except paths.

        The values of presets and defaults depend on the version of ganas: the run's config.yaml has them.
        """
        content = asdict(self) | {"dataset": self.dataset.digest, "features": network_of(self.features)}
        settings = dict(read_setting(GrowConfig, setting) for setting in self.settings)  # parsed: 1e3 equals 1000
        content["settings"] = sorted((key, settings[key]) for key in settings.keys() - adjustable(GrowConfig).keys())
        content["values"] = sorted(self.values)
        digest = hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:10]
        return f"{readable_id(self.dataset.name)}-{self.name.lower()}-{self.seed}-{digest}"

    def config(self) -> GrowConfig:
        """The config of the run, before it is resolved; raises `ConfigError`."""
        flags = {"data.images": self.dataset.path, "metrics.features": self.features, "seed": self.seed}
        return make_config("grow", preset=self.preset, flags=flags | dict(self.values), settings=self.settings)

    @classmethod
    def from_content(cls, content: dict[str, Any]) -> "GrowingJob":
        """Build a job from what `asdict` gives."""
        values = tuple((key, tuple(v) if isinstance(v, list) else v) for key, v in content.pop("values"))
        settings = tuple(content.pop("settings"))
        return cls(dataset=TrainingImages(**content.pop("dataset")), values=values, settings=settings, **content)


class GrowingFolder:
    """The folder of a recipe, with its growing runs, their scores and the reports."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def run(self, name: str) -> Run:
        """The folder of a run, by the id of its job."""
        return Run(self.path / RUNS / name)

    def scores(self, name: str) -> Path:
        """The file with the scores of a run's models."""
        return self.path / "scores" / f"{name}.json"

    def write_job(self, job: GrowingJob, error: str | None = None) -> None:
        """Note what a run is, and why it failed."""
        Run(self.path).write_text(self._job_file(job), write_record({"job": asdict(job), "error": error}))

    def announce(self, jobs: Iterable[GrowingJob]) -> None:
        """Note what is going to run, so that readers do not take a recipe for finished between two of its runs."""
        for job in jobs:
            if not self._job_file(job).is_file():  # it may have the error of an earlier call
                self.write_job(job)

    def error(self, job: GrowingJob) -> str | None:
        """Why a run failed; None if it did not, or has not begun."""
        return stored_object(self._job_file(job)).get("error")

    def _job_file(self, job: GrowingJob) -> Path:
        return self.path / RUNS / f"{job.id}.json"

    def job_files(self) -> list[Path]:
        """The files of all jobs of the recipes that have begun."""
        return sorted(path for path in (self.path / RUNS).glob("*.json") if JOB_NAME.search(path.stem))

    def jobs(self) -> Iterator[tuple[GrowingJob, str | None]]:
        """Yield all jobs, with the errors of those that failed; raises `RunError` for a damaged file."""
        for path in self.job_files():
            with parsing(str(path), way_out=RUN_AGAIN):
                text = path.read_text(encoding="utf-8")
            document = read_record(text, str(path), "job", RUN_AGAIN)
            with parsing(str(path), way_out=RUN_AGAIN):
                yield GrowingJob.from_content(document["job"]), document["error"]

    def reports(self) -> list[dict[str, Any]]:
        """The documents of the reports (`ganas.recipes.growing.report`), the newest last; ``file`` is their name."""
        paths = [path for prefix in REPORTS for path in self.path.glob(f"{prefix}*.json")]
        found = []
        for path in sorted(paths, key=lambda path: path.stat().st_mtime):
            document = stored_object(path)
            if document.get("schema") == SCHEMA and document.keys() >= REPORT_KEYS:  # else another program's
                found.append({**document, "file": path.name})
        return found

    def figure(self, report: Mapping[str, Any]) -> Path:
        """The plot of a report, which may be missing."""
        return self.path / Path(str(report["file"])).with_suffix(".png")
