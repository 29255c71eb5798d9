"""``ganas grow``, ``sample`` and ``runs``."""

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer

from ganas.cli import options
from ganas.cli.options import app
from ganas.cli.printing import echo, fresh, print_next, print_table
from ganas.errors import ConfigError, counted, shown
from ganas.growing.presets import PRESETS


@app.command()
def grow(
    data: Annotated[
        Path,
        typer.Option(
            "--data", metavar="DATA", help="Training images: a folder, a zip, ... (docs/data.md).", show_default=False
        ),
    ],
    out: options.Out,
    route: Annotated[
        str | None, typer.Option("--route", metavar="proggan|FILE", help="Follow a fixed route instead of searching.")
    ] = None,
    workers: options.Workers = None,
    executor: options.ExecutorName = "local",
    address: options.Address = None,
    gpu_share: options.GpuShare = None,
    features: options.Features = None,
    preset: Annotated[
        str | None, typer.Option("--preset", metavar="NAME", help=f"Scale: {', '.join(PRESETS)}. [fits the machine]")
    ] = None,
    resolution: options.Resolution = None,
    seed: options.Seed = 0,
    settings: options.Settings = None,
    dry_run: options.DryRun = False,
) -> None:
    """Search a GAN for a folder of images by growing it during training.

    Example: ganas grow --data photos --out runs/grow --workers 2
    """
    from ganas.growing.run import dry_run as run_dry
    from ganas.growing.run import grow as run_growth
    from ganas.jobs.options import ExecutorOptions
    from ganas.presets import make_config

    flags = {"data.images": data, "data.resolution": resolution, "metrics.features": features, "seed": seed}
    config = make_config("grow", preset=preset, flags=flags, settings=settings or ())
    jobs = ExecutorOptions(executor, workers, address, gpu_share)
    if dry_run:
        resolved, lines = run_dry(config, route=route, workers=workers)
        return echo("\n".join([resolved.to_yaml(), *lines]))
    for line in run_growth(config, out, route=route, executor=jobs).lines():
        echo(line)
    print_next("sample", out, fresh(out, "-samples.png"), "-n", "64", "--grid")


@app.command()
def sample(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run of ganas grow, or its model folder.")],
    output: Annotated[
        Path, typer.Argument(metavar="OUTPUT", help="A new folder of PNGs, or a file: one image, or a grid.")
    ],
    count: Annotated[int, typer.Option("-n", metavar="N", min=1, help="Number of images.")] = 64,
    seed: Annotated[
        int, typer.Option("--seed", metavar="N", min=0, max=2**62, help="Seed of the first image; it counts up.")
    ] = 0,
    grid: Annotated[bool, typer.Option("--grid", help="Write one picture of all images.")] = False,
    candidate: Annotated[
        str | None, typer.Option("--candidate", metavar="ID", help="Sample from a candidate of the run. [the winner]")
    ] = None,
) -> None:
    """Generate images; the same seed gives the same image."""
    from ganas.growing.sample import sample as run_sampling

    made = run_sampling(run, output, count=count, seed=seed, as_grid=grid, candidate=candidate)
    echo(f"{counted(made, 'image')} in {shown(output)}")


@app.command()
def runs(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Any run.")],
    as_json: options.AsJson = False,
    analyse: Annotated[
        bool,
        typer.Option("--analyse", help="What a growing search says about growing: the paper's analysis, in numbers."),
    ] = False,
    plot: Annotated[
        Path | None, typer.Option("--plot", metavar="FILE.png", help="With --analyse: draw it, as figure 3 of DGGAN.")
    ] = None,
) -> None:
    """Show the state and scores of a run, with every candidate of a growing search and every job of a recipe."""
    from ganas.records import read_run

    if plot is not None and not analyse:
        raise ConfigError(f"--plot {plot}: it draws the analysis of a growing search, give --analyse with it")
    record = read_run(run)
    if analyse:
        return _print_analysis(record, as_json, plot)
    if as_json:
        print(json.dumps(record.as_json()))
        return
    if record.history:
        _print_history(record.history)
    found = f", {record.architecture}" if record.architecture else ""
    echo(f"{record.kind}: {record.state}, {record.images:,} images seen{found}")
    if verdict := record.result.get("verdict"):
        echo(verdict)
    rows: list[tuple[str, ...]] = [
        (one.path.name, one.state, "; ".join(map(str, one.scores))) for one in record.repeats
    ]
    for one in record.jobs:
        state = f"failed: {one.error}" if one.error else one.state
        rows.append((one.job.id, state, "; ".join(map(str, one.scores))))
    if rows:
        print_table(("seed" if record.repeats else "job", "state", "scores"), rows)
    for score in record.scores:
        echo(score)


