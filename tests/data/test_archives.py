"""CIFAR-10 and STL-10 in their published formats: every pixel, or one line; and never a stranger's code."""

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from archives import (
    Pixels,
    array,
    batch,
    cifar_binary,
    cifar_folder,
    cifar_tar,
    number,
    random_images,
    stl_binary,
    tar_of,
    text,
)
from test_sources import refusal

from ganas.data.loaders import center_crops
from ganas.data.sources import check_overlap, check_source, open_source
from tiny import ganas

IMAGES = random_images(23)
CIFAR = {"py": cifar_folder, "py.tar.gz": cifar_tar, "bin": cifar_binary}


def pixels(path: Path) -> Pixels:
    source = open_source(path)
    return np.stack([np.asarray(source.read(index)) for index in range(len(source))]).transpose(0, 3, 1, 2)


@pytest.mark.parametrize("name", CIFAR)
def test_cifar_10_is_read_to_the_last_pixel(tmp_path: Path, name: str) -> None:
    path = CIFAR[name](tmp_path / name, IMAGES)
    assert np.array_equal(pixels(path), IMAGES)
    source = open_source(path)
    assert source.names[0] == "data_batch_1/00000" and len(source.names) == 23 and not source.notes
    copy = pickle.loads(pickle.dumps(source))
    assert copy == source and copy.read(7).tobytes() == source.read(7).tobytes()
    report = check_source(path)
    assert report.count == 23 and report.modes == {"RGB": 23} and not report.broken
    assert np.array_equal(center_crops(source, 32).numpy(), IMAGES)


def test_one_digest_whatever_the_archive(tmp_path: Path) -> None:
    digests = {open_source(make(tmp_path / name, IMAGES)).digest() for name, make in CIFAR.items()}
    assert len(digests) == 1
    changed = IMAGES.copy()
    changed[22, 2, 31, 31] ^= 1
    assert open_source(cifar_binary(tmp_path / "changed", changed)).digest() not in digests


def test_the_test_images_are_a_file_of_their_own(tmp_path: Path) -> None:
    folder = cifar_folder(tmp_path / "cifar", IMAGES)
    test = open_source(folder / "test_batch")
    assert len(test) == 3 and test.names[2] == "test_batch/00002"
    assert not check_overlap(open_source(folder), test)
    assert "share 5 images" in refusal(lambda: check_overlap(open_source(folder), open_source(folder / "data_batch_1")))


def test_stl_10_lies_in_columns(tmp_path: Path) -> None:
    images = random_images(5, side=96)
    assert np.array_equal(pixels(stl_binary(tmp_path / "stl10_binary", images)), images)
    (tmp_path / "stl10_binary" / "unlabeled_X.bin").unlink()
    source = open_source(tmp_path / "stl10_binary")
    assert len(source) == 3 and source.notes == ("only train_X of STL-10's training images",)
    assert len(open_source(tmp_path / "stl10_binary" / "train_X.bin")) == 3


def test_a_pickle_of_numpy_2_and_python_3_is_read_too(tmp_path: Path) -> None:
    folder = cifar_folder(tmp_path / "cifar", IMAGES)
    again = {"data": IMAGES[:5].reshape(5, 3072), "labels": [1, 2, 3, 4, 5]}
    (folder / "data_batch_1").write_bytes(pickle.dumps(again, protocol=4))
    assert np.array_equal(pixels(folder), IMAGES)


def hostile(tmp_path: Path) -> dict[str, tuple[bytes, str]]:
    """Batches that would run something, were they unpickled, and why each is refused."""
    ran = tmp_path / "ran"
    call = b"(" + text(f"touch {ran}".encode()) + b"tR"
    names = (
        "os system",
        "posix system",
        "builtins eval",
        "builtins getattr",
        "numpy load",
        "numpy.core.multiarray scalar",
    )
    found = {
        name: (b"\x80\x02c" + name.replace(" ", "\n").encode() + b"\n" + call + b".", f"names {name.replace(' ', '.')}")
        for name in names
    }
    found["extension"] = (b"\x80\x02\x82\x01" + call + b".", "damaged")
    found["old class"] = (b"(" + text(b"x") + b"ios\nsystem\n.", "names os.system")
    found["state of a name"] = (b"\x80\x02cnumpy\nndarray\n}" + text(b"__call__") + b"Nsb.", "damaged")
    found["new object of a name"] = (b"\x80\x02cnumpy\nndarray\n)\x81.", "damaged")
    found["stacked name"] = (
        b"\x80\x04" + pickle.SHORT_BINUNICODE + b"\x02os" + b"\x8c\x06system\x93" + call + b".",
        "os.system",
    )
    found["dotted name"] = (b"\x80\x04\x8c\x05numpy\x8c\x0fndarray.__new__\x93.", "names numpy.ndarray.__new__")
    return found


@pytest.mark.parametrize("name", hostile(Path()))
def test_a_pickle_that_names_anything_else_is_refused_and_not_run(tmp_path: Path, name: str) -> None:
    content, reason = hostile(tmp_path)[name]
    folder = cifar_folder(tmp_path / "cifar", IMAGES)
    (folder / "data_batch_3").write_bytes(content)
    assert f"{folder}/data_batch_3: " in (message := refusal(lambda: open_source(folder))) and reason in message
    tar = tar_of(tmp_path / "x.tar.gz", {"data_batch_3": content})
    assert reason in refusal(lambda: open_source(tar))
    assert not (tmp_path / "ran").exists()


