"""Entry point of ``ganas`` and ``python -m ganas``. It imports little, so that Ctrl-C works from the start."""

import os
import signal
import sys
from types import FrameType
from typing import NoReturn

from ganas.errors import INTERRUPTED


def main() -> NoReturn:
    """Run the command line; every user error becomes one line and exit code 2."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # unless the shell ignores it
        signal.signal(signal.SIGINT, _interrupt)
    from ganas.cli.boundary import main as run

    sys.exit(run())


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Raise KeyboardInterrupt, as Python does; but exit at once during an import, where libraries may swallow it."""
    while frame:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            os.write(2, b"ganas: interrupted\n")
            os._exit(INTERRUPTED)
        frame = frame.f_back
    raise KeyboardInterrupt


if __name__ == "__main__":
    if sys.path[:1] == [os.getcwd()]:  # python -m puts it first: a random.py there would shadow Python's
        del sys.path[0]
    main()
