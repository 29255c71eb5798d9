"""The search over an executor that answers by itself: which candidates, in whatever order, after whatever stop."""

import random
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from ganas.candidates import Result, Spec, read_result, read_spec
from ganas.config import GrowConfig
from ganas.errors import ConfigError, RunError, Stopped
from ganas.executors.base import Ended
from ganas.presets import make_grow_config
from ganas.progress import Reporter, StopSignal
from ganas.searching.plan import proggan_steps, route_specs, space_of
from ganas.searching.runner import GrowResult, Growth, SearchFailedError
from ganas.searching.topk import uniform
from ganas.store import Run


class Oracle:
    """Jobs end in a random order with scores that are a hash of their id; `killed` after so many."""

    def __init__(
        self,
        capacity: int,
        seed: int = 0,
        killed: int | None = None,
        fails: Callable[[Spec], bool] = lambda spec: False,
    ) -> None:
        self.capacity, self._killed, self._fails = capacity, killed, fails
        self._random = random.Random(seed)
        self._running: list[Path] = []
        self.trained: list[str] = []

    def submit(self, job: Path) -> None:
        spec = read_spec(Run(job))
        assert len(self._running) < self.capacity
        if spec.parent:
            assert Run(job.parent / spec.parent).final.exists(), "its parent's weights are there"
        self._running.append(job)

    def poll(self) -> Sequence[Ended]:
        if not self._running or self._random.random() < 0.3:
            return []
        if self._killed is not None and len(self.trained) >= self._killed:
            raise KeyboardInterrupt
        job = self._running.pop(self._random.randrange(len(self._running)))
        candidate = Run(job)
        spec = read_spec(candidate)
        self.trained.append(spec.id)
        if self._fails(spec):
            return [Ended(job, "it fell over")]
        end = (1 + uniform(spec.id)) * spec.architecture.resolution
        candidate.write_text(candidate.final, "weights")
        result = Result("done", spec.images, 1.0, start=2 * end, end=end, metric="swd@laplacian-clean-8")
        candidate.write_text(candidate.result, result.to_json())
        return [Ended(job)]

    def cancel(self) -> None:
        self._running.clear()


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ganas.searching.runner.POLL_SECONDS", 0)


def config(**settings: object) -> GrowConfig:
    given = {"data.resolution": 32, "growth.depth": 4, "growth.keep": 2, "growth.filters": [8, 16]} | settings
    return make_grow_config(preset="tiny", flags={"data.images": "images", **given})


def run(folder: Path, executor: Oracle, settings: GrowConfig | None = None) -> GrowResult:
    settings = settings or config()
    return Growth(Run(folder), settings, executor, Reporter(quiet=True), StopSignal()).run()


def test_the_result_does_not_depend_on_order_or_workers(tmp_path: Path) -> None:
    results = {run(tmp_path / str(n), Oracle(capacity, n)) for n, capacity in enumerate((1, 1, 2, 3, 8))}
    assert len(results) == 1
    (result,) = results
    assert result.architecture.resolution == 32 and result.candidates > 10 and not result.failed


@pytest.mark.parametrize("seed", range(3))
def test_a_search_that_is_killed_goes_on_and_trains_nothing_twice(tmp_path: Path, seed: int) -> None:
    whole = Oracle(2)
    expected = run(tmp_path / "whole", whole)
    trained: list[str] = []
    result = None
    for attempt in range(100):
        oracle = Oracle(2, seed=100 * seed + attempt, killed=3)
        try:
            result = run(tmp_path / "parts", oracle)
        except KeyboardInterrupt:
            continue
        finally:
            trained += oracle.trained
        break
    assert result == expected
    assert sorted(trained) == sorted(whole.trained) and len(set(trained)) == len(trained)


def test_weights_that_nobody_will_inherit_are_removed(tmp_path: Path) -> None:
    result = run(tmp_path, Oracle(2))
    left = {path.parent.name for path in tmp_path.glob("candidates/*/final.safetensors")}
    everything = {path.parent.name for path in tmp_path.glob("candidates/*/result.json")}
    assert result.winner in left and len(left) < len(everything)


def test_failures_are_counted_and_have_no_children(tmp_path: Path) -> None:
    settings = config(**{"growth.rank_by": "raw"})
    result = run(
        tmp_path, Oracle(2, fails=lambda spec: spec.parent is not None and uniform("fails", spec.id) < 0.3), settings
    )
    specs = [read_spec(Run(path.parent)) for path in tmp_path.glob("candidates/*/spec.json")]
    failed = {spec.id for spec in specs if read_result(Run(tmp_path).candidate(spec.id)).state == "failed"}  # type: ignore[union-attr]
    assert len(failed) == result.failed > 0 and not failed & {spec.parent for spec in specs}


