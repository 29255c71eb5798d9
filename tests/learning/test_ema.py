"""Averages of weights and of losses."""

import pytest
import torch

from ganas.cyclegan.layout import GENERATORS
from ganas.cyclegan.model import CycleGAN
from ganas.learning.ema import EMA, averaged_or_current
from ganas.learning.meters import AverageMeters
from small import small_config, small_gan


def gan_of(value: float) -> CycleGAN:
    """Networks whose weights all have one value."""
    return set_to(small_gan(small_config("resnet6")), value)


def set_to(gan: CycleGAN, value: float) -> CycleGAN:
    for parameter in gan.parameters():
        torch.nn.init.constant_(parameter, value)
    return gan


def values(average: EMA) -> set[float]:
    """The distinct averaged weights."""
    return {
        round(value, 4)
        for network in average.generators.values()
        for parameter in network.parameters()
        for value in parameter.unique().tolist()
    }


@pytest.mark.parametrize("batch", [4, 10, 100])
def test_after_a_half_life_half_of_the_average_is_new(batch: int) -> None:
    gan = gan_of(0.0)
    average = EMA(gan, half_life=1000, batch=batch)
    set_to(gan, 1.0)
    for nimg in range(100_000 + batch, 101_000 + 1, batch):
        average.update(nimg)
    assert values(average) == {0.5}


def test_an_average_has_weights_of_its_own_that_do_not_learn() -> None:
    gan = gan_of(0.0)
    average = EMA(gan, half_life=1000, batch=1)
    set_to(gan, 1.0)
    assert values(average) == {0.0}
    assert not any(p.requires_grad for network in average.generators.values() for p in network.parameters())
    assert all(p.requires_grad for p in gan.parameters())


def test_an_average_is_restored() -> None:
    average, restored = (EMA(gan_of(value), half_life=1000, batch=1) for value in (0.25, 1.0))
    restored.load_state_dict(average.state_dict())
    assert values(restored) == {0.25}


def test_the_averaged_generators_are_used_if_there_are_any() -> None:
    gan = gan_of(0.0)
    average = EMA(gan, half_life=1000, batch=1)
    assert averaged_or_current(gan, average) == average.generators
    assert averaged_or_current(gan, None) == {name: gan.network(name) for name in GENERATORS}


def test_meters_are_means_since_they_were_last_read() -> None:
    meters = AverageMeters()
    for cycle in (1.0, 4.0, 4.0):
        meters.add({"cycle": torch.tensor(cycle, requires_grad=True)})
    meters.add({"identity": torch.tensor(7.0)})
    restored = AverageMeters()
    restored.load_state_dict(meters.state_dict())
    assert meters.read() == restored.read() == {"cycle": 3.0, "identity": 7.0}
    assert meters.read() == {}
