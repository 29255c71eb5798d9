"""How far a run is, and whether it is healthy, from its record. No torch."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from ganas.progress import readable_seconds
from ganas.records import Point, RunRecord, State
from ganas.report.blocks import Fact, Tone

RECENT = 6  # lines of the log that throughput is taken from
SLOW_IMAGES = 0.1  # waits for images beyond this share of the time are worth a note
WON = 0.02  # discriminators whose loss is below this share of its first value have won: generators learn nothing
STATES: Mapping[State, tuple[str, Tone]] = {
    "finished": ("finished", "good"),
    "running": ("running", "good"),
    "unfinished": ("stopped before its end: interrupted or killed", "fair"),
    "failed": ("failed", "bad"),
}


@dataclass(frozen=True)
class Pace:
    """How fast a training goes."""

    rate: float | None  # images a second; None: unknown
    share: float | None  # done
    seconds_left: float | None


def pace(points: Sequence[Point], images: int, total: int | None) -> Pace:
    """Return the pace over the last lines of the log; a pause between two sessions does not count."""
    timed = [point for point in points if "time" in point.values and "step_seconds" in point.values][-RECENT:]
    rates = [
        (after.images - before.images) / seconds
        for before, after in itertools.pairwise(timed)
        if (seconds := after.values["time"] - before.values["time"]) > 0
    ]
    rate = median(rates) if rates else None
    left = (total - images) / rate if total and rate else None
    return Pace(rate, min(1.0, images / total) if total else None, left)


def progress_fact(record: RunRecord, total: int | None, unit: str) -> Fact:
    """How far is it?"""
    now = pace(record.points, record.images, total)
    state, tone = STATES[record.state]
    of = f" of {total:,}" if total else ""
    details = [f"{record.images:,}{of} {unit} seen"]
    if record.state == "running" and now.seconds_left is not None:
        details.append(f"about {readable_seconds(now.seconds_left)} left")
    if now.rate:
        details.append(f"{now.rate:.3g} {unit} a second")
    if spent := seconds_of(record.points):
        details.append(f"{readable_seconds(spent)} of training{' so far' * (record.state != 'finished')}")
    if record.state in ("unfinished", "failed"):
        details.append(
            "the same command resumes from its last checkpoint" if record.images else "the same command begins it"
        )
    answer = f"{now.share:.0%}, {state}" if now.share is not None else state
    return Fact("How far is it?", answer, tone, tuple(details))


def seconds_of(points: Sequence[Point]) -> float:
    """Seconds of steps and of waiting for images."""
    return sum(point.values.get("step_seconds", 0.0) + point.values.get("wait_seconds", 0.0) for point in points)


def health_fact(record: RunRecord) -> Fact:
    """Is it healthy?"""
    points, troubles, notes = record.points, list[str](), list[str]()
    if record.trace.error:
        return Fact("Is it healthy?", "no", "bad", (record.trace.error,))
    lines = [point for point in points if any(name.startswith("loss/") for name in point.values)]
    if not lines:
        return Fact("Is it healthy?", "too early to tell", "plain", ("no losses were logged yet",))
    first, last = lines[0].values, lines[-1].values
    for name in sorted(name for name in last if name.startswith("loss/discriminator")):
        if 0 <= last[name] < WON * first.get(name, 0):
            troubles.append(
                f"{name.removeprefix('loss/')} is near zero: the discriminator has won, and its generator learns little"
            )
    cycle = [sum(v for k, v in values.items() if k.startswith("loss/cycle")) for values in (first, last)]
    if len(lines) > 1 and cycle[0]:
        verb = "fell" if cycle[1] < cycle[0] else "rose"
        notes.append(f"the cycle losses {verb} from {cycle[0]:.3g} to {cycle[1]:.3g}")
        if verb == "rose":
            troubles.append("the cycle losses do not fall")
    waited = sum(point.values.get("wait_seconds", 0.0) for point in lines[1:])
    if (spent := seconds_of(lines[1:])) and waited > SLOW_IMAGES * spent:
        troubles.append(f"{waited / spent:.0%} of the time goes into waiting for images: raise data.workers")
    notes.append("all losses are finite")
    tone: Tone = "fair" if troubles else "good"
    return Fact("Is it healthy?", "look at this" if troubles else "yes", tone, (*troubles, *notes))
