"""A budget for the generators: a penalty that steers the search towards it, and a derivation that keeps to it.

The expected cost of a supernet's generator is that of its fixed slots plus, for each searched slot, the mean of its
ops' costs weighted by the softmax of its alphas. While the leading ops take more than the budget, the alphas learn from
the gradient of that, too; once they fit, they are left alone. The mean itself must not be held to the budget: as long
as alphas are undecided it is far above what the leading ops take, and would drive them to the smallest network there
is (LOG.md). The architecture is then the one with the highest sum of log-weights that fits: the leading ops where they
do, else the optimum of a knapsack.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from ganas.cyclegan.architecture import Architecture
from ganas.cyclegan.config import RunConfig
from ganas.cyclegan.knapsack import best_within
from ganas.cyclegan.latency import slot_latencies
from ganas.cyclegan.layout import GENERATORS, NETWORKS, Layout, NetworkLayout, Slot
from ganas.cyclegan.model import CycleGAN
from ganas.cyclegan.size import sides, slot_macs, slot_parameters
from ganas.errors import ConfigError
from ganas.learning.phases import Terms
from ganas.store import Run

NOUNS = {"params": "parameters", "macs": "multiply-accumulates"}

SlotCost = Callable[[Slot, str, int], int]  # slot, op, side of the slot's input -> units


@dataclass(frozen=True)
class Costs:
    """What the ops of one generator cost, in whole units."""

    fixed: int  # of the slots that hold one op only
    slots: tuple[tuple[int, ...], ...]  # of each searched slot's ops

    @classmethod
    def of(cls, layout: NetworkLayout, resolution: int, cost: SlotCost) -> "Costs":
        """Slot by slot."""
        placed = [*zip(layout.slots, sides(layout, resolution), strict=True)]
        return cls(
            fixed=sum(cost(slot, slot.ops[0], side) for slot, side in placed if not slot.searched),
            slots=tuple(tuple(cost(slot, op, side) for op in slot.ops) for slot, side in placed if slot.searched),
        )

    @property
    def least(self) -> int:
        """Of the cheapest network."""
        return self.fixed + sum(map(min, self.slots))

    def total(self, layout: NetworkLayout, ops: Sequence[str]) -> int:
        """Of a final network."""
        chosen = zip(layout.searched, ops, self.slots, strict=True)
        return self.fixed + sum(costs[slot.ops.index(op)] for slot, op, costs in chosen)

    def expected(self, alphas: Sequence[Tensor]) -> Tensor:
        """Of a supernet, scalar: fixed + Σ softmax(α) · costs."""
        means = [torch.softmax(alpha, 0) @ costs for alpha, costs in self._beside(alphas)]
        return torch.stack(means).sum() + self.fixed

    def leading(self, alphas: Sequence[Tensor]) -> Tensor:
        """Of the network of the leading ops, scalar; it has no gradient."""
        # index_select: an index taken by [] would be waited for, slot by slot
        chosen = [costs.index_select(0, alpha.argmax(0, keepdim=True)) for alpha, costs in self._beside(alphas)]
        return torch.cat(chosen).sum() + self.fixed

    def _beside(self, alphas: Sequence[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        """The alphas of each slot, and its ops' costs as numbers of their kind."""
        for alpha, costs in zip(alphas, self.slots, strict=True):
            yield alpha, _tensor(costs, alpha.dtype, alpha.device)


