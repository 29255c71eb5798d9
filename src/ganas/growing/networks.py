"""Generator and discriminator of a GAN that grows, built from a `GrowthArchitecture` (DGGAN; Karras et al. 2018).

A new doubling is blended in: `blend` goes from 0, the networks as they were before, at twice the pixels, to 1, the new
layers alone (`fading=True` keeps the RGB convolution of before for it).

Learning rates are equalised without work in the step. Karras et al. draw weights from N(0, 1) and multiply them by
s = gain/√fan_in in each pass. Weights drawn from N(0, s²), which Adam moves by lr·s with its ε divided by s, are those
products at every step: `learning_groups`. Biases are not scaled, as there.
"""

from collections.abc import Mapping
from math import prod, sqrt
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from ganas.growing.architecture import BASE, RGB, Double, GrowthArchitecture, Placed
from ganas.layers import downsample, upsample

Layer = TypeVar("Layer", nn.Conv2d, nn.Linear)

LEAKY_SLOPE = 0.2
EPSILON = 1e-8  # of pixel norm, of the deviation within a batch, and Adam's
DEVIATION_GROUP = 4  # images whose deviation a discriminator sees
GAIN = sqrt(2)  # of layers with an activation behind; those of RGB and score have 1


class GrownGenerator(nn.Module):
    """z [n, latent] -> images [n, 3, r, r]: real values, those of real images lie in [-1, 1]."""

    def __init__(self, architecture: GrowthArchitecture, *, fading: bool = False) -> None:
        super().__init__()
        c, placed = architecture.channels, [*architecture.placed("generator")]
        self.latent = _equalised(nn.Linear(architecture.latent, c * BASE**2))
        self.base = _conv(c, c)
        self.layers = nn.ModuleList(_GeneratorLayer(place) for place in placed)
        self.rgb = _conv(architecture.width("generator"), RGB, 1, gain=1)
        self.old_rgb = _conv(placed[-1].inner, RGB, 1, gain=1) if fading else None
        self.blend = 0.0 if fading else 1.0  # share of the new layers in the image

    def forward(self, z: Tensor) -> Tensor:
        # so unfolded the maps are channels-last
        x = self.latent(pixel_norm(z)).unflatten(1, (BASE, BASE, -1)).permute(0, 3, 1, 2)
        old = x = _activate_and_norm(self.base(_activate_and_norm(x)))
        for layer in self.layers:
            old, x = x, layer(x)
        if self.old_rgb is None or self.blend == 1:
            return self.rgb(x)  # type: ignore[no-any-return]
        return torch.lerp(upsample(self.old_rgb(old)), self.rgb(x), self.blend)


class GrownDiscriminator(nn.Module):
    """Images [n, 3, r, r] -> raw scores [n, 1].

    They may be several batches, each of `batch` images: every one has the scores that it would have by itself.
    """

    def __init__(self, architecture: GrowthArchitecture, *, fading: bool = False) -> None:
        super().__init__()
        c, placed = architecture.channels, [*architecture.placed("discriminator")]
        self.rgb = _conv(RGB, architecture.width("discriminator"), 1)
        self.old_rgb = _conv(RGB, placed[-1].inner, 1) if fading else None
        self.layers = nn.ModuleList(_DiscriminatorLayer(place) for place in placed)
        self.base = _conv(c + 1, c)
        self.hidden = _equalised(nn.Linear(c * BASE**2, c))
        self.score = _equalised(nn.Linear(c, 1), gain=1)
        self.blend = 0.0 if fading else 1.0  # share of the new layers in what the others see

    def forward(self, x: Tensor, batch: int | None = None) -> Tensor:
        images = x.contiguous(memory_format=torch.channels_last)
        x = _activate(self.rgb(images))
        for number in reversed(range(len(self.layers))):
            x = self.layers[number](x)
            if self.old_rgb is not None and number == len(self.layers) - 1:
                x = torch.lerp(_activate(self.old_rgb(downsample(images))), x, self.blend) if self.blend < 1 else x
        x = _activate(self.base(with_deviation(x, batch or len(x))))
        x = _activate(self.hidden(x.permute(0, 2, 3, 1).flatten(1)))  # no copy of channels-last maps
        return self.score(x)  # type: ignore[no-any-return]


class _GeneratorLayer(nn.Module):
    """What was grown once, from the base towards the image: [n, inner, h, w] -> [n, outer, h, w], or twice as large."""

    def __init__(self, placed: Placed) -> None:
        super().__init__()
        self.doubles = isinstance(placed.layer, Double)
        self.convs = _convs(placed, placed.inner, placed.outer)

    def forward(self, x: Tensor) -> Tensor:
        x = upsample(x) if self.doubles else x
        for conv in self.convs:
            x = _activate_and_norm(conv(x))
        return x


