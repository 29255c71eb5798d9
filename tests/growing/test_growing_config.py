"""The config of a growing search: what it fills in, and configs of earlier versions."""

from typing import Any

import pytest
import yaml

from ganas.config import load_config
from ganas.errors import ConfigError
from ganas.growing.config import GrowConfig
from ganas.growing.plan import doubling_steps
from ganas.presets import make_config
from ganas.settings import read_setting

NEW_KEYS = {
    "growth": ("strategy", "fade", "doublings", "fmap_base"),
    "base": ("resolution",),
    "loss": ("zero_centered",),
}


DEFAULTS: dict[str, Any] = {"growth.doublings": "late", "loss.adversarial": "wgan"}


def make(**settings: Any) -> GrowConfig:
    """The small preset's scale, with what a config has by default."""
    return make_config("grow", preset="small", flags=DEFAULTS | {"data.images": "images", **settings})


@pytest.mark.parametrize("survival, strategy", [("best", "topk"), ("random", "random")])
def test_a_config_of_an_earlier_version_means_what_it_meant(survival: str, strategy: str) -> None:
    expected = make(**{"growth.strategy": strategy, "growth.rank_by": "normalized"})
    document = yaml.safe_load(expected.to_yaml())
    for section, keys in NEW_KEYS.items():
        for key in keys:
            del document[section][key]
    document["growth"]["survival"] = survival
    read = load_config(GrowConfig, yaml.dump(document).encode(), "config.yaml")
    assert read == expected and read.fade_images == 8000, "half of the training"


@pytest.mark.parametrize("resolution, fmap_base, last", [(32, 8192, "fade"), (64, None, "fade256")])
def test_doublings_of_an_earlier_config_keep_the_width(resolution: int, fmap_base: int | None, last: str) -> None:
    """Up to 32×32 they do in any case, so that a run from then resumes."""
    config = make(**{"data.resolution": resolution})
    document = yaml.safe_load(config.to_yaml())
    del document["growth"]["fmap_base"]
    read = load_config(GrowConfig, yaml.dump(document).encode(), "config.yaml")
    assert read.growth.fmap_base == fmap_base and {*doubling_steps(read)} == {"fade"}
    assert doubling_steps(config)[-1] == last
    assert load_config(GrowConfig, config.to_yaml().encode(), "config.yaml") == config


@pytest.mark.parametrize(
    "settings, rank_by, fade_images",
    [
        ({}, "normalized", 8000),
        ({"growth.fade": "every"}, "normalized", 3200),
        ({"growth.doublings": "even"}, "per_resolution", 8000),
        ({"growth.strategy": "racing"}, "per_resolution", 3200),
        ({"growth.strategy": "racing", "growth.doublings": "even", "growth.rank_by": "pooled"}, "pooled", 3200),
    ],
)
def test_what_is_filled_in(settings: dict[str, Any], rank_by: str, fade_images: int) -> None:
    config = make(**settings)
    assert (config.rank_by, config.fade_images) == (rank_by, fade_images)


def test_images_of_4_pixels_are_not_scored_by_swd() -> None:
    with pytest.raises(ConfigError, match=r"base.resolution=4: .* give --features, or base.resolution=8"):
        make(**{"base.resolution": 4})
    assert make(**{"base.resolution": 4, "metrics.features": "inception"}).selected_metric == "fid"


def test_a_choice_of_numbers_is_read_from_text() -> None:
    assert read_setting(GrowConfig, "base.resolution= 4") == ("base.resolution", 4)
    key, value = read_setting(GrowConfig, "base.resolution=5")
    with pytest.raises(ConfigError, match=r"base\.resolution: input should be 4 or 8, got '5'"):
        make(**{key: value})


def test_a_race_may_have_any_number_of_images() -> None:
    """Images are rounded up to batches later: a config that is accepted stays so."""
    for images in range(100, 160):
        settings = {"growth.strategy": "racing", "training.images": images, "training.batch": 5}
        config = make(**settings)
        rounded = config.with_values({"training.images": config.whole_batches})
        assert GrowConfig.model_validate(rounded.model_dump(by_alias=True)) == rounded


def test_a_loss_brings_its_penalties() -> None:
    def penalties(**settings: Any) -> tuple[float, float, float]:
        loss = make(**settings).loss
        read = load_config(GrowConfig, make(**settings).to_yaml().encode(), "config.yaml").loss
        assert read == loss
        return loss.gradient, loss.drift, loss.zero_centered

    assert penalties() == (10.0, 0.001, 0.0)
    assert penalties(**{"loss.adversarial": "relativistic"}) == (0.0, 0.0, 1.0)
    assert penalties(**{"loss.adversarial": "relativistic", "loss.gradient": 2.0}) == (2.0, 0.0, 1.0)
