"""The forecast of a growing search counts every candidate that it trains, and none twice."""

from pathlib import Path

import pytest
from test_runner import Oracle, config, run

from ganas.config import DataFacts
from ganas.growing.baseline_cache import BaselineCache
from ganas.growing.config import resolve
from ganas.growing.forecast import Timing, forecast
from ganas.growing.plan import baseline_route
from ganas.machine import Machine


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ganas.jobs.queue.POLL_SECONDS", 0)
    monkeypatch.setattr("ganas.growing.forecast._measure", lambda *_: Timing(0.1, 1.0, 1))
    monkeypatch.setattr("ganas.growing.forecast._start_seconds", lambda: 1.0)


@pytest.mark.parametrize("depth, gap", [(4, None), (4, 1), (4, 3), (4, -1), (2, None)])
def test_candidates_of_the_route_are_free_where_no_later_one_needs_their_weights(
    cache: Path, tmp_path: Path, depth: int, gap: int | None
) -> None:
    given = config(**{"growth.probability": 0.5, "growth.depth": depth, "metrics.images": 8})
    settings = resolve(given, Machine(), DataFacts({"data.digest": "0"}))
    run(tmp_path / "first", Oracle(2), settings)
    route = baseline_route(settings)[1:]
    expected = [] if gap is None else route[: route.index(route[gap]) + 1]
    if depth == 2:  # the search can only fade in, too
        expected = route
    if gap is not None:
        BaselineCache(cache, settings)._entry(route[gap]).result.unlink()
    forecasted = forecast(settings)
    assert forecasted.cached == len(route) - len(expected)
    again = Oracle(2)
    run(tmp_path / "again", again, settings)
    assert {spec.id for spec in route} <= {path.name for path in (tmp_path / "again" / "candidates").iterdir()}
    assert {spec.id for spec in route} & set(again.trained) == {spec.id for spec in expected}
