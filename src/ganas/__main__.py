"""The command ``ganas``, also as ``python -m ganas``: light, so that Ctrl-C works from the first moment on."""

import os
import signal
import sys
from types import FrameType
from typing import NoReturn

from ganas.errors import INTERRUPTED


def main() -> NoReturn:
    """Entry point; every error a user can cause becomes one line and exit code 2."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # not where the shell has it ignored
        signal.signal(signal.SIGINT, _interrupt)
    from ganas.cli.boundary import main as run

    sys.exit(run())


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Raise KeyboardInterrupt, as Python does; but end at once during an import, where libraries may swallow it."""
    while frame:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            os.write(2, b"ganas: interrupted\n")
            os._exit(INTERRUPTED)
        frame = frame.f_back
    raise KeyboardInterrupt


if __name__ == "__main__":
    if sys.path[:1] == [os.getcwd()]:  # as -m has it: a random.py of the user's would be taken for Python's
        del sys.path[0]
    main()
