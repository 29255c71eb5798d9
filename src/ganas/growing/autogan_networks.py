"""Generator and discriminator of AutoGAN, built from an `AutoGANArchitecture` (Gong et al. 2019)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from ganas.growing.architecture import RGB
from ganas.growing.autogan import BLOCKS, AutoGANArchitecture, FoundCell
from ganas.layers import downsample, normalize_spectrally


class AutoGANGenerator(nn.Module):
    """z [n, latent] -> images [n, 3, r, r] in [-1, 1]."""

    doubles = False  # as a `GrownGenerator` that fades nothing in
    blend = 1.0

    def __init__(self, architecture: AutoGANArchitecture) -> None:
        super().__init__()
        c, self.resolution = architecture.channels, architecture.resolution
        self.bottom = architecture.bottom
        self.latent = nn.Linear(architecture.latent, c * self.bottom**2)
        _initialize(self.latent)
        self.cells = nn.ModuleList(_Cell(cell, c, skips=number) for number, cell in enumerate(architecture.cells))
        self.norm = nn.BatchNorm2d(c)
        self.rgb = _conv(c, RGB)

    def forward(self, z: Tensor) -> Tensor:
        # this order of axes makes the maps channels-last
        x = self.latent(z).unflatten(1, (self.bottom, self.bottom, -1)).permute(0, 3, 1, 2)
        skips: list[Tensor] = []
        for cell in self.cells:
            x, skip = cell(x, skips)
            skips.append(skip)
        return torch.tanh(self.rgb(functional.relu(self.norm(x))))


class _Cell(nn.Module):
    """x [n, c, h, w], the skips of earlier cells -> (output, own skip), both [n, c, 2h, 2w]."""

    def __init__(self, cell: FoundCell, channels: int, skips: int) -> None:
        super().__init__()
        self._mode = cell.mode
        self.norms = nn.ModuleList(nn.BatchNorm2d(channels) if cell.norm else nn.Identity() for _ in range(2))
        self.first, self.second = _conv(channels, channels), _conv(channels, channels)
        self.skips = nn.ModuleList(_conv(channels, channels, 1) for _ in range(skips))
        self.shortcut = _conv(channels, channels, 1) if cell.shortcut else None

    def forward(self, x: Tensor, skips: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        size = 2 * x.shape[2], 2 * x.shape[3]
        own = self.first(self._resize(functional.relu(self.norms[0](x)), size))
        h = own
        for conv, skip in zip(self.skips, skips, strict=True):
            h = h + conv(self._resize(skip, size))
        h = self.second(functional.relu(self.norms[1](h)))
        if self.shortcut is not None:
            h = h + self.shortcut(self._resize(x, size))
        return h, own

    def _resize(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        return functional.interpolate(x, size=size, mode=self._mode)


class AutoGANDiscriminator(nn.Module):
    """Images [n, 3, r, r] -> raw scores [n, 1]; every image by itself."""

    blend = 1.0

    def __init__(self, architecture: AutoGANArchitecture) -> None:
        super().__init__()
        c = architecture.discriminator_channels
        self.blocks = nn.ModuleList(_Block(c if number else RGB, c, number) for number in range(BLOCKS))
        self.score = _spectral(nn.Conv2d(c, 1, 1, bias=False))  # a linear layer, as spectral norm takes it

    def forward(self, x: Tensor, batch: int | None = None) -> Tensor:
        x = x.contiguous(memory_format=torch.channels_last)
        for block in self.blocks:
            x = block(x)
        summed = functional.relu(x).sum((2, 3), keepdim=True)
        return self.score(summed).flatten(1)  # type: ignore[no-any-return]


class _Block(nn.Module):
    """[n, c_in, h, w] -> [n, c, h, w]; the first two blocks halve the size."""

    def __init__(self, c_in: int, c: int, number: int) -> None:
        super().__init__()
        self._number = number
        self.first, self.second = _spectral(_conv(c_in, c)), _spectral(_conv(c, c))
        self.shortcut = _spectral(_conv(c_in, c, 1)) if number < 2 else None

    def forward(self, x: Tensor) -> Tensor:
        h = x if self._number == 0 else functional.relu(x)
        h = self.second(functional.relu(self.first(h)))
        if self.shortcut is None:
            return h + x  # type: ignore[no-any-return]
        if self._number == 0:
            return downsample(h) + self.shortcut(downsample(x))  # type: ignore[no-any-return]
        return downsample(h) + downsample(self.shortcut(x))


def _conv(c_in: int, c_out: int, size: int = 3) -> nn.Conv2d:
    conv = nn.Conv2d(c_in, c_out, size, padding=size // 2).to(memory_format=torch.channels_last)
    _initialize(conv)
    return conv


def _initialize(module: nn.Conv2d | nn.Linear) -> None:
    """Xavier-uniform weights, biases 0."""
    nn.init.xavier_uniform_(module.weight)
    if module.bias is not None:
        nn.init.zeros_(module.bias)


def _spectral(conv: nn.Conv2d) -> nn.Conv2d:
    if conv.bias is None:
        _initialize(conv)
    normalize_spectrally(conv)
    return conv
