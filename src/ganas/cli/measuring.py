"""``ganas evaluate``, ``doctor``, ``data check`` and ``data task``."""

import json
import math
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from ganas.cli import options
from ganas.cli.options import app, data_app, refuse_both
from ganas.cli.printing import echo, fresh, print_next, print_table
from ganas.errors import ConfigError, shown
from ganas.metrics.measurement import METRICS

Metrics = Annotated[
    str | None, typer.Option("--metrics", metavar="NAMES", help=f"Of {','.join(METRICS)}. [all available]")
]
NoCache = Annotated[bool, typer.Option("--no-cache", help="Do not cache statistics of real images.")]


@app.command()
def evaluate(
    run: Annotated[
        Path | None, typer.Argument(metavar="[RUN]", help="A run of ganas train, in both directions, or of ganas grow.")
    ] = None,
    a: Annotated[Path | None, typer.Option("--a", metavar="DATA", help="With RUN: test images of domain A.")] = None,
    b: Annotated[Path | None, typer.Option("--b", metavar="DATA", help="With RUN: test images of domain B.")] = None,
    paired: Annotated[
        Path | None,
        typer.Option("--paired", metavar="DIR", help="With RUN: folder of test images testA and testB that are pairs."),
    ] = None,
    real: Annotated[Path | None, typer.Option("--real", metavar="DATA", help="Without RUN: real images.")] = None,
    fake: Annotated[
        list[Path] | None,
        typer.Option("--fake", metavar="DATA", help="Without RUN: images to evaluate; once per repeat."),
    ] = None,
    metrics: Metrics = None,
    features: options.Features = None,
    images: Annotated[
        int | None, typer.Option("--images", metavar="N", min=2, help="Evaluate a random sample of N images. [all]")
    ] = None,
    resolution: Annotated[
        int | None,
        typer.Option(
            "--resolution", metavar="PIXELS", min=1, help="With --a and --b: crop images to this side. [own size]"
        ),
    ] = None,
    bootstrap: Annotated[
        int, typer.Option("--bootstrap", metavar="N", min=0, help="Resamples for 95 % intervals.")
    ] = 0,
    skip_bad: options.SkipBad = False,
    white: options.White = None,
    no_icc: options.NoIcc = False,
    no_cache: NoCache = False,
    as_json: options.AsJson = False,
) -> None:
    """Evaluate images, or the generators of a run; the key of a score names its protocol.

    Examples: ganas evaluate --real paintings --fake translated --features squeezenet:weights.safetensors
    ganas evaluate runs/train --a test/paintings --b test/photos
    """
    from ganas.evaluation import evaluate_grown, evaluate_run, is_grown
    from ganas.metrics.cache import Cache
    from ganas.metrics.folders import evaluate_folders
    from ganas.progress import Reporter
    from ganas.store import default_cache

    common: dict[str, Any] = {
        "metrics": metrics.split(",") if metrics else None,
        "features": features,
        "bootstrap": bootstrap,
        "cache": None if no_cache else Cache(default_cache()),
    }
    reading: dict[str, Any] = {"skip_bad": skip_bad, "white": white, "icc": not no_icc}
    translating = {"--a": a, "--b": b, "--paired": paired, "--resolution": resolution}
    if run is not None:
        refuse_both({"--real": real, "--fake": fake, "--images": images}, "RUN is given: leave it out")
        if is_grown(run):
            given = {"--skip-bad": skip_bad or None, "--white": white, "--no-icc": no_icc or None}
            refuse_both(translating | given, "a run of ganas grow is compared with its own images, as it read them")
            return _print_measurements([run], [evaluate_grown(run, **common)], as_json)
        found = evaluate_run(run, a=a, b=b, paired=paired, resolution=resolution, **common, **reading)
        return _print_directions(found, as_json)
    refuse_both(translating, "it needs a RUN: use --real and --fake for folders")
    if real is None or not fake:
        raise ConfigError("give a RUN, or --real and --fake")
    measured = evaluate_folders(real, fake, count=images, reporter=Reporter(), **common, **reading)
    _print_measurements(fake, measured, as_json)


class _Compare(TyperCommand):
    """Lets ``--against`` take several runs: all arguments up to the next option."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        spread: list[str] = []
        against = False
        for argument in args:
            if argument.startswith("-"):
                against = argument == "--against"
                spread += [] if against else [argument]
            else:
                spread += ["--against", argument] if against else [argument]
        return super().parse_args(ctx, spread)


@app.command(cls=_Compare)
def compare(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Runs of ganas train or ganas grow.")],
    against: Annotated[
        list[Path] | None,
        typer.Option("--against", metavar="RUN", help="The other side, one run or more. [every two RUNs are compared]"),
    ] = None,
    a: Annotated[Path | None, typer.Option("--a", metavar="DATA", help="Test images of domain A.")] = None,
    b: Annotated[Path | None, typer.Option("--b", metavar="DATA", help="Test images of domain B.")] = None,
    paired: options.Paired = None,
    metrics: Metrics = None,
    features: options.Features = None,
    no_cache: NoCache = False,
    as_json: options.AsJson = False,
) -> None:
    """Say whether one run is better than another, worse, or cannot be told apart.

    Two models are compared over images, methods over seeds (at least three a side: runs with --repeats, or several
    runs). Example: ganas compare runs/searched --against runs/handmade --paired task
    """
    from itertools import combinations

    from ganas.comparison import compare as run_comparison
    from ganas.comparison import meaning
    from ganas.metrics.cache import Cache
    from ganas.store import default_cache

    names = metrics.split(",") if metrics else None
    cache = None if no_cache else Cache(default_cache())
    found = run_comparison(runs, against or (), a=a, b=b, paired=paired, metrics=names, features=features, cache=cache)
    if as_json:
        print(json.dumps(_finite(found.as_json())))
        return
    for note in found.notes:
        echo(f"note: {note}", err=True)
    for (first, one), (second, other) in combinations(enumerate(found.groups), 2):
        rows = [
            (
                contrast.part,
                contrast.key,
                *map(_mean, contrast.means, contrast.deviations),
                str(contrast.difference),
                f"{contrast.detectable:.2g}",
                contrast.verdict,
            )
            for contrast in found.between(first, second)
        ]
        print_table(("", "score", "first", "second", "difference [95 %]", "detectable", "first is"), rows)
        echo(meaning(one, other))


def _mean(mean: float, deviation: float) -> str:
    return f"{mean:.4g}" if math.isnan(deviation) else f"{mean:.4g} ± {deviation:.2g}"


def _finite(value: Any) -> Any:
    """Replace infinite and unknown numbers, which JSON lacks, by None."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


