"""One builder for supernets and final networks: `build(layout, width, choose)`.

`choose` returns the module of each slot: a `MixedOp` for a supernet (`mixture`), or the only op of a fixed slot
(`only_op`), as all slots of a final network are (`ganas.cyclegan.layout.NetworkLayout.final`).
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from ganas.cyclegan.grouping import Grouping
from ganas.cyclegan.layout import Activation, Cell, NetworkLayout, Slot
from ganas.cyclegan.mixed import MixedOp
from ganas.cyclegan.ops import OPS, POOLS
from ganas.layers import InstanceNorm, normalize_spectrally

Choose = Callable[[Slot, int, int], nn.Module]  # slot, c_in, c_out -> the slot's op

LEAKY_SLOPE = 0.2
WEIGHT_STD = 0.02  # N(0, 0.02), bias 0 (Zhu et al. 2017)


def build_op(name: str, c_in: int, c_out: int, slot: Slot) -> nn.Module:
    """Build an op of `OPS` for a slot; raises `ValueError` if it does not fit."""
    op = OPS[name]
    if not op.fits(slot):
        raise ValueError(
            f"op {name!r} does not fit slot {slot.name!r} of scale {slot.scale} and trim {slot.trim}: it fits scale "
            f"{' or '.join(op.scales)} and trim up to {op.reach}"
        )
    if op.resampling in POOLS:
        pool = nn.MaxPool2d(2) if op.resampling == "maxpool" else nn.AvgPool2d(2)
        return nn.Sequential(pool, nn.Conv2d(c_in, c_out, 1))
    if op.resampling:
        corners = None if op.resampling == "nearest" else False
        return Resize(nn.Upsample(scale_factor=2, mode=op.resampling, align_corners=corners), nn.Conv2d(c_in, c_out, 1))
    if op.transposed:
        return nn.ConvTranspose2d(c_in, c_out, op.kernel_size, stride=2, padding=op.kernel_size // 2, output_padding=1)
    # zero padding; with the slot's reflection padding it amounts to "same" less trim
    padding = op.reach - slot.trim
    stride = 2 if slot.scale == "down" else 1
    if op.depthwise:
        return nn.Sequential(
            nn.Conv2d(c_in, c_in, op.kernel_size, stride, padding, op.dilation, groups=c_in), nn.Conv2d(c_in, c_out, 1)
        )
    return nn.Conv2d(c_in, c_out, op.kernel_size, stride, padding, op.dilation)


class Resize(nn.Sequential):
    """Interpolation and a 1×1 convolution, computed in reverse order: they commute, and it is a quarter of the work."""

    def forward(self, x: Tensor) -> Tensor:
        resize, conv = self
        return resize(conv(x))  # type: ignore[no-any-return]


def mixture(network: str, grouping: Grouping) -> Choose:
    """Choose a mixture of all ops of a slot; a fixed slot has its only op."""

    def choose(slot: Slot, c_in: int, c_out: int) -> nn.Module:
        if not slot.searched:
            return only_op(slot, c_in, c_out)
        ops = {op: build_op(op, c_in, c_out, slot) for op in slot.ops}
        return MixedOp(ops, grouping(network, slot, ops))

    return choose


def only_op(slot: Slot, c_in: int, c_out: int) -> nn.Module:
    """Build the op of a fixed slot."""
    (op,) = slot.ops
    return build_op(op, c_in, c_out, slot)


def slot_modules(layout: NetworkLayout, ops: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield, for every searched slot, the name of its op's module within the network, and the op."""
    remaining = iter(ops)
    for number, cell in enumerate(layout.cells):
        for slot in cell.slots:
            if slot.searched:
                yield f"cells.{number}.slots.{_module_name(slot)}.op", next(remaining)


def _module_name(slot: Slot) -> str:
    return slot.name.replace(".", "_")  # torch separates modules by "."


def build(layout: NetworkLayout, width: float, choose: Choose) -> "Network":
    """Build a network whose slots are filled by `choose`, with initial weights from torch's global generator."""
    network = Network(layout, width, choose)
    network.apply(_initialize)
    return network.apply(_normalize)  # last: power iteration starts from the initial weights


class Network(nn.Module):
    """Cells in sequence: an image [n, 3, h, w] in [-1, 1] -> an image (generator) or raw scores [n, 1, h', w']."""

    def __init__(self, layout: NetworkLayout, width: float, choose: Choose) -> None:
        super().__init__()
        self.cells = nn.Sequential(*(_CellModule(cell, width, choose) for cell in layout.cells))
        self.memory_format = torch.channels_last  # of activations
        self.checkpointing = False  # store only the cells' inputs and recompute the rest in the backward pass

    def to_memory_format(self, memory_format: torch.memory_format) -> Self:
        """Convert the weights to a memory format, which activations will have too."""
        self.memory_format = memory_format
        return self.to(memory_format=memory_format)

    def forward(self, x: Tensor, outputs: list[Tensor] | None = None) -> Tensor:
        """outputs: a list to which the output of each cell is added."""
        x = x.contiguous(memory_format=self.memory_format)  # every op preserves it
        if torch.is_grad_enabled() and not self.checkpointing and outputs is None:
            return self.cells(x)  # type: ignore[no-any-return]
        for cell in self.cells:
            if torch.is_grad_enabled() and self.checkpointing:
                x = checkpoint(cell, x, use_reentrant=False, preserve_rng_state=False)
            else:  # not self.cells(x): if compiled for training, it would be recompiled for other batch sizes
                x = cell(x)
            if outputs is not None:
                outputs.append(x)
        return x


class _CellModule(nn.Module):
    def __init__(self, cell: Cell, width: float, choose: Choose) -> None:
        super().__init__()
        self.residual = cell.residual
        self.slots = nn.ModuleDict({_module_name(slot): SlotModule(slot, width, choose) for slot in cell.slots})

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for slot in self.slots.values():
            y = slot(y)
        return x + y if self.residual else y


class SlotModule(nn.Module):
    """Reflection padding, op, instance norm and activation, as the slot declares."""

    def __init__(self, slot: Slot, width: float, choose: Choose) -> None:
        super().__init__()
        self.reflect = slot.reflect
        self.op = choose(slot, slot.c_in.at(width), slot.c_out.at(width))
        self.norm = InstanceNorm() if slot.norm else nn.Identity()
        self.activation = slot.activation
        self.spectral = slot.spectral

    def forward(self, x: Tensor) -> Tensor:
        if self.reflect:
            with torch.autocast("cpu", enabled=False):  # it would convert bf16 to float32
                x = functional.pad(x, [self.reflect] * 4, mode="reflect")
        return _activate(self.norm(self.op(x)), self.activation)


def _activate(x: Tensor, activation: Activation | None) -> Tensor:
    if activation == "relu":
        return functional.relu(x)
    if activation == "leaky_relu":
        return functional.leaky_relu(x, LEAKY_SLOPE)
    return torch.tanh(x) if activation == "tanh" else x


@torch.no_grad()
def _initialize(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, std=WEIGHT_STD)
        assert module.bias is not None
        module.bias.zero_()


def _normalize(module: nn.Module) -> None:
    """Apply spectral norm to the convolutions of a slot that declares it, but not to the 1×1 behind a pool."""
    if isinstance(module, SlotModule) and module.spectral:
        for conv in list(module.op.modules()):
            if isinstance(conv, nn.Conv2d) and conv.kernel_size != (1, 1):
                normalize_spectrally(conv)
