"""Intervals and power against scipy, simulation and published sizes."""

import math

import numpy as np
import pytest
from scipy import stats as scipy_stats

from ganas.stats import (
    detectable_difference,
    difference,
    hypervolume,
    mean_interval,
    paired_difference,
    pooled_deviation,
    power,
    rank_correlation,
    seeds_needed,
)


def test_a_mean_has_scipys_interval() -> None:
    values = np.random.default_rng(0).normal(3, 2, 7)
    low, high = scipy_stats.ttest_1samp(values, 0).confidence_interval()
    found = mean_interval(values.tolist())
    assert (found.estimate, found.low, found.high) == pytest.approx((values.mean(), low, high), rel=1e-9)


@pytest.mark.parametrize("sizes", [(3, 3), (4, 9), (2, 12)])
def test_a_difference_has_scipys_interval(sizes: tuple[int, int]) -> None:
    generator = np.random.default_rng(1)
    one, other = generator.normal(0, 1, sizes[0]), generator.normal(1, 5, sizes[1])
    low, high = scipy_stats.ttest_ind(one, other, equal_var=False).confidence_interval()
    found = difference(one.tolist(), other.tolist())
    assert (found.low, found.high) == pytest.approx((low, high), rel=1e-9)


def test_pairs_cancel_what_both_sides_share() -> None:
    shared = np.random.default_rng(2).normal(0, 100, 30)
    found = paired_difference((shared + 1).tolist(), shared.tolist())
    assert (found.low, found.high) == pytest.approx((1, 1))


def test_one_value_says_nothing_of_the_spread() -> None:
    for found in (mean_interval([2.0]), difference([2.0], [1.0, 1.1]), paired_difference([2.0], [1.0])):
        assert (found.low, found.high) == (-math.inf, math.inf) and not found.excludes_zero
    assert math.isnan(pooled_deviation([1.0], [2.0])) and math.isnan(detectable_difference(math.nan, 2, 2))
    assert detectable_difference(1.0, 1, 1) == math.inf


def test_equal_values_have_no_interval() -> None:
    found = difference([2.0, 2.0], [1.0, 1.0])
    assert (found.low, found.high) == (1, 1) and found.excludes_zero


def test_a_pooled_deviation_ignores_the_means_of_the_groups() -> None:
    groups = [[1.0, 3.0], [100.0, 102.0, 104.0]]
    assert pooled_deviation(*groups) == pytest.approx(math.sqrt((2 + 8) / 3))


@pytest.mark.parametrize(("deviation", "seeds"), [(11, 77), (3, 7), (2, 4)])
def test_seeds_that_resolve_a_difference_of_5(deviation: float, seeds: int) -> None:
    assert seeds_needed(5, deviation) == seeds


@pytest.mark.parametrize(("one", "other"), [(3, 3), (2, 6), (20, 20)])
def test_a_detectable_difference_is_found_four_times_out_of_five(one: int, other: int) -> None:
    smallest = detectable_difference(2.0, one, other)
    assert power(smallest, 2.0, one, other) == pytest.approx(0.8, abs=1e-6)
    generator = np.random.default_rng(3)
    samples = generator.normal(smallest, 2, (one, 20_000)), generator.normal(0, 2, (other, 20_000))
    found = scipy_stats.ttest_ind(*samples).pvalue < 0.05
    assert found.mean() == pytest.approx(0.8, abs=0.01)


def test_hypervolume_by_hand_and_by_counting() -> None:
    assert hypervolume([], (4, 4)) == 0
    assert hypervolume([(1, 1)], (4, 4)) == 9
    assert hypervolume([(1, 3), (2, 1), (3, 2), (5, 0), (0, 5)], (4, 4)) == 1 + 2 * 3, (
        "beaten and outside ones do not count"
    )
    generator = np.random.default_rng(0)
    points = generator.random((6, 2))
    samples = generator.random((200_000, 2))
    dominated = (samples[:, None] >= points[None]).all(2).any(1).mean()
    assert hypervolume([tuple(point) for point in points.tolist()], (1, 1)) == pytest.approx(dominated, abs=0.004)


def test_rank_correlation_is_scipys() -> None:
    generator = np.random.default_rng(0)
    for one, other in ((generator.random(9), generator.random(9)), generator.integers(0, 3, (2, 12))):
        expected = scipy_stats.spearmanr(one, other).statistic
        assert rank_correlation(one.tolist(), other.tolist()) == pytest.approx(expected)
    assert math.isnan(rank_correlation([1, 1], [1, 2]))
