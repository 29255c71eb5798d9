"""What pages consist of, as data: sections of blocks, each drawn by the macro of its name in assets/page.html.jinja."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

from ganas.store import PAGE

Tone = Literal["good", "fair", "bad", "plain"]


@dataclass(frozen=True)
class Link:
    """The text of a cell that leads to another page, where the page that shows it is a file itself."""

    text: str
    page: Path


Cell = str | float | int | Link | None


def run_link(folder: Path, run: str) -> Cell:
    """A run of a recipe: a link to its page (``ganas report``) if it is written, else its path.

    run    path of the run, relative to the `folder` of the recipe
    """
    page = folder / run / PAGE
    return Link(run, page) if page.is_file() else run


@dataclass(frozen=True)
class Fact:
    """The answer to one of the questions at the top of a page."""

    question: str
    answer: str
    tone: Tone = "plain"
    details: tuple[str, ...] = ()
    command: str | None = None  # to be copied into a shell


@dataclass(frozen=True)
class Picker:
    """A choice above a chart: it shows the rows whose field has the chosen value."""

    field: str
    label: str
    options: tuple[tuple[str, str], ...]  # value and text, the first is chosen
    every: bool = False  # whether "all" can be chosen, and is


@dataclass(frozen=True)
class Chart:
    """A plot by Vega-Lite, and its rows as a table and as CSV."""

    block: ClassVar[str] = "chart"

    id: str
    title: str
    caption: str  # what it shows, and how to read it
    spec: Mapping[str, Any]  # Vega-Lite without data
    columns: tuple[str, ...]
    rows: Sequence[Sequence[Cell]]
    pickers: tuple[Picker, ...] = ()
    smooth: tuple[str, ...] = ()  # fields to average over x, per series: (value, x, series)

    def data(self) -> dict[str, Any]:
        """What the script draws."""
        pickers = [{"field": one.field, "every": one.every} for one in self.pickers]
        columns, rows = list(self.columns), list(map(list, self.rows))
        return {"spec": self.spec, "columns": columns, "rows": rows, "pickers": pickers, "smooth": list(self.smooth)}


@dataclass(frozen=True)
class Table:
    """Rows of text and numbers."""

    block: ClassVar[str] = "table"

    caption: str
    columns: tuple[str, ...]
    rows: Sequence[Sequence[Cell]]
    folded: bool = False  # shown when asked for


@dataclass(frozen=True)
class Frame:
    """One picture of a timeline."""

    label: str
    source: str  # data: URI
    key: str = ""  # what plots call it, whose points show it on hover


@dataclass(frozen=True)
class Timeline:
    """Pictures of the same things over time, with a slider; it starts at the last one."""

    block: ClassVar[str] = "timeline"

    id: str
    title: str
    caption: str
    frames: Sequence[Frame]
    rows: tuple[str, ...] = ()  # what the rows of each picture show, from the top
    width: int = 0  # pixels of a picture, as drawn
    height: int = 0
    wide: bool = True  # takes the whole line


@dataclass(frozen=True)
class Pair:
    """Two pictures of the same thing."""

    label: str
    before: str  # data: URI
    after: str


@dataclass(frozen=True)
class Wipe:
    """Pairs of pictures on top of each other, with a slider from one to the other."""

    block: ClassVar[str] = "wipe"

    id: str
    title: str
    caption: str
    pairs: Sequence[Pair]
    before: str  # names of the two sides
    after: str


@dataclass(frozen=True)
class Gallery:
    """Pictures side by side, each with a line of text."""

    block: ClassVar[str] = "gallery"

    title: str
    caption: str
    pictures: Sequence[Frame]
    size: Literal["small", "large", "whole"] = "small"  # of a picture


@dataclass(frozen=True)
class Step:
    """One op of a generator in a diagram."""

    x: float
    y: float
    width: float
    height: float
    op: str
    label: str  # what is said about it
    family: str  # of ops that share a color
    differs: bool  # from the same slot of the other generator


@dataclass(frozen=True)
class Strip:
    """One generator of a diagram."""

    name: str
    y: float  # of its name
    steps: tuple[Step, ...]
    arcs: tuple[str, ...]  # paths of the residual connections


@dataclass(frozen=True)
class Diagram:
    """Both generators, slot under slot."""

    block: ClassVar[str] = "diagram"

    title: str
    caption: str
    width: float
    height: float
    strips: tuple[Strip, ...]
    legend: tuple[str, ...]  # families
    table: Table


@dataclass(frozen=True)
class Tree:
    """Candidates and their parents, to zoom, fold and choose from."""

    block: ClassVar[str] = "tree"

    id: str
    title: str
    caption: str
    nodes: Sequence[Mapping[str, Any]]  # as the script (tree.js) takes them
    curves: Mapping[str, Any] = field(default_factory=dict)  # by id of the node
    pictures: Mapping[str, str] = field(default_factory=dict)  # by id of the node, data: URI

    def data(self) -> dict[str, Any]:
        """What the script draws."""
        return {"nodes": list(self.nodes), "curves": dict(self.curves), "pictures": dict(self.pictures)}


@dataclass(frozen=True)
class Text:
    """Lines as they are."""

    block: ClassVar[str] = "text"

    title: str
    lines: Sequence[str]


Block = Chart | Table | Timeline | Wipe | Gallery | Diagram | Tree | Text


@dataclass(frozen=True)
class Section:
    """A part of a page."""

    id: str
    title: str
    blocks: Sequence[Block]
    intro: str = ""


@dataclass(frozen=True)
class Page:
    """One page: what is answered at a glance, and what it is based on."""

    title: str
    subtitle: str
    state: str
    tone: Tone
    share: float | None  # of the work that is done; None: unknown
    facts: Sequence[Fact]
    sections: Sequence[Section] = field(default_factory=tuple)

    def data(self) -> dict[str, Any]:
        """What the scripts of the page draw, by the id of the block."""
        blocks = (block for section in self.sections for block in section.blocks)
        return {block.id: block.data() for block in blocks if isinstance(block, Chart | Tree)}
