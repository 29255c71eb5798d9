"""python -m ganas.executors.worker RUN/candidates/ID [DRIVER]: train one candidate, and write how it ended.

Exceptions and numbers that are lost are results, written down with where to read more. A signal is none: the worker
saves and goes, and can be started again. Nor is what its candidate cannot help, a full disk or images that are gone:
that is said in one line, and the whole search stops. DRIVER is the process that looks after the worker.
"""

import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from ganas.candidates import Result, read_result, read_spec
from ganas.config import GrowConfig, load_config
from ganas.errors import GanasError, Stopped, UserError, describe_os_error, is_out_of_memory
from ganas.progress import Reporter, StopSignal
from ganas.store import Run

BEGAN = time.monotonic()
STOPPED = 130  # exit code: asked to stop, everything is saved
TROUBLE = 75  # exit code: nothing that the candidate could help; the last line of its log says what


def work(job: Path, stop: StopSignal) -> None:
    """Train the candidate whose folder this is, unless it has ended.

    Raises `Stopped`, and `UserError` or `OSError` for what the candidate cannot help.
    """
    candidate = Run(job)
    with locked(candidate, stop):
        candidate.sweep()
        if read_result(candidate) is None:
            result = replace(_train(candidate, stop), elapsed=round(time.monotonic() - BEGAN, 3))
            candidate.write_text(candidate.result, result.to_json())
        for checkpoint in candidate.checkpoint_paths():
            checkpoint.unlink()


@contextmanager
def locked(candidate: Run, stop: StopSignal) -> Iterator[None]:
    """Hold a candidate, once a worker whose driver is gone has saved and left it."""
    from filelock import FileLock, Timeout

    lock = FileLock(candidate.lock_file)
    while True:
        stop.check()
        try:
            lock.acquire(timeout=1)
            break
        except Timeout:
            continue
    with lock:
        yield


def _train(candidate: Run, stop: StopSignal) -> Result:
    reporter = Reporter(candidate.log, quiet=True)
    try:
        from ganas.training.candidate import Candidate, Reals, open_squares

        run = Run(candidate.path.parent.parent)
        config = load_config(GrowConfig, run.config.read_bytes(), str(run.config))
        spec = read_spec(candidate)
        parent = run.candidate(spec.parent) if spec.parent else None
        training = Candidate(candidate, spec, config, parent, Reals(open_squares(run, config), config))
        result = training.train(reporter, stop)
        training.save_final()
        return result
    except (Stopped, UserError, OSError):
        raise
    except Exception as error:
        for line in traceback.format_exc().splitlines():
            reporter.say(line)
        return Result("failed", error=f"{_reason(error)}; see {candidate.log}")


def _reason(error: Exception) -> str:
    if is_out_of_memory(error):
        return "out of memory: growth.max_macs keeps candidates small, training.batch and --workers what runs at once"
    kind = "" if isinstance(error, GanasError) else f"{type(error).__name__}: "
    return f"{kind}{(str(error).splitlines() or ['no reason given'])[0]}"


def end_with(driver: int) -> None:
    """Ask this process to stop when its driver, its parent, is gone: nobody would look after it."""
    while os.getppid() == driver:
        time.sleep(1)
    os.kill(os.getpid(), signal.SIGTERM)


def main() -> int:
    """Entry point of the process."""
    job, *driver = sys.argv[1:]
    with StopSignal().listening() as stop:
        if driver:
            threading.Thread(target=end_with, args=(int(driver[0]),), daemon=True).start()
        try:
            work(Path(job), stop)
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
    sys.exit(main())
