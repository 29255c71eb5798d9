"""What several commands print."""

import shlex


def print_table(columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    """Aligned with spaces, so that it can be cut and grepped."""
    widths = [max(len(row[place]) for row in (columns, *rows)) for place in range(len(columns))]
    for row in (columns, *rows):
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def print_next(*arguments: object) -> None:
    """The command to go on with, ready to be pasted."""
    print(f"next: {shlex.join(['ganas', *map(str, arguments)])}")
