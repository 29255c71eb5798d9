"""The queue of jobs: submitted to an executor in their order as workers become free, results kept. No torch here."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ganas.errors import RunError, Stopped
from ganas.jobs.executor import Executor
from ganas.jobs.job import Job
from ganas.jobs.result import Result, failure, write_result
from ganas.progress import readable_seconds
from ganas.signals import StopSignal

POLL_SECONDS = 0.1
ETA_SECONDS = 5.0  # between two estimates of the time left: with thousands of jobs each takes a second


class Queue:
    """Jobs by name, and their results.

    begin    writes what a job's function reads, before it is submitted
    eta      seconds until all jobs are done; None: nothing is known yet
    """

    def __init__(
        self,
        executor: Executor,
        stop: StopSignal,
        *,
        begin: Callable[[Job], None],
        eta: Callable[[], float | None],
    ) -> None:
        self._executor, self._stop, self._begin, self._eta = executor, stop, begin, eta
        self._waiting: list[Job] = []
        self._running: set[str] = set()
        self._estimated = -ETA_SECONDS
        self._left: float | None = None
        self.jobs: dict[str, Job] = {}
        self.results: dict[str, Result] = {}
        self.redone: set[str] = set()  # names of those whose product was gone

    @contextmanager
    def running(self) -> Iterator["Queue"]:
        """Cancel what runs at the end of the block, however it ends; `Stopped` says that all is saved."""
        try:
            yield self
        except Stopped as stopped:
            raise Stopped(f"{stopped}; all is saved, and the same command goes on from there") from None
        finally:
            self._executor.cancel()

    @property
    def capacity(self) -> int:
        """Jobs at once, at least one."""
        return max(1, self._executor.capacity)

    def add(self, job: Job, *, first: bool = False) -> None:
        """Do a job up to its target, unless it is or will be done; `first`: before those that wait."""
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

    def redo(self, name: str) -> None:
        """Do a job again whose product was removed, if it was: what comes of it is the same, bit for bit."""
        job = self.jobs[name]
        if name in self.results and job.product and not job.product.exists():
            del self.results[name]
            self.redone.add(name)
            job.folder.result.unlink(missing_ok=True)
            self._waiting.insert(0, job)

    def release(self, name: str) -> None:
        """Remove the checkpoints of a job that will have no larger target."""
        self.jobs[name].folder.remove_checkpoints()

    def turn(self) -> list[Job]:
        """Submit what can be submitted, wait for a moment; the jobs that ended.

        Raises `Stopped` when asked to stop, and `RunError` for trouble that somebody has to mend.
        """
        self._stop.check()
        while len(self._running) < self._executor.capacity and (job := self._next()):
            self._waiting.remove(job)
            self._begin(job)
            self._running.add(job.name)
            self._executor.submit(job)
        done = []
        for ended in self._executor.poll():
            job = ended.job
            self._running.remove(job.name)
            if ended.trouble:
                raise RunError(f"{job.kind} {job.name} cannot go on: {ended.error}")
            if ended.error:
                write_result(job.folder, failure(job.folder, ended.error))
            if result := job.result():
                self.results[job.name] = result
                done.append(job)
            else:  # somebody removed it
                self._waiting.insert(0, job)
        if not done:
            time.sleep(POLL_SECONDS)
        return done

    def _next(self) -> Job | None:
        """The first that nothing keeps waiting. One that needs a job that failed fails; its folder stays as it is."""
        for job in [*self._waiting]:
            if lost := next((name for name in job.after if self._failed(name)), None):
                self._waiting.remove(job)
                self.results[job.name] = Result("failed", error=f"it needs {lost}, which failed")
                continue
            for name in job.after:
                self.redo(name)
            if job.name not in self._running and all(name in self.results for name in job.after):
                return job
        return None

    def _failed(self, name: str) -> bool:
        return name in self.results and self.results[name].state == "failed"

    def counts(self) -> str:
        """How many are done, failed, running, waiting."""
        failed = sum(map(self._failed, self.results))
        return (
            f"{len(self.results) - failed} done, {failed} failed, {len(self._running)} running, "
            f"{len(self._waiting)} waiting"
        )

    def eta(self) -> str:
        """``; about 12 min left``, or nothing where that is not known yet."""
        if time.monotonic() - self._estimated > ETA_SECONDS:
            self._estimated, self._left = time.monotonic(), self._eta()
        return "" if self._left is None else f"; about {readable_seconds(self._left)} left"
