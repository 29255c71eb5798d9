"""Candidates of a growing search as plain records: what one is told, and how it ended. No torch.

RUN/candidates/ID/
  spec.json               what to train: architecture, parent, action, seed, images
  result.json             written last: state, scores, seconds
  checkpoints/, metrics.jsonl, samples/, log.txt
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Literal

from ganas.document import parsing, read_document, write_record
from ganas.growing.architecture import SIDES, GrowthArchitecture
from ganas.jobs.result import Result, read_result
from ganas.store import Run

TRAIN_AGAIN = "remove its folder, and it is trained again"

State = Literal["pending", "running", "done", "failed"]


@dataclass(frozen=True)
class Spec:
    """What a worker needs to know of its candidate, beside the config of the run."""

    id: str
    architecture: GrowthArchitecture
    parent: str | None  # id of the candidate whose weights are inherited
    action: str | None  # that made it of its parent's architecture; None: a base, or its parent trained on
    generation: int  # actions since the base
    seed: int  # of everything random in its training
    images: int  # to see

    @property
    def fades(self) -> bool:
        """Whether a doubling is to be blended in."""
        return self.action == "fade"

    def to_json(self) -> str:
        """The text of a ``spec.json``."""
        return write_record(asdict(self) | {"architecture": self.architecture.to_document()})

    @classmethod
    def from_json(cls, text: str, origin: str) -> "Spec":
        """Read what `to_json` wrote; raises `RunError` that names `origin`."""
        document = read_document(text, origin, "spec", way_out=TRAIN_AGAIN)
        with parsing(origin, way_out=TRAIN_AGAIN):
            architecture = GrowthArchitecture.from_document(document.pop("architecture"), origin)
            return cls(architecture=architecture, **document)


def read_spec(candidate: Run) -> Spec:
    """What a candidate was told; raises `RunError`."""
    return Spec.from_json(candidate.spec.read_text(encoding="utf-8"), str(candidate.spec))


def candidates(run: Run) -> Iterator[tuple[Spec, Result | None]]:
    """Everything that was tried in a run, as it lies there, by id."""
    for folder in sorted(path for path in run.candidates.glob("*") if path.is_dir()):
        candidate = Run(folder)
        if candidate.spec.is_file():
            yield read_spec(candidate), read_result(candidate)


def score_of(result: Result) -> float | None:
    """Of the averaged generator after the last step; None where the training failed."""
    return next(iter(result.scores.values()), None)


def work(spec: Spec) -> int:
    """Multiply-accumulates of a candidate's images through both networks: its training takes time in proportion."""
    return spec.images * sum(spec.architecture.macs(side) for side in SIDES)


def cost(architecture: GrowthArchitecture) -> dict[str, dict[str, int]]:
    """Parameters and multiply-accumulates of both networks."""
    return {side: {"parameters": architecture.parameters(side), "macs": architecture.macs(side)} for side in SIDES}
