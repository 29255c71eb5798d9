"""Derive an architecture from alphas: the leading op of every slot, and by what margin it leads."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import log
from statistics import median
from typing import Any

import torch
from torch import Tensor

from ganas.cyclegan.architecture import Architecture
from ganas.cyclegan.layout import NETWORKS, Layout

CONVERGED_RATIO = 2.0  # a slot has converged when its leading op weighs at least this many times the second


@dataclass(frozen=True)
class Choice:
    """One slot of one network, read from the softmax of its alphas."""

    network: str
    slot: str
    op: str  # the leading op: argmax (section 3.2)
    weight: float  # its weight, in (0, 1)
    margin: float  # its weight minus the second's
    entropy: float  # of the weights, relative to uniform ones: about 1 at the start, 0 when decided
    weights: tuple[float, ...] = ()  # of all ops, in the order of the slot's

    @property
    def converged(self) -> bool:
        return self.weight >= CONVERGED_RATIO * (self.weight - self.margin)


def read_choices(layout: Layout, alphas: Mapping[str, Sequence[Tensor]]) -> list[Choice]:
    """Return the choice in every searched slot of all four networks; `alphas` has one [ops] tensor per slot."""
    return [
        _choice(network, slot.name, slot.ops, alpha)
        for network in NETWORKS
        for slot, alpha in zip(layout.network(network).searched, alphas[network], strict=True)
    ]


def _choice(network: str, slot: str, ops: Sequence[str], alpha: Tensor) -> Choice:
    weights = torch.softmax(alpha.detach().double().cpu(), dim=0)
    first, second = weights.topk(2).values.tolist()
    entropy = float(torch.special.entr(weights).sum()) / log(len(ops))
    rounded = tuple(round(weight, 4) for weight in weights.tolist())
    return Choice(network, slot, ops[int(weights.argmax())], first, first - second, entropy, rounded)


def derive(layout: Layout, choices: Sequence[Choice]) -> Architecture:
    """Return the architecture of the leading ops."""
    return Architecture(
        layout.name, **{name: tuple(choice.op for choice in choices if choice.network == name) for name in NETWORKS}
    )


def summarize(choices: Sequence[Choice]) -> dict[str, Any]:
    """Return how far the search has converged: converged slots, median entropy and median margin."""
    return {
        "converged": sum(choice.converged for choice in choices),
        "slots": len(choices),
        "median_entropy": median(choice.entropy for choice in choices),
        "median_margin": median(choice.margin for choice in choices),
    }


def records(choices: Sequence[Choice]) -> list[dict[str, Any]]:
    return [asdict(choice) for choice in choices]


def budget_deviations(choices: Sequence[Choice], architecture: Architecture) -> list[dict[str, Any]]:
    """Return the slots in which an architecture derived under a budget deviates from the leading op, for JSON."""
    derived = [op for name in NETWORKS for op in architecture.ops(name)]
    return [
        {"network": choice.network, "slot": choice.slot, "op": op, "instead_of": choice.op}
        for choice, op in zip(choices, derived, strict=True)
        if op != choice.op
    ]
