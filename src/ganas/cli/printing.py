"""What commands print: whatever a file is called, and whatever the terminal can show, no line raises."""

import os
import shlex
import sys
from io import TextIOWrapper
from itertools import count
from pathlib import Path

from ganas.errors import shown


def never_fail() -> None:
    """Have stdout and stderr escape what their encoding lacks: an error there would come after the work is done."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # not where somebody put another in its place, as tests do
            stream.reconfigure(errors="backslashreplace")


def echo(text: object, *, err: bool = False) -> None:
    """Print lines for people: control characters, as file names may hold, are shown and not obeyed."""
    print("\n".join(map(shown, str(text).split("\n"))), file=sys.stderr if err else sys.stdout)


def print_table(columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    """Aligned with spaces, so that it can be cut and grepped."""
    printable = [tuple(map(shown, row)) for row in (columns, *rows)]
    widths = [max(len(row[place]) for row in printable) for place in range(len(columns))]
    for row in printable:
        echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def print_next(*arguments: object) -> None:
    """The command to go on with, ready to be pasted into a shell. A `Path` is never taken for an option."""
    print(f"next: {' '.join(['ganas', *map(_quoted, arguments)])}")


def _quoted(argument: object) -> str:
    """One word of a shell's command; of bytes where the output cannot hold it as text, or on one line."""
    text = f".{os.sep}{argument}" if isinstance(argument, Path) and str(argument).startswith("-") else str(argument)
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")  # a closed stdout has none
        if text.isprintable():
            return shlex.quote(text)
    except UnicodeEncodeError:
        pass
    plain = set(range(0x20, 0x7F)) - {*b"'\\"}
    return f"$'{''.join(chr(byte) if byte in plain else f'{chr(92)}x{byte:02x}' for byte in os.fsencode(text))}'"


def fresh(run: Path, ending: str) -> Path:
    """A place beside a run that is not there yet: RUN-train or RUN-samples.png, with a number where need be."""
    if run.name in ("", ".."):  # the current folder, say
        run = run.resolve()
    stem, dot, suffix = ending.partition(".")
    places = (Path(f"{run}{stem}{f'-{number}' if number > 1 else ''}{dot}{suffix}") for number in count(1))
    return next(place for place in places if not os.path.lexists(place))
