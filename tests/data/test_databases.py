"""LMDB and Hugging Face: the same images as from a folder, whichever process reads them; or one line."""

import os
import pickle
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import lmdb
import numpy as np
import pytest
from archives import cifar_binary, cifar_folder, random_images
from PIL import Image
from test_sources import encoded, folder_of, noise, plain, refusal, zip_of

from ganas.data.keys import Keys
from ganas.data.loaders import Batches
from ganas.data.sources import ImageSource, check_source, open_source
from tiny import ganas

datasets = pytest.importorskip("datasets")
datasets.disable_progress_bars()

FILES = {f"{number:03}.png": encoded(noise((40 + number, 36), seed=number)) for number in range(12)}


def lmdb_of(path: Path, files: dict[str, bytes]) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    with lmdb.open(str(path), map_size=1 << 24) as environment, environment.begin(write=True) as transaction:
        for name, content in files.items():
            transaction.put(os.fsencode(name), content)
    return path


def rows_of(files: dict[str, bytes]) -> Any:
    """The images as a `datasets.Dataset`, in their order by name."""
    rows = [{"bytes": files[name], "path": None} for name in sorted(files)]
    columns = {"label": [0] * len(rows), "image": rows}
    return datasets.Dataset.from_dict(columns).cast_column("image", datasets.Image())


def saved_of(path: Path, files: dict[str, bytes]) -> Path:
    rows_of(files).save_to_disk(str(path))
    return path


def parquet_of(path: Path, files: dict[str, bytes]) -> Path:
    (path / "data").mkdir(parents=True)
    for split in ("train", "test"):
        rows_of(files).to_parquet(str(path / "data" / f"{split}-00000-of-00001.parquet"))
    return path


MAKERS: dict[str, Callable[[Path, dict[str, bytes]], Path]] = {
    "folder": folder_of,
    "images.zip": zip_of,
    "lmdb": lmdb_of,
    "saved": saved_of,
    "parquet": parquet_of,
}


def batches_of(source: ImageSource, **options: Any) -> list[bytes]:
    made = Batches((source,), resolution=16, load_size=18, flip=True, batch=4, seed=3, **options)
    iterator = made.from_image(0)
    found = [next(iterator)[0].numpy().tobytes() for _ in range(8)]
    iterator.close()
    return found


@pytest.mark.usefixtures("cache")
def test_the_same_images_give_the_same_training_bytes(tmp_path: Path) -> None:
    sources = {name: open_source(make(tmp_path / name, FILES)) for name, make in MAKERS.items()}
    expected = batches_of(sources["folder"])
    assert all(batches_of(source) == expected for source in sources.values())
    for name in ("lmdb", "saved"):  # each process opens it for itself
        assert batches_of(sources[name], workers=2, cache_bytes=0) == expected
    digests = {name: source.digest() for name, source in sources.items()}
    assert digests["folder"] == digests["images.zip"] == digests["lmdb"], "names and bytes"
    assert digests["saved"] == digests["parquet"] != digests["folder"], "rows have no names"


def test_pixels_give_the_same_training_bytes_as_files_of_them(tmp_path: Path) -> None:
    images = random_images(13)
    files = {
        f"{number:05}.png": encoded(Image.fromarray(image.transpose(1, 2, 0))) for number, image in enumerate(images)
    }
    expected = batches_of(open_source(lmdb_of(tmp_path / "lmdb", files)))
    for make in (cifar_folder, cifar_binary):
        assert batches_of(open_source(make(tmp_path / make.__name__, images))) == expected


# LMDB


def test_an_lmdb_is_read_by_threads_copies_and_forks(tmp_path: Path) -> None:
    source = open_source(lmdb_of(tmp_path / "x", FILES))
    expected = [source.read(index).tobytes() for index in range(12)]
    before = sorted((path.name, path.stat().st_mtime_ns) for path in (tmp_path / "x").iterdir())

    def read_all(copy: ImageSource) -> bool:
        return [copy.read(index).tobytes() for index in range(12)] == expected

    copies = [
        source,
        pickle.loads(pickle.dumps(source)),
        open_source(tmp_path / "x"),
        open_source(tmp_path / "x/data.mdb"),
    ]
    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(read_all, copies))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python >= 3.12 warns of fork() beside threads
        child = os.fork()
        if not child:
            os._exit(0 if read_all(source) else 1)
    assert os.waitpid(child, 0)[1] == 0 and read_all(source)
    after = sorted((path.name, path.stat().st_mtime_ns) for path in (tmp_path / "x").iterdir())
    assert after == before, "nothing is written, not even a lock"


