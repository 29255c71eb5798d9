"""The multiple-choice knapsack, solved exactly: one item per group, the highest sum of scores, costs within a budget.

Group by group, it keeps the sums that no other sum dominates (costs no more, scores no less). There are few of them if
costs come from few kernel sizes, and never more than the budget has units. No torch here.
"""

from collections.abc import Sequence
from typing import Any


def best_within(scores: Sequence[Sequence[float]], costs: Sequence[Sequence[int]], budget: int) -> list[int] | None:
    """Return the index of the chosen item in each group, given the scores and costs of each group's items.

    Ties go to the cheaper sum. None: nothing fits.
    """
    least = [0]  # minimum cost of the remaining groups, counted from the last one
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
