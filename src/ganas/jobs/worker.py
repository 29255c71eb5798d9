"""What every worker does around its work: hold the job, write down how it ended, go when asked or when nobody looks.

Exceptions and numbers that are lost are results, written down with where to read more. A signal is none: the worker
saves and goes, and can be started again. Nor is what its job cannot help, a full disk or images that are gone: that is
said in one line, and the whole run stops. No torch here.

python -m ganas.jobs.worker KINDS KIND FOLDER IMAGES PARENT is a worker: a job, the module that says which function does
it, and the process that looks after the worker. `ganas.jobs.forkserver` forks workers that have their modules already.
"""

import importlib
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from ganas.errors import GanasError, Stopped, UserError, describe_os_error, is_out_of_memory
from ganas.jobs.job import Job
from ganas.jobs.result import Result, failure, write_result
from ganas.progress import Reporter
from ganas.signals import StopSignal
from ganas.store import Run

KINDS_MODULE = "ganas.kinds"  # a name, no import: it lies above, and so do the functions that it names
STOPPED = 130  # exit code: asked to stop, everything is saved
TROUBLE = 75  # exit code: nothing that the job could help; the last line of its log says what

Work = Callable[[Job, StopSignal, Reporter], Result]  # what is said goes into the job's log


def load_work(kinds: str, kind: str) -> Work:
    """The function of a kind of job, imported; `kinds` names a module with the table KINDS."""
    module, _, function = importlib.import_module(kinds).KINDS[kind].partition(":")
    return getattr(importlib.import_module(module), function)  # type: ignore[no-any-return]


def finish(job: Job, stop: StopSignal, work: Work) -> None:
    """Do a job, unless it has ended.

    Raises `Stopped`, and `UserError` or `OSError` for what the job cannot help.
    """
    began = time.monotonic()
    with locked(job.folder, stop):
        job.folder.remove_partial_files()
        if job.result() is None:
            result = _result(job, stop, work)
            write_result(job.folder, replace(result, elapsed=round(time.monotonic() - began, 3)))


@contextmanager
def locked(folder: Run, stop: StopSignal) -> Iterator[None]:
    """Hold a job, once a worker whose driver is gone has saved and left it."""
    from filelock import FileLock, Timeout

    lock = FileLock(folder.lock_file)
    while True:
        stop.check()
        try:
            held = lock.acquire(timeout=1)
            break
        except Timeout:
            continue
    with held:
        yield


def _result(job: Job, stop: StopSignal, work: Work) -> Result:
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
            "out of memory: fewer --workers or a smaller training.batch need less, as do smaller networks (grow: "
            "growth.max_macs)"
        )
    kind = "" if isinstance(error, GanasError) else f"{type(error).__name__}: "
    return f"{kind}{(str(error).splitlines() or ['no reason given'])[0]}"


def _end_with(parent: int, stop: StopSignal) -> None:
    """Ask this process to stop when its parent is gone: nobody would look after it."""
    while os.getppid() == parent:
        time.sleep(1)
    if not stop.received:  # a second signal would not let it save
        os.kill(os.getpid(), signal.SIGTERM)


def run_worker(job: Job, kinds: str, parent: int) -> int:
    """Do a job in a process of its own, as long as `parent` is its parent; the exit code."""
    with StopSignal().listening() as stop:
        threading.Thread(target=_end_with, args=(parent, stop), daemon=True).start()
        try:
            # no torch before it is needed: a worker that waits for its job waits lightly
            finish(job, stop, lambda *given: load_work(kinds, job.kind)(*given))
        except (Stopped, KeyboardInterrupt):
            return STOPPED
        except UserError as error:
            return _trouble(str(error))
        except OSError as error:
            return _trouble(describe_os_error(error))
    return 0


def _trouble(line: str) -> int:
    print(" ".join(line.split()), file=sys.stderr)
    return TROUBLE


if __name__ == "__main__":
    kinds, kind, path, images, parent = sys.argv[1:]
    sys.exit(run_worker(Job(kind, Path(path), int(images)), kinds, int(parent)))
