"""Spectral norm against torch's own, and in a mixture by its factor alone."""

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

from ganas.layers import SpectralNorm, kernel_and_scale, normalize_spectrally


def pair() -> tuple[nn.Conv2d, nn.Conv2d]:
    """Ours and torch's, with the same weight and the same singular vectors so far."""
    torch.manual_seed(0)
    ours, theirs = (nn.Conv2d(3, 5, 4).double() for _ in range(2))
    theirs.load_state_dict(ours.state_dict())
    normalize_spectrally(ours)
    spectral_norm(theirs)
    ours, theirs = ours.double(), theirs.double()
    mine, other = ours.parametrizations.weight[0], theirs.parametrizations.weight[0]
    other._u.copy_(mine.u)
    other._v.copy_(mine.v.reshape(4, 4, 3).permute(2, 0, 1).flatten())
    return ours, theirs


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_it_is_torchs_spectral_norm(memory_format: torch.memory_format) -> None:
    """Weights and gradients over several readings, each a power iteration further."""
    ours, theirs = pair()
    ours = ours.to(memory_format=memory_format)
    for number in range(3):
        weights = [conv.weight for conv in (ours, theirs)]
        torch.testing.assert_close(*weights, rtol=1e-12, atol=1e-12)
        for conv, weight in zip((ours, theirs), weights, strict=True):
            conv.zero_grad()
            weight.pow(3).sum().backward()
        gradients = [conv.parametrizations.weight.original.grad for conv in (ours, theirs)]
        torch.testing.assert_close(*gradients, rtol=1e-10, atol=1e-12)
        assert number == 2 or gradients[0].any()


def test_its_factor_is_float32_under_autocast() -> None:
    norm, weight = SpectralNorm(torch.randn(4, 3, 3, 3)).eval(), torch.randn(4, 3, 3, 3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        lower = norm.sigma(weight)
    assert lower.dtype == torch.float32 and torch.equal(lower, norm.sigma(weight))


def test_kernel_times_scale_is_the_weight() -> None:
    conv, _ = pair()
    conv.eval()
    kernel, scale = kernel_and_scale(conv)
    assert scale is not None
    torch.testing.assert_close(kernel * scale, conv.weight)
    assert kernel_and_scale(nn.Conv2d(1, 1, 1))[1] is None


def test_an_evaluation_leaves_the_singular_vectors() -> None:
    norm = SpectralNorm(torch.randn(4, 3, 3, 3)).eval()
    before = norm.u.clone(), norm.v.clone()
    norm(torch.randn(4, 3, 3, 3))
    assert torch.equal(norm.u, before[0]) and torch.equal(norm.v, before[1])
