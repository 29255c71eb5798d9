"""The paper's data sets by name: downloaded once, checked, and used like any folder."""

import hashlib
import zipfile
from pathlib import Path

import pytest

from ganas.config import load_config
from ganas.cyclegan.config import RunConfig
from ganas.data import published
from ganas.data.names import PARTS, PUBLISHED, absolute
from ganas.data.sources import open_source
from kill_and_resume import write_images
from tiny import FLAGS, Capture, ganas


@pytest.fixture
def server(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to download facades from; nothing answers over https."""
    folder = tmp_path / "server"
    folder.mkdir()
    with zipfile.ZipFile(folder / "facades.zip", "w") as archive:
        for number, part in enumerate(PARTS):
            for path in sorted(write_images(tmp_path / "images" / part, 4, seed=number).iterdir()):
                archive.write(path, f"facades/{part}/{path.name}")
    digest = hashlib.sha256((folder / "facades.zip").read_bytes()).hexdigest()
    monkeypatch.setitem(PUBLISHED, "facades", PUBLISHED["facades"]._replace(sha256=digest))
    monkeypatch.setattr(published, "SERVERS", ("https://localhost:9/datasets", folder.as_uri()))
    return folder


def test_search_and_train_take_a_name(
    server: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    data = ("--a", "facades/trainA", "--b", "facades/trainB")
    assert ganas("search", *data, *FLAGS, "--out", tmp_path / "search") == 0
    assert capsys.readouterr().err.count("downloading ") == 2, "https, then what answers"
    (server / "facades.zip").unlink()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert ganas("train", tmp_path / "search", *data, *FLAGS, "--paired", "facades", "--out", tmp_path / "train") == 0
    stored = load_config(RunConfig, (tmp_path / "train" / "config.yaml").read_bytes(), "")
    assert stored.data.a == Path("facades/trainA"), "a name, from wherever it is resumed"
    assert ganas("train", tmp_path / "search", *data, *FLAGS, "--paired", "facades", "--out", tmp_path / "train") == 0
    assert ganas("data", "check", "facades/testA", "facades/testB") == 0
    assert "both domains have 4 images" in capsys.readouterr().out


def test_a_folder_of_that_name_is_used_instead(server: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_images(tmp_path / "here" / "facades" / "trainA", 3, seed=9)
    monkeypatch.chdir(tmp_path / "here")
    assert len(open_source("facades/trainA")) == 3
    assert absolute(Path("facades/trainA")).is_absolute() and not absolute(Path("facades/trainB")).is_absolute()
    assert absolute(Path("hf:a/b:train")) == Path("hf:a/b:train") and absolute(Path("facades/x")).is_absolute()


def test_all_six_have_a_checksum() -> None:
    assert len(PUBLISHED) == 6
    assert all(len(one.sha256) == 64 and int(one.sha256, 16) for one in PUBLISHED.values())
    assert published.SERVERS[0].startswith("https://")
