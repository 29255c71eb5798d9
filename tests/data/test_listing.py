"""Listing: what counts as an image, what ganas made itself, and what is said of the rest."""

import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest
import torch
from PIL import Image

from ganas.cyclegan.config import DataConfig, RunConfig, TrainingConfig
from ganas.data.listing import list_images
from ganas.data.sources import check_overlap, check_source, open_source
from ganas.errors import ConfigError, DataError
from ganas.paths import SYSTEM_NAMES
from ganas.pictures import check_suffix, encoded, png

Make = Callable[[Path, dict[str, bytes]], Path]


def photo(value: int = 7) -> bytes:
    stream = BytesIO()
    Image.new("RGB", (8, 6), (value, 0, 0)).save(stream, "PNG")
    return stream.getvalue()


def result(value: int = 9) -> bytes:
    """An image as ganas writes it."""
    return png(torch.full((3, 6, 8), value, dtype=torch.uint8))


def run_config() -> bytes:
    """As it lies in a run."""
    config = RunConfig(kind="search", data=DataConfig(a=Path("a"), b=Path("b")), training=TrainingConfig(images=1))
    return config.to_yaml().encode()


def folder_of(path: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return path


def zip_of(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return path


both = pytest.mark.parametrize("make", [folder_of, zip_of], ids=["folder", "zip"])
DATA = {"a.png": photo(), "sub/b.png": photo(8)}


@both
def test_a_run_among_images_is_left_out_and_said(tmp_path: Path, make: Make) -> None:
    run = {"runs/x/config.yaml": run_config(), "runs/x/samples/4.png": photo(), "runs/x/repeats/1/s.png": photo()}
    listing = list_images(make(tmp_path / "images", DATA | run))
    assert listing.names == ("a.png", "sub/b.png")
    assert listing.notes == ("2 files (runs/x/repeats/1/s.png, …) left out, written by runs of ganas",)


@both
def test_the_digest_is_the_same_before_and_after_results_came(tmp_path: Path, make: Make) -> None:
    results = {"out/a.png": result(), "c.png": result(), "run/config.yaml": run_config(), "run/s.png": result()}
    before, after = (open_source(make(tmp_path / name, DATA | more)) for name, more in (("x", {}), ("y", results)))
    assert before.names == after.names and before.digest() == after.digest()
    assert after.notes[1] == "2 images (c.png, …) left out, written by ganas"


@both
def test_results_are_read_where_there_is_nothing_else(tmp_path: Path, make: Make) -> None:
    for number, (one, other) in enumerate((("a.png", "b.png"), ("one/a.png", "two/b.png"), ("a.png", "one/b.png"))):
        source = open_source(make(tmp_path / str(number), {one: result(1), other: result(2)}))
        assert source.names == (one, other) and not source.notes


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif"])
def test_a_result_says_so_in_every_format_that_has_room_for_it(tmp_path: Path, suffix: str) -> None:
    folder = folder_of(tmp_path, DATA)
    made = folder / f"made{suffix}"
    made.write_bytes(encoded(torch.zeros(3, 8, 8, dtype=torch.uint8), check_suffix(made)))
    assert open_source(folder).names == ("a.png", "sub/b.png")
    assert check_source(folder).count == 2


@both
def test_a_run_is_no_set_of_images_but_what_lies_in_it_may_be(tmp_path: Path, make: Make) -> None:
    files = {"config.yaml": run_config(), "samples/1.png": result()}
    with pytest.raises(DataError, match=r"images: a run of ganas, not a set of images: give a folder of images"):
        list_images(make(tmp_path / "images", files))
    with pytest.raises(DataError, match="no images in it; it contains only runs of ganas"):
        list_images(make(tmp_path / "around", {f"run/{name}": content for name, content in files.items()}))
    if make is folder_of:
        assert len(list_images(tmp_path / "images" / "samples").names) == 1


@both
def test_a_config_of_somebody_else_is_no_run(tmp_path: Path, make: Make) -> None:
    assert len(list_images(make(tmp_path / "images", DATA | {"config.yaml": b"kind: dog\n"})).names) == 2


@both
def test_images_of_other_kinds_are_counted_and_named_once(tmp_path: Path, make: Make) -> None:
    others = {"x.HEIC": b"", "sub/y.heic": b"", "z.psd": b"", "readme.txt": b""}
    (note,) = list_images(make(tmp_path / "images", DATA | others)).notes
    assert "3 files (sub/y.heic, …) not read, 2 .heic, 1 .psd: convert them to .png or .jpg" in note
    with pytest.raises(DataError, match=r"no images in it; 3 files \(sub/y\.heic, …\) not read, 2 \.heic, 1 \.psd"):
        list_images(make(tmp_path / "others", others))


@both
@pytest.mark.parametrize("folder", [".hidden", "@eaDir", *sorted(SYSTEM_NAMES)])
def test_what_systems_leave_is_ignored(tmp_path: Path, make: Make, folder: str) -> None:
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
    source = open_source(zip_of(tmp_path / "x.zip", {"a\\b.png": photo()}))
    assert source.names == ("a\\b.png",) and source.read(0).size == (8, 6)


# ── two sets ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_sets_that_share_some_images_are_told_from_equal_and_from_separate_ones(tmp_path: Path) -> None:
    whole = folder_of(tmp_path / "all", {"a.png": photo(), "in/b.png": photo(8)})
    part, other = whole / "in", folder_of(tmp_path / "other", {"b.png": photo(8)})
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
