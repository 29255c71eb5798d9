"""GrowBench: a table of a whole growing tree, each node trained with the weights of its parent, in several worlds.

    python experiments/growbench.py table IMAGES OUT --features squeezenet-clean-64:WEIGHTS --world 0 --depth 3
    python experiments/growbench.py pilot fade|loss IMAGES OUT --features ... --seed 0
    python experiments/growbench.py share OUT

    python experiments/growbench.py pack OUT growbench.jsonl.gz --key mind@squeezenet-clean-64
    python experiments/growbench.py replay growbench.jsonl.gz

A node is a path of actions from the base at 8×8, with one doubling. A world is a seed: in it, luck is inherited with
the weights, as in a search. Each node appends a row to OUT/rows.jsonl; rows that are there are not trained again,
except for the weights that their children need. `pilot` appends rows of small paired experiments to OUT/pilots.jsonl.
`share` tells how much of the variance of log scores is architecture, from all nodes of the greatest depth that every
world has (`table --sample 12` trains a random choice of them and the nodes on their way). `pack` writes all worlds as
one table (`ganas.growing.table`), and `replay` compares strategies on it.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf, sqrt
from pathlib import Path
from statistics import fmean, pstdev
from tempfile import TemporaryDirectory
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from ledger import append, machine, read
from torch import Tensor

from ganas.data.loaders import Batches, center_crops
from ganas.growing.actions import FADE, TRAIN_ON, Doublings, Space, parse_action
from ganas.growing.architecture import SIDES
from ganas.growing.candidates import Spec
from ganas.growing.children import child
from ganas.growing.config import GrowConfig
from ganas.growing.plan import bases, candidate_spec
from ganas.growing.run import open_data
from ganas.growing.sample import make_images
from ganas.growing.strategy import Candidate
from ganas.growing.table import Replay, Route, Row, Table, read_table, regrets, replay, write_table
from ganas.growing.topk import RACE, Rung, TopK
from ganas.growing.trainer import CandidateTrainer, real_images
from ganas.metrics.cache import Cache
from ganas.metrics.features import load_features
from ganas.metrics.reference import Reference
from ganas.presets import make_config
from ganas.stats import Interval
from ganas.stats import interval as t_interval
from ganas.store import Run, default_cache

RESOLUTION = 16
ACTIONS = (*map(parse_action, ("g-conv3x48", "g-conv7x32", "d-conv3x32")), TRAIN_ON, FADE)
RUNGS = (1 / 4, 1 / 2, 1)
METRICS = ("fid", "kid", "mind")
Final = Mapping[str, Tensor]
Values = TypeVar("Values")


@dataclass
class Bench:
    """What all nodes share: the config, the images, and references at each resolution."""

    config: GrowConfig
    crops: Any  # uint8 [n, 3, RESOLUTION, RESOLUTION]
    references: dict[int, Reference]

    @classmethod
    def open(cls, arguments: argparse.Namespace) -> "Bench":
        flags = {"data.images": arguments.images, "data.resolution": RESOLUTION, "metrics.features": arguments.features}
        flags |= {"base.channels": [32], "base.latent": 32, "growth.depth": 3, "growth.rank_by": "raw"}
        images = arguments.node_images
        flags |= {"training.images": images, "training.threads": 1, "training.ema_half_life": images // 10}
        flags |= {"metrics.images": 500, "growth.fade_images": images // 5}
        flags |= dict(setting.split("=") for setting in arguments.set)
        config, source = open_data(make_config("grow", preset="small", flags=flags))
        crops = center_crops(source, RESOLUTION).numpy()
        network = load_features(arguments.features)
        references = {
            side: Reference(real_images(crops, config, side), METRICS, network, cache=Cache(default_cache()))
            for side in (8, RESOLUTION)
        }
        return cls(config, crops, references)

    def with_settings(self, settings: Mapping[str, Any]) -> "Bench":
        """A copy with other values of the config."""
        document = self.config.with_values(settings).model_dump(by_alias=True)
        return Bench(GrowConfig.model_validate(document), self.crops, self.references)

    def train(
        self, candidate: Candidate, parent: Final | None, seed: int, scored: bool = True
    ) -> tuple[dict[str, Any], Final]:
        """Train one candidate; return its row, with scores at each rung if wanted, and what its children inherit."""
        config = self.config.model_copy(update={"seed": seed})
        spec: Spec = candidate_spec(config, candidate)
        with TemporaryDirectory() as folder:
            trainer = CandidateTrainer(Run(Path(folder)), spec, config, parent, None)
            return self._run(trainer, spec, config, scored)

    def _run(
        self, trainer: CandidateTrainer, spec: Spec, config: GrowConfig, scored: bool
    ) -> tuple[dict[str, Any], Final]:
        reference = self.references[spec.architecture.resolution]
        batches = Batches(
            (self.crops,),
            resolution=RESOLUTION,
            load_size=RESOLUTION,
            flip=True,
            batch=config.training.batch,
            seed=spec.seed,
        ).from_image(0)
        scores, seconds = [], 0.0
        for rung in RUNGS:
            began = time.perf_counter()
            while trainer.loop.nimg < rung * spec.images:
                trainer.loop.step(*next(batches))
            seconds += time.perf_counter() - began
            trainer.loop.prepare(trainer.loop.nimg)
            scores += [self._score(trainer, reference)] if scored else []
        sides = {side: spec.architecture.macs(side) for side in SIDES}
        row: dict[str, Any] = {"seed": spec.seed, "images": spec.images, "seconds": round(seconds, 1)}
        row |= {"parameters": {side: spec.architecture.parameters(side) for side in SIDES}, "macs": sides}
        row["scores"] = {key: [one[key] for one in scores] for key in (scores[0] if scores else ())}
        return row, trainer.final()

    def _score(self, trainer: CandidateTrainer, reference: Reference) -> dict[str, float]:
        with torch.no_grad():
            images = make_images(trainer.generator, range(self.config.metrics.images))
        found = reference.measure(images).scores
        return {key: round(score, 5) for key, score in found.items() if "stderr" not in key}


def table(arguments: argparse.Namespace) -> None:
    """Train one world's tree, subtree by subtree."""
    bench = Bench.open(arguments)
    write_facts(arguments.out / "facts.json", bench.config)
    known = {tuple(row["path"]) for row in read(arguments.out / "rows.jsonl") if row["world"] == arguments.world}
    space = Space(ACTIONS, arguments.depth, RESOLUTION)
    wanted = {path for path, _ in subtree(space, root(bench.config))}
    if arguments.under:
        top = tuple(arguments.under)
        wanted = {path for path in wanted if path[: len(top)] == top[: len(path)]}
    if arguments.sample:
        leaves = sorted(path for path in wanted if len(path) == arguments.depth)
        chosen = torch.randperm(len(leaves), generator=torch.Generator().manual_seed(0))[: arguments.sample].tolist()
        wanted = {leaves[number][:length] for number in chosen for length in range(arguments.depth + 1)}

    def visit(node: Candidate, path: tuple[str, ...], parent: Final | None) -> None:
        if all(below in known or below not in wanted for below, _ in subtree(space, node, path)):
            return
        row, final = bench.train(node, parent, arguments.world, scored=path not in known)
        if path not in known:
            append(arguments.out / "rows.jsonl", {"world": arguments.world, "path": list(path)} | row)
        for action in space.legal(node.architecture, node.generation):
            visit(child(node, action), (*path, str(action)), final)

    visit(root(bench.config), (), None)


