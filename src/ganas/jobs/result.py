"""How a job ended, as its ``result.json`` has it."""

import json
from dataclasses import asdict, dataclass
from typing import Any, Literal

from ganas.store import Run

SCHEMA = 1


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


def read_result(candidate: Run) -> Result | None:
    """How a candidate ended; None before it has, or where the file is half of one: then it has not."""
    try:
        document: dict[str, Any] = json.loads(candidate.result.read_text(encoding="utf-8"))
        document.pop("schema")
        return Result(**document)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None
