"""Top-K greedy pruning (DGGAN, algorithm 1): which candidates to train, and which of them may have children.

`TopK.ask` names the candidates of a generation, `TopK.tell` takes their scores in any order; once all are told, the K
best are the parents of the next generation. Everything random is a hash of (seed, parent, action): nothing depends on
the order in which candidates end, and told again what was told, a new `TopK` stands where the old one stood.
No torch, no files.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Literal

from ganas.growing.actions import Action, Space
from ganas.growing.architecture import GrowthArchitecture

RankBy = Literal["normalized", "per_resolution", "raw"]
DRAWS = 1000  # as often an empty draw is drawn again

Survival = Literal["best", "random"]  # random: parents are drawn, not chosen; the baseline that every search needs


@dataclass(frozen=True)
class Candidate:
    """An architecture with the weights it inherits: the same architecture from another parent is another candidate."""

    id: str  # ten hex digits; equal whenever base, actions and their order are
    architecture: GrowthArchitecture
    parent: str | None = None  # id; None: an initial candidate
    action: str | None = None
    generation: int = 0  # actions taken since the initial candidate


@dataclass(frozen=True)
class Score:
    """What a trained candidate is worth, the lower the better."""

    value: float
    baseline: float | None = None  # the ProgGAN route's at the same resolution, after as many images at it


class TopK:
    """One search: ask, tell, until nothing is asked."""

    def __init__(
        self,
        initial: Sequence[GrowthArchitecture],
        space: Space,
        *,
        keep: int,  # K: parents a generation
        probability: float,  # p: that a parent's action is tried
        seed: int,
        rank_by: RankBy = "normalized",
        survival: Survival = "best",
    ) -> None:
        if keep < 1 or not 0 < probability <= 1:
            raise ValueError(f"keep must be at least 1 and probability in (0, 1], got {keep=}, {probability=}")
        self._space, self._keep, self._probability, self._seed = space, keep, probability, seed
        self._rank_by, self._survival = rank_by, survival
        self.candidates: dict[str, Candidate] = {}  # all that were ever asked for
        self.scores: dict[str, Score | None] = {}  # of those told; None: it failed
        self.beams: list[list[str]] = []  # the parents of each generation that is over, the best first
        self._asked = [Candidate(architecture.id, architecture) for architecture in initial]
        self._know()

    def ask(self) -> list[Candidate]:
        """The candidates of this generation that were not told yet; none: the search is over."""
        return [candidate for candidate in self._asked if candidate.id not in self.scores]

    def tell(self, candidate: str, score: Score | None) -> None:
        """The score of one that was asked for; None, or one that is no number: it failed."""
        if candidate not in self.candidates or candidate in self.scores:
            raise ValueError(f"candidate {candidate!r} is not waited for")
        self.scores[candidate] = score if score and isfinite(score.value) else None
        if not self.ask():
            self._next_generation()

    @property
    def generation(self) -> int:
        """Actions that the candidates asked for have taken."""
        return len(self.beams)

    def winner(self) -> Candidate | None:
        """The best at the final resolution; before there is one, at the highest there is."""
        alive = [(self.candidates[name], score) for name, score in self.scores.items() if score]
        if not alive:
            return None
        highest = max(candidate.architecture.resolution for candidate, _ in alive)
        rivals = [(score.value, c.id) for c, score in alive if c.architecture.resolution == highest]
        return self.candidates[min(rivals)[1]]

    # ── a generation ────────────────────────────────────────────────────────────────────────────────────────────────

    def _know(self) -> None:
        self.candidates.update({candidate.id: candidate for candidate in self._asked})

    def _next_generation(self) -> None:
        beam = self._survivors()
        self.beams.append(beam)
        self._asked = self._children([self.candidates[name] for name in beam])
        self._know()

    def _survivors(self) -> list[str]:
        """The K best of the generation just told, or K drawn of it; of the initial candidates all."""
        alive = [candidate.id for candidate in self._asked if self.scores[candidate.id]]
        if not self.beams:
            return self.ranked(alive)
        if self._survival == "random":
            return sorted(alive, key=lambda name: uniform(self._seed, "survival", name))[: self._keep]
        return self.ranked(alive)[: self._keep]

    def ranked(self, names: Sequence[str]) -> list[str]:
        """Candidates that did not fail, the best first; equal ones by id."""
        ordered = sorted(names, key=lambda name: (self._key(name), name))
        if self._rank_by != "per_resolution":
            return ordered
        place: dict[str, int] = {}
        seen: dict[int, int] = {}
        for name in ordered:
            resolution = self.candidates[name].architecture.resolution
            place[name] = seen[resolution] = seen.get(resolution, -1) + 1
        # the best of each resolution, the highest first, then the second ones
        return sorted(ordered, key=lambda name: (place[name], -self.candidates[name].architecture.resolution))

    def _key(self, name: str) -> float:
        score = self.scores[name]
        assert score is not None
        if self._rank_by != "normalized":
            return score.value
        if score.baseline is None or score.baseline <= 0:
            raise ValueError(f"a score can be normalised by a positive baseline alone, got {score.baseline}")
        return score.value / score.baseline

    def _children(self, parents: Sequence[Candidate]) -> list[Candidate]:
        """Each parent's legal actions, each with the probability p; an empty draw is drawn again.

        The only action of a parent is always tried: which parents are kept is for their scores to say, not for a lot.
        """
        legal = {p.id: [*self._space.legal(p.architecture, p.generation)] for p in parents}
        pairs = [(p, str(action), action) for p in parents for action in legal[p.id]]
        for attempt in range(DRAWS if pairs else 0):
            luck = [uniform(self._seed, f"draw {attempt}", parent.id, name) for parent, name, _ in pairs]
            drawn = [
                _child(*pair)
                for pair, number in zip(pairs, luck, strict=True)
                if number < self._probability or len(legal[pair[0].id]) == 1
            ]
            if drawn:
                return drawn
        return [_child(*pairs[luck.index(min(luck))])] if pairs else []  # p is nearly 0: one at least


def _child(parent: Candidate, name: str, action: Action) -> Candidate:
    grown = action(parent.architecture)
    return Candidate(child_id(parent.id, name), grown, parent.id, name, parent.generation + 1)


def child_id(parent: str, action: str) -> str:
    """Ten hex digits for what an action makes of a candidate."""
    return _digest(parent, action).hex()[:10]


def training_seed(seed: int, candidate: Candidate) -> int:
    """Of everything random in the training of a candidate."""
    return int.from_bytes(_digest(seed, "training", candidate.parent, candidate.action or candidate.id)[:8], "big") >> 1


def uniform(*parts: object) -> float:
    """A number in [0, 1) that depends on the parts alone."""
    return int.from_bytes(_digest(*parts)[:8], "big") / 2**64


def _digest(*parts: object) -> bytes:
    return hashlib.sha256(" ".join(map(str, parts)).encode()).digest()
