"""Processes that make batches, each with a pipe of its own: no shared memory, no lock that a dead one could hold.

``python -m ganas.data.processes`` is one of them. It is told what to make on stdin and hands over on stdout, both as
pickles, until nobody reads on; a full pipe keeps it from running ahead.
"""

import itertools
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import IO, cast

from ganas.data.unpaired import Batch, Unpaired
from ganas.errors import DataError

if sys.platform == "linux":
    import fcntl

COMMAND = (sys.executable, "-P", "-m", "ganas.data.processes")  # -P: nothing is imported from the current folder
MOST_PIPE_BYTES = 1 << 20  # that Linux gives to everybody
JOIN_TIMEOUT = 1.0  # seconds that a process has to be gone in once it was killed, else it is left behind


@contextmanager
def processes(count: int, unpaired: Unpaired, start: int) -> Iterator[Callable[[int], Batch]]:
    """Gives the batches from image ``start`` on, one a call, in their order; ``count`` processes make them in turn.

    A call raises DataError when a file has become unreadable, or the process whose turn it is has died.
    """
    with ExitStack() as stack:
        workers = [stack.enter_context(_process(unpaired.batch_bytes)) for _ in range(count)]
        step = count * unpaired.batch
        for worker, first in zip(workers, itertools.count(start, unpaired.batch), strict=False):
            _tell(worker, (unpaired, first, step))
        turns = itertools.cycle(workers)
        yield lambda _: _receive(next(turns))


@contextmanager
def _process(batch_bytes: int) -> Iterator["subprocess.Popen[bytes]"]:
    """One that is killed in the end, as it has nothing to save; in a session of its own, where no Ctrl-C reaches it."""
    worker = subprocess.Popen(COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
    try:
        if sys.platform == "linux":
            with suppress(OSError):  # one batch ahead, in few pieces; there is a limit to the sum of all pipes
                fcntl.fcntl(_pipe(worker.stdout), fcntl.F_SETPIPE_SZ, min(batch_bytes, MOST_PIPE_BYTES))
        yield worker
    finally:
        worker.kill()
        with suppress(subprocess.TimeoutExpired):
            worker.wait(JOIN_TIMEOUT)
            _pipe(worker.stdout).close()


def _tell(worker: "subprocess.Popen[bytes]", task: tuple[Unpaired, int, int]) -> None:
    with suppress(BrokenPipeError), _pipe(worker.stdin) as pipe:  # one that has died is found when it is its turn
        pickle.dump(task, pipe)


def _receive(worker: "subprocess.Popen[bytes]") -> Batch:
    try:
        batch = pickle.load(_pipe(worker.stdout))
    except (EOFError, pickle.UnpicklingError):
        raise DataError(_describe(worker.wait())) from None
    if isinstance(batch, Exception):
        raise batch
    return cast(Batch, batch)


def _pipe(end: IO[bytes] | None) -> IO[bytes]:
    assert end is not None
    return end


def _describe(code: int) -> str:
    how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    why = ", perhaps for want of memory" if how == "SIGKILL" else ""
    return f"a process that decodes images died ({how}{why}): give a lower data.workers; the same command goes on"


# The other end --------------------------------------------------------------------------------------------------------


def main() -> None:
    """The batches from images first, first + step, ... on."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # sent to all they mean the run, which ends its processes itself
    with suppress(BrokenPipeError, EOFError), os.fdopen(os.dup(1), "wb") as out:
        os.dup2(2, 1)  # what libraries print must not come between batches
        unpaired, first, step = pickle.load(sys.stdin.buffer)
        for start in itertools.count(first, step):
            pickle.dump(_made(unpaired, start), out, protocol=5)  # arrays as they are, without a copy
            out.flush()


def _made(unpaired: Unpaired, start: int) -> Batch | Exception:
    try:
        return unpaired.from_image(start)
    except (DataError, MemoryError) as error:  # the user can fix these; others print their traceback
        return error


if __name__ == "__main__":
    main()
