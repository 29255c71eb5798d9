"""Search strategies in one table (CycleGANAS sections 3.3 and 4.1). No torch: configs derive their choices from it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ganas.cyclegan.sampling import SAMPLERS, Sampler

if TYPE_CHECKING:
    from torch import Tensor

    from ganas.cyclegan.architecture import Architecture
    from ganas.cyclegan.budget import Budget
    from ganas.cyclegan.config import RunConfig, SearchConfig
    from ganas.cyclegan.layout import Layout

    Derive = Callable[[RunConfig, Layout, Mapping[str, Sequence[Tensor]], Budget | None], Architecture]

Learning = Literal["everything", "weights", "alphas"]


def leading_ops(
    config: "RunConfig", layout: "Layout", alphas: "Mapping[str, Sequence[Tensor]]", budget: "Budget | None"
) -> "Architecture":
    """The op of the highest alpha in every slot; under a budget, the highest sum of log-weights that fits it."""
    from ganas.cyclegan.derive import derive, read_choices

    return budget.derive(layout, alphas) if budget else derive(layout, read_choices(layout, alphas))


@dataclass(frozen=True)
class SearchStrategy:
    """How supernets learn, and how their architectures are derived."""

    phases: Sequence[Learning]  # what learns in turn; each is a step of the generators and one of the discriminators
    # halves: weights learn from one half of each domain, alphas from the other; swapped: they swap at `swap_at`
    images: Literal["everything", "halves", "swapped"] = "everything"
    sampling: Sampler | None = None  # None: search.sampling
    derive: "Derive" = leading_ops  # config, layout, alphas by network, budget -> architecture

    @property
    def halved(self) -> bool:
        """Whether weights and alphas see different images."""
        return self.images != "everything"


STRATEGIES = {
    "of": SearchStrategy(["everything"]),  # algorithm 1; the paper's default
    "tf": SearchStrategy(["weights", "alphas"]),
    "th": SearchStrategy(["weights", "alphas"], images="halves"),
    "ths": SearchStrategy(["weights", "alphas"], images="swapped"),
}


def find_strategy(config: "RunConfig") -> SearchStrategy:
    """The strategy of a search. Final networks, which have no alphas, train by the joint steps of ``of``."""
    return STRATEGIES[config.search.strategy if config.search else "of"]


def find_sampler(search: "SearchConfig") -> Sampler:
    """The sampler of the strategy, or else that of ``search.sampling``."""
    return STRATEGIES[search.strategy].sampling or SAMPLERS[search.sampling]


def alphas_begin(config: "RunConfig") -> float:
    return config.search.warmup * config.total_images if config.search else 0.0


def swap_at(config: "RunConfig") -> float:
    """The image from which swapped halves have changed roles: the middle of those that alphas learn from."""
    warmup = config.search.warmup if config.search else 0.0
    return config.total_images * (1 + warmup) / 2
