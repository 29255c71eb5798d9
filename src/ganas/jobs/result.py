"""How a job ended, as its ``result.json`` has it."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from ganas.errors import RunError
from ganas.store import Run

SCHEMA = 2


@dataclass(frozen=True)
class Result:
    """How a job ended. What its scores and facts mean is known to whoever defined its kind."""

    state: Literal["done", "failed"]
    images: int = 0  # seen
    seconds: float = 0.0  # of training, measuring not counted
    elapsed: float = 0.0  # seconds from the start of its worker to its end; of one that was resumed, of the last
    scores: Mapping[str, float] = field(default_factory=dict)  # after the last image, by metric key
    facts: Mapping[str, Any] = field(default_factory=dict)  # JSON values
    error: str | None = None  # failed: one line, and where to read more

    @property
    def took(self) -> float:
        """Seconds; of one that was resumed at least those of all its training."""
        return max(self.elapsed, self.seconds)

    def to_json(self) -> str:
        """The text of a ``result.json``."""
        return json.dumps({"schema": SCHEMA} | asdict(self), indent=1) + "\n"


def write_result(folder: Run, result: Result) -> None:
    """Write how a job ended; its scores at smaller targets stay among the facts, as ``earlier``, by images."""
    if before := read_result(folder):
        earlier = {**before.facts.get("earlier", {}), str(before.images): before.scores}
        result = replace(result, facts={**result.facts, "earlier": earlier})
    folder.write_text(folder.result, result.to_json())


def failure(folder: Run, error: str) -> Result:
    """The result of a job that failed: why, how far its metrics say that it came, and the score it started with."""
    begun = (score for line in folder.read_metrics() if line["nimg"] == 0 for score in line.get("scores", {}).values())
    start = next(begun, None)
    images, seconds = training_of(folder)
    facts = {} if start is None else {"start": start}
    return Result("failed", images=images, seconds=seconds, facts=facts, error=error)


def training_of(run: Run) -> tuple[int, float]:
    """How many images a run's metrics say that it has seen, and the seconds of steps and of waiting for images."""
    lines = run.read_metrics()
    seconds = sum(line.get("step_seconds", 0.0) + line.get("wait_seconds", 0.0) for line in lines)
    return lines[-1]["nimg"] if lines else 0, round(seconds, 3)


def read_result(folder: Run) -> Result | None:
    """How a job ended; None before it has, or where the file is cut off. Raises `RunError` for another version's."""
    try:
        document: dict[str, Any] = json.loads(folder.result.read_text(encoding="utf-8"))
        schema = document.pop("schema")
        if schema == SCHEMA:
            return Result(**document)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None
    raise RunError(
        f"{str(folder.result)!r} is of another version of ganas (schema {schema}, not {SCHEMA}): go on with that one, "
        f"or choose another --out"
    )
