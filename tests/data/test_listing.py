"""Listing: which files are images, which ones ganas wrote itself, and the notes on the rest."""

import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from test_sources import folder_of, plain, zip_of

from ganas.cyclegan.config import DataConfig, RunConfig, TrainingConfig
from ganas.data.containers.kinds import find_container
from ganas.data.sources import check_overlap, check_source, open_source
from ganas.errors import ConfigError, DataError
from ganas.paths import SYSTEM_NAMES
from ganas.pictures import check_suffix, encoded, png

Make = Callable[[Path, dict[str, bytes]], Path]


def result(value: int = 9) -> bytes:
    """An image as ganas writes it."""
    return png(torch.full((3, 6, 8), value, dtype=torch.uint8))


def run_config() -> bytes:
    """As it lies in a run."""
    config = RunConfig(kind="search", data=DataConfig(a=Path("a"), b=Path("b")), training=TrainingConfig(images=1))
    return config.to_yaml().encode()


both = pytest.mark.parametrize("make", [folder_of, zip_of], ids=["folder", "zip"])
DATA = {"a.png": plain(), "sub/b.png": plain((8, 0, 0))}


@both
def test_a_run_among_images_is_left_out_and_noted(tmp_path: Path, make: Make) -> None:
    run = {"runs/x/config.yaml": run_config(), "runs/x/samples/4.png": plain(), "runs/x/repeats/1/s.png": plain()}
    listing = find_container(make(tmp_path / "images", DATA | run)).list()
    assert listing.names == ("a.png", "sub/b.png")
    assert listing.notes == ("2 files (runs/x/repeats/1/s.png, …) left out, written by runs of ganas",)


@both
def test_results_do_not_change_the_digest(tmp_path: Path, make: Make) -> None:
    results = {"out/a.png": result(), "c.png": result(), "run/config.yaml": run_config(), "run/s.png": result()}
    before, after = (open_source(make(tmp_path / name, DATA | more)) for name, more in (("x", {}), ("y", results)))
    assert before.names == after.names and before.digest() == after.digest()
    assert after.notes[1] == "2 images (c.png, …) left out, written by ganas"


@both
def test_results_alone_are_read(tmp_path: Path, make: Make) -> None:
    for number, (one, other) in enumerate((("a.png", "b.png"), ("one/a.png", "two/b.png"), ("a.png", "one/b.png"))):
        source = open_source(make(tmp_path / str(number), {one: result(1), other: result(2)}))
        assert source.names == (one, other) and not source.notes


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif"])
def test_results_are_recognized_in_every_format_with_a_software_tag(tmp_path: Path, suffix: str) -> None:
    folder = folder_of(tmp_path, DATA)
    made = folder / f"made{suffix}"
    made.write_bytes(encoded(torch.zeros(3, 8, 8, dtype=torch.uint8), check_suffix(made)))
    assert open_source(folder).names == ("a.png", "sub/b.png")
    assert check_source(folder).count == 2


@both
def test_a_run_is_not_a_set_of_images_but_its_folders_may_be(tmp_path: Path, make: Make) -> None:
    files = {"config.yaml": run_config(), "samples/1.png": result()}
    with pytest.raises(DataError, match=r"images: a run of ganas, not a set of images: give a folder of images"):
        find_container(make(tmp_path / "images", files)).list()
    with pytest.raises(DataError, match="no images in it; it contains only runs of ganas"):
        find_container(make(tmp_path / "around", {f"run/{name}": content for name, content in files.items()})).list()
    if make is folder_of:
        assert len(find_container(tmp_path / "images" / "samples").list().names) == 1


@both
def test_a_foreign_config_does_not_make_a_run(tmp_path: Path, make: Make) -> None:
    assert len(find_container(make(tmp_path / "images", DATA | {"config.yaml": b"kind: dog\n"})).list().names) == 2


@both
def test_images_of_other_kinds_are_counted_and_named_once(tmp_path: Path, make: Make) -> None:
    others = {"x.HEIC": b"", "sub/y.heic": b"", "z.psd": b"", "readme.txt": b""}
    (note,) = find_container(make(tmp_path / "images", DATA | others)).list().notes
    assert "3 files (sub/y.heic, …) not read, 2 .heic, 1 .psd: convert them to .png or .jpg" in note
    with pytest.raises(DataError, match=r"no images in it; 3 files \(sub/y\.heic, …\) not read, 2 \.heic, 1 \.psd"):
        find_container(make(tmp_path / "others", others)).list()


@both
@pytest.mark.parametrize("folder", [".hidden", "@eaDir", *sorted(SYSTEM_NAMES)])
def test_system_folders_are_ignored(tmp_path: Path, make: Make, folder: str) -> None:
    files = DATA | {f"sub/{folder}/t.png": b"no image", f"{folder}/deep/t.jpg": b"no image"}
    assert open_source(make(tmp_path / "images", files)).names == ("a.png", "sub/b.png")


def test_backslashes_in_a_zip_of_windows_are_folders(tmp_path: Path) -> None:
    folder = open_source(folder_of(tmp_path / "images", DATA))
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        for name, content in DATA.items():
            member = zipfile.ZipInfo(name.replace("/", "\\"))
            member.create_system = 0
            archive.writestr(member, content)
    packed = open_source(tmp_path / "x.zip")
    assert packed.names == folder.names and packed.digest() == folder.digest()
    assert packed.read(1).getpixel((0, 0)) == (8, 0, 0)


def test_backslashes_in_a_zip_of_unix_are_letters(tmp_path: Path) -> None:
    source = open_source(zip_of(tmp_path / "x.zip", {"a\\b.png": plain()}))
    assert source.names == ("a\\b.png",) and source.read(0).size == (8, 6)


def test_equal_overlapping_and_disjoint_sets_are_distinguished(tmp_path: Path) -> None:
    whole = folder_of(tmp_path / "all", {"a.png": plain(), "in/b.png": plain((8, 0, 0))})
    part, other = whole / "in", folder_of(tmp_path / "other", {"b.png": plain((8, 0, 0))})
    (tmp_path / "link").symlink_to(whole)
    sources = {path.name: open_source(path) for path in (whole, part, other, tmp_path / "link")}
    assert not check_overlap(sources["in"], sources["other"]), "equal images, but not the same files"
    assert check_overlap(sources["all"], sources["link"])
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "c.png").symlink_to(other / "b.png")
    assert check_overlap(open_source(tmp_path / "links"), sources["other"]), "wherever links lead"
    with pytest.raises(DataError, match=r"all and .*in share 1 image: give disjoint sets"):
        check_overlap(sources["all"], sources["in"])


def test_an_empty_path_is_not_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder_of(tmp_path, DATA))
    with pytest.raises(ConfigError, match="the path is empty"):
        open_source("")
    assert len(open_source(".")) == 2
