"""A search over a simulated executor: which candidates it trains, in any order and after any stop."""

import random
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from ganas.errors import ConfigError, RunError, Stopped
from ganas.growing.candidates import Spec, candidates, read_spec, score_of, work
from ganas.growing.children import uniform
from ganas.growing.config import GrowConfig
from ganas.growing.history import History, Record, read_history
from ganas.growing.plan import baseline_route, growth_space, proggan_steps, remaining_stages
from ganas.growing.runner import GrowResult, Growth, SearchFailedError, seconds_left
from ganas.jobs.executor import JobExit
from ganas.jobs.job import Job
from ganas.jobs.result import Result, read_result, write_result
from ganas.presets import make_config
from ganas.progress import Reporter
from ganas.records import read_run
from ganas.signals import StopSignal
from ganas.store import Run


class Oracle:
    """Ends jobs in a random order, with a hash of the id as score; raises `KeyboardInterrupt` after `killed` jobs."""

    def __init__(
        self,
        capacity: int,
        seed: int = 0,
        killed: int | None = None,
        fails: Callable[[Spec], bool] = lambda spec: False,
        lucky: bool = False,  # short trainings score better than long ones, not worse
    ) -> None:
        self.capacity, self._killed, self._fails, self._lucky = capacity, killed, fails, lucky
        self._random = random.Random(seed)
        self._running: list[Job] = []
        self.trained: list[str] = []

    def submit(self, job: Job) -> None:
        spec = read_spec(job.folder)
        assert len(self._running) < self.capacity and spec.images >= job.images
        if spec.parent:
            assert Run(job.path.parent / spec.parent).final.exists(), "its parent's weights are there"
        self._running.append(job)

    def poll(self) -> Sequence[JobExit]:
        if not self._running or self._random.random() < 0.3:
            return []
        if self._killed is not None and len(self.trained) >= self._killed:
            raise KeyboardInterrupt
        job = self._running.pop(self._random.randrange(len(self._running)))
        candidate = job.folder
        spec = read_spec(candidate)
        before = read_result(candidate)
        assert (before.images if before else 0) < job.images, "nothing is trained twice"
        self.trained.append(spec.id)
        if self._fails(spec):
            return [JobExit(job, "it fell over")]
        end = (1 + uniform(spec.id)) * spec.architecture.resolution
        candidate.write_text(candidate.final, "weights")
        luck = uniform(spec.id, job.images) * (spec.images - job.images) / spec.images  # of a short training
        end *= 1 - luck if self._lucky else 1 + luck
        result = Result("done", job.images, 1.0, scores={"swd@laplacian-clean-8": end}, facts={"start": 2 * end})
        write_result(candidate, result)
        return [JobExit(job)]

    def cancel(self) -> None:
        self._running.clear()


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    monkeypatch.setattr("ganas.jobs.queue.POLL_SECONDS", 0)
    folders = (str(tmp_path_factory.mktemp("cache")) for _ in iter(int, 1))
    monkeypatch.setattr("ganas.growing.runner.default_cache", lambda: Path(next(folders)))  # a new one a search


def config(**settings: object) -> GrowConfig:
    given = {"data.resolution": 32, "growth.depth": 4, "growth.keep": 2, "growth.filters": [8, 16]} | settings
    return make_config("grow", preset="tiny", flags={"data.images": "images", **given})


def run(folder: Path, executor: Oracle, settings: GrowConfig | None = None) -> GrowResult:
    return Growth(Run(folder), settings or config(), executor, Reporter(quiet=True), StopSignal()).run()


def test_the_largest_of_a_generation_start_first(tmp_path: Path) -> None:
    settings = config(**{"growth.rank_by": "raw"})  # no route beside it
    oracle = Oracle(1)
    run(tmp_path, oracle, settings)
    specs = [read_spec(Run(tmp_path).candidate(name)) for name in oracle.trained]
    for generation in range(1, 5):
        works = [work(spec) for spec in specs if spec.generation == generation]
        assert len(works) > 1 and works == sorted(works, reverse=True)


RACING = {"growth.strategy": "racing", "growth.doublings": "even", "growth.rank_by": "pooled", "growth.fade": "every"}
RACING |= {"growth.finalists": 2}
either_strategy = pytest.mark.parametrize("growth", [{}, RACING], ids=["topk", "racing"])


@either_strategy
def test_the_result_does_not_depend_on_order_or_workers(tmp_path: Path, growth: dict[str, object]) -> None:
    settings = config(**growth)
    results = {run(tmp_path / str(n), Oracle(capacity, n), settings) for n, capacity in enumerate((1, 1, 2, 3, 8))}
    assert len(results) == 1
    (result,) = results
    assert result.architecture.resolution == 32 and result.candidates > 10 and not result.failed