def root(config: GrowConfig) -> Candidate:
    """The base."""
    (base,) = bases(config)
    return Candidate(base.id, base)


def subtree(space: Space, node: Candidate, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Candidate]]:
    """A node and all below it, with their paths."""
    yield path, node
    for action in space.legal(node.architecture, node.generation):
        yield from subtree(space, child(node, action), (*path, str(action)))


# ── pilots ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def pilot(arguments: argparse.Namespace) -> None:
    """Train the nodes of one pilot with one seed."""
    bench = Bench.open(arguments)
    out, seed = arguments.out / "pilots.jsonl", arguments.seed
    done = {(row["pilot"], row["seed_of_pilot"]) for row in read(out)}
    if (arguments.name, seed) in done:
        return
    rows = {"fade": fade_pilot, "loss": loss_pilot}[arguments.name](bench, seed)
    for row in rows:
        append(out, {"pilot": arguments.name, "seed_of_pilot": seed} | row)


def fade_pilot(bench: Bench, seed: int) -> list[dict[str, Any]]:
    """The same children of the same parents, with a convolution that is there at once or fades in."""
    rows = []
    for path in ((), (str(FADE),)):
        parent, final, _ = walk(bench, path, seed)
        for action in ACTIONS[:3]:
            for fade in ("doublings", "every"):
                row, _ = bench.with_settings({"growth.fade": fade}).train(child(parent, action), final, seed)
                rows.append({"path": [*path, str(action)], "fade": fade} | row)
    return rows


