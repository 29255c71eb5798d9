"""One item of every group, the highest sum of scores, costs within a budget: the multiple-choice knapsack, exactly.

Group by group, all sums that no other one dominates (costs no more, scores no less) are carried on. There are few of
them where costs come from few sizes of kernels, and never more than the budget has units. No torch here.
"""

from collections.abc import Sequence
from typing import Any

Scores = Sequence[Sequence[float]]  # of each group's items
Costs = Sequence[Sequence[int]]


def best_within(scores: Scores, costs: Costs, budget: int) -> list[int] | None:
    """The item of each group; of equal scores the cheaper. None: nothing fits."""
    least = [0]  # that the groups still to come cost, from the last one on
    for group in reversed(costs):
        least.append(least[-1] + min(group))
    frontier: list[tuple[int, float, Any]] = [(0, 0.0, None)]  # cost, score, items so far as a chain
    for number, (group_scores, group_costs) in enumerate(zip(scores, costs, strict=True)):
        room = budget - least[len(costs) - number - 1]
        reached = [
            (cost + group_costs[item], score + group_scores[item], (item, chain))
            for cost, score, chain in frontier
            for item in range(len(group_costs))
            if cost + group_costs[item] <= room
        ]
        reached.sort(key=lambda one: (one[0], -one[1]))  # stable: earlier items first
        frontier = []
        for one in reached:
            if not frontier or one[1] > frontier[-1][1]:
                frontier.append(one)
    if not frontier:
        return None
    chain, items = frontier[-1][2], []
    while chain:
        item, chain = chain
        items.append(item)
    return items[::-1]
