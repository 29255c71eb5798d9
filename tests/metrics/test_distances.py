"""Distances whose answers are known beforehand."""

from itertools import permutations, product

import numpy as np
import numpy.typing as npt
import pytest
import torch
from scipy.linalg import sqrtm

from ganas.metrics.distances import (
    Features,
    RunningGaussian,
    fit,
    frechet,
    frechet_of_gaussians,
    inception_score,
    kernel,
    monge,
    precision_recall,
)


def gaussian_features(
    count: int, mean: npt.ArrayLike, covariance: Features, generator: np.random.Generator
) -> Features:
    """Points whose *sample* mean and covariance are exactly the given ones, so that closed forms hold to rounding."""
    points = generator.standard_normal((count, len(covariance)))
    points -= points.mean(axis=0)
    points = points @ np.linalg.inv(np.linalg.cholesky(np.cov(points, rowvar=False))).T
    return np.asarray(mean) + points @ np.linalg.cholesky(covariance).T


def random_covariance(dimension: int, generator: np.random.Generator) -> Features:
    factor = generator.standard_normal((dimension, 2 * dimension))
    return factor @ factor.T / dimension


def test_frechet_of_one_dimension_is_the_difference_of_means_and_deviations_squared() -> None:
    generator = np.random.default_rng(0)
    # One dimension twice, as NumPy's covariance of a single column is no matrix.
    real = gaussian_features(50, [1.0, 0.0], np.diag([4.0, 1.0]), generator)
    fake = gaussian_features(70, [4.0, 0.0], np.diag([9.0, 1.0]), generator)
    assert frechet(real, fake) == pytest.approx(3.0**2 + (2.0 - 3.0) ** 2, rel=1e-9)


def test_frechet_of_gaussians_that_do_not_commute() -> None:
    generator = np.random.default_rng(1)
    one, other = random_covariance(6, generator), random_covariance(6, generator)
    shift = generator.standard_normal(6)
    real = gaussian_features(60, np.zeros(6), one, generator)
    fake = gaussian_features(40, shift, other, generator)
    root = sqrtm(one)
    expected = shift @ shift + np.trace(one) + np.trace(other) - 2 * np.trace(sqrtm(root @ other @ root))
    assert frechet(real, fake) == pytest.approx(expected, rel=1e-9)
    assert frechet(fake, real) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("count", [200, 20])  # more and fewer than dimensions
def test_frechet_of_a_set_and_itself_is_zero(count: int) -> None:
    features = np.random.default_rng(2).standard_normal((count, 64))
    assert frechet(features, features) == pytest.approx(0, abs=1e-6)


def test_frechet_ignores_directions_without_variance() -> None:
    generator = np.random.default_rng(3)
    real, fake = generator.standard_normal((10, 4)), generator.standard_normal((12, 4)) + 1
    rotation, _ = np.linalg.qr(generator.standard_normal((64, 64)))
    embedded = [np.pad(features, ((0, 0), (0, 60))) @ rotation for features in (real, fake)]
    assert frechet(*embedded) == pytest.approx(frechet(real, fake), rel=1e-6)


def test_kernel_is_its_definition() -> None:
    generator = np.random.default_rng(4)
    real, fake = generator.standard_normal((5, 3)), generator.standard_normal((5, 3))

    def k(x: Features, y: Features) -> float:
        return float((x @ y / 3 + 1) ** 3)

    expected = (
        np.mean([k(x, y) for x, y in permutations(real, 2)])
        + np.mean([k(x, y) for x, y in permutations(fake, 2)])
        - 2 * np.mean([k(x, y) for x, y in product(real, fake)])
    )
    assert kernel(real, fake)[0] == pytest.approx(expected, rel=1e-12)


def test_kernel_is_unbiased_over_random_halves() -> None:
    generator = np.random.default_rng(6)
    features = generator.standard_normal((80, 16))
    halves = (np.split(generator.permutation(features), 2) for _ in range(400))
    means = np.array([kernel(one, other)[0] for one, other in halves])
    assert abs(means.mean()) < 4 * means.std() / np.sqrt(len(means))


