"""Use a trained generator: its self-describing file, and translation of a file, a folder or a zip."""

import os
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import chain, count
from pathlib import Path, PurePosixPath

import numpy as np
import torch
from safetensors.torch import load
from torch import Tensor
from torch.nn import functional

from ganas.cyclegan.build import Network, build, only_op
from ganas.cyclegan.layout import DIRECTIONS, Direction, find_layout
from ganas.data.images import Images
from ganas.data.limits import ALL
from ganas.data.listing import is_image_name
from ganas.data.loaders import to_images, to_network
from ganas.data.sources import ImageSource, notes_of, open_source
from ganas.document import SCHEMA
from ganas.errors import ConfigError, DataError, RunError, is_out_of_memory, shown
from ganas.model_file import find_model, intact, read_metadata, write_model
from ganas.paths import StrPath, as_path
from ganas.pictures import check_suffix, encoded, names_image, png
from ganas.progress import Reporter
from ganas.store import refuse_existing, refuse_used, results_folder, write_atomically

BATCH_PIXELS = 1 << 20  # of a batch, approximately
UNFINISHED = ".ganas-unfinished"  # holds PNGs until all are written; inside the output, which may be a mount
MAX_NAME_BYTES = 255  # bytes of one part of a path, on all common file systems


@dataclass(frozen=True)
class GeneratorInfo:
    """The metadata of a generator file."""

    network: str  # generator_ab or generator_ba
    layout: str
    ops: tuple[str, ...]
    width: float
    resolution: int  # side of the training images, in pixels
    images: int  # pairs trained on so far
    architecture: str  # id
    metric: str | None = None  # key of its score; None: not scored
    score: float | None = None  # None: not a number
    split: str | None = None  # it was selected on, validation (held out) or test; None: the last checkpoint
    white: float | None = None  # white level of its training images, if they had more than 8 bits
    icc: bool = True  # whether their color profiles were converted


def build_generator(info: GeneratorInfo) -> Network:
    """Build the network of a generator file, with random weights."""
    layout = find_layout(info.layout)
    return build(layout.generator.final(info.ops), info.width, only_op)


def save_generator(path: Path, network: Network, info: GeneratorInfo) -> None:
    """Write one generator; equal weights and info give equal bytes."""
    write_model(path, network, {"schema": SCHEMA, **asdict(info)})


def load_generator(file: StrPath) -> tuple[Network, GeneratorInfo]:
    """Load one generator in evaluation mode; raises `RunError` for a damaged or foreign file."""
    path = as_path(file)
    content = path.read_bytes()
    with intact(path, "generator"):
        info = _read_info(content)
        network = build_generator(info)
        network.load_state_dict(load(content))
    return network.eval(), info


def read_generator_info(path: Path) -> GeneratorInfo:
    """Read the metadata of a generator file; raises like `load_generator`."""
    content = path.read_bytes()
    with intact(path, "generator"):
        return _read_info(content)


def _read_info(content: bytes) -> GeneratorInfo:
    document = read_metadata(content)
    if "ops" not in document:
        raise ValueError("it does not translate images: use ganas sample for grown GANs")
    return GeneratorInfo(**{**document, "ops": tuple(document["ops"])})


def find_generator(path: Path, direction: Direction) -> Path:
    run = "a run of ganas train that has a checkpoint"
    return find_model(path, f"generator_{direction}.safetensors", command="ganas train", run=run)


