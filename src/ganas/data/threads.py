"""Daemon threads that read images ahead of time and never block shutdown."""

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from itertools import islice
from queue import SimpleQueue
from typing import ParamSpec, TypeVar

JOIN_TIMEOUT = 1.0  # seconds to wait for threads, and for killed processes

P = ParamSpec("P")
T = TypeVar("T")


class Threads:
    """A pool of `count` threads that runs tasks in order; tasks not started when the block ends are dropped.

    `ThreadPoolExecutor` joins its threads without a timeout, also at interpreter exit: one that hangs in a read from a
    network disk would block Ctrl-C. These are daemons, abandoned after JOIN_TIMEOUT seconds.
    """

    def __init__(self, count: int, name: str) -> None:
        self._ended = False
        self._tasks: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._threads = [
            threading.Thread(target=self._work, name=f"{name}-{number}", daemon=True) for number in range(count)
        ]

    def submit(self, task: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        future: Future[T] = Future()

        def run() -> None:
            try:
                result = task(*args, **kwargs)
            except BaseException as error:
                future.set_exception(error)
            else:
                future.set_result(result)

        self._tasks.put(run)
        return future

    def _work(self) -> None:
        while (task := self._tasks.get()) and not self._ended:
            task()
            del task  # else its result would stay in memory until the next task

    def __enter__(self) -> "Threads":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended = True
        for _ in self._threads:
            self._tasks.put(None)
        deadline = time.monotonic() + JOIN_TIMEOUT
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))


def in_threads(function: Callable[[int], T], count: int, *, threads: int | None = None, block: int = 32) -> Iterator[T]:
    """Yield ``function(0) ... function(count - 1)``, in order, computed by threads: Pillow decodes without the GIL.

    Each thread runs at most two tasks of ``block`` images ahead of the consumer; by default there is one thread per
    core, at most 8.
    """
    threads = min(threads or min(8, os.cpu_count() or 1), -(-count // block))

    def run(start: int) -> list[T]:
        return [function(index) for index in range(start, min(start + block, count))]

    with Threads(threads, "images") as pool:
        tasks = (pool.submit(run, start) for start in range(0, count, block))
        ahead = deque(islice(tasks, 2 * threads))
        while ahead:
            results = ahead.popleft().result()
            ahead.extend(islice(tasks, 1))
            yield from results
