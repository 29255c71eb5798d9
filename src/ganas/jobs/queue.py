"""The queue of jobs: submits them to an executor in order as workers become free, and keeps results. No torch here."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ganas.errors import RunError, Stopped
from ganas.jobs.executor import Executor
from ganas.jobs.job import Job
from ganas.jobs.result import Result, failure, forget_last_scores, write_result
from ganas.progress import readable_seconds
from ganas.signals import StopSignal

POLL_SECONDS = 0.1
ETA_SECONDS = 5.0  # between estimates of the time left: with thousands of jobs, each takes a second


class Queue:
    """Jobs by name, and their results.

    prepare  writes the input of a job's function, before the job is submitted
    eta      seconds until all jobs are done; None: unknown
    """

    def __init__(
        self,
        executor: Executor,
        stop: StopSignal,
        *,
        prepare: Callable[[Job], None],
        eta: Callable[[], float | None],
    ) -> None:
        self._executor, self._stop, self._prepare, self._eta = executor, stop, prepare, eta
        self._waiting: list[Job] = []
        self._running: set[str] = set()
        self._estimated = -ETA_SECONDS
        self._left: float | None = None
        self.jobs: dict[str, Job] = {}
        self.results: dict[str, Result] = {}
        self.rerun: set[str] = set()  # names of jobs that run again because their product was missing

    @contextmanager
    def running(self) -> Iterator["Queue"]:
        """Cancel all running jobs when the block ends, also by an exception; `Stopped` says that they have saved."""
        try:
            yield self
        except Stopped as stopped:
            raise Stopped(f"{stopped}; everything is saved, and the same command resumes") from None
        finally:
            self._executor.cancel()

    @property
    def capacity(self) -> int:
        """Number of jobs that run at once, at least one."""
        return max(1, self._executor.capacity)

    @property
    def idle(self) -> bool:
        """Whether no job runs or waits."""
        return not self._running and not self._waiting

    def add(self, job: Job, *, first: bool = False) -> None:
        """Queue a job up to its number of images, unless it is done or queued; `first`: at the front."""
        known = self.jobs.get(job.name)
        if known and known.images >= job.images:
            return
        self.jobs[job.name] = job
        self._waiting = [one for one in self._waiting if one.name != job.name]
        self.results.pop(job.name, None)
        if result := job.result():
            self.results[job.name] = result
        else:
            self._waiting.insert(0 if first else len(self._waiting), job)

    def ensure_product(self, name: str) -> None:
        """Queue a finished job again if its product was removed; it is reproduced bit for bit."""
        job = self.jobs[name]
        if name in self.results and job.product and not job.product.exists():
            del self.results[name]
            self.rerun.add(name)
            forget_last_scores(job.folder)
            self._waiting.insert(0, job)

    def release(self, name: str) -> None:
        """Remove the checkpoints of a job that will not be resubmitted with more images."""
        self.jobs[name].folder.remove_checkpoints()

    def step(self) -> list[Job]:
        """Submit what can run now, wait a moment, and return the jobs that have ended.

        Raises `Stopped` after a stop signal, and `RunError` for an error that would stop every job.
        """
        self._stop.check()
        while len(self._running) < self._executor.capacity and (job := self._next()):
            self._waiting.remove(job)
            self._prepare(job)
            self._running.add(job.name)
            self._executor.submit(job)
        done = []
        for ended in self._executor.poll():
            job = ended.job
            self._running.remove(job.name)
            if ended.fatal:
                raise RunError(f"{job.kind} {job.name} cannot continue: {ended.error}")
            if ended.error:
                write_result(job.folder, failure(job.folder, ended.error))
            if result := job.result():
                self.results[job.name] = result
                done.append(job)
            else:  # the result was removed meanwhile
                self._waiting.insert(0, job)
        if not done:
            time.sleep(POLL_SECONDS)
        return done

    def _next(self) -> Job | None:
        """The first job that can run now. A job that depends on a failed one fails; its folder is not changed."""
        for job in [*self._waiting]:
            if failed := next(filter(self._failed, job.after), None):
                self._waiting.remove(job)
                self.results[job.name] = Result("failed", error=f"it needs {failed}, which failed")
                continue
            for name in job.after:
                self.ensure_product(name)
            if job.name not in self._running and all(name in self.results for name in job.after):
                return job
        return None

    def _failed(self, name: str) -> bool:
        return name in self.results and self.results[name].state == "failed"

    def status(self) -> str:
        """``3 done, 0 failed, 2 running, 7 waiting``."""
        failed = sum(map(self._failed, self.results))
        done, running, waiting = len(self.results) - failed, len(self._running), len(self._waiting)
        return f"{done} done, {failed} failed, {running} running, {waiting} waiting"

    def eta(self) -> str:
        """``; about 12 min left``, or an empty string if unknown."""
        if time.monotonic() - self._estimated > ETA_SECONDS:
            self._estimated, self._left = time.monotonic(), self._eta()
        return "" if self._left is None else f"; about {readable_seconds(self._left)} left"