def test_kernel_of_subsets_estimates_what_whole_sets_do(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(7)
    real, fake = generator.standard_normal((300, 8)), generator.standard_normal((300, 8)) + 0.5
    whole = kernel(real, fake)
    monkeypatch.setattr("ganas.metrics.distances.KERNEL_SUBSET_SIZE", 100)
    part = kernel(real, fake)
    assert part[0] == pytest.approx(whole[0], rel=0.1)
    # The standard error is that of the sets, however large the subsets are through which it is seen.
    assert part[1] == pytest.approx(whole[1], rel=0.1)


def test_the_standard_error_of_kernel_is_its_spread_over_samples() -> None:
    generator = np.random.default_rng(8)
    draws = np.array(
        [kernel(generator.standard_normal((60, 8)), generator.standard_normal((60, 8)) + 0.6) for _ in range(300)]
    )
    estimates, standard_errors = draws.T
    assert np.median(standard_errors) == pytest.approx(estimates.std(), rel=0.25)


def test_kernel_of_sets_of_different_size_repeats_with_its_seed() -> None:
    generator = np.random.default_rng(9)
    real, fake = generator.standard_normal((90, 8)), generator.standard_normal((30, 8))
    assert kernel(real, fake, seed=1) == kernel(real, fake, seed=1)
    assert kernel(real, fake, seed=1) != kernel(real, fake, seed=2)


# Precision and recall


def test_precision_and_recall_of_a_generator_that_dropped_a_mode() -> None:
    """Fakes lie all on one of two real clusters: each is believable, and half of the real images are out of reach."""
    generator = np.random.default_rng(20)
    here, there = generator.standard_normal((2, 40, 3)) + np.array([[[0.0]], [[100.0]]])
    fake = generator.standard_normal((40, 3)) * 0.1
    precision, recall = precision_recall(np.concatenate([here, there]), fake)
    assert precision == 1.0 and recall < 0.5
    wide = np.concatenate([here, there, here + 1000])  # and one that invents: every real image is covered
    precision, recall = precision_recall(here, wide)
    assert precision == pytest.approx(1 / 3) and recall == 1.0


def test_precision_and_recall_by_hand() -> None:
    """On a line, neighbours one apart: every ball of the third nearest neighbour is known."""
    real, fake = np.arange(8.0)[:, None], np.array([[9.5], [11.0], [12.0], [13.0], [50.0]])
    # real balls: 3 at the ends (0 and 7), 2 within; 9.5 is 2.5 from 7, whose ball has 3, and farther from all others
    # fake balls: 9.5 reaches 13 (3.5), so 6 and 7; 11 reaches 13 (2); 50 reaches 11 (39), so everything from 11
    precision, recall = precision_recall(real, fake)
    assert precision == pytest.approx(1 / 5)
    assert recall == pytest.approx(2 / 8)


def test_precision_and_recall_need_more_images_than_neighbours() -> None:
    with pytest.raises(ValueError, match="need 4 images a side, got 3 and 9"):
        precision_recall(np.zeros((3, 2)), np.zeros((9, 2)))


# Inception score


def test_the_inception_score_of_sure_and_even_classes_is_their_number() -> None:
    logits = 1000.0 * np.eye(5)[np.arange(50) % 5]
    assert inception_score(logits, splits=1) == pytest.approx((5.0, 0.0))


def test_the_inception_score_of_images_that_all_look_alike_is_one() -> None:
    assert inception_score(np.tile([1.0, 2.0, 3.0], (30, 1))) == pytest.approx((1.0, 0.0))


def test_the_inception_score_of_two_distributions_by_hand() -> None:
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8]])
    marginal = probabilities.mean(axis=0)
    expected = np.exp((probabilities * np.log(probabilities / marginal)).sum(axis=1).mean())
    assert inception_score(np.log(probabilities), splits=1)[0] == pytest.approx(expected, rel=1e-12)


