"""The centre squares of a data set in one file: decoded once, mapped into memory by any number of processes."""

from pathlib import Path

import numpy as np

from ganas.data.loaders import centre_squares
from ganas.data.sources import ImageSource
from ganas.data.unpaired import Pixels
from ganas.errors import RunError
from ganas.store import atomic_file


def write_squares(path: Path, source: ImageSource, resolution: int) -> None:
    """Write all images as uint8 [n, 3, resolution, resolution], in numpy's format and their order.

    What interrupts it leaves nothing behind.
    """
    header = {"descr": "|u1", "fortran_order": False, "shape": (len(source), 3, resolution, resolution)}
    with atomic_file(path) as file:
        np.lib.format.write_array_header_1_0(file, header)
        for pixels in centre_squares(source, resolution):
            file.write(pixels.tobytes())


def map_squares(path: Path) -> Pixels:
    """What `write_squares` wrote, read where it is looked at; raises `RunError` where the file is damaged."""
    try:
        return np.load(path, mmap_mode="c", allow_pickle=False)  # type: ignore[no-any-return]
    except (OSError, ValueError, EOFError) as error:
        raise RunError(f"{str(path)!r} cannot be read ({error}): remove it, and it is made again") from None
