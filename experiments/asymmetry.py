"""Does the harder direction get the larger generator? CycleGANAS says so; a task says which direction is harder.

    python experiments/asymmetry.py unit TASK OUT --seed 0 [--exchanged]
    python experiments/asymmetry.py summary OUT/asymmetry.jsonl

TASK is a folder of `ganas data task`. A unit is one one-step search, with the domains exchanged or not, and appends a
row to OUT/asymmetry.jsonl: of every slot of both generators, the weights of the ops and how much the loss rises if the
op replaces the mixture. `summary` reads architectures from the same supernets in several ways, and prints the ratio of
the sizes, harder over easier direction, and how far seeds agree:

- argmax: the leading ops, as in the paper;
- projection, each: the least rise of the loss, each generator at most as large as the hand-made one (what
  `search.derive=projection` does);
- projection, together: the same for both generators within the size of two hand-made ones, which leaves it to the rises
  who gets more.
"""

import argparse
import shutil
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import combinations
from math import exp, log
from operator import eq
from pathlib import Path
from statistics import fmean
from typing import Any

from ledger import append, machine, read

import ganas
from ganas.cyclegan.knapsack import best_within
from ganas.cyclegan.layout import find_layout
from ganas.cyclegan.size import parameters, slot_parameters
from ganas.data.tasks import find_task
from ganas.presets import make_config
from ganas.stats import Interval, mean_interval
from ganas.store import Run

LAYOUT = find_layout("framed").generator
Slots = Sequence[Mapping[str, Any]]


def main() -> None:
    """Run one command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("unit")
    command.set_defaults(run=unit)
    command.add_argument("task", type=Path)
    command.add_argument("out", type=Path)
    command.add_argument("--seed", type=int, default=0)
    command.add_argument("--exchanged", action="store_true")
    command.add_argument("--images", type=int, default=4000)
    command.add_argument("--width", type=float, default=8)
    command = commands.add_parser("summary")
    command.set_defaults(run=summary)
    command.add_argument("rows", type=Path)
    arguments = parser.parse_args()
    arguments.run(arguments)


def unit(arguments: argparse.Namespace) -> None:
    """Search once, and append a row."""
    task = find_task(arguments.task / "trainA")
    if task is None:
        raise SystemExit(f"{arguments.task} is not a folder of ganas data task")
    identity = {"task": task.task, "seed": arguments.seed, "exchanged": arguments.exchanged}
    identity |= {"images": arguments.images, "width": arguments.width}
    rows = arguments.out / "asymmetry.jsonl"
    if any(identity.items() <= row.items() for row in read(rows)):
        return
    a, b = arguments.task / "trainA", arguments.task / "trainB"
    if arguments.exchanged:
        a, b = b, a
    flags = {"data.a": a, "data.b": b, "data.resolution": task.size, "data.load_scale": 1, "nets.layout": "framed"}
    flags |= {"nets.width": arguments.width, "seed": arguments.seed, "data.split_seed": 0, "training.threads": 1}
    flags |= {"search.strategy": "of", "search.derive": "projection", "training.images": arguments.images}
    name = f"{task.task}-{arguments.width:g}-{arguments.images}-{arguments.seed}"
    folder = arguments.out / (f"{name}-exchanged" if arguments.exchanged else name)
    ganas.search(make_config("search", preset="small", flags=flags), folder)
    slots = defaultdict(list)
    for choice in Run(folder).read_result()["choices"]:
        slots[choice["network"]].append({key: choice[key] for key in ("slot", "weights", "losses")})
    harder = task.harder if not arguments.exchanged else task.harder[::-1]
    easier = harder[::-1]
    row = {"harder": slots[f"generator_{harder}"], "easier": slots[f"generator_{easier}"]}
    append(rows, identity | row | {"machine": machine()})
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)


# ── reading a supernet ───────────────────────────────────────────────────────────────────────────────────────────────


def size(ops: Sequence[str], width: float) -> int:
    """Parameters of a generator."""
    return parameters(LAYOUT, ops, width)


def argmax(slots: Slots) -> list[str]:
    """The leading ops."""
    return [max(slot["weights"], key=slot["weights"].__getitem__) for slot in slots]


def least_rise(slots: Slots, limit: int, width: float) -> list[str]:
    """The ops of a generator, or of both one after the other, with the least rise of the loss within a size."""
    generators = len(slots) // len(LAYOUT.searched)
    places = LAYOUT.searched * generators
    fixed = sum(slot_parameters(slot, slot.ops[0], width) for slot in LAYOUT.slots if not slot.searched)
    costs = [[slot_parameters(slot, op, width) for op in slot.ops] for slot in places]
    rises = [
        [slot["losses"][op] for op in there.ops]
        for slot, there in zip(slots, LAYOUT.searched * generators, strict=True)
    ]
    chosen = best_within([[-rise for rise in ops] for ops in rises], costs, limit - generators * fixed)
    assert chosen is not None, "the smallest network exceeds the limit"
    return [there.ops[index] for there, index in zip(places, chosen, strict=True)]


def read_architectures(row: Mapping[str, Any]) -> dict[str, tuple[list[str], list[str]]]:
    """Ops of the generators of the harder and the easier direction, by the way they are read."""
    harder, easier, width = row["harder"], row["easier"], row["width"]
    limit = parameters(find_layout("resnet9").generator, (), width)
    both = least_rise([*harder, *easier], 2 * limit, width)
    return {
        "argmax": (argmax(harder), argmax(easier)),
        "projection, each": (least_rise(harder, limit, width), least_rise(easier, limit, width)),
        "projection, together": (both[: len(harder)], both[len(harder) :]),
    }


def summary(arguments: argparse.Namespace) -> None:
    """Print ratios of sizes, and the agreement of seeds."""
    rows = read(arguments.rows)
    chance = fmean(1 / len(slot.ops) for slot in LAYOUT.searched)
    print("| task | read by | searches | harder ÷ easier, both orders | as they are | exchanged | seeds agree |")
    print("|---|---|---|---|---|---|---|")
    for kind in sorted({_kind(row) for row in rows}):
        here = [(row, read_architectures(row)) for row in rows if _kind(row) == kind]
        for way in here[0][1]:
            ratios: dict[bool, dict[int, float]] = defaultdict(dict)
            ops: dict[bool, list[list[str]]] = defaultdict(list)
            for row, found in here:
                harder, easier = found[way]
                ratio = log(size(harder, row["width"]) / size(easier, row["width"]))
                ratios[row["exchanged"]][row["seed"]] = ratio
                ops[row["exchanged"]].append([*harder, *easier])
            both = [fmean((ratio, ratios[True][seed])) for seed, ratio in ratios[False].items() if seed in ratios[True]]
            parts = [_ratio(both), *(_ratio([*ratios[exchanged].values()]) for exchanged in (False, True))]
            pairs = [fmean(map(eq, one, other)) for same in ops.values() for one, other in combinations(same, 2)]
            agreed = f"{fmean(pairs):.0%}" if pairs else ""
            print(f"| {kind[0]} | {way} | {len(here)} | {' | '.join(parts)} | {agreed} |")
    print(f"\nChance of two random architectures to agree in a slot: {chance:.0%}")


def _kind(row: Mapping[str, Any]) -> tuple[str, float, int]:
    return row["task"], row["width"], row["images"]


def _ratio(logs: Sequence[float]) -> str:
    if not logs:
        return ""
    if len(logs) == 1:
        return f"{exp(logs[0]):.3f}"
    mean = mean_interval(logs)
    return str(Interval(exp(mean.estimate), exp(mean.low), exp(mean.high)))


if __name__ == "__main__":
    main()
