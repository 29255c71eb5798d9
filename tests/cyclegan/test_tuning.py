"""How slots are merged: by count, by a measurement that a run keeps, or not at all."""

import json
from pathlib import Path

import pytest
import torch

from ganas.cyclegan import tuning
from ganas.cyclegan.config import RunConfig, SearchConfig
from ganas.cyclegan.layout import LAYOUTS, NETWORKS
from ganas.cyclegan.mixed import mixtures
from ganas.cyclegan.model import CycleGAN
from ganas.cyclegan.networks import open_gan
from ganas.cyclegan.tuning import CANDIDATES, measure_ways, open_grouping, recorded
from ganas.errors import RunError
from ganas.resuming import claim
from ganas.store import Run
from small import small_config

FRAMED = LAYOUTS["framed"]


def config(mixing: str, layout: str = "framed") -> RunConfig:
    told = small_config(layout, SearchConfig())
    return told.model_copy(update={"nets": told.nets.model_copy(update={"mixing": mixing})})


def groups_of(gan: CycleGAN) -> list[list[tuple[str, ...]]]:
    return [[shared.names for shared in m._shared] for network in gan.children() for m in mixtures(network)]


@pytest.mark.parametrize("layout", ["framed", "paper", "reference"])
def test_a_measurement_finds_a_way_for_every_searched_slot(layout: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "ROUNDS", 1)
    ways = measure_ways(config("timed", layout), LAYOUTS[layout])
    declared = {name: [slot.name for slot in LAYOUTS[layout].network(name).searched] for name in NETWORKS}
    assert {name: list(slots) for name, slots in ways.items()} == declared
    assert {way for slots in ways.values() for way in slots.values()} <= CANDIDATES.keys()


def test_the_fastest_way_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock by which a way takes as long as it has convolutions."""
    now = [0.0]

    def work(op: torch.nn.Module, batches: object, config: RunConfig) -> None:
        now[0] += len(op._shared) or 9  # type: ignore[arg-type]

    monkeypatch.setattr(tuning, "_pass", work)
    monkeypatch.setattr(tuning.time, "perf_counter", lambda: now[0])
    ways = measure_ways(config("timed"), FRAMED)
    assert {way for slots in ways.values() for way in slots.values()} == {"whole"}


def test_a_run_keeps_what_was_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "_fastest", lambda *_: "ring")
    run = Run(tmp_path)
    grouping = open_grouping(run, config("timed"), FRAMED)
    monkeypatch.setattr(tuning, "_fastest", lambda *_: "naive")
    again = open_grouping(run, config("timed"), FRAMED)
    found = [groups_of(CycleGAN(FRAMED, None, 2, 2, each)) for each in (grouping, again)]
    assert found[0] == found[1] and any(len(groups) > 1 for groups in found[0])
    assert set(json.loads(run.mixing.read_text())) == set(NETWORKS)


@pytest.mark.parametrize("content", ["", "[]", '{"generator_ab": {"e1.1": "quick"}}', "{}", '{"generator_ab": 3}'])
def test_a_damaged_record_is_refused(tmp_path: Path, content: str) -> None:
    run = Run(tmp_path)
    run.mixing.write_text(content)
    with pytest.raises(RunError, match=r"mixing\.json.* is damaged"):
        open_grouping(run, config("timed"), FRAMED)


def test_naive_mixes_every_op_by_itself_and_merged_writes_nothing(tmp_path: Path) -> None:
    run = Run(tmp_path)
    assert not any(groups_of(CycleGAN(FRAMED, None, 2, 2, open_grouping(run, config("naive"), FRAMED))))
    assert all(groups_of(CycleGAN(FRAMED, None, 2, 2, open_grouping(run, config("merged"), FRAMED))))
    assert not any(tmp_path.iterdir())


def test_slots_may_go_different_ways() -> None:
    ways = {name: {slot.name: "whole" for slot in FRAMED.network(name).searched} for name in NETWORKS}
    ways["generator_ba"]["r5.2"] = "split"
    split = [
        groups
        for groups in groups_of(CycleGAN(FRAMED, None, 2, 2, recorded(ways)))
        if ("dilconv3", "dilconv5") in groups
    ]
    assert len(split) == 1


def test_ways_are_measured_on_the_runs_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    before = torch.get_num_threads()
    monkeypatch.setattr(tuning, "_fastest", lambda *_: seen.append(torch.get_num_threads()) or "whole")
    torch.set_num_threads(2)
    try:
        open_gan(config("timed"), FRAMED, None)
    finally:
        torch.set_num_threads(before)
    assert set(seen) == {1}


def test_a_run_that_never_began_is_measured_anew_for_another_config(tmp_path: Path) -> None:
    run = Run(tmp_path)
    claim(run, config("timed"))
    run.mixing.write_text("of a width that is not asked for any more")
    claim(run, config("timed"))
    assert not run.mixing.exists()
