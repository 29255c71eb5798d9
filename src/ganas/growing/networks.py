"""Generator and discriminator of a growing GAN, built from a `GrowthArchitecture` (DGGAN; Karras et al. 2018).

A new layer is faded in: `blend` goes from 0 (the previous networks, at twice the resolution after a doubling) to 1 (the
new layer alone). `fading=True` keeps the previous RGB convolution for it.

The equalized learning rate costs nothing in the step. Karras et al. sample weights from N(0, 1) and multiply them by
s = gain/√fan_in in each forward pass. Weights that are sampled from N(0, s²) and updated by Adam with learning rate
lr·s and ε/s equal those products at every step (`learning_groups`). Biases are not scaled, as in the paper.
"""

from collections.abc import Mapping
from math import prod, sqrt
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from ganas.growing.architecture import RGB, Double, GrowthArchitecture, Placed
from ganas.growing.autogan import AutoGANArchitecture
from ganas.growing.autogan_networks import AutoGANDiscriminator, AutoGANGenerator
from ganas.layers import Convolution, downsample, upsample
from ganas.learning.losses import at_least_float32

Layer = TypeVar("Layer", nn.Conv2d, nn.Linear)

LEAKY_SLOPE = 0.2
EPSILON = 1e-8  # of pixel norm, minibatch standard deviation and Adam
STDDEV_GROUP_SIZE = 4  # images over which the minibatch standard deviation is taken
GAIN = sqrt(2)  # of layers with an activation; the RGB and score layers have 1


class GrownGenerator(nn.Module):
    """z [n, latent] -> images [n, 3, r, r], not clamped; real images lie in [-1, 1]."""

    def __init__(self, architecture: GrowthArchitecture, *, fading: bool = False) -> None:
        super().__init__()
        self.resolution = architecture.resolution
        c, placed = architecture.channels, [*architecture.placed("generator")]
        self.base_side = architecture.base
        self.latent = _equalized(nn.Linear(architecture.latent, c * architecture.base**2))
        self.base = _conv(c, c)
        self.layers = nn.ModuleList(_GeneratorLayer(layer) for layer in placed)
        self.rgb = _conv(architecture.width("generator"), RGB, 1, gain=1)
        self.old_rgb = _conv(placed[-1].inner, RGB, 1, gain=1) if fading else None
        self.blend = 0.0 if fading else 1.0  # share of the new layer in the image

    def forward(self, z: Tensor) -> Tensor:
        # this order of axes makes the maps channels-last
        x = self.latent(pixel_norm(z)).unflatten(1, (self.base_side, self.base_side, -1)).permute(0, 3, 1, 2)
        old = x = _activate_and_norm(self.base(_activate_and_norm(x)))
        for layer in self.layers:
            old, x = x, layer(x)
        if self.old_rgb is None or self.blend == 1:
            return self.rgb(x)  # type: ignore[no-any-return]
        previous = self.old_rgb(old)
        return torch.lerp(upsample(previous) if self.doubles else previous, self.rgb(x), self.blend)

    @property
    def doubles(self) -> bool:
        """Whether the last layer doubles the resolution."""
        return len(self.layers) > 0 and self.layers[-1].doubles  # type: ignore[return-value]


class GrownDiscriminator(nn.Module):
    """Images [n, 3, r, r] -> raw scores [n, 1].

    The input may hold several batches of `batch` images each; every batch gets the scores that it would get alone.
    """

    def __init__(self, architecture: GrowthArchitecture, *, fading: bool = False) -> None:
        super().__init__()
        c, placed = architecture.channels, [*architecture.placed("discriminator")]
        self.rgb = _conv(RGB, architecture.width("discriminator"), 1)
        self.old_rgb = _conv(RGB, placed[-1].inner, 1) if fading else None
        self.layers = nn.ModuleList(_DiscriminatorLayer(layer) for layer in placed)
        self.base = _conv(c + 1, c)
        self.hidden = _equalized(nn.Linear(c * architecture.base**2, c))
        self.score = _equalized(nn.Linear(c, 1), gain=1)
        self.blend = 0.0 if fading else 1.0  # share of the new layer in the input of the older ones

    def forward(self, x: Tensor, batch: int | None = None) -> Tensor:
        images = x.contiguous(memory_format=torch.channels_last)
        x = _activate(self.rgb(images))
        for number in reversed(range(len(self.layers))):
            layer = self.layers[number]
            x = layer(x)
            if self.old_rgb is not None and self.blend < 1 and number == len(self.layers) - 1:
                previous = self.old_rgb(downsample(images) if layer.doubles else images)
                x = torch.lerp(_activate(previous), x, self.blend)
        x = _activate(self.base(minibatch_stddev(x, batch or len(x))))
        x = _activate(self.hidden(x.permute(0, 2, 3, 1).flatten(1)))  # no copy of channels-last maps
        return self.score(x)  # type: ignore[no-any-return]


