"""Two small data sets made of photographs that come with scikit-image. Nothing is downloaded.

Domain a is darkened photographs, domain b photographs in good light: a CycleGAN learns the translation in
minutes, anyone can judge it, and for the held-out photographs the right answer is known. Both are crops, at several
scales, of very few photographs: far too few to measure anything.

One box of each photograph, its main subject, is held out: test crops lie inside it, training crops do not touch it. The
test crops of both domains are the same ones; the training crops are different ones, which overlap.
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
from ganas.data.tasks import TASKS
from ganas.errors import DataError

CROP_SIZE = 64  # side of every image written, in pixels
SIDES = (96, 128, 176)  # sides of the crops in pixels of the photograph: three scales
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


_PHOTOGRAPHS = (
    _Photograph("astronaut.png", held_out=(130, 0, 330, 200)),
    _Photograph("chelsea.png", held_out=(240, 40, 451, 300)),
    _Photograph("coffee.png", held_out=(170, 0, 410, 200)),
    _Photograph("motorcycle_left.png", held_out=(460, 60, 741, 470)),
)
_CROPS = {"trainA": 40, "trainB": 50, "testA": 6, "testB": 6}  # of each photograph
_DARK = TASKS["exposure"].apply
_STORY = (
    "A is crops of four photographs (an astronaut, a cat, a cup of coffee, a motorcycle), darkened to an eighth of the "
    "light, with a sensor's noise; B is other crops of them, in good light. No crop of A has a partner in B"
)


def write_demo_data(folder: Path) -> DemoData:
    """Write ``trainA``, ``trainB``, ``testA`` and ``testB`` into ``folder``: RGB PNGs of 64 x 64 pixels.

    160 and 200 training crops (unequal, as real domains are) and 24 pairs of held-out ones, the same each time. A
    sub-folder that already holds them is reused. Raises DataError if it holds anything else or cannot be written, or if
    scikit-image was installed without its photographs.
    """
    opened = [(photograph, _open(photograph.file)) for photograph in _PHOTOGRAPHS]
    for name in _CROPS:
        crops = {file: crop for photograph, image in opened for file, crop in _crops(photograph, image, name)}
        if name.endswith("A"):
            crops = {
                file: _DARK(crop, np.random.default_rng(zlib.crc32(file.encode()))) for file, crop in crops.items()
            }
        _write(folder / name, crops)
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


def _crops(photograph: _Photograph, image: Image.Image, name: str) -> Iterator[tuple[str, Image.Image]]:
    """Yield (file name, crop) of one photograph for a folder, from inside or outside its held-out box."""
    held_out, count = name.startswith("test"), _CROPS[name]
    # Raw words of PCG64 are the same on every platform and in every version of numpy.
    kind = "test" if held_out else name
    words = np.random.PCG64(zlib.crc32(f"{photograph.file} {kind}".encode()))
    area = photograph.held_out if held_out else (0, 0, *image.size)
    boxes: set[Box] = set()
    while len(boxes) < count:
        box = _random_box(area, words.random_raw(3).tolist())
        if box in boxes or (not held_out and _overlap(box, photograph.held_out)):
            continue
        crop = image.crop(box)
        if np.asarray(crop.convert("L")).std() < MIN_CONTRAST:
            continue
        boxes.add(box)
        file = f"{Path(photograph.file).stem}-x{box[0]:03}-y{box[1]:03}-s{box[2] - box[0]:03}.png"
        yield file, crop.resize((CROP_SIZE, CROP_SIZE), Image.Resampling.BICUBIC)


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
