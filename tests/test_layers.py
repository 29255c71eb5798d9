"""Instance norm: torch's own, in either memory format, with statistics of float32 and half of the memory."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from ganas.layers import InstanceNorm

FORMATS = {"contiguous": torch.contiguous_format, "channels-last": torch.channels_last}

every_format = pytest.mark.parametrize("memory_format", FORMATS.values(), ids=FORMATS)


def noise(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)), dtype=torch.float64).to(dtype)


@every_format
@pytest.mark.parametrize("shape", [(1, 3, 4, 4), (2, 5, 7, 9), (3, 1, 1, 2), (4, 16, 8, 8)])
def test_it_is_torchs_instance_norm(memory_format: torch.memory_format, shape: tuple[int, ...]) -> None:
    x, weight = noise(*shape) * 3 + 1, noise(*shape).cos()
    one = x.clone(memory_format=memory_format).requires_grad_()
    other = x.clone().requires_grad_()
    y, expected = InstanceNorm()(one), functional.instance_norm(other)
    (y * weight).sum().backward()
    (expected * weight).sum().backward()
    torch.testing.assert_close(y, expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(one.grad, other.grad, rtol=1e-10, atol=1e-11)
    assert y.is_contiguous(memory_format=memory_format)


@pytest.mark.parametrize("view", ["crop", "channels", "transpose"])
def test_views_of_other_strides_are_normalised_too(view: str) -> None:
    whole = noise(2, 8, 9, 9).contiguous(memory_format=torch.channels_last)
    views = {"crop": whole[:, :, 1:7, 1:7], "channels": whole[:, 2:5], "transpose": whole.transpose(2, 3)}
    torch.testing.assert_close(InstanceNorm()(views[view]), functional.instance_norm(views[view].clone()))


def test_its_gradient_is_that_of_finite_differences() -> None:
    x = noise(2, 3, 4, 5).requires_grad_()
    assert torch.autograd.gradcheck(InstanceNorm(), (x,))


@every_format
def test_a_gradient_in_the_other_memory_format_is_as_good(memory_format: torch.memory_format) -> None:
    gradients = []
    for of_gradient in FORMATS.values():
        x = noise(2, 3, 4, 4).clone(memory_format=memory_format).requires_grad_()
        InstanceNorm()(x).backward(noise(2, 3, 4, 4).cos().contiguous(memory_format=of_gradient))
        gradients.append(x.grad)
    torch.testing.assert_close(*gradients, rtol=0, atol=0)


@every_format
def test_maps_of_bf16_have_statistics_of_float32(memory_format: torch.memory_format) -> None:
    """A mean of 8 lies between numbers 1/32 apart in bf16: rounded to one of them it would shift every pixel."""
    x = (noise(2, 4, 32, 32, dtype=torch.float32) / 4 + 8).bfloat16().contiguous(memory_format=memory_format)
    y = InstanceNorm()(x)
    assert y.dtype == torch.bfloat16
    expected = functional.instance_norm(x.double())
    torch.testing.assert_close(y.double(), expected, rtol=2**-8, atol=1e-4)  # the rounding of the output alone


def test_the_input_is_not_kept() -> None:
    x = noise(2, 3, 8, 8).requires_grad_()
    kept: list[Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        y = InstanceNorm()(x)
    assert x.data_ptr() not in {tensor.data_ptr() for tensor in kept}
    assert sum(tensor.numel() for tensor in kept) == y.numel() + 2 * 3


def test_a_map_of_one_pixel_is_refused() -> None:
    with pytest.raises(ValueError, match="more than one pixel"):
        InstanceNorm()(noise(2, 3, 1, 1))


def test_exporters_meet_one_operator_that_they_know() -> None:
    x = noise(2, 3, 8, 8)
    exported = torch.export.export(InstanceNorm().eval(), (x,))
    called = [node.target for node in exported.graph.nodes if node.op == "call_function"]
    assert called == [torch.ops.aten.instance_norm.default]
    torch.testing.assert_close(exported.module()(x), InstanceNorm()(x))
