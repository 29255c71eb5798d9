"""Evolution of a front: which choices are the best for their cost. No torch, no files.

Nondominated sorting with crowding (NSGA-II, Deb et al. 2002) over two aims, both to be minimized: a cost that is known,
and a score that is told. All randomness is a hash of the seed and the number of the child, so that the same scores lead
to the same children, whatever order they are told in.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from math import inf
from sys import float_info

Choices = tuple[str, ...]  # one per slot
Aims = Mapping[Choices, tuple[float, float]]  # cost and score


class Evolution:
    """Ask for choices, tell their scores; each generation has `population` new children."""

    def __init__(
        self,
        slots: Sequence[Sequence[str]],  # the options of each slot
        cost: Callable[[Choices], float],
        *,
        population: int = 32,
        generations: int = 15,
        mutation: float = 0.2,  # probability that a slot of a child is that of random choices
        draw: Callable[[random.Random], Choices] | None = None,  # random choices; None: uniform and independent
        admits: Callable[[Choices], bool] = lambda _: True,  # limits: choices that it refuses are not tried
        first: Sequence[Choices] = (),  # members of the first generation; the others are random
        seed: int = 0,
    ) -> None:
        self._slots, self._cost, self._population, self._generations = slots, cost, population, generations
        self._mutation, self._draw, self._admits, self._seed = mutation, draw or self._uniform, admits, seed
        self._drawn = 0  # children so far, a few of them discarded
        self.scores: dict[Choices, float] = {}
        self._parents: list[Choices] = []
        self._generation = 1
        self._awaited = dict.fromkeys([one for one in first if admits(one)][:population])
        self._fill(self._draw)

    def ask(self) -> Sequence[Choices]:
        """The choices without a score of this generation; empty: the evolution is over."""
        return list(self._awaited)

    def tell(self, choices: Choices, score: float) -> None:
        """Record a score, lower is better, NaN or infinite the worst; the last of a generation makes the next one."""
        if choices not in self._awaited:
            raise ValueError(f"no score of {choices} is expected")
        del self._awaited[choices]
        self.scores[choices] = score if score < inf else float_info.max
        if not self._awaited and self._generation < self._generations:
            self._generation += 1
            self._parents = self._best(self._population)
            self._fill(self._child)

    def front(self) -> list[Choices]:
        """The choices that no other one beats in both aims, the cheapest first."""
        return _front(list(self.scores), self._aims())

    def _fill(self, make: Callable[[random.Random], Choices]) -> None:
        """Add new choices within the limit; fewer than a population if hardly any are left."""
        attempts = 50 * self._population
        while len(self._awaited) < self._population and attempts:
            attempts -= 1
            self._drawn += 1
            one = make(random.Random(f"{self._seed} {self._drawn}"))
            if one not in self.scores and self._admits(one):
                self._awaited.setdefault(one)

    def _uniform(self, chance: random.Random) -> Choices:
        return tuple(chance.choice(options) for options in self._slots)

    def _child(self, chance: random.Random) -> Choices:
        """Cross two parents slot by slot, then put random choices into some slots."""
        one, other, new = chance.choice(self._parents), chance.choice(self._parents), self._draw(chance)
        return tuple(
            fresh if chance.random() < self._mutation else chance.choice(pair)
            for fresh, *pair in zip(new, one, other, strict=True)
        )

    def _best(self, count: int) -> list[Choices]:
        """The first fronts, one after the other; of the last one that fits in part, the least crowded."""
        left, best, aims = sorted(self.scores), list[Choices](), self._aims()
        while left and len(best) < count:
            front = _front(left, aims)
            left = [one for one in left if one not in front]
            if len(best) + len(front) > count:
                crowding = _distances(front, aims)
                front = sorted(front, key=lambda one: (-crowding[one], one))[: count - len(best)]
            best += front
        return best

    def _aims(self) -> Aims:
        return {one: (self._cost(one), score) for one, score in self.scores.items()}


def _front(choices: Sequence[Choices], aims: Aims) -> list[Choices]:
    found: list[Choices] = []
    lowest = inf
    for one in sorted(choices, key=lambda one: (aims[one], one)):
        if aims[one][1] < lowest:
            lowest = aims[one][1]
            found.append(one)
    return found


def _distances(front: Sequence[Choices], aims: Aims) -> dict[Choices, float]:
    """Sum of the gaps to both neighbors along the front, each aim relative to its range; infinite at the ends."""
    ordered = sorted(front, key=lambda one: aims[one])
    found = dict.fromkeys(ordered, inf)
    for aim in (0, 1):
        span = abs(aims[ordered[-1]][aim] - aims[ordered[0]][aim]) or 1.0
        for number in range(1, len(ordered) - 1):
            before, after = aims[ordered[number - 1]][aim], aims[ordered[number + 1]][aim]
            one = ordered[number]
            found[one] = (0.0 if aim == 0 else found[one]) + abs(after - before) / span
    return found
