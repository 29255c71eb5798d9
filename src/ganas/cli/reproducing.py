"""``ganas reproduce``: the paper's experiments as recipes."""

from typing import Annotated, Any

import typer

from ganas.cli.options import Address, DryRun, ExecutorName, Features, GpuShare, Out, Seed, Settings, Workers, app
from ganas.cli.printing import echo
from ganas.errors import GanasError


@app.command()
def reproduce(
    figure: Annotated[str, typer.Argument(metavar="fig3|fig4|fig5|fig6", help="A figure of CycleGANAS.")],
    out: Out,
    scale: Annotated[
        str, typer.Option("--scale", metavar="tiny|small|paper", help="Size, length and number of the runs.")
    ] = "tiny",
    data: Annotated[
        list[str] | None,
        typer.Option(
            "--data",
            metavar="DIR|NAME",
            help="A folder with trainA, trainB, testA and testB, or a data set of the paper; may be repeated. "
            "[tiny: built-in photographs; paper: those of the figure]",
        ),
    ] = None,
    workers: Workers = None,
    executor: ExecutorName = "local",
    address: Address = None,
    gpu_share: GpuShare = None,
    features: Features = None,
    seed: Seed = 0,
    settings: Settings = None,
    dry_run: DryRun = False,
) -> None:
    """Reproduce a figure of the paper: all its searches and trainings, a table, and the plot.

    Example: ganas reproduce fig5 --scale small --data monet2photo --out runs/paper --workers 2
    """
    from ganas.jobs.options import ExecutorOptions
    from ganas.recipes.run import dry_run as run_dry
    from ganas.recipes.run import reproduce as run_recipe

    options: dict[str, Any] = {"scale": scale, "data": data or (), "features": features, "seed": seed}
    options |= {"settings": settings or (), "executor": ExecutorOptions(executor, workers, address, gpu_share)}
    if dry_run:
        echo("\n".join(run_dry(figure, out, **options)))
        return
    result = run_recipe(figure, out, **options)
    echo(result.table)
    echo(f"written: {', '.join(map(str, result.files))}")
    if not any(file.suffix == ".png" for file in result.files):
        echo("for the plot: pip install matplotlib, and run the same command again")
    for line in result.failed:
        echo(f"failed: {line}", err=True)
    if result.failed:
        raise GanasError(f"jobs that failed: {len(result.failed)}; run the same command again to retry them")