def test_what_the_pickles_would_have_done(tmp_path: Path) -> None:
    """They are real: Python's own unpickler runs them."""
    content, _ = hostile(tmp_path)["posix system"]
    pickle.loads(content)
    assert (tmp_path / "ran").exists()


FEW = IMAGES[:4]
DAMAGED = {
    "cut": (batch(FEW)[:-900], "damaged"),
    "empty": (b"", "damaged"),
    "text": (b"<html>404 not found</html>", "damaged"),
    "no dictionary": (b"\x80\x02].", "not a batch of CIFAR-10"),
    "no data": (batch(FEW, data=b"N"), "its data is not uint8"),
    "narrow": (batch(FEW, data=array(FEW.tobytes(), (8, 1536))), "its data is not uint8"),
    "too many rows": (batch(FEW, data=array(FEW.tobytes(), (5, 3072))), "its data is not uint8"),
    "negative": (batch(FEW, data=array(FEW.tobytes(), (-4, -3072))), "its data is not uint8"),
    "no rows": (batch(FEW, data=array(b"", (0, 3072)), labels=0), "its data is not uint8"),
    "floats": (batch(FEW, data=array(FEW.tobytes(), (4, 3072), b"f4")), "its data is not uint8"),
    "objects": (batch(FEW, data=array(FEW.tobytes(), (4, 3072), b"O8")), "its data is not uint8"),
    "a name as data": (batch(FEW, data=b"cnumpy\nndarray\n"), "its data is not uint8"),
    "labels": (batch(FEW, labels=3), "4 images without as many labels"),
    "a number": (b"\x80\x02" + number(3) + b".", "not a batch of CIFAR-10"),
    "a table of 32 GB": (b"\x80\x02}r\xff\xff\xff\x7f.", "not a batch of CIFAR-10"),
    "a string of 2 GB": (b"\x80\x02T\xff\xff\xff\x7fx.", "damaged"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_batch_is_one_line(tmp_path: Path, name: str) -> None:
    content, reason = DAMAGED[name]
    folder = cifar_folder(tmp_path / "cifar", IMAGES)
    (folder / "data_batch_5").write_bytes(content)
    assert f"{folder}/data_batch_5: " in (message := refusal(lambda: open_source(folder))) and reason in message


def test_wrong_sizes_and_missing_files(tmp_path: Path) -> None:
    folder = cifar_binary(tmp_path / "bin", IMAGES)
    whole = (folder / "data_batch_2.bin").read_bytes()
    (folder / "data_batch_2.bin").write_bytes(whole[:-1])
    assert "data_batch_2.bin: damaged: 15364 bytes are not a whole number of images of 3073" in refusal(
        lambda: open_source(folder)
    )
    (folder / "data_batch_2.bin").write_bytes(b"\xff" + whole[1:])
    assert "its labels are not from 0 to 9" in refusal(lambda: open_source(folder))
    (folder / "data_batch_2.bin").unlink()
    assert "CIFAR-10 without data_batch_2.bin: unpack" in refusal(lambda: open_source(folder))
    stl = stl_binary(tmp_path / "stl", random_images(2, side=96))
    (stl / "train_X.bin").write_bytes(b"")
    assert "train_X.bin: damaged: 0 bytes" in refusal(lambda: open_source(stl))


def test_tars_that_are_cut_or_of_something_else(tmp_path: Path) -> None:
    whole = cifar_tar(tmp_path / "whole.tar.gz", IMAGES).read_bytes()
    refusals: dict[str, tuple[bytes, str]] = {
        "cut.tar.gz": (whole[: len(whole) // 2], "download it again"),
        "empty.tgz": (b"", "download it again"),
        "no.tar": (b"no tar at all" * 100, "download it again"),
        "flipped.tar.gz": (whole[:5000] + bytes([whole[5000] ^ 255]) + whole[5001:], "download it again"),
    }
    for name, (content, reason) in refusals.items():
        (tmp_path / name).write_bytes(content)
        message = refusal(lambda: open_source(tmp_path / name))  # noqa: B023
        assert f"/{name}: " in message and reason in message
    few = tar_of(tmp_path / "few.tar.gz", {"data_batch_1": batch(FEW)})
    assert "CIFAR-10 without data_batch_2" in refusal(lambda: open_source(few))
    other = tar_of(tmp_path / "photos.tar.gz", {"x.png": b"x", "../../evil": b"x"})
    assert "a tar that is not CIFAR-10's python archive: unpack it" in refusal(lambda: open_source(other))
    assert sorted(path.name for path in tmp_path.parent.rglob("evil")) == [], "nothing is unpacked"
    binary = tar_of(tmp_path / "binary.tar.gz", {"cifar-10-batches-bin/data_batch_1.bin": b"x"})
    assert "only CIFAR-10's python archive is read as a tar: unpack it" in refusal(lambda: open_source(binary))


def test_the_commands_take_an_archive(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    makers: dict[str, Callable[[Path, Pixels], Path]] = {"a.tar.gz": cifar_tar, "b": cifar_binary}
    a, b = (make(tmp_path / name, IMAGES) for name, make in makers.items())
    assert ganas("data", "check", a, b) == 0
    assert "a.tar.gz: 23 images" in capsys.readouterr().out
    assert ganas("evaluate", "--real", a, "--fake", b, "--metrics", "swd") == 0
    assert "swd@laplacian-clean-32  0" in capsys.readouterr().out
