"""A job: one unit of work for an executor. No torch here."""

from dataclasses import dataclass
from pathlib import Path

from ganas.jobs.result import Result, read_result
from ganas.store import Run


@dataclass(frozen=True)
class Job:
    """A folder in which the function of its kind reads its input, keeps its checkpoints and writes its result."""

    kind: str  # names the function (`ganas.kinds`)
    path: Path
    images: int  # to train on in all; resubmitted with more, the job resumes from its checkpoint
    after: tuple[str, ...] = ()  # names of the jobs that must be done first
    product: Path | None = None  # the file that later jobs read

    @property
    def name(self) -> str:
        """The name of its folder, unique in a queue."""
        return self.path.name

    @property
    def folder(self) -> Run:
        """The paths in its folder."""
        return Run(self.path)

    def result(self) -> Result | None:
        """How it ended; None before that, or if it has not reached `images` yet."""
        result = read_result(self.folder)
        if result and result.state == "done" and result.images < self.images and not result.ended:
            return None
        return result
