"""Repair files whose pixels are complete although Pillow refuses them."""

import re
import zlib
from collections.abc import Iterator
from io import BytesIO

from PIL import Image, ImageChops

from ganas.data.limits import pixel_budget

PNG = b"\x89PNG\r\n\x1a\n"
MAX_PROFILE_BYTES = 1 << 24  # of a color profile; profiles of printers have a few megabytes

# Ancillary chunks that affect the pixels
_KEPT = (b"tRNS", b"sBIT", b"gAMA", b"cHRM", b"sRGB", b"eXIf")
_ORIENTED = (
    b"Raw profile type exif\0",
    b"Raw profile type APP1\0",
    b"XML:com.adobe.xmp\0",
)  # texts that may set the orientation
_JPEG_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")  # except those within the data of a scan
_JPEG_RESTART = re.compile(rb"\xff[\xd0-\xd7]")
_SCAN = 0xDA
_JPEG_END = b"\xff\xd9"


def png_chunks(png: bytes) -> Iterator[tuple[bytes, bytes, bytes]]:
    """Yield (type, content, the whole chunk as stored) of each chunk."""
    position = len(PNG)
    while position + 8 <= len(png):
        length = int.from_bytes(png[position : position + 4], "big")
        end = position + 12 + length
        yield png[position + 4 : position + 8], png[position + 8 : end - 4], png[position:end]
        position = end


def strip_png(png: bytes) -> tuple[bytes, bytes | None]:
    """Return a PNG reduced to the chunks that affect its pixels, and its color profile separately.

    Pillow refuses an image for a long text, a profile of more than a megabyte, or a damaged ancillary chunk.
    """
    kept, profile = [PNG], None
    for kind, content, chunk in png_chunks(png):
        critical = kind[:1].isupper()
        whole = len(chunk) == 12 + len(content) and zlib.crc32(kind + content) == int.from_bytes(chunk[-4:], "big")
        if critical or (whole and (kind in _KEPT or (len(content) < 1 << 16 and content.startswith(_ORIENTED)))):
            kept.append(chunk)
        elif kind == b"iCCP" and whole:
            profile = _inflate(content.partition(b"\0")[2][1:])
    return b"".join(kept), profile


def _inflate(content: bytes) -> bytes | None:
    try:
        return zlib.decompressobj().decompress(content, MAX_PROFILE_BYTES)
    except zlib.error:
        return None


def complete_jpeg(jpeg: bytes) -> bytes | None:
    """Append the missing end marker to a JPEG; return None if pixels are missing, too.

    A decoder silently invents missing pixels from the bytes that follow. Different continuations therefore give the
    same pixels only if none is missing.
    """
    if not _has_all_scans(jpeg) or not _has_all_restarts(jpeg):
        return None
    body = jpeg.rstrip(b"\xff")  # half of an end marker
    ended = body + _JPEG_END
    first = Image.open(BytesIO(ended), formats=["JPEG"])
    with pixel_budget.reserve(3 * first.width * first.height):
        first.load()
        for bits in (b"\xaa", b"\x55"):
            made_up = body + bits + bytes(range(1, 255)) + _JPEG_END
            other = Image.open(BytesIO(made_up), formats=["JPEG"])
            if ImageChops.difference(first, other).getbbox(alpha_only=False):
                return None
    return ended


def _segments(jpeg: bytes) -> Iterator[tuple[int, bytes, int]]:
    """Yield (marker, content, end position) of each segment; the data of a scan follows its segment."""
    position = 2
    while marker := _JPEG_MARKER.search(jpeg, position):
        position = marker.end() + int.from_bytes(jpeg[marker.end() : marker.end() + 2], "big")
        yield jpeg[marker.start() + 1], jpeg[marker.end() + 2 : position], position


def _is_frame(kind: int) -> bool:
    return 0xC0 <= kind <= 0xCF and kind not in (0xC4, 0xC8, 0xCC)


def _has_all_scans(jpeg: bytes) -> bool:
    """Whether the scans of a JPEG cover every coefficient of every component down to the last bit."""
    missing = {(-1, -1)}  # until the frame header lists the components
    for kind, segment, _ in _segments(jpeg):
        if _is_frame(kind):
            missing = {(component, index) for component in segment[6::3] for index in range(64)}
        elif kind == _SCAN and len(segment) > 3 and not segment[-1] & 15:  # a scan down to the lowest bit
            first, last = segment[-3], segment[-2]
            missing -= {(component, index) for component in segment[1:-3:2] for index in range(first, last + 1)}
    return not missing


def _has_all_restarts(jpeg: bytes) -> bool:
    """Whether the last scan has all its restart markers: a file cut before one would seem complete."""
    interval, frame, scan, data = 0, b"", b"", len(jpeg)
    for kind, segment, end in _segments(jpeg):
        if kind == 0xDD:
            interval = int.from_bytes(segment[:2], "big")
        elif _is_frame(kind):
            frame = segment
        elif kind == _SCAN:
            scan, data = segment, end
    if not interval:
        return True
    height, width = (int.from_bytes(frame[start : start + 2], "big") for start in (1, 3))
    sampling = {component: divmod(factors, 16) for component, factors in zip(frame[6::3], frame[7::3], strict=False)}
    components = scan[1:-3:2]
    most: list[int] = [max(factors) for factors in zip(*sampling.values(), strict=True)]  # horizontally, vertically
    # with one component, a unit is one of its blocks; with several, a block of the coarsest component
    own = sampling[components[0]] if len(components) == 1 else (1, 1)
    across, down = -(-width * own[0] // (8 * most[0])), -(-height * own[1] // (8 * most[1]))
    return len(_JPEG_RESTART.findall(jpeg, data)) == -(-across * down // interval) - 1
