"""How close an image is to the right answer, which is known for pairs.

PSNR and SSIM compare pixels, and reward blur and gray where the answer is uncertain; the perceptual distance compares
feature maps of a network. Keys are ``psnr@rgb-native-SIDE``, ``ssim@rgb-native-SIDE`` (SIDE is the shortest of all
images, which are compared at their own sizes) and ``perceptual@NETWORK-PREPROCESSING-SIZE``.
"""

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ganas.data.images import Images
from ganas.data.threads import in_threads
from ganas.errors import DataError
from ganas.metrics.features.base import FeatureNetwork, features_key
from ganas.metrics.features.preprocessing import resized_batches

Pixels = npt.NDArray[np.uint8]  # [h, w, 3]
ROUNDING = 1 / 12  # squared gray levels: the mean squared error of rounding, below which 8 bits tell nothing
SSIM_WINDOW = 11  # pixels


def psnr(truth: Pixels, image: Pixels) -> float:
    """Peak signal-to-noise ratio in dB: 10 log₁₀(255² / mean squared error); higher is better.

    An error below that of rounding counts as rounding, so that equal images have 58.9 dB and not infinitely many.
    """
    error = float(np.mean((truth.astype(np.float64) - image) ** 2))
    return 10 * float(np.log10(255**2 / max(error, ROUNDING)))


def ssim(truth: Pixels, image: Pixels) -> float:
    """Structural similarity, Wang et al. 2004 (https://doi.org/10.1109/TIP.2003.819861), by scikit-image.

    Gaussian windows of deviation 1.5 on 11×11 pixels, the mean over the channels; 1 for equal images. Raises
    ValueError for images of less than 11 pixels.
    """
    from skimage.metrics import structural_similarity  # slow to import

    wang = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    similarity = structural_similarity(truth, image, channel_axis=-1, data_range=255, **wang)  # type: ignore[no-untyped-call]
    return float(similarity)


def perceptual(truth: Images, images: Images, network: FeatureNetwork, batch: int) -> list[float]:
    """Distance of each pair of images in a network's feature maps: LPIPS without its learned weights.

    The vectors of each position are scaled to unit length; their squared distance (0 to 4) is averaged over the
    positions of a map, and over the maps (Zhang et al. 2018, https://arxiv.org/abs/1801.03924, equation 1 with w = 1).
    Lower is better; 0 for equal images.
    """
    distances: list[float] = []
    for one, other in zip(_maps(truth, network, batch), _maps(images, network, batch), strict=True):
        layers = [(_unit(a) - _unit(b)).square().sum(1) for a, b in zip(one, other, strict=True)]
        distances += torch.stack([layer.double().mean((1, 2)) for layer in layers]).mean(0).tolist()
    return distances


# ── as metrics ───────────────────────────────────────────────────────────────────────────────────────────────────────


Scores = tuple[str, list[float]]  # the key, and the score of each pair
BATCH = 32


def psnr_of_pairs(truth: Images, images: Images, network: FeatureNetwork | None) -> Scores:
    """:func:`psnr` of each pair."""
    return _by_pixels("psnr", psnr, truth, images)


def ssim_of_pairs(truth: Images, images: Images, network: FeatureNetwork | None) -> Scores:
    """:func:`ssim` of each pair; raises DataError for images that are smaller than its window."""
    return _by_pixels("ssim", ssim, truth, images)


def perceptual_of_pairs(truth: Images, images: Images, network: FeatureNetwork | None) -> Scores:
    """:func:`perceptual` of each pair."""
    assert network is not None, "Reference refuses metrics whose network is missing"
    return f"perceptual@{features_key(network)}", perceptual(truth, images, network, BATCH)


def _by_pixels(name: str, score: Callable[[Pixels, Pixels], float], truth: Images, images: Images) -> Scores:
    shortest: list[int] = []

    def score_pair(index: int) -> float:
        one, other = np.asarray(truth.read(index)), np.asarray(images.read(index))
        if one.shape != other.shape:
            sizes = " and ".join(f"{pixels.shape[1]}×{pixels.shape[0]}" for pixels in (one, other))
            raise DataError(f"pair {index + 1} has {sizes} pixels: pairs need the same size")
        side = min(one.shape[:2])
        shortest.append(side)
        if name == "ssim" and side < SSIM_WINDOW:
            raise DataError(f"ssim needs images of {SSIM_WINDOW} px and more, got one of {side} px")
        return score(one, other)

    scores = list(in_threads(score_pair, len(truth)))
    return f"{name}@rgb-native-{min(shortest)}", scores


def _maps(images: Images, network: FeatureNetwork, batch: int) -> Iterator[list[Tensor]]:
    for resized in resized_batches(images, network.size, batch, network.preprocessing):
        yield network.maps(resized)


def _unit(x: Tensor) -> Tensor:
    return x / (torch.linalg.vector_norm(x, dim=1, keepdim=True) + 1e-10)  # type: ignore[no-any-return]
