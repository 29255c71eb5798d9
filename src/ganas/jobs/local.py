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
from ganas.jobs.result import read_result
from ganas.jobs.worker import STOPPED, TROUBLE
from ganas.store import Run

RETRIES = 2  # of a worker that was killed
GRACE = 60.0  # seconds that a worker has to save in
PATIENCE = 10.0  # seconds for one that was killed to be gone


@dataclass
class _Worker:
    process: subprocess.Popen[bytes]
    slot: int
    began: float


class Local:
    """`workers` processes at once, each on its share of the cores where there are enough, and on one GPU.

    command    what Python is given to be a worker, as -m ganas.growing.worker; its job and this process come behind.
               Nothing is imported from the current folder, a random.py among the images for one (-P)
    gpus       number of GPUs, which workers are spread over
    timeout    seconds that a worker may take; None: as long as it likes
    pinned     to cores; not where somebody else shares them out
    """

    def __init__(
        self,
        workers: int,
        command: Sequence[str],
        *,
        threads: int = 1,
        gpus: int = 0,
        timeout: float | None = None,
        pinned: bool = True,
    ) -> None:
        if workers < 1 or threads < 1:
            raise ValueError(f"there has to be a worker with a thread, got {workers=}, {threads=}")
        self._workers, self._threads, self._gpus = workers, threads, gpus
        self._timeout, self._command, self._pinned = timeout, tuple(command), pinned
        self._free = list(range(workers))
        self._running: dict[Path, _Worker] = {}
        self._deaths: dict[Path, int] = {}
        self.capacity = workers

    def submit(self, job: Path) -> None:
        """Start a worker; the job must not run, and a worker has to be free."""
        slot = self._free.pop(0)
        environment = os.environ | {"OMP_NUM_THREADS": str(self._threads)}
        if self._gpus:
            environment["CUDA_VISIBLE_DEVICES"] = self._gpu(slot)
        with (job / "log.txt").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-P", *self._command, str(job), str(os.getpid())],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                start_new_session=True,  # Ctrl-C is for the driver, which asks its workers to stop
            )
        self._pin(process.pid, slot)
        self._running[job] = _Worker(process, slot, time.monotonic())

    def poll(self) -> Sequence[Ended]:
        """The jobs that ended since the last call; those that were killed are begun again."""
        ended = []
        for job, worker in [*self._running.items()]:
            code = worker.process.poll()
            if code is None and self._timeout and time.monotonic() - worker.began > self._timeout:
                _kill(worker.process)
                self._leave(job)
                late = None if read_result(Run(job)) else "late"
                ended.append(Ended(job, late and f"it took longer than {self._timeout:g} s; see {job / 'log.txt'}"))
            elif code is not None:
                self._leave(job)
                if read_result(Run(job)):
                    ended.append(Ended(job))
                elif code == TROUBLE:
                    ended.append(Ended(job, _last_line(job / "log.txt"), trouble=True))
                elif (code < 0 or code == STOPPED) and self._deaths.get(job, 0) < RETRIES:
                    self._deaths[job] = self._deaths.get(job, 0) + 1
                    self.submit(job)
                else:
                    ended.append(Ended(job, f"{_describe(code)}; see {job / 'log.txt'}"))
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

    def _leave(self, job: Path) -> None:
        self._free.append(self._running.pop(job).slot)
        self._free.sort()

    def _pin(self, process: int, slot: int) -> None:
        """Give a process its share of the cores, where the system can and there are enough for all.

        All cores are shared out, wanted or not: two searches on one machine would take the same first ones.
        """
        cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
        if not self._pinned or self._workers * self._threads > len(cores):
            return
        begin, end = (len(cores) * place // self._workers for place in (slot, slot + 1))
        try:
            os.sched_setaffinity(process, cores[begin:end])
        except OSError:
            return  # it has ended already

    def _gpu(self, slot: int) -> str:
        """One of those that this process may use, by its name in CUDA_VISIBLE_DEVICES."""
        given = os.environ.get("CUDA_VISIBLE_DEVICES")
        names = given.split(",") if given else [str(number) for number in range(self._gpus)]
        return names[slot % len(names)]


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
    return next((line for line in reversed(lines) if line.strip()), "no reason given")


def _kill(process: subprocess.Popen[bytes]) -> None:
    """The worker and what it started."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        process.kill()
    with suppress(subprocess.TimeoutExpired):  # one that waits for a disk that does not answer is left behind
        process.wait(PATIENCE)


def _describe(code: int) -> str:
    if code >= 0:
        return f"its process ended with exit code {code}, without a result"
    return f"its process was killed by {signal.Signals(-code).name} {RETRIES + 1} times"
