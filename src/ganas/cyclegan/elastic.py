"""An elastic generator: all networks of `ElasticLayout` in one, sharing weights.

Each slot has one superkernel for all kernel sizes and channel counts of an op. A choice crops it: the first channels,
the middle taps. What runs is the final network of the choice, with cropped weights as its own, so that a subnetwork
that is cut out computes what it computed here, and has the same gradients.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from itertools import zip_longest
from typing import Self

import torch
from torch import Tensor, nn
from torch.func import functional_call

from ganas.cyclegan.build import Network, build, only_op
from ganas.cyclegan.layout import SHARES, SKIP, ElasticLayout

Ops = tuple[str, ...]


def largest(layout: ElasticLayout) -> Ops:
    """The choices of the largest network."""
    return tuple(slot.ops[-1] for slot in layout.slots)


def smallest(layout: ElasticLayout) -> Ops:
    """The choices of the smallest network: a quarter of the width, the smallest kernels and no residual cell."""
    return tuple(slot.ops[0] for slot in layout.slots)


def random_choice(layout: ElasticLayout, below: Callable[[int], int]) -> Ops:
    """Random choices: the number of residual cells is uniform, as is the choice in each of them and in other slots.

    If skipping were one choice of many, hardly a network would have fewer than seven of nine cells.

    below   returns a random integer from 0 to one less than its argument
    """
    skipped = [number for number, slot in enumerate(layout.slots) if SKIP in slot.ops]
    for _ in range(below(len(skipped) + 1)):
        skipped.pop(below(len(skipped)))
    options = [[op for op in slot.ops if op != SKIP] for slot in layout.slots]
    return tuple(SKIP if number in skipped else ops[below(len(ops))] for number, ops in enumerate(options))


def below_with(generator: torch.Generator) -> Callable[[int], int]:
    """Random integers for `random_choice` from a generator of torch, whose state a checkpoint holds."""
    return lambda count: int(torch.randint(count, (), generator=generator))


def _maximal(ops: Ops) -> list[str]:
    """One choice of each kind of op, with its largest kernel and all of its channels."""
    by_kind: dict[str, str] = {}
    for op in ops:  # kernels and shares ascend
        if op != SKIP:
            by_kind[kind_of(op)] = op
    return list(by_kind.values())


def kind_of(op: str) -> str:
    """The name of the superkernel that a choice crops: ``sepconv3 1/4`` crops that of ``sepconv``."""
    if op in SHARES:
        return "trunk"
    name = op.split()[0]
    return name if name in ("nearest", "bilinear") else name.rstrip("0123456789")


def superkernels_of(layout: ElasticLayout, ops: Sequence[str], network: Network) -> Iterator[tuple[str, str]]:
    """Yield the name of each parameter of the final network of a choice, and that of its superkernel."""
    final = {slot.name.replace(".", "_"): kind_of(slot.ops[0]) for slot in layout.final(ops).slots}
    for name, _ in network.named_parameters():
        slot, parameter = name.split(".slots.")[1].split(".op.")
        yield name, f"{slot} {final[slot]} {parameter}".replace(".", "-")


@lru_cache(maxsize=256)
def skeleton(layout: ElasticLayout, width: float, ops: Ops) -> Network:
    """The final network of a choice, without weights."""
    with torch.device("meta"):  # not `build`: to draw weights there, torch would import its compiler, for seconds
        return Network(layout.final(ops), width, only_op)


class ElasticNetwork(nn.Module):
    """The supernet of a generator: an image [n, 3, h, w] in [-1, 1] -> an image, by the network of a choice."""

    def __init__(self, layout: ElasticLayout, width: float) -> None:
        super().__init__()
        self.layout, self.width = layout, width
        self.ops = largest(layout)  # the present choice
        self.memory_format, self.checkpointing = torch.channels_last, False
        self.superkernels = nn.ParameterDict()
        for ops in zip_longest(*(_maximal(slot.ops) for slot in layout.slots)):
            ops = tuple(op or first for op, first in zip(ops, self.ops, strict=True))
            network = build(layout.final(ops), width, only_op)
            for name, key in superkernels_of(layout, ops, network):
                if key not in self.superkernels:
                    self.superkernels[key] = nn.Parameter(network.get_parameter(name).detach())

    def weights(self, ops: Ops) -> dict[str, Tensor]:
        """The weights of a choice, by name as in its final network: views of the superkernels."""
        network = skeleton(self.layout, self.width, ops)
        return {
            name: cropped(self.superkernels[key], network.get_parameter(name).shape)
            for name, key in superkernels_of(self.layout, ops, network)
        }

    def forward(self, x: Tensor, outputs: list[Tensor] | None = None) -> Tensor:
        network = skeleton(self.layout, self.width, self.ops)
        network.memory_format, network.checkpointing = self.memory_format, self.checkpointing
        return functional_call(network, self.weights(self.ops), (x, outputs))  # type: ignore[no-any-return]

    def to_memory_format(self, memory_format: torch.memory_format) -> Self:
        """Convert the weights to a memory format, which activations will have too."""
        self.memory_format = memory_format
        return self.to(memory_format=memory_format)

    def cut_out(self, ops: Sequence[str]) -> Network:
        """A final network with a copy of the weights of a choice."""
        network = build(self.layout.final(ops), self.width, only_op)
        weights = {name: tensor.detach().clone() for name, tensor in self.weights(tuple(ops)).items()}
        network.to(next(iter(weights.values()))).load_state_dict(weights)
        return network.to_memory_format(self.memory_format)


def cropped(kernel: Tensor, shape: Sequence[int]) -> Tensor:
    """The first channels and the middle taps of a superkernel, a view."""
    view = kernel[tuple(slice(0, size) for size in shape[:2])]
    for axis, size in enumerate(shape[2:], 2):
        view = view.narrow(axis, (kernel.shape[axis] - size) // 2, size)
    return view
