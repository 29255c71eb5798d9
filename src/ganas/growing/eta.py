"""How long a run will go on, judged by how long its candidates took. No torch here."""

from collections.abc import Iterable, Mapping
from statistics import mean

from ganas.growing.candidates import Spec, work
from ganas.jobs.result import Result


def seconds_left(
    specs: Iterable[Spec],  # to be trained yet
    done: Mapping[str, tuple[Spec, Result]],
    capacity: int,  # trained at once
) -> float | None:
    """An estimate; None where nothing is known yet.

    Training is taken to be in proportion to a candidate's multiply-accumulates and images, at the rate seen at its
    resolution, or at the next lower one; starting and measuring take as long as they did.
    """
    seen: dict[int, list[tuple[float, float, float]]] = {}  # resolution -> work, seconds of it, seconds beside it
    for spec, result in done.values():
        if result.state == "done" and result.seconds > 0:
            seen.setdefault(spec.architecture.resolution, []).append(
                (work(spec), result.seconds, result.took - result.seconds)
            )
    if not seen:
        return None

    def expected(spec: Spec) -> float:
        below = [resolution for resolution in seen if resolution <= spec.architecture.resolution]
        alike = seen[max(below, default=min(seen))]
        rate = sum(seconds for _, seconds, _ in alike) / sum(works for works, _, _ in alike)
        return work(spec) * rate + mean(beside for _, _, beside in alike)

    return sum(map(expected, specs)) / capacity
