"""Top-K greedy pruning (DGGAN, algorithm 1): which candidates to train, and which of them become parents.

Once every candidate of a generation has a score, the K best are the parents of the next generation. In a race most
candidates stop at rungs before that. No torch, no files.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil, inf, isfinite, log
from statistics import fmean
from typing import Literal

from ganas.growing.actions import Space
from ganas.growing.architecture import GrowthArchitecture
from ganas.growing.children import repeat_of, sample_children, uniform
from ganas.growing.estimate import Observation, pooled_estimates
from ganas.growing.strategy import Candidate, Score

RankBy = Literal["normalized", "per_resolution", "raw", "pooled"]


SMALLEST = 1e-12  # a score whose logarithm is taken
REPEATS = 3  # of each finalist


@dataclass(frozen=True)
class Rung:
    """A comparison before the end of a generation's training: the worst stop there."""

    share: float  # of a candidate's images
    survivors: Callable[[int, int], int]  # of how many candidates there are, and of K; at least K go on


# Successive halving (Jamieson and Talwalkar 2016) by a third, then a final of K + 1.
RACE = (
    Rung(1 / 4, lambda count, keep: ceil(count / 3)),
    Rung(1 / 2, lambda count, keep: keep + 1),
)


class TopK:
    """The search as a `GrowingStrategy`. Without rungs every candidate is trained once, for all its images.

    Rungs are synchronous: a candidate goes on once all of its generation have been compared.
    """

    def __init__(
        self,
        initial: Sequence[GrowthArchitecture],
        space: Space,
        *,
        images: int,  # training images of every candidate that is not stopped at a rung
        keep: int,  # K: parents per generation
        probability: float,  # p: probability that a parent's action is tried
        seed: int,
        rank_by: RankBy = "normalized",
        random: bool = False,  # random parents instead of the best: the baseline every search needs
        rungs: Sequence[Rung] = (),  # in ascending share
        finalists: int = 0,  # how many of the best are trained again, to choose the winner by the mean
    ) -> None:
        if keep < 1 or not 0 < probability <= 1:
            raise ValueError(f"keep must be at least 1 and probability in (0, 1], got {keep=}, {probability=}")
        self._space, self._images, self._keep, self._probability = space, images, keep, probability
        self._seed, self._rank_by, self._random, self._rungs = seed, rank_by, random, tuple(rungs)
        self._finalists = finalists
        self._repeats: dict[str, list[str]] = {}  # ids of the repeats of each finalist
        self._ranking: list[str] = []  # of the last generation, the best first
        self._racing: dict[str, Candidate] = {}  # those of this generation that were not stopped
        self._awaited: dict[str, Candidate] = {}  # of them, those without a score at the next rung
        self._rung = 0  # the next one; after the last comes the end of the training
        self._complete: set[str] = set()  # candidates trained to their end
        self._observed: list[Observation] = []  # all scores so far, rung by rung
        self._estimates: dict[str, float] = {}  # from them
        self._grown: dict[str, Counter[str]] = {}  # the base, and what was grown since, and at which resolution
        self.candidates: dict[str, Candidate] = {}
        self.scores: dict[str, Score | None] = {}
        self.beams: list[list[str]] = []
        self._begin([Candidate(architecture.id, architecture) for architecture in initial])

    def ask(self) -> list[tuple[Candidate, int]]:
        """The candidates of this generation without a score at the next rung; none: the search is over."""
        return [(candidate, self._target) for candidate in self._awaited.values()]

    def tell(self, candidate: str, images: int, score: Score | None) -> None:
        """Record a score; the last of a rung stops the worst, the last of a generation starts the next one."""
        if candidate not in self._awaited or images != self._target:
            raise ValueError(f"no score of candidate {candidate!r} after {images} images is expected")
        self.scores[candidate] = score if score and isfinite(score.value) else None
        if self._rung == len(self._rungs):
            self._complete.add(candidate)
        del self._awaited[candidate]
        if not self._awaited:
            self._next_rung()

    def may_continue(self, candidate: str) -> bool:
        """Whether the candidate is still in a race."""
        last = self._rung == len(self._rungs)
        return bool(self._rungs) and candidate in (self._awaited if last else self._racing)

    @property
    def finalists(self) -> list[Candidate]:
        """Those that would be repeated now."""
        return [self.candidates[name] for name in self._rivals()[: self._finalists]]

    def winner(self) -> Candidate | None:
        """The best at the final resolution, or at the highest reached so far; trained to its end, if any was.

        By pooled estimates, which compare candidates of one generation only: the best of the last one. Once all
        finalists were repeated, it is the best training of the finalist with the best mean over its repeats.
        """
        if self._repeats and not self._awaited:
            best = min(self._repeats, key=lambda name: (self._mean_of_repeats(name), name))
            trainings = [name for name in (best, *self._repeats[best]) if self.scores[name]]
            return self.candidates[min(trainings, key=lambda name: (self._score(name).value, name))]
        rivals = self._rivals()
        return self.candidates[rivals[0]] if rivals else None

    def _rivals(self) -> list[str]:
        """Who may win, the best first."""
        if self._rank_by == "pooled" and self._ranking:
            return self._ranking
        alive = [name for name, score in self.scores.items() if score and not self.candidates[name].repeat]
        alive = [name for name in alive if name in self._complete] or alive
        highest = max((self._resolution(name) for name in alive), default=0)
        rivals = [name for name in alive if self._resolution(name) == highest]
        return sorted(rivals, key=lambda name: (self._score(name).value, name))

    def _mean_of_repeats(self, finalist: str) -> float:
        scores = [self.scores[name] for name in self._repeats[finalist]]
        return fmean(score.value if score else inf for score in scores)

    # ── a generation ────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def _target(self) -> int:
        """Images until the next comparison."""
        return ceil(self._images * self._rungs[self._rung].share) if self._rung < len(self._rungs) else self._images

    def _begin(self, generation: list[Candidate]) -> None:
        self.candidates |= {candidate.id: candidate for candidate in generation}
        for one in generation:
            grown = f"{one.action} at {one.architecture.resolution}" if one.parent else f"base {one.id}"
            self._grown[one.id] = self._grown.get(one.parent or "", Counter()) + Counter([grown])
        # initial candidates do not race: all of them become parents; nor do so few that none would stop
        racing = bool(self.beams) and len(generation) > self._keep
        self._race(generation, 0 if racing else len(self._rungs))

    def _race(self, candidates: Sequence[Candidate], rung: int) -> None:
        self._racing = {candidate.id: candidate for candidate in candidates}
        self._awaited, self._rung = dict(self._racing), rung

    def _next_rung(self) -> None:
        if self._repeats:
            return  # the search is over
        alive = [name for name in self._racing if self.scores[name]]
        if self._rank_by == "pooled":
            self._observed += map(self._observation, sorted(alive))
            self._estimates = pooled_estimates(self._observed)
        if self._rung == len(self._rungs):
            self.beams.append(self._survivors(alive))
            self._ranking = self._ranked(alive) or self._ranking
            parents = [self.candidates[name] for name in self.beams[-1]]
            children = sample_children(parents, self._space, self._probability, self._seed)
            return self._begin(children) if children else self._repeat_finalists()
        count = max(self._keep, self._rungs[self._rung].survivors(len(alive), self._keep))
        self._race([self.candidates[name] for name in self._ranked(alive)[:count]], self._rung + 1)
        if not alive:  # the search is over
            self.beams.append([])

    def _repeat_finalists(self) -> None:
        """Ask for the repeats of the finalists, if there are several."""
        if len(self.finalists) < 2:
            return
        repeats = {one.id: [repeat_of(one, number + 1) for number in range(REPEATS)] for one in self.finalists}
        self._repeats = {name: [one.id for one in some] for name, some in repeats.items()}
        every = [one for some in repeats.values() for one in some]
        self.candidates |= {one.id: one for one in every}
        self._race(every, len(self._rungs))

    def _survivors(self, alive: Sequence[str]) -> list[str]:
        """The K best of this generation, or K random ones; all of the initial candidates."""
        if not self.beams:
            return self._ranked(alive)
        if self._random:
            return sorted(alive, key=lambda name: uniform(self._seed, "survival", name))[: self._keep]
        return self._ranked(alive)[: self._keep]

    def _ranked(self, names: Sequence[str]) -> list[str]:
        """Sort candidates that did not fail, the best first; equal scores by id."""
        ordered = sorted(names, key=lambda name: (self._key(name), name))
        if self._rank_by != "per_resolution":
            return ordered
        rank: dict[str, int] = {}  # within its resolution
        seen: dict[int, int] = {}
        for name in ordered:
            resolution = self._resolution(name)
            rank[name] = seen[resolution] = seen.get(resolution, -1) + 1
        # the best of each resolution, the highest resolution first, then the second best
        return sorted(ordered, key=lambda name: (rank[name], -self._resolution(name)))

    def _observation(self, name: str) -> Observation:
        stage = self.candidates[name].generation, self._resolution(name), self._target
        return Observation(name, stage, self._grown[name], log(max(self._score(name).value, SMALLEST)))

    def _resolution(self, name: str) -> int:
        return self.candidates[name].architecture.resolution

    def _score(self, name: str) -> Score:
        score = self.scores[name]
        assert score is not None
        return score

    def _key(self, name: str) -> float:
        score = self._score(name)
        if self._rank_by == "pooled":
            return self._estimates[name]
        if self._rank_by != "normalized":
            return score.value
        if score.baseline is None or score.baseline <= 0:
            raise ValueError(f"only a positive baseline can normalize a score, got {score.baseline}")
        return score.value / score.baseline
