"""The Typer apps of ``ganas`` and ``ganas data``, and the options that several commands share."""

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from ganas.cyclegan.presets import PRESETS
from ganas.errors import ConfigError


class _Group(TyperGroup):
    """Refuses empty values: the path in an unset shell variable would otherwise be the current folder."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        for before, value in zip(["", *args], args, strict=False):
            option, separator, rest = value.partition("=")
            if not value or (separator and not rest and option.startswith("--")):
                name = option or (f"the value after {before}" if before.startswith("-") else "an argument")
                raise ConfigError(f"{name} is empty (an unset variable?): give a value")
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=_Group,
    name="ganas",
    help="GAN architecture search: find, train and use the GAN that fits your images.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
data_app = typer.Typer(help="Inspect and make datasets.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(data_app, name="data")

DomainA = Annotated[
    Path,
    typer.Option(
        "--a", metavar="DATA", help="Images of domain A: a folder, a zip, ... (docs/data.md).", show_default=False
    ),
]
DomainB = Annotated[Path, typer.Option("--b", metavar="DATA", help="Images of domain B.", show_default=False)]
Paired = Annotated[
    Path | None,
    typer.Option("--paired", metavar="DIR", help="Pairs to score on: valA and valB, or testA and testB."),
]
Teacher = Annotated[
    Path | None,
    typer.Option("--teacher", metavar="RUN", help="Trained translator whose images and features are learned, too."),
]
Out = Annotated[
    Path,
    typer.Option("--out", metavar="RUN", help="Folder of the run; the same command again resumes.", show_default=False),
]
Preset = Annotated[
    str | None,
    typer.Option("--preset", metavar="NAME", help=f"Scale: {', '.join(PRESETS)}. [fits the machine]"),
]
Resolution = Annotated[int | None, typer.Option("--resolution", metavar="PIXELS", help="Side of the training images.")]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="SECTION.KEY=VALUE", help="Any other value of the config; may be repeated."),
]
Seed = Annotated[int, typer.Option("--seed", metavar="N", help="Random seed.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the config and the cost of the run; do nothing.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")]
Features = Annotated[
    str | None,
    typer.Option(
        "--features",
        metavar="NAME[:PATH]",
        help="Feature network (inception, squeezenet or a torchvision classifier) and the file of its weights.",
    ),
]
White = Annotated[
    float | None,
    typer.Option("--white", metavar="VALUE", help="White level of images with more than 8 bits. [by tags and values]"),
]
SkipBad = Annotated[bool, typer.Option("--skip-bad", help="Skip files that cannot be read.")]
NoIcc = Annotated[bool, typer.Option("--no-icc", help="Do not convert color profiles to sRGB.")]
Workers = Annotated[
    int | None,
    typer.Option("--workers", metavar="N", help="Jobs (candidates, trainings) at once. [1; ray: as many as fit]"),
]
ExecutorName = Annotated[
    str, typer.Option("--executor", metavar="local|ray", help="Run jobs on this machine or a Ray cluster.")
]
Address = Annotated[
    str | None, typer.Option("--address", metavar="HOST:PORT", help="Address of a Ray cluster. [one on this machine]")
]
GpuShare = Annotated[
    float | None, typer.Option("--gpu-share", metavar="PART", help="With ray: share of a GPU per job. [1]")
]


def refuse_both(options: dict[str, Any], reason: str) -> None:
    for name, value in options.items():
        if value is not None:
            raise ConfigError(f"{name} cannot be used here, {reason}")