class _GeneratorLayer(nn.Module):
    """One grown layer, from base to image: [n, inner, h, w] -> [n, outer, h, w], or twice as large."""

    def __init__(self, placed: Placed) -> None:
        super().__init__()
        self.doubles = isinstance(placed.layer, Double)
        self.convs = nn.ModuleList(_conv(inner, outer, size) for size, inner, outer in placed.convs)

    def forward(self, x: Tensor) -> Tensor:
        x = upsample(x) if self.doubles else x
        for conv in self.convs:
            x = _activate_and_norm(conv(x))
        return x


class _DiscriminatorLayer(nn.Module):
    """One grown layer, from image to base: [n, outer, h, w] -> [n, inner, h, w], or half as large."""

    def __init__(self, placed: Placed) -> None:
        super().__init__()
        self.doubles = isinstance(placed.layer, Double)
        self.convs = nn.ModuleList(_conv(outer, inner, size) for size, inner, outer in reversed(placed.convs))

    def forward(self, x: Tensor) -> Tensor:
        for conv in self.convs:
            x = _activate(conv(x))
        return downsample(x) if self.doubles else x


Generator = GrownGenerator | AutoGANGenerator
Discriminator = GrownDiscriminator | AutoGANDiscriminator


def make_generator(architecture: GrowthArchitecture | AutoGANArchitecture, *, fading: bool = False) -> Generator:
    """Build a generator with random weights."""
    if isinstance(architecture, AutoGANArchitecture):
        return AutoGANGenerator(architecture)
    return GrownGenerator(architecture, fading=fading)


def make_discriminator(
    architecture: GrowthArchitecture | AutoGANArchitecture, *, fading: bool = False
) -> Discriminator:
    """Build a discriminator with random weights."""
    if isinstance(architecture, AutoGANArchitecture):
        return AutoGANDiscriminator(architecture)
    return GrownDiscriminator(architecture, fading=fading)


# ── layers ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def _conv(c_in: int, c_out: int, size: int = 3, gain: float = GAIN) -> nn.Conv2d:
    conv = Convolution(c_in, c_out, size)
    return _equalized(conv.to(memory_format=torch.channels_last), gain)


def _equalized(module: Layer, gain: float = GAIN) -> Layer:
    """Initialize a layer's weights, and keep their standard deviation as the factor of its learning rate."""
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
    wide = torch.promote_types(x.dtype, torch.float32)
    square = torch.linalg.vector_norm(x, dim=1, keepdim=True, dtype=wide).square()
    return x * torch.rsqrt(square / x.shape[1] + EPSILON).to(x.dtype)


def minibatch_stddev(x: Tensor, batch: int) -> Tensor:
    """Append the standard deviation within groups of images, averaged, as a map: [n, c, h, w] -> [n, c + 1, h, w].

    Karras et al. 2018, section 3. A group is four consecutive images of a batch, or fewer if four do not divide it.
    """
    n, _, height, width = x.shape
    group = next(size for size in range(STDDEV_GROUP_SIZE, 0, -1) if batch % size == 0)
    grouped = at_least_float32(x).reshape(n // group, group, *x.shape[1:])
    variance = (grouped - grouped.mean(1, keepdim=True)).square().mean(1)
    deviation = torch.sqrt(variance + EPSILON).mean((1, 2, 3)).repeat_interleave(group)
    extra = deviation.to(x.dtype)[:, None, None, None].expand(-1, 1, height, width)
    return torch.cat((x, extra.contiguous(memory_format=torch.channels_last)), 1)  # keeps the result channels-last


# ── learning and inheriting ──────────────────────────────────────────────────────────────────────────────────────────


def learning_groups(network: nn.Module, lr: float) -> list[dict[str, Any]]:
    """Adam's parameter groups for an equalized learning rate: one per scale, all of which learn from the start.

    Layers without a scale have the learning rate itself.
    """
    groups: dict[float, list[nn.Parameter]] = {}
    for module in network.modules():
        for name, parameter in module.named_parameters(recurse=False):
            scale = getattr(module, "scale", 1.0) if name == "weight" else 1.0
            groups.setdefault(scale, []).append(parameter)
    return [
        {"params": parameters, "lr": lr * scale, "initial_lr": lr * scale, "eps": EPSILON / scale, "start_image": 0.0}
        for scale, parameters in groups.items()
    ]


@torch.no_grad()
def inherit(child: nn.Module, parent: Mapping[str, Tensor]) -> set[str]:
    """Copy a parent's weights into its child wherever the shapes agree; return the names of the copied tensors.

    An RGB convolution whose width changed takes the channels that fit; it is not among those names. The RGB convolution
    kept for a fade-in is the parent's.
    """
    copied = set()
    for name, tensor in child.state_dict().items():
        source = parent.get(name.removeprefix("old_"))
        if source is None:
            continue
        if source.shape == tensor.shape:
            tensor.copy_(source)
            copied.add(name)
        elif name.startswith("rgb."):
            fitting = tuple(slice(min(sizes)) for sizes in zip(tensor.shape, source.shape, strict=True))
            tensor[fitting] = source[fitting]
    return copied
