"""Decoding gives the pixels computed here by hand for every kind of file, or a reason that names what is not read."""

import json
import os
import pickle
import struct
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Sequence
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageCms, ImageOps, PngImagePlugin, features
from test_sources import RED, chunk, encoded, folder_of, noise, pixels, plain, png, read_one, refusal, zip_of

from ganas.data import color, decode, limits
from ganas.data.levels import DEFAULT_READING
from ganas.data.limits import PixelLimit, UnreadableError
from ganas.data.loaders import center_crops
from ganas.data.sources import check_source, open_source
from ganas.data.threads import in_threads
from ganas.errors import ConfigError
from tiny import ganas

Pixel = int | tuple[int, int, int]
WHITE = (255, 255, 255)


def tiff(
    values: npt.NDArray[Any],  # [h, w] or [h, w, c]
    photometric: int = 1,  # 0: white is zero, 2: RGB
    order: str = "<",
    *,
    extra: int | None = None,  # what the last sample is, 1: premultiplied alpha, 2: straight
    tags: Sequence[tuple[int, str, float]] = (),  # number, struct's letter, value
    planes: bool = False,
    deflate: bool = False,
    packed: tuple[int, bytes] | None = None,  # bits a sample, and the data
) -> bytes:
    """A TIFF by hand, of one strip a plane: Pillow cannot write half of these."""
    height, width = values.shape[:2]
    count = values.shape[2] if values.ndim == 3 else 1
    bits = packed[0] if packed else 8 * values.itemsize
    stored = values.astype(values.dtype.newbyteorder(order))
    strips = [stored[..., plane].tobytes() for plane in range(count)] if planes else [stored.tobytes()]
    strips = [packed[1]] if packed else strips
    strips = [zlib.compress(strip) for strip in strips] if deflate else strips
    offsets = np.cumsum([8, *map(len, strips)]).tolist()
    entries: list[tuple[int, str, Sequence[float]]] = [
        *((256, "I", [width]), (257, "I", [height]), (258, "H", count * [bits]), (259, "H", [8 if deflate else 1])),
        *((262, "H", [photometric]), (273, "I", offsets[:-1]), (277, "H", [count]), (278, "I", [height])),
        *((279, "I", [*map(len, strips)]), (284, "H", [2 if planes else 1])),
        *([(338, "H", [extra])] if extra is not None else []),
        (339, "H", count * [{"u": 1, "i": 2, "f": 3}[values.dtype.kind]]),
        *((number, letter, [value]) for number, letter, value in tags),
    ]
    directory = offsets[-1]
    beyond = directory + 2 + 12 * len(entries) + 4
    table, outside = b"", b""
    for number, letter, content in sorted(entries):
        data = struct.pack(f"{order}{len(content)}{letter}", *content)
        if len(data) > 4:
            place = struct.pack(f"{order}I", beyond + len(outside))
            outside += data
        else:
            place = data.ljust(4, b"\0")
        table += struct.pack(f"{order}HHI", number, {"H": 3, "I": 4, "f": 11}[letter], len(content)) + place
    head = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(f"{order}I", directory)
    return head + b"".join(strips) + struct.pack(f"{order}H", len(entries)) + table + bytes(4) + outside


def row(*values: float | Sequence[float], kind: type = np.uint16) -> npt.NDArray[Any]:
    """One row of gray values, or of colors."""
    return np.array([values], kind)


# Bits, tags, modes


def palette_with_transparency() -> bytes:
    image = Image.new("P", (4, 1))
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.putdata([0, 1, 0, 1])
    return encoded(image, "PNG", transparency=1)


def rgb_with_color_key() -> bytes:
    image = Image.new("RGB", (2, 1), RED)
    image.putpixel((1, 0), (0, 0, 255))
    return encoded(image, "PNG", transparency=(0, 0, 255))


