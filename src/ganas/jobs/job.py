"""A job: what an executor is given to do. No torch here."""

from dataclasses import dataclass
from pathlib import Path

from ganas.jobs.result import Result, read_result
from ganas.store import Run


@dataclass(frozen=True)
class Job:
    """A folder, in which the function of its kind finds what to do, keeps its checkpoints and leaves its result."""

    kind: str  # names the function (`ganas.kinds`)
    path: Path
    images: int  # to have seen in the end; submitted again with more, it goes on from its checkpoint
    after: tuple[str, ...] = ()  # names of the jobs that have to be done first
    product: Path | None = None  # the file that jobs after it read

    @property
    def name(self) -> str:
        """Of its folder; no two jobs of a queue share it."""
        return self.path.name

    @property
    def folder(self) -> Run:
        """The names in its folder."""
        return Run(self.path)

    def result(self) -> Result | None:
        """How it ended; None before that, or where it is to see more images than it has."""
        result = read_result(self.folder)
        return None if result and result.state == "done" and result.images < self.images else result
