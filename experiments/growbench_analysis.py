"""The analysis of DGGAN, on a table of growing (GrowBench): what scores say, and what K and p do.

    python experiments/growbench_analysis.py growbench.jsonl.gz

Prints Markdown. All scores are logarithms. Truth is the mean over the other worlds; luck is what is left of a score in
a world without what the candidate has in all worlds, and without what the world has in all candidates of its depth and
resolution. Intervals are 95 %, by a jackknife over worlds, which share most of what a truth is made of.
"""

import argparse
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from math import log
from pathlib import Path
from statistics import fmean

import numpy as np
from growbench import REPLAYS, Jackknife, architecture_share, rounded
from scipy.stats import spearmanr

from ganas.growing.actions import TRAIN_ON
from ganas.growing.table import Route, Table, read_table, replay
from ganas.growing.topk import TopK

Stage = tuple[int, int]  # depth, resolution
KEEP, PROBABILITY = (1, 2, 4, 8), (0.2, 0.4, 0.7, 1.0)


def stage(path: Route) -> Stage:
    """The depth and the resolution of a node."""
    return len(path), 16 if "fade" in path else 8


def stages(table: Table) -> dict[Stage, list[Route]]:
    """The nodes of each stage."""
    found: dict[Stage, list[Route]] = defaultdict(list)
    for path in sorted({row.path for row in table.rows}):
        found[stage(path)].append(path)
    return dict(sorted(found.items()))


def scores(table: Table, paths: Sequence[Route], rung: int = -1) -> np.ndarray:
    """Log scores [path, world]."""
    images = [int(share * table.images) for share in table.shares][rung]
    return np.array([[log(table.score(world, path, images)) for world in table.worlds] for path in paths])


def luck(table: Table) -> dict[Route, np.ndarray]:
    """What each node's scores have that neither the node nor the world explains, by world."""
    found = {}
    for paths in stages(table).values():
        values = scores(table, paths)
        rest = values - values.mean(1, keepdims=True) - values.mean(0, keepdims=True) + values.mean()
        found |= dict(zip(paths, rest, strict=True))
    return found


def print_variance(table: Table) -> None:
    """The share of architecture in the variance of each stage."""
    print("| actions | resolution | nodes | sd over nodes | sd over seeds | share of architecture |")
    print("|---|---|---|---|---|---|")
    for (depth, resolution), paths in stages(table).items():
        values = scores(table, paths)
        if len(paths) > 1:
            share = architecture_share(values)
            count, worlds = values.shape
            rest = values - values.mean(1, keepdims=True) - values.mean(0, keepdims=True) + values.mean()
            noise = ((rest**2).sum() / ((count - 1) * (worlds - 1))) ** 0.5
            nodes = values.mean(1).std(ddof=1)
            print(f"| {depth} | {resolution}² | {len(paths)} | {nodes:.3f} | {noise:.3f} | {share:.2f} |")


def print_schedules(table: Table) -> None:
    """The share of architecture among the deepest nodes that were trained as often at the final resolution."""
    groups: dict[int, list[Route]] = defaultdict(list)
    for path in sorted({row.path for row in table.rows if len(row.path) == table.depth and "fade" in row.path}):
        groups[table.depth - path.index("fade")].append(path)
    samples = Jackknife(table, lambda part: {n: architecture_share(scores(part, paths)) for n, paths in groups.items()})
    print("\n| trainings at the final resolution | nodes | share of architecture |\n|---|---|---|")
    for number, paths in sorted(groups.items()):
        share = samples.interval(lambda values, number=number: values[number])
        print(f"| {number} | {len(paths)} | {rounded(share)} |")


def print_luck(table: Table) -> None:
    """How much of a node's luck its children and grandchildren have."""
    samples = Jackknife(table, slopes_of_luck)
    print("\n| luck of | slope on the ancestor's luck |\n|---|---|")
    for steps, name in ((1, "children"), (2, "grandchildren")):
        print(f"| {name} | {rounded(samples.interval(lambda slopes, steps=steps: slopes[steps]))} |")


def slopes_of_luck(table: Table) -> dict[int, float]:
    """The slope of luck on that of the ancestor so many generations before."""
    rest, slopes = luck(table), {}
    for steps in (1, 2):
        pairs = [(rest[path[:-steps]], rest[path]) for path in rest if len(path) > steps]
        old, new = (np.concatenate(values) for values in zip(*pairs, strict=True))
        slopes[steps] = float(old @ new / (old @ old))
    return slopes


def siblings(table: Table) -> Iterator[list[Route]]:
    """The children of each node that have one resolution, where there are three or more."""
    groups: dict[tuple[Route, Stage], list[Route]] = defaultdict(list)
    for path in sorted({row.path for row in table.rows}):
        if path:
            groups[path[:-1], stage(path)].append(path)
    return (group for group in groups.values() if len(group) >= 3)


def correlation(one: Sequence[float], other: Sequence[float]) -> float:
    """Spearman's rank correlation; 0 if one side is constant."""
    value = float(spearmanr(one, other).statistic)
    return 0.0 if np.isnan(value) else value


def print_ranks(table: Table) -> None:
    """What scores at rungs and of parents say about later scores and about the truth."""
    samples = Jackknife(table, rank_correlations)
    print("\n| rank correlation | groups | mean of groups |\n|---|---|---|")
    for name, (count, _) in samples.whole.items():
        print(f"| {name} | {count} | {rounded(samples.interval(lambda values, name=name: values[name][1]))} |")