# 2048 · 255/4095 = 127.53, 512 · 255/1023 = 127.62, 8192 · 255/16383 = 127.51, 32768/257 = 127.502
GRAY16 = row(0, 257, 32768, 65535)
GRAY16_AS_8 = [0, 1, 128, 255]
TWELVE = row(0, 2048, 4095)
TWELVE_AS_8 = [0, 128, 255]
TWELVE_RGB = row((4095, 2048, 0), (0, 100, 4095))  # 100 · 255/4095 = 6.2
TWELVE_RGB_AS_8 = [(255, 128, 0), (0, 6, 255)]
FLOATS = row(0, 0.25, 1, kind=np.float32)  # 0.25 · 255 = 63.75
FLOATS_AS_8 = [0, 64, 255]
FLOAT_RGB = row((1, 0.25, 0), (0, 0, 0.75), kind=np.float32)  # 0.75 · 255 = 191.25
FLOAT_RGB_AS_8 = [(255, 64, 0), (0, 0, 191)]
CASES: dict[str, tuple[str, bytes, Sequence[Pixel]]] = {  # case: (file name, content, pixels of the first row)
    "1 bit": ("x.png", encoded(Image.fromarray(row(0, 255, kind=np.uint8)).convert("1")), [0, 255]),
    "gray": ("x.png", encoded(Image.fromarray(row(0, 7, 255, kind=np.uint8))), [0, 7, 255]),
    "gray + alpha": ("x.png", encoded(Image.new("LA", (1, 1), (0, 128))), [127]),
    "palette": ("x.gif", encoded(Image.new("P", (2, 2), 0), "GIF"), [0, 0]),
    "palette + transparency": ("x.png", palette_with_transparency(), [RED, WHITE] * 2),
    "color key": ("x.png", rgb_with_color_key(), [RED, WHITE]),
    "rgba": ("x.png", encoded(Image.new("RGBA", (1, 1), (255, 0, 0, 0))), [255]),
    "rgba, half": ("x.png", encoded(Image.new("RGBA", (1, 1), (255, 0, 0, 128))), [(255, 127, 127)]),
    "cmyk": ("x.tif", encoded(Image.new("CMYK", (1, 1), (0, 255, 255, 0)), "TIFF"), [RED]),
    # 16 bits
    "16-bit png": ("x.png", encoded(Image.fromarray(GRAY16)), GRAY16_AS_8),
    "16-bit tiff": ("x.tif", encoded(Image.fromarray(GRAY16), "TIFF"), GRAY16_AS_8),
    "16-bit tiff, big-endian": ("x.tif", tiff(GRAY16, order=">"), GRAY16_AS_8),
    "16-bit tiff, lzw": ("x.tif", encoded(Image.fromarray(GRAY16), "TIFF", compression="tiff_lzw"), GRAY16_AS_8),
    "16-bit pgm": ("x.pgm", b"P5 4 1 65535\n" + GRAY16.astype(">u2").tobytes(), GRAY16_AS_8),
    "16-bit jpeg 2000": ("x.jp2", encoded(Image.fromarray(np.tile(GRAY16, (8, 2))), "JPEG2000"), 2 * GRAY16_AS_8),
    "32-bit": ("x.tif", encoded(Image.fromarray(GRAY16.astype(np.int32)), "TIFF"), GRAY16_AS_8),
    "32-bit, big-endian, unsigned": ("x.tif", tiff(GRAY16.astype(np.uint32), order=">"), GRAY16_AS_8),
    "16-bit color": ("x.png", png(row((65535, 32768, 0)), 2), [(255, 128, 0)]),
    "16-bit color + alpha": ("x.png", png(row((65535, 0, 0, 65535), (0, 0, 0, 0)), 6), [RED, WHITE]),
    "16-bit gray + alpha": ("x.png", png(row((65535, 65535), (0, 65535), (0, 0)), 4), [255, 0, 255]),
    "16-bit gray + alpha, tiff": ("x.tif", tiff(row((65535, 65535), (257, 65535), (0, 0)), extra=2), [255, 1, 255]),
    # fewer bits in 16
    "8 in 16": ("x.png", encoded(Image.fromarray(row(0, 7, 255))), [0, 7, 255]),
    "10 in 16": ("x.png", encoded(Image.fromarray(row(0, 512, 1023))), [0, 128, 255]),
    "12 in 16": ("x.png", encoded(Image.fromarray(TWELVE)), TWELVE_AS_8),
    "14 in 16": ("x.png", encoded(Image.fromarray(row(0, 8192, 16383))), [0, 128, 255]),
    "12 in 16, tiff": ("x.tif", tiff(TWELVE), TWELVE_AS_8),
    "12 in 32": ("x.tif", tiff(TWELVE.astype(np.int32)), TWELVE_AS_8),
    "12 in 16, color": ("x.png", png(TWELVE_RGB, 2), TWELVE_RGB_AS_8),
    "12 in 16, color, tiff": ("x.tif", tiff(TWELVE_RGB, 2), TWELVE_RGB_AS_8),
    "12 in 16, color, tiff, big-endian": ("x.tif", tiff(TWELVE_RGB, 2, ">"), TWELVE_RGB_AS_8),
    "12 in 16, color, deflate": ("x.tif", tiff(TWELVE_RGB, 2, deflate=True), TWELVE_RGB_AS_8),
    "12 in 16, color, planes": ("x.tif", tiff(TWELVE_RGB, 2, planes=True), TWELVE_RGB_AS_8),
    "12 in 16, rgba": ("x.png", png(row((4095, 2048, 0, 4095), (9, 9, 9, 0)), 6), [(255, 128, 0), WHITE]),
    "12 in 16, full alpha": ("x.png", png(row((4095, 2048, 0, 65535), (9, 9, 9, 0)), 6), [(255, 128, 0), WHITE]),
    "12 in 16, gray + alpha": ("x.png", png(row((4095, 4095), (2048, 4095), (0, 0)), 4), [255, 128, 255]),
    "12 bits packed": ("x.tif", tiff(row(0, 0), packed=(12, bytes.fromhex("80 0f ff"))), [128, 255]),
    "12 of pgm": ("x.pgm", b"P5 3 1 4095\n" + row(0, 200, 2048).astype(">u2").tobytes(), [0, 12, 128]),
    # tags: 900 · 255/4095 = 56.04, 900 · 255/1023 = 224.3, 4095/257 = 15.9
    "dark, sBIT 12": ("x.png", png(row(0, 450, 900), 0, (b"sBIT", b"\x0c")), [0, 28, 56]),
    "dark, sBIT 16": ("x.png", png(row(0, 257, 4095), 0, (b"sBIT", b"\x10")), [0, 1, 16]),
    "sBIT 12, scaled": ("x.png", png(row(0, 257, 5000), 0, (b"sBIT", b"\x0c")), [0, 1, 19]),
    "dark, MaxSampleValue": ("x.tif", tiff(row(0, 450, 900), tags=[(281, "H", 4095)]), [0, 28, 56]),
    "MaxSampleValue of an image": ("x.tif", tiff(row(0, 900), tags=[(281, "H", 900)]), [0, 224]),
    "dark float, SMaxSampleValue": ("x.tif", tiff(row(0, 7, kind=np.float32), tags=[(341, "f", 255)]), [0, 7]),
    # white is zero
    "inverted 8 bits": ("x.tif", tiff(row(0, 7, 255, kind=np.uint8), 0), [255, 248, 0]),
    "inverted 16 bits": ("x.tif", tiff(row(0, 257, 65535), 0), [255, 254, 0]),
    "inverted 16 bits, big-endian": ("x.tif", tiff(row(0, 257, 65535), 0, ">"), [255, 254, 0]),
    "inverted 16 bits, deflate": ("x.tif", tiff(row(0, 257, 65535), 0, deflate=True), [255, 254, 0]),
    "inverted 12 in 16": ("x.tif", tiff(TWELVE, 0), [255, 127, 0]),
    "inverted float": ("x.tif", tiff(FLOATS, 0), [255, 191, 0]),
    "inverted float, big-endian": ("x.tif", tiff(FLOATS, 0, ">"), [255, 191, 0]),
    # floating point
    "float to 1": ("x.tif", encoded(Image.fromarray(FLOATS), "TIFF"), FLOATS_AS_8),
    "float to 1.0001": ("x.tif", tiff(row(0, 0.25, 1.0001, kind=np.float32)), FLOATS_AS_8),
    "float, highlights": ("x.tif", tiff(row(0, 0.25, 0.75, 3, kind=np.float32)), [0, 64, 191, 255]),
    "float to 255": ("x.tif", tiff(row(0, 7, 255, kind=np.float32)), [0, 7, 255]),
    "float to 255.4": ("x.tif", tiff(row(0, 7, 255.4, kind=np.float32)), [0, 7, 255]),
    "float to 4095": ("x.tif", tiff(TWELVE.astype(np.float32)), TWELVE_AS_8),
    "float to 65535": ("x.tif", tiff(GRAY16.astype(np.float32)), GRAY16_AS_8),
    "half": ("x.tif", tiff(FLOATS.astype(np.float16)), FLOATS_AS_8),
    "double": ("x.tif", tiff(FLOATS.astype(np.float64)), FLOATS_AS_8),
    "double, big-endian": ("x.tif", tiff(FLOATS.astype(np.float64), order=">"), FLOATS_AS_8),
    "float rgb": ("x.tif", tiff(FLOAT_RGB, 2), FLOAT_RGB_AS_8),
    "float rgb, big-endian, deflate": ("x.tif", tiff(FLOAT_RGB, 2, ">", deflate=True), FLOAT_RGB_AS_8),
    "float rgb, planes": ("x.tif", tiff(FLOAT_RGB, 2, planes=True), FLOAT_RGB_AS_8),
    "double rgb": ("x.tif", tiff(FLOAT_RGB.astype(np.float64), 2), FLOAT_RGB_AS_8),
    "float rgba": ("x.tif", tiff(row((1, 0, 0, 1), (0, 0, 0, 0), kind=np.float32), 2, extra=2), [RED, WHITE]),
    # associated alpha: v + 255 - a
    "gray, premultiplied": (
        "x.tif",
        tiff(row((50, 100), (0, 0), (200, 255), kind=np.uint8), extra=1),
        [205, 255, 200],
    ),
    "gray 16 bits, premultiplied": (
        "x.tif",
        tiff(row((12850, 25700), (0, 0), (65535, 65535)), extra=1),
        [205, 255, 255],
    ),
    "gray 16 bits, premultiplied, dark": (
        "x.tif",
        tiff(row((257, 65535), (514, 65535)), extra=1),
        [1, 2],
    ),
    "rgb, premultiplied": ("x.tif", tiff(row((100, 0, 0, 100), kind=np.uint8), 2, extra=1), [(255, 155, 155)]),
    # formats
    "tga": ("x.tga", encoded(Image.new("RGB", (2, 1), (10, 20, 30)), "TGA"), [(10, 20, 30)] * 2),
    "tga, run lengths": ("x.TGA", encoded(Image.new("L", (3, 3), 77), "TGA", compression="tga_rle"), [77] * 3),
    "tga + alpha": ("x.tga", encoded(Image.new("RGBA", (1, 1), (255, 0, 0, 0)), "TGA"), [255]),
    "jp2": ("x.jp2", encoded(Image.new("RGB", (16, 16), (10, 20, 30)), "JPEG2000"), [(10, 20, 30)] * 16),
    "j2k": ("x.j2k", encoded(Image.new("L", (16, 16), 9), "JPEG2000", no_jp2=True), [9] * 16),
    "jfif": ("x.jfif", encoded(Image.new("L", (8, 8), 128), "JPEG"), [128] * 8),
    "jpe": ("x.jpe", encoded(Image.new("L", (8, 8), 128), "JPEG"), [128] * 8),
    "a png in truth": ("x.tga", plain(size=(2, 1)), [RED] * 2),
}