def test_a_race_trains_few_candidates_to_the_end(tmp_path: Path) -> None:
    settings = config(**RACING | {"growth.keep": 1, "growth.probability": 1.0, "growth.finalists": 0})
    run(tmp_path, Oracle(3), settings)
    results = [read_result(Run(path.parent)) for path in tmp_path.glob("candidates/*/spec.json")]
    images = {result.images for result in results if result}
    total = settings.training.images
    assert {total // 4, total} < images <= {total // 4, total // 2, total, settings.training.final_images}
    stopped = [result for result in results if result and result.images == total // 4]
    assert len(stopped) >= len(results) / 3
    assert not [*tmp_path.rglob("checkpoints/*")], "all are released"


def test_a_parent_that_is_trained_again_keeps_its_scores_at_rungs(tmp_path: Path) -> None:
    settings = config(**RACING | {"growth.keep": 1, "growth.probability": 1.0, "growth.finalists": 0})
    expected = run(tmp_path, Oracle(2), settings)
    candidates = Run(tmp_path).candidates
    before = {path.name: read_result(Run(path)) for path in candidates.iterdir()}
    specs = {path.name: read_spec(Run(path)) for path in candidates.iterdir()}
    raced = [name for name, result in before.items() if result and result.facts.get("earlier")]
    lost = max((name for name in specs if specs[name].parent in raced), key=lambda name: specs[name].generation)
    parent = specs[lost].parent
    assert parent
    shutil.rmtree(candidates / lost)
    Run(tmp_path).candidate(parent).final.unlink(missing_ok=True)
    oracle = Oracle(2)
    assert run(tmp_path, oracle, settings) == expected and parent in oracle.trained
    assert {path.name: read_result(Run(path)) for path in candidates.iterdir()} == before


def test_limits_that_force_a_doubling_do_not_stop_the_route(tmp_path: Path) -> None:
    limits = {"growth.doublings": "even", "growth.rank_by": "normalized", "growth.max_parameters": 226_500}
    limits |= {"growth.filters": [64], "growth.sizes": [3], "growth.keep": 4, "growth.probability": 1.0}
    result = run(tmp_path, Oracle(2), config(**limits | {"data.resolution": 16, "growth.depth": 3}))
    assert result.architecture.resolution == 16


@pytest.mark.parametrize("seed", range(3))
@either_strategy
def test_a_killed_search_resumes_and_trains_nothing_twice(tmp_path: Path, seed: int, growth: dict[str, object]) -> None:
    settings = config(**growth)
    whole = Oracle(2)
    expected = run(tmp_path / "whole", whole, settings)
    trained: list[str] = []
    result = None
    for attempt in range(100):
        oracle = Oracle(2, seed=100 * seed + attempt, killed=3)
        try:
            result = run(tmp_path / "parts", oracle, settings)
        except KeyboardInterrupt:
            continue
        finally:
            trained += oracle.trained
        break
    assert result == expected
    assert sorted(trained) == sorted(whole.trained) and (growth or len(set(trained)) == len(trained))


def test_weights_without_heirs_are_removed(tmp_path: Path) -> None:
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


def test_the_error_of_a_failed_route_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(SearchFailedError, match=r"the ProgGAN route failed.*growth\.rank_by=raw"):
        run(tmp_path, Oracle(2, fails=lambda spec: spec.parent is not None and spec.action is None))


def _stage(history: History, record: Record) -> tuple[int, int]:
    """A candidate's resolution, and the number of trainings of its lineage at it."""
    line, side = [record.spec], record.spec.architecture.resolution
    while line[-1].parent:
        line.append(history.record(line[-1].parent).spec)
    return side, sum(spec.architecture.resolution == side for spec in line)


def _searched(folder: Path, settings: GrowConfig) -> dict[str, tuple[Record, tuple[int, int]]]:
    """The candidates of a search, each with its stage."""
    Run(folder).write_text(folder / "config.yaml", settings.to_yaml())
    history = read_history(folder)
    return {r.spec.id: (r, _stage(history, r)) for r in history.records if r.role == "search"}


def test_scores_are_divided_by_those_of_the_route_at_the_same_stage(tmp_path: Path) -> None:
    settings = config()
    run(tmp_path, Oracle(2), settings)
    along = baseline_route(settings)
    searched = _searched(tmp_path, settings)
    for record, (side, stretches) in searched.values():
        there = [spec for spec in along if spec.architecture.resolution == side][stretches - 1]
        ours, theirs = record.result, read_result(Run(tmp_path).candidate(there.id))
        assert ours and theirs and record.normalized == (score_of(ours) or 0) / (score_of(theirs) or 0)
    assert len({stage for _, stage in searched.values()}) > 4, "several stages at several resolutions"


def test_a_failed_route_does_not_matter_where_no_score_needs_it(tmp_path: Path) -> None:
    for seed in range(100):
        settings = config(**{"seed": seed, "data.resolution": 16, "growth.depth": 3, "growth.keep": 1})
        last = baseline_route(settings)[-1]
        whole = run(tmp_path / str(seed), Oracle(2), settings)
        if (16, 3) not in {stage for _, stage in _searched(tmp_path / str(seed), settings).values()}:
            break
    else:
        pytest.fail("every search has a candidate at the last stage of the route")
    other = Oracle(2, fails=lambda spec: spec.id == last.id)
    assert run(tmp_path / "other", other, settings) == whole and last.id in other.trained


def test_a_failed_route_ends_the_search_once_a_score_needs_it(tmp_path: Path) -> None:
    settings = config(**{"growth.probability": 1.0})
    third = baseline_route(settings)[2]
    oracle = Oracle(2, fails=lambda spec: spec.id == third.id)
    with pytest.raises(SearchFailedError, match="the ProgGAN route failed"):
        run(tmp_path, oracle, settings)
    specs = [read_spec(Run(tmp_path).candidate(name)) for name in oracle.trained]
    assert sum(spec.generation == 2 and spec.id != third.id for spec in specs) <= 3, "not all of that generation"


def test_if_all_last_candidates_fail_the_best_earlier_one_wins(tmp_path: Path) -> None:
    settings = config(**{"growth.rank_by": "raw"})
    oracle, said = Oracle(2, fails=lambda spec: spec.architecture.resolution == 32), tmp_path / "log.txt"
    result = Growth(Run(tmp_path), settings, oracle, Reporter(said, quiet=True), StopSignal()).run()
    assert result.architecture.resolution == 16 and result.failed
    assert read_spec(Run(tmp_path).candidate(result.winner)).action, "it was not trained longer"
    assert "the search ended at 16×16, no larger candidate succeeded" in said.read_text()


def test_a_truncated_result_is_trained_again_with_its_ancestors(tmp_path: Path) -> None:
    expected = run(tmp_path, Oracle(2))
    for candidate in sorted(tmp_path.glob("candidates/*")):
        text = (candidate / "result.json").read_text()
        (candidate / "result.json").write_text(text[: len(text) // 2])
        oracle = Oracle(2)
        assert run(tmp_path, oracle) == expected
        assert not oracle.trained or oracle.trained[-1] == candidate.name, "its ancestors first, and no other candidate"


def test_a_finished_run_trains_nothing(tmp_path: Path) -> None:
    settings = config(**{"growth.depth": 6, "growth.keep": 1, "growth.probability": 0.1})
    results = {run(tmp_path / str(capacity), Oracle(capacity), settings) for capacity in (1, 4, 64)}
    assert len(results) == 1
    for capacity in (1, 4, 64):
        oracle = Oracle(2)
        assert run(tmp_path / str(capacity), oracle, settings) in results and not oracle.trained


def test_a_winner_whose_longer_training_fails_is_kept(tmp_path: Path) -> None:
    settings = config(**{"growth.rank_by": "raw"})
    longer = run(tmp_path / "one", Oracle(1), settings).winner
    before = read_spec(Run(tmp_path / "one").candidate(longer)).parent
    result = run(tmp_path / "other", Oracle(1, fails=lambda spec: spec.id == longer), settings)
    assert result.winner == before and result.failed == 0


def test_a_fatal_error_stops_the_search_without_a_result(tmp_path: Path) -> None:
    class Troubled(Oracle):
        def poll(self) -> Sequence[JobExit]:
            return [JobExit(job, "no space left", fatal=True) for job in self._running]

    with pytest.raises(RunError, match="cannot continue: no space left"):
        run(tmp_path, Troubled(1))
    assert not [*tmp_path.glob("candidates/*/result.json")]
    assert run(tmp_path, Oracle(1)) == run(tmp_path / "other", Oracle(1))


def test_the_route_has_every_stage_that_a_candidate_can_reach() -> None:
    settings = config()
    specs = baseline_route(settings)
    sizes = [spec.architecture.resolution for spec in specs]
    assert sizes == [8] * 3 + [16] * 3 + [32] * 3
    assert all(not set(map(str, spec.architecture.generator)) - {"double"} for spec in specs)


def test_a_stop_signal_stops_the_search(tmp_path: Path) -> None:
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
        ({"growth.fade_images": 10**6}, "does not end within a candidate's training"),
        ({"growth.fade_images": 3200}, "does not end within a candidate's training"),
        ({"growth.strategy": "racing", "growth.fade_images": 800}, "does not end before candidates are first compared"),
        ({"growth.strategy": "racing", "growth.rank_by": "normalized"}, "the ProgGAN route has no scores: give"),
        ({"growth.rank_by": "pooled"}, "give growth.doublings=even or early with it"),
        ({"growth.sizes": [4]}, "growth.sizes must be odd"),
        ({"growth.sizes": []}, "growth.sizes: tuple should have at least 1 item"),
        ({"growth.filters": [16, 16]}, "growth.filters contains a duplicate"),
        ({"growth.filters": [100_000]}, "growth.filters.0: input should be less than or equal to 16384"),
        ({"base.channels": []}, "base.channels: tuple should have at least 1 item"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_impossible_configs_are_refused(settings: dict[str, object], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        growth_space(config(**settings))


def test_the_route_is_trained_once_for_all_searches_of_the_same_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = config()
    route = {spec.id for spec in baseline_route(settings)}
    alone = Oracle(2)
    expected = run(tmp_path / "alone", alone, settings)
    monkeypatch.setattr("ganas.growing.runner.default_cache", lambda: tmp_path / "cache")
    first, second, other, longer = Oracle(2), Oracle(2), Oracle(2), Oracle(2)
    assert run(tmp_path / "first", first, settings) == expected and sorted(first.trained) == sorted(alone.trained)
    assert run(tmp_path / "second", second, settings) == expected
    assert set(second.trained) < set(first.trained) and set(first.trained) - set(second.trained) < route
    assert len(set(second.trained)) == len(second.trained)
    run(tmp_path / "other", other, config(**{"growth.keep": 3}))
    needed = {read_spec(Run(path)).parent for path in (tmp_path / "other" / "candidates").iterdir()}
    searched = {spec.id for spec in baseline_route(settings) if spec.action}
    assert set(other.trained) & route <= needed | searched, "of the route only what has children"
    run(tmp_path / "longer", longer, config(**{"training.images": 3216}))
    assert route - {longer.trained[0]} <= set(longer.trained), "another training, another route"


def test_a_search_takes_the_scores_of_a_run_of_the_route(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Recipes train ProgGAN first."""
    settings = config()
    expected = run(tmp_path / "alone", Oracle(2), settings)
    monkeypatch.setattr("ganas.growing.runner.default_cache", lambda: tmp_path / "cache")
    names = {"growth.route": tuple(proggan_steps(settings))}
    first, second = Oracle(2), Oracle(2)
    run(tmp_path / "route", first, settings.with_values(names))
    assert run(tmp_path / "search", second, settings) == expected
    both = {*first.trained} & {*second.trained}
    needed = {read_spec(Run(path)).parent for path in (tmp_path / "search" / "candidates").iterdir()}
    assert both < {*first.trained} and both <= needed, "weights are not in the cache"
    history = read_history_of(tmp_path / "search", settings)
    paid = sum(one.spec.images for one in history.records if one.spec.id in second.trained)
    assert read_run(tmp_path / "search").images == paid, "what was copied cost nothing"
    assert paid < sum(one.result.images for one in history.records if one.result)


def test_the_best_at_each_resolution_keep_their_weights(tmp_path: Path) -> None:
    """Whether or not they have children in the end: they can be sampled from, and recipes score them."""
    settings = config()
    result = run(tmp_path, Oracle(2), settings)
    best = read_history_of(tmp_path, settings).by_resolution()
    assert sorted(best) == [8, 16, 32]
    searched = [one for one in read_history_of(tmp_path, settings).records if one.role == "search" and one.result]
    for resolution, one in best.items():
        there = [score_of(other.result) for other in searched if other.spec.architecture.resolution == resolution]
        assert score_of(one.result) == min(there)
        assert Run(tmp_path).candidate(one.spec.id).final.exists()
    kept = {spec.id for spec, _ in candidates(Run(tmp_path)) if Run(tmp_path).candidate(spec.id).final.exists()}
    assert len(kept) < result.candidates, "the others have none"


@pytest.mark.parametrize("seed", range(3))
def test_the_best_of_a_race_keep_their_weights(seed: int, tmp_path: Path) -> None:
    """Whoever a race stopped may have been ahead of them: a score of a short training is no finished one."""
    settings = config(**RACING | {"growth.finalists": 0, "growth.depth": 6, "seed": seed})
    run(tmp_path, Oracle(2, lucky=True), settings)
    best = read_history_of(tmp_path, settings).by_resolution()
    assert sorted(best) == [8, 16, 32]
    for one in best.values():
        assert one.state == "done" and Run(tmp_path).candidate(one.spec.id).final.exists()


def read_history_of(folder: Path, settings: GrowConfig) -> History:
    Run(folder).write_text(Run(folder).config, settings.to_yaml())
    return read_history(folder)


def test_removed_weights_of_the_winner_are_trained_again(tmp_path: Path) -> None:
    settings = config(**{"training.final_images": 0})
    result = run(tmp_path, Oracle(2), settings)
    final = Run(tmp_path).candidate(result.winner).final
    final.unlink()
    oracle = Oracle(2)
    assert run(tmp_path, oracle, settings) == result and final.exists() and oracle.trained[-1] == result.winner


def test_the_time_left_follows_the_work(tmp_path: Path) -> None:
    """If time is proportional to work, plus a constant overhead, the estimate is exact."""
    settings = config()
    specs = baseline_route(settings)

    def done(spec: Spec) -> tuple[Spec, Result]:
        seconds = work(spec) / 1e9
        return spec, Result("done", spec.images, seconds, seconds + 3, scores={"swd": 1.0})

    assert seconds_left(specs, [], 2) is None
    known = [done(spec) for spec in specs]
    assert seconds_left(specs, known, 2) == pytest.approx(sum(work(spec) / 1e9 + 3 for spec in specs) / 2)
    resumed = [(spec, replace(result, elapsed=2.0)) for spec, result in known]
    assert seconds_left(specs, resumed, 1) == pytest.approx(sum(work(spec) / 1e9 for spec in specs))
    early = [(spec, result) for spec, result in known if spec.architecture.resolution == 8]
    assert seconds_left(specs, early, 1) == pytest.approx(sum(work(spec) / 1e9 + 3 for spec in specs))
    assert seconds_left([], known, 1) == 0


def test_the_remaining_stages_are_those_that_are_trained(tmp_path: Path) -> None:
    """With all scores known nothing is left; where the search has no choice, all candidates are known at once."""
    settings = config(**{"growth.probability": 1.0, "growth.keep": 10**6, "growth.depth": 2, "data.resolution": 16})
    ahead = {spec.id for _, specs in remaining_stages(settings, {}) for spec in specs}
    oracle = Oracle(2)
    run(tmp_path, oracle, settings)
    assert len(ahead - set(oracle.trained)) <= 1, "all except the winner's longer training"
    results = {path.name: read_result(Run(path)) for path in (tmp_path / "candidates").iterdir()}
    assert not [spec for _, specs in remaining_stages(settings, results) for spec in specs]  # type: ignore[arg-type]


def test_the_remaining_images_of_a_race(tmp_path: Path) -> None:
    """After each rung, those that go on have the images to the next one ahead of them."""
    settings = config(
        **{"growth.strategy": "racing", "growth.keep": 1, "growth.depth": 3, "growth.probability": 1.0}
        | {"data.resolution": 16, "growth.doublings": "even", "training.images": 160, "growth.fade_images": 16}
    )
    total = settings.training.images
    stages = [(name, [spec.images for spec in specs]) for name, specs in remaining_stages(settings, {})]
    assert stages[0] == ("generation 0", [total])
    first = len(stages[1][1])
    assert first > 3
    assert stages[1] == (f"generation 1, to {total // 4:,} images", [total // 4] * first)
    assert stages[2] == (f"generation 1, to {total // 2:,} images", [total // 4] * -(-first // 3))
    assert stages[3] == ("generation 1", [total // 2] * 2)


def test_parents_of_finalists_are_not_trained_again(tmp_path: Path) -> None:
    """Of whatever generation: by raw scores an early candidate at the final resolution may be a finalist."""
    settings = config(
        **{"growth.rank_by": "raw", "growth.finalists": 3, "growth.probability": 1.0}
        | {"growth.depth": 6, "growth.doublings": "even"}
    )
    oracle = Oracle(2)
    run(tmp_path, oracle, settings)
    specs = [read_spec(Run(tmp_path).candidate(name)) for name in oracle.trained]
    growths = [(spec.parent, spec.action, spec.generation) for spec in specs if spec.action]
    repeated = {growth for growth in growths if growths.count(growth) == 4}
    assert len(repeated) == 3 and {generation for *_, generation in repeated} == {5}, "before the last generation"
    assert len(oracle.trained) == len(set(oracle.trained))
