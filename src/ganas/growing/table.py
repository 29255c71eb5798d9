"""GrowBench: a table of all candidates of a small growing search, on which any strategy is replayed in milliseconds.

    table = read_table("growbench.jsonl.gz")
    search = TopK([table.base], table.space, images=table.images, keep=4, probability=0.4, seed=0)
    print(replay(table, search, world=0).end)

The first line of a table describes it, every other line is a row: a path of actions from the base, in a *world*. A
world is a seed for the whole tree: in it candidates inherit luck with their weights, as in a search. What a path is
really worth, its *truth*, is the mean over the other worlds, so that a lucky score is not counted as success. No torch.
"""

import gzip
import json
import math
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from statistics import fmean
from typing import Any

from ganas.document import parsing
from ganas.errors import RunError, shown
from ganas.growing.actions import Doublings, Space, parse_action
from ganas.growing.architecture import BASE, GrowthArchitecture
from ganas.growing.strategy import Candidate, GrowingStrategy, Score
from ganas.paths import StrPath, as_path
from ganas.store import write_atomically

SCHEMA = 1
Route = tuple[str, ...]  # actions from the base


@dataclass(frozen=True)
class Row:
    """One candidate in one world."""

    world: int
    path: Route
    seed: int  # of its training
    images: int
    seconds: float  # of its steps, on the machine of the table
    parameters: Mapping[str, int]  # of generator and discriminator
    macs: Mapping[str, int]
    scores: Mapping[str, tuple[float, ...]]  # by key, at each share of the training; lower is better


@dataclass(frozen=True)
class Table:
    """All rows, and what they have in common."""

    latent: int  # of the base
    channels: int
    actions: tuple[str, ...]
    depth: int
    resolution: int
    images: int  # of a candidate's training
    shares: tuple[float, ...]  # of its training, at which it was scored
    key: str  # of the score that replays use
    facts: Mapping[str, Any]  # data, hardware, date, and the config of all candidates
    rows: tuple[Row, ...]

    @property
    def base(self) -> GrowthArchitecture:
        return GrowthArchitecture(self.latent, self.channels)

    @property
    def space(self) -> Space:
        """The search space, with doublings at any time (`late`)."""
        return self.space_with("late")

    def space_with(self, doublings: Doublings) -> Space:
        actions = tuple(map(parse_action, self.actions))
        return Space(actions, self.depth, self.resolution, doublings=doublings)

    @cached_property
    def worlds(self) -> tuple[int, ...]:
        """The worlds that have every path that any world has."""
        paths = {row.path for row in self.rows}
        found: dict[int, set[Route]] = {}
        for row in self.rows:
            found.setdefault(row.world, set()).add(row.path)
        return tuple(sorted(world for world, own in found.items() if own == paths))

    def score(self, world: int, path: Route, images: int | None = None) -> float:
        """A score after so many images, or at the next later time that it was measured; None: at the end."""
        number = len(self.shares) - 1
        if images is not None:
            number = next(n for n, share in enumerate(self.shares) if math.ceil(share * self.images) >= images)
        return self._by_path[world, path].scores[self.key][number]

    def truth(self, world: int, path: Route) -> float:
        """The mean log score at the end over all other worlds, of which there must be one."""
        return fmean(math.log(self.score(other, path)) for other in self.worlds if other != world)

    @cached_property
    def _by_path(self) -> Mapping[tuple[int, Route], Row]:
        return {(row.world, row.path): row for row in self.rows}


@dataclass(frozen=True)
class Replay:
    """How good a search's winner was, after how many images."""

    images: int  # spent by the whole search
    steps: tuple[tuple[int, float], ...]  # images spent; truth of the winner so far, once at the final resolution

    @property
    def end(self) -> float:
        """The truth of the winner: its mean log score in other worlds. Infinite for a search that ended too small."""
        return self.steps[-1][1] if self.steps else math.inf


def replay(table: Table, strategy: GrowingStrategy, world: int) -> Replay:
    """Run a strategy on a table: scores are looked up, images counted.

    The baseline of a score is that of plain training at the same resolution for as long, after an immediate doubling.
    """
    spent, reached = 0, dict[str, int]()
    paths: dict[str, Route] = {}
    steps: list[tuple[int, float]] = []
    while asked := strategy.ask():
        for candidate, images in asked:
            if candidate.repeat:
                raise ValueError("a world has one training of each candidate: replay without growth.finalists")
            path = paths.setdefault(candidate.id, _path(paths, candidate))
            spent += images - reached.get(candidate.id, 0)
            reached[candidate.id] = images
            baseline = table.score(world, _baseline(path), images)
            strategy.tell(candidate.id, images, Score(table.score(world, path, images), baseline))
        winner = strategy.winner()
        if winner and winner.architecture.resolution == table.resolution:
            steps.append((spent, table.truth(world, paths[winner.id])))
    return Replay(spent, tuple(steps))


def _path(paths: Mapping[str, Route], candidate: Candidate) -> Route:
    if candidate.parent is None or candidate.action is None:
        return ()
    return *paths[candidate.parent], candidate.action


def _baseline(path: Route) -> Route:
    """The path of plain training with as many trainings at the last resolution."""
    if "fade" not in path:
        return ("on",) * len(path)
    return "fade", *("on",) * (len(path) - 1 - path.index("fade"))


# ── files ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def read_table(file: StrPath) -> Table:
    """Read a table (JSON lines, gzipped); raises `RunError` that names the file if it is damaged or newer."""
    origin = as_path(file)
    with parsing(shown(origin), way_out="take the file from the repository again"):
        try:
            head, *lines = map(json.loads, gzip.decompress(origin.read_bytes()).decode().splitlines())
        except (OSError, EOFError, ValueError, zlib.error) as error:
            raise RunError(f"{shown(origin)} is no table of a growing search ({error})") from None
        if head.pop("schema", None) != SCHEMA:
            raise RunError(f"{shown(origin)} has another schema than {SCHEMA}: update ganas")
        rows = tuple(_row(line) for line in lines)
        if head["resolution"] != 2 * BASE:
            raise ValueError(f"its trees double {BASE} pixels once, not to {head['resolution']}")
        return Table(**head | {key: tuple(head[key]) for key in ("actions", "shares")}, rows=rows)


def _row(line: Mapping[str, Any]) -> Row:
    scores = {key: tuple(values) for key, values in line["scores"].items()}
    return Row(**{**line, "path": tuple(line["path"]), "scores": scores})


def write_table(file: StrPath, table: Table) -> None:
    """Write a table; equal tables give equal bytes."""
    head = {"schema": SCHEMA} | {key: value for key, value in vars(replace(table, rows=())).items() if key != "rows"}
    ordered = sorted(table.rows, key=lambda row: (row.world, row.path))
    lines = [json.dumps(head), *(json.dumps(asdict(row)) for row in ordered)]
    write_atomically(as_path(file), gzip.compress("\n".join(lines).encode(), mtime=0))


def regrets(table: Table, replays: Iterable[tuple[int, Replay]]) -> Iterator[float]:
    """How much worse each winner is than the best path of its world: a difference of log scores, from 0 up."""
    best = {world: _best(table, world) for world in table.worlds}
    for world, one in replays:
        yield one.end - best[world]


def _best(table: Table, world: int) -> float:
    paths: Sequence[Route] = [row.path for row in table.rows if row.world == world and "fade" in row.path]
    return min(table.truth(world, path) for path in paths)