@pytest.mark.parametrize("case", CASES)
def test_pixels_are_as_computed_by_hand(tmp_path: Path, case: str) -> None:
    name, content, expected = CASES[case]
    colors = [[value] * 3 if isinstance(value, int) else list(value) for value in expected]
    assert pixels(read_one(tmp_path, name, content))[0].tolist() == colors


@pytest.mark.parametrize("kind, mode, color", [("JPEG", "CMYK", (0, 255, 255, 0)), ("AVIF", "RGB", RED)])
def test_lossy_formats(tmp_path: Path, kind: str, mode: str, color: tuple[int, ...]) -> None:
    if kind == "AVIF" and "avif" not in features.get_supported():
        pytest.skip("this Pillow reads no AVIF")
    image = read_one(tmp_path, f"x.{kind.lower()}", encoded(Image.new(mode, (16, 16), color), kind))
    assert abs(pixels(image) - RED).max() < 8


NOT_READ = {
    "negative": (tiff(row(-1, 0, kind=np.float32)), "values from -1 to 0 are neither 8 nor 16 bits"),
    "signed": (tiff(row(-5, 9, kind=np.int16)), "values from -5 to 9 are neither 8 nor 16 bits"),
    "beyond 16 bits": (tiff(row(0, 70000, kind=np.float32)), "values from 0 to 70000 are neither 8 nor 16 bits"),
    "no number": (tiff(row(0, np.nan, kind=np.float32)), "values from nan to nan are neither 8 nor 16 bits"),
    "infinite": (tiff(row(0, np.inf, kind=np.float64)), "values from 0 to inf are neither 8 nor 16 bits"),
    "signed color": (
        tiff(row((0, 1, 2), kind=np.int16), 2),
        "a TIFF of 16-bit signed samples: save it as 8 or 16",
    ),
    "float lab": (tiff(row((0, 1, 2), kind=np.float32), 8), "a TIFF of 32-bit floating point samples"),
    "two bytes of three": (tiff(row((0, 1), kind=np.float32), 2), "a TIFF of 2 samples a pixel"),
    "lzw double": (
        tiff(FLOATS.astype(np.float64)).replace(struct.pack("<HHII", 259, 3, 1, 1), struct.pack("<HHII", 259, 3, 1, 5)),
        "a TIFF of 64-bit floating point samples compressed by LZW: save it as 8 or 16 bits",
    ),
    "a strip that inflates without end": (
        tiff(row(0, 1, kind=np.float64), deflate=True, packed=(64, bytes(1 << 20))),
        "damaged: more samples than pixels",
    ),
    "cut double": (
        tiff(FLOATS.astype(np.float64)).replace(
            struct.pack("<HHII", 279, 4, 1, 24), struct.pack("<HHII", 279, 4, 1, 24000)
        ),
        "truncated",
    ),
}


