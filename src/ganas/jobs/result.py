"""How a job ended, as stored in its ``result.json``."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from ganas.errors import RunError
from ganas.store import Run

SCHEMA = 2


@dataclass(frozen=True)
class Result:
    """How a job ended. Whoever defines the kind of job defines its scores and facts."""

    state: Literal["done", "failed"]
    images: int = 0  # seen
    seconds: float = 0.0  # of training, without evaluation
    elapsed: float = 0.0  # wall-clock seconds of its worker; of a resumed job: of its last worker
    # by metric key, after the last image; of a job that keeps the best of several evaluations, of that one
    scores: Mapping[str, float] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)  # JSON values
    error: str | None = None  # failed: one line, with the path of the log
    ended: bool = False  # of itself, before its target: it needs no more images
    memory: int = 0  # bytes of its own that its last worker held at most, or of its GPU; 0: unknown

    @property
    def took(self) -> float:
        """Seconds in total; a lower bound if the job was resumed."""
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


def forget_last_scores(folder: Run) -> None:
    """Go back to how a job was at its last smaller target, so that it runs again and keeps its earlier scores.

    That is also the way to try a failed job again.
    """
    result = read_result(folder)
    earlier = dict(result.facts.get("earlier", {})) if result else {}
    if not result or not earlier:
        return folder.result.unlink(missing_ok=True)
    images = max(map(int, earlier))
    scores = earlier.pop(str(images))
    facts = {**result.facts, "earlier": earlier}
    kept = replace(result, state="done", error=None, images=images, scores=scores, facts=facts)
    folder.write_text(folder.result, kept.to_json())


def failure(folder: Run, error: str) -> Result:
    """The result of a failed job: the error, the training done according to its metrics, and its initial score."""
    initial = (s for line in folder.read_metrics() if line["nimg"] == 0 for s in line.get("scores", {}).values())
    start = next(initial, None)
    images, seconds = training_progress(folder)
    facts = {} if start is None else {"start": start}
    return Result("failed", images=images, seconds=seconds, facts=facts, error=error)


def training_progress(run: Run) -> tuple[int, float]:
    """Images seen and seconds of training, including waits for images, according to a run's metrics."""
    lines = run.read_metrics()
    seconds = sum(line.get("step_seconds", 0.0) + line.get("wait_seconds", 0.0) for line in lines)
    return lines[-1]["nimg"] if lines else 0, round(seconds, 3)


def read_result(folder: Run) -> Result | None:
    """Read how a job ended; None if it has not, or if the file is incomplete. Raises `RunError` for another schema."""
    try:
        document: dict[str, Any] = json.loads(folder.result.read_text(encoding="utf-8"))
        schema = document.pop("schema")
        if schema == SCHEMA:
            return Result(**document)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None
    raise RunError(
        f"{str(folder.result)!r} was written by another version of ganas (schema {schema}, not {SCHEMA}): resume with "
        f"that version, or choose another --out"
    )
