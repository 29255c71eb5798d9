"""Derive an architecture from alphas: the leading op of every slot, and by what margin it leads.

A clear lead is no proof: alphas are not identifiable (`ganas.cyclegan.projection`). Agreement between seeds is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from math import log
from operator import eq
from statistics import fmean, median
from typing import Any

import torch
from torch import Tensor

from ganas.cyclegan.architecture import Architecture
from ganas.cyclegan.layout import NETWORKS, Layout, find_layout

DECIDED_RATIO = 2.0  # a slot is decided when its leading op weighs at least this many times the second


@dataclass(frozen=True)
class Choice:
    """One slot of one network, read from the softmax of its alphas."""

    network: str
    slot: str
    op: str  # the leading op: argmax (section 3.2)
    weight: float  # its weight, in (0, 1)
    margin: float  # its weight minus the second's
    entropy: float  # of the weights, relative to uniform ones: about 1 at the start, 0 when a single one is left
    weights: Mapping[str, float] = field(default_factory=dict)  # of all ops

    @property
    def decided(self) -> bool:
        return self.weight >= DECIDED_RATIO * (self.weight - self.margin)


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
    by_op = dict(zip(ops, weights.tolist(), strict=True))
    return Choice(network, slot, ops[int(weights.argmax())], first, first - second, entropy, by_op)


def derive(layout: Layout, choices: Sequence[Choice]) -> Architecture:
    """Return the architecture of the leading ops."""
    return Architecture(
        layout.name, **{name: tuple(choice.op for choice in choices if choice.network == name) for name in NETWORKS}
    )


def summarize(choices: Sequence[Choice]) -> dict[str, Any]:
    """Return how clearly ops lead: decided slots, median entropy and median margin."""
    return {
        "decided": sum(choice.decided for choice in choices),
        "slots": len(choices),
        "median_entropy": median(choice.entropy for choice in choices),
        "median_margin": median(choice.margin for choice in choices),
    }


def records(choices: Sequence[Choice], **measured: Mapping[str, Sequence[Sequence[float]]]) -> list[dict[str, Any]]:
    """Return the choices for JSON, with numbers of their ops by name, such as shares or losses.

    measured   by network: of each searched slot, of each of its ops
    """
    slots = {name: [slot for network in NETWORKS for slot in values[network]] for name, values in measured.items()}
    found = []
    for number, choice in enumerate(choices):
        record = asdict(choice)
        for name, values in slots.items():
            record[name] = dict(zip(choice.weights, values[number], strict=True))
        for name in ("weights", *measured):
            record[name] = {op: float(f"{value:.4g}") for op, value in record[name].items()}
        found.append(record)
    return found


@dataclass(frozen=True)
class Agreement:
    """How far searches with different seeds agree on the ops of their slots."""

    share: float  # of the slots in which two searches hold the same op, mean over pairs
    chance: float  # the share of two random architectures

    def __str__(self) -> str:
        return f"two seeds agree in {self.share:.0%} of the slots, two random architectures in {self.chance:.0%}"


def agreement(architectures: Sequence[Architecture]) -> tuple[Agreement, int]:
    """Return the agreement of two architectures or more of one layout, and the number of the most typical one."""
    layout = find_layout(architectures[0].layout)
    ops = [[op for name in NETWORKS for op in one.ops(name)] for one in architectures]
    equal = [[fmean(map(eq, one, other)) for other in ops if other is not one] for one in ops]
    means = list(map(fmean, equal))
    chance = fmean(1 / len(slot.ops) for name in NETWORKS for slot in layout.network(name).searched)
    return Agreement(fmean(means), chance), means.index(max(means))


def deviations(choices: Sequence[Choice], architecture: Architecture) -> list[dict[str, Any]]:
    """Return the slots in which an architecture deviates from the leading op, for JSON."""
    derived = [op for name in NETWORKS for op in architecture.ops(name)]
    return [
        {"network": choice.network, "slot": choice.slot, "op": op, "instead_of": choice.op}
        for choice, op in zip(choices, derived, strict=True)
        if op != choice.op
    ]
