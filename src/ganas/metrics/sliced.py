"""Sliced Wasserstein distance of Laplacian-pyramid patches: a GAN metric without a network.

Karras et al. 2018, "Progressive Growing of GANs" (https://arxiv.org/abs/1710.10196, section 5): every image becomes a
Laplacian pyramid; every level becomes 7×7 patches at random positions; the patches of real and fake images are two
point clouds, whose Wasserstein distance is averaged over random projections, where it reduces to sorting. Fine levels
compare texture, the coarsest one compares layout.

Each cloud is standardized by itself, so a change of brightness, contrast or tint alone does not matter.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

SMALLEST_SIDE = 8  # pixels: the smallest power of two that holds a patch
COARSEST_LEVEL = 16  # pixels
PATCH = 7  # pixels
NUM_DIRECTIONS = 4 * 128  # the paper's repeats × directions per repeat: averaging over both is averaging over all
IMAGES_AT_ONCE = 64
DIRECTIONS_AT_ONCE = 32
# Below this spread, in gray levels, a channel contains only rounding errors, which must not be amplified to texture.
SMALLEST_DEVIATION = 1e-3


def sliced_wasserstein(real: Tensor, fake: Tensor, *, patches: int = 128, seed: int = 0) -> dict[str, float]:
    """Return the distance of two sets of images at every scale.

    real, fake    uint8 [n, 3, side, side] and [m, 3, side, side]; side a power of two from 8 px. The larger set is
                  randomly subsampled to the size of the smaller
    patches       per level and image
    seed          of the subsample, the patch positions (the same for both sets) and the directions

    Returns the distance at each level, by its side in pixels ("64", "32" and "16" for images of 64 px), and their
    "mean". In standard deviations of the patches, not times 1000 as in papers. Biased upward for few images: compare
    equal numbers only. Raises ValueError for other shapes.
    """
    _check(real, fake)
    generator = torch.Generator().manual_seed(seed)
    count, side = min(len(real), len(fake)), real.shape[-1]
    real, fake = (
        images[torch.randperm(len(images), generator=generator)[:count].sort().values] for images in (real, fake)
    )
    distances = {}
    for level in _levels(side):
        corners = torch.randint(level - PATCH + 1, (count, patches, 2), generator=generator)
        directions = torch.randn(3 * PATCH * PATCH, NUM_DIRECTIONS, generator=generator)
        coarsest = level == _levels(side)[-1]
        real_points, real = _descend(real, corners, coarsest)
        fake_points, fake = _descend(fake, corners, coarsest)
        distances[str(level)] = _cloud_distance(real_points, fake_points, directions)
    return distances | {"mean": sum(distances.values()) / len(distances)}


def _check(real: Tensor, fake: Tensor) -> None:
    side = real.shape[-1]
    square = real.shape[1:] == fake.shape[1:] == (3, side, side)
    if not square or real.dtype != torch.uint8 or fake.dtype != torch.uint8:
        raise ValueError(
            f"images must be uint8 [n, 3, side, side] of one side, got {real.dtype} {list(real.shape)} "
            f"and {fake.dtype} {list(fake.shape)}"
        )
    if side < SMALLEST_SIDE or side & (side - 1):
        raise ValueError(f"side must be a power of two from {SMALLEST_SIDE}, got {side=}")


def _levels(side: int) -> list[int]:
    """Return the sides of a pyramid's levels, finest first."""
    levels = [side]
    while levels[-1] > COARSEST_LEVEL:
        levels.append(levels[-1] // 2)
    return levels


def _descend(images: Tensor, corners: Tensor, coarsest: bool) -> tuple[Tensor, Tensor]:
    """Go one step down the pyramid of Burt and Adelson 1983, https://doi.org/10.1109/TCOM.1983.1095851.

    images      uint8 or float32 [n, 3, level, level], low-passed down to this level
    corners     int64 [n, patches, 2]: the top row and the left column of each patch
    coarsest    whether this is the last level, which is the image itself and not the detail missing in the next one

    Returns the level's patches as points, float32 [n * patches, 147], each channel standardized over all of them; and
    the images low-passed down to the next level, float32 [n, 3, level / 2, level / 2].
    """
    patches, coarser = [], []
    for batch, positions in zip(torch.split(images, IMAGES_AT_ONCE), torch.split(corners, IMAGES_AT_ONCE), strict=True):
        current = batch.float()
        below = _smooth(current, stride=2)
        patches.append(_cut(current if coarsest else current - _upsample(below), positions))
        coarser.append(below)
    points = torch.cat(patches)
    deviation, mean = torch.std_mean(points, dim=(0, 1, 2), correction=0)
    points.sub_(mean).div_(deviation.clamp(min=SMALLEST_DEVIATION))
    return points.flatten(1), torch.cat(coarser)


def _cut(images: Tensor, corners: Tensor) -> Tensor:
    """Cut the patches at ``corners``, int64 [n, patches, 2], from [n, 3, h, w] -> [n * patches, 7, 7, 3]."""
    offsets = torch.arange(PATCH)
    rows = corners[..., 0, None, None] + offsets[:, None]  # [n, patches, 7, 1]
    columns = corners[..., 1, None, None] + offsets  # [n, patches, 1, 7]
    which = torch.arange(len(images))[:, None, None, None]
    return images[which, :, rows, columns].flatten(0, 1)


def _upsample(images: Tensor) -> Tensor:
    """Insert zeros between the pixels and low-pass: [n, 3, h, w] -> [n, 3, 2h, 2w]."""
    n, channels, height, width = images.shape
    spread = images.new_zeros(n, channels, 2 * height, 2 * width)
    spread[..., ::2, ::2] = images
    return 4 * _smooth(spread, stride=1)  # three quarters of the pixels are zeros


def _smooth(images: Tensor, stride: int) -> Tensor:
    """Apply the 5×5 binomial low-pass, mirrored at the borders: [n, 3, h, w] -> [n, 3, h / stride, w / stride]."""
    binomial = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0], device=images.device) / 16
    padded = F.pad(images, (2, 2, 2, 2), mode="reflect")
    kernel = torch.outer(binomial, binomial).expand(3, 1, 5, 5)
    return F.conv2d(padded, kernel, stride=stride, groups=3)


def _cloud_distance(real: Tensor, fake: Tensor, directions: Tensor) -> float:
    """Mean over ``directions`` of the Wasserstein-1 distance of two clouds of equally many points.

    real, fake    float32 [points, dimension]
    directions    float32 [dimension, directions], of any length
    """
    directions = (directions / directions.norm(dim=0)).to(real.device)
    total = 0.0
    for chunk in torch.split(directions, DIRECTIONS_AT_ONCE, dim=1):
        # Transposed, so that sorted values are contiguous. torch would also sort the indices, and take several times
        # longer than NumPy.
        one, other = (np.sort((chunk.T @ cloud.T).cpu().numpy(), axis=1) for cloud in (real, fake))
        total += float(np.abs(one - other).mean(axis=1, dtype=np.float64).sum())
    return total / directions.shape[1]
