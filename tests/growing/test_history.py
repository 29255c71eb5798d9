"""The history of a search, read from its folder while it runs and after it."""

import json
from dataclasses import replace
from itertools import pairwise, permutations
from math import inf, nan
from pathlib import Path

import pytest
from test_runner import Oracle, config, run

from ganas.errors import RunError
from ganas.growing.candidates import best_by_resolution, score_of
from ganas.growing.history import read_history
from ganas.growing.plan import baseline_route
from ganas.jobs.result import Result
from ganas.store import Run


def test_a_finished_search_is_read_back(tmp_path: Path) -> None:
    settings = config()
    result = run(tmp_path, Oracle(2), settings)
    Run(tmp_path).write_text(tmp_path / "config.yaml", settings.to_yaml())
    history = read_history(tmp_path)
    assert len([record for record in history.records if record.role == "search"]) == result.candidates
    assert len(history.beams) == 5 and all(len(beam) <= 2 for beam in history.beams)
    assert [record.role for record in history.records].count("longer") == 1
    line = [history.record(name).spec for name in history.lineage]
    assert line[-1].id == history.best and line[0].parent is None
    assert all(child.parent == parent.id for parent, child in pairwise(line))
    assert line[-1].architecture == result.architecture
    searched = [record for record in history.records if record.role == "search"]
    assert all(record.state == "done" and record.normalized for record in searched)
    assert {record.spec.id for record in searched if record.kept} == {name for beam in history.beams for name in beam}
    roles = [record.role == "route" for record in history.records]
    assert roles == sorted(roles), "the route after the search"
    places = [(record.spec.generation, record.normalized) for record in searched]
    assert places == sorted(places), "by generation, the best first"
    document = json.loads(json.dumps(history.as_json()))
    assert len(document["candidates"]) == len(history.records) and document["lineage"][-1] == document["best"]


def test_an_unfinished_search_is_read_too(tmp_path: Path) -> None:
    settings = config()
    Run(tmp_path).write_text(tmp_path / "config.yaml", settings.to_yaml())
    assert read_history(tmp_path).best is None
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, Oracle(2, killed=7), settings)
    history = read_history(tmp_path)
    states = [record.state for record in history.records]
    assert states.count("done") >= 7 and "pending" in states and history.best


def test_a_folder_that_is_not_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="is not a run: give the folder that ganas grow wrote"):
        read_history(tmp_path)


def test_a_score_that_is_not_a_number_is_never_the_best() -> None:
    """NaN is neither above nor below a score, so that sorting it would let chance decide."""
    spec = baseline_route(config())[0]
    results = [Result("done", spec.images, scores={"swd": score}) for score in (nan, 2.0, inf, 1.0, nan)]
    trained = [(replace(spec, id=str(number)), result) for number, result in enumerate(results)]
    orders = permutations(trained)
    assert {best_by_resolution(order)[8] for order in orders} == {"3"}
    assert best_by_resolution(trained[:1]) == {8: "0"}, "its weights are there"
    stopped = Result("done", spec.images // 2, scores={"swd": 0.1})
    assert best_by_resolution([*trained, (replace(spec, id="5"), stopped)]) == {8: "3"}


def test_a_score_at_an_earlier_target_is_found_despite_whole_batches() -> None:
    earlier = {"32": {"swd": 3.0}, "64": {"swd": 2.0}}
    result = Result("done", images=128, scores={"swd": 1.0}, facts={"earlier": earlier})
    assert [score_of(result, images) for images in (30, 32, 50, 64, 65, 128)] == [3.0, 3.0, 2.0, 2.0, 1.0, 1.0]
    assert score_of(result) == 1.0
