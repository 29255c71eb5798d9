"""A process that workers are forked from: it has imported torch and the training code, so they start at once.

This is not multiprocessing's forkserver, which runs the caller's script again in each child, imports from the current
folder, and keeps the environment of its first use, which OpenMP reads when torch loads.

The server computes nothing, so it has no torch threads and never initializes CUDA: each worker sets its threads, GPU
and cores after the fork. Requests arrive on stdin and exit codes leave on stdout, as one JSON list per line. When the
driver dies, stdin ends and the server exits; its workers notice, save and exit.
"""

import gc
import json
import os
import select
import signal
import subprocess
import sys
import traceback
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn
from weakref import finalize

from ganas.errors import describe_os_error
from ganas.jobs.job import Job
from ganas.jobs.worker import EXIT_FATAL, load_work, run_worker

# ── in the driver ────────────────────────────────────────────────────────────────────────────────────────────────────


class ForkServer:
    """The driver's handle of a server. Server and workers end with this process, or with this object."""

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
        self._exit_codes: dict[int, int] = {}
        self._count = 0
        self.has_forked = False
        self.close = finalize(self, _close, self._process)

    def start(self, job: Job, cores: Collection[int], environment: Mapping[str, str]) -> "ForkedWorker":
        """Fork a worker; its output goes to the job's log."""
        self._count += 1
        given = {"kind": job.kind, "path": str(job.path.absolute()), "images": job.images}
        self.send(self._count, {**given, "cores": [*cores], "environment": dict(environment)})
        return ForkedWorker(self, self._count)

    def send(self, number: int, request: Any) -> None:
        """Send a request about a worker: what to start, or a signal."""
        if not self.alive:
            return
        assert self._process.stdin
        with suppress(BrokenPipeError):  # the server has died; `exit_code` reports it
            self._process.stdin.write((json.dumps([number, request]) + "\n").encode())

    def exit_code(self, number: int) -> int | None:
        """The exit code of a worker (negative: a signal); None while it runs. If the server dies, so do they."""
        assert self._process.stdout
        while self.alive and (read := self._process.stdout.read(1 << 16)) is not None:
            if not read:
                self.close()
            *lines, self._unread = (self._unread + read).split(b"\n")
            for worker, code in map(json.loads, lines):
                if code is None:
                    self.has_forked = True
                else:
                    self._exit_codes[worker] = code
        server = self._process.returncode
        return self._exit_codes.get(number, server if server is None or server < 0 else EXIT_FATAL)

    @property
    def alive(self) -> bool:
        """Whether it can fork workers; false once `exit_code` has found it dead."""
        return self.close.alive


def _close(process: "subprocess.Popen[bytes]") -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        assert pipe
        pipe.close()


class ForkedWorker:
    """A worker, with some methods of `subprocess.Popen`."""

    def __init__(self, server: ForkServer, number: int) -> None:
        self._server, self._number = server, number

    def poll(self) -> int | None:
        return self._server.exit_code(self._number)

    def terminate(self) -> None:
        """Ask it to save and exit. A server that is still importing, and has forked nothing, is killed instead."""
        if self.poll() is not None:
            return
        if self._server.has_forked:
            self._server.send(self._number, signal.SIGTERM)
        else:
            self._server.close()

    def kill(self) -> None:
        """Kill it and its child processes."""
        self._server.send(self._number, signal.SIGKILL)


# ── the server ───────────────────────────────────────────────────────────────────────────────────────────────────────


class _Server:
    def __init__(self, kinds: str) -> None:
        self._kinds = kinds
        self._workers: dict[int, int] = {}  # number -> process id
        self._wakeup, write_end = os.pipe()  # readable after SIGCHLD
        os.set_blocking(write_end, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)

    def serve(self) -> None:
        """Handle requests until the driver is gone."""
        unread = b""
        while True:
            ready, _, _ = select.select([0, self._wakeup], [], [])
            if self._wakeup in ready:
                os.read(self._wakeup, 1 << 16)
                self._reap()
            if 0 in ready:
                if not (read := os.read(0, 1 << 16)):
                    return
                *lines, unread = (unread + read).split(b"\n")
                for number, request in map(json.loads, lines):
                    self._handle(number, request)

    def _reap(self) -> None:
        with suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                for number in [number for number, process in self._workers.items() if process == ended[0]]:
                    del self._workers[number]
                    _report(number, os.waitstatus_to_exitcode(ended[1]))

    def _handle(self, number: int, request: Any) -> None:
        if isinstance(request, dict):
            with suppress(Exception):  # the worker will fail in the same way, with a traceback in its log
                load_work(self._kinds, request["kind"])
            gc.freeze()  # a garbage collection would write to every page that workers share
            parent = os.getpid()
            try:
                process = os.fork()
            except OSError as error:  # a limit on processes or memory
                with suppress(OSError), Path(request["path"], "log.txt").open("a", encoding="utf-8") as log:
                    log.write(f"cannot start a worker: {describe_os_error(error)}\n")
                _report(number, EXIT_FATAL)
                return
            if not process:
                _run_forked(self._kinds, parent, request)
            self._workers[number] = process
            _report(number, None)
        elif process := self._workers.get(number, 0):  # not reaped, so no other process has its id
            try:
                (os.killpg if request == signal.SIGKILL else os.kill)(process, request)
            except ProcessLookupError:  # its process group does not exist yet
                os.kill(process, request)


def _report(number: int, code: int | None) -> None:
    """Send a worker's exit code to the driver; None: it was forked."""
    with suppress(BrokenPipeError):
        os.write(1, (json.dumps([number, code]) + "\n").encode())


def _run_forked(kinds: str, parent: int, request: Mapping[str, Any]) -> NoReturn:
    """Run the job in the forked child, set up like a freshly started worker process, and exit."""
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.setsid()
        job = Job(request["kind"], Path(request["path"]), request["images"])
        null = os.open(os.devnull, os.O_RDONLY)
        log = os.open(job.folder.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        for number, handle in enumerate((null, log, log)):  # replaces the pipes to the driver
            os.dup2(handle, number)
        os.environ.update(request["environment"])
        if request["cores"]:
            with suppress(OSError):  # they are no longer ours
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
