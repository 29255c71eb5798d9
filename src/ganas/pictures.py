"""Encode tensors as image files, and tile several images into one."""

import io
from pathlib import Path
from typing import Any

import torch
from PIL import ExifTags, Image
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from ganas.data.decode import SOFTWARE
from ganas.data.listing import IMAGE_SUFFIXES, OTHER_SUFFIXES, is_image_name
from ganas.errors import DataError

GAP = 2  # white pixels between tiled images
QUALITY: dict[str, dict[str, Any]] = {  # for formats that are lossy by default
    "JPEG": {"quality": 95, "subsampling": 0},
    "WEBP": {"lossless": True},
}


def png(image: Tensor) -> bytes:
    """Encode uint8 [3, h, w] as a PNG."""
    return encoded(image, "PNG")


def names_image(path: Path) -> bool:
    """Whether an output path names an image file, even in a format that cannot be written."""
    return path.name.lower().endswith((*IMAGE_SUFFIXES, *OTHER_SUFFIXES))


def check_suffix(path: Path) -> str:
    """Return the image format of a file's suffix; raises `DataError` if it cannot be written."""
    kind = Image.registered_extensions().get(path.suffix.lower()) if is_image_name(path.name) else None
    if kind is None or kind not in Image.SAVE:
        raise DataError(f"cannot write {str(path)!r}: give a name that ends in .png, .jpg or .webp")
    return kind


def encoded(image: Tensor, kind: str) -> bytes:
    """Encode uint8 [3, h, w] in an image format, as `check_suffix` names it."""
    buffer = io.BytesIO()
    options = dict(QUALITY.get(kind, {}))
    if kind == "PNG":  # marks it as generated, so that it is never used as training data by mistake
        options["pnginfo"] = PngInfo()
        options["pnginfo"].add_text("Software", SOFTWARE)
    elif kind in ("JPEG", "WEBP", "TIFF", "AVIF"):
        options["exif"] = Image.Exif()
        options["exif"][ExifTags.Base.Software] = SOFTWARE
    Image.fromarray(image.permute(1, 2, 0).contiguous().numpy()).save(buffer, format=kind, **options)
    return buffer.getvalue()


def tile(rows: tuple[Tensor, ...]) -> Tensor:
    """Tile rows of uint8 [n, 3, r, r] images into one uint8 [3, H, W] on white; n may differ between rows."""
    count, (height, width) = max(map(len, rows)), rows[0].shape[-2:]
    canvas = torch.full((3, len(rows) * (height + GAP) - GAP, count * (width + GAP) - GAP), 255, dtype=torch.uint8)
    for y, row in enumerate(rows):
        for x, image in enumerate(row):
            top, left = y * (height + GAP), x * (width + GAP)
            canvas[:, top : top + height, left : left + width] = image
    return canvas
