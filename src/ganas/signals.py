"""SIGINT (Ctrl-C) and SIGTERM: a run saves before it stops."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from ganas.errors import Stopped


class StopSignal:
    """Records the first SIGINT or SIGTERM as a request to stop; a second one interrupts immediately.

    `check` raises `Stopped` at a safe point. Within an `interruptible` block the signal handler itself raises it.
    """

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        self._interruptible = False

    def check(self) -> None:
        """Raise `Stopped` if a signal was received."""
        if self.received:
            raise Stopped(f"stopped by {self.received.name}")

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Let a signal raise `Stopped` anywhere in the block: for long waits that are safe to interrupt."""
        self._interruptible = True
        try:
            self.check()
            yield
        finally:
            self._interruptible = False

    @contextmanager
    def listening(self) -> Iterator["StopSignal"]:
        """Handle both signals, then restore the previous handlers; does nothing outside the main thread.

        Nested in another `listening`, it yields the outer StopSignal, so that no signal it has received is lost.
        """
        outer = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
        if isinstance(outer, StopSignal):
            yield outer
            return
        if threading.current_thread() is not threading.main_thread():
            yield self
            return
        previous = {number: signal.signal(number, self._receive) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield self
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self.received:
            raise KeyboardInterrupt
        self.received = signal.Signals(number)
        # not print: the signal may interrupt one, and Python's output buffers are not reentrant
        os.write(2, "\nstopping: saving everything needed to resume …\n".encode())
        if self._interruptible:
            self.check()