class _DiscriminatorLayer(nn.Module):
    """What was grown once, from the image towards the base: [n, outer, h, w] -> [n, inner, h, w], or half as large."""

    def __init__(self, placed: Placed) -> None:
        super().__init__()
        self.doubles = isinstance(placed.layer, Double)
        self.convs = _convs(placed, placed.outer, placed.inner)

    def forward(self, x: Tensor) -> Tensor:
        for conv in self.convs:
            x = _activate(conv(x))
        return downsample(x) if self.doubles else x


# ── layers ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def _conv(c_in: int, c_out: int, size: int = 3, gain: float = GAIN) -> nn.Conv2d:
    conv = nn.Conv2d(c_in, c_out, size, padding=size // 2)
    return _equalised(conv.to(memory_format=torch.channels_last), gain)


def _convs(placed: Placed, c_in: int, c_out: int) -> nn.ModuleList:
    """Two 3×3 convolutions of a doubling, or the one that was grown."""
    if isinstance(placed.layer, Double):
        return nn.ModuleList(_conv(c_in, c_out) for _ in range(2))
    return nn.ModuleList([_conv(c_in, c_out, placed.layer.size)])


def _equalised(module: Layer, gain: float = GAIN) -> Layer:
    """Draw a layer's weights, and keep their standard deviation as the factor of its learning rate."""
    scale = gain / sqrt(prod(module.weight.shape[1:]))
    nn.init.normal_(module.weight, std=scale)
    assert module.bias is not None
    nn.init.zeros_(module.bias)
    module.scale = scale  # type: ignore[assignment]
    return module


def _activate(x: Tensor) -> Tensor:
    return functional.leaky_relu(x, LEAKY_SLOPE)


def _activate_and_norm(x: Tensor) -> Tensor:
    return pixel_norm(_activate(x))


def pixel_norm(x: Tensor) -> Tensor:
    """x / √(mean over channels of x² + 1e-8), at each pixel: [n, c, ...] -> the same (Karras et al. 2018, 4.2)."""
    square = torch.linalg.vector_norm(
        x, dim=1, keepdim=True, dtype=torch.promote_types(x.dtype, torch.float32)
    ).square()
    return x * torch.rsqrt(square / x.shape[1] + EPSILON).to(x.dtype)


def with_deviation(x: Tensor, batch: int) -> Tensor:
    """One map more: the deviation within groups of images, averaged over all else: [n, c, h, w] -> [n, c + 1, h, w].

    Karras et al. 2018, section 3. A group is neighbours: four images of a batch, or fewer if that divides it.
    """
    n, _, height, width = x.shape
    group = next(size for size in range(DEVIATION_GROUP, 0, -1) if batch % size == 0)
    grouped = x.to(torch.promote_types(x.dtype, torch.float32)).reshape(n // group, group, *x.shape[1:])
    variance = (grouped - grouped.mean(1, keepdim=True)).square().mean(1)
    deviation = torch.sqrt(variance + EPSILON).mean((1, 2, 3)).repeat_interleave(group)
    shown = deviation.to(x.dtype)[:, None, None, None].expand(-1, 1, height, width)
    return torch.cat((x, shown.contiguous(memory_format=torch.channels_last)), 1)  # and so it stays channels-last


# ── learning and inheriting ──────────────────────────────────────────────────────────────────────────────────────────


def learning_groups(network: nn.Module, lr: float) -> list[dict[str, Any]]:
    """Adam's groups for an equalised learning rate: parameters of equal scale together."""
    groups: dict[float, list[nn.Parameter]] = {}
    for module in network.modules():
        for name, parameter in module.named_parameters(recurse=False):
            scale = module.scale if name == "weight" else 1.0
            groups.setdefault(scale, []).append(parameter)  # type: ignore[arg-type]
    return [{"params": parameters, "lr": lr * scale, "eps": EPSILON / scale} for scale, parameters in groups.items()]


@torch.no_grad()
def inherit(child: nn.Module, parent: Mapping[str, Tensor]) -> set[str]:
    """Copy a parent's weights into its child wherever the shape is the same; the names of those copied.

    An RGB convolution that changed its width takes the channels that fit. The RGB convolution kept for a blend is the
    parent's.
    """
    whole = set()
    for name, tensor in child.state_dict().items():
        source = parent.get(name.removeprefix("old_"))
        if source is None:
            continue
        if source.shape == tensor.shape:
            tensor.copy_(source)
            whole.add(name)
        elif name.startswith("rgb."):
            fitting = tuple(slice(min(sizes)) for sizes in zip(tensor.shape, source.shape, strict=True))
            tensor[fitting] = source[fitting]
    return whole