@pytest.mark.parametrize("case", NOT_READ)
def test_unread_kinds_are_named(tmp_path: Path, case: str) -> None:
    content, reason = NOT_READ[case]
    assert f"(x.tif: {reason}" in refusal(lambda: open_source(folder_of(tmp_path, {"x.tif": content})))


def test_only_a_suffix_tells_a_tga(tmp_path: Path) -> None:
    tga = encoded(Image.new("RGB", (2, 2)), "TGA")
    assert "not an image" in refusal(lambda: open_source(folder_of(tmp_path / "a", {"x.jpg": tga})))
    assert "not an image" in refusal(lambda: open_source(folder_of(tmp_path / "b", {"x.tga": b"<html>404</html>"})))


def test_formats_this_pillow_lacks_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An older Pillow knows no AVIF at all; another was built without JPEG 2000."""
    decode._formats.cache_clear()
    Image.init()
    monkeypatch.delitem(Image.OPEN, "AVIF", raising=False)
    monkeypatch.setattr(features, "get_supported", lambda: ["webp"])
    folder_of(tmp_path, {"x.avif": b"\0\0\0 ftypavif", "x.jpg": plain()})
    try:
        assert "x.avif: AVIF, which this Pillow cannot read: update it" in refusal(lambda: open_source(tmp_path))
        assert open_source(tmp_path, skip_bad=True).names == ("x.jpg",)
        with pytest.raises(UnreadableError, match="JPEG 2000, which"):
            decode.inspect(b"\0\0\0\x0cjP  \r\n")
    finally:
        decode._formats.cache_clear()


def test_no_other_decoder_sees_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Sequence[str]] = []
    opened = Image.open

    def recorded(*arguments: Any, formats: Sequence[str]) -> Image.Image:
        seen.append(formats)
        return opened(*arguments, formats=formats)

    monkeypatch.setattr(Image, "open", recorded)
    contents = [b"%!PS-Adobe-3.0 EPSF", encoded(noise(), "JPEG")[:-2], CASES["12 in 16, color"][1], plain()[:40]]
    for content in contents:
        for name in ("x.jpg", "x.tga", "x.eps"):
            with suppress(UnreadableError):
                decode.inspect(content, name)
    assert seen and set().union(*seen) <= {*decode.FORMATS, "TGA"}
    assert "EPS" not in set().union(*seen)


# A set decides


def test_a_set_decides_for_all_of_it(tmp_path: Path) -> None:
    """A dark image alone seems to be of fewer bits; among others it does not."""
    bright, dark = (encoded(Image.fromarray(row(0, high))) for high in (4000, 900))
    source = open_source(folder_of(tmp_path, {"bright.png": bright, "dark.png": dark, "plain.png": plain()}))
    assert [pixels(source.read(index))[0, 1, 0] for index in (0, 1)] == [249, 56], "of 4095"
    assert source.notes == (
        "2 images of more than 8 bits: no value is above 4095, read as 12 bits; "
        "--set data.white=65535 changes it for all images of more than 8 bits (translate, evaluate: --white 65535)",
    )
    assert pixels(pickle.loads(pickle.dumps(source)).read(1))[0, 1, 0] == 56
    assert pixels(source.subset([1]).read(0))[0, 1, 0] == 56
    assert pixels(open_source(tmp_path, white=65535).read(1))[0, 1, 0] == 4, "900/257 = 3.5"
    assert open_source(tmp_path, white=65535).notes == ()
    assert pixels(open_source(tmp_path, verify=0).read(1))[0, 1, 0] == 4
    assert source.digest() != open_source(tmp_path, white=65535).digest() == open_source(tmp_path, verify=0).digest()
    zipped = open_source(zip_of(tmp_path / "x.zip", {path.name: path.read_bytes() for path in tmp_path.glob("*.png")}))
    assert zipped.digest() == source.digest() and zipped.reading == source.reading


def test_one_image_of_16_bits_among_12_decides_against_them(tmp_path: Path) -> None:
    files = {f"{high}.png": encoded(Image.fromarray(row(0, high))) for high in (4095, 65535)}
    source = open_source(folder_of(tmp_path, files))
    assert pixels(source.read(0))[0, 1, 0] == 16 and source.notes == ()


def test_floats_of_a_set_are_decided_together(tmp_path: Path) -> None:
    """A black image of a set in 0 to 255 is not a white one in 0 to 1."""
    files = {f"{high:g}.tif": tiff(row(0, high, kind=np.float32)) for high in (0.9, 200)}
    source = open_source(folder_of(tmp_path, files))
    assert [pixels(source.read(index))[0, 1, 0] for index in (0, 1)] == [1, 200]
    assert source.notes == (
        "2 images of floating point: read with 255 as white; "
        "--set data.white=1 changes it for all images of more than 8 bits (translate, evaluate: --white 1)",
    )


def test_a_few_bright_pixels_do_not_darken_the_rest(tmp_path: Path) -> None:
    values = np.full((100, 100), 0.5, np.float32)
    values[0, :50] = 40
    values[1, 0] = 0.25
    source = open_source(folder_of(tmp_path, {"x.tif": tiff(values)}))
    assert pixels(source.read(0))[:2, 0, 0].tolist() == [255, 64]
    assert source.notes[1] == "1 image has values above white, which are clipped (x.tif: up to 40)"


def test_white_may_be_given(tmp_path: Path) -> None:
    folder_of(tmp_path, {"x.tif": tiff(row(0, 50_000, 100_000, kind=np.float32)), "y.png": plain()})
    source = open_source(tmp_path, white=100_000)
    assert pixels(source.read(0))[0, :, 0].tolist() == [0, 128, 255]
    assert source.read(1).getpixel((0, 0)) == RED, "8 bits are 8 bits"
    cut = open_source(tmp_path, white=50_000)
    assert pixels(cut.read(0))[0, :, 0].tolist() == [0, 255, 255]
    assert cut.notes == ("1 image has values above white, which are clipped (x.tif: up to 100000)",)


@pytest.mark.parametrize("white", [0.0, -1.0, np.inf, np.nan])
def test_white_is_a_value_that_samples_may_have(tmp_path: Path, white: float) -> None:
    folder_of(tmp_path, {"x.png": plain()})
    for call in (open_source, check_source):
        with pytest.raises(ConfigError, match=f"{white:g} cannot be the value of white: give a positive number"):
            call(tmp_path, white=white)


def test_white_changes_nothing_in_a_set_of_8_bits(tmp_path: Path) -> None:
    folder_of(tmp_path, {"x.png": plain()})
    assert open_source(tmp_path, white=4095).digest() == open_source(tmp_path).digest()
    assert open_source(tmp_path).reading == DEFAULT_READING


# Files that are good


def with_text(image: Image.Image, **options: Any) -> bytes:
    info = PngImagePlugin.PngInfo()
    info.add_text("Comment", "x" * 3_000_000, zip=True)
    return encoded(image, pnginfo=info, **options)


def damaged_chunk() -> bytes:
    good = chunk(b"tIME", bytes(7))
    return encoded(noise()).replace(b"IDAT", b"IDAT", 1)[:33] + good[:-1] + b"\0" + encoded(noise())[33:]


def padded(profile: bytes, length: int) -> bytes:
    """Pad a profile to the length of those of printers, which have tables."""
    filled = profile + os.urandom(16) + bytes(length - len(profile) - 16)
    return struct.pack(">I", len(filled)) + filled[4:]


GOOD = {
    "text": with_text(noise()),
    "text behind the pixels": encoded(noise())[:-12]
    + chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(3_000_000)))
    + encoded(noise())[-12:],
    "a lot of plain text": encoded(noise())[:33] + 70 * chunk(b"tEXt", b"k\0" + bytes(1 << 20)) + encoded(noise())[33:],
    "damaged chunk": damaged_chunk(),
}


@pytest.mark.parametrize("case", GOOD)
def test_broken_metadata_of_a_png_does_not_matter(tmp_path: Path, case: str) -> None:
    assert np.array_equal(pixels(read_one(tmp_path, "x.png", GOOD[case])), pixels(noise()))


def test_a_long_text_does_not_hide_orientation_or_transparency(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    assert read_one(tmp_path / "a", "x.png", with_text(noise(), exif=exif)).size == (48, 64)
    content = with_text(Image.new("RGB", (2, 1), RED), transparency=RED)
    assert read_one(tmp_path / "b", "x.png", content).getpixel((0, 0)) == WHITE


JPEGS = {
    "baseline": encoded(noise((40, 24)), "JPEG"),
    "progressive": encoded(noise((40, 24)), "JPEG", progressive=True),
    "optimised": encoded(noise((33, 17)), "JPEG", optimize=True, subsampling=0),
    "gray": encoded(noise((40, 24)).convert("L"), "JPEG"),
    "smooth": encoded(Image.linear_gradient("L").resize((40, 24)).convert("RGB"), "JPEG"),
    "restarts": encoded(noise((40, 24)), "JPEG", restart_marker_blocks=2),
}


@pytest.mark.parametrize("case", JPEGS)
@pytest.mark.parametrize("end", [b"", b"\xff"])
def test_a_jpeg_may_lack_its_end(tmp_path: Path, case: str, end: bytes) -> None:
    whole = JPEGS[case]
    image = read_one(tmp_path, "x.jpg", whole[:-2] + end)
    assert np.array_equal(pixels(image), pixels(Image.open(BytesIO(whole)).convert("RGB")))


@pytest.mark.parametrize("case", JPEGS)
def test_a_jpeg_cut_anywhere_is_whole_or_truncated(case: str) -> None:
    """Never are pixels made up: what is read is what the whole file holds."""
    whole = JPEGS[case]
    expected = pixels(Image.open(BytesIO(whole)).convert("RGB"))
    wrong = []
    for length in range(2, len(whole), 3):
        try:
            with decode.decoded(whole[:length]) as image:
                if not np.array_equal(pixels(image), expected):
                    wrong.append(length)
        except UnreadableError as error:
            assert str(error) in ("truncated", "not an image") or str(error).startswith("damaged"), (length, error)
    assert not wrong


# Color profiles


def icc(space: bytes, name: str, *tags: tuple[bytes, bytes]) -> bytes:
    """An ICC profile, version 2, by hand."""
    text = name.encode() + b"\0"
    desc = b"desc" + bytes(4) + struct.pack(">I", len(text)) + text + bytes(4 + 4 + 2 + 1 + 67)
    entries = [(b"desc", desc), (b"wtpt", xyz(0.9642, 1, 0.8249)), (b"cprt", b"text" + bytes(4) + b"none\0"), *tags]
    position, table, data = 132 + 12 * len(entries), b"", b""
    for signature, content in entries:
        table += signature + struct.pack(">II", position + len(data), len(content))
        data += content.ljust(-(-len(content) // 4) * 4, b"\0")
    kind = b"prtr" if space == b"CMYK" else b"mntr"
    connection = b"Lab " if tags[0][0] == b"A2B0" else b"XYZ "
    head = struct.pack(">I4sI4s4s4s", position + len(data), bytes(4), 0x02100000, kind, space, connection)
    head += struct.pack(">6H4s", 2026, 1, 1, 0, 0, 0, b"acsp") + bytes(28)
    head += struct.pack(">III", *fixed(0.9642, 1, 0.8249))
    return head.ljust(128, b"\0") + struct.pack(">I", len(entries)) + table + data


def fixed(*values: float) -> list[int]:
    return [round(value * 65536) & 0xFFFFFFFF for value in values]


def xyz(*values: float) -> bytes:
    return b"XYZ " + bytes(4) + struct.pack(">3I", *fixed(*values))


def gamma(power: float) -> bytes:
    return b"curv" + bytes(4) + struct.pack(">IH", 1, round(power * 256)) + bytes(2)


# Primaries seen in the white of D50, as columns: what the profiles of Adobe, Apple and HP hold
ADOBE = np.array([[0.60974, 0.20528, 0.14919], [0.31111, 0.62567, 0.06322], [0.01947, 0.06087, 0.74457]])
P3 = np.array([[0.51512, 0.29198, 0.15710], [0.24120, 0.69225, 0.06657], [-0.00105, 0.04189, 0.78407]])
SRGB = np.array([[0.43607, 0.38515, 0.14307], [0.22249, 0.71687, 0.06061], [0.01392, 0.09708, 0.71410]])


def rgb_profile(name: str, primaries: npt.NDArray[np.float64], curve: bytes) -> bytes:
    columns = [(tag, xyz(*column)) for tag, column in zip((b"rXYZ", b"gXYZ", b"bXYZ"), primaries.T, strict=True)]
    return icc(b"RGB ", name, *columns, *((tag, curve) for tag in (b"rTRC", b"gTRC", b"bTRC")))


def by_hand(pixel: Sequence[int], primaries: npt.NDArray[np.float64], power: float) -> npt.NDArray[np.float64]:
    """From the profile's colors to sRGB's, 0 to 255: linear light, XYZ, linear light, sRGB's curve."""
    light = np.linalg.solve(SRGB, primaries @ (np.array(pixel) / 255) ** power).clip(0, 1)
    return 255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


