"""An executor for tests, which runs each job in this process."""

from collections.abc import Sequence

from ganas.jobs.executor import JobExit
from ganas.jobs.job import Job
from ganas.jobs.worker import KINDS_MODULE, load_work, run_job
from ganas.signals import StopSignal


class InProcess:
    """Runs one job at a time, within `submit`."""

    capacity = 1

    def __init__(self) -> None:
        self._ended: list[JobExit] = []

    def submit(self, job: Job) -> None:
        with StopSignal().listening() as stop:
            run_job(job, stop, load_work(KINDS_MODULE, job.kind))
        self._ended.append(JobExit(job))

    def poll(self) -> Sequence[JobExit]:
        ended, self._ended = self._ended, []
        return ended

    def cancel(self) -> None:
        """Nothing runs between two calls."""
