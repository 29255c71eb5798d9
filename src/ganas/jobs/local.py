"""Run each job in a process on this machine. No torch here.

Not `ProcessPoolExecutor`, where one dead child breaks every future. A worker that is killed by a signal (for example
by the kernel's OOM killer) is restarted from its last checkpoint, twice. An exit without a result is a failure.
"""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from ganas.jobs.executor import JobExit
from ganas.jobs.forkserver import ForkedWorker, ForkServer
from ganas.jobs.job import Job
from ganas.jobs.worker import EXIT_FATAL, EXIT_STOPPED, KINDS_MODULE

MAX_RESTARTS = 2  # of a worker that was killed
SAVE_TIMEOUT = 60.0  # seconds within which a stopped worker must save and exit
KILL_TIMEOUT = 10.0  # seconds to wait for the exit of a killed worker
EXIT_POLL_SECONDS = 0.01

Process = subprocess.Popen[bytes] | ForkedWorker


class _Worker(NamedTuple):
    process: Process
    slot: int
    began: float


class Local:
    """Runs `workers` processes at once, each on its share of the cores if there are enough, and on one GPU.

    kinds      the module with the table of job functions (`ganas.kinds`)
    gpus       number of GPUs, which are assigned to workers in turn
    timeout    seconds per worker; None: no limit
    pinned     pin workers to cores; False where another scheduler assigns them
    warm       fork workers from a server that has imported their code; False: start Python anew for each
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
            raise ValueError(f"workers and threads must be at least 1, got {workers=}, {threads=}")
        self._workers, self._threads, self._gpus = workers, threads, gpus
        self._timeout, self._kinds, self._pinned, self._warm = timeout, kinds, pinned, warm
        self._server: ForkServer | None = None
        self._free = list(range(workers))
        self._running: dict[Job, _Worker] = {}
        self._restarts = Counter[Job]()
        self.capacity = workers

    def submit(self, job: Job) -> None:
        """Start a worker; fewer than `capacity` may be running, and not this job."""
        slot = self._free.pop(0)
        environment = {"OMP_NUM_THREADS": str(self._threads)}
        if self._gpus:
            environment["CUDA_VISIBLE_DEVICES"] = self._gpu(slot)
        start = self._fork if self._warm else self._start
        self._running[job] = _Worker(start(job, environment, self._cores(slot)), slot, time.monotonic())

    def _fork(self, job: Job, environment: dict[str, str], cores: list[int]) -> ForkedWorker:
        if self._server is None or not self._server.alive:  # OpenMP reads the number of threads when torch is imported
            self._server = ForkServer(self._kinds, os.environ | environment, job.folder.log)
        return self._server.start(job, cores, environment)

    def _start(self, job: Job, environment: dict[str, str], cores: list[int]) -> "subprocess.Popen[bytes]":
        # -P: the current folder may hold a random.py
        command = [sys.executable, "-P", "-m", "ganas.jobs.worker", self._kinds, job.kind, str(job.path)]
        with job.folder.log.open("ab") as log:
            process = subprocess.Popen(
                [*command, str(job.images), str(os.getpid())],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=os.environ | environment,
                start_new_session=True,  # Ctrl-C is for the driver, which stops its workers
            )
        if cores:
            with suppress(OSError):  # it has exited already
                os.sched_setaffinity(process.pid, cores)
        return process

    def poll(self) -> Sequence[JobExit]:
        """Return the jobs that ended since the last call; killed workers are restarted."""
        ended = []
        for job, worker in [*self._running.items()]:
            code = worker.process.poll()
            if code is None:
                if not self._timeout or time.monotonic() - worker.began <= self._timeout:
                    continue
                _kill(worker.process)
            self._free_slot(job)
            if job.result():
                ended.append(JobExit(job))
            elif code is None:
                ended.append(JobExit(job, f"it took longer than {self._timeout:g} s; see {job.folder.log}"))
            elif code == EXIT_FATAL:
                ended.append(JobExit(job, _last_line(job.folder.log), fatal=True))
            elif (code < 0 or code == EXIT_STOPPED) and self._restarts[job] < MAX_RESTARTS:
                self._restarts[job] += 1
                self.submit(job)
            else:
                ended.append(JobExit(job, f"{_describe(code)}; see {job.folder.log}"))
        return ended

    def cancel(self) -> None:
        """Send SIGTERM to all workers, and kill those that do not exit within `SAVE_TIMEOUT`."""
        for worker in self._running.values():
            worker.process.terminate()
        deadline = time.monotonic() + SAVE_TIMEOUT
        for job, worker in [*self._running.items()]:
            if not _wait_for_exit(worker.process, deadline):
                _kill(worker.process)
            self._free_slot(job)
        if self._server:
            self._server.close()
            self._server = None

    def _free_slot(self, job: Job) -> None:
        self._free.append(self._running.pop(job).slot)
        self._free.sort()

    def _cores(self, slot: int) -> list[int]:
        """A worker's share of the cores; empty if the system cannot pin processes, or has too few cores for all.

        The shares cover all cores: otherwise two searches on one machine would share the first few.
        """
        cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
        if not self._pinned or self._workers * self._threads > len(cores):
            return []
        return cores[len(cores) * slot // self._workers : len(cores) * (slot + 1) // self._workers]

    def _gpu(self, slot: int) -> str:
        """A GPU that this process may use, by its name in CUDA_VISIBLE_DEVICES."""
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        names = visible.split(",") if visible else [*map(str, range(self._gpus))]
        return names[slot % len(names)]


def _last_line(log: Path) -> str:
    text = log.read_text(encoding="utf-8", errors="replace").rstrip()
    return text.rpartition("\n")[2] or "no reason given"


def _wait_for_exit(process: Process, deadline: float) -> bool:
    """Wait until `deadline`, by `time.monotonic`; return whether the worker has exited."""
    while (running := process.poll() is None) and time.monotonic() < deadline:
        time.sleep(EXIT_POLL_SECONDS)
    return not running


def _kill(process: Process) -> None:
    """Kill a worker and its child processes."""
    try:
        if isinstance(process, ForkedWorker):
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        process.kill()
    _wait_for_exit(process, time.monotonic() + KILL_TIMEOUT)  # abandon it if a disk still blocks it


def _describe(code: int) -> str:
    if code >= 0:
        return f"its process ended with exit code {code}, without a result"
    return f"its process was killed by {signal.Signals(-code).name} {MAX_RESTARTS + 1} times"
