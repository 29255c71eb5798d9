"""A cost budget for the generators: a penalty that steers the search, and a derivation that stays within it.

While the leading ops exceed the budget, the alphas also learn from the gradient of the expected cost, in which each op
counts by the softmax of the alphas. The expected cost itself is not held to the budget: while alphas are undecided it
is far above the cost of the leading ops, and would drive them to the smallest network (LOG.md). The derived
architecture has the highest sum of log-weights that fits: the leading ops if they fit, else the optimum of a knapsack.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import torch
from torch import Tensor

from ganas.cyclegan.architecture import Architecture
from ganas.cyclegan.config import RunConfig
from ganas.cyclegan.derive import derive, read_choices
from ganas.cyclegan.knapsack import best_within
from ganas.cyclegan.latency import load_latencies
from ganas.cyclegan.layout import GENERATORS, NETWORKS, Layout, NetworkLayout, Slot, find_layout, handmade_ops
from ganas.cyclegan.model import CycleGAN
from ganas.cyclegan.size import input_sides, slot_macs, slot_parameters
from ganas.errors import ConfigError
from ganas.learning.phases import Terms
from ganas.store import Run

NOUNS = {"params": "parameters", "macs": "multiply-accumulates"}

SlotCost = Callable[[Slot, str, int], int]  # slot, op, side of the slot's input -> units


@dataclass(frozen=True)
class NetworkCosts:
    """The costs of one network's ops, in integer units."""

    fixed: int  # of the slots with a single op
    slots: tuple[tuple[int, ...], ...]  # of the ops of each searched slot

    @classmethod
    def of(cls, layout: NetworkLayout, resolution: int, cost: SlotCost) -> "NetworkCosts":
        sides = zip(layout.slots, input_sides(layout, resolution), strict=True)
        costs = [(slot.searched, tuple(cost(slot, op, side) for op in slot.ops)) for slot, side in sides]
        fixed = sum(slot[0] for searched, slot in costs if not searched)
        return cls(fixed, tuple(slot for searched, slot in costs if searched))

    @property
    def minimum(self) -> int:
        """The cost of the cheapest network."""
        return self.fixed + sum(map(min, self.slots))

    def total(self, layout: NetworkLayout, ops: Sequence[str]) -> int:
        """Return the cost of a final network."""
        slots = zip(layout.searched, ops, self.slots, strict=True)
        return self.fixed + sum(costs[slot.ops.index(op)] for slot, op, costs in slots)

    def expected(self, alphas: Sequence[Tensor]) -> Tensor:
        """Return the expected cost of a supernet, a scalar: fixed + Σ softmax(α) · costs."""
        means = [torch.softmax(alpha, 0) @ costs for alpha, costs in self._with_costs(alphas)]
        return torch.stack(means).sum() + self.fixed

    def leading(self, alphas: Sequence[Tensor]) -> Tensor:
        """Return the cost of the network of the leading ops, a scalar without gradient."""
        # index_select: indexing by [] would synchronize with the GPU in every slot
        leading = [costs.index_select(0, alpha.argmax(0, keepdim=True)) for alpha, costs in self._with_costs(alphas)]
        return torch.cat(leading).sum() + self.fixed

    def _with_costs(self, alphas: Sequence[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the alphas of each slot with its ops' costs, a tensor of the same dtype and device."""
        return ((a, _tensor(costs, a.dtype, a.device)) for a, costs in zip(alphas, self.slots, strict=True))


@cache
def _tensor(numbers: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Cached: the costs are copied to the device once, not in every step."""
    return torch.tensor(numbers, dtype=dtype, device=device)


@dataclass(frozen=True)
class Budget:
    """Cost limits of networks; one without a limit is unconstrained."""

    kind: str  # params, macs or ms
    limits: Mapping[str, int]  # by network, in integer units: parameters, multiply-accumulates, µs
    costs: Mapping[str, NetworkCosts]
    weight: float  # λ of the penalty
    widths: Mapping[str, float]  # by network: the width at which its limit holds
    resolution: int  # at which multiply-accumulates and milliseconds are counted

    def terms(self, gan: CycleGAN) -> Terms:
        """Return the penalty of each generator: λ · max(0, cost of the leading ops / limit - 1).

        Its gradient is that of λ · expected cost / limit wherever it is not zero.
        """
        alphas, terms = gan.alphas(), {}
        device = next(gan.parameters()).device.type
        with torch.autocast(device, enabled=False):  # bf16 has no digits for a small excess
            for name, limit in self.limits.items():
                costs = self.costs[name]
                excess = torch.relu(costs.leading(alphas[name]) / limit - 1)
                expected = costs.expected(alphas[name]) / limit
                penalty = self.weight * (excess + (excess > 0) * (expected - expected.detach()))
                terms[name.replace("generator", "budget")] = penalty
        return terms

    def utilization(self, layout: Layout, architecture: Architecture) -> dict[str, float]:
        """Return the cost of each network as a share of its limit."""
        return {
            name: self.costs[name].total(layout.network(name), architecture.ops(name)) / limit
            for name, limit in self.limits.items()
        }

    def derive(self, layout: Layout, alphas: Mapping[str, Sequence[Tensor]]) -> Architecture:
        """Derive the architecture with the highest sum of log-weights within the limits."""
        leading = derive(layout, read_choices(layout, alphas))
        return self.best(leading, {name: [_log_weights(alpha) for alpha in alphas[name]] for name in self.limits})

    def best(self, architecture: Architecture, scores: Mapping[str, Sequence[Sequence[float]]]) -> Architecture:
        """Replace the ops of limited networks by those with the highest sum of scores within the limits.

        scores   by network: of each searched slot, of each of its ops
        """
        layout = find_layout(architecture.layout)
        best: dict[str, Any] = {name: self._best_ops(layout.network(name), name, scores[name]) for name in self.limits}
        return replace(architecture, **best)

    def _best_ops(self, layout: NetworkLayout, name: str, scores: Sequence[Sequence[float]]) -> tuple[str, ...]:
        costs = self.costs[name]
        indices = best_within(scores, costs.slots, self.limits[name] - costs.fixed)
        assert indices is not None, "open_budget refuses limits that nothing fits"
        return tuple(slot.ops[index] for slot, index in zip(layout.searched, indices, strict=True))

    def describe(self, layout: Layout, architecture: Architecture) -> list[str]:
        """Return one human-readable line per limit."""
        used = self.utilization(layout, architecture)
        return [
            f"{name}: {used[name]:.1%} of {_amount(self.kind, limit)} "
            f"{_where(self.kind, self.widths[name], self.resolution)}"
            for name, limit in self.limits.items()
        ]


def _log_weights(alpha: Tensor) -> list[float]:
    return torch.log_softmax(alpha.detach().double().cpu(), 0).tolist()


def handmade_size(config: RunConfig, layout: Layout) -> Budget:
    """Return a limit for each of the four networks: the parameters of the hand-made one of the same width."""
    widths = {name: config.nets.width_of(name) for name in NETWORKS}
    costs = {name: NetworkCosts.of(layout.network(name), 1, _parameters(width)) for name, width in widths.items()}
    limits = {name: costs[name].total(layout.network(name), handmade_ops(layout, name)) for name in NETWORKS}
    return Budget("params", limits, costs, 0.0, widths, config.data.resolution)


def open_budget(run: Run, config: RunConfig, layout: Layout) -> Budget | None:
    """Return the budget of a search, or None. Latencies are measured once and stored in the run.

    Raises `ConfigError` if even the cheapest architecture exceeds a limit.
    """
    search, resolution = config.search, config.data.resolution
    if search is None or search.budget is None:
        return None
    limits, costs, widths = {}, {}, {}
    for name, limit in zip(GENERATORS, (search.budget_ab, search.budget_ba), strict=True):
        if limit is None:
            continue
        width = search.budget_width or config.nets.width_of(name)
        widths[name] = width
        limits[name] = int(limit * 1000) if search.budget == "ms" else int(limit)
        costs[name] = NetworkCosts.of(layout.generator, resolution, _cost(search.budget, width, run, config, layout))
        if costs[name].minimum > limits[name]:
            raise ConfigError(
                f"the budget of {name} is {_amount(search.budget, limits[name])}, but the cheapest architecture of "
                f"layout {layout.name!r} takes {_amount(search.budget, costs[name].minimum)} "
                f"{_where(search.budget, width, resolution)}: raise it, or lower the width"
            )
    return Budget(search.budget, limits, costs, search.budget_weight, widths, resolution)


def _amount(kind: str, units: int) -> str:
    """Format a cost in the user's unit; milliseconds are counted in microseconds."""
    return f"{units / 1000:,g} ms" if kind == "ms" else f"{units:,} {NOUNS[kind]}"


def _where(kind: str, width: float, resolution: int) -> str:
    """Name what a cost depends on besides the ops."""
    return f"at width {width:g}" + ("" if kind == "params" else f", {resolution}×{resolution}")


def _parameters(width: float) -> SlotCost:
    return lambda slot, op, side: slot_parameters(slot, op, width)


def _cost(kind: str, width: float, run: Run, config: RunConfig, layout: Layout) -> SlotCost:
    if kind == "params":
        return _parameters(width)
    if kind == "macs":
        return lambda slot, op, side: slot_macs(slot, op, width, side)
    latencies = load_latencies(run, config, layout, width)
    return lambda slot, op, side: latencies[slot.name][op]
