"""How the op weights of a supernet are sampled. No torch: configs derive their choices from the table."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Generator, Tensor

    Sample = Callable[[Tensor, float, Generator], Tensor]  # alphas [ops], temperature, generator -> weights [ops]


@dataclass(frozen=True)
class Sampler:
    """Samples the weights of one slot's ops, once per network and optimizer step."""

    weights: "Sample"
    uses_temperature: bool = False


def softmax_weights(alpha: "Tensor") -> "Tensor":
    """β = softmax(α), [ops] -> [ops] (section 3.2)."""
    return alpha.softmax(dim=0)


def gumbel_weights(alpha: "Tensor", temperature: float, generator: "Generator") -> "Tensor":
    """softmax((softmax(α) + g) / τ) with g ~ Gumbel(0, 1), [ops] -> [ops].

    As in the released code, the noise is added to the softmax of the alphas, not to the alphas.
    """
    import torch

    exponential = torch.empty(alpha.shape).exponential_(generator=generator).to(alpha)
    return torch.softmax((softmax_weights(alpha) - exponential.log()) / temperature, dim=0)


SAMPLERS = {
    "softmax": Sampler(lambda alpha, temperature, generator: softmax_weights(alpha)),  # the paper's
    "gumbel": Sampler(gumbel_weights, uses_temperature=True),  # the released code's
}
