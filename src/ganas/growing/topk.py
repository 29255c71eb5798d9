"""Top-K greedy pruning (DGGAN, algorithm 1): which candidates to train, and which of them become parents.

Once every candidate of a generation has a score, the K best are the parents of the next generation. All randomness is
a hash of (seed, parent, action), so nothing depends on the order in which candidates finish. No torch, no files.
"""

import hashlib
from collections.abc import Sequence
from math import isfinite
from typing import Literal

from ganas.growing.actions import Action, Space
from ganas.growing.architecture import GrowthArchitecture
from ganas.growing.strategy import CONTINUE, Candidate, Score

RankBy = Literal["normalized", "per_resolution", "raw"]
MAX_SAMPLES = 1000  # attempts to sample at least one action


class TopK:
    """The search as a `GrowingStrategy`; every candidate is trained once, for all its images."""

    def __init__(
        self,
        initial: Sequence[GrowthArchitecture],
        space: Space,
        *,
        images: int,  # training images of every candidate
        keep: int,  # K: parents per generation
        probability: float,  # p: probability that a parent's action is tried
        seed: int,
        rank_by: RankBy = "normalized",
        random: bool = False,  # random parents instead of the best: the baseline every search needs
    ) -> None:
        if keep < 1 or not 0 < probability <= 1:
            raise ValueError(f"keep must be at least 1 and probability in (0, 1], got {keep=}, {probability=}")
        self._space, self._images, self._keep, self._probability = space, images, keep, probability
        self._seed, self._rank_by, self._random = seed, rank_by, random
        self._asked = [Candidate(architecture.id, architecture) for architecture in initial]  # this generation
        self.candidates: dict[str, Candidate] = {candidate.id: candidate for candidate in self._asked}
        self.scores: dict[str, Score | None] = {}
        self.beams: list[list[str]] = []

    def ask(self) -> list[tuple[Candidate, int]]:
        """The candidates of this generation without a score; none: the search is over."""
        return [(candidate, self._images) for candidate in self._asked if candidate.id not in self.scores]

    def tell(self, candidate: str, images: int, score: Score | None) -> None:
        """Record a score; the last of a generation starts the next one."""
        if candidate not in self.candidates or candidate in self.scores or images != self._images:
            raise ValueError(f"no score of candidate {candidate!r} after {images} images is expected")
        self.scores[candidate] = score if score and isfinite(score.value) else None
        if not self.ask():
            self._next_generation()

    def may_continue(self, candidate: str) -> bool:
        """Never: every candidate is trained for all its images at once."""
        return False

    def winner(self) -> Candidate | None:
        """The best at the final resolution, or at the highest reached so far."""
        alive = [(self.candidates[name], score) for name, score in self.scores.items() if score]
        if not alive:
            return None
        highest = max(candidate.architecture.resolution for candidate, _ in alive)
        rivals = [(score.value, c.id) for c, score in alive if c.architecture.resolution == highest]
        return self.candidates[min(rivals)[1]]

    # ── a generation ────────────────────────────────────────────────────────────────────────────────────────────────

    def _next_generation(self) -> None:
        beam = self._survivors()
        self.beams.append(beam)
        self._asked = self._children([self.candidates[name] for name in beam])
        self.candidates |= {candidate.id: candidate for candidate in self._asked}

    def _survivors(self) -> list[str]:
        """The K best of this generation, or K random ones; all of the initial candidates."""
        alive = [candidate.id for candidate in self._asked if self.scores[candidate.id]]
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
            resolution = self.candidates[name].architecture.resolution
            rank[name] = seen[resolution] = seen.get(resolution, -1) + 1
        # the best of each resolution, the highest resolution first, then the second best
        return sorted(ordered, key=lambda name: (rank[name], -self.candidates[name].architecture.resolution))

    def _key(self, name: str) -> float:
        score = self.scores[name]
        assert score is not None
        if self._rank_by != "normalized":
            return score.value
        if score.baseline is None or score.baseline <= 0:
            raise ValueError(f"only a positive baseline can normalize a score, got {score.baseline}")
        return score.value / score.baseline

    def _children(self, parents: Sequence[Candidate]) -> list[Candidate]:
        """Sample each parent's legal actions with probability p, again until there is at least one.

        A parent's only action is always tried: scores decide which parents survive, not chance.
        """
        legal = {p.id: [*self._space.legal(p.architecture, p.generation)] for p in parents}
        pairs = [(p, action) for p in parents for action in legal[p.id]]
        for attempt in range(MAX_SAMPLES if pairs else 0):
            luck = [uniform(self._seed, f"draw {attempt}", parent.id, action) for parent, action in pairs]
            sampled = [
                child(*pair)
                for pair, number in zip(pairs, luck, strict=True)
                if number < self._probability or len(legal[pair[0].id]) == 1
            ]
            if sampled:
                return sampled
        return [child(*pairs[luck.index(min(luck))])] if pairs else []  # p is nearly 0


def child(parent: Candidate, action: Action | None) -> Candidate:
    """A candidate's child by an action; None: its architecture, trained further."""
    grown = action(parent.architecture) if action else parent.architecture
    name = str(action or CONTINUE)
    return Candidate(child_id(parent.id, name), grown, parent.id, name, parent.generation + 1)


def child_id(parent: str, action: str) -> str:
    """The id of a candidate's child by an action, ten hex digits."""
    return _digest(parent, action).hex()[:10]


def training_seed(seed: int, candidate: Candidate) -> int:
    """The seed of everything random in the training of a candidate."""
    return int.from_bytes(_digest(seed, "training", candidate.parent, candidate.action or candidate.id)[:8], "big") >> 1


def uniform(*parts: object) -> float:
    """A number in [0, 1), a hash of the parts."""
    return int.from_bytes(_digest(*parts)[:8], "big") / 2**64


def _digest(*parts: object) -> bytes:
    return hashlib.sha256(" ".join(map(str, parts)).encode()).digest()
