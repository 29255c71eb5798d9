"""``ganas demo``, ``search``, ``train`` and ``translate``: the commands of the CycleGAN."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ganas.cli import options
from ganas.cli.options import app, refuse_both
from ganas.cli.printing import echo, fresh, named, print_next, print_table
from ganas.cyclegan.layout import LAYOUTS
from ganas.cyclegan.presets import finds_front
from ganas.cyclegan.strategies import STRATEGIES
from ganas.errors import ConfigError, counted, shown
from ganas.store import Run

HANDMADE = "resnet9"
SEARCHABLE = ", ".join(name for name, layout in LAYOUTS.items() if layout.size > 1)

if TYPE_CHECKING:
    from ganas.cyclegan.config import RunConfig


@app.command()
def demo(
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for its results.")] = Path("ganas-demo"),
) -> None:
    """Search, train, translate and evaluate on built-in photographs, in about four minutes."""
    from ganas.demo import run_demo

    echo(run_demo(out))


@app.command()
def search(
    a: options.DomainA,
    b: options.DomainB,
    out: options.Out,
    layout: Annotated[
        str | None, typer.Option("--layout", metavar="NAME", help=f"Search space: {SEARCHABLE}. [framed]")
    ] = None,
    strategy: Annotated[
        str | None,
        typer.Option("--strategy", metavar="NAME", help=f"How alphas and weights learn: {', '.join(STRATEGIES)}. [of]"),
    ] = None,
    budget_params: Annotated[
        str | None,
        typer.Option("--budget-params", metavar="N[,N]", help="Limit for each generator, or for ab,ba: 2.5M."),
    ] = None,
    budget_macs: Annotated[
        str | None,
        typer.Option(
            "--budget-macs", metavar="N[,N]", help="Multiply-accumulates per image of --resolution; fronts: of 256²."
        ),
    ] = None,
    budget_ms: Annotated[
        str | None,
        typer.Option("--budget-ms", metavar="MS[,MS]", help="Milliseconds per image, as --budget-macs, measured here."),
    ] = None,
    budget_width: Annotated[
        float | None, typer.Option("--budget-width", metavar="W", help="Generator width for the budget. [the search's]")
    ] = None,
    features: options.Features = None,
    paired: options.Paired = None,
    teacher: Annotated[
        str | None,
        typer.Option(
            "--teacher",
            metavar="RUN|none",
            help="Trained translator that a front learns from, too. [resnet9, trained first, in OUT-teacher]",
        ),
    ] = None,
    repeats: Annotated[
        int, typer.Option("--repeats", metavar="N", min=1, help="Search with N consecutive seeds: do they agree?")
    ] = 1,
    preset: options.Preset = None,
    resolution: options.Resolution = None,
    seed: options.Seed = 0,
    settings: options.Settings = None,
    dry_run: options.DryRun = False,
) -> None:
    """Find the architectures of a CycleGAN for two folders of images.

    Example: ganas search --a paintings --b photos --out runs/search
    """
    from ganas.cyclegan.cost import dry_run as run_dry
    from ganas.cyclegan.layout import GENERATORS
    from ganas.cyclegan.search import search as run_search
    from ganas.presets import make_config
    from ganas.settings import split_setting

    common = _flags(a, b, resolution, seed, features, paired)
    flags = common | {"nets.layout": layout, "search.strategy": strategy}
    flags |= _budget_flags({"params": budget_params, "macs": budget_macs, "ms": budget_ms}, budget_width)
    chosen = dict(map(split_setting, settings or ())).get("search.strategy", strategy)
    front = finds_front(chosen) and repeats == 1  # fronts are not repeated
    own: Path | None = None  # teacher
    if front and teacher is None and Run(out).has_progress:
        flags["distillation.teacher"] = _teacher_of(Run(out))
    elif front and teacher is None:
        own = Path(f"{named(out)}-teacher")
        flags["distillation.teacher"] = own
    elif teacher != "none":
        flags["distillation.teacher"] = Path(teacher) if teacher else None
    config = make_config("search", preset=preset, flags=flags, settings=settings or ())
    needed: list[str] = []  # before the search
    if own and config.distillation.teacher == own:  # else --set named one
        config, needed = _with_trained(own, config, out, common, preset, settings or (), dry_run)
    if dry_run:
        resolved, lines = run_dry(config, out, repeats=repeats)
        return echo("\n".join([resolved.to_yaml(), *needed, *lines]))
    result = run_search(config, out, repeats=repeats)
    print_table(("slot", "A→B / D_A", "B→A / D_B"), result.architecture.table())
    echo(result.architecture)
    echo(result.verdict)
    for line in result.spent:
        echo(line)
    given = {"--preset": preset, "--resolution": resolution, "--features": features, "--paired": paired}
    given |= {"--teacher": config.distillation.teacher}
    given |= {"--seed": seed or None, "--point": len(result.front.points) - 1 if result.front else None}
    arguments = [part for option, value in given.items() if value is not None for part in (option, value)]
    arguments += [part for kept in _training_settings(config, preset, settings or ()) for part in ("--set", kept)]
    if config.search and config.search.budget and not result.front:  # train at the width of the budget
        ab, ba = (f"{config.search.budget_width or config.nets.width_of(name):g}" for name in GENERATORS)
        both = ["--set", f"nets.width_ab={ab}", "--set", f"nets.width_ba={ba}"]
        arguments += ["--width", ab] if ab == ba else both
    print_next("train", out, "--a", a, "--b", b, "--out", fresh(out, "-train"), *arguments)


@app.command()
def train(
    architecture: Annotated[
        str,
        typer.Argument(
            metavar="ARCH|RUN|resnet9|random:SEED",
            help="An architecture.json, the run of a search, a hand-made network, or a random architecture.",
        ),
    ],
    a: options.DomainA,
    b: options.DomainB,
    out: options.Out,
    width: Annotated[
        float | None, typer.Option("--width", metavar="W", help="Generator width; encoders output 4 W channels.")
    ] = None,
    match_size: Annotated[
        str | None,
        typer.Option(
            "--match-size",
            metavar="ARCH[:W]|BYTES[,BYTES]",
            help="Use the width at which both generators together have this size.",
        ),
    ] = None,
    match_each: Annotated[
        bool, typer.Option("--match-each", help="With --match-size: match each generator by itself.")
    ] = False,
    point: Annotated[
        int | None, typer.Option("--point", metavar="N", min=0, help="A point of the front that RUN found, from 0.")
    ] = None,
    budget_ms: Annotated[
        float | None, typer.Option("--budget-ms", metavar="MS", help="The largest point of the front within this time.")
    ] = None,
    repeats: Annotated[int, typer.Option("--repeats", metavar="N", min=1, help="Train with N consecutive seeds.")] = 1,
    features: options.Features = None,
    paired: options.Paired = None,
    teacher: options.Teacher = None,
    preset: options.Preset = None,
    resolution: options.Resolution = None,
    seed: options.Seed = 0,
    settings: options.Settings = None,
    dry_run: options.DryRun = False,
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
    inherited: dict[str, Any] = {}
    if point is not None or budget_ms is not None:
        from ganas.cyclegan.front import open_point

        refuse_both({"--point": point}, "--budget-ms chooses the point") if budget_ms is not None else None
        found, inherited = open_point(architecture, point, budget_ms)
    flags = _flags(a, b, resolution, seed, features, paired) | inherited | {"distillation.teacher": teacher}
    flags |= {"nets.width": width or inherited.get("nets.width"), "nets.layout": found.layout}
    if match_size is not None:
        widths = {f"--set {key}": True for key, _ in map(split_setting, settings or ()) if key.startswith("nets.width")}
        refuse_both({"--width": width} | widths, "--match-size sets it")
        flags |= match_widths(found, match_size, each=match_each)
    elif match_each:
        raise ConfigError("--match-each needs --match-size: give both")
    config = make_config("train", preset=preset, flags=flags, settings=settings or ())
    if dry_run:
        resolved, lines = run_dry(config, out, found, repeats=repeats)
        return echo("\n".join([resolved.to_yaml(), *lines]))
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
        Path, typer.Argument(metavar="OUTPUT", help="A new folder, one PNG per image; for one image also a file.")
    ],
    direction: Annotated[
        str, typer.Option("--direction", metavar="ab|ba", help="A to B, or B to A.", show_default=False)
    ],
    skip_bad: options.SkipBad = False,
    white: options.White = None,
    no_icc: options.NoIcc = False,
) -> None:
    """Translate images of any size."""
    from ganas.cyclegan.translate import translate as run_translation

    reading: dict[str, Any] = {"skip_bad": skip_bad, "white": white, "icc": not no_icc}
    done = run_translation(run, source, output, direction=direction, **reading)  # type: ignore[arg-type]
    echo(f"{counted(done, 'image')} in {shown(output)}")


def _flags(
    a: Path, b: Path, resolution: int | None, seed: int, features: str | None, paired: Path | None = None
) -> dict[str, Any]:
    data = {"data.a": a, "data.b": b, "data.pairs": paired, "data.resolution": resolution}
    return {**data, "seed": seed, "metrics.features": features}


SHARED_SETTINGS = (
    "data.",
    "loss.",
    "distillation.",
    "metrics.",
    "training.device",
    "training.precision",
    "training.threads",
)


def _training_settings(config: "RunConfig", preset: str | None, settings: Sequence[str]) -> list[str]:
    """Return the settings of a search that its training needs too."""
    from ganas.cyclegan.layout import find_layout
    from ganas.presets import make_config
    from ganas.settings import split_setting

    kept = [setting for setting in settings if split_setting(setting)[0].startswith(SHARED_SETTINGS)]
    flags = _flags(config.data.a, config.data.b, None, config.seed, config.metrics.features, config.data.pairs)
    flags["distillation.teacher"] = config.distillation.teacher
    training = make_config("train", preset=preset, flags=flags, settings=kept)
    if training.nets.discriminator == "patchgan" and not find_layout("resnet9").fits(config.data.resolution):
        kept.append("nets.discriminator=searched")
    return kept


def _teacher_of(run: Run) -> Path | None:
    """The teacher of a search that began."""
    from ganas.config import load_config
    from ganas.cyclegan.config import RunConfig

    return load_config(RunConfig, run.config.read_bytes(), str(run.config)).distillation.teacher


def _with_trained(
    teacher: Path,
    config: "RunConfig",  # of the search
    out: Path,  # of the search
    flags: dict[str, Any],  # that both have
    preset: str | None,
    settings: Sequence[str],
    dry_run: bool,
) -> tuple["RunConfig", list[str]]:
    """Train the hand-made network as wide, and on the same data, as the supernets of a search, unless it is done.

    Raises `RunError` if the folder holds another training than that. In a dry run, return the search without a teacher
    that does not exist yet, and what training it takes.
    """
    from ganas.cyclegan.architecture import find_architecture
    from ganas.cyclegan.config import DistillationConfig
    from ganas.cyclegan.cost import dry_run as run_dry
    from ganas.cyclegan.search import open_search
    from ganas.cyclegan.train import train as run_training
    from ganas.presets import make_config
    from ganas.progress import Reporter

    shared = [one for one in _training_settings(config, preset, settings) if not one.startswith("distillation.")]
    nets = config.nets
    flags |= {"nets.width": nets.width, "nets.width_ab": nets.width_ab, "nets.width_ba": nets.width_ba}
    training = make_config("train", preset=preset, flags=flags | {"nets.layout": HANDMADE}, settings=shared)
    if Run(teacher).result.is_file():
        if not dry_run:
            run_training(training, find_architecture(HANDMADE), teacher)  # refuses one of other images, say
        return config, []
    alone = config.model_copy(update={"distillation": DistillationConfig()})
    open_search(alone, Run(out))  # an error in the options of the search is not for the end of a training
    if dry_run:
        _, lines = run_dry(training, teacher, find_architecture(HANDMADE))
        words = [f"the teacher, {shown(teacher)}:", *(f"  {line}" for line in lines), "the search, without a teacher:"]
        return alone, words
    Reporter().say(f"training the teacher first, {HANDMADE} in {shown(teacher)}; --teacher takes one, or none")
    run_training(training, find_architecture(HANDMADE), teacher)
    return config, []


def _budget_flags(limits: dict[str, str | None], width: float | None) -> dict[str, Any]:
    """Parse the --budget option: 2.5M for both generators, 2M,4M for A→B and B→A."""
    budgets = [(kind, text) for kind, text in limits.items() if text is not None]
    if len(budgets) > 1:
        raise ConfigError(f"give one budget, not {' and '.join(f'--budget-{kind}' for kind, _ in budgets)}")
    if not budgets:
        if width is not None:
            raise ConfigError("--budget-width needs a budget: give --budget-params, --budget-macs or --budget-ms too")
        return {}
    ((kind, text),) = budgets
    example, unit = ("12.5", "") if kind == "ms" else ("2.5M", "[KMG]?")
    number = re.compile(rf"([0-9]+(?:\.[0-9]*)?(?:e[0-9]+)?) ?({unit})", re.IGNORECASE)
    parts = [number.fullmatch(part.strip()) for part in text.split(",")]
    if len(parts) > 2 or not all(parts):
        raise ConfigError(f"--budget-{kind} {text!r}: give a number such as {example}, or two, for ab,ba")
    amounts = [float(part[1]) * {"": 1, "K": 1e3, "M": 1e6, "G": 1e9}[part[2].upper()] for part in parts if part]
    ab, ba = amounts if len(amounts) == 2 else 2 * amounts
    return {"search.budget": kind, "search.budget_ab": ab, "search.budget_ba": ba, "search.budget_width": width}
