"""What a budget costs: the best sum of log-weights that fits, for every budget, from the alphas of searches.

    python experiments/budget_tradeoff.py RUN [RUN...] [--out tradeoff.png]

A line a search: over the size of each generator at the width that the search counted at, the mean over its slots of
the chosen op's log-weight, derived by the same knapsack for many budgets from the smallest to the largest network.
A point: what the search itself derived. Zero would be an architecture whose every op has all the weight. Prints a
Markdown row a search and generator, and draws the lines; give the search without a budget first, and all at one width.
"""

import argparse
from pathlib import Path

import torch
from matplotlib.figure import Figure
from safetensors.torch import load_file

from ganas.config import load_config
from ganas.cyclegan.architecture import Architecture
from ganas.cyclegan.budget import NetworkCosts
from ganas.cyclegan.config import RunConfig
from ganas.cyclegan.knapsack import best_within
from ganas.cyclegan.layout import GENERATORS, Layout, find_layout
from ganas.cyclegan.size import parameters, slot_parameters
from ganas.store import Run

BUDGETS = 40
TITLES = {"generator_ab": "A → B", "generator_ba": "B → A"}


def main() -> None:
    """Derive, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN")
    parser.add_argument("--out", type=Path, default=Path("tradeoff.png"))
    given = parser.parse_args()
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    panels = dict(zip(GENERATORS, figure.subplots(1, 2, sharey=True), strict=True))
    print("| search | direction | budget | its own choice | log-weight a slot | at that size without a budget |")
    print("|---|---|---|---|---|---|")
    free: dict[str, list[list[float]]] = {}
    for place in given.runs:
        run = Run(place)
        config = load_config(RunConfig, run.config.read_bytes(), str(run.config))
        layout = find_layout(config.nets.layout)
        architecture = Architecture.from_json(run.architecture.read_text(), str(run.architecture))
        assert config.search is not None and config.search.budget in (None, "params"), f"{place}: another budget"
        for name, axes in panels.items():
            limit = getattr(config.search, "budget_" + name[-2:])
            width = config.search.budget_width or config.nets.width_of(name)
            scores = log_weights(run, layout, name)
            line = frontier(layout, scores, width)
            size = parameters(layout.generator, architecture.ops(name), width)
            slots = [*zip(layout.generator.searched, architecture.ops(name), scores, strict=True)]
            own = sum(score[slot.ops.index(op)] for slot, op, score in slots) / len(scores)
            (drawn,) = axes.plot([size / 1e6 for size, _ in line], [score for _, score in line], label=place.name)
            axes.plot(size / 1e6, own, "o", color=drawn.get_color())
            if limit is None:
                free.setdefault(name, scores)
            there = best(layout, free[name], width, size)[1] if name in free else None
            print(
                f"| {place.name} | {TITLES[name]} | {f'{limit:,.0f}' if limit else 'none'} | {size:,} | {own:.3f} "
                f"| {'' if there is None else f'{there:.3f}'} |"
            )
    for name, axes in panels.items():
        axes.set_title(TITLES[name], fontsize=9)
        axes.set_xlabel("millions of parameters", fontsize=8)
        axes.tick_params(labelsize=8)
    panels["generator_ab"].set_ylabel("mean log-weight of the chosen ops", fontsize=8)
    panels["generator_ab"].legend(fontsize=7)
    figure.savefig(given.out, dpi=150)


def log_weights(run: Run, layout: Layout, name: str) -> list[list[float]]:
    """Of every searched slot's ops."""
    tensors = load_file(run.supernet)
    alphas = {key: value for key, value in tensors.items() if key.startswith(name) and key.endswith(".alpha")}
    found = []
    for slot in layout.generator.searched:
        (alpha,) = (value for key, value in alphas.items() if f".{slot.name.replace('.', '_')}." in key)
        found.append(torch.log_softmax(alpha.double(), 0).tolist())
    return found


def frontier(layout: Layout, scores: list[list[float]], width: float) -> list[tuple[int, float]]:
    """Size and mean log-weight of the best choice within each of several budgets."""
    costs = NetworkCosts.of(layout.generator, 1 << 10, lambda slot, op, side: slot_parameters(slot, op, width))
    least, most = costs.minimum, costs.fixed + sum(map(max, costs.slots))
    line = []
    for step in range(BUDGETS):
        budget = round(least * (most / least) ** (step / (BUDGETS - 1)))
        line.append(best(layout, scores, width, budget))
    return line


def best(layout: Layout, scores: list[list[float]], width: float, budget: int) -> tuple[int, float]:
    """Size and mean log-weight of the best choice within a budget."""
    costs = NetworkCosts.of(layout.generator, 1 << 10, lambda slot, op, side: slot_parameters(slot, op, width))
    chosen = best_within(scores, costs.slots, budget - costs.fixed)
    assert chosen is not None
    size = costs.fixed + sum(group[item] for group, item in zip(costs.slots, chosen, strict=True))
    return size, sum(group[item] for group, item in zip(scores, chosen, strict=True)) / len(scores)


if __name__ == "__main__":
    main()
