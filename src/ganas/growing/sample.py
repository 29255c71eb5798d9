"""Use a grown GAN: its generator in one self-describing file, and images from seeds."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load
from torch import Tensor

from ganas.data.loaders import to_images
from ganas.document import SCHEMA
from ganas.errors import RunError, shown
from ganas.growing.autogan import GANArchitecture, read_architecture
from ganas.growing.candidates import candidates
from ganas.growing.finals import averaged_generator
from ganas.growing.networks import Generator, make_generator
from ganas.model_file import find_model, intact, read_metadata, write_model
from ganas.paths import StrPath, as_path
from ganas.pictures import check_suffix, encoded, names_image, png, tile
from ganas.progress import Reporter
from ganas.store import Run, refuse_existing, results_folder, write_atomically

COLUMNS = 8  # of a sample grid
BATCH = 64  # images generated at once, up to 64×64; of larger ones as many as have as many pixels


@dataclass(frozen=True)
class GrownGeneratorInfo:
    """The metadata of a generator file."""

    architecture: GANArchitecture
    candidate: str  # id of the trained candidate
    metric: str | None = None  # key of its last score
    score: float | None = None


def save_grown_generator(path: Path, generator: Generator, info: GrownGeneratorInfo) -> None:
    """Write a generator; equal weights and info give equal bytes."""
    document = {"schema": SCHEMA, **vars(info), "architecture": info.architecture.to_document()}
    write_model(path, generator, document)


def load_grown_generator(file: StrPath) -> tuple[Generator, GrownGeneratorInfo]:
    """Load a generator in evaluation mode; raises `RunError` that names the file if it is damaged or foreign."""
    path = as_path(file)
    content = path.read_bytes()
    with intact(path, "grown generator"):
        document = read_metadata(content)
        if "ops" in document:
            raise ValueError("it translates images: use ganas translate")
        architecture = read_architecture(document.pop("architecture"), "its architecture")
        info = GrownGeneratorInfo(architecture=architecture, **document)
        generator = make_generator(architecture)
        generator.load_state_dict(load(content))
    return generator.eval(), info


def find_grown_generator(place: Path) -> Path:
    """Find a grown generator, as in `find_model`."""
    run = "the folder of a ganas grow run that has ended"
    return find_model(place, "generator.safetensors", command="ganas grow", run=run)


def load_candidate_generator(run: StrPath, name: str) -> Generator:
    """Load the EMA generator of any candidate that still has its weights; raises `RunError` for another."""
    folder = Run(as_path(run))
    if not folder.candidates.is_dir():
        raise RunError(f"{shown(folder.path)} has no candidates: give the folder that ganas grow wrote")
    known = {spec.id: spec for spec, _ in candidates(folder)}
    if name not in known:
        raise RunError(f"{shown(folder.path)} has no candidate {name!r}: ganas runs lists them")
    if not folder.candidate(name).final.is_file():
        kept = [one for one in known if folder.candidate(one).final.is_file()]
        raise RunError(
            f"candidate {name} has no weights, which a search keeps of possible parents only: "
            f"choose one of {', '.join(kept) or 'another run'}"
        )
    generator = make_generator(known[name].architecture)
    generator.load_state_dict(averaged_generator(folder.candidate(name)))
    return generator.eval()


def latent_vector(seed: int, latent: int) -> Tensor:
    """z of one image, [latent]; sampled on the CPU, so that it is the same for every device."""
    return torch.randn(latent, generator=torch.Generator().manual_seed(seed))


@torch.inference_mode()
def make_images(generator: Generator, seeds: range) -> Tensor:
    """Generate one image per seed, uint8 [n, 3, r, r], on the CPU; batch norm uses its running statistics."""
    images, batch = [], max(1, min(BATCH, BATCH * 64**2 // generator.resolution**2))
    training = generator.training
    generator.eval()
    for start in range(0, len(seeds), batch):
        z = torch.stack([latent_vector(seed, generator.latent.in_features) for seed in seeds[start : start + batch]])
        images.append(to_images(generator(z.to(generator.latent.weight.device)).cpu()))
    generator.train(training)
    return torch.cat(images)


def grid(images: Tensor) -> Tensor:
    """Tile uint8 [n, 3, r, r] into one image [3, H, W]."""
    return tile(torch.split(images, COLUMNS))


def sample(
    run: StrPath,
    output: StrPath,
    *,
    count: int = 64,
    seed: int = 0,
    as_grid: bool = False,
    candidate: str | None = None,
) -> int:
    """Generate one image per seed, from `seed` on; returns their number.

    run       of `ganas grow`, or its model folder or generator file
    output    a new folder, for one PNG per image; or a new file in the format of its suffix, for one image or a grid of
              all. With `as_grid` it is always a file.
    candidate id of a candidate of the run to sample from instead of the winner, if its weights are still there

    Raises `RunError` without a generator, `DataError` for an output that exists already, or an unknown suffix.
    """
    output = as_path(output)
    if candidate is None:
        generator, _ = load_grown_generator(find_grown_generator(as_path(run)))
    else:
        generator = load_candidate_generator(run, candidate)
    generator = generator.to("cuda" if torch.cuda.is_available() else "cpu")

    def images() -> Iterator[tuple[int, Tensor]]:
        with Reporter().bar("sample", 0, count) as bar:
            for number in range(seed, seed + count):
                # one at a time: the batch size may change the last bit of an image
                yield number, make_images(generator, range(number, number + 1))[0]
                bar.update(number + 1 - seed)

    if as_grid or (names_image(output) and not output.is_dir()):
        refuse_existing(output)
        kind = check_suffix(output)
        all_images = torch.stack([image for _, image in images()])
        write_atomically(output, encoded(grid(all_images) if count > 1 else all_images[0], kind), new=True)
        return count
    with results_folder(output):
        for number, image in images():
            write_atomically(output / f"{number:09d}.png", png(image))
    return count
