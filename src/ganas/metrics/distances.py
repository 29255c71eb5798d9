"""FID, KID, precision and recall, and IS from features and logits, computed by torch-fidelity in float64.

FID (:func:`frechet`) is the number papers print, and biased upward for few images; KID (:func:`kernel`) is unbiased at
any number, and may be slightly negative for two sets of the same distribution. The names belong to Inception features:
with another network the numbers are not comparable, so metric keys name the network.
"""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

KERNEL_SUBSET_SIZE = 1000  # images of each side per estimate of KID, as in the paper
KERNEL_SUBSETS = 100  # averaged estimates
NEIGHBORS = 3  # of precision and recall, as in the paper

Features = npt.NDArray[np.float64]  # [n, dimension]


class Gaussian(NamedTuple):
    """The mean and covariance of a set of features."""

    mean: Features  # [dimension]
    covariance: Features  # [dimension, dimension]


def fit(features: Features) -> Gaussian:
    """Fit mean and unbiased covariance to float64 [n, dimension], n at least two."""
    from torch_fidelity.metric_fid import fid_features_to_statistics

    statistics = fid_features_to_statistics(torch.from_numpy(features))
    return Gaussian(statistics["mu"], statistics["sigma"])


class RunningGaussian:
    """`fit` of features that come in batches, in the memory of a few of them: float64 mean and sum of outer products.

    Sums are of deviations from the mean so far, and those of two parts are joined (Chan, Golub and LeVeque 1983): sums
    that are not centered would lose the digits that a covariance consists of.
    """

    BLOCK = 512  # rows that are joined at once

    def __init__(self, dimension: int) -> None:
        self._count = 0
        self._mean = np.zeros(dimension)
        self._products = np.zeros((dimension, dimension))  # of deviations from the mean
        self._waiting: list[Features] = []
        self._rows = 0  # of those that wait

    def add(self, features: Features) -> None:
        """Add rows, float64 [n, dimension]."""
        self._waiting.append(features)
        self._rows += len(features)
        if self._rows >= self.BLOCK:
            self._join()

    def fit(self) -> Gaussian:
        """Return mean and unbiased covariance of all rows so far, at least two."""
        self._join()
        return Gaussian(self._mean.copy(), self._products / (self._count - 1))

    def _join(self) -> None:
        if not self._waiting:
            return
        rows = np.concatenate(self._waiting)
        self._waiting, self._rows = [], 0
        mean, count = rows.mean(axis=0), len(rows)
        rows -= mean
        shift, total = mean - self._mean, self._count + count
        self._products += rows.T @ rows
        self._products += np.outer(shift, shift * (self._count * count / total))
        self._mean += shift * (count / total)
        self._count = total


def frechet(real: Features, fake: Features, *, fitted: Gaussian | None = None) -> float:
    """Fréchet distance of the Gaussians fitted to two sets of features: FID, Heusel et al. 2017
    (https://arxiv.org/abs/1706.08500, equation 6).

    real, fake    float64 [n, dimension] and [m, dimension], at least two rows each
    fitted        :func:`fit` of ``real``, if already known

    Returns the squared distance, in squared units of the features. With n or m at or below the dimension a covariance
    is singular: the value is still defined, and biased upward.
    """
    if len(real) + len(fake) < real.shape[1]:
        real, fake = _project_to_span(real, fake)
        fitted = None
    return frechet_of_gaussians(fitted or fit(real), fit(fake))


def frechet_of_gaussians(real: Gaussian, fake: Gaussian) -> float:
    """Return the squared Fréchet distance of two Gaussians."""
    from torch_fidelity.metric_fid import KEY_METRIC_FID, fid_statistics_to_metric

    statistics = [{"mu": side.mean, "sigma": side.covariance} for side in (real, fake)]
    return float(fid_statistics_to_metric(*statistics, verbose=False)[KEY_METRIC_FID])


def _project_to_span(real: Features, fake: Features) -> tuple[Features, Features]:
    """Project both sides onto an orthonormal basis of their span, which has fewer dimensions than the features.

    Distances do not change, but eigenvalues (at cubic cost) are found faster, and none is zero up to rounding.
    """
    basis, _ = np.linalg.qr(np.concatenate([real, fake]).T)  # [dimension, n + m]
    return real @ basis, fake @ basis


def kernel(real: Features, fake: Features, *, seed: int = 0) -> tuple[float, float]:
    """Squared maximum mean discrepancy under the kernel (x·y / dimension + 1)³: KID, Bińkowski et al. 2018
    (https://arxiv.org/abs/1801.01401).

    real, fake    float64 [n, dimension] and [m, dimension], at least two rows each
    seed          of the subsets; if a subset is all of both sides, there is one

    Returns the mean of the estimates and its standard error over samples of n and m images. Papers print the spread
    between subsets instead, which shrinks to zero as subsets approach the whole set, however few images there are.
    """
    from torch_fidelity.metric_kid import kernel_poly, mmd2

    size = kernel_subset_size(real, fake)
    generator = np.random.default_rng(seed)
    estimates, variances = [], []
    for _ in range(1 if size == len(real) == len(fake) else KERNEL_SUBSETS):
        x = real[generator.choice(len(real), size, replace=False)]
        y = fake[generator.choice(len(fake), size, replace=False)]
        within_real, between, within_fake = kernel_poly(x, x), kernel_poly(x, y), kernel_poly(y, y)
        estimates.append(mmd2(within_real, between, within_fake))
        variances.append(
            _variance_of_rows(within_real, between) / len(real) + _variance_of_rows(within_fake, between.T) / len(fake)
        )
    return float(np.mean(estimates)), math.sqrt(np.mean(variances))


