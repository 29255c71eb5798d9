"""``ganas reproduce``: the experiments of both papers as recipes."""

from typing import Annotated, Any

import typer

from ganas.cli import options
from ganas.cli.options import app
from ganas.cli.printing import echo
from ganas.errors import GanasError, counted


@app.command()
def reproduce(
    figure: Annotated[
        str,
        typer.Argument(
            metavar="fig3|fig4|fig5|fig6|front|table1|table2|table3|dggan-fig2|dggan-fig3",
            help="A figure of CycleGANAS, or fronts; a table or figure of DGGAN.",
        ),
    ],
    out: options.Out,
    scale: Annotated[
        str, typer.Option("--scale", metavar="tiny|small|paper", help="Model sizes, training lengths and repeats.")
    ] = "tiny",
    data: Annotated[
        list[str] | None,
        typer.Option(
            "--data",
            metavar="DIR|NAME",
            help="With trainA, trainB, testA and testB, or a data set of the paper; may be repeated. Of DGGAN: images. "
            "[tiny: built-in photographs; paper: the figure's data sets]",
        ),
    ] = None,
    workers: options.Workers = None,
    executor: options.ExecutorName = "local",
    address: options.Address = None,
    gpu_share: options.GpuShare = None,
    features: options.Features = None,
    seed: options.Seed = 0,
    settings: options.Settings = None,
    dry_run: options.DryRun = False,
) -> None:
    """Reproduce a figure or table of the papers, or compare fronts: run everything, then write a table and a plot.

    Example: ganas reproduce fig5 --scale small --data monet2photo --out runs/paper --workers 2
    """
    from ganas.jobs.options import ExecutorOptions
    from ganas.recipes import reproduce as recipes
    from ganas.recipes.reproduction import Request

    arguments: dict[str, Any] = {"scale": scale, "data": data or (), "features": features, "seed": seed}
    arguments |= {"settings": settings or (), "executor": ExecutorOptions(executor, workers, address, gpu_share)}
    if dry_run:
        echo("\n".join(recipes.open_plan(Request(figure, out, **arguments)).cost()))
        return
    found = recipes.reproduce(figure, out, **arguments)
    echo(found.table)
    echo(f"written: {', '.join(map(str, found.files))}")
    if not any(file.suffix == ".png" for file in found.files):
        echo("for the plot, run pip install matplotlib and then the same command again")
    for line in found.failed:
        echo(f"failed: {line}", err=True)
    if found.failed:
        raise GanasError(f"{counted(len(found.failed), 'job')} failed; the same command retries them")
