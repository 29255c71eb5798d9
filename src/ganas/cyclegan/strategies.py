"""Search strategies in one table (CycleGANAS sections 3.3 and 4.1). No torch: configs derive their choices from it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ganas.cyclegan.sampling import SAMPLERS, Sampler

if TYPE_CHECKING:
    from ganas.cyclegan.architecture import Architecture
    from ganas.cyclegan.config import RunConfig, SearchConfig
    from ganas.cyclegan.supernets import Supernets

    Derive = Callable[[Supernets], Architecture]

Learning = Literal["everything", "weights", "alphas"]


DERIVATIONS: "Mapping[str, Derive]" = {
    # the op of the highest alpha in every slot (section 3.2); under a budget, the highest sum of log-weights within it
    "argmax": lambda supernets: supernets.leading_ops(),
    # the ops whose projections raise the loss least within the budget, or within the size of the hand-made networks
    "projection": lambda supernets: supernets.best_projections(),
}


@dataclass(frozen=True)
class SearchStrategy:
    """How supernets learn, and how their architectures are derived."""

    phases: Sequence[Learning]  # what learns in turn; each is a step of the generators and one of the discriminators
    # halves: weights learn from one half of each domain, alphas from the other; swapped: they swap at `swap_at`
    images: Literal["everything", "halves", "swapped"] = "everything"
    sampling: Sampler | None = None  # None: search.sampling
    # subnetworks of elastic generators: each step trains the largest, the smallest and a random one (the sandwich rule
    # of Yu and Huang 2019), instead of mixtures
    sandwich: bool = False
    derive: "Derive | None" = None  # None: search.derive
    note: str | None = None  # on what differs from the paper

    @property
    def halved(self) -> bool:
        """Whether weights and alphas see different images."""
        return self.images != "everything"


STRATEGIES = {
    "of": SearchStrategy(["everything"]),  # algorithm 1; the paper's default
    "tf": SearchStrategy(
        ["weights", "alphas"],
        note="strategy tf: weights and then alphas learn from the same pair, as in the authors' earlier code; by the "
        "paper's words weights learn from A and alphas from B, which gives the weights no adversarial loss of B to A",
    ),
    "th": SearchStrategy(["weights", "alphas"], images="halves"),
    "ths": SearchStrategy(["weights", "alphas"], images="swapped"),
    "sampled": SearchStrategy(["weights"], sandwich=True),  # of layout elastic
}


def find_strategy(config: "RunConfig") -> SearchStrategy:
    """The strategy of a search. Final networks, which have no alphas, train by the joint steps of ``of``."""
    return STRATEGIES[config.search.strategy if config.search else "of"]


def find_sampler(search: "SearchConfig") -> Sampler:
    """The sampler of the strategy, or else that of ``search.sampling``."""
    return STRATEGIES[search.strategy].sampling or SAMPLERS[search.sampling]


def find_derivation(config: "RunConfig") -> "Derive":
    """The derivation of the strategy, or else that of ``search.derive``."""
    return find_strategy(config).derive or DERIVATIONS[config.search.derive if config.search else "argmax"]


def alphas_begin(config: "RunConfig") -> float:
    return config.search.warmup * config.total_images if config.search else 0.0


def swap_at(config: "RunConfig") -> float:
    """The image from which swapped halves have changed roles: the middle of those that alphas learn from."""
    warmup = config.search.warmup if config.search else 0.0
    return config.total_images * (1 + warmup) / 2
