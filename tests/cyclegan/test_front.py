"""From elastic supernets to a front of translators, and from a point of it to a training."""

import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from itertools import count
from pathlib import Path
from random import Random

import pytest
import torch
from torch import Tensor

from ganas.cyclegan import front_search as fronts
from ganas.cyclegan.build import Network
from ganas.cyclegan.config import SearchConfig
from ganas.cyclegan.elastic import Ops, largest, smallest
from ganas.cyclegan.front import Front, Subnetwork, open_point, read_front
from ganas.cyclegan.front_search import draw_point, find_front
from ganas.cyclegan.layout import GENERATORS, LAYOUTS, ElasticLayout
from ganas.cyclegan.result_cache import ResultCache
from ganas.cyclegan.search import search
from ganas.cyclegan.size import parameters
from ganas.cyclegan.train import train
from ganas.errors import ConfigError, RunError
from ganas.presets import make_config
from ganas.progress import Reporter
from ganas.store import Run
from kill_and_resume import write_images
from small import noise, small_config, small_gan


@pytest.fixture(autouse=True)
def _quick_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Times without calls: they differ from call to call, as those of a clock do, and whole networks by their sizes."""
    seconds = count(1)
    monkeypatch.setattr(fronts, "median_seconds", lambda *_: 0.001 * (1 + next(seconds) % 7 / 100))
    size = lambda network, ops, side: parameters(network.layout, ops, network.width) / 1000  # noqa: E731
    monkeypatch.setattr(fronts, "measured_milliseconds", size)


def flags(folder: Path) -> dict[str, object]:
    return {
        **{"data.a": folder / "a", "data.b": folder / "b", "data.resolution": 32, "training.images": 4},
        **{"nets.width": 2, "nets.discriminator_width": 2, "training.threads": 1},
    }


def test_a_front_and_the_training_of_one_of_its_points(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed, name in enumerate("ab"):
        write_images(tmp_path / name, 24, seed=seed, sides=(40, 40))
    settings = {"nets.layout": "elastic", "search.strategy": "sampled", "search.latency_resolution": 32}
    settings |= {"search.generations": 2, "search.population": 6}
    config = make_config("search", preset="tiny", flags=flags(tmp_path) | settings)
    found = search(config, tmp_path / "run")
    front = found.front
    assert front and read_front(Run(tmp_path / "run")) == front == Front.from_json(front.to_json(), "here")
    assert found.architecture == front.points[-1].architecture
    limits = [point.limit for point in front.points]
    assert limits == sorted(limits) and 2 <= len(limits) <= 6
    for name in ("generator_ab", "generator_ba"):
        translators = [getattr(point, name) for point in front.points]
        assert all(one.milliseconds <= limit * (1 + 1e-9) for one, limit in zip(translators, limits, strict=True))
        distances = [one.distance for one in translators]
        assert distances == sorted(distances, reverse=True) and distances[-1] == 0, (
            "the largest is what it is compared with"
        )
    longer = make_config("search", preset="tiny", flags=flags(tmp_path) | settings | {"training.images": 8})
    Run(tmp_path / "run").front.unlink()
    refuse = lambda _: pytest.fail("limits are for a run that begins: a busy machine must not stop one")  # noqa: E731
    monkeypatch.setattr("ganas.cyclegan.search.check_limits", refuse)
    assert search(longer, tmp_path / "run").front != front, "of the supernets as they are now"
    front = read_front(Run(tmp_path / "run"))
    assert front.images == 8
    found = search(longer, tmp_path / "run")
    config, limits = longer, [point.limit for point in front.points]
    monkeypatch.setattr(
        "ganas.cyclegan.search.find_front", lambda *_, **__: pytest.fail("milliseconds are measured once")
    )
    assert search(config, tmp_path / "run") == found

    architecture, values = open_point(tmp_path / "run", 0, None)
    assert architecture == front.points[0].architecture and values["nets.width"] == 2
    assert open_point(tmp_path / "run", None, limits[-1] + 1)[0] == found.architecture
    with pytest.raises(ConfigError, match=r"--point 9: .* has \d points, from 0"):
        open_point(tmp_path / "run", 9, None)
    with pytest.raises(ConfigError, match="the smallest translators take"):
        open_point(tmp_path / "run", None, 1e-6)
    with pytest.raises(RunError, match="has no front"):
        open_point(tmp_path / "a", 0, None)

    monkeypatch.setattr(fronts, "median_seconds", lambda *_: 0.001)
    before = Run(tmp_path / "run").evolution.read_bytes()
    for number in range(len(front.points)):
        random, drawn_values = draw_point(tmp_path / "run", number, 5)
        assert (random, drawn_values) == (draw_point(tmp_path / "run", number, 5)[0], values)
        assert random != draw_point(tmp_path / "run", number, 6)[0]
    assert Run(tmp_path / "run").evolution.read_bytes() == before

    training = {"nets.discriminator": "searched", **values}
    train(make_config("train", preset="tiny", flags=flags(tmp_path) | training), architecture, tmp_path / "trained")
    (line,) = re.findall(r"inherited (\d+) of (\d+) tensors", (tmp_path / "trained" / "log.txt").read_text())
    assert line[0] == line[1]


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"nets.layout": "elastic"}, "layout 'elastic' is searched with --strategy sampled"),
        ({"search.strategy": "sampled"}, "layout 'framed' is searched with --strategy of or tf"),
        (
            {
                **{"nets.layout": "elastic", "search.strategy": "sampled", "search.budget": "params"},
                **{"search.budget_ab": 10.0},
            },
            "the smallest subnetwork of generator_ab takes",
        ),
        (
            {"nets.layout": "elastic", "search.strategy": "sampled", "training.compile": True},
            "training.compile is not for subnetworks",
        ),
    ],
)
def test_strategies_fit_their_layouts(tmp_path: Path, settings: dict[str, object], error: str) -> None:
    for name in "ab":
        write_images(tmp_path / name, 12, seed=1, sides=(40, 40))
    with pytest.raises(ConfigError, match=re.escape(error)):
        search(make_config("search", preset="tiny", flags=flags(tmp_path) | settings), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_fronts_are_not_repeated(tmp_path: Path) -> None:
    settings = {"nets.layout": "elastic", "search.strategy": "sampled"}
    with pytest.raises(ConfigError, match="not for fronts"):
        search(make_config("search", preset="tiny", flags=flags(tmp_path) | settings), tmp_path / "run", repeats=2)


@pytest.mark.parametrize("end", [smallest, largest])
def test_random_choices_take_as_long_as_any_network(end: Callable[[ElasticLayout], Ops]) -> None:
    """Even as the smallest and the largest. Time is the number of parameters here."""
    layout = LAYOUTS["elastic"].generator
    assert isinstance(layout, ElasticLayout)
    time = cache(lambda ops: float(parameters(layout, ops, 4)))
    model = end(layout)
    walks = [fronts._as_slow(layout, time, model, Random(seed)) for seed in range(5)]
    assert all(abs(time(ops) / time(model) - 1) <= 0.05 for ops in walks)
    assert model not in walks, "else it would be compared with itself"


# ── what is kept of an evolution ─────────────────────────────────────────────────────────────────────────────────────

SMALL = {"strategy": "sampled", "population": 6, "generations": 3, "latency_resolution": 32}


class Killed(Exception):
    pass


def test_an_evolution_that_is_killed_scores_nothing_twice_and_finds_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At any score; times are kept, too, because other times would lead to other children."""
    config = small_config("elastic", SearchConfig(**SMALL))
    gan, (a, b) = small_gan(config), noise(config)
    kept, scored, lives = tmp_path / "evolution.jsonl", Counter[tuple[str, Ops]](), 0
    distance = fronts._Direction._distance

    def counted(self: fronts._Direction, ops: Ops, wanted: Tensor) -> float:
        scored[self._name, ops] += 1
        found = distance(self, ops, wanted)
        if scored.total() % 5 == 0:
            raise Killed
        return found

    monkeypatch.setattr(fronts._Direction, "_distance", counted)
    front = None
    while front is None:
        try:
            front = find_front(gan, a, b, config, ResultCache(kept, {"images": 0}))
        except Killed:
            lives += 1
            assert lives < 30, "it gets no further"
            with kept.open("a") as file:  # cut off in the middle of a line
                file.write('{"distance gen')
    assert lives > 3
    assert [count for _, count in scored.most_common(lives + 1)][-1] == 1 and max(scored.values()) <= 2
    assert sum(count - 1 for count in scored.values()) == lives, "only what was being scored is scored again"
    assert find_front(gan, a, b, config, ResultCache(kept, {"images": 0})) == front

    monkeypatch.setattr(fronts._Direction, "_distance", distance)
    names = {name for line in kept.read_text().splitlines()[1:] for name in json.loads(line)}
    times = ResultCache(tmp_path / "other.jsonl", {"images": 0})  # an evolution that was not killed, on the same clock
    for line in kept.read_text().splitlines()[1:]:
        for name, value in json.loads(line).items():
            if not name.startswith("distance"):
                times.value(name, lambda value=value: value)
    assert find_front(gan, a, b, config, times) == front
    others = {name for line in (tmp_path / "other.jsonl").read_text().splitlines()[1:] for name in json.loads(line)}
    assert others == names