def rank_correlations(table: Table) -> dict[str, tuple[int, float]]:
    """The number of groups of nodes, and the mean rank correlation within them and within worlds."""
    early = [
        (f"score at {share:g}", lambda world, path, at=int(share * table.images): table.score(world, path, at))
        for share in table.shares
        if share < 1
    ]
    among = {
        "among siblings": [*siblings(table)],
        "among all of a depth and resolution": [paths for paths in stages(table).values() if len(paths) >= 3],
    }
    found = {}
    for where, groups in among.items():
        for name, score in (*early, ("score at the end", table.score)):
            for later, target in (("score at the end", table.score), ("truth", table.truth)):
                if name != later:
                    found[f"{name}, {later}, {where}"] = len(groups), correlations(table, groups, score, target)
    for name, groups in generations_by_parent(table).items():
        if len({path[:-1] for path in groups}) < 3:
            continue
        for what, number in (("score", table.score), ("truth", table.truth)):
            of_parent = lambda world, path, number=number: number(world, path[:-1])  # noqa: E731
            key = f"{what} of the parent, {what}: {len(groups)} {name}"
            found[key] = 1, correlations(table, [groups], of_parent, number)
    return found


def generations_by_parent(table: Table) -> dict[str, list[Route]]:
    """The nodes of each depth and resolution, apart by the resolution of their parents."""
    found: dict[str, list[Route]] = defaultdict(list)
    for (depth, resolution), paths in stages(table).items():
        for path in paths if depth > 1 else ():
            parents = len({one[:-1] for one in paths if stage(one[:-1]) == stage(path[:-1])})
            found[f"children at depth {depth}, {resolution}², of {parents} at {stage(path[:-1])[1]}²"].append(path)
    return found


def correlations(table: Table, groups: Sequence[Sequence[Route]], one: Callable, other: Callable) -> float:  # type: ignore[type-arg]
    """The mean rank correlation of two numbers of (world, path) within groups and worlds."""
    return fmean(
        correlation([one(world, path) for path in group], [other(world, path) for path in group])
        for group in groups
        for world in table.worlds
    )


def print_actions(table: Table) -> None:
    """What a growth does to its child, beside more training of the same parent; what the balance of networks says."""
    samples = Jackknife(table, effects_of_actions)
    print("\n| action, at | parents | log score ÷ that of more training |\n|---|---|---|")
    for (action, resolution), (parents, _) in samples.whole.items():
        effect = samples.interval(lambda values, key=(action, resolution): values[key][1])
        print(f"| {action}, {resolution}² | {parents} | {rounded(effect)} |")
    balance = Jackknife(table, balance_correlations)
    print("\n| G ÷ D, parameters | nodes | range | rank correlation with the score |\n|---|---|---|---|")
    for (depth, resolution), (count, low, high, _) in balance.whole.items():
        value = balance.interval(lambda values, key=(depth, resolution): values[key][3])
        print(f"| depth {depth}, {resolution}² | {count} | {low:.2f} to {high:.2f} | {rounded(value)} |")


def effects_of_actions(table: Table) -> dict[tuple[str, int], tuple[int, float]]:
    """By action and resolution: the number of parents, and the mean difference to the parent that trains on."""
    paths, found = {row.path for row in table.rows}, defaultdict(list)
    for path in sorted(paths):
        on = (*path[:-1], str(TRAIN_ON))
        if path and path != on and on in paths and stage(on) == stage(path):
            found[path[-1], stage(path)[1]].append(
                fmean(log(table.score(world, path) / table.score(world, on)) for world in table.worlds)
            )
    return {key: (len(values), fmean(values)) for key, values in sorted(found.items())}


def balance_correlations(table: Table) -> dict[Stage, tuple[int, float, float, float]]:
    """By stage: nodes, the least and the largest ratio, its mean rank correlation with scores within worlds."""
    sizes = {row.path: row.parameters for row in table.rows}
    found = {}
    for key, paths in stages(table).items():
        ratios = [sizes[path]["generator"] / sizes[path]["discriminator"] for path in paths]
        if len(paths) > 3:
            rank = fmean(correlation(ratios, [table.score(world, path) for path in paths]) for world in table.worlds)
            found[key] = len(paths), min(ratios), max(ratios), rank
    return found


def print_keep_and_probability(table: Table) -> None:
    """What K and p do to algorithm 1, as in the paper's Figure 3."""
    samples = Jackknife(table, ends_by_setting)
    print("\n| K | p | trainings | truth of the winner, log, to K = 4, p = 0.4 |\n|---|---|---|---|")
    for (keep, probability), (trainings, _) in samples.whole.items():
        change = samples.interval(lambda values, setting=(keep, probability): values[setting][1] - values[4, 0.4][1])
        print(f"| {keep} | {probability} | {trainings:.1f} | {rounded(change)} |")


def ends_by_setting(table: Table) -> dict[tuple[int, float], tuple[float, float]]:
    """Trainings, and the truth of the winner, by K and p."""
    found = {}
    for keep in KEEP:
        for probability in PROBABILITY:
            replays = [
                replay(table, _algorithm_1(table, keep, probability, REPLAYS * world + seed), world)
                for world in table.worlds
                for seed in range(1 if probability == 1 else REPLAYS)
            ]
            trainings = fmean(one.images for one in replays) / table.images
            found[keep, probability] = trainings, fmean(one.end for one in replays)
    return found


def _algorithm_1(table: Table, keep: int, probability: float, seed: int) -> TopK:
    return TopK([table.base], table.space, images=table.images, keep=keep, probability=probability, seed=seed)


def main() -> None:
    """Print all of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", type=Path)
    table = read_table(parser.parse_args().table)
    print(f"{len(table.rows)} rows, worlds {table.worlds}, {table.key}\n")
    print_variance(table)
    print_schedules(table)
    print_luck(table)
    print_ranks(table)
    print_actions(table)
    print_keep_and_probability(table)


if __name__ == "__main__":
    main()
