"""What makes two configs those of different runs."""

from pathlib import Path

import pytest

from ganas.config import Config, resolve_growth
from ganas.presets import make_config, make_grow_config
from ganas.searching.kept import KeptResults


def growing(images: str = "images", features: str | None = "squeezenet:weights", digest: str | None = "w") -> Config:
    config = make_grow_config(preset="tiny", flags={"data.images": images, "metrics.features": features})
    return resolve_growth(config, digest="i", features_digest=digest, cuda=False, fast_bf16=False)


def translating(a: str, digest_a: str | None, b: str = "b", digest_b: str | None = "b") -> Config:
    config = make_config("search", preset="tiny", flags={"data.a": a, "data.b": b})
    data = config.data.model_copy(update={"digest_a": digest_a, "digest_b": digest_b})
    return config.model_copy(update={"data": data})


def test_files_that_a_digest_tells_may_lie_elsewhere() -> None:
    assert growing().changed(growing(images="elsewhere", features="squeezenet:moved")) == []
    assert translating("a", "1").changed(translating("moved", "1")) == []


def test_files_that_nothing_tells_may_not() -> None:
    assert translating("a", None).changed(translating("moved", None)) == ["data.a: a → moved"]


def test_other_files_and_other_ways_to_use_them_are_another_config() -> None:
    changes = growing().changed(growing(features="squeezenet:moved", digest="other"))
    assert {change.split(":")[0] for change in changes} == {"metrics.features", "metrics.digest"}
    (change,) = growing().changed(growing(features="squeezenet-legacy-64:weights"))
    assert change == "metrics.features: squeezenet → squeezenet-legacy-64"
    swapped = translating("b", "b", "a", "a")
    changes = translating("a", "a").changed(swapped)
    assert {change.split(":")[0] for change in changes} == {"data.a", "data.b", "data.digest_a", "data.digest_b"}


@pytest.mark.parametrize("features, same", [("squeezenet:moved", True), ("squeezenet-legacy-64:weights", False)])
def test_results_of_the_route_are_kept_for_the_same_way_of_measuring(features: str, same: bool, tmp_path: Path) -> None:
    ours, theirs = (KeptResults(tmp_path, config)._folder for config in (growing(), growing(features=features)))  # type: ignore[arg-type]
    assert (ours == theirs) == same
