"""Candidates of a growing search as plain records: what one is told, and how it ended. No torch.

RUN/candidates/ID/
  spec.json               what to train: architecture, parent, action, seed, images
  result.json             written last: state, scores, seconds
  checkpoints/, metrics.jsonl, samples/, log.txt
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

from ganas.errors import RunError
from ganas.nets.layers import SIDES, GrowthArchitecture
from ganas.store import Run

SCHEMA = 1

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
        document = {"schema": SCHEMA} | asdict(self) | {"architecture": json.loads(self.architecture.to_json())}
        return json.dumps(document, indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str, origin: str) -> "Spec":
        """Read what `to_json` wrote; raises `RunError` that names `origin`."""
        try:
            document = json.loads(text)
            if document.pop("schema") != SCHEMA:
                raise ValueError("it is of another version of ganas")
            architecture = GrowthArchitecture.from_json(json.dumps(document.pop("architecture")), origin)
            return cls(architecture=architecture, **document)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise RunError(f"{origin} is damaged ({error}): remove its folder, and it is trained again") from None


@dataclass(frozen=True)
class Result:
    """How the training of a candidate ended."""

    state: Literal["done", "failed"]
    images: int = 0  # seen
    seconds: float = 0.0  # of training, measuring not counted
    elapsed: float = 0.0  # seconds from the start of its worker to its end; of one that was begun again, of the last
    start: float | None = None  # score before the first step, of what was inherited
    end: float | None = None  # score of the averaged generator after the last one
    metric: str | None = None  # key of both
    error: str | None = None  # failed: one line, and where to read more

    @property
    def took(self) -> float:
        """Seconds; of one that was begun again at least those of all its training."""
        return max(self.elapsed, self.seconds)

    def to_json(self) -> str:
        """The text of a ``result.json``."""
        return json.dumps({"schema": SCHEMA} | asdict(self), indent=1) + "\n"


def failure(candidate: Run, error: str) -> Result:
    """What is kept of a training that came to nothing: why, and how far its metrics say that it had come.

    Of a job that has none (a recipe's have runs of their own) only why.
    """
    begun = (item for line in candidate.read_metrics() if line["nimg"] == 0 for item in line.get("scores", {}).items())
    metric, start = next(begun, (None, None))
    images, seconds = training_of(candidate)
    return Result("failed", images=images, seconds=seconds, start=start, metric=metric, error=error)


def training_of(run: Run) -> tuple[int, float]:
    """How many images a run's metrics say that it has seen, and the seconds of steps and of waiting for images."""
    lines = run.read_metrics()
    seconds = sum(line.get("step_seconds", 0.0) + line.get("wait_seconds", 0.0) for line in lines)
    return lines[-1]["nimg"] if lines else 0, round(seconds, 3)


def read_spec(candidate: Run) -> Spec:
    """What a candidate was told; raises `RunError`."""
    return Spec.from_json(candidate.spec.read_text(encoding="utf-8"), str(candidate.spec))


def read_result(candidate: Run) -> Result | None:
    """How a candidate ended; None before it has, or where the file is half of one: then it has not."""
    try:
        document: dict[str, Any] = json.loads(candidate.result.read_text(encoding="utf-8"))
        document.pop("schema")
        return Result(**document)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def candidates(run: Run) -> Iterator[tuple[Spec, Result | None]]:
    """Everything that was tried in a run, as it lies there, by id."""
    for folder in sorted(path for path in run.candidates.glob("*") if path.is_dir()):
        candidate = Run(folder)
        if candidate.spec.is_file():
            yield read_spec(candidate), read_result(candidate)


def work(spec: Spec) -> int:
    """Multiply-accumulates of a candidate's images through both networks: its training takes time in proportion."""
    return spec.images * sum(spec.architecture.macs(side) for side in SIDES)


def cost(architecture: GrowthArchitecture) -> dict[str, dict[str, int]]:
    """Parameters and multiply-accumulates of both networks."""
    return {side: {"parameters": architecture.parameters(side), "macs": architecture.macs(side)} for side in SIDES}