@cache
def _tensor(numbers: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """On its device once, and not in every step."""
    return torch.tensor(numbers, dtype=dtype, device=device)


@dataclass(frozen=True)
class Budget:
    """What generators may cost; those without a limit cost what they like."""

    kind: str  # params, macs or ms
    limits: Mapping[str, int]  # by generator, in whole units: parameters, multiply-accumulates, µs
    costs: Mapping[str, Costs]
    weight: float  # λ of the penalty
    widths: Mapping[str, float]  # by generator: at which it has to keep to its limit
    resolution: int  # at which multiply-accumulates and milliseconds are counted

    def terms(self, gan: CycleGAN) -> Terms:
        """The penalty of each generator: λ · max(0, cost of the leading ops / limit - 1).

        Its gradient is that of λ · expected cost / limit wherever it is not zero.
        """
        alphas = gan.alphas()

        def penalty(name: str, limit: int) -> Tensor:
            costs = self.costs[name]
            excess = torch.relu(costs.leading(alphas[name]) / limit - 1)
            expected = costs.expected(alphas[name]) / limit
            return self.weight * (excess + (excess > 0) * (expected - expected.detach()))

        device = next(gan.parameters()).device.type
        with torch.autocast(device, enabled=False):  # bf16 has no digits for a small excess
            return {
                f"budget_{name.removeprefix('generator_')}": penalty(name, limit) for name, limit in self.limits.items()
            }

    def use(self, layout: Layout, architecture: Architecture) -> dict[str, float]:
        """The share of its limit that each generator takes."""
        return {
            name: self.costs[name].total(layout.generator, architecture.ops(name)) / limit
            for name, limit in self.limits.items()
        }

    def derive(self, layout: Layout, alphas: Mapping[str, Sequence[Tensor]]) -> Architecture:
        """The ops with the highest sum of log-weights that keep to the limits."""
        return Architecture(layout.name, **{name: self._ops(layout, name, alphas[name]) for name in NETWORKS})

    def _ops(self, layout: Layout, name: str, alphas: Sequence[Tensor]) -> tuple[str, ...]:
        slots = layout.network(name).searched
        scores = [torch.log_softmax(alpha.detach().double().cpu(), 0).tolist() for alpha in alphas]
        if name in self.limits:
            costs = self.costs[name]
            chosen = best_within(scores, costs.slots, self.limits[name] - costs.fixed)
            assert chosen is not None, "open_budget refuses limits that nothing fits"
        else:
            chosen = [score.index(max(score)) for score in scores]
        return tuple(slot.ops[item] for slot, item in zip(slots, chosen, strict=True))

    def lines(self, layout: Layout, architecture: Architecture) -> list[str]:
        """For people."""
        use = self.use(layout, architecture)
        return [
            f"{name}: {use[name]:.1%} of {_amount(self.kind, limit)} "
            f"{_where(self.kind, self.widths[name], self.resolution)}"
            for name, limit in self.limits.items()
        ]


def open_budget(run: Run, config: RunConfig, layout: Layout) -> Budget | None:
    """The budget that a search has; None without one. Latencies are measured once and kept in the run.

    Raises `ConfigError` where no architecture is small enough.
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
        costs[name] = Costs.of(layout.generator, resolution, _cost(search.budget, width, run, config, layout))
        if costs[name].least > limits[name]:
            raise ConfigError(
                f"the budget of {name} is {_amount(search.budget, limits[name])}, and the cheapest architecture of "
                f"layout {layout.name!r} takes {_amount(search.budget, costs[name].least)} "
                f"{_where(search.budget, width, resolution)}: raise it, or lower the width"
            )
    return Budget(search.budget, limits, costs, search.budget_weight, widths, resolution)


def _amount(kind: str, units: int) -> str:
    """What the user calls it: milliseconds are counted in microseconds."""
    return f"{units / 1000:,g} ms" if kind == "ms" else f"{units:,} {NOUNS[kind]}"


def _where(kind: str, width: float, resolution: int) -> str:
    """What a cost depends on beside the ops."""
    return f"at width {width:g}" + ("" if kind == "params" else f", {resolution}×{resolution}")


def _cost(kind: str, width: float, run: Run, config: RunConfig, layout: Layout) -> SlotCost:
    if kind == "params":
        return lambda slot, op, side: slot_parameters(slot, op, width)
    if kind == "macs":
        return lambda slot, op, side: slot_macs(slot, op, width, side)
    latencies = slot_latencies(run, config, layout, width)
    return lambda slot, op, side: latencies[slot.name][op]
