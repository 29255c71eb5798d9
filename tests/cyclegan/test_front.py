"""From elastic supernets to a front of translators, and from a point of it to a training."""

import re
from pathlib import Path

import pytest

from ganas.cyclegan.front import Front, open_point, read_front
from ganas.cyclegan.search import search
from ganas.cyclegan.train import train
from ganas.errors import ConfigError, RunError
from ganas.presets import make_config
from ganas.store import Run
from kill_and_resume import write_images


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
    assert search(longer, tmp_path / "run").front != front, "of the supernets as they are now"
    front = read_front(Run(tmp_path / "run"))
    assert front.images == 8
    found = search(longer, tmp_path / "run")
    config, limits = longer, [point.limit for point in front.points]
    monkeypatch.setattr("ganas.cyclegan.search.find_front", lambda *_: pytest.fail("milliseconds are measured once"))
    assert search(config, tmp_path / "run") == found

    architecture, values = open_point(tmp_path / "run", 0, None)
    assert architecture == front.points[0].architecture and values["nets.width"] == 2
    assert open_point(tmp_path / "run", None, limits[-1] + 1)[0] == found.architecture
    with pytest.raises(ConfigError, match=r"--point 9: .* has points 0 to"):
        open_point(tmp_path / "run", 9, None)
    with pytest.raises(ConfigError, match="the smallest translators take"):
        open_point(tmp_path / "run", None, 1e-6)
    with pytest.raises(RunError, match="has no front"):
        open_point(tmp_path / "a", 0, None)

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
