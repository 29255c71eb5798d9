"""The demo data: the same real images everywhere, nothing downloaded, nothing shown twice."""

import importlib.resources
import re
import socket
from pathlib import Path
from typing import NoReturn

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from ganas.data.demo import DemoData, write_demo_data
from ganas.data.sources import check_source, open_source
from ganas.errors import DataError

COUNTS = {"trainA": 160, "trainB": 200, "testA": 24, "testB": 24}
NAME = re.compile(r"(.+)-x(\d{3})-y(\d{3})-s(\d{3})\.png")


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> DemoData:
    """Written while every way to the network is closed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "socket", _no_network)
        patch.setattr(socket, "create_connection", _no_network)
        return write_demo_data(tmp_path_factory.mktemp("demo") / "not" / "there yet")


def _no_network(*_: object, **__: object) -> NoReturn:
    raise AssertionError("the demo data must not need the network")


def test_four_folders_of_small_rgb_images(demo: DemoData) -> None:
    folders = {"trainA": demo.a, "trainB": demo.b, "testA": demo.test_a, "testB": demo.test_b}
    for name, count in COUNTS.items():
        report = check_source(folders[name])
        assert report.path.name == name and report.count == count and not report.broken
        assert report.sizes["min"] == report.sizes["max"] == (64, 64)
        assert report.modes == {"RGB": count}
    assert {entry.name for entry in demo.a.parent.iterdir()} == set(COUNTS), "nothing unfinished stays behind"
    assert demo.story.isprintable() and demo.story.startswith("A is ") and "B is " in demo.story


def test_no_image_is_flat(demo: DemoData) -> None:
    for folder in (demo.b, demo.test_b):
        source = open_source(folder)
        contrasts = [np.asarray(source.read(index).convert("L")).std() for index in range(len(source))]
        assert min(contrasts) > 12


def test_domain_a_is_dark_and_its_held_out_photographs_have_partners(demo: DemoData) -> None:
    dark, bright = open_source(demo.test_a), open_source(demo.test_b)
    assert dark.names == bright.names
    for number in range(len(dark)):
        pixels = [np.asarray(source.read(number)).astype(float) for source in (dark, bright)]
        assert pixels[0].mean() < 0.6 * pixels[1].mean()
        smooth = [np.asarray(Image.fromarray(np.uint8(one)).resize((8, 8), Image.Resampling.BOX)) for one in pixels]
        assert np.corrcoef(smooth[0].ravel(), smooth[1].ravel())[0, 1] > 0.9, "the same photograph"


def test_no_training_photograph_has_a_partner(demo: DemoData) -> None:
    assert not {file.name for file in demo.a.iterdir()} & {file.name for file in demo.b.iterdir()}


def test_test_crops_share_no_pixel_with_training_crops(demo: DemoData) -> None:
    for train, test in ((demo.a, demo.test_a), (demo.b, demo.test_b)):
        seen: dict[str, npt.NDArray[np.bool_]] = {}  # photograph -> pixels that training crops show
        for file in train.iterdir():
            photograph, x, y, side = _crop_of(file)
            area = seen.setdefault(photograph, np.zeros((1500, 1500), bool))
            area[y : y + side, x : x + side] = True
        assert len(seen) >= 4
        for file in test.iterdir():
            photograph, x, y, side = _crop_of(file)
            assert not seen[photograph][y : y + side, x : x + side].any()


def test_a_name_says_where_the_crop_is_from(demo: DemoData) -> None:
    file = sorted(demo.test_b.glob("astronaut-*"))[0]
    _, x, y, side = _crop_of(file)
    with (importlib.resources.files("skimage") / "data" / "astronaut.png").open("rb") as stream:
        crop = Image.open(stream).convert("RGB").crop((x, y, x + side, y + side)).resize((64, 64))
    with Image.open(file) as written:
        assert np.abs(np.asarray(written).astype(int) - np.asarray(crop)).mean() < 2


def test_written_again_it_is_the_same(demo: DemoData, tmp_path: Path) -> None:
    again = write_demo_data(tmp_path)
    for one, other in ((demo.a, again.a), (demo.b, again.b), (demo.test_a, again.test_a), (demo.test_b, again.test_b)):
        assert open_source(one).digest() == open_source(other).digest()


def test_existing_folders_are_reused_or_left_alone(demo: DemoData) -> None:
    before = {file: file.stat().st_mtime_ns for file in demo.a.iterdir()}
    assert write_demo_data(demo.a.parent) == demo
    assert {file: file.stat().st_mtime_ns for file in demo.a.iterdir()} == before
    stranger = demo.test_b / "mine.png"
    stranger.write_bytes(b"precious")
    with pytest.raises(DataError, match="testB: exists and is not the demo data; remove it or choose another folder"):
        write_demo_data(demo.a.parent)
    assert stranger.read_bytes() == b"precious"
    stranger.unlink()


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DataError, match="file/trainA: cannot be written"):
        write_demo_data(tmp_path / "file")


def test_an_installation_without_photographs_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.resources, "files", lambda _: tmp_path)
    with pytest.raises(DataError, match=r"astronaut\.png: this installation of scikit-image lacks it"):
        write_demo_data(tmp_path)


def _crop_of(file: Path) -> tuple[str, int, int, int]:
    match = NAME.fullmatch(file.name)
    assert match
    return match[1], int(match[2]), int(match[3]), int(match[4])
