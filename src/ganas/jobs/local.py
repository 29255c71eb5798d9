"""Jobs on this machine: a process each, on its share of the cores. No torch here.

Not a pool: of one, a child that dies breaks every future. A worker that is killed by a signal (the kernel's, when
memory runs out) goes on from its last checkpoint, twice; an exit without a result is one.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ganas.jobs.executor import Ended
from ganas.jobs.forkserver import ForkedWorker, ForkServer
from ganas.jobs.job import Job
from ganas.jobs.worker import KINDS_MODULE, STOPPED, TROUBLE

RETRIES = 2  # of a worker that was killed
GRACE = 60.0  # seconds that a worker has to save in
PATIENCE = 10.0  # seconds for one that was killed to be gone


@dataclass
class _Worker:
    process: "subprocess.Popen[bytes] | ForkedWorker"
    slot: int
    began: float


class Local:
    """`workers` processes at once, each on its share of the cores where there are enough, and on one GPU.

    kinds      the module that says which function does which kind of job (`ganas.kinds`). Nothing is imported from the
               current folder, a random.py among the images for one (-P)
    gpus       number of GPUs, which workers are spread over
    timeout    seconds that a worker may take; None: as long as it likes
    pinned     to cores; not where somebody else shares them out
    warm       forked from a process that has imported what they need; False: each starts Python anew
    """

    def __init__(
        self,
        workers: int,
        kinds: str = KINDS_MODULE,
        *,
        threads: int = 1,
        gpus: int = 0,
        timeout: float | None = None,
        pinned: bool = True,
        warm: bool = sys.platform == "linux",
    ) -> None:
        if workers < 1 or threads < 1:
            raise ValueError(f"there has to be a worker with a thread, got {workers=}, {threads=}")
        self._workers, self._threads, self._gpus = workers, threads, gpus
        self._timeout, self._kinds, self._pinned, self._warm = timeout, kinds, pinned, warm
        self._server: ForkServer | None = None
        self._free = list(range(workers))
        self._running: dict[Job, _Worker] = {}
        self._deaths: dict[Job, int] = {}
        self.capacity = workers

    def submit(self, job: Job) -> None:
        """Start a worker; the job must not run, and a worker has to be free."""
        slot = self._free.pop(0)
        environment = {"OMP_NUM_THREADS": str(self._threads)}
        if self._gpus:
            environment["CUDA_VISIBLE_DEVICES"] = self._gpu(slot)
        start = self._fork if self._warm else self._start
        self._running[job] = _Worker(start(job, environment, self._cores(slot)), slot, time.monotonic())

    def _fork(self, job: Job, environment: dict[str, str], cores: list[int]) -> ForkedWorker:
        if self._server is None or not self._server.alive:  # OpenMP reads the number of threads as torch is imported
            self._server = ForkServer(self._kinds, os.environ | environment, job.folder.log)
        return self._server.start(job, cores, environment)

    def _start(self, job: Job, environment: dict[str, str], cores: list[int]) -> "subprocess.Popen[bytes]":
        arguments = (self._kinds, job.kind, str(job.path), str(job.images), str(os.getpid()))
        with job.folder.log.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "ganas.jobs.worker", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=os.environ | environment,
                start_new_session=True,  # Ctrl-C is for the driver, which asks its workers to stop
            )
        if cores:
            with suppress(OSError):  # it has ended already
                os.sched_setaffinity(process.pid, cores)
        return process

    def poll(self) -> Sequence[Ended]:
        """The jobs that ended since the last call; those that were killed are begun again."""
        ended = []
        for job, worker in [*self._running.items()]:
            code = worker.process.poll()
            if code is None and self._timeout and time.monotonic() - worker.began > self._timeout:
                _kill(worker.process)
                self._leave(job)
                late = None if job.result() else "late"
                ended.append(Ended(job, late and f"it took longer than {self._timeout:g} s; see {job.folder.log}"))
            elif code is not None:
                self._leave(job)
                if job.result():
                    ended.append(Ended(job))
                elif code == TROUBLE:
                    ended.append(Ended(job, _last_line(job.folder.log), trouble=True))
                elif (code < 0 or code == STOPPED) and self._deaths.get(job, 0) < RETRIES:
                    self._deaths[job] = self._deaths.get(job, 0) + 1
                    self.submit(job)
                else:
                    ended.append(Ended(job, f"{_describe(code)}; see {job.folder.log}"))
        return ended

    def cancel(self) -> None:
        """SIGTERM to all; those that do not save and go within a minute are killed."""
        for worker in self._running.values():
            worker.process.terminate()
        deadline = time.monotonic() + GRACE
        for job, worker in [*self._running.items()]:
            try:
                worker.process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                _kill(worker.process)
            self._leave(job)
        if self._server:
            self._server.close()
            self._server = None

    def _leave(self, job: Job) -> None:
        self._free.append(self._running.pop(job).slot)
        self._free.sort()

    def _cores(self, slot: int) -> list[int]:
        """A worker's share of the cores, where the system can pin it and there are enough for all; else none.

        All cores are shared out, wanted or not: two searches on one machine would take the same first ones.
        """
        cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
        if not self._pinned or self._workers * self._threads > len(cores):
            return []
        begin, end = (len(cores) * place // self._workers for place in (slot, slot + 1))
        return cores[begin:end]

    def _gpu(self, slot: int) -> str:
        """One of those that this process may use, by its name in CUDA_VISIBLE_DEVICES."""
        given = os.environ.get("CUDA_VISIBLE_DEVICES")
        names = given.split(",") if given else [str(number) for number in range(self._gpus)]
        return names[slot % len(names)]


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
    return next((line for line in reversed(lines) if line.strip()), "no reason given")


def _kill(process: "subprocess.Popen[bytes] | ForkedWorker") -> None:
    """The worker and what it started."""
    try:
        if isinstance(process, ForkedWorker):
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        process.kill()
    with suppress(subprocess.TimeoutExpired):  # one that waits for a disk that does not answer is left behind
        process.wait(PATIENCE)


def _describe(code: int) -> str:
    if code >= 0:
        return f"its process ended with exit code {code}, without a result"
    return f"its process was killed by {signal.Signals(-code).name} {RETRIES + 1} times"
