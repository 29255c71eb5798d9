"""Ctrl-C and SIGTERM: a run that is asked to stop saves first."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from ganas.errors import Stopped


class StopSignal:
    """SIGINT and SIGTERM ask once, politely. A second one is obeyed.

    `check` then raises `Stopped` at a safe place; within a block of `at_once` the signal itself does, wherever it is.
    """

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        self._at_once = False

    def check(self) -> None:
        """Raise `Stopped` if the run was asked to stop."""
        if self.received:
            raise Stopped(f"stopped by {self.received.name}")

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Wait for others within: a signal raises `Stopped` there and then, however long they would have taken."""
        self._at_once = True
        try:
            self.check()
            yield
        finally:
            self._at_once = False

    @contextmanager
    def listening(self) -> Iterator["StopSignal"]:
        """Take the two signals over; the previous handlers come back afterwards. Only a main thread can.

        Within another one's `listening` it is that one that is yielded: what has been asked of it is not forgotten.
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
        # not print: the signal may have come in the middle of one, and a buffer cannot be entered twice
        os.write(2, "\nstopping: saving what is needed to go on …\n".encode())
        if self._at_once:
            self.check()
