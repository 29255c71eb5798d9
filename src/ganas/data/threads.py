"""Daemon threads that read images ahead of time and never block shutdown."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from types import TracebackType
from typing import ParamSpec, TypeVar

JOIN_TIMEOUT = 1.0  # seconds to wait for threads before they are abandoned

P = ParamSpec("P")
T = TypeVar("T")


class Threads:
    """A pool of `count` threads that runs tasks in order; tasks not started when the block ends are dropped.

    `ThreadPoolExecutor` joins its threads without a timeout, also at interpreter exit: one that hangs in a read from a
    network disk would block Ctrl-C. These threads are daemons and are abandoned after JOIN_TIMEOUT seconds.
    """

    def __init__(self, count: int, name: str) -> None:
        self._ended = False
        self._tasks: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._threads = [
            threading.Thread(target=self._work, name=f"{name}-{number}", daemon=True) for number in range(count)
        ]

    def submit(self, task: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Return a future of the task's result."""
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

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended = True
        for _ in self._threads:
            self._tasks.put(None)
        deadline = time.monotonic() + JOIN_TIMEOUT
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