def test_keys_beside_the_images_are_left_out_and_noted(tmp_path: Path) -> None:
    odd = {"length": b"12", "num-samples": b"12", "žluť.png": plain(), os.fsdecode(b"\xff\xfe"): plain()}
    source = open_source(lmdb_of(tmp_path, FILES | odd))
    assert [*source.names] == [*FILES, "žluť.png", os.fsdecode(b"\xff\xfe")]
    assert source.notes == ("keys length, num-samples left out, which are not of images",)
    assert source.read(13).size == (8, 6)
    folder = folder_of(
        tmp_path / "folder", {name: content for name, content in (FILES | odd).items() if ".png" in name}
    )
    assert source.subset(range(13)).digest() == open_source(folder).digest()


def test_broken_entries_and_later_changes(tmp_path: Path) -> None:
    path = lmdb_of(tmp_path / "x", FILES | {"bad.png": b"junk", "empty": b""})
    assert "2 of 14 images cannot be read (bad.png: not an image; empty: empty file)" in refusal(
        lambda: open_source(path)
    )
    source = open_source(path, skip_bad=True)
    assert [*source.names] == [*FILES] and check_source(path).count == 12
    digest = source.digest()
    changed = lmdb_of(tmp_path / "z", FILES | {"003.png": plain()})
    (changed / "data.mdb").replace(path / "data.mdb")
    assert open_source(path).digest() != digest, "another database at its place, in one process"
    assert source.read(3).size == (8, 6)


