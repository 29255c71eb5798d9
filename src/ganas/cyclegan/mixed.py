"""The mixed operation of a supernet: a weighted sum of every op a slot may hold (section 3.2).

`draw` samples the weights (`ganas.cyclegan.sampling`); all forward passes until the next draw share them.

A sum of convolutions of one input is one convolution, whose kernel is the sum of theirs. `Groups` lists the ops that
share one; each draw sums their kernels. In a group of one op the weight is multiplied into the kernel, which saves
storing the op's output for the gradient of the weight. Gradients of alphas, kernels and biases are exact. Without
groups the mixture is naive, literally the sum of weight times op.
"""

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

from ganas.cyclegan.merging import SharedConvolution, form_of, forms_of
from ganas.cyclegan.sampling import Sampler, softmax_weights

Groups = Sequence[Sequence[str]]  # ops that share a convolution; ops in no group are not merged

ALPHA_STD = 1e-3  # the released code's initial alphas: near-uniform weights, ties broken


class MixedOp(nn.Module):
    """Σ weights[i] · op_i(x), [n, c_in, h, w] -> [n, c_out, h', w'].

    `alpha` [ops] is learned; `weights` [ops] is the current draw, set by `set_weights`.
    """

    def __init__(self, ops: Mapping[str, nn.Module], groups: Groups = ()) -> None:
        super().__init__()
        self.ops = nn.ModuleDict(ops)
        self.alpha = nn.Parameter(ALPHA_STD * torch.randn(len(ops)))
        self.weights = softmax_weights(self.alpha.detach())
        self._shared = [SharedConvolution(names, [form_of(name, ops[name]) for name in names]) for names in groups]
        self._unmerged = [op for op in ops if op not in {name for names in groups for name in names}]
        self._kernels: list[tuple[SharedConvolution, Tensor]] = []  # of the current draw
        self._bias: Tensor | None = None

    def set_weights(self, weights: Tensor) -> None:
        """Mix by these weights [ops] until the next call, with kernels summed once for all forward passes."""
        self.weights = weights
        if not self._shared:
            return
        device = weights.device.type
        # cast once: autocast caches the casts of parameters only, and would cast in every forward pass
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else self.alpha.dtype
        by_name = dict(zip(self.ops, weights.unbind(), strict=True))
        forms = forms_of(self.ops.items())
        self._kernels, biases = [], []
        for shared in self._shared:
            members = [forms[name] for name in shared.names]
            shares = [by_name[name] for name in shared.names]
            scaled = [w if form.scale is None else w * form.scale for w, form in zip(shares, members, strict=True)]
            self._kernels.append((shared, shared.kernel(scaled, members).to(dtype)))
            biases += [w * form.bias for w, form in zip(shares, members, strict=True)]
        self._bias = torch.stack(biases).sum(0).to(dtype)

    def forward(self, x: Tensor) -> Tensor:
        if self._shared and not self._kernels:
            self.set_weights(self.weights.to(self.alpha))
        terms = [  # the first convolution adds the bias of all
            shared(x, kernel, None if number else self._bias) for number, (shared, kernel) in enumerate(self._kernels)
        ]
        weights = dict(zip(self.ops, self.weights.unbind(), strict=True)) if self._unmerged else {}
        terms += [weights[name] * self.ops[name](x) for name in self._unmerged]
        total = terms[0]
        for term in terms[1:]:
            total = total + term
        return total


def mixtures(network: nn.Module) -> Iterator[MixedOp]:
    """Yield the mixed ops of a network from input to output; a final network has none."""
    return (module for module in network.modules() if isinstance(module, MixedOp))


def draw(network: nn.Module, sampler: Sampler, temperature: float, generator: torch.Generator) -> None:
    """Sample the weights of every mixed op of a supernet for one optimizer step; does nothing to a final network.

    Call it under autocast if the step uses autocast. A draw runs one power iteration of the spectral norms; ops that
    are not merged run theirs at each access, except within `parametrize.cached()`.
    """
    for mixed in mixtures(network):
        mixed.set_weights(sampler.weights(mixed.alpha, temperature, generator))


@torch.no_grad()
def use_mean_weights(network: nn.Module) -> None:
    """Set every mixed op to the softmax of its alphas, without noise or gradient, for evaluation."""
    for mixed in mixtures(network):
        mixed.set_weights(softmax_weights(mixed.alpha))
