"""Schedules: pure functions of the images seen."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ganas.learning.schedules import ema_decay, learning_rate_factor, temperature


def test_the_learning_rate_of_100_and_100_epochs() -> None:
    factors = [learning_rate_factor(epoch * 1000, total=200_000, decay=0.5) for epoch in (0, 50, 100, 150, 190, 200)]
    assert factors == pytest.approx([1, 1, 1, 0.5, 0.1, 0])


def test_the_learning_rate_without_decay_stays() -> None:
    assert [learning_rate_factor(nimg, total=10, decay=0) for nimg in (0, 9, 10)] == [1, 1, 1]


@given(st.integers(1, 10**6), st.floats(0, 1), st.integers(0, 10**6), st.integers(0, 10**6))
def test_the_learning_rate_never_rises_and_stays_within_0_and_1(total: int, decay: float, one: int, other: int) -> None:
    first, last = (learning_rate_factor(nimg, total=total, decay=decay) for nimg in sorted((one, other)))
    assert 0 <= last <= first <= 1


def test_the_temperature_falls_from_start_to_end_by_equal_factors() -> None:
    fall = [temperature(nimg, total=100, start=5, end=0.1) for nimg in (0, 25, 50, 75, 100, 150)]
    assert (fall[0], fall[4], fall[5]) == (5, pytest.approx(0.1), pytest.approx(0.1))
    assert [later / sooner for sooner, later in pairwise(fall[:5])] == pytest.approx([0.02**0.25] * 4)


@given(st.integers(1, 64), st.floats(1, 1e6))
def test_early_in_a_run_the_average_forgets_its_initial_weights(batch: int, half_life: float) -> None:
    """Even if the half-life is longer than the run."""
    assert ema_decay(batch, batch=batch, half_life=half_life) <= 0.5**20
    assert ema_decay(2000 * batch, batch=batch, half_life=half_life) <= 0.5 ** (1 / 100)