ADOBE_RGB = rgb_profile("Adobe RGB (1998)", ADOBE, gamma(2.19921875))
DISPLAY_P3 = rgb_profile("Display P3", P3, gamma(2.2))
GRAY_22, GRAY_LINEAR = (icc(b"GRAY", f"Gray {power}", (b"kTRC", gamma(power))) for power in (2.2, 1.0))
SWATCHES = [(200, 100, 50), (10, 200, 120), (128, 128, 128), (30, 60, 200), (0, 0, 0), (255, 255, 255)]


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP"])
@pytest.mark.parametrize(("profile", "primaries", "power"), [(ADOBE_RGB, ADOBE, 2.19921875), (DISPLAY_P3, P3, 2.2)])
def test_profiles_become_srgb(
    tmp_path: Path, kind: str, profile: bytes, primaries: npt.NDArray[np.float64], power: float
) -> None:
    options = {"JPEG": {"quality": 100, "subsampling": 0}, "WEBP": {"lossless": True}}.get(kind, {})
    image = Image.fromarray(np.array([SWATCHES], np.uint8)).resize((48, 8), Image.Resampling.NEAREST)
    content = encoded(image, kind, icc_profile=profile, **options)
    found = pixels(read_one(tmp_path, f"x.{kind.lower()}", content))[4, 4::8]
    expected = [by_hand(swatch, primaries, power) for swatch in SWATCHES]
    assert abs(found - expected).max() <= (3 if kind == "JPEG" else 1)
    left = pixels(read_one(tmp_path, f"x.{kind.lower()}", content, icc=False))[4, 4::8]
    assert abs(left - SWATCHES).max() <= (2 if kind == "JPEG" else 0)