def test_what_is_kept_of_other_supernets_is_not_used(tmp_path: Path) -> None:
    one = ResultCache(tmp_path / "kept", {"images": 4})
    assert one.value("x", lambda: 1) == one.value("x", lambda: 2) == 1
    assert ResultCache(tmp_path / "kept", {"images": 4}).value("x", lambda: 2) == 1
    assert ResultCache(tmp_path / "kept", {"images": 8}).value("x", lambda: 3) == 3
    assert ResultCache(tmp_path / "kept", {"images": 8}).count("x") == 1


def test_subnetworks_are_ranked_by_their_distance_to_the_teacher(tmp_path: Path) -> None:
    config = small_config("elastic", SearchConfig(**SMALL))
    gan, (a, b) = small_gan(config), noise(config)
    layout = gan.generator_ab.layout
    like = {"generator_ab": smallest(layout), "generator_ba": largest(layout)}
    teachers = {name: gan.network(name).cut_out(ops) for name, ops in like.items()}
    found = find_front(gan, a, b, config, ResultCache(tmp_path / "kept", {}), teachers=teachers)
    assert all(point.generator_ab.ops == smallest(layout) for point in found.points), "nothing larger is closer"
    assert found.points[-1].generator_ab.distance == pytest.approx(0, abs=1e-6)
    assert found.points[-1].generator_ba.ops == largest(layout)


