"""Unpaired translation tasks whose answer is known, made from any photographs. No torch.

A task damages photographs in a known way. Domain A holds photographs, domain B damaged ones: of other photographs in
training, of the same ones in the pairs of ``val`` and ``test``, so that the right translation of each of those is
known. Removing information (``ab``) is easier than adding it (``ba``).

Photographs are reduced to the resolution of training first and damaged afterwards: reduced afterwards, a blurred
photograph would be almost as sharp as any other.
"""

import io
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from ganas.data.limits import ALL
from ganas.data.sources import ImageSource, open_source
from ganas.data.threads import in_threads
from ganas.data.unpaired import resized
from ganas.document import parsing, read_record, write_record
from ganas.errors import ConfigError, DataError, counted, shown
from ganas.paths import StrPath, as_path
from ganas.store import results_folder, write_atomically

TASK_FILE = "task.json"
MINIMUM_SIZE = 16  # pixels
MAX_PAIRS = 200  # in each of val and test
SPLITS = ("trainA", "trainB", "valA", "valB", "testA", "testB")


@dataclass(frozen=True)
class Damage:
    """What a task does to a photograph."""

    apply: Callable[[Image.Image, np.random.Generator], Image.Image]
    a: str  # what A shows
    b: str


def _gray(image: Image.Image, generator: np.random.Generator) -> Image.Image:
    return image.convert("L").convert("RGB")  # ITU-R 601 luma


def _blurred(image: Image.Image, generator: np.random.Generator) -> Image.Image:
    small = image.resize([max(1, round(side / 4)) for side in image.size], Image.Resampling.BICUBIC)
    return small.resize(image.size, Image.Resampling.BICUBIC)


# Dispersed dots, and the same in the mirror, so that a flipped image of a multiple of 4 pixels is dithered alike. The
# period of 4 pixels is that of the generators' strides.
SCREEN = np.array([[0, 4, 4, 0], [6, 2, 2, 6], [1, 5, 5, 1], [7, 3, 3, 7]])


