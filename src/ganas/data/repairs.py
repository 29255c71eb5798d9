"""Files whose pixels are whole although a decoder refuses them: what to decode in their place."""

import re
import zlib
from collections.abc import Iterator
from io import BytesIO

from PIL import Image, ImageChops

from ganas.data.limits import in_memory

PNG = b"\x89PNG\r\n\x1a\n"
MOST_PROFILE = 1 << 24  # bytes of a colour profile; those of printers have a few millions

# Beside the critical chunks, what bears on the pixels
_KEPT = (b"tRNS", b"sBIT", b"gAMA", b"cHRM", b"sRGB", b"eXIf")
_ORIENTED = (b"Raw profile type exif\0", b"Raw profile type APP1\0", b"XML:com.adobe.xmp\0")  # texts that may turn it
_JPEG_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")  # but for those within the data of a scan
_JPEG_RESTART = re.compile(rb"\xff[\xd0-\xd7]")
_JPEG_END = b"\xff\xd9"


def png_chunks(png: bytes) -> Iterator[tuple[bytes, bytes, bytes]]:
    """(type, content, the whole chunk as stored) of each, until the file ends."""
    position = len(PNG)
    while position + 8 <= len(png):
        length = int.from_bytes(png[position : position + 4], "big")
        end = position + 12 + length
        yield png[position + 4 : position + 8], png[position + 8 : end - 4], png[position:end]
        position = end


def png_alone(png: bytes) -> tuple[bytes, bytes | None]:
    """A PNG without all that does not bear on its pixels, and its colour profile by itself.

    Pillow refuses a whole image for a long text, a profile of more than a megabyte, or a damaged chunk that nobody
    needs.
    """
    kept, profile = [PNG], None
    for kind, content, chunk in png_chunks(png):
        critical = kind[:1].isupper()
        whole = len(chunk) == 12 + len(content) and zlib.crc32(kind + content) == int.from_bytes(chunk[-4:], "big")
        if critical or (whole and (kind in _KEPT or (len(content) < 1 << 16 and content.startswith(_ORIENTED)))):
            kept.append(chunk)
        elif kind == b"iCCP" and whole:
            profile = _inflated(content.partition(b"\0")[2][1:])
    return b"".join(kept), profile


def _inflated(content: bytes) -> bytes | None:
    try:
        return zlib.decompressobj().decompress(content, MOST_PROFILE)
    except zlib.error:
        return None


def jpeg_ended(jpeg: bytes) -> bytes | None:
    """A JPEG with the end marker it lacks, or None if it lacks pixels, too.

    A decoder makes up the pixels that are missing, and says so to nobody. But it makes them up from what follows: all
    continuations give the same pixels only where none is missing.
    """
    if not _all_scans(jpeg):
        return None
    body = jpeg.rstrip(b"\xff")  # half of the marker
    ended = body + _JPEG_END
    first = Image.open(BytesIO(ended), formats=["JPEG"])
    with in_memory.hold(3 * first.width * first.height):
        first.load()
        for bits in (b"\xaa", b"\x55", _next_restart(body)):
            made_up = body + bits + bytes(range(1, 255)) + _JPEG_END
            other = Image.open(BytesIO(made_up), formats=["JPEG"])
            if ImageChops.difference(first, other).getbbox(alpha_only=False):
                return None
    return ended


def _next_restart(jpeg: bytes) -> bytes:
    """The restart marker that is next in the last scan of a JPEG, if it has such: cut before one, it waits for that."""
    markers = _JPEG_RESTART.findall(jpeg, jpeg.rfind(b"\xff\xda"))
    return bytes((0xFF, 0xD0 + (markers[-1][1] + 1) % 8 if markers else 0xD0))


def _all_scans(jpeg: bytes) -> bool:
    """Whether the scans of a JPEG cover every coefficient of every component, to the last bit."""
    missing = {(-1, -1)}  # until the frame's header says what there is
    position = 2
    while marker := _JPEG_MARKER.search(jpeg, position):
        kind = jpeg[marker.start() + 1]
        position = marker.end() + int.from_bytes(jpeg[marker.end() : marker.end() + 2], "big")
        segment = jpeg[marker.end() + 2 : position]
        if 0xC0 <= kind <= 0xCF and kind not in (0xC4, 0xC8, 0xCC):
            missing = {(component, place) for component in segment[6::3] for place in range(64)}
        elif kind == 0xDA and len(segment) > 3 and not segment[-1] & 15:  # a scan down to the lowest bit
            first, last = segment[-3], segment[-2]
            missing -= {(component, place) for component in segment[1:-3:2] for place in range(first, last + 1)}
    return not missing
