"""The command line: parse, call, print. What a user can mend ends in one line on stderr and exit code 2."""

import json
import os
import re
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from ganas.errors import (
    ConfigError,
    GanasError,
    Stopped,
    UserError,
    describe_os_error,
    is_compiler_failure,
    is_out_of_memory,
)

app = typer.Typer(
    name="ganas",
    help="GAN architecture search: find, train and use the GAN that fits your images.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
data_app = typer.Typer(help="Look at datasets.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(data_app, name="data")

DomainA = Annotated[Path, typer.Option("--a", metavar="DIR|ZIP", help="Images of domain A.", show_default=False)]
DomainB = Annotated[Path, typer.Option("--b", metavar="DIR|ZIP", help="Images of domain B.", show_default=False)]
Out = Annotated[
    Path,
    typer.Option("--out", metavar="RUN", help="Folder of the run; the same command again resumes.", show_default=False),
]
Preset = Annotated[
    str | None,
    typer.Option("--preset", metavar="NAME", help="Scale: tiny, small, gpu, paper, reference. [fits the machine]"),
]
Resolution = Annotated[int | None, typer.Option("--resolution", metavar="PIXELS", help="Side of the training images.")]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="SECTION.KEY=VALUE", help="Any other value of the config; may be repeated."),
]
Seed = Annotated[int, typer.Option("--seed", metavar="N", help="Of everything random.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the config and what the run would cost; do nothing.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")]
Features = Annotated[
    str | None,
    typer.Option(
        "--features",
        metavar="NAME[:PATH]",
        help="Feature network: inception, squeezenet or one of torchvision's classifiers; its weights' file.",
    ),
]


@app.command()
def demo(
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where to put it.")] = Path("ganas-demo"),
) -> None:
    """The whole story on built-in photographs, in minutes: search, train, translate, evaluate."""
    from ganas.demo import run_demo

    print(run_demo(out))


