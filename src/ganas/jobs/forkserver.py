"""A process that workers are forked from: it has imported torch and what they train with, so they begin at once.

Not multiprocessing's fork server: that one runs the caller's script again in each child, imports from the current
folder, is shared by all of a process, and has the environment of the moment it was first used, which OpenMP reads as
torch is loaded.

The server computes nothing, so it has no threads of torch's and never touches CUDA: threads, GPU and cores are given
to each worker after the fork. It is told what to do on stdin and says on stdout what became of it, a JSON list a line.
When its driver goes, however that goes, stdin ends and so does the server; its workers see that and save.
"""

import gc
import json
import os
import select
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn
from weakref import finalize

from ganas.jobs.job import Job
from ganas.jobs.worker import load_work, run_worker

# ── the driver's end ─────────────────────────────────────────────────────────────────────────────────────────────────


class ForkServer:
    """Started with the first worker. It and its workers end with this process, or when this is collected."""

    def __init__(self, kinds: str, environment: Mapping[str, str], log: Path) -> None:
        with log.open("ab") as file:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "ganas.jobs.forkserver", kinds],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=file,
                env=environment,
                bufsize=0,
                start_new_session=True,  # Ctrl-C is for the driver
            )
        assert self._process.stdout
        os.set_blocking(self._process.stdout.fileno(), False)
        self._unread = b""
        self._codes: dict[int, int] = {}
        self._count = 0
        self.forked: set[int] = set()
        self.close = finalize(self, _end, self._process)

    def start(self, job: Job, cores: Collection[int], environment: Mapping[str, str]) -> "ForkedWorker":
        """Fork a worker; what it prints goes into the job's log."""
        self._count += 1
        document = {"kind": job.kind, "path": str(job.path.absolute()), "images": job.images}
        self.tell(self._count, {**document, "cores": [*cores], "environment": dict(environment)})
        return ForkedWorker(self, self._count)

    def tell(self, number: int, request: Any) -> None:
        """Send a request about a worker: what to start, or a signal."""
        assert self._process.stdin
        with suppress(BrokenPipeError):  # of one that has died; `code` says so
            self._process.stdin.write((json.dumps([number, request]) + "\n").encode())

    def code(self, number: int) -> int | None:
        """The exit code of a worker, a signal as a negative one, or that of the server; None while it runs."""
        assert self._process.stdout
        while self.alive and (read := self._process.stdout.read(1 << 16)) is not None:
            if not read:
                self.close()
            *lines, self._unread = (self._unread + read).split(b"\n")
            for worker, code in map(json.loads, lines):
                if code is None:
                    self.forked.add(worker)
                else:
                    self._codes[worker] = code
        return self._codes.get(number, self._process.returncode)

    @property
    def alive(self) -> bool:
        """Whether it can fork workers; false once `code` has found it gone."""
        return self.close.alive

    def wait(self, seconds: float) -> None:
        """For news."""
        assert self._process.stdout
        select.select([self._process.stdout], [], [], seconds)


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        assert pipe
        pipe.close()


class ForkedWorker:
    """A worker, as `subprocess.Popen` would have it."""

    def __init__(self, server: ForkServer, number: int) -> None:
        self._server, self._number = server, number

    def poll(self) -> int | None:
        """Its exit code; None while it runs."""
        return self._server.code(self._number)

    def wait(self, timeout: float) -> int:
        """Its exit code; raises `subprocess.TimeoutExpired`."""
        deadline = time.monotonic() + timeout
        while (code := self.poll()) is None:
            if (left := deadline - time.monotonic()) <= 0:
                raise subprocess.TimeoutExpired("a worker", timeout)
            self._server.wait(left)
        return code

    def terminate(self) -> None:
        """Ask it to save and go; where none was forked yet, it and those beside it never are."""
        if self.poll() is None and not self._server.forked:
            self._server.close()
        else:
            self._server.tell(self._number, signal.SIGTERM)

    def kill(self) -> None:
        """It, and what it started."""
        self._server.tell(self._number, signal.SIGKILL)


# ── the server ───────────────────────────────────────────────────────────────────────────────────────────────────────


class _Server:
    def __init__(self, kinds: str) -> None:
        self._kinds = kinds
        self._workers: dict[int, int] = {}  # processes by number
        self._woken, waker = os.pipe()
        os.set_blocking(waker, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(waker, warn_on_full_buffer=False)

    def serve(self) -> None:
        """Until the driver is gone."""
        unread = b""
        while True:
            ready, _, _ = select.select([0, self._woken], [], [])
            if self._woken in ready:
                os.read(self._woken, 1 << 16)
                self._reap()
            if 0 in ready:
                if not (read := os.read(0, 1 << 16)):
                    return
                *lines, unread = (unread + read).split(b"\n")
                for number, request in map(json.loads, lines):
                    self._obey(number, request)

    def _reap(self) -> None:
        with suppress(ChildProcessError):
            while (found := os.waitpid(-1, os.WNOHANG))[0]:
                for number in [number for number, process in self._workers.items() if process == found[0]]:
                    del self._workers[number]
                    _say(number, os.waitstatus_to_exitcode(found[1]))

    def _obey(self, number: int, request: Any) -> None:
        if isinstance(request, dict):
            with suppress(Exception):  # the worker will say it, in its log
                load_work(self._kinds, request["kind"])
            gc.freeze()  # a collection would write to every page that workers share
            parent = os.getpid()
            if not (process := os.fork()):
                _work(self._kinds, parent, request)
            self._workers[number] = process
            _say(number, None)
        elif process := self._workers.get(number, 0):  # not reaped, so nobody else has its number
            try:
                (os.killpg if request == signal.SIGKILL else os.kill)(process, request)
            except ProcessLookupError:  # it leads no group yet
                os.kill(process, request)


def _say(number: int, code: int | None) -> None:
    with suppress(BrokenPipeError):
        os.write(1, (json.dumps([number, code]) + "\n").encode())


def _work(kinds: str, parent: int, request: Mapping[str, Any]) -> NoReturn:
    """Be the worker, as a process that was started for it would be."""
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.setsid()
        job = Job(request["kind"], Path(request["path"]), request["images"])
        nothing = os.open(os.devnull, os.O_RDONLY)
        log = os.open(job.folder.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        for number, handle in enumerate((nothing, log, log)):  # in place of the pipes to the driver
            os.dup2(handle, number)
        os.environ.update(request["environment"])
        if request["cores"]:
            os.sched_setaffinity(0, request["cores"])
        code = run_worker(job, kinds, parent)
    except SystemExit as exit:
        code = exit.code if isinstance(exit.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            with suppress(Exception):
                stream.flush()
        os._exit(code)


if __name__ == "__main__":
    _Server(sys.argv[1]).serve()
