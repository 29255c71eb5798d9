"""The sliced Wasserstein distance, against a plain reading of its paper and against what it is for."""

import numpy as np
import numpy.typing as npt
import pytest
import torch
from scipy import ndimage
from torch import Tensor

from ganas.metrics.sliced import sliced_wasserstein

Array = npt.NDArray[np.float64]


def textures(count: int, side: int, seed: int, *, blur: float = 0.0) -> Tensor:
    """Random images uint8 [count, 3, side, side] with detail at all scales, optionally blurred."""
    generator = np.random.default_rng(seed)
    noise = sum(
        scale * ndimage.gaussian_filter(generator.standard_normal((count, 3, side, side)), (0, 0, scale, scale))
        for scale in (0.5, 1, 2, 4)
    )
    noise = ndimage.gaussian_filter(noise, (0, 0, blur, blur))
    return torch.from_numpy((128 + 60 * noise).clip(0, 255).round().astype(np.uint8))


def plain_reading(real: Tensor, fake: Tensor, patches: int, seed: int) -> dict[str, float]:
    """Karras et al. 2018 in float64 and loops, for sets of equal size. Only the random draws are the product's."""
    generator = torch.Generator().manual_seed(seed)
    for images in (real, fake):
        torch.randperm(len(images), generator=generator)
    weights = np.outer([1, 4, 6, 4, 1], [1, 4, 6, 4, 1]) / 256

    def down(image: Array) -> Array:
        return np.stack([ndimage.convolve(channel, weights, mode="mirror")[::2, ::2] for channel in image])

    def up(image: Array) -> Array:
        spread = np.zeros((3, 2 * image.shape[1], 2 * image.shape[2]))
        spread[:, ::2, ::2] = image
        return np.stack([ndimage.convolve(channel, 4 * weights, mode="mirror") for channel in spread])

    def points(level_images: list[Array], corners: npt.NDArray[np.int64]) -> Array:
        cut = [
            image[:, top : top + 7, left : left + 7]
            for image, places in zip(level_images, corners, strict=True)
            for top, left in places
        ]
        stacked = np.stack(cut)
        mean, deviation = (measure(axis=(0, 2, 3), keepdims=True) for measure in (stacked.mean, stacked.std))
        standardized: Array = (stacked - mean) / deviation
        return standardized.transpose(0, 2, 3, 1).reshape(len(stacked), -1)

    sets = [[image.astype(np.float64) for image in images.numpy()] for images in (real, fake)]
    distances = {}
    level = real.shape[-1]
    while True:
        corners = torch.randint(level - 6, (len(real), patches, 2), generator=generator).numpy()
        directions = torch.randn(147, 512, generator=generator).numpy().astype(np.float64)
        if level > 16:
            details = [[image - up(down(image)) for image in images] for images in sets]
        else:
            details = sets
        one, other = (points(images, corners) for images in details)
        projected = [
            np.abs(np.sort(one @ direction) - np.sort(other @ direction)).mean() / np.linalg.norm(direction)
            for direction in directions.T
        ]
        distances[str(level)] = float(np.mean(projected))
        if level <= 16:
            return distances | {"mean": float(np.mean(list(distances.values())))}
        sets = [[down(image) for image in images] for images in sets]
        level //= 2


@pytest.mark.parametrize("side", [8, 16, 64])
def test_it_is_the_papers_distance(side: int) -> None:
    real, fake = textures(5, side, 0), textures(5, side, 1, blur=0.7)
    assert sliced_wasserstein(real, fake, patches=6, seed=3) == pytest.approx(plain_reading(real, fake, 6, 3), rel=1e-4)


def test_it_does_not_depend_on_how_many_images_are_computed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    real, fake = textures(9, 32, 0), textures(9, 32, 1)
    whole = sliced_wasserstein(real, fake)
    monkeypatch.setattr("ganas.metrics.sliced.IMAGES_AT_ONCE", 4)
    monkeypatch.setattr("ganas.metrics.sliced.DIRECTIONS_AT_ONCE", 100)
    assert sliced_wasserstein(real, fake) == pytest.approx(whole, rel=1e-4)


def test_it_is_zero_for_equal_sets_and_symmetric() -> None:
    real, fake = textures(6, 32, 0), textures(6, 32, 1)
    assert sliced_wasserstein(real, real) == {"32": 0.0, "16": 0.0, "mean": 0.0}
    assert sliced_wasserstein(real, fake) == pytest.approx(sliced_wasserstein(fake, real))


def test_blur_is_seen_at_every_level_and_most_at_the_finest() -> None:
    real, same, blurred = textures(30, 64, 0), textures(30, 64, 1), textures(30, 64, 1, blur=1.0)
    base, distances = sliced_wasserstein(real, same), sliced_wasserstein(real, blurred)
    excess = [distances[level] / base[level] for level in ("64", "32", "16")]
    assert excess == sorted(excess, reverse=True)
    assert excess[0] > 2
    assert excess[-1] > 1


def test_the_seed_alone_chooses_the_subset_of_the_larger_set() -> None:
    real, fake = textures(20, 16, 0), textures(7, 16, 1)
    state = torch.random.get_rng_state()
    first = sliced_wasserstein(real, fake, seed=1)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert sliced_wasserstein(real, fake, seed=1) == first
    assert sliced_wasserstein(real, fake, seed=2) != first


def test_a_collapsed_generator_gets_a_large_finite_distance() -> None:
    real, same = textures(10, 32, 0), textures(10, 32, 1)
    flat = torch.full_like(real, 77)
    collapsed = sliced_wasserstein(real, flat)
    assert all(0.5 < value < 2 for value in collapsed.values())
    assert collapsed["mean"] > 3 * sliced_wasserstein(real, same)["mean"]


@pytest.mark.parametrize(
    "shape, dtype",
    [
        ((3, 3, 24, 24), torch.uint8),
        ((3, 3, 4, 4), torch.uint8),
        ((3, 1, 16, 16), torch.uint8),
        ((3, 3, 16, 32), torch.uint8),
        ((3, 3, 16, 16), torch.float32),
    ],
)
def test_it_refuses_other_shapes(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    images = torch.zeros(shape, dtype=dtype)
    with pytest.raises(ValueError, match="got"):
        sliced_wasserstein(images, images)
