"""The command line's two levels, and the options that several commands have."""

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from ganas.errors import ConfigError


class _Group(TyperGroup):
    """Refuses empty values, which nobody means: a path of a variable that is not set would be the current folder."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        for before, value in zip(["", *args], args, strict=False):
            option, separator, rest = value.partition("=")
            if not value or (separator and not rest and option.startswith("--")):
                name = option or (f"the value after {before}" if before.startswith("-") else "an argument")
                raise ConfigError(f"{name} is empty, perhaps a variable that is not set: give a value")
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
White = Annotated[
    float | None,
    typer.Option("--white", metavar="VALUE", help="White, in images of more than 8 bits. [tags and values tell]"),
]
NoIcc = Annotated[bool, typer.Option("--no-icc", help="Leave colour profiles other than sRGB as they are.")]
Workers = Annotated[
    int | None,
    typer.Option("--workers", metavar="N", help="Jobs (candidates, trainings) at once. [1; ray: as many as fit]"),
]
ExecutorName = Annotated[str, typer.Option("--executor", metavar="local|ray", help="Work here, or on a Ray cluster.")]
Address = Annotated[
    str | None, typer.Option("--address", metavar="HOST:PORT", help="Of a Ray cluster. [one on this machine]")
]
GpuShare = Annotated[float | None, typer.Option("--gpu-share", metavar="PART", help="With ray: of a GPU a job. [1]")]


def refuse_both(options: dict[str, Any], reason: str) -> None:
    for name, value in options.items():
        if value is not None:
            raise ConfigError(f"{name} cannot be used here, {reason}")
