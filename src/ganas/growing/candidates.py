"""Candidates of a growing search as data, each a run in RUN/candidates/ID. No torch here.

Its ``spec.json`` says what to train; its ``result.json``, which is written last, how the training ended.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Literal

from ganas.document import parsing, read_record, write_record
from ganas.growing.architecture import SIDES
from ganas.growing.autogan import GANArchitecture, read_architecture
from ganas.jobs.result import Result, forget_last_scores, read_result
from ganas.store import Run

COPIED = "copied"  # a fact of results
RETRAIN = "remove its folder to train it again"

State = Literal["pending", "running", "done", "failed", "stopped"]  # stopped: at a rung of a race


@dataclass(frozen=True)
class Spec:
    """The input of a candidate's training, besides the config of the run."""

    id: str
    architecture: GANArchitecture
    parent: str | None  # id of the candidate whose weights are inherited
    action: str | None  # that grew it from its parent; None: a base, or its parent with more training
    generation: int  # actions since the base
    seed: int  # of all randomness in its training
    images: int  # of the whole training: what schedules follow, wherever a job stops
    evaluations: int = 1  # scores at equal distances, of which the best one's weights are kept

    def to_json(self) -> str:
        """The text of a ``spec.json``."""
        return write_record(asdict(self) | {"architecture": self.architecture.to_document()})

    @classmethod
    def from_json(cls, text: str, origin: str) -> "Spec":
        """Read what `to_json` wrote; raises `RunError` that names `origin`."""
        document = read_record(text, origin, "spec", RETRAIN)
        with parsing(origin, way_out=RETRAIN):
            architecture = read_architecture(document.pop("architecture"), origin)
            return cls(architecture=architecture, **document)


def read_spec(candidate: Run) -> Spec:
    """Read the spec of a candidate; raises `RunError`."""
    return Spec.from_json(candidate.spec.read_text(encoding="utf-8"), str(candidate.spec))


def candidates(run: Run) -> Iterator[tuple[Spec, Result | None]]:
    """Yield every candidate in a run's folder with its result, sorted by id."""
    for folder in sorted(path for path in run.candidates.glob("*") if path.is_dir()):
        candidate = Run(folder)
        if candidate.spec.is_file():
            yield read_spec(candidate), read_result(candidate)


def copied(result: Result) -> Result:
    """A result as it is taken over from another run, which paid for it."""
    return replace(result, facts={**result.facts, COPIED: True})


def paid_for(results: Iterable[Result | None]) -> list[Result]:
    """The results that a run trained for itself: only these belong in sums of images and time."""
    return [result for result in results if result and not result.facts.get(COPIED)]


def forget_failures(run: Run) -> None:
    """Let the next call train all failed candidates of a run again: what made them fail may have been fixed."""
    for folder in map(Run, run.candidates.glob("*")):
        if (result := read_result(folder)) and result.state == "failed":
            forget_last_scores(folder)


def score_of(result: Result, images: int | None = None) -> float | None:
    """The score of the EMA generator at the end, or at an earlier target in images; None if the training failed."""
    earlier = {int(reached): scores for reached, scores in result.facts.get("earlier", {}).items()}
    reached = min((reached for reached in earlier if images and reached >= images), default=None)  # by whole batches
    return next(iter((result.scores if reached is None else earlier[reached]).values()), None)


def is_finished(spec: Spec, result: Result) -> bool:
    """Whether a candidate was trained to its end: it did not fail, and no race stopped it before."""
    return result.state == "done" and (result.images >= spec.images or result.ended)


def best_by_resolution(trained: Iterable[tuple[Spec, Result]]) -> dict[int, str]:
    """The ids of the best finished candidates at each resolution.

    A search keeps the weights of these, so whoever needs the weights of the best must ask here which ones they are.
    """
    finished = [(spec, score_of(result)) for spec, result in trained if is_finished(spec, result)]

    def rank(one: tuple[Spec, float | None]) -> tuple[float, str]:
        spec, score = one
        return math.inf if score is None or math.isnan(score) else score, spec.id  # min() cannot order NaN

    return {spec.architecture.resolution: spec.id for spec, _ in sorted(finished, key=rank, reverse=True)}


def work(spec: Spec) -> int:
    """Multiply-accumulates for all images of a candidate in both networks; training time is proportional to it."""
    return spec.images * sum(spec.architecture.macs(side) for side in SIDES)


def cost(architecture: GANArchitecture) -> dict[str, dict[str, int]]:
    """Parameters and multiply-accumulates of both networks."""
    return {side: {"parameters": architecture.parameters(side), "macs": architecture.macs(side)} for side in SIDES}
