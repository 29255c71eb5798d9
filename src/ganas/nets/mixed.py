"""The mixed operation of a supernet: a weighted sum of every op a slot may hold (section 3.2).

The weights are drawn once per network and optimiser step by `draw`, and shared by every forward pass until the
next draw: by softmax over alpha (the paper) or Gumbel-softmax over softmax(alpha) (the authors' released code).

A sum of convolutions of one input is one convolution, whose kernel is the sum of theirs: `mixing="merged"` builds it at
each draw and computes every slot's linear ops at the price of one. Alphas, kernels and biases keep their exact
gradients. `mixing="naive"` is the definition, literally the sum of weight times op, and what tests compare with.
"""

from collections.abc import Iterator, Mapping
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

Sampling = Literal["softmax", "gumbel"]
Mixing = Literal["merged", "naive"]

ALPHA_STD = 1e-3  # the released code's initial alphas: near-uniform weights, ties broken


class MixedOp(nn.Module):
    """Σ weights[i] · op_i(x), [n, c_in, h, w] -> [n, c_out, h', w'].

    `alpha` [ops] is learned; `weights` [ops] is the current draw, set by `use`.
    """

    def __init__(self, ops: Mapping[str, nn.Module], mixing: Mixing) -> None:
        super().__init__()
        self.ops = nn.ModuleDict(ops)
        self.alpha = nn.Parameter(ALPHA_STD * torch.randn(len(ops)))
        linear = [name for name, op in ops.items() if _as_conv(op)] if mixing == "merged" else []
        self._linear = linear if len(linear) > 1 else []  # names of the ops that are merged
        convs = [_conv_of(ops[name]) for name in self._linear]
        self._stride = convs[0].stride if convs else 1
        self._padding = max((conv.padding for conv in convs), default=0)  # of the merged convolution
        self._footprint = max((self._padding - conv.padding + conv.footprint for conv in convs), default=0)
        self._kernel: Tensor | None = None
        self._bias: Tensor | None = None
        self.weights = softmax_weights(self.alpha.detach())

    def use(self, weights: Tensor) -> None:
        """Mix by these weights [ops] until the next call; merges the linear ops once for all forward passes."""
        self.weights = weights
        if self._linear:
            dtype = torch.get_autocast_dtype(weights.device.type)
            lower = torch.is_autocast_enabled(weights.device.type)
            kernel, bias = self._merge()
            # cast here, once: autocast would cast a kernel that is no parameter again in each forward pass
            self._kernel, self._bias = (kernel.to(dtype), bias.to(dtype)) if lower else (kernel, bias)

    def _merge(self) -> tuple[Tensor, Tensor]:
        """The kernel [c_out, c_in, F, F] and bias [c_out] of Σ weights · op over the linear ops."""
        weights = dict(zip(self.ops, self.weights, strict=True))
        convs = {name: _conv_of(self.ops[name]) for name in self._linear}
        first = next(iter(convs.values())).kernel
        kernel = first.new_zeros(*first.shape[:2], self._footprint, self._footprint)
        bias = first.new_zeros(first.shape[0])
        for name, conv in convs.items():
            start = self._padding - conv.padding  # where this op's first tap lies within the common footprint
            taps = slice(start, start + conv.footprint, conv.dilation)
            kernel[:, :, taps, taps] += weights[name] * conv.kernel
            bias = bias + weights[name] * conv.bias
        return kernel, bias

    def forward(self, x: Tensor) -> Tensor:
        total: Tensor | None = None
        if self._linear:
            if self._kernel is None:
                self.use(self.weights)
            assert self._kernel is not None
            total = functional.conv2d(x, self._kernel, self._bias, self._stride, self._padding)
        for name, weight in zip(self.ops, self.weights, strict=True):
            if name not in self._linear:
                term = weight * self.ops[name](x)
                total = term if total is None else total + term
        assert total is not None
        return total


class _Conv(NamedTuple):
    """A linear op as a convolution: kernel [c_out, c_in, k, k], square in everything."""

    kernel: Tensor
    bias: Tensor
    stride: int
    padding: int
    dilation: int

    @property
    def footprint(self) -> int:
        return self.dilation * (self.kernel.shape[-1] - 1) + 1


def _as_conv(op: nn.Module) -> bool:
    """Whether `_conv_of` can express the op: a convolution, or average pooling followed by 1×1."""
    return isinstance(op, nn.Conv2d) or (isinstance(op, nn.Sequential) and isinstance(op[0], nn.AvgPool2d))


def _conv_of(op: nn.Module) -> _Conv:
    if isinstance(op, nn.Sequential):  # 2×2 average, then 1×1: every tap has a quarter of its weight
        point = op[1]
        assert isinstance(point, nn.Conv2d) and point.bias is not None
        return _Conv((point.weight / 4).expand(-1, -1, 2, 2), point.bias, stride=2, padding=0, dilation=1)
    assert isinstance(op, nn.Conv2d) and op.bias is not None and not isinstance(op.padding, str)
    return _Conv(op.weight, op.bias, op.stride[0], op.padding[0], op.dilation[0])


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
    """Draw the weights of every mixed op of a supernet for one optimiser step; does nothing to a final network.

    Within `parametrize.cached()`, so that spectrally normalised kernels are those of the step; within autocast, where
    the step has it.
    """
    for mixed in mixtures(network):
        if sampling == "gumbel":
            mixed.use(gumbel_weights(mixed.alpha, temperature, generator))
        else:
            mixed.use(softmax_weights(mixed.alpha))


@torch.no_grad()
def settle(network: nn.Module) -> None:
    """Set every mixed op to the plain softmax of its alphas, without noise and without gradient: for evaluation."""
    for mixed in mixtures(network):
        mixed.use(softmax_weights(mixed.alpha))