# the weight of the penalties is the best of 0.1, 1 and 10 on a seed that no pilot uses
RELATIVISTIC: Mapping[str, Any] = {"loss.adversarial": "relativistic", "loss.gradient": 0.0, "loss.drift": 0.0}
RELATIVISTIC |= {"loss.zero_centered": 1.0}


def loss_pilot(bench: Bench, seed: int) -> list[dict[str, Any]]:
    """The base and its doubling, under each loss."""
    wgan = {"loss.adversarial": "wgan", "loss.gradient": 10.0, "loss.drift": 0.001, "loss.zero_centered": 0.0}
    rows = []
    for name, settings in {"wgan": wgan, "relativistic": RELATIVISTIC}.items():
        *_, found = walk(bench.with_settings(settings), (str(FADE), str(TRAIN_ON)), seed)
        rows += [{"loss": name} | row for row in found]
    return rows


def walk(bench: Bench, path: Sequence[str], seed: int) -> tuple[Candidate, Final, list[dict[str, Any]]]:
    """Train the nodes along a path; return the last one, its final tensors, and the rows of all."""
    candidate, rows = root(bench.config), []
    row, final = bench.train(candidate, None, seed)
    rows.append({"path": []} | row)
    for number, action in enumerate(path):
        candidate = child(candidate, parse_action(action))
        row, final = bench.train(candidate, final, seed)
        rows.append({"path": [*path[: number + 1]]} | row)
    return candidate, final, rows


def share(arguments: argparse.Namespace) -> None:
    """Print the share of variance that is architecture, by score and rung, with bootstrap intervals over nodes."""
    rows = [{**row, "path": tuple(row["path"])} for row in read(arguments.out / "rows.jsonl")]
    worlds = sorted({row["world"] for row in rows})
    depth = max(len(row["path"]) for row in rows)
    found = {(row["world"], row["path"]): row["scores"] for row in rows if len(row["path"]) == depth}
    paths = sorted({path for _, path in found if all((world, path) in found for world in worlds)})
    print(f"{len(paths)} nodes of depth {depth}, worlds {worlds}\n\n| score | at | share | 95 % |\n|---|---|---|---|")
    random = np.random.default_rng(0)
    for key in rows[0]["scores"]:
        for rung, at in enumerate(RUNGS):
            values = np.log([[found[world, path][key][rung] for world in worlds] for path in paths])
            samples = [architecture_share(values[random.integers(len(paths), size=len(paths))]) for _ in range(2000)]
            low, high = np.quantile(samples, (0.025, 0.975))
            print(f"| {key} | {at:g} | {architecture_share(values):.2f} | {low:.2f} to {high:.2f} |")


