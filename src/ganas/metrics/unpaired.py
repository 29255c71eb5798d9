"""Distances between generated and real images, under keys that state the protocol.

Scores of different protocols cannot be compared, so a key is ``METRIC[N]@NETWORK-PREPROCESSING-SIZE``, as in

    fid@squeezenet-clean-128         `frechet` of SqueezeNet's features at 128 px
    fid10k@inception-clean-299       the same of Inception's, with a sample of 10,000 fakes
    kid@…, kid_stderr@…              `kernel` of the features, and its standard error
    mind@…                           `monge` of the features
    precision@…, recall@…            `precision_recall` of the features
    is@…, is_std@…                   `inception_score` of the network's logits
    swd@laplacian-clean-64           `sliced_wasserstein` at 64 px: no network
    psnr@…, ssim@…, perceptual@…     of pairs (:mod:`ganas.metrics.paired`)

A measurement's protocol holds everything else that a score depends on (:mod:`ganas.metrics.measurement`). No score
depends on the order of the images (except for the choice of a subset of N or SWD_MAX_IMAGES), nor on batches or threads
beyond float32 rounding.
"""

from ganas.errors import DataError
from ganas.metrics.distances import (
    DIRECTIONS,
    NEIGHBORS,
    fit,
    frechet,
    frechet_of_gaussians,
    inception_score,
    kernel,
    kernel_subset_size,
    monge,
    precision_recall,
)
from ganas.metrics.features.base import features_key
from ganas.metrics.image_set import ImageSet
from ganas.metrics.measurement import Measurement
from ganas.metrics.sliced import SMALLEST_SIDE, sliced_wasserstein

SWD_LARGEST_SIDE = 256  # pixels
SPLITS = 10  # of the inception score, as in papers


def fid(real: ImageSet, fake: ImageSet, seed: int) -> Measurement:
    """:func:`~ganas.metrics.distances.frechet` of the two sides' features, with a warning where it is biased."""
    count, dimension = min(len(real), len(fake)), fake.network.dimension
    warning = f"fid: {count} images in a {dimension}-dimensional feature space: biased upward, read kid beside it"
    return Measurement(
        scores={f"fid@{features_key(fake.network)}": _frechet(real, fake)},
        warnings=(warning,) if count <= dimension else (),
    )


def _frechet(real: ImageSet, fake: ImageSet) -> float:
    if real.streams or fake.streams:
        return frechet_of_gaussians(*(side.gaussian or fit(side.features) for side in (real, fake)))
    return frechet(real.features, fake.features, fitted=real.gaussian)


def kid(real: ImageSet, fake: ImageSet, seed: int) -> Measurement:
    """:func:`~ganas.metrics.distances.kernel` of the two sides' features, and its standard error."""
    estimate, standard_error = kernel(real.features, fake.features, seed=seed)
    key = features_key(fake.network)
    return Measurement(
        scores={f"kid@{key}": estimate, f"kid_stderr@{key}": standard_error},
        protocol={"kid_subset_size": kernel_subset_size(real.features, fake.features)},
    )


def mind(real: ImageSet, fake: ImageSet, seed: int) -> Measurement:
    """:func:`~ganas.metrics.distances.monge` of the two sides' features."""
    score = monge(real.features, fake.features, seed=seed)
    return Measurement({f"mind@{features_key(fake.network)}": score}, {"mind_directions": DIRECTIONS})


def pr(real: ImageSet, fake: ImageSet, seed: int) -> Measurement:
    """:func:`~ganas.metrics.distances.precision_recall` of the two sides' features."""
    for side in (real, fake):
        if len(side) <= NEIGHBORS:
            raise DataError(f"pr needs at least {NEIGHBORS + 1} {side.name} images, got {len(side)}: leave pr out")
    precision, recall = precision_recall(real.features, fake.features)
    key = features_key(fake.network)
    return Measurement({f"precision@{key}": precision, f"recall@{key}": recall}, {"pr_neighbours": NEIGHBORS})


def isc(real: ImageSet, fake: ImageSet, seed: int) -> Measurement:
    """:func:`~ganas.metrics.distances.inception_score` of the fakes, with a warning where it is biased."""
    splits = min(SPLITS, len(fake))
    score, deviation = inception_score(fake.logits, splits=splits, seed=seed)
    classes, share = fake.network.classes or 0, len(fake) // splits
    warning = f"is: {share} images a split for {classes} classes: biased downward"
    key = features_key(fake.network)
    return Measurement(
        scores={f"is@{key}": score, f"is_std@{key}": deviation},
        protocol={"is_splits": splits, "classifier_digest": fake.network.classifier_digest},
        warnings=(warning,) if share < classes else (),
    )


def swd(real: ImageSet, fake: ImageSet, seed: int) -> Measurement:
    """:func:`~ganas.metrics.sliced.sliced_wasserstein`, at the largest power of two that enlarges no image."""
    shortest = min(real.lengths[0], fake.lengths[0])
    if shortest < SMALLEST_SIDE:
        raise DataError(f"swd needs images of {SMALLEST_SIDE} px and more, got one of {shortest} px")
    size = min(1 << (shortest.bit_length() - 1), SWD_LARGEST_SIDE)
    images = real.resized(size, seed), fake.resized(size, seed)
    levels = sliced_wasserstein(*images, seed=seed)
    return Measurement(
        scores={f"swd@laplacian-clean-{size}": levels.pop("mean")},
        protocol={"swd_images": min(map(len, images)), "swd_levels": levels},
    )
