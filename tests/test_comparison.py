"""Verdicts that know their noise, on measurements made up for it; runs are compared in test_evaluation."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
from scipy import stats as scipy_stats

from ganas.comparison import Contrast, Group, contrasts, meaning
from ganas.metrics.measurement import Measurement

PSNR, SWD = "psnr@rgb-native-64", "swd@laplacian-clean-64"


def model(key: str, score: float, images: Sequence[float] = (), resampled: Sequence[float] = ()) -> Measurement:
    per_image = {key: tuple(images)} if len(images) else {}
    return Measurement({key: score}, {"bootstrap": 1}, per_image=per_image, resampled={key: tuple(resampled)})


def contrast(key: str, one: Sequence[Measurement], other: Sequence[Measurement]) -> Contrast:
    groups = [Group(name, tuple({"ab": each} for each in side)) for name, side in (("one", one), ("other", other))]
    (found,) = contrasts(groups)
    assert found.key == key
    return found


def seeds(key: str, mean: float, deviation: float, count: int, seed: int) -> list[Measurement]:
    values = np.random.default_rng(seed).normal(mean, deviation, count)
    return [model(key, float(value)) for value in values]


def test_models_are_compared_over_pairs() -> None:
    generator = np.random.default_rng(0)
    difficulty = generator.normal(25, 10, 60)  # much larger than the difference, and shared
    one, other = difficulty + generator.normal(0.5, 0.5, 60), difficulty + generator.normal(0, 0.5, 60)
    found = contrast(PSNR, [model(PSNR, one.mean(), one)], [model(PSNR, other.mean(), other)])
    assert (found.verdict, found.scope) == ("better", "models"), "a higher PSNR is better"
    assert found.difference.low < 0.5 < found.difference.high < 1
    margin = found.difference.high - found.difference.estimate
    t = scipy_stats.t(59)
    error = (one - other).std(ddof=1) / math.sqrt(60)
    assert margin == pytest.approx(t.ppf(0.975) * error)
    assert found.detectable == pytest.approx((t.ppf(0.975) + t.ppf(0.8)) * error)


def test_models_without_pairs_are_compared_over_common_resamples() -> None:
    noise = np.random.default_rng(1).normal(0, 1, 50)
    one = model(SWD, 3.0, resampled=3 + noise)
    other = model(SWD, 2.0, resampled=2 + noise + np.tile([0.1, -0.1], 25))
    found = contrast(SWD, [one], [other])
    assert found.verdict == "worse", "a lower distance is better"
    assert found.difference.high - found.difference.low == pytest.approx(2 * 1.96 * 0.1, rel=0.02)


@pytest.mark.parametrize(("shift", "verdict"), [(4, "better"), (-4, "worse"), (0, "cannot tell")])
def test_methods_are_compared_over_seeds(shift: float, verdict: str) -> None:
    found = contrast(PSNR, seeds(PSNR, 25 + shift, 1, 4, seed=2), seeds(PSNR, 25, 1, 4, seed=3))
    assert (found.verdict, found.scope, found.seeds) == (verdict, "methods", (4, 4))


@pytest.mark.parametrize("counts", [(2, 2), (1, 5), (5, 2)])
def test_fewer_than_three_seeds_a_side_give_no_verdict(counts: tuple[int, int]) -> None:
    sides = [seeds(PSNR, mean, 0.001, count, seed=4) for mean, count in zip((99, 1), counts, strict=True)]
    found = contrast(PSNR, *sides)
    assert found.verdict == "cannot tell" and found.scope == "models" and found.detectable == math.inf
    groups = [Group("x", tuple({"ab": each} for each in side)) for side in sides]
    assert meaning(*groups).startswith(f"no verdict: {counts[0]} and {counts[1]} seeds, and it takes 3 seeds a side")


def test_equal_models_cannot_be_told_apart() -> None:
    images = np.random.default_rng(5).normal(25, 3, 20)
    one = model(PSNR, images.mean(), images)
    assert contrast(PSNR, [one], [one]).verdict == "cannot tell"


def test_one_time_in_twenty_equal_methods_are_told_apart() -> None:
    verdicts = [
        contrast(PSNR, seeds(PSNR, 25, 1, 3, seed=number), seeds(PSNR, 25, 1, 3, seed=10**6 + number)).verdict
        for number in range(400)
    ]
    wrong = sum(verdict != "cannot tell" for verdict in verdicts)
    assert wrong / len(verdicts) < 0.08
