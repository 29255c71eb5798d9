"""Output of the commands: no line raises, whatever the file names and the terminal's encoding."""

import os
import shlex
import sys
from io import TextIOWrapper
from itertools import count
from pathlib import Path

from ganas.errors import shown


def never_fail() -> None:
    """Make stdout and stderr escape what their encoding lacks: an error there would come after the work is done."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # tests may have replaced them
            stream.reconfigure(errors="backslashreplace")


def echo(text: object, *, err: bool = False) -> None:
    """Print human-readable lines; control characters, which file names may hold, are escaped."""
    print("\n".join(map(shown, str(text).split("\n"))), file=sys.stderr if err else sys.stdout)


def print_table(columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    """Print a table aligned with spaces, to be cut and grepped."""
    printable = [tuple(map(shown, row)) for row in (columns, *rows)]
    widths = [max(len(row[column]) for row in printable) for column in range(len(columns))]
    for row in printable:
        echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def print_next(*arguments: object) -> None:
    """Print the next command, ready to be pasted into a shell. A `Path` is never taken for an option."""
    print(f"next: {' '.join(['ganas', *map(_quoted, arguments)])}")


def _quoted(argument: object) -> str:
    """Quote one shell argument, as bytes if the output cannot show it as text on one line."""
    text = f".{os.sep}{argument}" if isinstance(argument, Path) and str(argument).startswith("-") else str(argument)
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")  # a closed stdout has none
        if text.isprintable():
            return shlex.quote(text)
    except UnicodeEncodeError:
        pass
    plain = set(range(0x20, 0x7F)) - {*b"'\\"}
    return f"$'{''.join(chr(byte) if byte in plain else f'{chr(92)}x{byte:02x}' for byte in os.fsencode(text))}'"


def named(run: Path) -> Path:
    """The same path, which ends in a name: that of the current folder instead of ``.``."""
    return run.resolve() if run.name in ("", "..") else run


def fresh(run: Path, ending: str) -> Path:
    """A path next to a run that does not exist yet: RUN-train or RUN-samples.png, with a number if needed."""
    run = named(run)
    stem, dot, suffix = ending.partition(".")
    paths = (Path(f"{run}{stem}{f'-{number}' if number > 1 else ''}{dot}{suffix}") for number in count(1))
    return next(path for path in paths if not os.path.lexists(path))
