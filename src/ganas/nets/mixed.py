"""The mixed operation of a supernet: a weighted sum of every op a slot may hold (section 3.2).

The weights are drawn once per network and optimiser step by `draw`, and shared by every forward pass until the
next draw: by softmax over alpha (the paper) or Gumbel-softmax over softmax(alpha) (the authors' released code).
"""

from collections.abc import Iterator, Mapping
from typing import Literal

import torch
from torch import Tensor, nn

Sampling = Literal["softmax", "gumbel"]

ALPHA_STD = 1e-3  # the released code's initial alphas: near-uniform weights, ties broken


class MixedOp(nn.Module):
    """Σ weights[i] · op_i(x), [n, c_in, h, w] -> [n, c_out, h', w'].

    `alpha` [ops] is learned; `weights` [ops] is the current draw.
    """

    def __init__(self, ops: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.ops = nn.ModuleDict(ops)
        self.alpha = nn.Parameter(ALPHA_STD * torch.randn(len(ops)))
        self.weights: Tensor = torch.softmax(self.alpha.detach(), dim=0)

    def forward(self, x: Tensor) -> Tensor:
        terms: Iterator[Tensor] = (weight * op(x) for weight, op in zip(self.weights, self.ops.values(), strict=True))
        total = next(terms)
        for term in terms:
            total = total + term
        return total


def softmax_weights(alpha: Tensor) -> Tensor:
    """β = softmax(α), [ops] -> [ops] (section 3.2)."""
    return torch.softmax(alpha, dim=0)


def gumbel_weights(alpha: Tensor, temperature: float, generator: torch.Generator) -> Tensor:
    """A relaxed one-hot sample, softmax((softmax(α) + g) / τ) with g ~ Gumbel(0, 1); [ops] -> [ops].

    As the released code, the noise is added to the softmaxed alphas, not to the alphas.
    """
    exponential = torch.empty(alpha.shape).exponential_(generator=generator).to(alpha)
    return torch.softmax((torch.softmax(alpha, dim=0) - exponential.log()) / temperature, dim=0)


def mixtures(network: nn.Module) -> Iterator[MixedOp]:
    """The mixed ops of a network from input to output; none in a final network."""
    return (module for module in network.modules() if isinstance(module, MixedOp))


def draw(network: nn.Module, sampling: Sampling, temperature: float, generator: torch.Generator) -> None:
    """Draw the weights of every mixed op of a supernet for one optimiser step; does nothing to a final network."""
    for mixed in mixtures(network):
        if sampling == "gumbel":
            mixed.weights = gumbel_weights(mixed.alpha, temperature, generator)
        else:
            mixed.weights = softmax_weights(mixed.alpha)


def settle(network: nn.Module) -> None:
    """Set every mixed op to the plain softmax of its alphas, without noise and without gradient: for evaluation."""
    for mixed in mixtures(network):
        mixed.weights = softmax_weights(mixed.alpha.detach())
