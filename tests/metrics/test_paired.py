"""Scores of pairs against closed forms, scikit-image and an independent implementation."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ganas.metrics.features.base import FeatureNetwork, Parts, assemble
from ganas.metrics.features.preprocessing import TensorImages
from ganas.metrics.paired import perceptual, psnr, ssim


def noise(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def tiny_network() -> FeatureNetwork:
    torch.manual_seed(0)
    trunk = nn.Sequential(
        nn.Conv2d(3, 6, 3, 2, 1), nn.ReLU(inplace=True), nn.Conv2d(6, 5, 3, 2, 1), nn.Tanh(), nn.AdaptiveAvgPool2d(1)
    )
    mean, deviation = torch.full((3,), 120.0), torch.full((3,), 60.0)
    return assemble("tiny", "clean", 16, Parts(trunk, nn.Flatten(1), None, mean, deviation, 16), "cpu")


def test_psnr_of_a_known_error() -> None:
    black = np.zeros((8, 8, 3), np.uint8)
    assert psnr(black, black + 51) == pytest.approx(20 * math.log10(5))  # 51 is a fifth of 255
    assert psnr(black, black) == pytest.approx(10 * math.log10(12 * 255**2))
    from skimage.metrics import peak_signal_noise_ratio

    one, other = noise(0, 20, 30, 3), noise(1, 20, 30, 3)
    assert psnr(one, other) == pytest.approx(peak_signal_noise_ratio(one, other), rel=1e-9)


def test_ssim_is_its_definition() -> None:
    """Wang et al. 2004, equation 13, with windows by scipy; the border is left out as in their code."""
    from scipy.ndimage import gaussian_filter

    one, other = (noise(seed, 24, 24, 3).astype(float) for seed in (0, 1))

    def local(x: np.ndarray) -> np.ndarray:
        return gaussian_filter(x, 1.5, axes=(0, 1), truncate=3.5)[5:-5, 5:-5]

    m1, m2 = local(one), local(other)
    v1, v2, cov = local(one**2) - m1**2, local(other**2) - m2**2, local(one * other) - m1 * m2
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    expected = ((2 * m1 * m2 + c1) * (2 * cov + c2) / ((m1**2 + m2**2 + c1) * (v1 + v2 + c2))).mean()
    assert ssim(one.astype(np.uint8), other.astype(np.uint8)) == pytest.approx(expected, rel=1e-9)
    assert ssim(one.astype(np.uint8), one.astype(np.uint8)) == pytest.approx(1)


def as_images(pixels: np.ndarray) -> TensorImages:
    return TensorImages(torch.from_numpy(pixels).permute(0, 3, 1, 2))


def test_the_perceptual_distance_is_its_definition() -> None:
    network = tiny_network()
    one, other = noise(0, 5, 16, 16, 3), noise(1, 5, 16, 16, 3)

    def layers(pixels: np.ndarray) -> list[Tensor]:  # the two maps before the average, by hand
        x = (torch.from_numpy(pixels).permute(0, 3, 1, 2).double() - 120) / 60
        trunk = network.trunk.double()
        first = trunk[1](trunk[0](x))
        return [first, trunk[3](trunk[2](first))]

    expected = torch.zeros(5, dtype=torch.float64)
    for a, b in zip(layers(one), layers(other), strict=True):
        cosine = nn.functional.cosine_similarity(a, b, dim=1)  # |u - v|² = 2 - 2 u·v
        alive = (a.norm(dim=1) > 0).double() + (b.norm(dim=1) > 0).double()
        expected += (alive - 2 * cosine).mean((1, 2)) / 2
    network.trunk.float()
    assert perceptual(as_images(one), as_images(other), network, 32) == pytest.approx(expected.tolist(), rel=1e-5)
    assert perceptual(as_images(one), as_images(one), network, 32) == [0] * 5


def test_the_perceptual_distance_ignores_batches_and_is_symmetric() -> None:
    network, one, other = tiny_network(), as_images(noise(0, 5, 16, 16, 3)), as_images(noise(1, 5, 16, 16, 3))
    whole = perceptual(one, other, network, 32)
    assert perceptual(one, other, network, 2) == pytest.approx(whole, rel=1e-6)
    assert perceptual(other, one, network, 32) == pytest.approx(whole, rel=1e-6)


def test_maps_are_one_of_each_resolution_from_fine_to_coarse() -> None:
    maps = tiny_network().maps(torch.zeros(2, 3, 16, 16))
    assert [tuple(each.shape) for each in maps] == [(2, 6, 8, 8), (2, 5, 4, 4)]