def _dithered(image: Image.Image, generator: np.random.Generator) -> Image.Image:
    pixels = np.asarray(image)
    height, width = pixels.shape[:2]
    thresholds = np.tile((SCREEN + 0.5) / 8, (-(-height // 4), -(-width // 4)))[:height, :width, None]
    return Image.fromarray(np.where(pixels > 255 * thresholds, 255, 0).astype(np.uint8))


UNDEREXPOSURE = 8  # three stops
SHOT_NOISE, READ_NOISE = 0.03, 0.004  # deviation: the one times the root of the signal, the other everywhere


def _underexposed(image: Image.Image, generator: np.random.Generator) -> Image.Image:
    """An eighth of the light, with the noise of a sensor: its variance grows with the signal."""
    srgb = np.asarray(image) / 255
    light = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4) / UNDEREXPOSURE
    deviation = np.sqrt(SHOT_NOISE**2 * light + READ_NOISE**2)
    noisy = np.clip(light + deviation * generator.standard_normal(light.shape), 0, 1)
    srgb = np.where(noisy <= 0.0031308, 12.92 * noisy, 1.055 * noisy ** (1 / 2.4) - 0.055)
    return Image.fromarray(np.round(255 * srgb).astype(np.uint8))


TASKS: Mapping[str, Damage] = {
    "colour": Damage(_gray, "color photographs", "gray photographs"),
    "sharpness": Damage(_blurred, "sharp photographs", "photographs reduced four times and enlarged again"),
    "exposure": Damage(_underexposed, "photographs", "photographs underexposed by three stops, with noise"),
    "tones": Damage(_dithered, "photographs", "photographs dithered to eight colors"),
}


@dataclass(frozen=True)
class Task:
    """The content of ``task.json``."""

    task: str  # key of TASKS
    size: int  # pixels: the resolution to train at
    seed: int  # of the split
    a: str
    b: str
    harder: str  # the direction that has to add information
    photos: str  # digest of the photographs
    images: dict[str, int]  # folder -> number of images


def write_task(
    name: str,
    photos: StrPath,
    out: StrPath,
    *,
    size: int,
    seed: int = 0,
    pairs: int | None = None,
    skip_bad: bool = False,
) -> Task:
    """Make a task from the photographs under ``photos`` (folder or zip), as PNGs in new sub-folders of ``out``.

    name     key of TASKS
    size     side in pixels: photographs are center-cropped to a square and reduced to it
    seed     selects which photographs become pairs, A and B
    pairs    number in each of ``val`` and ``test``; None: a tenth of the photographs, at most 200
    skip_bad skip photographs that cannot be read

    The pixels depend on the arguments only. Raises `ConfigError` for an unknown task or size, `DataError` for too few
    or too small photographs, or an ``out`` that is not empty.
    """
    if name not in TASKS:
        raise ConfigError(f"unknown task {name!r}: choose from {', '.join(TASKS)}")
    if size < MINIMUM_SIZE:
        raise ConfigError(f"--size {size} is too small to see the damage: give {MINIMUM_SIZE} or more")
    folder, source = as_path(out), open_source(photos, skip_bad=skip_bad, verify=ALL)
    split = _split(source, seed, pairs)
    damage = TASKS[name]
    with results_folder(folder), _unfinished(folder) as unfinished:
        for part, indices in split.items():
            _write_images(source, indices, unfinished / part, size, damage if part.endswith("B") else None, seed)
        for part in split:
            (unfinished / part).rename(folder / part)
        images = {part: len(indices) for part, indices in split.items()}
        task = Task(name, size, seed, damage.a, damage.b, "ba", source.digest(), images)
        write_atomically(folder / TASK_FILE, write_record(asdict(task)).encode())  # last: it is complete
    return task


def find_task(domain: Path) -> Task | None:
    """Read the ``task.json`` beside a folder of a task; None if the folder is of none."""
    file = domain.parent / TASK_FILE
    if domain.name not in SPLITS or not file.is_file():
        return None
    way_out = "make the task again, or remove the file"
    record = read_record(file.read_text(), shown(file), "task", way_out)
    with parsing(shown(file), way_out=way_out):
        return Task(**record)


def other_resolution(domain: Path, resolution: int, load_scale: float) -> str | None:
    """Return a warning if training would resize the images of a task, which changes what is to be learned."""
    task = find_task(domain)
    if task is None or (task.size == resolution and load_scale == 1):
        return None
    return (
        f"made for {task.size} pixels, and read at {resolution * load_scale:.0f}, which hides some of its damage: "
        f"give --resolution {task.size} --set data.load_scale=1"
    )


def _split(source: ImageSource, seed: int, pairs: int | None) -> dict[str, Sequence[int]]:
    """Split the indices of the photographs at random into pairs for val and test, A and B."""
    count = len(source)
    pairs = max(2, min(MAX_PAIRS, count // 10)) if pairs is None else pairs
    if pairs < 2:
        raise ConfigError(f"{counted(pairs, 'pair')} cannot be scored: give --pairs 2 or more")
    if count < 2 * pairs + 4:
        raise DataError(
            f"{shown(source.path)}: {counted(count, 'photograph')}, {2 * pairs + 4} needed for {pairs} pairs each to "
            f"validate and to test on, and two to train on in each domain: add photographs"
        )
    order = np.random.default_rng(seed).permutation(count).tolist()
    test, val, rest = order[:pairs], order[pairs : 2 * pairs], order[2 * pairs :]
    half = len(rest) // 2
    parts = {"trainA": rest[half:], "trainB": rest[:half], "valA": val, "valB": val, "testA": test, "testB": test}
    return {part: sorted(indices) for part, indices in parts.items()}


@contextmanager
def _unfinished(folder: Path) -> Iterator[Path]:
    """A hidden folder for images until all are written; removed in the end."""
    unfinished = folder / ".ganas-unfinished"
    shutil.rmtree(unfinished, ignore_errors=True)  # of a killed process
    try:
        yield unfinished
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _write_images(
    source: ImageSource,
    indices: Sequence[int],
    folder: Path,
    size: int,
    damage: Damage | None,
    seed: int,
) -> None:
    folder.mkdir(parents=True)
    digits = len(str(len(source) - 1))

    def encode(number: int) -> tuple[str, bytes]:
        index = indices[number]
        image = _square(source, index, size)
        if damage:
            image = damage.apply(image, np.random.default_rng((seed, index)))
        buffer = io.BytesIO()
        image.save(buffer, "PNG")
        stem = PurePosixPath(source.names[index]).stem
        return f"{index:0{digits}}-{stem}.png", buffer.getvalue()  # the index keeps names from two folders apart

    for name, content in in_threads(encode, len(indices)):
        (folder / name).write_bytes(content)


def _square(source: ImageSource, index: int, size: int) -> Image.Image:
    """Reduce a photograph to ``size`` pixels on its shorter side and crop the center; as training reads it."""
    with source.opened(index) as image:
        if min(image.size) < size:
            name = shown(source.location(source.names[index]))
            raise DataError(f"{name} has {min(image.size)} pixels on its shorter side: give --size {min(image.size)}")
        pixels = resized(image, size)  # [3, h, w]
    top, left = ((side - size) // 2 for side in pixels.shape[1:])
    return Image.fromarray(pixels[:, top : top + size, left : left + size].transpose(1, 2, 0))
