"""The protocol of a growing search: ask for candidates, tell their scores. No torch, no files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from ganas.growing.architecture import GrowthArchitecture


@dataclass(frozen=True)
class Candidate:
    """An architecture with the weights it inherits: the same architecture from another parent is another candidate."""

    id: str  # ten hex digits; equal whenever base, actions and their order are
    architecture: GrowthArchitecture
    parent: str | None = None  # id; None: an initial candidate
    action: str | None = None
    generation: int = 0  # actions taken since the initial candidate
    repeat: int = 0  # from 1: the same once more, with a seed that all candidates have in common


@dataclass(frozen=True)
class Score:
    """The score of a trained candidate, lower is better."""

    value: float
    baseline: float | None = None  # the ProgGAN route's at the same resolution, after as many images at it


class GrowingStrategy(Protocol):
    """Decides which candidates are trained, and for how long.

    A strategy is a pure function of its settings and of the scores it received: their order must not matter, so that
    the same scores told to a new strategy reproduce its state. A killed search resumes this way.
    """

    @property
    def candidates(self) -> Mapping[str, Candidate]:
        """All candidates asked for so far, by id."""

    @property
    def scores(self) -> Mapping[str, Score | None]:
        """The last score of each candidate that has one; None: it failed."""

    @property
    def beams(self) -> Sequence[Sequence[str]]:
        """The ids of the parents of each finished generation, the best first. Only these have children."""

    def ask(self) -> Sequence[tuple[Candidate, int]]:
        """The candidates to train now, each with the images to reach in total; empty: the search is over.

        Repeats every pair until its score is told. Asked again with more images, a candidate resumes.
        """

    def tell(self, candidate: str, images: int, score: Score | None) -> None:
        """Record the score of a pair that was asked for. None, or a score that is not finite: it failed."""

    def may_continue(self, candidate: str) -> bool:
        """Whether the candidate may be asked for with more images than so far: keeps its checkpoints."""

    @property
    def finalists(self) -> Sequence[Candidate]:
        """The candidates that would be repeated if the search ended now: keeps their weights, and their parents'."""

    def winner(self) -> Candidate | None:
        """The best candidate so far."""