@app.command()
def doctor(as_json: options.AsJson = False) -> None:
    """Describe this machine, and what it means for a run."""
    from ganas.doctor import examine

    findings = examine()
    if as_json:
        print(json.dumps({finding.name: finding.value for finding in findings}))
        return
    for finding in findings:
        echo(f"{finding.name:12} {finding.value:40} {finding.meaning}")


@data_app.command("task")
def data_task(
    name: Annotated[str, typer.Argument(metavar="colour|sharpness|exposure|tones", help="What separates the domains.")],
    photos: Annotated[Path, typer.Argument(metavar="PHOTOS", help="Folder or zip of photographs.")],
    size: Annotated[int, typer.Option("--size", metavar="PIXELS", help="The resolution to train at.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="New folder.")],
    pairs: Annotated[
        int | None, typer.Option("--pairs", metavar="N", help="Pairs to validate on, and to test on. [a tenth]")
    ] = None,
    seed: options.Seed = 0,
    skip_bad: options.SkipBad = False,
    as_json: options.AsJson = False,
) -> None:
    """Make an unpaired translation task whose right answer is known.

    Example: ganas data task sharpness photos --size 64 --out sharpness
    """
    from ganas.data.tasks import write_task

    task = write_task(name, photos, out, size=size, seed=seed, pairs=pairs, skip_bad=skip_bad)
    if as_json:
        print(json.dumps(vars(task)))
        return
    counts = ", ".join(f"{count} {part}" for part, count in task.images.items())
    echo(f"A shows {task.a}, B {task.b}; {task.harder} is the harder direction")
    echo(f"written: {shown(out)} ({counts})")
    print_next(
        *("train", "resnet9", "--a", out / "trainA", "--b", out / "trainB", "--paired", out),
        *("--resolution", size, "--set", "data.load_scale=1", "--out", fresh(out, "-train")),
    )


@data_app.command("check")
def data_check(
    paths: Annotated[list[Path], typer.Argument(metavar="DATA...", help="One domain each.")],
    white: options.White = None,
    no_icc: options.NoIcc = False,
    as_json: options.AsJson = False,
) -> None:
    """Count images, find broken files, and compare the sizes of two domains."""
    from ganas.data.sources import check_source

    reports = [check_source(path, white=white, icc=not no_icc) for path in paths]
    if as_json:
        print(json.dumps({"sources": [report.as_json() for report in reports]}))
    else:
        echo("\n".join(map(str, reports)))
        if len(reports) == 2:
            echo(_compare_sizes(*reports))


def _compare_sizes(a: Any, b: Any) -> str:
    small, large = sorted((a, b), key=lambda report: report.count)
    name, count = shown(small.path), large.count
    if not small.count:
        return f"{name} has no usable image: training needs two domains"
    if small.count == count:
        return f"both domains have {count} images: an epoch is {count} pairs"
    ratio = f"{count / small.count:.1f}".removesuffix(".0")
    return (
        f"{name} is the smaller domain: {small.count} images to {count} of {shown(large.path)}, {ratio} times as many; "
        f"an epoch is {count} pairs"
    )


def _print_directions(scores: Any, as_json: bool) -> None:
    """Print both directions of a run, before and after translation."""
    if as_json:
        document = {
            direction: {name: measured.as_json() for name, measured in vars(both).items()}
            for direction, both in scores.items()
        }
        print(json.dumps(document))
        return
    rows: list[tuple[str, ...]] = []
    for direction, both in scores.items():
        _note_warnings(both.translated, f"{direction}: ")
        split = both.translated.protocol["split"]
        rows += [(direction, split, *row) for row in _score_rows(both.untranslated, both.translated)]
    print_table(("", "split", "score", "untranslated", "translated"), rows)


def _print_measurements(fakes: list[Path], measured: Any, as_json: bool) -> None:
    """Print one measurement per folder, and a summary of several."""
    from ganas.metrics.measurement import summarize

    summaries = summarize(measured) if len(measured) > 1 else {}
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
    print_table(columns, _score_rows(*measured))
    for key, summary in summaries.items():
        echo(f"{key}: {summary}")


def _score_rows(*measurements: Any) -> list[tuple[str, ...]]:
    """Return a row per score, its key first; the levels of the sliced Wasserstein distance follow it."""
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
        echo(f"note: {prefix}{warning}", err=True)
