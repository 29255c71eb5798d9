"""Processes that decode batches, each with its own pipe: no shared memory, no lock that a dead process could hold.

``python -m ganas.data.processes`` is such a process. It reads its task from stdin and writes batches to stdout, both
pickled, until the pipe is closed; a full pipe keeps it from running ahead.
"""

import itertools
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import IO, cast

from ganas.data.threads import JOIN_TIMEOUT
from ganas.data.unpaired import Batch, Domain, unpaired_batch
from ganas.errors import DataError

if sys.platform == "linux":
    import fcntl

COMMAND = (sys.executable, "-P", "-m", "ganas.data.processes")  # -P: nothing is imported from the current folder
MAX_PIPE_BYTES = 1 << 20  # the limit on Linux for ordinary users


@contextmanager
def processes(count: int, domains: Sequence[Domain], batch: int, start: int) -> Iterator[Callable[[int], Batch]]:
    """Yield a function that returns the next batch, from image ``start`` on; ``count`` processes take turns.

    It raises DataError if a file has become unreadable, or the process whose turn it is has died.
    """
    with ExitStack() as stack:
        batch_bytes = sum(3 * domain.resolution**2 * batch for domain in domains)
        workers = [stack.enter_context(_process(batch_bytes)) for _ in range(count)]
        for worker, first in zip(workers, itertools.count(start, batch), strict=False):
            # a dead process is reported when it is its turn
            with suppress(BrokenPipeError), _pipe(worker.stdin) as pipe:
                pickle.dump((domains, batch, first, count * batch), pipe)
        turns = itertools.cycle(workers)
        yield lambda _: _receive(next(turns))


@contextmanager
def _process(batch_bytes: int) -> Iterator["subprocess.Popen[bytes]"]:
    """Start a process in its own session, so that Ctrl-C does not reach it; kill it at the end."""
    worker = subprocess.Popen(COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
    try:
        if sys.platform == "linux":
            with suppress(OSError):  # one batch ahead; all pipes of a user share a limit
                fcntl.fcntl(_pipe(worker.stdout), fcntl.F_SETPIPE_SZ, min(batch_bytes, MAX_PIPE_BYTES))
        yield worker
    finally:
        worker.kill()
        with suppress(subprocess.TimeoutExpired):
            worker.wait(JOIN_TIMEOUT)
            _pipe(worker.stdout).close()


def _receive(worker: "subprocess.Popen[bytes]") -> Batch:
    try:
        batch = pickle.load(_pipe(worker.stdout))
    except (EOFError, pickle.UnpicklingError):
        code = worker.wait()
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        why = ", perhaps out of memory" if how == "SIGKILL" else ""
        died = f"a process that decodes images died ({how}{why})"
        raise DataError(f"{died}: lower data.workers; the same command resumes") from None
    if isinstance(batch, Exception):
        raise batch
    return cast(Batch, batch)


def _pipe(end: IO[bytes] | None) -> IO[bytes]:
    assert end is not None
    return end


def main() -> None:
    """Write the batches from images first, first + step, ... on; in place of a batch, its error."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # the run ends its processes itself
    with suppress(BrokenPipeError, EOFError), os.fdopen(os.dup(1), "wb") as out:
        os.dup2(2, 1)  # output of libraries must not mix with batches
        domains, count, first, step = pickle.load(sys.stdin.buffer)
        for start in itertools.count(first, step):
            try:
                batch: Batch | Exception = unpaired_batch(domains, count, start)
            except (DataError, MemoryError) as error:  # the user can fix these; other errors print a traceback
                batch = error
            pickle.dump(batch, out, protocol=5)  # writes arrays without a copy
            out.flush()


if __name__ == "__main__":
    main()
