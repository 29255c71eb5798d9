"""Sources read every image right, or name it in one line before anything else happens."""

import json
import os
import pickle
import struct
import threading
import time
import warnings
import zipfile
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from ganas.data import decode
from ganas.data.containers import base
from ganas.data.listing import IMAGE_SUFFIXES
from ganas.data.sources import ImageSource, check_source, open_source
from ganas.data.threads import in_threads
from ganas.errors import DataError
from tiny import ganas

RED = (255, 0, 0)


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    stream = BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def plain(color: tuple[int, int, int] = RED, size: tuple[int, int] = (8, 6)) -> bytes:
    return encoded(Image.new("RGB", size, color))


def noise(size: tuple[int, int] = (64, 48), seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))


def png(values: npt.NDArray[Any], color_type: int = 0, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG by hand, [h, w] or [h, w, c] of uint8 or uint16: Pillow writes neither 16-bit color nor odd chunks."""
    height, width = values.shape[:2]
    rows = values.astype(values.dtype.newbyteorder(">")).reshape(height, -1)
    data = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    header = struct.pack(">IIBBBBB", width, height, 8 * values.itemsize, color_type, 0, 0, 0)
    parts = [(b"IHDR", header), *chunks, (b"IDAT", data), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(kind, content) for kind, content in parts)


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def bomb(width: int, height: int) -> bytes:
    """A PNG that claims to be huge."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"")


def folder_of(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def zip_of(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content)  # ZipInfo keeps a name as it is
    return path


def refusal(call: Callable[[], object]) -> str:
    """The message of the DataError that ``call`` ends in: one printable line."""
    with pytest.raises(DataError) as caught:
        call()
    message = str(caught.value)
    assert message.isprintable() and message
    return message


def pixels(image: Image.Image) -> npt.NDArray[np.int64]:
    return np.asarray(image).astype(np.int64)


def read_one(folder: Path, name: str, content: bytes, **options: Any) -> Image.Image:
    image = open_source(folder_of(folder, {name: content}), **options).read(0)
    assert image.mode == "RGB"
    return image


# Finding images


FILES = {
    "b.png": plain(),
    "a.JPG": encoded(noise(), "JPEG"),
    "deep/er/a street at night.webp": encoded(noise(), "WEBP"),
    "deep/žluťoučký kůň.PNG": plain(),
    ".hidden.png": b"junk",
    ".git/x.png": b"junk",
    "__MACOSX/b.png": b"junk",
    "deep/__MACOSX/._b.png": b"junk",
    "notes.txt": b"junk",
    "Thumbs.db": b"junk",
}
NAMES = ("a.JPG", "b.png", "deep/er/a street at night.webp", "deep/žluťoučký kůň.PNG")


@pytest.mark.parametrize("make", [folder_of, zip_of], ids=["folder", "zip"])
def test_finds_nested_names_and_ignores_the_rest(
    tmp_path: Path, make: Callable[[Path, dict[str, bytes]], Path]
) -> None:
    source = open_source(make(tmp_path / "images.zip", FILES))  # a folder may be called so, too
    assert source.names == NAMES
    assert len(source) == 4
    for index, name in enumerate(NAMES):
        expected = Image.open(BytesIO(FILES[name])).convert("RGB")
        assert np.array_equal(pixels(source.read(index)), pixels(expected))


KINDS = {".jpg": "JPEG", ".jpe": "JPEG", ".jfif": "JPEG", ".tif": "TIFF", ".pgm": "PPM"}
KINDS |= {".jp2": "JPEG2000", ".j2k": "JPEG2000"}


@pytest.mark.parametrize("suffix", IMAGE_SUFFIXES)
def test_every_known_suffix_is_read(tmp_path: Path, suffix: str) -> None:
    kind = KINDS.get(suffix, suffix[1:].upper())
    Image.init()
    if kind not in Image.SAVE:
        pytest.skip(f"this Pillow was built without {kind}")
    image = read_one(tmp_path, f"x{suffix}", encoded(Image.new("L", (8, 8), 200).convert("RGB"), kind))
    assert abs(pixels(image) - 200).max() <= 2


def test_one_file_is_a_source(tmp_path: Path) -> None:
    folder_of(tmp_path, {"only me.png": plain(), "other.png": b"junk"})
    source = open_source(str(tmp_path / "only me.png"))
    assert source.names == ("only me.png",)
    assert source.read(0).getpixel((0, 0)) == RED


def test_contents_decide_not_suffixes(tmp_path: Path) -> None:
    assert len(open_source(zip_of(tmp_path / "archive", {"x.png": plain()}))) == 1
    assert read_one(tmp_path / "f", "really a png.jpg", plain()).getpixel((0, 0)) == RED


def test_links_are_followed_once(tmp_path: Path) -> None:
    elsewhere = folder_of(tmp_path / "elsewhere", {"x.png": plain()})
    folder = folder_of(tmp_path / "images", {"sub/y.png": plain()})
    (folder / "linked").symlink_to(elsewhere)
    (folder / "sub" / "up").symlink_to(folder)
    (folder / "sub" / "self").symlink_to(folder / "sub")
    assert open_source(folder).names == ("linked/x.png", "sub/y.png")


def test_a_folder_may_look_like_an_image(tmp_path: Path) -> None:
    assert open_source(folder_of(tmp_path / "cats.jpg", {"dir.png/x.png": plain()})).names == ("dir.png/x.png",)


def test_refuses_paths_without_images(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    folder_of(tmp_path, {"notes.txt": b"hello", "fake.zip": b"hello", "only text/x.txt": b"hello"})
    assert "nowhere: no such file or folder" in refusal(lambda: open_source(tmp_path / "nowhere"))
    assert "notes.txt: neither a folder, a zip nor an image" in refusal(lambda: open_source(tmp_path / "notes.txt"))
    assert "fake.zip: cannot be read as a zip" in refusal(lambda: open_source(tmp_path / "fake.zip"))
    for name in ("empty", "only text"):
        assert f"{name}: no images in it; ganas reads .jpg" in refusal(lambda: open_source(tmp_path / name))  # noqa: B023
    assert "no images in it" in refusal(lambda: open_source(zip_of(tmp_path / "x.zip", {"x.txt": b""})))
    assert "no images in it" in refusal(lambda: check_source(tmp_path / "empty"))


def test_minimum(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, {"x.png": plain()})
    assert "1 usable image, 2 needed" in refusal(lambda: open_source(folder, minimum=2))
    assert len(open_source(folder, minimum=1)) == 1


# Zips


@pytest.mark.parametrize(
    "name", ["../x.png", "a/../../x.png", "/etc/x.png", "..\\x.png", "C:\\x.png", "C:/x.png", "../"]
)
def test_a_zip_with_paths_outside_itself_is_refused(tmp_path: Path, name: str) -> None:
    path = zip_of(tmp_path / "evil.zip", {"fine.png": plain(), name: plain() if name != "../" else b""})
    message = refusal(lambda: open_source(path, skip_bad=True))
    assert "evil.zip: refused" in message and repr(name)[1:-1].replace("\\\\", "\\") in message


def test_dots_within_a_name_are_fine(tmp_path: Path) -> None:
    names = ("./c.png", "a..b.png", "sub../x.png")
    assert open_source(zip_of(tmp_path / "x.zip", {name: plain() for name in names})).names == names


def test_an_encrypted_zip_is_refused(tmp_path: Path) -> None:
    path = zip_of(tmp_path / "secret.zip", {"x.png": plain()})
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1  # the flag in the central directory
    path.write_bytes(content)
    assert "secret.zip: encrypted" in refusal(lambda: open_source(path))


def _of_2_63_bytes(entry: bytearray) -> None:
    entry[24:28] = b"\xff" * 4  # the size is in a zip64 field
    entry[30:32] = struct.pack("<H", 12)
    entry[46 + len("b.png") :] = struct.pack("<HHQ", 1, 8, 2**63)


def _of_bad_utf8(entry: bytearray) -> None:
    entry[9] |= 8
    entry[46:48] = b"\xff\xfe"


def _of_version_9(entry: bytearray) -> None:
    entry[6] = 90


def _that_begins_where_another_does(entry: bytearray) -> None:
    entry[42:46] = bytes(4)


def _that_reaches_beyond_the_end(entry: bytearray) -> None:
    entry[20:24] = b"\xfe\xff\xff\xff"


def _that_reaches_into_the_directory(entry: bytearray) -> None:
    entry[20:24] = struct.pack("<I", struct.unpack_from("<I", entry, 20)[0] + 1)


@pytest.mark.parametrize(
    "damage, reason",
    [
        (_of_2_63_bytes, "a member of 2^63 bytes or more"),
        (_of_bad_utf8, "damaged: 'utf-8' codec can't decode"),
        (_of_version_9, "damaged: zip file version 9.0"),
        (_that_begins_where_another_does, "members overlap"),
        (_that_reaches_beyond_the_end, "members overlap"),
        (_that_reaches_into_the_directory, "members overlap"),
    ],
)
def test_a_zip_with_a_damaged_directory_is_refused(
    tmp_path: Path, damage: Callable[[bytearray], None], reason: str
) -> None:
    path = zip_of(tmp_path / "x.zip", {"a.png": plain(), "b.png": plain((1, 2, 3))})
    content = path.read_bytes()
    first = content.index(b"PK\x01\x02")
    last, end = content.rindex(b"PK\x01\x02"), content.rindex(b"PK\x05\x06")
    damage(entry := bytearray(content[last:end]))
    ending = bytearray(content[end:])
    ending[12:16] = struct.pack("<I", last - first + len(entry))
    path.write_bytes(content[:last] + entry + ending)
    assert f"x.zip: cannot be read as a zip ({reason}" in refusal(lambda: open_source(path, skip_bad=True))


def test_a_zip_may_begin_with_other_bytes_and_hold_its_members_in_any_order(tmp_path: Path) -> None:
    """Neither is an overlap."""
    path = zip_of(tmp_path / "x.zip", {"b.png": plain(), "a.png": plain((1, 2, 3))})
    content = path.read_bytes()
    first, last, end = (content.index(b"PK\x01\x02"), content.rindex(b"PK\x01\x02"), content.rindex(b"PK\x05\x06"))
    path.write_bytes(b"#!/bin/sh\n" + content[:first] + content[last:end] + content[first:last] + content[end:])
    assert open_source(path).names == ("a.png", "b.png")


def test_a_damaged_member_is_broken_not_fatal(tmp_path: Path) -> None:
    path = zip_of(tmp_path / "x.zip", {"good.png": plain(), "bad.png": plain((1, 2, 3))})
    content = bytearray(path.read_bytes())
    content[content.index(plain((1, 2, 3))) + 50] ^= 255
    path.write_bytes(content)
    assert "1 of 2 images cannot be read (bad.png: damaged: Bad CRC-32" in refusal(lambda: open_source(path))
    assert open_source(path, skip_bad=True).names == ("good.png",)


def test_a_member_that_inflates_too_far_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "MAX_BYTES", 1000)
    with zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.png", bytes(100_000))
    folder_of(tmp_path / "folder", {"x.png": bytes(100_000)})
    assert "x.png: file too large" in refusal(lambda: open_source(tmp_path / "x.zip"))
    assert "x.png: file too large" in refusal(lambda: open_source(tmp_path / "folder"))


# Broken images


BROKEN = {
    "empty.png": (b"", "empty file"),
    "other format.png": (encoded(noise(), "PCX"), "not an image"),
    "text.jpg": (b"<html>404 not found</html>", "not an image"),
    "cut.jpg": (encoded(noise(), "JPEG")[:-700], "truncated"),
    "cut.png": (encoded(noise())[:-700], "truncated"),
    "header.png": (plain()[:20], "truncated|not an image"),
    "bomb.png": (bomb(60000, 60000), "more than 178 million pixels"),
    "big.png": (bomb(14000, 13000), "more than 178 million pixels"),
    "damaged.png": (plain()[:45] + b"\xff" * 8 + plain()[53:], "damaged|truncated"),
}


@pytest.mark.parametrize("make", [folder_of, zip_of], ids=["folder", "zip"])
@pytest.mark.parametrize("name", BROKEN)
def test_broken_images_are_found_up_front(
    tmp_path: Path, name: str, make: Callable[[Path, dict[str, bytes]], Path]
) -> None:
    content, reason = BROKEN[name]
    path = make(tmp_path / "x.zip", {"good.png": plain(), name: content})
    message = refusal(lambda: open_source(path))
    assert any(f"({name}: {each}" in message for each in reason.split("|")), message
    assert open_source(path, skip_bad=True).names == ("good.png",)
    unread = open_source(path, verify=0)
    assert len(unread) == 2
    assert f"x.zip/{name}: " in refusal(lambda: unread.read(unread.names.index(name)))


def test_the_message_names_five_files_and_the_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    files = {f"{number}.png": plain() for number in range(3)}
    folder_of(tmp_path / "cats", files | {"x.jpg": encoded(noise(), "JPEG")[:-700], "y.png": b""})
    assert refusal(lambda: open_source("cats")) == (
        "cats: 2 of 5 images cannot be read (x.jpg: truncated; y.png: empty file); "
        "repair or remove them, or use the other 3 with --set data.skip_bad=true (translate, evaluate: --skip-bad)"
    )
    folder_of(tmp_path / "cats", {f"z{number}.png": b"" for number in range(6)})
    message = refusal(lambda: open_source("cats"))
    assert "8 of 11 images" in message and "z2.png: empty file; and 3 more)" in message and "z3" not in message
    assert "skip_bad" not in refusal(lambda: open_source("cats", minimum=4)), "skipping would not help"
    message = refusal(lambda: open_source("cats", minimum=4, skip_bad=True))
    assert message == "cats: 3 usable images, 4 needed (8 cannot be read): add images"
    assert open_source("cats", skip_bad=True).notes == (
        "8 of 11 images cannot be read and are left out (x.jpg: truncated; y.png: empty file; z0.png: empty file; "
        "z1.png: empty file; z2.png: empty file; and 3 more)",
    )
    assert "the smallest side is 6 pixels (cats/0.png): lower it, or leave small images out (3 of 3)" in refusal(
        lambda: open_source("cats", resolution=7, skip_bad=True)
    )


def test_odd_file_names_keep_messages_on_one_line(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "two\nlines", {"new\nline\x1b[31m.png": b""})
    assert "new\\nline\\x1b[31m.png: empty file" in refusal(lambda: open_source(folder))
    undecodable = folder / os.fsdecode(b"\xff.png")
    undecodable.write_bytes(plain())
    assert open_source(undecodable).digest()


def test_links_to_nothing_and_pipes_are_broken_files(tmp_path: Path) -> None:
    (tmp_path / "gone.png").symlink_to(tmp_path / "nothing")
    os.mkfifo(tmp_path / "pipe.png")
    assert "(gone.png: missing file; pipe.png: not a regular file)" in refusal(lambda: open_source(tmp_path))


def test_a_file_that_vanishes_later_is_named(tmp_path: Path) -> None:
    source = open_source(folder_of(tmp_path, {"x.png": plain()}))
    (tmp_path / "x.png").unlink()
    assert f"{tmp_path}/x.png: missing file" in refusal(lambda: source.read(0))
    assert "missing file" in refusal(source.digest)


def test_pillow_warnings_stay_inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow would warn of each of these 'bombs'; many threads read, and the filters are as before."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 40)
    folder_of(tmp_path, {f"{number}.png": plain() for number in range(64)})
    before = list(warnings.filters)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        source = open_source(tmp_path)
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(source.read, range(64)))
    assert not caught and list(warnings.filters) == before
    monkeypatch.setattr(decode, "MAX_PIXELS", 47)  # below Pillow's own refusal, above its warning
    assert "pixels" in refusal(lambda: open_source(tmp_path))


# Digest, subset, processes and threads


def test_digest_is_of_names_and_bytes(tmp_path: Path) -> None:
    files = {"a.png": plain(), "sub/b.png": plain((1, 2, 3))}
    digest = open_source(folder_of(tmp_path / "one", files)).digest()
    assert len(digest) == 16 and int(digest, 16) >= 0
    assert open_source(zip_of(tmp_path / "one.zip", files)).digest() == digest
    renamed = {"a.png": plain(), "sub/c.png": plain((1, 2, 3))}
    swapped = {"a.png": plain((1, 2, 3)), "sub/b.png": plain()}
    fewer = {"a.png": plain()}
    digests = [
        open_source(folder_of(tmp_path / f"other{number}", other)).digest()
        for number, other in enumerate((renamed, swapped, fewer))
    ]
    assert len({digest, *digests}) == 4


def test_subset_keeps_order(tmp_path: Path) -> None:
    source = open_source(folder_of(tmp_path, {f"{number}.png": plain((number, 0, 0)) for number in range(4)}))
    subset = source.subset([3, 1])
    assert subset.names == ("3.png", "1.png")
    assert subset.read(0).getpixel((0, 0)) == (3, 0, 0)
    assert len(source) == 4 and len(source.subset([])) == 0


def test_sources_are_values(tmp_path: Path) -> None:
    source = open_source(zip_of(tmp_path / "x.zip", {"x.png": plain()}))
    source.read(0)  # opens the zip
    copy: ImageSource = pickle.loads(pickle.dumps(source))
    assert copy == source and hash(copy) == hash(source)
    assert copy.read(0).getpixel((0, 0)) == RED


def test_a_zip_is_read_by_many_threads_and_by_forked_processes(tmp_path: Path) -> None:
    files = {f"{number:02}.png": encoded(noise(seed=number)) for number in range(40)}
    source = open_source(zip_of(tmp_path / "x.zip", files))
    expected = [pixels(noise(seed=number)).tolist() for number in range(40)]

    def read_all() -> bool:
        return all(pixels(source.read(index)).tolist() == expected[index] for index in range(40))

    source.read(0)  # a handle that a forked child must not share
    with ThreadPoolExecutor(4) as pool:
        assert all([future.result() for future in [pool.submit(read_all) for _ in range(4)]])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python >= 3.12 warns of fork() beside threads
        children = []
        for _ in range(2):
            child = os.fork()
            if not child:
                os._exit(0 if read_all() else 1)
            children.append(child)
    assert read_all()
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0]


