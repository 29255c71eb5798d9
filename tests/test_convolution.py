"""The convolution for gradient penalties has the gradients of torch's own, first and second."""

import pytest
import torch
from torch import nn

from ganas.layers import Convolution, input_gradients


@pytest.mark.parametrize("size", [1, 3, 7])
def test_gradients_are_those_of_torch(size: int) -> None:
    torch.manual_seed(0)
    ours = Convolution(3, 5, size, padding=size // 2).double()
    torchs = nn.Conv2d(3, 5, size, padding=size // 2).double()
    torchs.load_state_dict(ours.state_dict())
    images = torch.randn(4, 3, 8, 8, dtype=torch.float64)

    def gradients(conv: nn.Module) -> list[torch.Tensor]:
        x = images.clone().requires_grad_()
        scores = conv(x).tanh()
        with input_gradients():
            (gradient,) = torch.autograd.grad(scores.sum(), x, create_graph=True)
        return [
            gradient,
            *torch.autograd.grad(gradient.square().sum() + scores.square().sum(), [x, *conv.parameters()]),
        ]

    for mine, right in zip(gradients(ours), gradients(torchs), strict=True):
        torch.testing.assert_close(mine, right)


def test_without_a_penalty_the_gradients_are_the_same_bits() -> None:
    ours, x = Convolution(3, 8, 3, padding=1), torch.randn(2, 3, 16, 16)
    torchs = nn.Conv2d(3, 8, 3, padding=1)
    torchs.load_state_dict(ours.state_dict())
    for conv in (ours, torchs):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            conv(x).float().square().sum().backward()
    assert ours.weight.grad is not None and torchs.weight.grad is not None
    assert ours.weight.grad.equal(torchs.weight.grad)


def test_a_penalty_in_bf16_at_256_pixels_does_not_end_the_process() -> None:
    """torch's own second derivative divides by zero here."""
    conv, x = Convolution(3, 4, 1), torch.randn(8, 3, 256, 256).to(memory_format=torch.channels_last).requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        scores = conv(x).float().square()
        with input_gradients():
            (gradient,) = torch.autograd.grad(scores.sum(), x, create_graph=True)
    gradient.square().sum().backward()
    assert conv.weight.grad is not None and conv.weight.grad.isfinite().all()
