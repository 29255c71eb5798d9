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


@app.command()
def watch(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Any run.")],
    port: Annotated[
        int,
        typer.Option("--port", metavar="N", min=0, max=65535, help="Of 127.0.0.1. [a free one]", show_default=False),
    ] = 0,
) -> None:
    """Serve the page of a run on this machine while the run goes on; Ctrl-C ends it.

    Example: ganas watch runs/search
    """
    from ganas.report.watch import watch as serve

    serve(run, port=port, say=_print_now)


def _print_now(address: str) -> None:
    echo("open this address in a browser on this machine; Ctrl-C ends it", err=True)
    print(address, flush=True)  # a script may wait for it
