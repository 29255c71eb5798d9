"""What an executor is: it does jobs, and tells how each ended. No torch here.

An executor starts workers (`ganas.jobs.worker`), which write ``result.json`` into the folders of their jobs, and sees
to it that they come to an end. It never trains itself; but for `InProcess`, which is for debugging.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from ganas.jobs.job import Job
from ganas.jobs.worker import KINDS_MODULE, finish, load_work
from ganas.signals import StopSignal


@dataclass(frozen=True)
class Ended:
    """A job that is over. Its result is in its folder, unless `error` says why there is none."""

    job: Job
    error: str | None = None  # one line
    trouble: bool = False  # the error is none of the job's: all has to stop until it is mended


class Executor(Protocol):
    """Four methods; `poll` never waits, and a job that was submitted is reported once."""

    @property
    def capacity(self) -> int:
        """How many jobs run at once."""
        ...

    def submit(self, job: Job) -> None:
        """Begin a job, or go on with it from its last checkpoint."""
        ...

    def poll(self) -> Sequence[Ended]:
        """The jobs that ended since the last call."""
        ...

    def cancel(self) -> None:
        """Ask all jobs to stop, wait until they have saved and are gone. They can be submitted again."""
        ...


class InProcess:
    """One job at a time, in this process, while `submit` waits: a debugger can step into it.

    kinds    the module that says which function does which kind
    """

    capacity = 1

    def __init__(self, kinds: str = KINDS_MODULE) -> None:
        self._kinds = kinds
        self._ended: list[Ended] = []

    def submit(self, job: Job) -> None:
        """Do it now."""
        with StopSignal().listening() as stop:
            finish(job, stop, load_work(self._kinds, job.kind))
        self._ended.append(Ended(job))

    def poll(self) -> Sequence[Ended]:
        """What was submitted."""
        ended, self._ended = self._ended, []
        return ended

    def cancel(self) -> None:
        """Nothing runs between two calls."""
