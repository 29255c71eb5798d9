"""Fronts as data: ``front.json``, and the training of one of its points. No torch.

`ganas.cyclegan.front_search` finds them.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ganas.config import load_config
from ganas.cyclegan.architecture import Architecture
from ganas.cyclegan.config import RunConfig
from ganas.cyclegan.layout import GENERATORS
from ganas.document import parsing, read_record, write_record
from ganas.errors import ConfigError, RunError, counted
from ganas.paths import StrPath
from ganas.settings import Values
from ganas.store import Run


@dataclass(frozen=True)
class Subnetwork:
    """One generator of a point."""

    ops: tuple[str, ...]
    milliseconds: float  # of one image, one thread, this machine
    predicted: float  # the sum of its slots'
    macs: int
    parameters: int
    distance: float  # mean absolute difference of its translations from the teacher's or the largest network's, of 2
    metric: str | None = None  # key of its score on held-out images; None: it was chosen by its distance
    score: float | None = None
    error: float | None = None  # standard error of the score over images; None: not known
    width: float | None = None  # of the supernet, of which the first choice is the share; None: not known


@dataclass(frozen=True)
class Point:
    """The best translator of each direction within a number of milliseconds."""

    limit: float  # milliseconds
    generator_ab: Subnetwork
    generator_ba: Subnetwork

    @property
    def architecture(self) -> Architecture:
        return Architecture("elastic", generator_ab=self.generator_ab.ops, generator_ba=self.generator_ba.ops)


@dataclass(frozen=True)
class Front:
    """Points by ascending limit."""

    points: tuple[Point, ...]
    resolution: int  # of the image that milliseconds are of
    images: int  # pairs that the supernets had seen
    split: str | None = None  # which images the scores are of: validation or test; None: there are no scores

    def to_json(self) -> str:
        """The text of a ``front.json``."""
        return write_record({"kind": "front", **asdict(self)})

    @classmethod
    def from_json(cls, text: str, origin: str) -> "Front":
        """Read what `to_json` wrote; raises `RunError` that names `origin`."""
        way_out = "search again"
        document = read_record(text, origin, "front", way_out)
        with parsing(origin, way_out=way_out):
            points = tuple(
                Point(one["limit"], *(_translator(one[name]) for name in GENERATORS)) for one in document["points"]
            )
            return cls(points, document["resolution"], document["images"], document.get("split"))

    def within(self, milliseconds: float) -> Point:
        """The point of the largest translators within a budget; raises `ConfigError` if even the smallest is slower."""
        fitting = [
            one
            for one in self.points
            if max(one.generator_ab.milliseconds, one.generator_ba.milliseconds) <= milliseconds
        ]
        if not fitting:
            first = self.points[0]
            least = max(first.generator_ab.milliseconds, first.generator_ba.milliseconds)
            raise ConfigError(f"--budget-ms {milliseconds:g}: the smallest translators take {least:.1f} ms")
        return fitting[-1]

    def lines(self) -> list[str]:
        """A human-readable line per point."""
        chosen = "; chosen by test images, whose scores are too good" if self.split == "test" else ""
        return [
            f"point {number}: within {point.limit:.1f} ms, "
            + ", ".join(
                f"{name[-2:]} {one.milliseconds:.1f} ms, {one.parameters:,} parameters, distance {one.distance:.4f}"
                + (f", {one.metric} {one.score:.4g}" if one.score is not None else "")
                for name, one in zip(GENERATORS, (point.generator_ab, point.generator_ba), strict=True)
            )
            + chosen
            for number, point in enumerate(self.points)
        ]


def _translator(document: Mapping[str, Any]) -> Subnetwork:
    return Subnetwork(**{**document, "ops": tuple(document["ops"])})


def read_front(run: Run) -> Front:
    """Read the front of a search; raises `RunError`."""
    file = run.front
    if not file.is_file():
        raise RunError(f"{str(run.path)!r} has no front: give the run of a finished ganas search --strategy sampled")
    return Front.from_json(file.read_text(encoding="utf-8"), str(file))


def open_point(run: StrPath, number: int | None, milliseconds: float | None) -> tuple[Architecture, Values]:
    """Choose a point of a search by its number or by a budget; returns also the config values that fine-tune it.

    Raises `ConfigError` for a number that the front does not have, and for a budget that nothing fits.
    """
    folder = Run(run)
    front = read_front(folder)
    if milliseconds is not None:
        point = front.within(milliseconds)
    elif number is not None and number < len(front.points):
        point = front.points[number]
    else:
        raise ConfigError(f"--point {number}: {str(folder.path)!r} has {counted(len(front.points), 'point')}, from 0")
    return point.architecture, fine_tuning(
        folder, load_config(RunConfig, folder.config.read_bytes(), str(folder.config))
    )


def fine_tuning(run: Run, config: RunConfig) -> Values:
    """The config values of a training that starts from the weights of the supernets."""
    widths = {f"nets.{name}": getattr(config.nets, name) for name in ("width", "width_ab", "width_ba")}
    return {**widths, "training.inherit": run.path}