def test_in_threads_keeps_order_and_stops_early() -> None:
    assert list(in_threads(lambda index: index * index, 1000)) == [index * index for index in range(1000)]
    assert list(in_threads(lambda index: index, 0)) == []
    calls: list[int] = []
    gate = threading.Event()

    def slow(index: int) -> int:
        if index >= 32:  # after the first task
            gate.wait()
            calls.append(index)
        return index

    results = in_threads(slow, 100_000)
    assert next(results) == 0
    threading.Timer(0.1, gate.set).start()
    results.close()  # type: ignore[attr-defined]
    assert len(calls) <= 32 * min(8, os.cpu_count() or 1), "tasks that have not started are dropped"


def test_in_threads_runs_only_a_little_ahead() -> None:
    calls: list[int] = []
    results = in_threads(lambda index: calls.append(index), 100_000)
    next(results)
    time.sleep(0.05)
    assert len(calls) <= 32 * (2 * 8 + 1), "a slow reader does not fill the memory"
    results.close()  # type: ignore[attr-defined]


# Reports


def test_check_source_reports_what_is_there(tmp_path: Path) -> None:
    files = {
        "a.png": plain(size=(10, 40)),
        "b.png": plain(size=(20, 30)),
        "c.png": plain(size=(30, 20)),
        "gray.png": encoded(Image.new("L", (90, 1))),
        "bad.png": b"junk",
        "empty.png": b"",
    }
    report = check_source(str(folder_of(tmp_path, files)))
    assert report.path == tmp_path and report.count == 4
    assert report.broken == (("bad.png", "not an image"), ("empty.png", "empty file"))
    assert report.sizes == {"min": (10, 1), "median": (20, 20), "max": (90, 40)}
    assert report.modes == {"RGB": 3, "L": 1}
    assert report.bytes == sum(len(content) for content in files.values())
    assert report.notes == (
        "1 image has one side more than 16 times the other; training sees only the middle (gray.png)",
    )
    lines = str(report).splitlines()
    assert lines[0].startswith(f"{tmp_path}: 4 images, ") and lines[2] == f"  note: {report.notes[0]}"
    assert lines[3:] == ["  broken: bad.png: not an image", "  broken: empty.png: empty file"]
    assert json.loads(json.dumps(report.as_json()))["notes"] == list(report.notes)


