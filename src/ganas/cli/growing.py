"""``ganas grow``, ``sample`` and ``runs``: a GAN that is grown."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from ganas.cli.options import (
    Address,
    AsJson,
    DryRun,
    ExecutorName,
    Features,
    GpuShare,
    Out,
    Resolution,
    Seed,
    Settings,
    Workers,
    app,
)
from ganas.cli.printing import echo, fresh, print_next, print_table
from ganas.errors import counted, shown


@app.command()
def grow(
    data: Annotated[
        Path, typer.Option("--data", metavar="DIR|ZIP", help="Images to learn to make.", show_default=False)
    ],
    out: Out,
    route: Annotated[
        str | None,
        typer.Option("--route", metavar="proggan|FILE", help="Follow a route instead of searching one."),
    ] = None,
    workers: Workers = None,
    executor: ExecutorName = "local",
    address: Address = None,
    gpu_share: GpuShare = None,
    features: Features = None,
    preset: Annotated[
        str | None, typer.Option("--preset", metavar="NAME", help="Scale: tiny, small, gpu, paper. [fits the machine]")
    ] = None,
    resolution: Resolution = None,
    seed: Seed = 0,
    settings: Settings = None,
    dry_run: DryRun = False,
) -> None:
    """Find a GAN for a folder of images by growing it while it trains.

    Example: ganas grow --data photos --out runs/grow --workers 2
    """
    from ganas.growing.run import dry_run as run_dry
    from ganas.growing.run import grow as run_growth
    from ganas.jobs.options import ExecutorOptions
    from ganas.presets import make_config

    flags = {"data.images": data, "data.resolution": resolution, "metrics.features": features, "seed": seed}
    config = make_config("grow", preset=preset, flags=flags, settings=settings or ())
    options = ExecutorOptions(executor, workers, address, gpu_share)
    if dry_run:
        resolved, lines = run_dry(config, route=route, workers=workers)
        echo(resolved.to_yaml())
        echo("\n".join(lines))
        return
    for line in run_growth(config, out, route=route, executor=options).lines():
        echo(line)
    print_next("sample", out, fresh(out, "-samples.png"), "-n", "64", "--grid")


@app.command()
def sample(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run of ganas grow, or its model folder.")],
    output: Annotated[
        Path, typer.Argument(metavar="OUTPUT", help="A new folder of PNGs, or a file: one image, or a grid.")
    ],
    count: Annotated[int, typer.Option("-n", metavar="N", min=1, help="How many images.")] = 64,
    seed: Annotated[
        int, typer.Option("--seed", metavar="N", min=0, max=2**62, help="Of the first; the others count up.")
    ] = 0,
    grid: Annotated[bool, typer.Option("--grid", help="All in one picture, as with a file.")] = False,
) -> None:
    """Make images; the same seed gives the same image."""
    from ganas.growing.sample import sample as run_sampling

    made = run_sampling(run, output, count=count, seed=seed, as_grid=grid)
    echo(f"{counted(made, 'image')} in {shown(output)}")


@app.command()
def runs(run: Annotated[Path, typer.Argument(metavar="RUN", help="Of any kind.")], as_json: AsJson = False) -> None:
    """What a run came to: its state and scores; of a growing search every candidate, of a recipe every job."""
    from ganas.records import read_run

    record = read_run(run)
    if as_json:
        print(json.dumps(record.as_json()))
        return
    if record.history:
        _print_history(record.history)
    found = f", {record.architecture}" if record.architecture else ""
    echo(f"{record.kind}: {record.state}, {record.images:,} images seen{found}")
    if verdict := record.result.get("verdict"):
        echo(verdict)
    parts: list[tuple[str, str, Any]] = [(one.path.name, one.state, one.scores) for one in record.repeats]
    parts += [(one.job.id, f"failed: {one.error}" if one.error else one.state, one.scores) for one in record.jobs]
    if parts:
        rows: list[tuple[str, ...]] = [(name, state, "; ".join(map(str, scores))) for name, state, scores in parts]
        print_table(("seed" if record.repeats else "job", "state", "scores"), rows)
    for score in record.scores:
        echo(score)


def _print_history(history: Any) -> None:
    """Candidates, beams, and how the best came about."""
    header = ("generation", "id", "parent", "action", "size", "G", "D", "start", "end", "÷ ProgGAN", "s", "state")
    print_table(header, [_candidate_row(record) for record in history.records])
    for number, beam in enumerate(history.beams):
        echo(f"beam {number}: {' '.join(beam) or 'nobody'}")
    for name in history.lineage:
        record = history.record(name)
        echo(f"best: {_grown(record)} → {record.spec.architecture}")


def _candidate_row(record: Any) -> tuple[str, ...]:
    """One candidate for people; an asterisk marks those that were kept."""
    from ganas.growing.candidates import score_of

    spec, result = record.spec, record.result
    layers, state = spec.architecture, f"{record.state}*" if record.kept else record.state
    parameters = (f"{layers.parameters(side) / 1e6:.2f}M" for side in ("generator", "discriminator"))
    numbers = (result and result.facts.get("start"), result and score_of(result), record.normalized)
    scores = ("" if number is None else f"{number:.4g}" for number in numbers)
    seconds = f"{result.seconds:.0f}" if result else ""
    place = str(spec.generation) if record.role == "search" else record.role
    return (
        *(place, spec.id, spec.parent or "", _grown(record), f"{layers.resolution}²"),
        *(*parameters, *scores, seconds, state),
    )


def _grown(record: Any) -> str:
    return record.spec.action or ("trained on" if record.spec.parent else "base")
