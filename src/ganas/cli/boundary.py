"""Turn exceptions into exit codes: a user error ends in one line on stderr and exit code 2."""

import os
import sys
from collections.abc import Callable
from typing import Any

import typer

from ganas.cli.options import app
from ganas.cli.printing import echo, never_fail
from ganas.errors import (
    INTERRUPTED,
    GanasError,
    Stopped,
    UserError,
    describe_os_error,
    is_compiler_failure,
    is_out_of_memory,
)


def main() -> int:
    """Run this process's command line; returns the exit code."""
    never_fail()
    return run(lambda: app(standalone_mode=False))


def run(command: Callable[[], Any]) -> int:
    """Call a command and turn its exceptions into an exit code; the one boundary where this happens."""
    try:
        result = command()
        if result == INTERRUPTED:  # on KeyboardInterrupt typer returns it or raises Abort, by version
            raise KeyboardInterrupt
        return result if isinstance(result, int) else 0
    except UserError as error:
        return _fail(str(error), 2)
    except USAGE_ERROR as error:
        message = getattr(error, "format_message", error.__str__)()  # unlike str(), it names the option
        return _fail(f"{message.rstrip('.')}; see --help", 2)
    except Stopped as stopped:
        return _fail(str(stopped), INTERRUPTED)
    except GanasError as error:
        return _fail(str(error), 1)
    except BrokenPipeError:  # ganas … | head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # so that Python's final flush does not fail
        return 141
    except OSError as error:
        return _fail(describe_os_error(error), 2)
    except (KeyboardInterrupt, typer.Abort):
        return _fail("interrupted", INTERRUPTED)
    except Exception as error:
        if is_out_of_memory(error):
            return _fail(
                "out of memory: use a smaller training.batch or --resolution, in search and train also nets.width or "
                "training.checkpointing=true (--dry-run shows what they need), or smaller images to translate",
                2,
            )
        if is_compiler_failure(error):
            cause = next((line.strip() for line in str(error).splitlines() if line.strip()), "no reason given")
            return _fail(f"torch.compile failed ({cause}): leave training.compile out, or install a C++ compiler", 2)
        raise


# click's UsageError, a base class of BadParameter: where to import it from depends on typer's version
USAGE_ERROR: type[Exception] = next(base for base in typer.BadParameter.__mro__ if base.__name__ == "UsageError")


def _fail(message: str, code: int) -> int:
    echo(f"ganas: {' '.join(line.strip() for line in message.splitlines())}", err=True)
    return code