@app.command()
def search(
    a: DomainA,
    b: DomainB,
    out: Out,
    layout: Annotated[
        str | None, typer.Option("--layout", metavar="NAME", help="Search space: framed, paper or reference. [framed]")
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
        typer.Option("--budget-macs", metavar="N[,N]", help="Of multiply-accumulates an image: 10G."),
    ] = None,
    budget_ms: Annotated[
        str | None,
        typer.Option("--budget-ms", metavar="MS[,MS]", help="Of milliseconds an image, measured here."),
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
    from ganas.presets import make_config
    from ganas.searching.oneshot import STRATEGIES
    from ganas.searching.oneshot import search as run_search

    flags = _flags(a, b, resolution, seed) | {"nets.layout": layout, "search.strategy": strategy}
    flags["metrics.features"] = features
    flags |= _budget({"params": budget_params, "macs": budget_macs, "ms": budget_ms}, budget_width)
    config = make_config("search", preset=preset or _default_preset(), flags=flags, settings=settings or ())
    assert config.search is not None
    if dry_run:
        _print_cost(config, None, STRATEGIES[config.search.strategy].phases)
        return
    result = run_search(config, out)
    _print_choices(result.architecture)
    print(result.architecture)
    print(result.verdict)
    for line in result.spent:
        print(line)
    given = {"--preset": preset, "--resolution": resolution, "--features": features}
    again = [word for option, value in given.items() if value is not None for word in (option, value)]
    _print_next("train", out, "--a", a, "--b", b, "--out", f"{out}-train", *again)


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
        typer.Option("--match-size", metavar="ARCH[:W]|BYTES", help="Widen it until both generators are as large."),
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
    from ganas.presets import make_config
    from ganas.training.architectures import find_architecture, matched
    from ganas.training.phases import joint_phases
    from ganas.training.translator import train_repeats

    found = find_architecture(architecture)
    flags = _flags(a, b, resolution, seed) | {"nets.width": width, "metrics.features": features}
    flags["nets.layout"] = found.layout
    if match_size is not None:
        _refuse_both({"--width": width}, "--match-size finds it")
        flags |= matched(found, match_size, each=match_each)
    elif match_each:
        raise ConfigError("--match-each says how to match: give --match-size with it")
    config = make_config("train", preset=preset or _default_preset(), flags=flags, settings=settings or ())
    if dry_run:
        _print_cost(config, found, joint_phases, repeats)
        return
    result = train_repeats(config, found, out, repeats)
    for line in result.lines():
        print(line)
    _print_next("translate", out, a, "translated", "--direction", "ab")


@app.command()
def translate(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run of ganas train, or its model folder.")],
    source: Annotated[Path, typer.Argument(metavar="INPUT", help="An image, a folder or a zip.")],
    output: Annotated[Path, typer.Argument(metavar="OUTPUT", help="A new folder: one PNG per image, names kept.")],
    direction: Annotated[
        str, typer.Option("--direction", metavar="ab|ba", help="A to B, or B to A.", show_default=False)
    ],
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Go on without files that cannot be read.")] = False,
) -> None:
    """Translate images of any size."""
    from ganas.inference import translate as run_translation

    if direction not in ("ab", "ba"):
        raise ConfigError(f"unknown direction {direction!r}: choose ab (A to B) or ba (B to A)")
    done = run_translation(run, source, output, direction=direction, skip_bad=skip_bad)  # type: ignore[arg-type]
    print(f"{done} images in {output}")


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
    workers: Annotated[
        int | None,
        typer.Option("--workers", metavar="N", help="Candidates trained at once. [1; ray: as many as fit]"),
    ] = None,
    executor: Annotated[
        str, typer.Option("--executor", metavar="local|ray", help="Train them here, or on a Ray cluster.")
    ] = "local",
    address: Annotated[
        str | None, typer.Option("--address", metavar="HOST:PORT", help="Of a Ray cluster. [one on this machine]")
    ] = None,
    gpu_share: Annotated[
        float | None, typer.Option("--gpu-share", metavar="PART", help="With ray: of a GPU for each candidate. [1]")
    ] = None,
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
    from ganas.presets import make_grow_config
    from ganas.searching.grow import foresee
    from ganas.searching.grow import grow as run_growth

    flags = {"data.images": str(data), "data.resolution": resolution, "metrics.features": features, "seed": seed}
    config = make_grow_config(preset=preset or _default_preset(), flags=flags, settings=settings or ())
    if dry_run:
        resolved, lines = foresee(config, route, workers)
        print(resolved.to_yaml())
        print("\n".join(lines))
        return
    place: dict[str, Any] = {"workers": workers, "executor": executor, "address": address, "gpu_share": gpu_share}
    for line in run_growth(config, out, route=route, **place).lines():
        print(line)
    _print_next("sample", out, "samples.png", "-n", "64", "--grid")


@app.command()
def sample(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run of ganas grow, or its model folder.")],
    output: Annotated[Path, typer.Argument(metavar="OUTPUT", help="A new folder of PNGs; with --grid one new PNG.")],
    count: Annotated[int, typer.Option("-n", metavar="N", min=1, help="How many images.")] = 64,
    seed: Annotated[
        int, typer.Option("--seed", metavar="N", min=0, max=2**62, help="Of the first; the others count up.")
    ] = 0,
    grid: Annotated[bool, typer.Option("--grid", help="All in one picture.")] = False,
) -> None:
    """Make images; the same seed gives the same image."""
    from ganas.sampling import sample as run_sampling

    print(f"{run_sampling(run, output, count=count, seed=seed, as_grid=grid)} images in {output}")


@app.command()
def runs(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run of ganas grow.")], as_json: AsJson = False
) -> None:
    """What a growing search has tried: every candidate, the beam, and how the best came about."""
    from ganas.searching.history import read_history

    history = read_history(run)
    if as_json:
        print(json.dumps(history.as_json()))
        return
    header = ("generation", "id", "parent", "action", "size", "G", "D", "start", "end", "÷ ProgGAN", "s", "state")
    _print_table(header, [_candidate_row(record) for record in history.records])
    for number, beam in enumerate(history.beams):
        print(f"beam {number}: {' '.join(beam) or 'nobody'}")
    for name in history.lineage:
        record = history.record(name)
        print(f"best: {_grown(record)} → {record.spec.architecture}")


def _candidate_row(record: Any) -> tuple[str, ...]:
    """One candidate for people; an asterisk marks those that were kept."""
    spec, result = record.spec, record.result
    layers, state = spec.architecture, f"{record.state}*" if record.kept else record.state
    parameters = (f"{layers.parameters(side) / 1e6:.2f}M" for side in ("generator", "discriminator"))
    numbers = (result and result.start, result and result.end, record.normalized)
    scores = ("" if number is None else f"{number:.4g}" for number in numbers)
    seconds = f"{result.seconds:.0f}" if result else ""
    place = str(spec.generation) if record.role == "search" else record.role
    return (
        *(place, spec.id, spec.parent or "", _grown(record), f"{layers.resolution}²"),
        *(*parameters, *scores, seconds, state),
    )


def _grown(record: Any) -> str:
    return record.spec.action or ("trained on" if record.spec.parent else "base")


@app.command()
def evaluate(
    run: Annotated[
        Path | None, typer.Argument(metavar="[RUN]", help="A run of ganas train, to be measured both ways.")
    ] = None,
    a: Annotated[Path | None, typer.Option("--a", metavar="DIR|ZIP", help="With RUN: test images of domain A.")] = None,
    b: Annotated[Path | None, typer.Option("--b", metavar="DIR|ZIP", help="With RUN: test images of domain B.")] = None,
    real: Annotated[Path | None, typer.Option("--real", metavar="DIR|ZIP", help="Without RUN: real images.")] = None,
    fake: Annotated[
        list[Path] | None,
        typer.Option("--fake", metavar="DIR|ZIP", help="Without RUN: images to judge; again for each repeat."),
    ] = None,
    metrics: Annotated[
        str | None, typer.Option("--metrics", metavar="NAMES", help="Of fid,kid,pr,is,swd. [those that can be had]")
    ] = None,
    features: Features = None,
    images: Annotated[
        int | None, typer.Option("--images", metavar="N", min=2, help="Draw N of the images to judge. [all]")
    ] = None,
    bootstrap: Annotated[
        int, typer.Option("--bootstrap", metavar="N", min=0, help="Resamples behind 95 % intervals.")
    ] = 0,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Go on without files that cannot be read.")] = False,
    no_cache: Annotated[
        bool, typer.Option("--no-cache", help="Neither use nor keep statistics of real images.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Measure images, or both directions of a run; each key names its protocol.

    Examples: ganas evaluate --real paintings --fake translated --features squeezenet:weights.safetensors
    ganas evaluate runs/train --a test/paintings --b test/photos
    """
    from ganas.evaluation import evaluate_run
    from ganas.metrics.evaluate import evaluate_folders
    from ganas.metrics.statistics import Cache
    from ganas.progress import Reporter
    from ganas.store import default_cache

    common: dict[str, Any] = {
        "metrics": metrics.split(",") if metrics else None,
        "features": features,
        "bootstrap": bootstrap,
        "cache": None if no_cache else Cache(default_cache()),
        "skip_bad": skip_bad,
    }
    if run is not None:
        _refuse_both({"--real": real, "--fake": fake, "--images": images}, "RUN is given: leave it out")
        if (a is None) != (b is None):
            raise ConfigError("give both --a and --b, or neither to measure what the run held out")
        _print_judgements(evaluate_run(run, a=a, b=b, **common), as_json)
        return
    _refuse_both({"--a": a, "--b": b}, "it needs a RUN: use --real and --fake for folders")
    if real is None or not fake:
        raise ConfigError("give a RUN, or --real and --fake")
    measured = evaluate_folders(real, fake, count=images, reporter=Reporter(), **common)
    _print_measurements(fake, measured, as_json)


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """What this machine has, and what that means for a run."""
    from ganas.doctor import examine

    findings = examine()
    if as_json:
        print(json.dumps({finding.name: finding.value for finding in findings}))
        return
    for finding in findings:
        print(f"{finding.name:12} {finding.value:40} {finding.meaning}")


@data_app.command("check")
def data_check(
    places: Annotated[list[Path], typer.Argument(metavar="DIR|ZIP...", help="One domain each.")],
    as_json: AsJson = False,
) -> None:
    """Count images, find broken files, and say how unequal two domains are."""
    from ganas.data.sources import check_source

    reports = [check_source(place) for place in places]
    if as_json:
        print(json.dumps({"sources": [report.as_json() for report in reports]}))
    else:
        for report in reports:
            print(report)
        if len(reports) == 2:
            print(_balance(reports[0].count, reports[1].count))


def _balance(a: int, b: int) -> str:
    small, large = sorted((a, b))
    if small == large:
        return f"both domains have {a} images: an epoch is {a} pairs"
    ratio = f"{large / small:.1f} times the images of the other" if small else "all of the images"
    return f"one domain has {ratio}: an epoch is {large} pairs, and the smaller domain is walked more often"


def _flags(a: Path, b: Path, resolution: int | None, seed: int) -> dict[str, Any]:
    return {"data.a": str(a), "data.b": str(b), "data.resolution": resolution, "seed": seed}


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
    parts = [re.fullmatch(r"([0-9]+(?:\.[0-9]*)?(?:e[0-9]+)?) ?([KMG]?)", part.strip()) for part in text.split(",")]
    if len(parts) > 2 or not all(parts):
        raise ConfigError(f"--budget-{kind} {text!r}: give a number as 2.5M, or two with a comma between, ab,ba")
    amounts = [float(part[1]) * {"": 1, "K": 1e3, "M": 1e6, "G": 1e9}[part[2]] for part in parts if part]
    ab, ba = amounts if len(amounts) == 2 else 2 * amounts
    return {"search.budget": kind, "search.budget_ab": ab, "search.budget_ba": ba, "search.budget_width": width}


def _default_preset() -> str:
    """What suits the machine: gpu with one, else small."""
    import torch

    return "gpu" if torch.cuda.is_available() else "small"


def _print_next(*arguments: object) -> None:
    """The command to go on with, ready to be pasted."""
    print(f"next: {shlex.join(['ganas', *map(str, arguments)])}")


def _refuse_both(options: dict[str, Any], reason: str) -> None:
    for name, value in options.items():
        if value:
            raise ConfigError(f"{name} cannot be used here, {reason}")


def _print_judgements(judgements: Any, as_json: bool) -> None:
    """Both directions of a run, before and after."""
    if as_json:
        document = {
            direction: {"untranslated": judged.untranslated.as_json(), "translated": judged.translated.as_json()}
            for direction, judged in judgements.items()
        }
        print(json.dumps(document))
        return
    rows: list[tuple[str, ...]] = []
    for direction, judged in judgements.items():
        _note_warnings(judged.translated, f"{direction}: ")
        split = judged.translated.protocol["split"]
        for label, *values in _score_rows(judged.untranslated, judged.translated):
            rows.append((direction, split, label, *values))
    _print_table(("", "split", "score", "untranslated", "translated"), rows)


def _print_measurements(fakes: list[Path], measured: Any, as_json: bool) -> None:
    """One measurement a folder, and a summary of several."""
    from ganas.metrics.measurement import summarise

    summaries = summarise(measured) if len(measured) > 1 else {}
    if as_json:
        if len(measured) == 1:
            print(json.dumps(measured[0].as_json()))
            return
        document = {"repeats": [one.as_json() for one in measured]}
        print(json.dumps(document | {"summary": {key: vars(summary) for key, summary in summaries.items()}}))
        return
    for fake, one in zip(fakes, measured, strict=True):
        _note_warnings(one, f"{fake}: " if len(measured) > 1 else "")
    columns = ("score", *(map(str, fakes) if len(measured) > 1 else ["value"]))
    _print_table(columns, _score_rows(*measured))
    for key, summary in summaries.items():
        print(f"{key}: {summary}")


def _score_rows(*measurements: Any) -> list[tuple[str, ...]]:
    """A row a score, its label first; below the sliced Wasserstein distance its levels, as the papers' tables."""
    first, rows = measurements[0], []
    for key in first.scores:
        rows.append((key, *(_score(one, key) for one in measurements)))
        for level in first.protocol.get("swd_levels", {}) if key.startswith("swd") else ():
            values = (f"{one.protocol['swd_levels'][level]:.6g}" for one in measurements)
            rows.append((f"  level of {level} px", *values))
    return rows


def _score(measurement: Any, key: str) -> str:
    low, high = measurement.intervals.get(key, (None, None))
    return f"{measurement.scores[key]:.6g}" + (f" [{low:.4g}, {high:.4g}]" if low is not None else "")


def _note_warnings(measurement: Any, prefix: str) -> None:
    for warning in measurement.warnings:
        print(f"note: {prefix}{warning}", file=sys.stderr)


def _print_table(columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    """Aligned with spaces, so that it can be cut and grepped."""
    widths = [max(len(row[place]) for row in (columns, *rows)) for place in range(len(columns))]
    for row in (columns, *rows):
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _print_choices(architecture: Any) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("slot", "A→B / D_A", "B→A / D_B", box=None)
    for row in architecture.table():
        table.add_row(*row)
    Console(highlight=False).print(table)


def _print_cost(config: Any, architecture: Any, phases: Any, repeats: int = 1) -> None:
    from ganas.training.cost import describe, measure_run

    resolved, cost = measure_run(config, architecture, phases)
    print(resolved.to_yaml())
    for line in describe(cost, repeats):
        print(line)


def main() -> NoReturn:
    """Entry point: every error a user can cause becomes one line and exit code 2."""
    sys.exit(run(lambda: app(standalone_mode=False)))


def run(command: Callable[[], Any]) -> int:
    """Call a command and turn its exceptions into an exit code; the one boundary where this happens."""
    try:
        result = command()
        if result == INTERRUPTED:
            raise KeyboardInterrupt
        return result if isinstance(result, int) else 0
    except UserError as error:
        return _fail(str(error), 2)
    except USAGE_ERROR as error:
        message = getattr(error, "format_message", error.__str__)()  # names the option, which str() does not
        return _fail(f"{message.rstrip('.')}; see --help", 2)
    except Stopped as stopped:
        return _fail(str(stopped), INTERRUPTED)
    except GanasError as error:
        return _fail(str(error), 1)
    except BrokenPipeError:  # ganas … | head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nor may Python's last flush complain
        return 141
    except OSError as error:
        return _fail(describe_os_error(error), 2)
    except (KeyboardInterrupt, typer.Abort):
        return _fail("interrupted", INTERRUPTED)
    except Exception as error:
        if is_out_of_memory(error):
            return _fail(
                "out of memory: take a smaller training.batch or --resolution, in search and train also nets.width or "
                "training.checkpointing=true (--dry-run says what they need), or smaller images to translate",
                2,
            )
        if is_compiler_failure(error):
            cause = next((line.strip() for line in str(error).splitlines() if line.strip()), "no reason given")
            return _fail(f"torch.compile failed ({cause}): leave training.compile out, or install a C++ compiler", 2)
        raise


INTERRUPTED = 130  # exit code; typer returns it for a KeyboardInterrupt, or raises Abort, as its version has it

# click's UsageError: typer has it from places that change with its version, and BadParameter is a kind of it
USAGE_ERROR: type[Exception] = next(base for base in typer.BadParameter.__mro__ if base.__name__ == "UsageError")


def _fail(message: str, code: int) -> int:
    print(f"ganas: {' '.join(message.split())}", file=sys.stderr)
    return code
