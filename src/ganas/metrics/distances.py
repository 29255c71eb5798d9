"""Numbers from features and logits, by torch-fidelity's arithmetic in float64: FID, KID, precision and recall, IS.

FID, KID, precision and recall compare distributions, so neither side needs to know which image belongs to which. FID
(:func:`frechet`) is the number papers print, and biased upward for few images; KID (:func:`kernel`) is unbiased at any
number, and may come out slightly negative for two sets of the same distribution. These names belong to Inception
features; on those of another network the arithmetic is the same and the numbers are not comparable, which the metric's
key says.
"""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

Features = npt.NDArray[np.float64]  # [n, dimension]


class Gaussian(NamedTuple):
    """What FID keeps of a set of features."""

    mean: Features  # [dimension]
    covariance: Features  # [dimension, dimension]


def fit(features: Features) -> Gaussian:
    """Mean and unbiased covariance of float64 [n, dimension], n at least two."""
    from torch_fidelity.metric_fid import fid_features_to_statistics

    statistics = fid_features_to_statistics(torch.from_numpy(features))
    return Gaussian(statistics["mu"], statistics["sigma"])


def frechet(real: Features, fake: Features, *, fitted: Gaussian | None = None) -> float:
    """Fréchet distance of the Gaussians fitted to two sets of features: FID, Heusel et al. 2017
    (https://arxiv.org/abs/1706.08500, equation 6).

    real, fake    float64 [n, dimension] and [m, dimension], at least two rows each
    fitted        what :func:`fit` makes of ``real``, if it is known already

    Returns the squared distance, in squared units of the features. With n or m at or below the dimension a covariance
    is singular: the value is still defined, and biased upward (:mod:`ganas.metrics.evaluate` warns).
    """
    from torch_fidelity.metric_fid import KEY_METRIC_FID, fid_statistics_to_metric

    if len(real) + len(fake) < real.shape[1]:
        real, fake = _in_their_span(real, fake)
        fitted = None
    sides = fitted or fit(real), fit(fake)
    statistics = [{"mu": side.mean, "sigma": side.covariance} for side in sides]
    return float(fid_statistics_to_metric(*statistics, verbose=False)[KEY_METRIC_FID])


def _in_their_span(real: Features, fake: Features) -> tuple[Features, Features]:
    """Both sides in an orthonormal basis of what they span, where that has fewer dimensions than the features.

    Distances don't change, but the eigenvalues of a smaller matrix are found faster (the cost is cubic) and without the
    rounding errors of all the zeros among them.
    """
    basis, _ = np.linalg.qr(np.concatenate([real, fake]).T)  # [dimension, n + m]
    return real @ basis, fake @ basis


def kernel(
    real: Features,
    fake: Features,
    *,
    subset_size: int | None = None,
    subsets: int = 100,
    seed: int = 0,
) -> tuple[float, float]:
    """Squared maximum mean discrepancy under the kernel (x·y / dimension + 1)³: KID, Bińkowski et al. 2018
    (https://arxiv.org/abs/1801.01401).

    real, fake     float64 [n, dimension] and [m, dimension], at least two rows each
    subset_size    rows drawn from each side, without replacement, for one estimate; None: min(1000, n, m)
    subsets        estimates that are averaged; one where a subset is the whole of both sides
    seed           of the draws

    Returns the mean of the estimates and its standard error, which says how far other n and m images of the same kind
    would move it. It is not the spread between subsets that papers print: that one shrinks to zero as subsets become
    whole sets, however few images there are.
    Raises ValueError where a subset has fewer than two rows or more than a side.
    """
    from torch_fidelity.metric_kid import kernel_poly, mmd2

    size = kernel_subset_size(real, fake) if subset_size is None else subset_size
    if not 2 <= size <= min(len(real), len(fake)):
        raise ValueError(f"subset_size must be from 2 to {min(len(real), len(fake))}, got {size}")
    generator = np.random.default_rng(seed)
    estimates, variances = [], []
    for _ in range(1 if size == len(real) == len(fake) else subsets):
        x = real[generator.choice(len(real), size, replace=False)]
        y = fake[generator.choice(len(fake), size, replace=False)]
        within_real, between, within_fake = kernel_poly(x, x), kernel_poly(x, y), kernel_poly(y, y)
        estimates.append(mmd2(within_real, between, within_fake))
        variances.append(
            _variance_of_rows(within_real, between) / len(real) + _variance_of_rows(within_fake, between.T) / len(fake)
        )
    return float(np.mean(estimates)), math.sqrt(np.mean(variances))


def kernel_subset_size(real: Features, fake: Features) -> int:
    """How many rows of each side :func:`kernel` draws at a time, unless told: its paper's 1000, or all."""
    return min(1000, len(real), len(fake))


def _variance_of_rows(within: Features, between: Features) -> float:
    """Variance of what one image of a side contributes to the squared discrepancy, from the kernel's matrices.

    within     [size, size], of the side with itself
    between    [size, size], of the side (rows) with the other

    The leading term of the variance in Sutherland et al. 2017 (https://arxiv.org/abs/1611.04488): an image enters
    through twice the difference of its mean kernel with its own side and with the other.
    """
    size = len(within)
    own = (within.sum(axis=1) - within.diagonal()) / (size - 1)
    return float(4 * np.var(own - between.mean(axis=1), ddof=1))


NEIGHBOURS = 3  # as in the paper


def precision_recall(real: Features, fake: Features) -> tuple[float, float]:
    """Improved precision and recall, Kynkäänniemi et al. 2019 (https://arxiv.org/abs/1904.06991, section 2), k = 3.

    real, fake    float64 [n, dimension] and [m, dimension], at least four rows each

    Returns the share of fakes that lie no farther from some real image than its third nearest real neighbour
    (precision: how believable fakes are), and the same with the sides exchanged (recall: how much of the real variety
    they cover). Higher is better. Raises ValueError for fewer rows.
    """
    from torch_fidelity.metric_prc import KEY_METRIC_PRECISION, KEY_METRIC_RECALL, prc_features_to_metric

    if min(len(real), len(fake)) <= NEIGHBOURS:
        raise ValueError(f"precision and recall need {NEIGHBOURS + 1} images a side, got {len(real)} and {len(fake)}")
    sides = torch.from_numpy(fake), torch.from_numpy(real)
    found = prc_features_to_metric(
        *sides, prc_neighborhood=NEIGHBOURS, prc_batch_size=1000, save_cpu_ram=True, verbose=False
    )
    return float(found[KEY_METRIC_PRECISION]), float(found[KEY_METRIC_RECALL])


def inception_score(logits: Features, *, splits: int = 10, seed: int = 0) -> tuple[float, float]:
    """exp E[KL(p(y|x) ‖ p(y))], Salimans et al. 2016 (https://arxiv.org/abs/1606.03498, section 4).

    logits    float64 [n, classes]
    splits    parts that are scored by themselves, n at least as many
    seed      of the shuffle before the parts are cut

    Returns the mean over the parts and their standard deviation, as papers print them. From 1 to the number of classes,
    higher is better; it sees no real images, and no variety within a class.
    """
    from torch_fidelity.metric_isc import KEY_METRIC_ISC_MEAN, KEY_METRIC_ISC_STD, isc_features_to_metric

    if len(logits) < splits:
        raise ValueError(f"the inception score needs an image in each of {splits} splits, got {len(logits)}")
    found = isc_features_to_metric(torch.from_numpy(logits), splits, shuffle=True, rng_seed=seed)
    return found[KEY_METRIC_ISC_MEAN], found[KEY_METRIC_ISC_STD]
