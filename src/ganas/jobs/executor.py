"""The executor protocol: starts and monitors workers (`ganas.jobs.worker`), here or on a cluster. No torch here."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from ganas.jobs.job import Job


@dataclass(frozen=True)
class JobExit:
    """A job that has ended. Its result is in its folder, unless `error` says why there is none."""

    job: Job
    error: str | None = None  # one line
    fatal: bool = False  # the error is not the job's fault, and would stop the others too


class Executor(Protocol):
    """Runs jobs. `poll` never waits, and reports each submitted job once."""

    @property
    def capacity(self) -> int:
        """How many jobs run at once."""
        ...

    def submit(self, job: Job) -> None:
        """Start a job, or resume it from its last checkpoint."""
        ...

    def poll(self) -> Sequence[JobExit]:
        """Return the jobs that have ended since the last call."""
        ...

    def cancel(self) -> None:
        """Ask all jobs to stop, and wait until they have saved and exited. They can be submitted again."""
        ...