def architecture_share(values: Any) -> float:
    """The variance of nodes over that of nodes and seeds, from [node, world], without what a world has in common.

    By two-way analysis of variance: within a world, a search compares nodes.
    """
    nodes, worlds = values.shape
    of_node, of_world = values.mean(1, keepdims=True), values.mean(0, keepdims=True)
    noise = ((values - of_node - of_world + values.mean()) ** 2).sum() / ((nodes - 1) * (worlds - 1))
    between = max(0.0, float(of_node.var(ddof=1) - noise / worlds))
    return between / (between + float(noise)) if noise else 0.0


# ── the table ────────────────────────────────────────────────────────────────────────────────────────────────────────

REPLAYS = 100  # of each strategy with random choices, in each world
SHARP = (Rung(1 / 4, lambda count, keep: max(1, count // 3)),)  # a race in which two thirds is rounded up
Settings = tuple[Doublings, Mapping[str, Any]]
GREEDY: Mapping[str, Any] = {"keep": 4, "probability": 0.4}
EVEN: Settings = ("even", GREEDY | {"rank_by": "raw"})


def race(keep: int, rungs: Sequence[Rung] = RACE, **settings: Any) -> Mapping[str, Any]:
    """The settings of a race."""
    return {"keep": keep, "probability": 1.0, "rank_by": "raw", "rungs": rungs} | settings


STRATEGIES: Mapping[str, Settings] = {
    "algorithm 1": ("late", GREEDY),
    "random parents": ("late", GREEDY | {"random": True}),
    "even doublings": EVEN,
    "even, pooled": ("even", GREEDY | {"rank_by": "pooled"}),
    "early doublings": ("early", GREEDY | {"rank_by": "raw"}),
    "early doublings, K = 2": ("early", GREEDY | {"rank_by": "raw", "keep": 2}),
    "early doublings, K = 1": ("early", GREEDY | {"rank_by": "raw", "keep": 1}),
    "late, race, K = 1": ("late", race(1, rank_by="per_resolution")),
    "early, race, K = 1": ("early", race(1)),
    "early, race, K = 2": ("early", race(2)),
    "early, race, K = 1, pooled": ("early", race(1, rank_by="pooled")),
    "early, no rungs, K = 1": ("early", race(1, ())),
    "race, K = 2": ("even", race(2)),
    "race, K = 2, pooled": ("even", race(2, rank_by="pooled")),
    "race, K = 1": ("even", race(1)),
    "race, K = 1, pooled": ("even", race(1, rank_by="pooled")),
    "sharp race, K = 1": ("even", race(1, SHARP)),
    "early, sharp race, K = 1": ("early", race(1, SHARP)),
}
# what each part does by itself: a strategy, and the same without the part
EFFECTS = (
    ("choosing parents by score", "algorithm 1", "random parents"),
    ("even doublings", "even doublings", "algorithm 1"),
    ("early doublings", "early doublings", "even doublings"),
    ("early doublings, in a race", "early, race, K = 1", "race, K = 1"),
    ("racing, even doublings, K = 2", "race, K = 2", "even doublings"),
    ("racing, even doublings, K = 1", "race, K = 1", "even doublings"),
    ("racing, early doublings, K = 1", "early, race, K = 1", "early doublings"),
    ("rungs, early doublings, K = 1", "early, race, K = 1", "early, no rungs, K = 1"),
    ("pooled estimates", "even, pooled", "even doublings"),
    ("pooled estimates, in a race", "race, K = 1, pooled", "race, K = 1"),
    ("pooled estimates, in an early race", "early, race, K = 1, pooled", "early, race, K = 1"),
)


def write_facts(file: Path, config: GrowConfig) -> None:
    """Write what all rows have in common; refuse to mix rows of different configs."""
    settings = config.model_dump(
        mode="json", by_alias=True, exclude={"seed": True, "data": {"images"}, "metrics": {"features"}}
    )
    if file.exists():
        if json.loads(file.read_text())["config"] != settings:
            raise SystemExit(f"{file} is of another config: choose another OUT")
        return
    facts = {"config": settings} | machine()
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(facts, indent=1) + "\n")


def pack(arguments: argparse.Namespace) -> None:
    """Write the rows of all worlds as one table."""
    facts = json.loads((arguments.out / "facts.json").read_text())
    rows = tuple(
        Row(**{**row, "path": tuple(row["path"]), "scores": {key: tuple(v) for key, v in row["scores"].items()}})
        for row in read(arguments.out / "rows.jsonl")
    )
    depth = max(len(row.path) for row in rows)
    actions = tuple(map(str, ACTIONS))
    table = Table(32, 32, actions, depth, RESOLUTION, rows[0].images, RUNGS, arguments.key, facts, rows)
    write_table(arguments.table, table)


def compare_strategies(arguments: argparse.Namespace) -> None:
    """Print how good the winners of each strategy are, what each part of them does, and what it takes."""
    table = read_table(arguments.table)
    samples = Jackknife(table, measure_strategies)
    goal = "algorithm 1"
    print(f"{len(table.worlds)} worlds, {table.key}; a candidate has {table.images:,} images\n")
    print("| strategy | images, in candidates | regret | against algorithm 1 | of its images, until its end |")
    print("|---|---|---|---|---|")
    for name, found in samples.whole.items():
        regret = samples.interval(lambda values, name=name: values[name]["regret"])
        change = samples.interval(lambda values, name=name: values[name]["end"] - values[goal]["end"])
        shares = [values[name]["share"] for values in samples.without_one]
        until = f"{found['share']:.2f} ({min(shares):.2f} to {max(shares):.2f})".replace("inf", "never")
        until = "1" if name == goal else until
        print(f"| {name} | {found['images']:.1f} | {rounded(regret)} | {rounded(change)} | {until} |")
    print("\n| part | log score | images |\n|---|---|---|")
    for part, with_it, without in EFFECTS:
        change = samples.interval(lambda values, one=with_it, other=without: values[one]["end"] - values[other]["end"])
        images = samples.whole[with_it]["images"] / samples.whole[without]["images"]
        print(f"| {part} | {rounded(change)} | {images:.2f} |")


def measure_strategies(table: Table) -> dict[str, dict[str, float]]:
    """Of each strategy: images spent, in candidates; regret; truth at the end; images until algorithm 1's end."""
    replays = {name: [replays_in(table, name, world) for world in table.worlds] for name in STRATEGIES}
    replays |= {f"route: {', '.join(path)}": follow(table, path) for path in routes(table)}
    replays["any path"] = chance(table)
    return {
        name: {
            "images": fmean(one.images for some in found for one in some) / table.images,
            "regret": fmean(
                fmean(regrets(table, ((world, one) for one in some)))
                for world, some in zip(table.worlds, found, strict=True)
            ),
            "end": fmean(fmean(one.end for one in some) for some in found),
            "share": share_until(found, replays["algorithm 1"]),
        }
        for name, found in replays.items()
    }


class Jackknife(Generic[Values]):
    """A statistic of a table, and of the table without each of its worlds.

    Truths of different worlds share most of their trainings, so that worlds are no independent samples of them.
    """

    def __init__(self, table: Table, statistic: Callable[[Table], Values]) -> None:
        self.whole = statistic(table)
        self.without_one = [
            statistic(replace(table, rows=tuple(row for row in table.rows if row.world != world)))
            for world in table.worlds
        ]

    def interval(self, number: Callable[[Values], float]) -> Interval:
        """The estimate of the whole table, with an interval by t."""
        count = len(self.without_one)
        error = pstdev(map(number, self.without_one)) * sqrt(count - 1)
        return t_interval(number(self.whole), error, count - 1)


def rounded(interval: Interval) -> str:
    """An interval of log scores, as text."""
    return f"{interval.estimate:.3f} [{interval.low:.3f}, {interval.high:.3f}]"


def replays_in(table: Table, name: str, world: int) -> list[Replay]:
    """Replay a strategy in one world."""
    doublings, settings = STRATEGIES[name]
    space = table.space_with(doublings)
    count = 1 if settings["probability"] == 1 else REPLAYS  # then nothing is random
    return [
        replay(table, TopK([table.base], space, images=table.images, seed=REPLAYS * world + seed, **settings), world)
        for seed in range(count)
    ]


def routes(table: Table) -> list[Route]:
    """All ways to grow nothing but the doubling."""
    return [("on",) * number + ("fade",) + ("on",) * (table.depth - 1 - number) for number in range(table.depth)]


def follow(table: Table, path: Route) -> list[list[Replay]]:
    """Train along one path, in each world."""
    return [[_along(table, world, path)] for world in table.worlds]


def chance(table: Table) -> list[list[Replay]]:
    """Train along each path to the full depth: what one of them at random gives."""
    leaves = sorted({row.path for row in table.rows if len(row.path) == table.depth})
    return [[_along(table, world, path) for path in leaves] for world in table.worlds]


def _along(table: Table, world: int, path: Route) -> Replay:
    places = [path[:length] for length in range(len(path) + 1)]
    steps = [
        ((number + 1) * table.images, table.truth(world, place))
        for number, place in enumerate(places)
        if "fade" in place
    ]
    return Replay(len(places) * table.images, tuple(steps))


def share_until(found: Sequence[Sequence[Replay]], goal: Sequence[Sequence[Replay]]) -> float:
    """The images after which the expected truth is that of a goal's end, as a share of the goal's images."""
    budgets = sorted({images for some in found for one in some for images, _ in one.steps})
    end, spent = (fmean(fmean(values) for values in some) for some in zip(*map(_ends_and_images, goal), strict=True))
    for budget in budgets:
        if fmean(fmean(so_far(one, budget) for one in some) for some in found) <= end:
            return budget / spent
    return inf


def _ends_and_images(replays: Sequence[Replay]) -> tuple[list[float], list[int]]:
    return [one.end for one in replays], [one.images for one in replays]


def so_far(one: Replay, budget: int) -> float:
    """The truth of a winner after so many images; infinite before the first."""
    return next((truth for images, truth in reversed(one.steps) if images <= budget), inf)


def main() -> None:
    """Run one command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    for name, run in (("table", table), ("pilot", pilot)):
        command = commands.add_parser(name)
        command.set_defaults(run=run)
        if name == "pilot":
            command.add_argument("name", choices=("fade", "loss"))
        command.add_argument("images", type=Path)
        command.add_argument("out", type=Path)
        command.add_argument("--features", required=True)
        command.add_argument("--node-images", type=int, default=16_000)
        command.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE")
        if name == "table":
            command.add_argument("--world", type=int, default=0)
            command.add_argument("--depth", type=int, default=3)
            command.add_argument("--sample", type=int, default=0, help="so many random leaves; 0: the whole tree")
            command.add_argument("--under", nargs="*", default=[], metavar="ACTION", help="only below this path")
        else:
            command.add_argument("--seed", type=int, default=0)
    command = commands.add_parser("share")
    command.set_defaults(run=share)
    command.add_argument("out", type=Path)
    command = commands.add_parser("pack")
    command.set_defaults(run=pack)
    command.add_argument("out", type=Path)
    command.add_argument("table", type=Path)
    command.add_argument("--key", required=True)
    command = commands.add_parser("replay")
    command.set_defaults(run=compare_strategies)
    command.add_argument("table", type=Path)
    arguments = parser.parse_args()
    arguments.run(arguments)


if __name__ == "__main__":
    main()