def test_a_route_that_fails_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(SearchFailedError, match=r"the ProgGAN route failed.*growth\.rank_by=raw"):
        run(tmp_path, Oracle(2, fails=lambda spec: spec.parent is not None and spec.action is None))


def test_half_a_result_is_trained_again_and_what_it_inherits_from_too(tmp_path: Path) -> None:
    expected = run(tmp_path, Oracle(2))
    for candidate in sorted(tmp_path.glob("candidates/*")):
        text = (candidate / "result.json").read_text()
        (candidate / "result.json").write_text(text[: len(text) // 2])
        oracle = Oracle(2)
        assert run(tmp_path, oracle) == expected
        assert not oracle.trained or oracle.trained[-1] == candidate.name, "its ancestors first, and nobody else"


def test_a_finished_run_begins_nothing(tmp_path: Path) -> None:
    settings = config(**{"growth.depth": 6, "growth.keep": 1, "growth.probability": 0.1})
    results = {run(tmp_path / str(capacity), Oracle(capacity), settings) for capacity in (1, 4, 64)}
    assert len(results) == 1
    for capacity in (1, 4, 64):
        oracle = Oracle(2)
        assert run(tmp_path / str(capacity), oracle, settings) in results and not oracle.trained


def test_a_winner_that_fails_in_the_end_is_kept_as_it_was(tmp_path: Path) -> None:
    settings = config(**{"growth.rank_by": "raw"})
    longer = run(tmp_path / "one", Oracle(1), settings).winner
    before = read_spec(Run(tmp_path / "one").candidate(longer)).parent
    result = run(tmp_path / "other", Oracle(1, fails=lambda spec: spec.id == longer), settings)
    assert result.winner == before and result.failed == 0


def test_trouble_stops_the_search_and_is_no_result(tmp_path: Path) -> None:
    class Troubled(Oracle):
        def poll(self) -> Sequence[Ended]:
            return [Ended(job, "no space left", trouble=True) for job in self._running]

    with pytest.raises(RunError, match="cannot be trained: no space left"):
        run(tmp_path, Troubled(1))
    assert not [*tmp_path.glob("candidates/*/result.json")]
    assert run(tmp_path, Oracle(1)) == run(tmp_path / "other", Oracle(1))


def test_the_route_has_every_stage_that_a_candidate_can_reach() -> None:
    settings = config()
    specs = [*route_specs(settings, proggan_steps(settings))]
    sizes = [spec.architecture.resolution for spec in specs]
    assert sizes == [8] * 3 + [16] * 3 + [32] * 3
    assert all(not set(map(str, spec.architecture.generator)) - {"double"} for spec in specs)


def test_asked_to_stop_it_stops(tmp_path: Path) -> None:
    stop = StopSignal()
    growth = Growth(Run(tmp_path), config(), Oracle(1), Reporter(quiet=True), stop)
    stop.received = __import__("signal").SIGTERM
    with pytest.raises(Stopped):
        growth.run()


@pytest.mark.parametrize(
    "settings, reason",
    [
        ({"growth.depth": 1}, "growth.depth=1 actions cannot double 8 pixels to 32: give 2 or more"),
        ({"growth.max_parameters": 100}, "no legal action"),
        ({"growth.keep": 0}, "growth.keep: input should be greater than or equal to 1, got 0"),
        ({"growth.probability": 0}, "growth.probability: input should be greater than 0, got 0"),
        ({"growth.probability": 1.5}, "growth.probability: input should be less than or equal to 1"),
        ({"growth.fade_images": 10**6}, "does not end within the training of a candidate"),
        ({"growth.fade_images": 3200}, "does not end within the training of a candidate"),
        ({"growth.sizes": [4]}, "growth.sizes are odd"),
        ({"growth.sizes": []}, "growth.sizes: tuple should have at least 1 item"),
        ({"growth.filters": [16, 16]}, "growth.filters holds a value twice"),
        ({"growth.filters": [100_000]}, "growth.filters.0: input should be less than or equal to 16384"),
        ({"base.channels": []}, "base.channels: tuple should have at least 1 item"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_impossible_configs_are_refused(settings: dict[str, object], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        space_of(config(**settings))
