"""What commands print: whatever a file is called, and whatever the terminal can show, no line raises."""

import shlex
import sys
from io import TextIOWrapper

from ganas.errors import shown


def never_fail() -> None:
    """Have stdout and stderr escape what their encoding lacks: an error there would come after the work is done."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # not where somebody put another in its place, as tests do
            stream.reconfigure(errors="backslashreplace")


def echo(text: object, *, err: bool = False) -> None:
    """Print lines for people: control characters, as file names may hold, are shown and not obeyed."""
    print("\n".join(map(shown, str(text).split("\n"))), file=sys.stderr if err else sys.stdout)


def counted(count: int, noun: str) -> str:
    """``1 image``, ``2 images``."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def print_table(columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    """Aligned with spaces, so that it can be cut and grepped."""
    printable = [tuple(map(shown, row)) for row in (columns, *rows)]
    widths = [max(len(row[place]) for row in printable) for place in range(len(columns))]
    for row in printable:
        echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def print_next(*arguments: object) -> None:
    """The command to go on with, ready to be pasted."""
    print(f"next: {shlex.join(['ganas', *map(str, arguments)])}")