def test_the_best_few_are_chosen_by_their_score(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A judge that likes what is small picks the smallest of the finalists; each is measured once."""
    config = small_config("elastic", SearchConfig(**SMALL))
    gan, (a, b) = small_gan(config), noise(config)
    judged = Counter[tuple[str, int]]()

    def judge(name: str, network: Network) -> tuple[str, float, float | None]:
        size = sum(parameter.numel() for parameter in network.parameters())
        judged[name, size] += 1
        return "psnr@rgb-native-32", -float(size), 0.5

    plain = find_front(gan, a, b, config, ResultCache(tmp_path / "kept", {}))
    found = find_front(gan, a, b, config, ResultCache(tmp_path / "kept", {}), judge=judge, reporter=Reporter())
    assert "measuring the scores of the best" in capsys.readouterr().err
    assert set(judged.values()) == {1}
    for name in GENERATORS:
        chosen: list[Subnetwork] = [getattr(point, name) for point in found.points]
        assert all(one.score == -one.parameters and one.error == 0.5 for one in chosen)
        assert min(one.parameters for one in chosen) <= min(getattr(point, name).parameters for point in plain.points)
        sizes = [size for judge_of, size in judged if judge_of == name]
        assert chosen[-1].parameters == min(sizes), "of all finalists"
    assert Front.from_json(found.to_json(), "here") == found
    assert "psnr@rgb-native-32 -" in found.lines()[0] and "test images" not in found.lines()[0]
    assert "chosen by test images" in replace(found, split="test").lines()[0]


@pytest.mark.parametrize("unit", ["params", "macs", "ms"])
def test_a_front_keeps_its_limit(tmp_path: Path, unit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one direction; milliseconds as they were measured, which here are half as much again as predicted."""
    predicted = lambda layout, width, ops, *_: parameters(layout, ops, width) / 1500  # noqa: E731
    monkeypatch.setattr(fronts, "predicted_milliseconds", predicted)
    config = small_config("elastic", SearchConfig(**SMALL))
    gan, (a, b) = small_gan(config), noise(config)
    take: dict[str, Callable[[Subnetwork], float]] = {
        "params": lambda one: one.parameters,
        "macs": lambda one: one.macs,
        "ms": lambda one: one.milliseconds,
    }
    free = find_front(gan, a, b, config, ResultCache(tmp_path / "free", {}))
    least, most = (take[unit](free.points[end].generator_ba) for end in (0, -1))
    limit = (least + most) / 3
    limited = small_config("elastic", SearchConfig(**SMALL, budget=unit, budget_ba=limit))
    found = find_front(gan, a, b, limited, ResultCache(tmp_path / "limited", {}))
    assert max(take[unit](point.generator_ba) for point in found.points) <= limit
    names = [name for line in (tmp_path / "limited").read_text().splitlines()[1:] for name in json.loads(line)]
    prefix, layout = "distance generator_ba ", gan.generator_ba.layout
    tried = [tuple(name.removeprefix(prefix).split(", ")) for name in names if name.startswith(prefix)]
    costs = [fronts.amount(limited.search, layout, ops, 2, partial(predicted, layout, 2)) for ops in tried]  # type: ignore[arg-type]
    assert len(costs) > 6 and max(costs) <= limit, "nothing else was tried"
    if unit == "ms":
        assert max(costs) > limit / 1.5, "what is predicted to fit need not"
    assert max(take[unit](point.generator_ab) for point in found.points) > limit, "the other direction has none"
    fronts.check_limits(limited)
    tight = small_config("elastic", SearchConfig(**SMALL, budget=unit, budget_ba=least / 2))
    with pytest.raises(ConfigError, match=r"the smallest subnetwork of generator_ba takes .* raise the limit"):
        fronts.check_limits(tight)


def test_a_front_without_scores_is_read(tmp_path: Path) -> None:
    """As earlier versions wrote them."""
    config = small_config("elastic", SearchConfig(**SMALL))
    gan, (a, b) = small_gan(config), noise(config)
    front = find_front(gan, a, b, config, ResultCache(tmp_path / "kept", {}))
    document = json.loads(front.to_json())
    for point in document["points"]:
        for name in GENERATORS:
            for key in ("metric", "score", "error", "width"):
                del point[name][key]
    del document["split"]
    found = Front.from_json(json.dumps(document), "here")
    assert [point.architecture for point in found.points] == [point.architecture for point in front.points]
    assert found.split is None and found.points[0].generator_ab.width is None
    assert front.points[0].generator_ab.width == config.nets.width


def test_a_search_scores_its_finalists_on_held_out_images(tmp_path: Path) -> None:
    for seed, name in enumerate("ab"):
        write_images(tmp_path / name, 110, seed=seed, sides=(40, 40))
    settings = {"nets.layout": "elastic", "search.strategy": "sampled", "search.latency_resolution": 32}
    settings |= {"search.generations": 1, "search.population": 3, "search.points": 2}
    found = search(make_config("search", preset="tiny", flags=flags(tmp_path) | settings), tmp_path / "run")
    assert (
        found.front and torch.isfinite(torch.tensor([point.generator_ab.score for point in found.front.points])).all()
    )
    assert {(point.generator_ba.metric or "").partition("@")[0] for point in found.front.points} == {"swd"}
    assert found.front.split == read_front(Run(tmp_path / "run")).split == "validation"


def test_milliseconds_of_a_whole_network_and_of_its_slots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the true clock: the largest takes longer than the smallest, by both."""
    monkeypatch.undo()
    config = small_config("elastic", SearchConfig(**SMALL))
    network, kept = small_gan(config).generator_ab, ResultCache(tmp_path / "kept", {})
    both = [smallest(network.layout), largest(network.layout)]
    for measure in (
        lambda ops: fronts.measured_milliseconds(network, ops, 128),
        lambda ops: fronts.predicted_milliseconds(network.layout, network.width, ops, 128, kept),
    ):
        small, large = map(measure, both)
        assert 0 < small < large


# In a process of its own: whatever keeps memory keeps it until the process ends.
COUNT_PAGE_FAULTS = """
import resource
from ganas.cyclegan.build import Network, only_op
from ganas.cyclegan.elastic import smallest
from ganas.cyclegan.front_search import whole_milliseconds
from ganas.cyclegan.layout import find_layout

layout = find_layout("elastic").generator
network = Network(layout.final(smallest(layout)), 32, only_op)
for _ in range(2):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    whole_milliseconds(network, 256)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="page faults are glibc's")
def test_no_memory_is_taken_from_the_system_while_the_clock_runs() -> None:
    done = subprocess.run([sys.executable, "-c", COUNT_PAGE_FAULTS], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 5000, "ten times as many if each layer gives its memory back"
