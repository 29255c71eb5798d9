"""What an executor is: it has jobs done, each given as a folder, and tells how each ended. No torch here.

A job is the folder of a candidate of a growing search, or of a search or training of a recipe; its worker writes
``result.json`` there (`ganas.jobs.worker`). An executor starts workers, sees to it that they come to an end, and
never trains itself; but for `InProcess`, which is for debugging.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class Ended:
    """A job that is over. Its result is in its folder, unless `error` says why there is none."""

    job: Path
    error: str | None = None  # one line
    trouble: bool = False  # the error is none of the job's: all has to stop until it is mended


class Executor(Protocol):
    """Four methods; `poll` never waits, and a job that was submitted is reported once."""

    @property
    def capacity(self) -> int:
        """How many jobs run at once."""
        ...

    def submit(self, job: Path) -> None:
        """Begin a job, or go on with it from its last checkpoint."""
        ...

    def poll(self) -> Sequence[Ended]:
        """The jobs that ended since the last call."""
        ...

    def cancel(self) -> None:
        """Ask all jobs to stop, wait until they have saved and are gone. They can be submitted again."""
        ...


class InProcess:
    """One job at a time, in this process, while `submit` waits: a debugger can step into it."""

    capacity = 1

    def __init__(self, work: Callable[[Path], None]) -> None:
        self._work = work
        self._ended: list[Ended] = []

    def submit(self, job: Path) -> None:
        """Train it now."""
        self._work(job)
        self._ended.append(Ended(job))

    def poll(self) -> Sequence[Ended]:
        """What was submitted."""
        ended, self._ended = self._ended, []
        return ended

    def cancel(self) -> None:
        """Nothing runs between two calls."""