def test_what_is_no_lmdb_is_one_line(tmp_path: Path) -> None:
    whole = (lmdb_of(tmp_path / "whole", {f"{n}": bytes(5000) for n in range(50)}) / "data.mdb").read_bytes()
    for name, content in {
        "junk": b"junk" * 5000,
        "empty": b"",
        "cut": whole[: len(whole) // 2],
        "head": whole[:9000],
    }.items():
        folder_of(tmp_path / name, {"data.mdb": content})
        message = refusal(lambda: open_source(tmp_path / name))  # noqa: B023
        assert f"{tmp_path}/{name}" in message and ("not an LMDB" in message or "truncated" in message)
    assert "an LMDB without images" in refusal(lambda: open_source(lmdb_of(tmp_path / "none", {})))


def test_keys_are_a_sequence_of_names() -> None:
    names = ["", "a", "žluťoučký", "b" * 300, "a"]
    keys = Keys.of(name.encode() for name in names)
    assert [*keys] == names == [keys[index] for index in range(5)] and keys[-1] == "a" and len(keys) == 5
    assert [*keys[1:4]] == names[1:4] and [*keys.take([3, 0, 3])] == [names[3], "", names[3]]
    assert keys == Keys.of(name.encode() for name in names) and hash(keys) == hash(pickle.loads(pickle.dumps(keys)))
    assert keys != Keys.of(iter([b"", b"a"])) and keys != tuple(names)
    assert keys != Keys.of([b"a", *(name.encode() for name in names[1:3])]) and "b" in Keys.of([b"b"])
    with pytest.raises(IndexError):
        keys[5]
    assert len(Keys.of(str(number).encode() for number in range(200_000))) == 200_000


# Hugging Face


@pytest.mark.usefixtures("cache")
def test_splits_and_columns_are_chosen_and_noted(tmp_path: Path) -> None:
    rows = rows_of(FILES)
    both = datasets.DatasetDict(train=rows, test=rows.select(range(5)))
    both.save_to_disk(str(tmp_path / "both"))
    source = open_source(tmp_path / "both")
    assert len(source) == 12 and source.notes == ("split train is read, not test",)
    assert len(open_source(tmp_path / "both" / "test")) == 5
    assert open_source(parquet_of(tmp_path / "parquet", FILES)).notes == ("split train is read, not test",)
    assert not open_source(tmp_path / "parquet" / "data" / "test-00000-of-00001.parquet").notes
    datasets.DatasetDict(valid=rows, test=rows).save_to_disk(str(tmp_path / "no train"))
    assert "has no split 'train': give one of valid, test" in refusal(lambda: open_source(tmp_path / "no train"))
    rows.add_column(
        "mask", [row["image"] for row in rows.cast_column("image", datasets.Image(decode=False))]
    ).cast_column("mask", datasets.Image()).save_to_disk(str(tmp_path / "two"))
    assert open_source(tmp_path / "two").notes == ("images are those of column image, not mask",)
    rows.with_format("numpy").save_to_disk(str(tmp_path / "formatted"))
    assert open_source(tmp_path / "formatted").digest() == source.digest(), "a format is not obeyed"
    rows.remove_columns("image").save_to_disk(str(tmp_path / "none"))
    assert "no column of images (it has label)" in refusal(lambda: open_source(tmp_path / "none"))


@pytest.mark.usefixtures("cache")
def test_a_damaged_or_incomplete_data_set_is_one_line(tmp_path: Path) -> None:
    saved = saved_of(tmp_path / "saved", FILES)
    (arrow,) = saved.glob("*.arrow")
    whole = arrow.read_bytes()
    for content in (b"junk", whole[: len(whole) // 2]):
        arrow.write_bytes(content)
        assert f"{saved}: cannot be read as a data set (" in refusal(lambda: open_source(saved))
    arrow.unlink()
    assert f"{saved}: cannot be read as a data set (" in refusal(lambda: open_source(saved))
    folder_of(tmp_path / "bad", {"train.parquet": b"junk"})
    assert "bad: cannot be read as a data set (" in refusal(lambda: open_source(tmp_path / "bad"))
    paths = [{"bytes": None, "path": "/etc/hostname"}, {"bytes": plain(), "path": None}]
    only_paths = datasets.Dataset.from_dict(
        {"image": paths}, features=datasets.Features(image=datasets.Image(decode=False))
    )
    only_paths.cast_column("image", datasets.Image()).save_to_disk(str(tmp_path / "paths"))
    rewritten = open_source(tmp_path / "paths", skip_bad=True)
    assert len(rewritten) == 1


def test_a_name_on_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub itself is not asked: `datasets` is, for data, and never to run code."""
    asked: list[tuple[tuple[Any, ...], dict[str, Any]]] = []

    def load_dataset(*given: Any, **options: Any) -> Any:
        asked.append((given, options))
        if given[0] == "no/such":
            raise ConnectionError("no\nnetwork")
        return datasets.load_from_disk(str(tmp_path / "both"))

    datasets.DatasetDict(train=rows_of(FILES), test=rows_of({"x.png": plain()})).save_to_disk(str(tmp_path / "both"))
    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    assert len(open_source("hf:owner/name")) == 12
    source = open_source("hf:owner/name:test")
    assert len(source) == 1 and source.read(0).size == (8, 6) and str(source.path) == "hf:owner/name:test"
    assert [given for given, _ in asked] == [("owner/name",)] * 2
    assert all(options.keys() == {"cache_dir"} for _, options in asked), "no trust_remote_code"
    assert refusal(lambda: open_source("hf:no/such")) == (
        "hf:no/such: cannot be read as a data set (no network): check it, or its name"
    )
    assert "has no split 'valid': give one of train, test" in refusal(lambda: open_source("hf:owner/name:valid"))


@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize("name", MAKERS)
def test_data_check_on_each_kind(tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = MAKERS[name](tmp_path / name, FILES | {"bad.png": b"junk"})
    assert ganas("data", "check", path) == 0
    out = capsys.readouterr().out
    assert f"{path}: 12 images" in out and "broken: " in out and "not an image" in out
    assert np.all([word in out for word in ("40×36", "51×36")])
