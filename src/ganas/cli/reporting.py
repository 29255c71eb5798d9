"""``ganas report`` and ``watch``: look at a run."""

from pathlib import Path
from typing import Annotated

import typer

from ganas.cli.options import app
from ganas.cli.printing import echo
from ganas.errors import shown


@app.command()
def report(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Any run, or what ganas evaluate --json printed.")],
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="The page. [report.html in the run's folder]")
    ] = None,
) -> None:
    """Write one page about a run, finished or not: a file that needs no network.

    Example: ganas report runs/search
    """
    from ganas.report.page import write_report

    echo(f"written: {shown(write_report(run, out))}")
