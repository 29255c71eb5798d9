"""python -m ganas.executors.worker RUN/candidates/ID: train one candidate, and write how it ended.

Exceptions and numbers that are lost are results, written down with where to read more; a signal is none: the worker
saves and goes, and can be started again.
"""

import os
import signal
import sys
import threading
import time
import traceback
from pathlib import Path

from ganas.candidates import Result, read_result, read_spec
from ganas.config import GrowConfig, load_config
from ganas.errors import GanasError, RunError, Stopped
from ganas.progress import Reporter, StopSignal
from ganas.store import Run

STOPPED = 130  # exit code: asked to stop, everything is saved
PATIENCE = 120.0  # seconds to wait for a worker whose driver is gone: it saves and goes


def work(job: Path, stop: StopSignal) -> None:
    """Train the candidate whose folder this is, unless it has ended. Raises `Stopped`."""
    from filelock import FileLock, Timeout

    candidate = Run(job)
    lock = FileLock(job / "lock")
    try:
        lock.acquire(timeout=PATIENCE)
    except Timeout:
        raise RunError(f"{str(job)!r} is being trained by another process") from None
    with lock:
        if read_result(candidate) is None:
            candidate.write_text(candidate.result, _train(candidate, stop).to_json())


def _train(candidate: Run, stop: StopSignal) -> Result:
    reporter = Reporter(candidate.log, quiet=True)
    try:
        from ganas.data.sources import open_source
        from ganas.metrics.statistics import Cache, default_cache
        from ganas.training.candidate import Candidate, Reals

        run = Run(candidate.path.parent.parent)
        config = load_config(GrowConfig, run.config.read_bytes(), str(run.config))
        spec = read_spec(candidate)
        parent = run.candidate(spec.parent) if spec.parent else None
        skip = config.data.skip_bad  # the run has looked at every image: only to skip some it has to be done again
        reals = Reals(open_source(config.data.images, skip_bad=skip, verify=skip), config, Cache(default_cache()))
        training = Candidate(candidate, spec, config, parent, reals)
        result = training.train(reporter, stop)
        training.save_final()
        return result
    except Stopped:
        raise
    except Exception as error:
        for line in traceback.format_exc().splitlines():
            reporter.say(line)
        kind = "" if isinstance(error, GanasError) else f"{type(error).__name__}: "
        reason = (str(error).splitlines() or ["no reason given"])[0]
        return Result("failed", error=f"{kind}{reason}; see {candidate.log}")


def _end_with(parent: int) -> None:
    """Ask this process to stop when its parent is gone: nobody would look after it."""
    while os.getppid() == parent:
        time.sleep(1)
    os.kill(os.getpid(), signal.SIGTERM)


def main() -> int:
    """Entry point of the process."""
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    with StopSignal().listening() as stop:
        try:
            work(Path(sys.argv[1]), stop)
        except Stopped:
            return STOPPED
        except GanasError as error:
            print(f"ganas: {error}", file=sys.stderr)
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
