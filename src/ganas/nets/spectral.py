"""Spectral normalisation whose factor can be had by itself: a mixture then scales kernels by it without a copy."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize
from torch.nn.utils.parametrize import is_parametrized, register_parametrization

WARM_UP = 15  # power iterations at the start, as torch's own has


class SpectralNorm(nn.Module):
    """W / σ(W), σ the largest singular value of W as [c_out, everything else] (Miyato et al. 2018, algorithm 1).

    In training mode each reading takes one power iteration further; the singular vectors are taken for constants.
    """

    u: Tensor  # [c_out]
    v: Tensor  # [everything else], in the order of channels-last memory

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        matrix = _matrix(weight)
        self.register_buffer("u", normalize(matrix.new_empty(matrix.shape[0]).normal_(), dim=0))
        self.register_buffer("v", normalize(matrix.new_empty(matrix.shape[1]).normal_(), dim=0))
        for _ in range(WARM_UP):
            self._iterate(matrix)

    def forward(self, weight: Tensor) -> Tensor:
        """The weight over its largest singular value."""
        return weight / self.sigma(weight)

    def sigma(self, weight: Tensor) -> Tensor:
        """The estimate of the largest singular value of a kernel [c_out, c_in, k, k], a scalar."""
        matrix = _matrix(weight)
        with _full_precision(weight.device.type):
            if self.training:
                self._iterate(matrix)
            return self.u.clone() @ (matrix @ self.v.clone())  # the buffers will change before a backward pass is over

    @torch.no_grad()
    def _iterate(self, matrix: Tensor) -> None:
        self.u.copy_(normalize(matrix @ self.v, dim=0))
        self.v.copy_(normalize(self.u @ matrix, dim=0))


def _full_precision(device: str) -> AbstractContextManager[object]:
    """Without autocast, which would make bf16 of a product."""
    return torch.autocast(device, enabled=False) if torch.amp.is_autocast_available(device) else nullcontext()


def _matrix(weight: Tensor) -> Tensor:
    """[c_out, c_in, k, k] -> [c_out, k·k·c_in], no copy in channels-last memory."""
    return weight.permute(0, 2, 3, 1).flatten(1)


def normalise_spectrally(conv: nn.Conv2d) -> None:
    """Parametrise a convolution's weight by `SpectralNorm`."""
    register_parametrization(conv, "weight", SpectralNorm(conv.weight.detach()))


def kernel_and_scale(conv: nn.Module) -> tuple[Tensor, Tensor | None]:
    """A convolution's weight as a kernel and what it is to be multiplied by: 1/σ, or nothing."""
    if not is_parametrized(conv, "weight"):
        return conv.weight, None  # type: ignore[return-value]
    parametrisation = conv.parametrizations.weight  # type: ignore[union-attr]
    norm, original = parametrisation[0], parametrisation.original  # type: ignore[index, union-attr]
    assert isinstance(norm, SpectralNorm) and isinstance(original, Tensor)
    return original, 1 / norm.sigma(original)
