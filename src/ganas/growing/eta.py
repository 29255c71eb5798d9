"""Estimate the time left of a growing search from the times of its candidates. No torch here."""

from collections.abc import Iterable, Mapping
from statistics import mean

from ganas.growing.candidates import Spec, work
from ganas.jobs.result import Result


def seconds_left(
    specs: Iterable[Spec],  # not trained yet
    done: Mapping[str, tuple[Spec, Result]],
    capacity: int,  # candidates trained at once
) -> float | None:
    """Estimate the seconds left; None before any candidate has finished.

    Training time is taken as proportional to a candidate's multiply-accumulates times its images, at the rate seen at
    its resolution, or at the next lower one; startup and scoring take as long as the average so far.
    """
    seen: dict[int, list[tuple[float, float, float]]] = {}  # resolution -> work, its seconds, overhead
    for spec, result in done.values():
        if result.state == "done" and result.seconds > 0:
            seen.setdefault(spec.architecture.resolution, []).append(
                (work(spec), result.seconds, result.took - result.seconds)
            )
    if not seen:
        return None

    def expected(spec: Spec) -> float:
        below = [resolution for resolution in seen if resolution <= spec.architecture.resolution]
        similar = seen[max(below, default=min(seen))]
        rate = sum(seconds for _, seconds, _ in similar) / sum(works for works, _, _ in similar)
        return work(spec) * rate + mean(overhead for _, _, overhead in similar)

    return sum(map(expected, specs)) / capacity
