"""The analysis of DGGAN, on a table of growing (GrowBench): what scores say, and what K and p do.

    python experiments/growbench_analysis.py growbench.jsonl.gz

Prints Markdown. All scores are logarithms. Truth is the mean over the other worlds; luck is what is left of a score in
a world without what the candidate has in all worlds, and without what the world has in all candidates of its depth and
resolution. Intervals are 95 %, by t over worlds.
"""

import argparse
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from math import log
from pathlib import Path
from statistics import fmean

import numpy as np
from growbench import REPLAYS, architecture_share, rounded
from scipy.stats import spearmanr

from ganas.growing.table import Route, Table, read_table, replay
from ganas.growing.topk import TopK
from ganas.stats import mean_interval

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
            noise = np.std([luck_of for path, luck_of in luck(table).items() if path in paths], ddof=1)
            nodes = values.mean(1).std(ddof=1)
            print(f"| {depth} | {resolution}² | {len(paths)} | {nodes:.3f} | {noise:.3f} | {share:.2f} |")


def print_luck(table: Table) -> None:
    """How much of a node's luck its children and grandchildren have."""
    rest = luck(table)
    print("\n| luck of | slope on the ancestor's luck |\n|---|---|")
    for name, steps in (("children", 1), ("grandchildren", 2)):
        slopes = []
        for number in range(len(table.worlds)):
            pairs = [(rest[path[:-steps]][number], rest[path][number]) for path in rest if len(path) > steps]
            old, new = np.array(pairs).T
            slopes.append(float(old @ new / (old @ old)))
        print(f"| {name} | {rounded(mean_interval(slopes))} |")


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


def by_world(table: Table, groups: Sequence[Sequence[Route]], one: Callable, other: Callable) -> str:  # type: ignore[type-arg]
    """The mean rank correlation of two numbers of (world, path) within groups, with its interval over worlds."""
    means = [
        fmean(correlation([one(world, p) for p in group], [other(world, p) for p in group]) for group in groups)
        for world in table.worlds
    ]
    return rounded(mean_interval(means))


def print_ranks(table: Table) -> None:
    """What scores at rungs and of parents say about later scores and about the truth."""
    groups = [*siblings(table)]
    generations = [paths for paths in stages(table).values() if len(paths) >= 3]
    images = [int(share * table.images) for share in table.shares]
    print("\n| rank correlation | among siblings | among all of a depth and resolution |\n|---|---|---|")
    for share, reached in zip(table.shares, images, strict=True):
        if share < 1:

            def early(world: int, path: Route, reached: int = reached) -> float:
                return table.score(world, path, reached)

            within, across = (
                by_world(table, groups, early, table.score),
                by_world(table, generations, early, table.score),
            )
            print(f"| score at {share:g}, score at the end | {within} | {across} |")
            within, across = (
                by_world(table, groups, early, table.truth),
                by_world(table, generations, early, table.truth),
            )
            print(f"| score at {share:g}, truth | {within} | {across} |")
    within, across = (
        by_world(table, groups, table.score, table.truth),
        by_world(table, generations, table.score, table.truth),
    )
    print(f"| score at the end, truth | {within} | {across} |")

    def of_parent(truth: bool) -> Callable[[int, Route], float]:
        return lambda world, path: (table.truth if truth else table.score)(world, path[:-1])

    # parents of one resolution: scores of two are not comparable
    later = [
        [path for path in paths if stage(path[:-1])[1] == side]
        for (depth, _), paths in stages(table).items()
        if depth > 1
        for side in (8, 16)
    ]
    later = [paths for paths in later if len({path[:-1] for path in paths}) >= 3]
    print(f"| score of the parent, score | | {by_world(table, later, of_parent(False), table.score)} |")
    print(f"| truth of the parent, truth | | {by_world(table, later, of_parent(True), table.truth)} |")


def print_keep_and_probability(table: Table) -> None:
    """What K and p do to algorithm 1, as in the paper's Figure 3."""
    print("\n| K | p | trainings | truth of the winner, log, to K = 4, p = 0.4 |\n|---|---|---|---|")
    found = {}
    for keep in KEEP:
        for probability in PROBABILITY:
            replays = [
                [
                    replay(table, _algorithm_1(table, keep, probability, seed), world)
                    for seed in range(1 if probability == 1 else REPLAYS)
                ]
                for world in table.worlds
            ]
            trainings = fmean(one.images for some in replays for one in some) / table.images
            found[keep, probability] = trainings, [fmean(one.end for one in some) for some in replays]
    _, usual = found[4, 0.4]
    for (keep, probability), (trainings, ends) in found.items():
        change = mean_interval([end - other for end, other in zip(ends, usual, strict=True)])
        print(f"| {keep} | {probability} | {trainings:.1f} | {rounded(change)} |")


def _algorithm_1(table: Table, keep: int, probability: float, seed: int) -> TopK:
    return TopK([table.base], table.space, images=table.images, keep=keep, probability=probability, seed=seed)


def main() -> None:
    """Print all of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", type=Path)
    table = read_table(parser.parse_args().table)
    print(f"{len(table.rows)} rows, worlds {table.worlds}, {table.key}\n")
    print_variance(table)
    print_luck(table)
    print_ranks(table)
    print_keep_and_probability(table)


if __name__ == "__main__":
    main()