def test_check_source_of_nothing_usable(tmp_path: Path) -> None:
    report = check_source(folder_of(tmp_path, {"odd\nname.png": b""}))
    assert (report.count, report.sizes, report.modes) == (0, {}, {})
    assert str(report).splitlines() == [
        f"{tmp_path}: 0 images, 0.0 MB",
        "  empty: it contains no readable image",
        "  broken: odd\\nname.png: empty file",
    ]


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ((2, 5), "{a} is the smaller domain: 2 images to 5 of {b}, 2.5 times as many; an epoch is 5 pairs"),
        ((4, 2), "{b} is the smaller domain: 2 images to 4 of {a}, 2 times as many; an epoch is 4 pairs"),
        ((3, 3), "both domains have 3 images: an epoch is 3 pairs"),
        ((0, 3), "{a} has no usable image: training needs two domains"),
        ((0, 0), "{a} has no usable image: training needs two domains"),
    ],
)
def test_data_check_says_which_domain_is_smaller(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], counts: tuple[int, int], said: str
) -> None:
    places = {name: tmp_path / name for name in "ab"}
    for place, count in zip(places.values(), counts, strict=True):
        folder_of(place, {f"{number}.png": plain() for number in range(count)} | {"broken.png": b""})
    assert ganas("data", "check", *places.values()) == 0
    assert capsys.readouterr().out.splitlines()[-1] == said.format(**places)