def test_profiles_are_noted(tmp_path: Path) -> None:
    files = {f"p3 {number}.png": encoded(noise(), icc_profile=DISPLAY_P3) for number in range(2)}
    files |= {"adobe.jpg": encoded(noise(), "JPEG", icc_profile=ADOBE_RGB), "plain.png": plain()}
    files |= {
        "odd.png": encoded(noise(), icc_profile=b"junk"),
        "gray.jpg": encoded(noise(), "JPEG", icc_profile=GRAY_22),
    }
    source = open_source(folder_of(tmp_path, files))
    assert source.notes == (
        "3 images have color profiles other than sRGB (Display P3, Adobe RGB (1998)): converted to sRGB; "
        "--set data.icc=false leaves them (translate, evaluate: --no-icc)",
        "2 images have damaged or mismatched color profiles, which are ignored (gray.jpg and others)",
    )
    left = open_source(tmp_path, icc=False)
    assert left.notes == () and left.digest() != source.digest()
    assert np.array_equal(pixels(left.read(source.names.index("p3 0.png"))), pixels(noise()))
    assert np.array_equal(pixels(source.read(source.names.index("odd.png"))), pixels(noise()))


def srgb_curve() -> bytes:
    levels = np.arange(1024) / 1023
    light = np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)
    return b"curv" + bytes(4) + struct.pack(">I", 1024) + (light * 65535).round().astype(">u2").tobytes()


SRGB_PROFILES = {
    "of little cms": ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
    "by what it does": rgb_profile("c2", SRGB, srgb_curve()),
    "by its name": rgb_profile("sRGB, roughly", SRGB, gamma(2.2)),
}


@pytest.mark.parametrize("case", SRGB_PROFILES)
def test_srgb_stays_as_it_is(tmp_path: Path, case: str) -> None:
    profile = SRGB_PROFILES[case]
    source = open_source(folder_of(tmp_path, {"x.png": encoded(noise(), icc_profile=profile)}))
    assert np.array_equal(pixels(source.read(0)), pixels(noise())) and source.notes == ()
    assert source.digest() == open_source(tmp_path, icc=False).digest()


def test_colors_are_converted_before_compositing(tmp_path: Path) -> None:
    image = Image.new("RGBA", (1, 1), (200, 100, 50, 128))
    found = pixels(read_one(tmp_path, "x.png", encoded(image, icc_profile=ADOBE_RGB)))[0, 0]
    expected = by_hand((200, 100, 50), ADOBE, 2.19921875) * 128 / 255 + 255 * 127 / 255
    assert abs(found - expected).max() <= 1.5


@pytest.mark.parametrize("mode", ["L", "LA", "I;16"])
@pytest.mark.parametrize(("profile", "power"), [(GRAY_22, 2.2), (GRAY_LINEAR, 1.0)])
def test_gray_profiles(tmp_path: Path, mode: str, profile: bytes, power: float) -> None:
    values = row(0, 10, 100, 200, 255, kind=np.uint8)
    image = Image.fromarray(values.astype(np.uint16) * 257) if mode == "I;16" else Image.fromarray(values).convert(mode)
    found = pixels(read_one(tmp_path, "x.png", encoded(image, icc_profile=profile)))[0]
    light = (values[0] / 255) ** power
    expected = 255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    assert abs(found - expected[:, None]).max() <= 1
    assert (found == found[:, :1]).all(), "gray stays gray"