def test_the_inception_score_is_torch_fidelitys() -> None:
    from torch_fidelity.metric_isc import isc_features_to_metric

    logits = np.random.default_rng(0).standard_normal((103, 7))
    expected = isc_features_to_metric(torch.from_numpy(logits), splits=10, shuffle=True, rng_seed=4)
    assert inception_score(logits, seed=4) == tuple(expected.values())


@pytest.mark.parametrize("batch", [1, 32, 600, 5000])
@pytest.mark.parametrize("offset", [0.0, 1e4], ids=["centered", "far from zero"])
def test_running_sums_give_the_same_distance(batch: int, offset: float) -> None:
    """Also where squares are ten billion times the variance."""
    generator = np.random.default_rng(4)
    sides = [
        offset + shift + generator.standard_normal((1300, 24)) @ generator.standard_normal((24, 24)) for shift in (0, 1)
    ]
    summed = []
    for side in sides:
        running = RunningGaussian(24)
        for start in range(0, len(side), batch):
            running.add(side[start : start + batch])
        summed.append(running.fit())
        expected = fit(side)
        np.testing.assert_allclose(summed[-1].mean, expected.mean, rtol=1e-12)
        np.testing.assert_allclose(summed[-1].covariance, expected.covariance, rtol=1e-8, atol=1e-9)
    assert frechet_of_gaussians(*summed) == pytest.approx(frechet(*sides), rel=1e-9)


def test_a_fitted_gaussian_changes_nothing() -> None:
    generator = np.random.default_rng(30)
    for counts in ((20, 30), (80, 90)):  # fewer and more than dimensions
        real, fake = (generator.standard_normal((count, 64)) for count in counts)
        assert frechet(real, fake, fitted=fit(real)) == frechet(real, fake)


# ── MIND ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_monge_of_a_shift_is_its_closed_form() -> None:
    """A shift by s moves every projection by s·u; the mean of (s·u)² over directions u is s²/d."""
    generator = np.random.default_rng(0)
    features, shift = generator.standard_normal((30, 5)), generator.standard_normal(5)
    axes = np.random.default_rng(7).standard_normal((5, 400))
    axes /= np.linalg.norm(axes, axis=0)
    exact = 3 * 5 * np.mean((shift @ axes) ** 2)
    assert monge(features, features + shift, directions=400, seed=7) == pytest.approx(exact, rel=1e-9)
    assert monge(features, features + shift, directions=100_000) == pytest.approx(3 * shift @ shift, rel=0.02)


def test_monge_of_one_dimension_agrees_with_a_linear_program() -> None:
    from scipy.optimize import linprog

    generator = np.random.default_rng(1)
    x, y = generator.standard_normal((5, 1)), 2 * generator.standard_normal((7, 1)) + 1
    cost = (x - y.T) ** 2
    marginals = [np.kron(np.eye(5), np.ones(7)), np.kron(np.ones(5), np.eye(7))]
    found = linprog(cost.ravel(), A_eq=np.vstack(marginals), b_eq=[1 / 5] * 5 + [1 / 7] * 7)
    assert monge(x, y, directions=3) == pytest.approx(3 * found.fun, rel=1e-6)


def test_monge_ignores_order_and_repetition_and_is_zero_for_one_set() -> None:
    generator = np.random.default_rng(2)
    one, other = generator.standard_normal((12, 6)), generator.standard_normal((9, 6))
    whole = monge(one, other)
    assert monge(one[::-1], generator.permutation(other)) == pytest.approx(whole, rel=1e-9)
    assert monge(np.repeat(one, 3, axis=0), np.repeat(other, 2, axis=0)) == pytest.approx(whole, rel=1e-9)
    assert monge(other, one) == pytest.approx(whole, rel=1e-9)
    assert monge(one, one[::-1]) == pytest.approx(0, abs=1e-12)
