"""``ganas demo``, ``search``, ``train`` and ``translate``: the CycleGAN's half."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ganas.cli.options import (
    DomainA,
    DomainB,
    DryRun,
    Features,
    NoIcc,
    Out,
    Preset,
    Resolution,
    Seed,
    Settings,
    White,
    app,
    refuse_both,
)
from ganas.cli.printing import echo, fresh, print_next
from ganas.cyclegan.layout import LAYOUTS
from ganas.errors import ConfigError, counted, shown

SEARCHABLE = ", ".join(name for name, layout in LAYOUTS.items() if layout.size > 1)

if TYPE_CHECKING:
    from ganas.cyclegan.config import RunConfig


@app.command()
def demo(
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where to put it.")] = Path("ganas-demo"),
) -> None:
    """The whole story on built-in photographs, in about four minutes: search, train, translate, evaluate."""
    from ganas.demo import run_demo

    echo(run_demo(out))


@app.command()
def search(
    a: DomainA,
    b: DomainB,
    out: Out,
    layout: Annotated[
        str | None, typer.Option("--layout", metavar="NAME", help=f"Search space: {SEARCHABLE}. [framed]")
    ] = None,
    strategy: Annotated[
        str | None,
        typer.Option("--strategy", metavar="NAME", help="How alphas and weights learn: of, tf, th or ths. [of]"),
    ] = None,
    budget_params: Annotated[
        str | None,
        typer.Option("--budget-params", metavar="N[,N]", help="Most parameters of each generator, or of ab,ba: 2.5M."),
    ] = None,
    budget_macs: Annotated[
        str | None,
        typer.Option("--budget-macs", metavar="N[,N]", help="Of multiply-accumulates an image of --resolution: 10G."),
    ] = None,
    budget_ms: Annotated[
        str | None,
        typer.Option("--budget-ms", metavar="MS[,MS]", help="Of milliseconds an image of --resolution, measured here."),
    ] = None,
    budget_width: Annotated[
        float | None, typer.Option("--budget-width", metavar="W", help="At which the budget holds. [the search's]")
    ] = None,
    features: Features = None,
    preset: Preset = None,
    resolution: Resolution = None,
    seed: Seed = 0,
    settings: Settings = None,
    dry_run: DryRun = False,
) -> None:
    """Find the architectures of a CycleGAN for two folders of images.

    Example: ganas search --a paintings --b photos --out runs/search
    """
    from ganas.cyclegan.cost import dry_run as run_dry
    from ganas.cyclegan.layout import GENERATORS
    from ganas.cyclegan.search import search as run_search
    from ganas.presets import make_config

    flags = _flags(a, b, resolution, seed) | {"nets.layout": layout, "search.strategy": strategy}
    flags["metrics.features"] = features
    flags |= _budget({"params": budget_params, "macs": budget_macs, "ms": budget_ms}, budget_width)
    config = make_config("search", preset=preset, flags=flags, settings=settings or ())
    if dry_run:
        _print_cost(*run_dry(config, out))
        return
    result = run_search(config, out)
    _print_choices(result.architecture)
    echo(result.architecture)
    echo(result.verdict)
    for line in result.spent:
        echo(line)
    given = {"--preset": preset, "--resolution": resolution, "--features": features, "--seed": seed or None}
    again = [word for option, value in given.items() if value is not None for word in (option, value)]
    again += [word for setting in _carried(config, preset, settings or ()) for word in ("--set", setting)]
    if result.spent:  # as wide as the budget was meant for
        ab, ba = (
            f"{(config.search and config.search.budget_width) or config.nets.width_of(name):g}" for name in GENERATORS
        )
        both = ("--width", ab), ("--set", f"nets.width_ab={ab}", "--set", f"nets.width_ba={ba}")
        again += both[ab != ba]
    print_next("train", out, "--a", a, "--b", b, "--out", fresh(out, "-train"), *again)


@app.command()
def train(
    architecture: Annotated[
        str,
        typer.Argument(
            metavar="ARCH|RUN|resnet9|random:SEED",
            help="An architecture.json, a search's run, a hand-made network, or one drawn by lot.",
        ),
    ],
    a: DomainA,
    b: DomainB,
    out: Out,
    width: Annotated[
        float | None, typer.Option("--width", metavar="W", help="Of the generators; encoders put out 4 W channels.")
    ] = None,
    match_size: Annotated[
        str | None,
        typer.Option(
            "--match-size",
            metavar="ARCH[:W]|BYTES[,BYTES]",
            help="The width at which both generators are as large, in total.",
        ),
    ] = None,
    match_each: Annotated[
        bool, typer.Option("--match-each", help="With --match-size: each generator as large as its counterpart.")
    ] = False,
    repeats: Annotated[int, typer.Option("--repeats", metavar="N", min=1, help="Train N times, seed after seed.")] = 1,
    features: Features = None,
    preset: Preset = None,
    resolution: Resolution = None,
    seed: Seed = 0,
    settings: Settings = None,
    dry_run: DryRun = False,
) -> None:
    """Train the translator of one architecture.

    Example: ganas train runs/search --a paintings --b photos --out runs/train
    """
    from ganas.cyclegan.architecture import find_architecture
    from ganas.cyclegan.cost import dry_run as run_dry
    from ganas.cyclegan.match_size import match_widths
    from ganas.cyclegan.train import train as run_training
    from ganas.presets import make_config
    from ganas.settings import split_setting

    found = find_architecture(architecture)
    flags = _flags(a, b, resolution, seed) | {"nets.width": width, "metrics.features": features}
    flags["nets.layout"] = found.layout
    if match_size is not None:
        widths = {f"--set {key}": True for key, _ in map(split_setting, settings or ()) if key.startswith("nets.width")}
        refuse_both({"--width": width} | widths, "--match-size finds it")
        flags |= match_widths(found, match_size, each=match_each)
    elif match_each:
        raise ConfigError("--match-each says how to match: give --match-size with it")
    config = make_config("train", preset=preset, flags=flags, settings=settings or ())
    if dry_run:
        _print_cost(*run_dry(config, out, found, repeats=repeats))
        return
    result = run_training(config, found, out, repeats=repeats)
    for line in result.lines():
        echo(line)
    skip_bad = ["--skip-bad"] if config.data.skip_bad else []
    print_next("translate", out, config.data.a, fresh(out, "-translated"), "--direction", "ab", *skip_bad)


@app.command()
def translate(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run of ganas train, or its model folder.")],
    source: Annotated[Path, typer.Argument(metavar="INPUT", help="An image, a folder or a zip.")],
    output: Annotated[
        Path, typer.Argument(metavar="OUTPUT", help="A new folder: one PNG per image. Of one image also a file.")
    ],
    direction: Annotated[
        str, typer.Option("--direction", metavar="ab|ba", help="A to B, or B to A.", show_default=False)
    ],
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Go on without files that cannot be read.")] = False,
    white: White = None,
    no_icc: NoIcc = False,
) -> None:
    """Translate images of any size."""
    from ganas.cyclegan.translate import translate as run_translation

    reading: dict[str, Any] = {"skip_bad": skip_bad, "white": white, "icc": not no_icc}
    done = run_translation(run, source, output, direction=direction, **reading)  # type: ignore[arg-type]
    echo(f"{counted(done, 'image')} in {shown(output)}")


def _flags(a: Path, b: Path, resolution: int | None, seed: int) -> dict[str, Any]:
    return {"data.a": a, "data.b": b, "data.resolution": resolution, "seed": seed}


CARRIED = ("data.", "loss.", "metrics.", "training.device", "training.precision", "training.threads")


def _carried(config: "RunConfig", preset: str | None, settings: Sequence[str]) -> list[str]:
    """What a training is told by --set after a search that was told `settings`: all that does not concern it alone."""
    from ganas.cyclegan.layout import find_layout
    from ganas.presets import make_config
    from ganas.settings import split_setting

    carried = [setting for setting in settings if split_setting(setting)[0].startswith(CARRIED)]
    flags = {"data.a": config.data.a, "data.b": config.data.b, "metrics.features": config.metrics.features}
    training = make_config("train", preset=preset, flags=flags, settings=carried)
    if training.nets.discriminator == "patchgan" and not find_layout("resnet9").fits(config.data.resolution):
        carried.append("nets.discriminator=searched")
    return carried


def _budget(given: dict[str, str | None], width: float | None) -> dict[str, Any]:
    """The values of the one --budget option that was given: 2.5M for both generators, 2M,4M for A→B and B→A."""
    found = {kind: text for kind, text in given.items() if text is not None}
    if len(found) > 1:
        raise ConfigError(f"give one budget, not {' and '.join(f'--budget-{kind}' for kind in found)}")
    if not found:
        if width is not None:
            raise ConfigError(
                "--budget-width is of a budget: give --budget-params, --budget-macs or --budget-ms with it"
            )
        return {}
    ((kind, text),) = found.items()
    example, unit = ("12.5", "") if kind == "ms" else ("2.5M", "[KMG]?")
    number = re.compile(rf"([0-9]+(?:\.[0-9]*)?(?:e[0-9]+)?) ?({unit})", re.IGNORECASE)
    parts = [number.fullmatch(part.strip()) for part in text.split(",")]
    if len(parts) > 2 or not all(parts):
        raise ConfigError(f"--budget-{kind} {text!r}: give a number as {example}, or two with a comma between, ab,ba")
    amounts = [float(part[1]) * {"": 1, "K": 1e3, "M": 1e6, "G": 1e9}[part[2].upper()] for part in parts if part]
    ab, ba = amounts if len(amounts) == 2 else 2 * amounts
    return {"search.budget": kind, "search.budget_ab": ab, "search.budget_ba": ba, "search.budget_width": width}


def _print_choices(architecture: Any) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("slot", "A→B / D_A", "B→A / D_B", box=None)
    for row in architecture.table():
        table.add_row(*row)
    Console(highlight=False).print(table)


def _print_cost(config: "RunConfig", lines: list[str]) -> None:
    echo(config.to_yaml())
    echo("\n".join(lines))
