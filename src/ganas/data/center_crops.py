"""The center crops of a data set in one file: decoded once, memory-mapped by any number of processes."""

from pathlib import Path

import numpy as np

from ganas.data.images import Images
from ganas.data.loaders import iter_center_crops
from ganas.data.unpaired import Pixels
from ganas.errors import RunError
from ganas.store import atomic_file


def write_center_crops(path: Path, source: Images, resolution: int) -> None:
    """Write all images, in order, as one .npy array: uint8 [n, 3, resolution, resolution].

    An interrupted write leaves no file behind.
    """
    header = {"descr": "|u1", "fortran_order": False, "shape": (len(source), 3, resolution, resolution)}
    with atomic_file(path) as file:
        np.lib.format.write_array_header_1_0(file, header)
        for pixels in iter_center_crops(source, resolution):
            file.write(pixels.tobytes())


def map_center_crops(path: Path) -> Pixels:
    """Memory-map what `write_center_crops` wrote; raises `RunError` if the file is damaged."""
    try:
        return np.load(path, mmap_mode="c", allow_pickle=False)  # type: ignore[no-any-return]
    except (OSError, ValueError, EOFError) as error:
        raise RunError(f"{str(path)!r} cannot be read ({error}): remove it to have it made again") from None
