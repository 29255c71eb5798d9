"""How many seeds does a score need to tell architectures apart?

    python experiments/score_power.py grow IMAGES OUT --features squeezenet:WEIGHTS --route wide-d --seed 0
    python experiments/score_power.py table ROWS.jsonl --by layout width [--where task=exposure direction=ba]

`grow` trains one of ROUTES, three architectures after as many images, and appends its scores to OUT/growing.jsonl.
`table` reads rows of `grow` or of task_front.py and prints a Markdown row per score: the deviation over seeds, the
largest difference between the means of architectures, their ratio, and the seeds a side that find such a difference
four times out of five. Intervals are 95 %, from a parametric bootstrap: seeds are drawn from normal distributions.
"""

import argparse
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from ledger import append, machine, read

from ganas.metrics.measurement import SPREADS, metric_of
from ganas.stats import pooled_deviation, seeds_needed

# 8×8 twice, then 16×16: as many images at each resolution
ROUTES = {
    "wide-g": ["g-conv3x128", "fade"],
    "wide-d": ["d-conv3x128", "fade"],
    "plain": ["on", "fade"],
}
METRICS = ("fid", "kid", "mind", "swd")
RESAMPLES = 2000


def grow(arguments: argparse.Namespace) -> None:
    """Train a route, score it and append a row."""
    import ganas
    from ganas.presets import make_config

    name, seed, out = arguments.route, arguments.seed, arguments.out
    rows = out / "growing.jsonl"
    if any((row["route"], row["seed"]) == (name, seed) for row in read(rows)):
        return
    run = out / f"{name}-{seed}"
    run.mkdir(parents=True, exist_ok=True)
    route = out / f"{name}.json"
    route.write_text(json.dumps(ROUTES[name]))
    flags = {"data.images": arguments.images, "data.resolution": 16}  # without a network, for speed
    flags |= {"seed": seed, "growth.depth": 2, "training.final_images": 0, "training.threads": 1}
    flags |= {"training.images": arguments.node_images, "metrics.images": 1000}
    config = make_config("grow", preset="small", flags=flags)
    ganas.grow(config, run, route=str(route))
    scores: dict[str, float] = {}
    for features in arguments.features:
        scores |= ganas.evaluate_grown(run, features=features, metrics=METRICS).scores
    row = {"route": name, "seed": seed, "images": arguments.node_images, "test": {"images": scores}}
    append(rows, row | machine())


def table(arguments: argparse.Namespace) -> None:
    """Print a row per score."""
    rows = read(arguments.rows)
    facts = dict(fact.split("=") for fact in arguments.where)
    rows = [row for row in rows if all(str(row[key]) == value for key, value in facts.items() if key != "direction")]
    part = facts.get("direction", "images")
    groups: dict[tuple[Any, ...], list[Mapping[str, float]]] = defaultdict(list)
    for row in rows:
        groups[tuple(row[key] for key in arguments.by)].append(row["test"][part])
    groups = {name: found for name, found in groups.items() if len(found) >= arguments.seeds}
    if len(groups) < 2:
        raise SystemExit(f"{len(groups)} architectures with {arguments.seeds} seeds: two are needed")
    print(f"{len(groups)} architectures, {'+'.join(str(len(found)) for found in groups.values())} seeds\n")
    print("| score | mean | seed deviation | difference of architectures | ratio | seeds a side |")
    print("|---|---|---|---|---|---|")
    common = set.intersection(*(set(scores) for found in groups.values() for scores in found))
    for key in sorted(key for key in common if metric_of(key) not in SPREADS):
        values = [[scores[key] for scores in found] for found in groups.values()]
        print(f"| `{key}` | {' | '.join(describe(values))} |")


def describe(groups: Sequence[Sequence[float]]) -> list[str]:
    """Return a score's mean, seed deviation, largest difference, ratio of the two, and number of seeds."""
    deviation, difference = pooled_deviation(*groups), largest_difference(groups)
    if not deviation or not difference:
        return [f"{fmean(map(fmean, groups)):.4g}", "0", "0", "", ""]
    generator = np.random.default_rng(0)
    resampled = [
        [generator.normal(fmean(values), deviation, len(values)).tolist() for values in groups]
        for _ in range(RESAMPLES)
    ]
    ratios = [pooled_deviation(*one) / largest_difference(one) for one in resampled]
    low, high = np.quantile(ratios, (0.025, 0.975))
    needed = seeds_needed(difference, deviation)
    mean = fmean(map(fmean, groups))
    return [
        f"{mean:.4g}",
        f"{deviation:.2g} ({deviation / abs(mean):.1%})",
        f"{difference:.2g} ({difference / abs(mean):.1%})",
        f"{deviation / difference:.2f} [{low:.2f}, {high:.2f}]",
        f"{needed}",
    ]


def largest_difference(groups: Sequence[Sequence[float]]) -> float:
    """Return the difference of the largest and the smallest mean."""
    means = [float(np.mean(values)) for values in groups]
    return max(means) - min(means)


def main() -> None:
    """Run one command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("grow")
    command.set_defaults(run=grow)
    command.add_argument("images", type=Path)
    command.add_argument("out", type=Path)
    command.add_argument("--features", required=True, nargs="+")
    command.add_argument("--route", choices=ROUTES, required=True)
    command.add_argument("--seed", type=int, default=0)
    command.add_argument("--node-images", type=int, default=16_000, help="of each candidate on the route")
    command = commands.add_parser("table")
    command.set_defaults(run=table)
    command.add_argument("rows", type=Path)
    command.add_argument("--by", nargs="+", required=True, help="facts that name an architecture")
    command.add_argument("--where", nargs="*", default=[], metavar="KEY=VALUE", help="facts of the rows to read")
    command.add_argument("--seeds", type=int, default=3, help="leave out architectures with fewer")
    arguments = parser.parse_args()
    arguments.run(arguments)


if __name__ == "__main__":
    main()
