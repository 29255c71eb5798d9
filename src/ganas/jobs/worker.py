"""What every worker does around its job: lock the folder, write the result, save and exit when stopped or orphaned.

An exception or a non-finite loss is a result: failed, with the reason and the path of the log. A signal is not: the
worker saves and exits, and can be started again. Nor is an error that would stop every other job too, such as a full
disk: the worker prints it in one line, and the whole run stops. No torch here.

``python -m ganas.jobs.worker KINDS KIND FOLDER IMAGES PARENT`` runs one job: KINDS is the module with the table of job
functions, PARENT the process without which the worker stops. `ganas.jobs.forkserver` forks workers instead.
"""

import importlib
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from ganas.errors import INTERRUPTED, GanasError, Stopped, UserError, describe_os_error, is_out_of_memory
from ganas.jobs.job import Job
from ganas.jobs.result import Result, failure, write_result
from ganas.progress import Reporter
from ganas.signals import StopSignal
from ganas.store import Run

KINDS_MODULE = "ganas.kinds"  # a name, not an import: that module imports from above this package
EXIT_STOPPED = INTERRUPTED  # exit code: stopped, everything is saved
EXIT_FATAL = 75  # exit code: an error that is not the job's fault; the last line of its log says which

Work = Callable[[Job, StopSignal, Reporter], Result]  # the reporter writes to the job's log


def load_work(kinds: str, kind: str) -> Work:
    """Import the function of a kind of job; `kinds` names a module with the table KINDS."""
    module, _, function = importlib.import_module(kinds).KINDS[kind].partition(":")
    return getattr(importlib.import_module(module), function)  # type: ignore[no-any-return]


def run_job(job: Job, stop: StopSignal, work: Work) -> None:
    """Run a job and write its result, unless it has one. Raises `Stopped`, and `UserError` or `OSError` if fatal."""
    began = time.monotonic()
    with _lock(job.folder, stop):
        job.folder.remove_partial_files()
        if job.result() is None:
            result = _run(job, stop, work)
            write_result(job.folder, replace(result, elapsed=round(time.monotonic() - began, 3)))


@contextmanager
def _lock(folder: Run, stop: StopSignal) -> Iterator[None]:
    """Lock a job's folder; if an orphaned worker still holds it, wait until that one has saved."""
    from filelock import FileLock, Timeout

    lock = FileLock(folder.lock_file)
    while not lock.is_locked:
        stop.check()
        with suppress(Timeout):
            lock.acquire(timeout=1)
    try:
        yield
    finally:
        lock.release()


def _run(job: Job, stop: StopSignal, work: Work) -> Result:
    reporter = Reporter(job.folder.log, quiet=True)
    try:
        result = work(job, stop, reporter)
        assert result.state == "failed" or result.images >= job.images, f"{result.images} of {job.images} images"
        return result
    except (Stopped, UserError, OSError):
        raise
    except Exception as error:
        for line in traceback.format_exc().splitlines():
            reporter.say(line)
        return failure(job.folder, f"{_reason(error)}; see {job.folder.log}")


def _reason(error: Exception) -> str:
    if is_out_of_memory(error):
        return (
            "out of memory: use fewer --workers, a smaller training.batch, or smaller networks (for ganas grow: "
            "growth.max_macs)"
        )
    kind = "" if isinstance(error, GanasError) else f"{type(error).__name__}: "
    return f"{kind}{(str(error).splitlines() or ['no reason given'])[0]}"


def _stop_when_orphaned(parent: int, stop: StopSignal) -> None:
    """Signal this process to stop when its parent is gone, since nobody monitors it any more."""
    while os.getppid() == parent:
        time.sleep(1)
    if not stop.received:  # a second signal would not let it save
        os.kill(os.getpid(), signal.SIGTERM)


def run_worker(job: Job, kinds: str, parent: int) -> int:
    """Run a job in a process of its own, as long as `parent` is its parent; returns the exit code."""
    with StopSignal().listening() as stop:
        threading.Thread(target=_stop_when_orphaned, args=(parent, stop), daemon=True).start()
        try:
            # import torch only after the lock is acquired: a worker that waits for it needs little memory
            run_job(job, stop, lambda *arguments: load_work(kinds, job.kind)(*arguments))
        except (Stopped, KeyboardInterrupt):
            return EXIT_STOPPED
        except (UserError, OSError) as error:
            line = describe_os_error(error) if isinstance(error, OSError) else str(error)
            print(" ".join(line.split()), file=sys.stderr)
            return EXIT_FATAL
    return 0


if __name__ == "__main__":
    kinds, kind, path, images, parent = sys.argv[1:]
    sys.exit(run_worker(Job(kind, Path(path), int(images)), kinds, int(parent)))
