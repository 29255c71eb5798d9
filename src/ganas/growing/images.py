"""The real images of a growing search: squares of its final resolution.

They are decoded once into the run's ``images.npy``, which all its processes map, or, where that would be too large,
whenever they are needed: the same pixels, more slowly.
"""

import shutil
from collections.abc import Iterable

import torch
from torch import Tensor

from ganas.data.loaders import CenterCrops, center_crops, map_center_crops, write_center_crops
from ganas.data.sources import ImageSource, open_source
from ganas.data.unpaired import Pixels
from ganas.errors import shown
from ganas.growing.config import GrowConfig
from ganas.store import Run

Squares = Pixels | CenterCrops  # an array is uint8 [n, 3, r, r]
SPARE_BYTES = 1 << 30  # of the disk that images.npy leaves free


def open_images(config: GrowConfig, *, minimum: int = 1, resolution: int = 1) -> ImageSource:
    """Open the images of a run; ``minimum`` and ``resolution`` as in `open_source`."""
    data = config.data
    return open_source(
        data.images,
        skip_bad=data.skip_bad,
        minimum=minimum,
        resolution=resolution,
        verify=data.verify,
        limit=data.limit,
        seed=config.seed,
        white=data.white,
        icc=data.icc,
    )


def image_bytes(config: GrowConfig, count: int) -> int:
    """Bytes of ``images.npy`` for ``count`` images; 0 if the config keeps none of that size."""
    size = 3 * config.data.resolution**2 * count
    return size if size <= config.data.cache_mib << 20 else 0


def why_not_kept(run: Run, config: GrowConfig, count: int) -> str | None:
    """Return why the squares of ``count`` images are not kept in ``images.npy``; None if they are."""
    size = image_bytes(config, count)
    if count and not size:
        return f"data.cache_mib={config.data.cache_mib}, which --set changes"
    run.path.mkdir(parents=True, exist_ok=True)
    if not run.images.exists() and size + SPARE_BYTES > shutil.disk_usage(run.path).free:
        return f"the disk of {shown(run.path)} is too full"
    return None


def prepare_squares(run: Run, config: GrowConfig, source: ImageSource) -> None:
    """Write ``images.npy`` if it fits, and is not there."""
    if not run.images.exists() and why_not_kept(run, config, len(source)) is None:
        write_center_crops(run.images, source, config.data.resolution)


def open_squares(run: Run, config: GrowConfig) -> Squares:
    """Return all squares of a run, decoded again if their file was removed."""
    if not run.images.exists():
        source = open_images(config)
        prepare_squares(run, config, source)
        if not run.images.exists():
            return CenterCrops(source, config.data.resolution)
    return map_center_crops(run.images)


def some_squares(squares: Squares, indices: Iterable[int]) -> Tensor:
    """Return the squares at ``indices``, uint8 [n, 3, r, r]."""
    if isinstance(squares, CenterCrops):
        return center_crops(squares.subset(indices), squares.resolution)
    return torch.from_numpy(squares[[*indices]])