class Translator:
    """One generator, ready for images of any size."""

    def __init__(self, network: Network, multiple: int, *, device: str = "cpu", bf16: bool = False) -> None:
        memory_format = getattr(network, "memory_format", torch.channels_last)  # a run's generators keep theirs
        self.network = network.to(device).to(memory_format=memory_format)
        self.multiple = multiple  # of image sides, which the network needs
        self.device = device
        self.bf16 = bf16

    @torch.inference_mode()
    def __call__(self, images: Tensor) -> Tensor:
        """uint8 [n, 3, h, w] -> uint8 [n, 3, h, w]: padded by reflection to the layout's multiple, then cropped."""
        height, width = images.shape[-2:]
        batch = max(1, BATCH_PIXELS // (height * width))
        return torch.cat([self._translate(chunk) for chunk in torch.split(images, batch)])

    def _translate(self, images: Tensor) -> Tensor:
        height, width = images.shape[-2:]
        x = _pad(to_network(images).to(self.device), self.multiple)
        with torch.autocast(self.device.split(":")[0], dtype=torch.bfloat16, enabled=self.bf16):
            y = self.network(x)
        return to_images(y.float()[..., :height, :width].cpu())


def _pad(x: Tensor, multiple: int) -> Tensor:
    """Pad [n, 3, h, w] to the next multiple, at least four: smaller maps leave nothing to normalize."""
    height, width = (max(4 * multiple, -(-size // multiple) * multiple) for size in x.shape[-2:])
    bottom, right = height - x.shape[-2], width - x.shape[-1]
    if not bottom and not right:
        return x
    mode = "reflect" if bottom < x.shape[-2] and right < x.shape[-1] else "replicate"
    return functional.pad(x, (0, right, 0, bottom), mode=mode)


def output_names(source: ImageSource) -> list[str]:
    """One PNG name per image, with its folders; if another image or a folder has that name, the old suffix stays.

    Raises `DataError` if a name becomes longer than file systems allow.
    """
    stems = [str(PurePosixPath(name).with_suffix("")) for name in source.names]
    counts = Counter(stems)
    taken = {str(folder) for name in source.names for folder in PurePosixPath(name).parents}
    names = []
    for name, stem in zip(source.names, stems, strict=True):
        without_suffix = (f"{stem}.png",) if counts[stem] == 1 else ()
        choices = chain(without_suffix, (name + repeats * ".png" for repeats in count(1)))
        written = next(choice for choice in choices if choice not in taken)
        if len(os.fsencode(PurePosixPath(written).name)) > MAX_NAME_BYTES:
            raise DataError(f"{shown(name)}: the name is too long to append .png, which keeps it unique: rename it")
        taken.add(written)
        names.append(written)
    return names


def translate(
    run: StrPath,  # of `ganas train`, or its model folder or generator file
    source: StrPath,
    output: StrPath,
    *,
    direction: Direction,
    device: str | None = None,  # None: cuda if available
    bf16: bool = False,
    skip_bad: bool = False,
    white: float | None = None,  # as in `open_source`; None: that of the generator's training images
    icc: bool = True,  # False: ignore color profiles; ignored too if training ignored them
) -> int:
    """Translate every image of a folder or zip into the folder `output`, one PNG each; returns their number.

    For a single image, `output` may also be a file, in the format of its suffix. Raises `RunError` without a generator,
    `DataError` for bad images or an existing output.
    """
    if direction not in DIRECTIONS:
        raise ConfigError(f"unknown direction {direction!r}: choose ab (A to B) or ba (B to A)")
    path, source, output = as_path(run), as_path(source), as_path(output)
    generator, info = load_generator(find_generator(path, direction))
    if info.network != f"generator_{direction}":
        raise RunError(f"{str(path)!r} is a {info.network}: it only translates --direction {info.network[-2:]}")
    white, icc = white or info.white, icc and info.icc
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    translator = Translator(generator, find_layout(info.layout).generator_multiple, device=device, bf16=bf16)
    if names_image(output) and not output.is_dir():
        if not (source.is_file() and is_image_name(source.name)):
            raise DataError(f"the output {str(output)!r} is an image file, but the input is not: give a folder")
        refuse_existing(output)
        kind = check_suffix(output)
        images = open_source(source, white=white, icc=icc)
        Reporter().note(notes_of(images))
        image = _tensor(images, 0)
        with _fits_memory(source.name, image):
            write_atomically(output, encoded(translator(image[None])[0], kind), new=True)
        return 1
    refuse_used(output)
    images = open_source(source, skip_bad=skip_bad, verify=ALL, white=white, icc=icc)
    with results_folder(output):
        return _translate_all(translator, images, output)


def _translate_all(translator: Translator, images: ImageSource, output: Path) -> int:
    """Write all PNGs, then move them into `output` together; returns their number."""
    names, reporter = output_names(images), Reporter()
    reporter.note(notes_of(images))
    unfinished = output / UNFINISHED
    shutil.rmtree(unfinished, ignore_errors=True)
    with reporter.bar("translate", 0, len(images)) as bar:
        for indices, pixels in _batches_of_one_size(images):
            with _fits_memory(images.names[indices[0]], pixels):
                translations = translator(pixels)
            for index, translated in zip(indices, translations, strict=True):
                write_atomically(unfinished / names[index], png(translated))
            bar.update(indices[-1] + 1)
    for name in names:
        (output / name).parent.mkdir(parents=True, exist_ok=True)
        (unfinished / name).rename(output / name)
    shutil.rmtree(unfinished)
    return len(images)


@contextmanager
def _fits_memory(name: str, pixels: Tensor) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        size = f"{pixels.shape[-1]}×{pixels.shape[-2]}"
        raise DataError(f"{name!r} ({size} pixels) does not fit into this machine's memory: shrink it first") from None


def _batches_of_one_size(images: Images) -> Iterator[tuple[Sequence[int], Tensor]]:
    """Batch consecutive images of equal size: (indices, uint8 [n, 3, h, w])."""
    indices: list[int] = []
    pending: list[Tensor] = []
    for index in range(len(images)):
        image = _tensor(images, index)
        if pending and (image.shape != pending[0].shape or (len(pending) + 1) * image[0].numel() > BATCH_PIXELS):
            yield indices, torch.stack(pending)
            indices, pending = [], []
        indices.append(index)
        pending.append(image)
    if pending:
        yield indices, torch.stack(pending)


def _tensor(images: Images, index: int) -> Tensor:
    return torch.from_numpy(np.array(images.read(index), dtype=np.uint8)).permute(2, 0, 1)
