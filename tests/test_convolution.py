"""The convolution for gradient penalties has the gradients of torch's own, first and second."""

from threading import Thread

import pytest
import torch
from torch import nn

from ganas.layers import Convolution


@pytest.mark.parametrize("size", [1, 3, 7])
def test_gradients_are_those_of_torch(size: int) -> None:
    torch.manual_seed(0)
    ours = Convolution(3, 5, size).double()
    torchs = nn.Conv2d(3, 5, size, padding=size // 2).double()
    torchs.load_state_dict(ours.state_dict())
    images = torch.randn(4, 3, 8, 8, dtype=torch.float64)

    def gradients(conv: nn.Module) -> list[torch.Tensor]:
        x = images.clone().requires_grad_()
        scores = conv(x).tanh()
        (gradient,) = torch.autograd.grad(scores.sum(), x, create_graph=True)
        return [
            gradient,
            *torch.autograd.grad(gradient.square().sum() + scores.square().sum(), [x, *conv.parameters()]),
        ]

    for mine, right in zip(gradients(ours), gradients(torchs), strict=True):
        torch.testing.assert_close(mine, right)


def test_without_a_penalty_the_gradients_are_the_same_bits() -> None:
    ours, x = Convolution(3, 8, 3), torch.randn(2, 3, 16, 16)
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
        (gradient,) = torch.autograd.grad(scores.sum(), x, create_graph=True)
    gradient.square().sum().backward()
    assert conv.weight.grad is not None and conv.weight.grad.isfinite().all()


@pytest.mark.parametrize("frozen", [(), ("weight",), ("bias",), ("weight", "bias")])
def test_first_and_second_gradients_are_those_of_differences(frozen: tuple[str, ...]) -> None:
    torch.manual_seed(0)
    conv, x = Convolution(2, 3, 3).double(), torch.randn(2, 2, 4, 4, dtype=torch.float64, requires_grad=True)
    for name in frozen:
        getattr(conv, name).requires_grad_(False)
    inputs = (x, conv.weight, conv.bias)
    assert torch.autograd.gradcheck(lambda x, *_: conv(x), inputs)
    assert torch.autograd.gradgradcheck(lambda x, *_: conv(x).tanh(), inputs)
    assert torch.autograd.gradgradcheck(lambda x: conv(x).tanh(), x), "by the input alone, as a penalty does"


def test_no_penalty_takes_weight_gradients_from_another_backward_pass() -> None:
    """Neither of a thread that runs meanwhile, nor of one that asks for both."""
    conv, other, x = Convolution(2, 3, 3), Convolution(2, 3, 3), torch.randn(2, 2, 4, 4, requires_grad=True)
    scores, loss = conv(x).tanh(), other(x.detach()).square().sum()

    def meanwhile(gradient: torch.Tensor) -> None:
        (thread := Thread(target=loss.backward)).start()
        thread.join()

    hook = scores.register_hook(meanwhile)
    (penalized,) = torch.autograd.grad(scores.sum(), x, create_graph=True)
    hook.remove()
    assert other.weight.grad is not None and other.bias is not None and other.bias.grad is not None
    assert conv.weight.grad is None
    for asked in ([conv.weight], [x, conv.weight], [conv.bias, x]):
        assert all(one is not None for one in torch.autograd.grad(scores.sum(), asked, retain_graph=True))
    (penalized.square().sum() + scores.sum()).backward()
    assert conv.weight.grad is not None and conv.bias is not None and conv.bias.grad is not None


def test_a_penalty_computes_no_weight_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else torch would differentiate it again, which is what takes so long."""
    conv, x = Convolution(2, 3, 3), torch.randn(2, 2, 4, 4, requires_grad=True)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        (gradient,) = torch.autograd.grad(conv(x).sum(), x, create_graph=True)
    names = {event.key for event in profile.key_averages()}
    assert "aten::conv_transpose2d" in names and "aten::convolution_backward" not in names
    monkeypatch.delattr(torch._C, "_will_engine_execute_node")  # of a later torch, it may be gone: slow, but right
    (slow,) = torch.autograd.grad(conv(x).sum(), x, create_graph=True)
    torch.testing.assert_close(slow, gradient)


def test_only_convolutions_that_keep_the_size() -> None:
    with pytest.raises(ValueError, match="size 2 do not keep"):
        Convolution(3, 3, 2)
    with pytest.raises(TypeError):
        Convolution(3, 3, 3, stride=2)  # type: ignore[call-arg]


def test_autocast_leaves_float64_alone() -> None:
    ours, x = Convolution(3, 4, 3).double(), torch.randn(1, 3, 4, 4, dtype=torch.float64)
    torchs = nn.Conv2d(3, 4, 3, padding=1).double()
    torchs.load_state_dict(ours.state_dict())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert ours(x).dtype == torchs(x).dtype == torch.float64
        assert ours(x).equal(torchs(x))
