"""What every worker does around its work: hold the job, write down how it ended, go when asked or when nobody looks.

Exceptions and numbers that are lost are results, written down with where to read more. A signal is none: the worker
saves and goes, and can be started again. Nor is what its job cannot help, a full disk or images that are gone: that is
said in one line, and the whole run stops. No torch here.

`main_of` makes a program of a function: python -m MODULE JOB [DRIVER], where JOB is a folder and DRIVER the process
that looks after the worker.
"""

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
from ganas.jobs.result import Result, failure, read_result
from ganas.progress import Reporter
from ganas.signals import StopSignal
from ganas.store import Run

BEGAN = time.monotonic()
STOPPED = 130  # exit code: asked to stop, everything is saved
TROUBLE = 75  # exit code: nothing that the job could help; the last line of its log says what

Work = Callable[[Run, StopSignal, Reporter], Result]  # of the job's folder; what is said goes into its log


def finish(job: Path, stop: StopSignal, work: Work) -> None:
    """Do the work of a job's folder, unless it has ended.

    Raises `Stopped`, and `UserError` or `OSError` for what the job cannot help.
    """
    folder = Run(job)
    with locked(folder, stop):
        folder.sweep()
        if read_result(folder) is None:
            result = replace(_result(folder, stop, work), elapsed=round(time.monotonic() - BEGAN, 3))
            folder.write_text(folder.result, result.to_json())
        for checkpoint in folder.checkpoint_paths():
            checkpoint.unlink()


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


def _result(folder: Run, stop: StopSignal, work: Work) -> Result:
    reporter = Reporter(folder.log, quiet=True)
    try:
        return work(folder, stop, reporter)
    except (Stopped, UserError, OSError):
        raise
    except Exception as error:
        for line in traceback.format_exc().splitlines():
            reporter.say(line)
        return failure(folder, f"{_reason(error)}; see {folder.log}")


def _reason(error: Exception) -> str:
    if is_out_of_memory(error):
        return (
            "out of memory: fewer --workers or a smaller training.batch need less, as do smaller networks (grow: "
            "growth.max_macs)"
        )
    kind = "" if isinstance(error, GanasError) else f"{type(error).__name__}: "
    return f"{kind}{(str(error).splitlines() or ['no reason given'])[0]}"


def end_with(driver: int, stop: StopSignal) -> None:
    """Ask this process to stop when its driver, its parent, is gone: nobody would look after it."""
    while os.getppid() == driver:
        time.sleep(1)
    if not stop.received:  # a second signal would not let it save
        os.kill(os.getpid(), signal.SIGTERM)


def main_of(work: Work) -> int:
    """Entry point of a process; its exit code."""
    job, *driver = sys.argv[1:]
    with StopSignal().listening() as stop:
        if driver:
            threading.Thread(target=end_with, args=(int(driver[0]), stop), daemon=True).start()
        try:
            finish(Path(job), stop, work)
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
