"""``ganas reproduce``: the paper's experiments as recipes."""

import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer

from ganas.cli.options import Address, DryRun, ExecutorName, Features, GpuShare, Out, Seed, Settings, Workers, app
from ganas.cli.printing import echo
from ganas.errors import ConfigError, GanasError


@app.command()
def reproduce(
    figure: Annotated[str, typer.Argument(metavar="fig3|fig4|fig5|fig6", help="A figure of CycleGANAS.")],
    out: Out,
    scale: Annotated[
        str, typer.Option("--scale", metavar="tiny|small|paper", help="How large, how long and how often.")
    ] = "tiny",
    data: Annotated[
        list[str] | None,
        typer.Option(
            "--data",
            metavar="DIR|NAME",
            help="With trainA, trainB, testA and testB, or one of the paper's; may be repeated. "
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
    """Make a figure of the paper: every search and training of it, a table, and the drawing.

    Example: ganas reproduce fig5 --scale small --data monet2photo --out runs/paper --workers 2
    """
    from ganas.config import absolute_features
    from ganas.jobs.options import ExecutorOptions
    from ganas.metrics.features import load_features
    from ganas.recipes.configs import config_of
    from ganas.recipes.cost import describe_apart
    from ganas.recipes.datasets import demo_dataset, expected_dataset, find_dataset
    from ganas.recipes.figures import NO_NETWORK, PAPER_DATASETS, Network, recipe
    from ganas.recipes.jobs import Dataset, Workplace
    from ganas.recipes.reproduce import check_jobs_device, open_executor
    from ganas.recipes.reproduce import reproduce as run_recipe

    options = ExecutorOptions(executor, workers, address, gpu_share)
    stand_in = Dataset("stand-in", "stand-in", 100, 100, "")
    # before anything is downloaded
    told = Network(absolute_features(features), None)
    config = config_of(recipe(figure, scale, [stand_in], network=told, seed=seed, settings=settings or ()).jobs[0])
    check_jobs_device(options, config.training.device)
    names = data or (list(PAPER_DATASETS[figure]) if scale == "paper" else [])
    if not names and scale != "tiny":
        raise ConfigError(f"--scale {scale} needs images: give --data DIR, once or more")
    network = NO_NETWORK
    if features:
        network = Network(absolute_features(features), load_features(features, device="cpu").digest)
    elif scale != "tiny":
        echo("without --features scores are sliced Wasserstein distances; a network given later has all trained anew")
    chosen: dict[str, Any] = {"network": network, "seed": seed, "settings": settings or ()}
    if dry_run or scale == "paper":
        with tempfile.TemporaryDirectory() as folder:
            expected = [expected_dataset(name, config.data) for name in names] or [demo_dataset(Path(folder))]
            echo("\n".join(describe_apart(recipe(figure, scale, expected, **chosen), Workplace(out), workers or 1)))
    if dry_run:
        return
    runs = open_executor(options, config.training.device)
    datasets = [find_dataset(name, config.data) for name in names] or [demo_dataset(out)]
    found = run_recipe(recipe(figure, scale, datasets, **chosen), out, runs)
    echo(found.table)
    echo(f"written: {', '.join(map(str, found.files))}")
    if not any(file.suffix == ".png" for file in found.files):
        echo("for the drawing: pip install matplotlib, and give the same command again")
    for line in found.failed:
        echo(f"failed: {line}", err=True)
    if found.failed:
        raise GanasError(f"jobs that failed: {len(found.failed)}; the same command tries them again")
