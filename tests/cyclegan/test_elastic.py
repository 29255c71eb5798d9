"""Elastic generators: subnetworks that share weights equal networks of their own."""

from collections import Counter
from typing import cast

import pytest
import torch
from torch import Tensor, nn

from ganas.cyclegan.architecture import Architecture, random_architecture
from ganas.cyclegan.build import build, only_op
from ganas.cyclegan.config import LossConfig
from ganas.cyclegan.elastic import (
    ElasticNetwork,
    below_with,
    cropped,
    largest,
    random_choice,
    smallest,
    superkernels_of,
)
from ganas.cyclegan.layout import GENERATORS, LAYOUTS, SKIP, ElasticLayout, find_layout
from ganas.cyclegan.model import CycleGAN, generator_loss
from ganas.cyclegan.size import macs, parameters
from ganas.cyclegan.steps import sandwich_loss

LAYOUT = cast(ElasticLayout, LAYOUTS["elastic"].generator)
CLOSE = {"rtol": 1e-10, "atol": 1e-10}


def some_choices(count: int = 12) -> list[tuple[str, ...]]:
    generator = torch.Generator().manual_seed(0)
    return [largest(LAYOUT), smallest(LAYOUT), *(random_choice(LAYOUT, below_with(generator)) for _ in range(count))]


def noise(*shape: int, seed: int = 1) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 2 - 1


@pytest.fixture(scope="module")
def supernet() -> ElasticNetwork:
    torch.manual_seed(0)
    network = ElasticNetwork(LAYOUT, 4).double()
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.2)
    return network


@pytest.mark.parametrize("ops", some_choices())
def test_a_subnetwork_that_is_cut_out_computes_the_same_and_has_the_same_gradients(
    supernet: ElasticNetwork, ops: tuple[str, ...]
) -> None:
    supernet.ops = ops
    alone = supernet.cut_out(ops)
    x = noise(2, 3, 24, 32)
    shared, own = supernet(x), alone(x)
    torch.testing.assert_close(shared, own, **CLOSE)
    supernet.zero_grad()
    shared.square().sum().backward()
    own.square().sum().backward()
    keys = dict(superkernels_of(LAYOUT, ops, alone))
    for name, parameter in alone.named_parameters():
        whole = supernet.superkernels[keys[name]].grad
        assert whole is not None and parameter.grad is not None
        torch.testing.assert_close(cropped(whole, parameter.shape), parameter.grad, **CLOSE)
        assert whole.abs().sum() == pytest.approx(cropped(whole, parameter.shape).abs().sum().item()), "nothing else"
    unused = supernet.superkernels.keys() - keys.values()
    assert all(supernet.superkernels[key].grad is None for key in unused)


def test_random_choices_have_any_number_of_cells_and_any_choice_in_each() -> None:
    """Both uniform: 2,000 choices, expected counts of 200 and at least 75, five standard deviations of tolerance."""
    below = below_with(torch.Generator().manual_seed(0))
    chosen = [random_choice(LAYOUT, below) for _ in range(2000)]
    cells = [number for number, slot in enumerate(LAYOUT.slots) if SKIP in slot.ops]
    depths = Counter(sum(ops[number] != SKIP for number in cells) for ops in chosen)
    assert len(cells) == 9 and depths.keys() == {*range(10)}
    assert all(abs(count - 200) < 5 * 200**0.5 for count in depths.values())
    for number, slot in enumerate(LAYOUT.slots):
        counts = Counter(ops[number] for ops in chosen)
        skipped = counts.pop(SKIP, 0)
        assert not skipped or abs(skipped - 1000) < 5 * 500**0.5
        expected = (2000 - skipped) / len(counts)
        assert counts.keys() == {*slot.ops} - {SKIP} and all(
            abs(n - expected) < 5 * expected**0.5 for n in counts.values()
        )


def test_crops_are_the_first_channels_and_the_middle_taps() -> None:
    kernel = torch.arange(4 * 3 * 5 * 5.0).view(4, 3, 5, 5)
    assert torch.equal(cropped(kernel, (2, 1, 3, 3)), kernel[:2, :1, 1:4, 1:4])
    assert torch.equal(cropped(kernel[:, 0, 0, 0], (3,)), kernel[:3, 0, 0, 0])


def test_the_hand_made_network_is_the_largest() -> None:
    handmade = find_layout("resnet9").generator
    torch.manual_seed(0)
    one = build(handmade, 4, only_op)
    other = build(LAYOUT.final(largest(LAYOUT)), 4, only_op)
    assert one.state_dict().keys() == other.state_dict().keys()
    other.load_state_dict(one.state_dict())
    x = noise(1, 3, 32, 32).float()
    assert torch.equal(one(x), other(x))
    assert parameters(LAYOUT, largest(LAYOUT), 16) == parameters(handmade, (), 16)
    assert macs(LAYOUT, largest(LAYOUT), 16, 256) == macs(handmade, (), 16, 256)
    tiny = smallest(LAYOUT)
    assert parameters(LAYOUT, tiny, 16) < parameters(handmade, (), 16) / 300


@pytest.mark.parametrize("ops", some_choices(6))
def test_sizes_are_counted_without_building(ops: tuple[str, ...]) -> None:
    network = build(LAYOUT.final(ops), 5, only_op)
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters(LAYOUT, ops, 5)


def test_architectures_are_data() -> None:
    layout = find_layout("elastic")
    architecture = random_architecture(layout, 3)
    assert Architecture.from_json(architecture.to_json(), "here") == architecture
    assert architecture.discriminator_a == () and len(architecture.generator_ab) == len(LAYOUT.slots)
    torch.manual_seed(0)
    gan = CycleGAN(layout, architecture, 4, 4)
    assert gan.generator_ab(torch.zeros(1, 3, 32, 32)).shape == (1, 3, 32, 32)


def test_the_gradient_of_a_sandwich_is_the_sum_of_the_subnetworks_own() -> None:
    torch.manual_seed(0)
    gan = CycleGAN(find_layout("elastic"), None, 2, 2).double()
    a, b = noise(2, 3, 32, 32, seed=1), noise(2, 3, 32, 32, seed=2)
    config = LossConfig()
    terms, fakes = sandwich_loss(gan, a, b, config, torch.Generator().manual_seed(5))
    assert fakes.a.shape == (6, 3, 32, 32)
    torch.stack([*terms.values()]).sum().backward()
    together = {name: parameter.grad for name, parameter in gan.named_parameters()}
    gan.zero_grad(set_to_none=True)
    below = below_with(torch.Generator().manual_seed(5))
    chosen = {name: [largest(LAYOUT), smallest(LAYOUT), random_choice(LAYOUT, below)] for name in GENERATORS}
    for number in range(3):
        for name in GENERATORS:
            gan.network(name).ops = chosen[name][number]
        one, own = generator_loss(gan, a, b, config)
        torch.stack([*one.values()]).sum().backward()
        torch.testing.assert_close(own.a, fakes.a[2 * number : 2 * number + 2], **CLOSE)
    for name, parameter in gan.named_parameters():
        expected = together[name]
        assert (parameter.grad is None) == (expected is None)
        if expected is not None:
            torch.testing.assert_close(parameter.grad, expected, **CLOSE)
