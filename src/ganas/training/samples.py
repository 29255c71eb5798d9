"""Sample grids: what the generators do to a few held-out images, as one picture."""

import torch
from torch import Tensor

from ganas.inference import Translator

GAP = 2  # pixels of white between images


def sample_grid(images_a: Tensor, images_b: Tensor, ab: Translator, ba: Translator) -> Tensor:
    """uint8 [3, H, W]: columns are images, rows A, A→B, A→B→A, then B, B→A, B→A→B; inputs uint8 [n, 3, r, r]."""
    fake_b, fake_a = ab(images_a), ba(images_b)
    rows = (images_a, fake_b, ba(fake_b), images_b, fake_a, ab(fake_a))
    return tile(rows)


def tile(rows: tuple[Tensor, ...]) -> Tensor:
    """Rows of uint8 [n, 3, r, r] images -> one uint8 [3, H, W] picture on white; n may differ from row to row."""
    count, (height, width) = max(map(len, rows)), rows[0].shape[-2:]
    canvas = torch.full((3, len(rows) * (height + GAP) - GAP, count * (width + GAP) - GAP), 255, dtype=torch.uint8)
    for y, row in enumerate(rows):
        for x, image in enumerate(row):
            top, left = y * (height + GAP), x * (width + GAP)
            canvas[:, top : top + height, left : left + width] = image
    return canvas
