"""Networks as a run has them: laid out for speed, and with less memory where asked."""

from copy import deepcopy

import pytest
import torch
from torch import Tensor

from ganas.cyclegan.config import LossConfig, SearchConfig
from ganas.cyclegan.model import generator_loss
from ganas.cyclegan.networks import MEMORY_FORMATS
from ganas.learning.loop import Loop
from small import noise, small_config, small_loop

SEARCH = SearchConfig(alpha_lr=0.02)

every_kind = pytest.mark.parametrize(
    "layout, search", [("framed", SEARCH), ("reference", SearchConfig(sampling="gumbel")), ("resnet6", None)]
)


def weights_after(loop: Loop, steps: int = 2) -> list[Tensor]:
    for number in range(steps):
        loop.step(*noise(loop.config, number))
    return [parameter.detach() for parameter in loop.gan.parameters()]


@every_kind
def test_checkpointing_changes_no_bit(layout: str, search: SearchConfig | None) -> None:
    plain, checkpointed = (
        weights_after(small_loop(small_config(layout, search, checkpointing=on))[0]) for on in (False, True)
    )
    assert all(map(torch.equal, plain, checkpointed))


@pytest.mark.parametrize("layout, search", [("framed", SEARCH), ("resnet6", None)])
def test_checkpointing_keeps_less_for_the_backward_pass(layout: str, search: SearchConfig | None) -> None:
    kept = []
    for on in (False, True):
        loop, _ = small_loop(small_config(layout, search, checkpointing=on))
        storages: dict[int, Tensor] = {}

        def keep(tensor: Tensor, storages: dict[int, Tensor] = storages) -> Tensor:
            storages[tensor.untyped_storage().data_ptr()] = tensor
            return tensor

        known = {parameter.untyped_storage().data_ptr() for parameter in loop.gan.parameters()}
        loop.draw(("generator_ab", "generator_ba", "discriminator_a", "discriminator_b"), 0, torch.Generator())
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            terms, _ = generator_loss(loop.gan, *noise(loop.config), LossConfig())
        kept.append(sum(t.untyped_storage().nbytes() for key, t in storages.items() if key not in known))
        del terms
    assert kept[1] < 0.6 * kept[0]


@pytest.mark.slow
@pytest.mark.parametrize("layout, search", [("framed", SEARCH), pytest.param("resnet6", None, marks=pytest.mark.long)])
def test_a_compiled_step_has_the_same_gradients(layout: str, search: SearchConfig | None) -> None:
    """Of the generators; not the weights after it, since Adam's first step is as long for a gradient of 1e-9."""
    gradients = []
    for on in (False, True):
        loop, _ = small_loop(small_config(layout, search, compile=on))
        loop.gan.double()
        loop.step(*(images.double() for images in noise(loop.config)))
        generators = (loop.gan.generator_ab, loop.gan.generator_ba)
        gradients.append([p.grad for generator in generators for p in generator.parameters() if p.grad is not None])
    largest = max(float(gradient.abs().max()) for gradient in gradients[0])
    for plain, compiled in zip(*gradients, strict=True):
        assert torch.allclose(plain, compiled, rtol=0, atol=1e-10 * largest)


def test_compiled_generators_are_drawn_from_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """Images of other sizes and numbers, without gradients, neither compile anew nor differ by a bit."""
    plain, compiled = (small_loop(small_config("resnet6", compile=on))[0].gan.generator_ab for on in (False, True))
    monkeypatch.setenv("CXX", "/nowhere")
    x = torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(plain(x), compiled(x))


def test_weights_and_maps_are_channels_last() -> None:
    loop, _ = small_loop(small_config("framed", SEARCH))
    weights = [p for p in loop.gan.parameters() if p.ndim == 4]
    assert all(weight.is_contiguous(memory_format=torch.channels_last) for weight in weights)
    loop.draw(("generator_ab",), 0, torch.Generator())
    seen: list[Tensor] = []
    for cell in loop.gan.generator_ab.cells:
        cell.register_forward_hook(lambda _, inputs, output: seen.append(output))
    loop.gan.generator_ab(noise(loop.config)[0])
    assert len(seen) == 13
    assert all(x.is_contiguous(memory_format=torch.channels_last) for x in seen)


@pytest.mark.parametrize("layout, search", [("resnet6", None), ("framed", SEARCH)])
def test_gradients_are_the_same_in_both_memory_formats(layout: str, search: SearchConfig | None) -> None:
    found = []
    for memory_format in ("channels_last", "contiguous"):
        loop, _ = small_loop(small_config(layout, search, memory_format=memory_format))
        loop.gan.double()
        loop.step(*(x.double() for x in noise(loop.config)))
        weights = [p for p in loop.gan.parameters() if p.ndim == 4]
        assert all(w.is_contiguous(memory_format=MEMORY_FORMATS[memory_format]) for w in weights)
        found.append([p.grad for p in loop.gan.parameters()])  # Adam makes much of those that are only rounding
    torch.testing.assert_close(*found, rtol=1e-10, atol=1e-10)


def test_an_optimiser_restored_from_another_memory_format_goes_on_alike() -> None:
    """Fused Adam reads its state in the memory order of the parameters, whatever the state's own is."""
    loops, pools = zip(*(small_loop(small_config("framed", SEARCH)) for _ in range(2)), strict=True)
    weights_after(loops[0])
    for domain, pool in pools[1].items():
        pool.load_state_dict(pools[0][domain].state_dict())
    state = deepcopy(loops[0].state_dict())
    for optimizer in state["optimizers"].values():
        for moments in optimizer["state"].values():
            for name, value in moments.items():
                moments[name] = value.contiguous().clone()
    loops[1].load_state_dict(state)
    batch = noise(loops[0].config, 2)
    for loop in loops:
        loop.step(*batch)
    assert all(map(torch.equal, loops[0].gan.parameters(), loops[1].gan.parameters()))
