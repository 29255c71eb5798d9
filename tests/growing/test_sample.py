"""Grown generators in files, and images from seeds."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ganas.errors import DataError, RunError
from ganas.growing.architecture import Conv, GrowthArchitecture
from ganas.growing.networks import GrownGenerator
from ganas.growing.sample import GrownGeneratorInfo, load_grown_generator, sample, save_grown_generator

ARCHITECTURE = GrowthArchitecture(latent=4, channels=8).doubled().grown("generator", Conv(3, 4))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    save_grown_generator(
        tmp_path / "run" / "model" / "generator.safetensors",
        GrownGenerator(ARCHITECTURE),
        GrownGeneratorInfo(ARCHITECTURE, "candidate", "swd@laplacian-clean-16", 0.25),
    )
    return tmp_path / "run"


def pixels(path: Path) -> np.ndarray:  # type: ignore[type-arg]
    return np.asarray(Image.open(path))


def test_a_generator_file_describes_itself(model: Path) -> None:
    generator, info = load_grown_generator(model / "model" / "generator.safetensors")
    assert info == GrownGeneratorInfo(ARCHITECTURE, "candidate", "swd@laplacian-clean-16", 0.25)
    again = model / "again.safetensors"
    save_grown_generator(again, generator, info)
    assert again.read_bytes() == (model / "model" / "generator.safetensors").read_bytes()


def test_the_same_seed_is_the_same_image(model: Path, tmp_path: Path) -> None:
    assert sample(model, tmp_path / "one", count=5, seed=3) == 5
    sample(model / "model", tmp_path / "other", count=2, seed=6)
    names = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert names == [f"{seed:09d}.png" for seed in range(3, 8)]
    for seed in (6, 7):
        one, other = (pixels(tmp_path / folder / f"{seed:09d}.png") for folder in ("one", "other"))
        assert one.shape == (16, 16, 3) and (one == other).all()
    assert (pixels(tmp_path / "one" / names[0]) != pixels(tmp_path / "one" / names[1])).any()


def test_a_grid_is_one_picture(model: Path, tmp_path: Path) -> None:
    sample(model, tmp_path / "grid.png", count=10, seed=0, as_grid=True)
    picture = pixels(tmp_path / "grid.png")
    assert picture.shape == (2 * 18 - 2, 8 * 18 - 2, 3)
    sample(model, tmp_path / "alone", count=1, seed=9)
    assert (picture[18:34, 18:34] == pixels(tmp_path / "alone" / f"{9:09d}.png")).all(), "the same as alone"


@pytest.mark.parametrize("name, kind", [("x.png", "PNG"), ("x.webp", "WEBP"), ("x.JPG", "JPEG")])
def test_a_file_holds_one_image_or_a_grid_in_its_own_format(model: Path, tmp_path: Path, name: str, kind: str) -> None:
    for folder, count, size in (("one", 1, (16, 16)), ("more", 3, (3 * 18 - 2, 16))):
        file = tmp_path / folder / name
        sample(str(model), str(file), count=count, seed=3)
        with Image.open(file) as image:
            assert (image.format, image.size) == (kind, size)
    with pytest.raises(DataError, match=r"cannot write '.*x\.txt': give a name that ends in \.png, \.jpg or \.webp"):
        sample(model, tmp_path / "x.txt", count=1, seed=0, as_grid=True)


def test_existing_files_are_not_overwritten(model: Path, tmp_path: Path) -> None:
    (tmp_path / "grid.png").write_text("mine")
    with pytest.raises(DataError, match="exists already: choose another file name"):
        sample(model, tmp_path / "grid.png", count=1, seed=0, as_grid=True)
    with pytest.raises(DataError, match="is not empty: give a new or empty folder"):
        sample(model, tmp_path, count=1, seed=0)
    assert (tmp_path / "grid.png").read_text() == "mine"


def test_a_damaged_or_missing_generator_is_refused(model: Path, tmp_path: Path) -> None:
    file = model / "model" / "generator.safetensors"
    file.write_bytes(file.read_bytes()[:-10])
    with pytest.raises(RunError, match="not an intact grown generator"):
        sample(model, tmp_path / "out", count=1, seed=0)
    with pytest.raises(RunError, match="there is no run"):
        sample(tmp_path / "nowhere", tmp_path / "out", count=1, seed=0)
    with pytest.raises(RunError, match=r"holds no generator\.safetensors"):
        sample(tmp_path, tmp_path / "out", count=1, seed=0)