def _print_analysis(record: Any, as_json: bool, plot: Path | None) -> None:
    """Print the analysis of a growing search as tables, or as JSON, and draw it."""
    from ganas.growing import analysis_tables
    from ganas.growing.analysis import analyse, simulated

    if not record.history or record.config.growth.route is not None or record.config.base.autogan:
        raise ConfigError(f"{shown(record.path)}: --analyse needs a search of ganas grow")
    if plot is not None:
        if plot.suffix.lower() != ".png":
            raise ConfigError(f"--plot {plot}: give a name that ends in .png")
        if find_spec("matplotlib") is None:
            raise ConfigError("--plot needs matplotlib: run pip install matplotlib")
    found, simulations = analyse(record.history), simulated(record.history, record.config)
    if as_json:
        print(json.dumps(analysis_tables.as_json(found, simulations), allow_nan=False))
    else:
        echo(analysis_tables.summary(found))
        for columns, rows in analysis_tables.tables(found, simulations).items():
            print_table(columns, rows)
    if plot is not None:
        from ganas.recipes.growing.analysis_drawing import draw_analysis

        draw_analysis(found, simulations, plot)
        echo(f"written: {shown(plot)}", err=as_json)


def _print_history(history: Any) -> None:
    """Print the candidates, the beams, the cost of each resolution, and the lineage of the best."""
    from ganas.growing.history import cost_by_resolution

    header = ("generation", "id", "parent", "action", "size", "G", "D", "start", "end", "÷ ProgGAN", "s", "state")
    print_table(header, [_candidate_row(record) for record in history.records])
    for number, beam in enumerate(history.beams):
        echo(f"beam {number}: {' '.join(beam) or 'empty'}")
    if costs := cost_by_resolution(history):
        rows: list[tuple[str, ...]] = [
            (f"{one.resolution}²", str(one.candidates), f"{1000 * one.seconds:.3g}", _megabytes(one.memory))
            for one in costs
        ]
        print_table(("resolution", "candidates", "ms per image", "peak MB"), rows)
    for name in history.lineage:
        record = history.record(name)
        echo(f"best: {_grown(record)} → {record.spec.architecture}")


def _megabytes(memory: int) -> str:
    return f"{memory / 10**6:,.0f}" if memory else ""


def _candidate_row(record: Any) -> tuple[str, ...]:
    """Format one candidate; an asterisk marks those that were kept in a beam."""
    from ganas.growing.candidates import score_of

    spec, result = record.spec, record.result
    layers, state = spec.architecture, f"{record.state}*" if record.kept else record.state
    parameters = (f"{layers.parameters(side) / 1e6:.2f}M" for side in ("generator", "discriminator"))
    numbers = (result and result.facts.get("start"), result and score_of(result), record.normalized)
    scores = ("" if number is None else f"{number:.4g}" for number in numbers)
    seconds = f"{result.seconds:.0f}" if result else ""
    generation = str(spec.generation) if record.role == "search" else record.role
    return (
        *(generation, spec.id, spec.parent or "", _grown(record), f"{layers.resolution}²"),
        *(*parameters, *scores, seconds, state),
    )


def _grown(record: Any) -> str:
    return record.spec.action or ("trained on" if record.spec.parent else "base")
