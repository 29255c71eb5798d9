"""Pictures as small WebP images inside a page. No torch."""

import base64
import io
from collections.abc import Iterator, Sequence

from PIL import Image

from ganas.errors import RunError
from ganas.records import Sample
from ganas.report.blocks import Frame

GAP = 2  # white pixels between tiled images, as `ganas.pictures.tile` leaves them
QUALITY = 88
MAX_FRAMES = 16  # pictures of a timeline: the first, the last, and evenly between


def data_uri(picture: Image.Image, side: int) -> str:
    """Encode a picture, its longer side reduced to `side` pixels."""
    if max(picture.size) > side:
        picture = picture.copy()
        picture.thumbnail((side, side), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.save(buffer, format="WEBP", quality=QUALITY, method=4)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()


def thinned(samples: Sequence[Sample], count: int = MAX_FRAMES) -> list[Sample]:
    """Return up to `count` samples, spread evenly, with the first and the last."""
    if len(samples) <= count:
        return list(samples)
    return [samples[round(index * (len(samples) - 1) / (count - 1))] for index in range(count)]


def frames(samples: Sequence[Sample], side: int, unit: str) -> list[Frame]:
    """Encode samples as the frames of a timeline, without those that cannot be read."""
    return [Frame(f"after {sample.images:,} {unit}", data_uri(picture, side)) for sample, picture in readable(samples)]


def readable(samples: Sequence[Sample]) -> Iterator[tuple[Sample, Image.Image]]:
    """Yield the samples that can be read: a run may be killed, a disk may fail."""
    for sample in samples:
        try:
            yield sample, sample.open()
        except RunError:
            continue


def tiles(grid: Image.Image, side: int) -> list[list[Image.Image]]:
    """Cut a grid of tiles of `side` pixels into rows of pictures; rows may be short, white places end them."""
    step = side + GAP
    rows, columns = (grid.height + GAP) // step, (grid.width + GAP) // step
    boxes = [[(x * step, y * step, x * step + side, y * step + side) for x in range(columns)] for y in range(rows)]
    cut = [[grid.crop(box) for box in row] for row in boxes]
    for row in cut:
        while row and row[-1].getextrema() == ((255, 255),) * 3:
            row.pop()
    return cut
