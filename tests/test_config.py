"""How what is given becomes a config, how a config is kept, and what makes two of them those of different runs."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ganas.config import Config, DataFacts, load_config
from ganas.cyclegan.config import RunConfig, resolve
from ganas.cyclegan.presets import PRESETS
from ganas.errors import ConfigError
from ganas.growing import baseline_cache
from ganas.growing.baseline_cache import BaselineCache
from ganas.growing.config import GrowConfig
from ganas.growing.config import resolve as resolve_growth
from ganas.machine import Machine
from ganas.presets import make_config

# What file systems hold: any character but / and 0, and bytes that are no UTF-8.
CHARACTERS = st.characters(exclude_categories=["Cs"], exclude_characters="/\0") | st.sampled_from("\udc80\udce9\udcff")
ODD = (
    *("no", "null", "none", "~", "2026-11-28", "2024", "1e5", "0x10", "1:30", "in/test #2", "a: b", "- a", "[a]"),
    *("{a}", " x", "x ", "'x'", '"x"', "x\ny", "\x07", "\x85", "\u2028", "\ufeff", "\xa0", "caf\udce9", "- " * 200),
)


def told(kind: str, setting: str) -> Any:
    """The value of a key, once it was given by --set."""
    flags = {"data.images": "i"} if kind == "grow" else {"data.a": "a", "data.b": "b"}
    config = make_config(kind, preset="tiny", flags=flags, settings=[setting])  # type: ignore[call-overload]
    return config.value(setting.partition("=")[0])


@pytest.mark.parametrize("name", [name for name in ODD if name not in ("null", "none", "~")])
def test_text_is_taken_as_it_is(name: str) -> None:
    assert told("train", f"data.test_a={name}") == Path(name)
    assert told("train", f"data.a={name}") == Path(name)
    assert told("train", f"training.inherit={name}") == Path(name)
    assert told("search", f"nets.layout={name}") == name
    assert told("search", f"metrics.features={name}") == name


def test_no_value_is_given_by_a_word_and_a_folder_of_that_name_by_a_path() -> None:
    for word in ("null", "None", " NONE "):
        assert told("train", f"data.test_a={word}") is None and told("train", f"nets.width_ab={word}") is None
        assert told("search", f"search.budget={word}") is None
        assert told("search", f"data.a={word}") == Path(word), "there has to be one"
    assert told("train", "data.test_a=./null") == Path("null")


@pytest.mark.parametrize(
    "kind, setting, value",
    [
        ("train", "training.images=1e5", 100_000),
        ("train", "training.images= 1_000 ", 1000),
        ("train", "training.images=010", 10),
        ("train", "training.lr=1e-4", 1e-4),
        ("train", "training.lr=1", 1.0),
        ("train", "nets.width_ab=12.5", 12.5),
        ("train", "training.betas=0,0.9", (0.0, 0.9)),
        ("grow", "growth.sizes=[3, 7]", (3, 7)),
        ("grow", "growth.sizes=3,7", (3, 7)),
        ("grow", "growth.filters=64", (64,)),
        ("train", "loss.adversarial=bce", "bce"),
        ("train", "training.device=cuda:1", "cuda:1"),
        *(("train", f"data.flip={word}", True) for word in ("true", "Yes", "on", "1")),
        *(("train", f"data.flip={word}", False) for word in ("false", "no", "OFF", "0")),
    ],
)
def test_a_value_is_read_as_its_type_says(kind: str, setting: str, value: Any) -> None:
    assert told(kind, setting) == value and type(told(kind, setting)) is type(value)


@pytest.mark.parametrize(
    "kind, setting, said",
    [
        ("train", "training.batch=true", "training.batch: input should be a valid integer"),
        ("train", "training.batch=1.5", "training.batch: input should be a valid integer"),
        ("train", "training.batch=0x10", "training.batch: input should be a valid integer"),
        ("train", "training.lr=[1]", "training.lr: input should be a valid number"),
        ("train", "training.betas=0.5", "training.betas"),
        ("grow", "growth.sizes=[3", "growth.sizes.0: input should be a valid integer"),
        ("grow", "growth.sizes=[]", "growth.sizes"),
        ("train", "loss.adversarial=none", "loss.adversarial: input should be 'lsgan', 'bce' or 'hinge', got 'none'"),
        ("train", "data.test_a=", "--set data.test_a has no value: give data.test_a=VALUE, or null"),
        ("train", "data.a=", "--set data.a has no value: give data.a=VALUE"),
    ],
)
def test_what_is_not_of_the_type_is_refused(kind: str, setting: str, said: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        told(kind, setting)
    assert str(refusal.value).startswith(said)


def test_a_tilde_is_the_home_folder_wherever_a_path_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    for key in ("data.a", "data.b", "data.test_a", "data.test_b", "training.inherit"):
        assert told("train", f"{key}=~/x") == Path("/home/me/x")
        assert told("train", f"{key}=./~") == Path("~")
        assert told("train", f"{key}=~nobody-has-this-name/x") == Path("~nobody-has-this-name/x")
    assert told("grow", "data.images=~") == Path("/home/me")
    assert make_config("train", preset="tiny", flags={"data.a": Path("~"), "data.b": "b"}).data.a == Path("~")


def test_an_empty_path_is_not_the_current_folder() -> None:
    with pytest.raises(ConfigError, match=r"data\.a: input should be a path, got ''"):
        make_config("train", preset="tiny", flags={"data.a": "", "data.b": "b"})


NAMES = st.sampled_from(ODD) | st.text(CHARACTERS, min_size=1)


@given(NAMES, NAMES, NAMES, st.floats(1e-12, 1e12))
def test_a_config_is_read_back_as_it_was_written(a: str, test_a: str, weights: str, lr: float) -> None:
    flags = {"data.a": Path(a), "data.b": Path("/", a), "data.test_a": Path(test_a), "data.test_b": Path(test_a)}
    more = {"metrics.features": f"squeezenet:{weights}", "training.lr": lr, "training.device": a}
    config = make_config("train", preset="tiny", flags=flags | more)
    assert load_config(RunConfig, config.to_yaml(), "config.yaml") == config
    assert load_config(RunConfig, config.to_yaml().encode(), "config.yaml") == config
    resolved = resolve(config, Machine(), DataFacts({"data.digest_a": "1e5", "data.digest_b": "no"}))
    assert load_config(RunConfig, resolved.to_yaml().encode(), "config.yaml") == resolved
    grown = make_config("grow", preset="tiny", flags={"data.images": Path(a), "metrics.features": f"x:{weights}"})
    assert load_config(GrowConfig, grown.to_yaml().encode(), "config.yaml") == grown


def growing(images: str = "images", features: str | None = "squeezenet:weights", digest: str | None = "w") -> Config:
    config = make_config("grow", preset="tiny", flags={"data.images": images, "metrics.features": features})
    return resolve_growth(config, Machine(), DataFacts({"data.digest": "i", "metrics.digest": digest}))


def translating(a: str, digest_a: str | None, b: str = "b", digest_b: str | None = "b") -> Config:
    config = make_config("search", preset="tiny", flags={"data.a": a, "data.b": b})
    return config.with_values({"data.digest_a": digest_a, "data.digest_b": digest_b})


def test_files_that_a_digest_tells_may_lie_elsewhere() -> None:
    assert growing().changed(growing(images="elsewhere", features="squeezenet:moved")) == []
    assert translating("a", "1").changed(translating("moved", "1")) == []


def test_files_that_nothing_tells_may_not() -> None:
    assert translating("a", None).changed(translating("moved", None)) == [("data.a", Path("a"), Path("moved"))]


def test_other_files_and_other_ways_to_use_them_are_another_config() -> None:
    changes = growing().changed(growing(features="squeezenet:moved", digest="other"))
    assert {change.key for change in changes} == {"metrics.features", "metrics.digest"}
    (change,) = growing().changed(growing(features="squeezenet-legacy-64:weights"))
    assert str(change) == "metrics.features: squeezenet → squeezenet-legacy-64"
    swapped = translating("b", "b", "a", "a")
    changes = translating("a", "a").changed(swapped)
    assert {change.key for change in changes} == {"data.a", "data.b", "data.digest_a", "data.digest_b"}


@pytest.mark.parametrize("features, same", [("squeezenet:moved", True), ("squeezenet-legacy-64:weights", False)])
def test_results_of_the_route_are_kept_for_the_same_way_of_measuring(features: str, same: bool, tmp_path: Path) -> None:
    ours, theirs = (BaselineCache(tmp_path, config)._folder for config in (growing(), growing(features=features)))  # type: ignore[arg-type]
    assert (ours == theirs) == same


def test_results_of_the_route_are_not_kept_when_rounding_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = BaselineCache(tmp_path, growing())._folder
    assert BaselineCache(tmp_path, growing())._folder == before
    monkeypatch.setattr(baseline_cache, "ARITHMETIC", baseline_cache.ARITHMETIC + 1)
    assert BaselineCache(tmp_path, growing())._folder != before


@pytest.mark.parametrize("preset", PRESETS)
def test_a_search_for_a_front_trains_as_the_network_that_is_its_largest_choice(preset: str) -> None:
    domains = {"data.a": "a", "data.b": "b"}
    trained = make_config("train", preset=preset, flags=domains)
    searches = [
        make_config("search", preset=preset, flags=domains | {"search.strategy": "sampled"}),
        make_config("search", preset=preset, flags=domains, settings=["search.strategy=sampled"]),
    ]
    for search in searches:
        for key in ("nets.width", "training.batch", "training.decay"):
            assert search.value(key) == trained.value(key)
    chosen = make_config("search", preset=preset, flags=domains | {"search.strategy": "sampled", "nets.width": 3})
    assert chosen.nets.width == 3
    assert make_config("search", preset=preset, flags=domains).value("training.decay") == 0


@pytest.mark.parametrize(
    "strategy, key",
    [
        ("of", "search.points"),
        ("tf", "search.latency_resolution"),
        ("sampled", "search.warmup"),
        (None, "search.points"),
    ],
)
def test_what_only_other_strategies_have_is_refused(strategy: str | None, key: str) -> None:
    flags = {"data.a": "a", "data.b": "b", "search.strategy": strategy}
    with pytest.raises(ConfigError, match=f"{key} has no meaning for --strategy {strategy or 'of'}: leave it out"):
        make_config("search", preset="tiny", flags=flags, settings=[f"{key}=2"])
