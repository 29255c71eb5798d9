"""What every recipe writes and returns: a table as Markdown and JSON, and a plot. No torch."""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ganas.jobs.options import ExecutorOptions
from ganas.store import PAGE, write_atomically


@dataclass(frozen=True)
class Request:
    """The arguments of ``ganas reproduce``, as its Python function explains them."""

    figure: str
    out: Path
    scale: str
    data: Sequence[str]
    executor: ExecutorOptions
    features: str | None
    seed: int
    settings: Sequence[str]


@dataclass(frozen=True)
class Reproduction:
    """The results of a recipe."""

    table: str  # Markdown
    files: tuple[Path, ...]
    failed: tuple[str, ...]  # one line per failed job


class RecipePlan(Protocol):
    """The checked arguments of ``ganas reproduce`` for the figures or tables of one paper."""

    def cost(self) -> list[str]:
        """Return human-readable lines with the cost of what remains, measured here."""

    def run(self) -> Reproduction:
        """Run what remains, and write the report."""


def readable_id(text: str) -> str:
    """Replace characters that not every file system allows in a name."""
    return re.sub(r"[^A-Za-z0-9_.]+", "_", text)


def short_number(number: float) -> str:
    """Format with four significant digits, or as an integer from 1000 up."""
    return f"{number:.0f}" if abs(number) >= 1000 else f"{number:.4g}"


def report_name(figure: str, scale: str, datasets: Sequence[str], digest: str) -> str:
    """Name a report: the figure, the scale, the data sets, and six digits of all that its numbers depend on."""
    return "-".join((figure, scale, *map(readable_id, datasets), digest[:6]))


def run_page(folder: Path, run: str) -> str | None:
    """Return the link from a recipe's folder to the page of one of its runs (``ganas report``), if it is written.

    run    path of the run, relative to `folder`
    """
    page = f"{run}/{PAGE}"
    return page if (folder / page).is_file() else None


def write_files(folder: Path, name: str, table: str, document: Any, draw: Callable[[Path], None]) -> list[Path]:
    """Write NAME.md, NAME.json and, if matplotlib is installed, NAME.png; return the files written.

    draw    writes the plot; it imports matplotlib when called
    """
    files = [folder / f"{name}{suffix}" for suffix in (".md", ".json", ".png")]
    write_atomically(files[0], table.encode())
    write_atomically(files[1], (json.dumps(document, indent=1) + "\n").encode())
    try:
        draw(files[2])
    except ImportError:  # matplotlib is missing or broken
        return files[:2]
    return files
