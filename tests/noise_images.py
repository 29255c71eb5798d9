"""Images for tests of metrics."""

import torch
from PIL import Image
from torch import Tensor

from ganas.data.images import Images


class ListSource(Images):
    """Images of a list, as an image source."""

    def __init__(self, images: list[Image.Image]) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def read(self, index: int, /) -> Image.Image:
        return self.images[index]


def noise(count: int, height: int, width: int, seed: int = 0) -> Tensor:
    """uint8 [count, 3, height, width]."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 3, height, width), generator=generator, dtype=torch.uint8)
