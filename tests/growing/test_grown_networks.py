"""Growing networks: shapes, inheritance, blending, and their parts against closed forms."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from math import sqrt

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_actions import grown
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from ganas.growing.actions import FADE, Action, FadeIn, Grow, fading_sides, growing_actions
from ganas.growing.architecture import SIDES, GrowthArchitecture, Side
from ganas.growing.model import GrownGAN
from ganas.growing.networks import inherit, learning_groups, minibatch_stddev, pixel_norm
from ganas.layers import downsample, upsample

BASE = GrowthArchitecture(latent=5, channels=6)
NARROWING = FadeIn(5)  # of widths 6 and 8, but not of 4
ACTIONS = (*growing_actions((3, 7), (4, 8)), NARROWING)


def fades(route: Sequence[Action]) -> int:
    return sum(isinstance(action, FadeIn) for action in route)


routes = st.lists(st.sampled_from(ACTIONS), max_size=4).filter(lambda route: fades(route) <= 2)
bases = st.sampled_from((BASE, replace(BASE, base=4)))


def gan_of(architecture: GrowthArchitecture, *, fading: Collection[Side] = (), seed: int = 0) -> GrownGAN:
    torch.manual_seed(seed)
    return GrownGAN(architecture, fading=fading).double()


def noise(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@settings(max_examples=30, deadline=None)
@given(bases, routes)
def test_shapes_size_and_work_are_known_without_building(base: GrowthArchitecture, route: list[Action]) -> None:
    architecture, side_length = grown(base, route), base.base << fades(route)
    gan, image = gan_of(architecture), (3, side_length, side_length)
    assert architecture.resolution == side_length
    for side in SIDES:
        network = gan.network(side)
        taken, made = ((5,), image) if side == "generator" else (image, (1,))
        assert architecture.parameters(side) == sum(parameter.numel() for parameter in network.parameters())
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            assert network(noise(2, *taken)).shape == (2, *made)
        assert architecture.macs(side) == counter.get_total_flops() // 4


@settings(max_examples=30, deadline=None)
@given(bases, routes, st.sampled_from(ACTIONS))
def test_a_child_has_every_weight_of_its_parent_that_fits(
    base: GrowthArchitecture, route: list[Action], action: Action
) -> None:
    if isinstance(action, FadeIn) and fades(route) == 2:
        return
    architecture = grown(base, route)
    parent = gan_of(architecture, seed=1)
    child = gan_of(action(architecture), fading=SIDES if isinstance(action, FadeIn) else (), seed=2)
    for side in SIDES:
        state = parent.network(side).state_dict()
        copied = inherit(child.network(side), state)
        after = child.network(side).state_dict()
        grows = isinstance(action, FadeIn) or (isinstance(action, Grow) and action.side == side)
        changed = {"rgb.weight", "rgb.bias"} if grows else set()
        for name, tensor in state.items():
            if tensor.shape == after[name].shape:
                assert torch.equal(tensor, after[name]) and name in copied
            else:
                assert name in changed and name not in copied
                fitting = tuple(slice(min(pair)) for pair in zip(tensor.shape, after[name].shape, strict=True))
                assert torch.equal(tensor[fitting], after[name][fitting])
        fresh = {name for name in after if name not in state and not name.startswith("old_rgb")}
        assert not fresh & copied and all(name.startswith("layers.") for name in fresh)


@settings(max_examples=20, deadline=None)
@given(bases, routes.filter(lambda route: fades(route) < 2), st.sampled_from((FADE, NARROWING)))
def test_a_fade_in_starts_from_its_parent(base: GrowthArchitecture, route: list[Action], fade: FadeIn) -> None:
    architecture = grown(base, route)
    parent, child = gan_of(architecture, seed=1), gan_of(fade(architecture), fading=SIDES, seed=2)
    for side in SIDES:
        inherit(child.network(side), parent.network(side).state_dict())
    z, side_length = noise(4, 5), 2 * architecture.resolution
    images = noise(4, 3, side_length, side_length)
    with torch.no_grad():
        torch.testing.assert_close(child.generator(z), upsample(parent.generator(z)), rtol=0, atol=1e-12)
        torch.testing.assert_close(
            child.discriminator(images), parent.discriminator(downsample(images)), rtol=0, atol=1e-12
        )
        old, plain = child.generator(z), gan_of(fade(architecture))
        child.blend(1)
        plain.load_state_dict({name: t for name, t in child.state_dict().items() if "old_rgb" not in name})
        new = child.generator(z)
        assert torch.equal(new, plain.generator(z))
        assert torch.equal(child.discriminator(images), plain.discriminator(images))
        child.blend(0.25)
        torch.testing.assert_close(child.generator(z), 0.75 * old + 0.25 * new, rtol=0, atol=1e-12)


@settings(max_examples=20, deadline=None)
@given(routes, st.sampled_from([action for action in ACTIONS if isinstance(action, Grow)]))
def test_a_convolution_that_fades_in_starts_from_its_parent(route: list[Action], action: Grow) -> None:
    architecture = grown(BASE, route)
    sides = fading_sides(str(action), "every")
    parent, child = gan_of(architecture, seed=1), gan_of(action(architecture), fading=sides, seed=2)
    for side in SIDES:
        inherit(child.network(side), parent.network(side).state_dict())
    z, images = noise(4, 5), noise(4, 3, architecture.resolution, architecture.resolution)
    with torch.no_grad():
        assert torch.equal(child.generator(z), parent.generator(z))
        assert torch.equal(child.discriminator(images), parent.discriminator(images))
        assert child.doubled == 1, "real images do not change"
        old = child.generator(z)
        child.blend(1)
        plain = gan_of(action(architecture))
        plain.load_state_dict({name: t for name, t in child.state_dict().items() if "old_rgb" not in name})
        new = plain.generator(z)
        assert torch.equal(child.generator(z), new)
        assert torch.equal(child.discriminator(images), plain.discriminator(images))
        child.blend(0.25)
        torch.testing.assert_close(child.generator(z), 0.75 * old + 0.25 * new, rtol=0, atol=1e-12)


# ── parts ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("dtype, tolerance", [(torch.float64, 1e-10), (torch.bfloat16, 1e-2)])
def test_pixel_norm_makes_the_mean_square_of_channels_one(dtype: torch.dtype, tolerance: float) -> None:
    x = (100 * noise(2, 64, 3, 3)).to(dtype)
    square = pixel_norm(x).double().square().mean(1)
    torch.testing.assert_close(square, torch.ones_like(square), rtol=0, atol=tolerance)
    closed = x.double() / (x.double().square().mean(1, keepdim=True) + 1e-8).sqrt()
    torch.testing.assert_close(pixel_norm(x).double(), closed, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("n, group", [(1, 1), (2, 2), (3, 3), (4, 4), (5, 1), (6, 3), (8, 4), (12, 4)])
def test_minibatch_stddev_within_groups_of_a_batch(n: int, group: int) -> None:
    x = noise(n, 3, 2, 2)
    shown = minibatch_stddev(x, n)
    assert torch.equal(shown[:, :3], x) and shown.shape == (n, 4, 2, 2)
    for start in range(0, n, group):
        some = x[start : start + group]
        expected = (some.var(0, correction=0) + 1e-8).sqrt().mean()
        torch.testing.assert_close(shown[start : start + group, 3], expected.expand(group, 2, 2))


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 6, 8, 12])
def test_two_batches_in_one_pass_score_as_each_alone(n: int) -> None:
    discriminator = gan_of(BASE.doubled()).discriminator
    one, other = noise(n, 3, 16, 16), noise(n, 3, 16, 16).flip(1)
    with torch.no_grad():
        together = discriminator(torch.cat((one, other)), batch=n)
        alone = torch.cat((discriminator(one), discriminator(other)))
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-12)


def test_the_equalized_learning_rate_equals_weights_scaled_in_each_pass() -> None:
    """As Karras et al. 2018 write it, with N(0, 1) weights: twenty steps of Adam, with gradients down to its ε."""
    network = gan_of(BASE).discriminator
    ours = network.hidden
    scale = sqrt(2 / ours.in_features)
    weight, bias = nn.Parameter(ours.weight.detach() / scale), nn.Parameter(ours.bias.detach().clone())
    groups = learning_groups(network, 1e-3)
    assert sum(len(group["params"]) for group in groups) == len([*network.parameters()])
    adams = (
        torch.optim.Adam(groups, betas=(0.0, 0.99)),
        torch.optim.Adam((weight, bias), lr=1e-3, betas=(0.0, 0.99), eps=1e-8),
    )
    for step in range(20):
        x = noise(4, ours.in_features) * 10.0 ** (-step)
        for y, adam in zip((ours(x), nn.functional.linear(x, scale * weight, bias)), adams, strict=True):
            adam.zero_grad()
            y.square().sum().backward()
            adam.step()
    torch.testing.assert_close(ours.weight, scale * weight, rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(ours.bias, bias, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("side", SIDES)
def test_initial_weights_have_the_standard_deviation_of_their_scale(side: Side) -> None:
    torch.manual_seed(0)
    network = GrownGAN(GrowthArchitecture(64, 64).doubled()).network(side)
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear) and module.weight.numel() > 1000:
            gain = 1 if (side, name) == ("generator", "rgb") else sqrt(2)
            expected = gain / sqrt(module.weight[0].numel())
            assert module.weight.std().item() == pytest.approx(expected, rel=0.05)
            assert not module.bias.any()


def test_maps_are_channels_last() -> None:
    gan = gan_of(BASE.doubled())
    seen: list[Tensor] = []
    for module in gan.modules():
        if isinstance(module, nn.Conv2d) and module.kernel_size == (3, 3):
            module.register_forward_hook(lambda _, inputs, output: seen.extend((*inputs, output)))
    gan.discriminator(gan.generator(noise(2, 5)))
    assert len(seen) == 2 * 6
    assert all(x.is_contiguous(memory_format=torch.channels_last) for x in seen)