def test_a_color_profile_on_gray(tmp_path: Path) -> None:
    """Common: software tags everything alike."""
    found = pixels(read_one(tmp_path, "x.png", encoded(Image.new("L", (1, 1), 100), icc_profile=ADOBE_RGB)))[0, 0]
    assert abs(found - by_hand((100, 100, 100), ADOBE, 2.19921875)).max() <= 1


def test_cmyk_profile(tmp_path: Path) -> None:
    """A printer whose paper is white and whose colors all print as one gray of L* = 50."""
    inks = np.full((16, 3), (128, 128, 128), np.uint8)  # L* 50, a* 0, b* 0
    inks[0] = (255, 128, 128)
    identity = (np.eye(3) * 65536).astype(">i4").tobytes()
    ramp = bytes(range(256))
    table = b"mft1" + bytes(4) + bytes((4, 3, 2, 0)) + identity + 4 * ramp + inks.tobytes() + 3 * ramp
    profile = icc(b"CMYK", "A printer", (b"A2B0", table), (b"A2B1", table))
    image = Image.new("CMYK", (2, 1), (0, 0, 0, 0))
    image.putpixel((1, 0), (255, 0, 0, 0))
    found = pixels(read_one(tmp_path, "x.tif", encoded(image, "TIFF", icc_profile=profile)))[0]
    light = ((128 / 255 * 100 + 16) / 116) ** 3
    assert abs(found - [[255] * 3, [255 * (1.055 * light ** (1 / 2.4) - 0.055)] * 3]).max() <= 2


def test_a_profile_of_megabytes_is_used(tmp_path: Path) -> None:
    """More than Pillow takes from a PNG; zeros compress well, too."""
    profile = padded(ADOBE_RGB, 2_000_000)
    content = encoded(Image.new("RGB", (1, 1), (200, 100, 50)))
    content = content[:33] + chunk(b"iCCP", b"x\0\0" + zlib.compress(profile)) + content[33:]
    source = open_source(folder_of(tmp_path, {"x.png": content}))
    assert abs(pixels(source.read(0))[0, 0] - by_hand((200, 100, 50), ADOBE, 2.19921875)).max() <= 1
    assert "Adobe RGB" in source.notes[0]


def test_without_little_cms_profiles_are_left_and_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "check_module", lambda name: name != "littlecms2")
    color.find_profile.cache_clear()
    try:
        source = open_source(folder_of(tmp_path, {"x.png": encoded(noise(), icc_profile=DISPLAY_P3)}))
        assert np.array_equal(pixels(source.read(0)), pixels(noise()))
        assert "not converted, because this Pillow cannot" in source.notes[0]
    finally:
        color.find_profile.cache_clear()


def test_profiles_are_converted_by_many_threads(tmp_path: Path) -> None:
    images = [noise(seed=number) for number in range(40)]
    files = {f"{number:02}.png": encoded(image, icc_profile=DISPLAY_P3) for number, image in enumerate(images)}
    source = open_source(folder_of(tmp_path, files))
    alone = [pixels(source.read(index)) for index in range(40)]
    for found, expected in zip(in_threads(lambda index: pixels(source.read(index % 40)), 400), 10 * alone, strict=True):
        assert np.array_equal(found, expected)


