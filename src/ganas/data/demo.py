"""Two small data sets of real photographs that come with scikit-image. Nothing is downloaded.

Domain a is color photographs, domain b black-and-white ones: a CycleGAN learns the translation in minutes, and anyone
can judge it. Both are crops, at several scales, of very few photographs: far too few to measure anything.

One box of each photograph, its main subject, is held out: test crops lie inside it, training crops do not touch it.
"""

import importlib.resources
import os
import shutil
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from ganas.data.decode import SOFTWARE
from ganas.errors import DataError

CROP_SIZE = 96  # side of every image written, in pixels
SIDES = (CROP_SIZE, 128, 176)  # sides of the crops in pixels of the photograph: three scales
MIN_CONTRAST = 24.0  # standard deviation of gray levels (0 to 255) below which a crop shows next to nothing

Box = tuple[int, int, int, int]  # left, top, right, bottom, in pixels; right and bottom are outside


@dataclass(frozen=True)
class DemoData:
    """The folders of the demo images."""

    a: Path  # training images of domain a
    b: Path
    test_a: Path  # held-out images of domain a
    test_b: Path
    story: str  # one sentence: what a and b are


@dataclass(frozen=True)
class _Photograph:
    file: str  # in scikit-image's data folder
    held_out: Box
    train: int  # crops to make
    test: int


_DOMAIN_A = (
    _Photograph("astronaut.png", held_out=(130, 0, 330, 200), train=24, test=6),
    _Photograph("chelsea.png", held_out=(240, 40, 451, 300), train=24, test=6),
    _Photograph("coffee.png", held_out=(170, 0, 410, 200), train=24, test=6),
    _Photograph("motorcycle_left.png", held_out=(460, 60, 741, 470), train=24, test=6),
)
_DOMAIN_B = (
    _Photograph("camera.png", held_out=(200, 40, 400, 240), train=48, test=10),
    _Photograph("coins.png", held_out=(184, 100, 384, 303), train=48, test=10),
    _Photograph("brick.png", held_out=(0, 0, 180, 180), train=24, test=4),
    _Photograph("grass.png", held_out=(0, 0, 180, 180), train=20, test=4),
    _Photograph("gravel.png", held_out=(0, 0, 180, 180), train=20, test=4),
)
_STORY = (
    "A is color photographs (an astronaut, a cat, a cup of coffee, a motorcycle), "
    "B is black-and-white ones (a cameraman, ancient coins, bricks, grass, gravel)"
)


def write_demo_data(folder: Path) -> DemoData:
    """Write ``trainA``, ``trainB``, ``testA`` and ``testB`` into ``folder``: RGB PNGs of 96 x 96 pixels.

    96 and 160 training crops (unequal, as real domains are) and 24 and 32 held-out ones, the same each time. A
    sub-folder that already holds them is reused. Raises DataError if it holds anything else or cannot be written, or if
    scikit-image was installed without its photographs.
    """
    for letter, photographs in (("A", _DOMAIN_A), ("B", _DOMAIN_B)):
        opened = [(photograph, _open(photograph.file)) for photograph in photographs]
        for kind, held_out in (("train", False), ("test", True)):
            crops = {name: crop for photograph, image in opened for name, crop in _crops(photograph, image, held_out)}
            _write(folder / f"{kind}{letter}", crops)
    return DemoData(folder / "trainA", folder / "trainB", folder / "testA", folder / "testB", _STORY)


def _open(file: str) -> Image.Image:
    """Open a photograph from scikit-image's folder; its own loaders would download missing files."""
    try:
        with (importlib.resources.files("skimage") / "data" / file).open("rb") as stream:
            return Image.open(stream).convert("RGB")
    except OSError as error:
        raise DataError(
            f"{file}: this installation of scikit-image lacks it; reinstall it with pip, or use your own images"
        ) from error


def _crops(photograph: _Photograph, image: Image.Image, held_out: bool) -> Iterator[tuple[str, Image.Image]]:
    """Yield (file name, crop) of one photograph, from inside or outside its held-out box."""
    # Raw words of PCG64 are the same on every platform and in every version of numpy.
    words = np.random.PCG64(zlib.crc32(photograph.file.encode()) + held_out)
    area = photograph.held_out if held_out else (0, 0, *image.size)
    count = photograph.test if held_out else photograph.train
    boxes: set[Box] = set()
    while len(boxes) < count:
        box = _random_box(area, words.random_raw(3).tolist())
        if box in boxes or (not held_out and _overlap(box, photograph.held_out)):
            continue
        crop = image.crop(box)
        if np.asarray(crop.convert("L")).std() < MIN_CONTRAST:
            continue
        boxes.add(box)
        name = f"{Path(photograph.file).stem}-x{box[0]:03}-y{box[1]:03}-s{box[2] - box[0]:03}.png"
        yield name, crop.resize((CROP_SIZE, CROP_SIZE), Image.Resampling.BICUBIC)


def _random_box(area: Box, words: Sequence[int]) -> Box:
    """Return a square of one of SIDES inside ``area``, chosen by three random words."""
    left, top, right, bottom = area
    side = SIDES[words[0] % len(SIDES)]
    x = left + words[1] % (right - left - side + 1)
    y = top + words[2] % (bottom - top - side + 1)
    return x, y, x + side, y + side


def _overlap(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _write(folder: Path, crops: dict[str, Image.Image]) -> None:
    """Write all crops or none: an existing folder is complete, or not from ganas."""
    try:
        if folder.exists():
            if {entry.name for entry in folder.iterdir() if not entry.name.startswith(".")} != set(crops):
                raise DataError(f"{folder}: exists and is not the demo data; remove it or choose another folder")
            return
        unfinished = folder.with_name(f".{folder.name}.{os.getpid()}")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        signed = PngInfo()
        signed.add_text("Software", SOFTWARE)
        for name, crop in crops.items():
            crop.save(unfinished / name, pnginfo=signed)
        unfinished.rename(folder)
    except OSError as error:
        raise DataError(f"{folder}: cannot be written ({error.strerror}); choose another folder") from error