def kernel_subset_size(real: Features, fake: Features) -> int:
    """Return the number of rows that :func:`kernel` samples from each side, without replacement, per estimate."""
    return min(KERNEL_SUBSET_SIZE, len(real), len(fake))


def _variance_of_rows(within: Features, between: Features) -> float:
    """Return the variance of one image's contribution to the squared discrepancy, from kernel matrices.

    within     [size, size], of the side with itself
    between    [size, size], of the side (rows) with the other

    The leading term in Sutherland et al. 2017 (https://arxiv.org/abs/1611.04488): an image enters through twice the
    difference of its mean kernel with its own side and with the other.
    """
    size = len(within)
    own = (within.sum(axis=1) - within.diagonal()) / (size - 1)
    return float(4 * np.var(own - between.mean(axis=1), ddof=1))


DIRECTIONS = 1000


def monge(real: Features, fake: Features, *, directions: int = DIRECTIONS, seed: int = 0) -> float:
    """Monge inception distance: MIND, Berthet et al. 2026 (https://arxiv.org/abs/2605.06797).

    real, fake    float64 [n, dimension] and [m, dimension]
    directions    number of random directions that features are projected onto
    seed          of the directions

    Returns 3 · dimension times the mean over the directions of the squared Wasserstein distance of the projections,
    exact in one dimension: the mean squared difference of their quantile functions. In squared units of the features.
    """
    dimension = real.shape[1]
    axes = np.random.default_rng(seed).standard_normal((dimension, directions))
    axes /= np.linalg.norm(axes, axis=0)
    # both quantile functions are steps; between two neighboring steps of either they are constant
    n, m = len(real), len(fake)
    steps = np.union1d(np.arange(1, n + 1) * m, np.arange(1, m + 1) * n)  # in units of 1 / (n m)
    lengths = np.diff(steps, prepend=0) / (n * m)
    in_real, in_fake = (steps - 1) // m, (steps - 1) // n
    total = 0.0
    for start in range(0, directions, 50):  # a few at a time, for less memory
        some = axes[:, start : start + 50]
        x, y = np.sort(real @ some, axis=0), np.sort(fake @ some, axis=0)
        total += (lengths @ (x[in_real] - y[in_fake]) ** 2).sum()
    return float(3 * dimension * total / directions)


def precision_recall(real: Features, fake: Features) -> tuple[float, float]:
    """Improved precision and recall, Kynkäänniemi et al. 2019 (https://arxiv.org/abs/1904.06991, section 2), k = 3.

    real, fake    float64 [n, dimension] and [m, dimension], at least four rows each

    Returns the fraction of fakes that lie no farther from some real image than its third nearest real neighbor
    (precision: how realistic fakes are), and the same with the sides exchanged (recall: how much of the real variety
    they cover). Higher is better. Raises ValueError for fewer rows.
    """
    from torch_fidelity.metric_prc import KEY_METRIC_PRECISION, KEY_METRIC_RECALL, prc_features_to_metric

    if min(len(real), len(fake)) <= NEIGHBORS:
        raise ValueError(f"precision and recall need {NEIGHBORS + 1} images a side, got {len(real)} and {len(fake)}")
    sides = torch.from_numpy(fake), torch.from_numpy(real)
    found = prc_features_to_metric(
        *sides, prc_neighborhood=NEIGHBORS, prc_batch_size=1000, save_cpu_ram=True, verbose=False
    )
    return float(found[KEY_METRIC_PRECISION]), float(found[KEY_METRIC_RECALL])


def inception_score(logits: Features, *, splits: int = 10, seed: int = 0) -> tuple[float, float]:
    """exp E[KL(p(y|x) ‖ p(y))], Salimans et al. 2016 (https://arxiv.org/abs/1606.03498, section 4).

    logits    float64 [n, classes]
    splits    number of parts that are scored separately, at most n
    seed      of the shuffle before splitting

    Returns the mean over the parts and their standard deviation, as in papers. From 1 to the number of classes,
    higher is better; it uses no real images and ignores variety within a class.
    """
    from torch_fidelity.metric_isc import KEY_METRIC_ISC_MEAN, KEY_METRIC_ISC_STD, isc_features_to_metric

    if len(logits) < splits:
        raise ValueError(f"the inception score needs an image in each of {splits} splits, got {len(logits)}")
    found = isc_features_to_metric(torch.from_numpy(logits), splits, shuffle=True, rng_seed=seed)
    return found[KEY_METRIC_ISC_MEAN], found[KEY_METRIC_ISC_STD]