# Orientation and frames


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_exif_orientation(tmp_path: Path, kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    upright = noise((16, 8)).resize((64, 32), Image.Resampling.NEAREST)
    content = encoded(upright, kind, exif=exif)
    expected = ImageOps.exif_transpose(Image.open(BytesIO(content)))
    image = read_one(tmp_path, f"x.{kind.lower()}", content)
    assert image.size == ((64, 32) if orientation < 5 else (32, 64))
    assert check_source(tmp_path).sizes["max"] == image.size
    assert np.array_equal(pixels(image), pixels(expected.convert("RGB")))


# of the row [0, 64, 255]: (size, the first pixel, the last)
TURNED = {1: ((3, 1), 0, 255), 2: ((3, 1), 255, 0), 3: ((3, 1), 255, 0), 4: ((3, 1), 0, 255)}
TURNED |= {5: ((1, 3), 0, 255), 6: ((1, 3), 0, 255), 7: ((1, 3), 255, 0), 8: ((1, 3), 255, 0)}


@pytest.mark.parametrize("orientation", TURNED)
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_orientation_of_floating_point(tmp_path: Path, orientation: int, kind: type) -> None:
    size, first, last = TURNED[orientation]
    content = tiff(FLOATS.astype(kind), tags=[(274, "H", orientation)])
    image = read_one(tmp_path, "x.tif", content)
    assert image.size == size and check_source(tmp_path).sizes["max"] == size
    assert (image.getpixel((0, 0)), image.getpixel((size[0] - 1, size[1] - 1))) == ((first,) * 3, (last,) * 3)


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("exif", [b"junk", b"MM\0*", b"II*\0\xff\xff\xff\xff", b"II*\0\x08\0\0\0\xff\xff\x12\x01"])
def test_damaged_exif_does_not_matter(tmp_path: Path, kind: str, exif: bytes) -> None:
    content = encoded(noise(), kind, exif=b"Exif\0\0" + exif)
    assert read_one(tmp_path, "x.jpg", content).size == (64, 48)


ANIMATED = ["GIF", "PNG", "TIFF", "WEBP", *(["AVIF"] if "avif" in features.get_supported() else [])]


@pytest.mark.parametrize("kind", ANIMATED)
def test_the_first_of_many_frames_is_read_and_noted(tmp_path: Path, kind: str) -> None:
    frames = [Image.new("RGB", (16, 16), shade) for shade in (RED, (0, 0, 255))]
    content = encoded(frames[0], kind, save_all=True, append_images=frames[1:])
    files = {"moving.x": content, "still.x": encoded(frames[0], kind)}
    source = open_source(folder_of(tmp_path, {name.replace("x", kind.lower()): files[name] for name in files}))
    assert abs(pixels(source.read(0)) - RED).max() <= 2
    assert source.notes == (f"1 image has more than one frame or page; only the first is read (moving.{kind.lower()})",)


# Huge and thin images


def test_threads_share_the_pixels_in_memory() -> None:
    limit, most, now = PixelLimit(100), [0], [0]
    lock = threading.Lock()

    def hold(pixels: int) -> None:
        for _ in range(20):
            with limit.reserve(pixels):
                with lock:
                    now[0] += min(pixels, 100)
                    most[0] = max(most[0], now[0])
                time.sleep(0.0005)
                with lock:
                    now[0] -= min(pixels, 100)

    threads = [threading.Thread(target=hold, args=(pixels,)) for pixels in (10, 40, 60, 99, 1000)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 0 < most[0] <= 100


def test_an_image_counts_towards_the_budget_until_resized(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode, "pixel_budget", limit := PixelLimit(1000))
    source = open_source(folder_of(tmp_path, {"x.png": plain(), "y.jpg": encoded(noise(), "JPEG")[:-2]}))
    for index, free in ((0, 1000 - 48), (1, 0)):
        with source.opened(index):
            assert limit._free == free
        assert limit._free == 1000
    (tmp_path / "x.png").write_bytes(plain()[:-30])
    refusal(lambda: source.read(0))
    assert limit._free == 1000


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no processes are forked here")
@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_a_forked_process_holds_nothing() -> None:
    with limits.pixel_budget.reserve(limits.MAX_PIXELS):
        child = os.fork()
        if not child:
            with limits.pixel_budget.reserve(limits.MAX_PIXELS):
                os._exit(0)
        assert os.waitpid(child, 0)[1] == 0


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere memory is counted otherwise")
@pytest.mark.parametrize("work", ["strip", "huge"])
def test_memory(tmp_path: Path, work: str) -> None:
    """A strip is not enlarged to gigabytes, and four threads take no more than one does."""
    if work == "strip":
        Image.new("RGB", (60_000, 1), RED).save(tmp_path / "x.png")
        Image.new("RGB", (1, 60_000), RED).save(tmp_path / "y.png")
    else:
        for number in range(4):
            Image.new("LA", (3000, 3000), (number, 99)).save(tmp_path / f"{number}.png", compress_level=1)
    script = f"""
from concurrent.futures import ThreadPoolExecutor
from resource import RUSAGE_SELF, getrusage
from ganas.data import limits
from ganas.data.sources import open_source

def small(index):
    with source.opened(index) as image:
        return image.resize((16, 16))

limits.pixel_budget._pixels = limits.pixel_budget._free = 9_000_000
source = open_source({str(tmp_path)!r}, verify=0)
small(0)
before = getrusage(RUSAGE_SELF).ru_maxrss
if {work!r} == "strip":
    from ganas.data.loaders import center_crops
    before = getrusage(RUSAGE_SELF).ru_maxrss  # torch is large
    images = center_crops(source, 256)
    assert (images[:, 0] == 255).all() and (images[:, 1:] == 0).all()
else:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(small, range(4)))
print((getrusage(RUSAGE_SELF).ru_maxrss - before) // 1024)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 100, "MB"


def test_training_sees_the_middle_of_a_strip(tmp_path: Path) -> None:
    """What is cut off is not seen anyway; up to 16 squares nothing is."""
    random = np.random.default_rng(0).integers(0, 256, (2, 8, 260, 3), dtype=np.uint8)
    whole, within = random[0], random[1, :, :128]
    files = {"a.png": encoded(Image.fromarray(whole)), "b.png": encoded(Image.fromarray(within))}
    source = open_source(folder_of(tmp_path, files))
    assert source.notes == ("1 image has one side more than 16 times the other; training sees only the middle (a.png)",)
    strip, ordinary = center_crops(source, 16)
    middle = Image.fromarray(whole[:, 66 : 66 + 128]).resize((256, 16), Image.Resampling.BICUBIC)
    assert np.array_equal(strip.permute(1, 2, 0), np.asarray(middle)[:, 120:136])
    plainly = Image.fromarray(within).resize((256, 16), Image.Resampling.BICUBIC)
    assert np.array_equal(ordinary.permute(1, 2, 0), np.asarray(plainly)[:, 120:136])
    assert source.read(0).size == (260, 8), "to be translated, it is whole"


# The same images, whatever they are stored in


def test_the_same_set_gives_the_same_bytes_in_every_format(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """PNG, BMP, TIFF, WebP, a zip and other names: byte-identical pixels, and byte-identical tables."""
    images = [noise((40, 36), seed) for seed in range(4)]
    kinds: dict[str, dict[str, Any]] = {"PNG": {}, "BMP": {}, "TIFF": {"compression": "tiff_lzw"}}
    kinds["WEBP"] = {"lossless": True}
    sets = {
        kind: {f"{number}.{kind.lower()}": encoded(image, kind, **options) for number, image in enumerate(images)}
        for kind, options in kinds.items()
    }
    places = {kind: folder_of(tmp_path / kind, files) for kind, files in sets.items()}
    places["zip"] = zip_of(tmp_path / "x.zip", sets["PNG"])
    renamed = {f"kůň {number} #!.JPG": content for number, content in enumerate(sets["PNG"].values())}
    places["renamed"] = folder_of(tmp_path / "renamed", renamed)
    for place in places.values():
        source = open_source(place)
        assert [source.read(index).tobytes() for index in range(4)] == [image.tobytes() for image in images]
    real = folder_of(tmp_path / "real", {f"{seed}.png": encoded(noise((40, 36), seed)) for seed in range(10, 14)})
    tables = set()
    for place in places.values():
        capsys.readouterr()
        arguments = ["evaluate", "--real", real, "--fake", place, "--metrics", "swd", "--no-cache", "--json"]
        assert ganas(*arguments) == 0
        table = json.loads(capsys.readouterr().out)
        del table["protocol"]["seconds"]
        tables.add(json.dumps(table))
    assert len(tables) == 1
