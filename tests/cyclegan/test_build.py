"""Networks: their sizes and counts, and that a supernet and a final network are one thing."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from ganas.cyclegan.architecture import random_architecture
from ganas.cyclegan.build import Network, build, mixture, only_op, slot_modules
from ganas.cyclegan.grouping import Grouping, merge_all, naive, split_dilated
from ganas.cyclegan.layout import GENERATORS, LAYOUTS, NETWORKS, Layout, NetworkLayout
from ganas.cyclegan.mixed import MixedOp, mixtures
from ganas.cyclegan.model import CycleGAN, inherit_weights
from small import MIXTURES

every_layout = pytest.mark.parametrize("layout", MIXTURES.values(), ids=MIXTURES)
every_network = pytest.mark.parametrize("kind", ["generator", "discriminator"])


def uniform_ops(network: NetworkLayout) -> Iterator[tuple[str, ...]]:
    """As many choices as the richest slot has ops; together they put every op into every slot."""
    for number in range(max(len(slot.ops) for slot in network.slots)):
        yield tuple(slot.ops[number % len(slot.ops)] for slot in network.searched)


def noise(size: int, dtype: torch.dtype = torch.float32, count: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(size)
    return torch.rand(count, 3, size, size, generator=generator, dtype=dtype) * 2 - 1


# Sizes


@every_layout
def test_the_residual_cells_of_256_pixels_see_maps_of_64(layout: Layout) -> None:
    with torch.device("meta"):
        network = build(layout.generator, 2.5, mixture("generator_ab", naive))
        seen: list[torch.Size] = []
        for cell, declared in zip(network.cells, layout.generator.cells, strict=True):
            if declared.residual:
                cell.register_forward_hook(lambda _, inputs, output: seen.extend([inputs[0].shape, output.shape]))
        assert network(torch.empty(1, 3, 256, 256)).shape == (1, 3, 256, 256)
    assert len(seen) == 2 * {"resnet6": 6, "resnet3": 3, "resnet0": 0}.get(layout.name, 9)
    assert set(seen) <= {(1, 10, 64, 64)}


@pytest.mark.parametrize("name, side", [("paper", 16), ("framed", 16), ("reference", 28), ("resnet9", 30)])
def test_a_discriminator_scores_256_pixels_on_a_map(name: str, side: int) -> None:
    with torch.device("meta"):
        network = build(LAYOUTS[name].discriminator, 1, mixture("generator_ab", naive))
        assert network(torch.empty(2, 3, 256, 256)).shape == (2, 1, side, side)


@every_layout
@every_network
def test_every_op_in_every_slot_works_at_the_smallest_size_and_agrees_on_the_size_it_puts_out(
    layout: Layout, kind: str
) -> None:
    network = getattr(layout, kind)
    shapes = set()
    for size in (layout.minimum, layout.minimum + layout.multiple):
        for ops in uniform_ops(network):
            y = build(network.final(ops), 1, only_op)(noise(size, count=2))
            assert torch.isfinite(y).all()
            shapes.add((size, y.shape))
    assert len(shapes) == 2
    assert kind == "discriminator" or {shape[2:] for _, shape in shapes} == {(s, s) for s, _ in shapes}


@every_layout
def test_below_the_smallest_size_a_discriminator_raises(layout: Layout) -> None:
    size = layout.minimum - layout.multiple or layout.minimum // 2
    for ops in uniform_ops(layout.discriminator):
        network = build(layout.discriminator.final(ops), 1, only_op)
        with pytest.raises((ValueError, RuntimeError)):
            network(noise(size))


@every_layout
def test_a_generator_alone_takes_any_multiple_of_its_own(layout: Layout) -> None:
    step = layout.generator_multiple
    for ops in uniform_ops(layout.generator):
        network = build(layout.generator.final(ops), 1, only_op)
        assert network(torch.zeros(1, 3, 4 * step, 5 * step)).shape == (1, 3, 4 * step, 5 * step)


@every_layout
def test_a_generator_puts_out_images_and_a_discriminator_raw_scores(layout: Layout) -> None:
    torch.manual_seed(0)
    generator, discriminator = (
        build(n, 2, mixture("generator_ab", merge_all)) for n in (layout.generator, layout.discriminator)
    )
    for network in (generator, discriminator):
        for parameter in network.parameters():  # weights so large that tanh saturates and scores leave [-1, 1]
            nn.init.normal_(parameter, std=10)
    assert generator(noise(layout.minimum)).abs().max() <= 1
    assert discriminator(noise(layout.minimum)).abs().max() > 1


# Against the hand-made networks


def conv(c_in: int, c_out: int, kernel: int, stride: int = 1, reflect: int = 0, zeros: int = 0) -> list[nn.Module]:
    return [nn.ReflectionPad2d(reflect), nn.Conv2d(c_in, c_out, kernel, stride, zeros)]


class Block(nn.Sequential):
    """Zhu et al.'s residual block: nothing after the sum."""

    def __init__(self, c: int) -> None:
        half = [*conv(c, c, 3, reflect=1), nn.InstanceNorm2d(c)]
        super().__init__(*half, nn.ReLU(), *conv(c, c, 3, reflect=1), nn.InstanceNorm2d(c))

    def forward(self, x: Tensor) -> Tensor:
        return x + super().forward(x)


def hand_made_generator(w: int) -> nn.Sequential:
    def up(c_in: int, c_out: int) -> list[nn.Module]:
        deconv = nn.ConvTranspose2d(c_in, c_out, 3, stride=2, padding=1, output_padding=1)
        return [deconv, nn.InstanceNorm2d(c_out), nn.ReLU()]

    return nn.Sequential(
        *(*conv(3, w, 7, reflect=3), nn.InstanceNorm2d(w), nn.ReLU()),
        *(*conv(w, 2 * w, 3, stride=2, zeros=1), nn.InstanceNorm2d(2 * w), nn.ReLU()),
        *(*conv(2 * w, 4 * w, 3, stride=2, zeros=1), nn.InstanceNorm2d(4 * w), nn.ReLU()),
        *(Block(4 * w) for _ in range(6)),
        *(*up(4 * w, 2 * w), *up(2 * w, w)),
        *(*conv(w, 3, 7, reflect=3), nn.Tanh()),
    )


def hand_made_discriminator(w: int, strides: tuple[int, ...]) -> nn.Sequential:
    """4×4 convolutions; no norm on the first, nothing after the last."""
    widths = [3, *(w * 2**number for number in range(len(strides) - 1)), 1]
    layers: list[nn.Module] = []
    for c_in, c_out, stride in zip(widths[:-1], widths[1:], strides, strict=True):
        layers += conv(c_in, c_out, 4, stride, zeros=1)
        layers += [nn.InstanceNorm2d(c_out)] if c_in != 3 and c_out != 1 else []
        layers += [nn.LeakyReLU(0.2)] if c_out != 1 else []
    return nn.Sequential(*layers)


@pytest.mark.parametrize(
    "network, ops, expected",
    [
        (LAYOUTS["resnet6"].generator, (), hand_made_generator(2)),
        (LAYOUTS["resnet6"].discriminator, (), hand_made_discriminator(2, (2, 2, 2, 1, 1))),
        (LAYOUTS["paper"].discriminator, ("conv4",) * 4, hand_made_discriminator(2, (2, 2, 2, 2))),
    ],
    ids=["generator", "patchgan", "paper's discriminator"],
)
def test_with_its_weights_a_hand_made_network_is_the_same(
    network: NetworkLayout, ops: tuple[str, ...], expected: nn.Sequential
) -> None:
    built, expected = build(network.final(ops), 2, only_op).double(), expected.double()
    for parameter, weight in zip(expected.parameters(), built.parameters(), strict=True):
        nn.init.normal_(weight)
        parameter.data.copy_(weight)
    x = noise(32, torch.float64)
    torch.testing.assert_close(built(x), expected(x))


@every_layout
@every_network
def test_weights_start_as_zhu_et_al_s(layout: Layout, kind: str) -> None:
    """N(0, 0.02), and biases at zero."""
    torch.manual_seed(0)
    network = build(getattr(layout, kind), 4, mixture("generator_ab", merge_all))
    weights = torch.cat([p.flatten() for name, p in network.named_parameters() if p.ndim > 1])
    assert weights.std().item() == pytest.approx(0.02, rel=0.05)
    assert not any(p.any() for name, p in network.named_parameters() if name.endswith("bias"))


# One builder


def use_one_hot(network: Network, ops: tuple[str, ...]) -> None:
    for mixed, op in zip(mixtures(network), ops, strict=True):
        mixed.set_weights(torch.tensor([float(name == op) for name in mixed.ops], dtype=mixed.alpha.dtype))


def gradients(network: Network, ndim: int) -> dict[str, Tensor]:
    """Of each convolution's weight (4 dimensions) or bias (1)."""
    return {
        name: parameter.grad
        for name, module in network.named_modules()
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d)
        for parameter in module.parameters()
        if parameter.ndim == ndim and parameter.grad is not None
    }


def assert_close(one: Tensor, other: Tensor, size: Tensor | None = None) -> None:
    """To 1e-5 of the largest value in float32, 1e-10 in float64; `size` where the largest is to be sought elsewhere."""
    tolerance = 1e-5 if one.dtype == torch.float32 else 1e-10
    assert (one - other).abs().max() <= tolerance * (other if size is None else size).abs().max()


def all_of(tensors: dict[str, Tensor]) -> Tensor:
    """For the size of biases' gradients: behind instance norm one alone is nothing but rounding."""
    return torch.cat([tensor.flatten() for tensor in tensors.values()])


@every_layout
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("grouping, seed", [(naive, 0), (merge_all, 1), (split_dilated, 2)])
def test_a_one_hot_mixture_is_the_final_network(
    layout: Layout, dtype: torch.dtype, grouping: Grouping, seed: int
) -> None:
    """Outputs, gradients of the image, and gradients of the weights of the chosen ops."""
    torch.manual_seed(seed)
    architecture = random_architecture(layout, seed)
    supernets = CycleGAN(layout, None, 2, 2, grouping)
    finals = CycleGAN(layout, architecture, 2, 2)
    copied, total = inherit_weights(finals, architecture, supernets.state_dict())
    assert copied == total
    supernets, finals = supernets.to(dtype).eval(), finals.to(dtype).eval()
    for name in NETWORKS:
        supernet, final, ops = supernets.network(name), finals.network(name), architecture.ops(name)
        use_one_hot(supernet, ops)
        x, same = (noise(layout.minimum, dtype, count=2).requires_grad_() for _ in range(2))
        y, expected = supernet(x), final(same)
        assert_close(y, expected)
        y.square().sum().backward()
        expected.square().sum().backward()
        assert_close(x.grad, same.grad)
        places = dict(slot_modules(layout.network(name), ops))
        for ndim in (4, 1):
            found, wanted = gradients(supernet, ndim), gradients(final, ndim)
            for module, gradient in wanted.items():
                place = next((place for place in places if f"{module}.".startswith(f"{place}.")), None)
                source = module.replace(place, f"{place}.ops.{places[place]}") if place else module
                assert_close(found[source], gradient, all_of(wanted) if ndim == 1 else None)


def test_a_wider_network_inherits_what_fits_and_keeps_the_rest() -> None:
    layout = LAYOUTS["framed"]
    architecture = random_architecture(layout, 0)
    supernets, finals = CycleGAN(layout, None, 2, 2), CycleGAN(layout, architecture, 4, 2)
    before = {name: tensor.clone() for name, tensor in finals.state_dict().items()}
    copied, total = inherit_weights(finals, architecture, supernets.state_dict())
    kept = [name for name, tensor in finals.state_dict().items() if torch.equal(tensor, before[name])]
    assert 0 < copied < total
    assert any(name.startswith(GENERATORS) for name in kept)
    assert not any(name.startswith("discriminator") and name.endswith("weight") for name in kept)


@every_layout
def test_networks_are_drawn_from_the_global_seed(layout: Layout) -> None:
    states = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        states.append(build(layout.discriminator, 2, mixture("generator_ab", merge_all)).state_dict())
    first, same, other = states
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


# Spectral norm


def convolutions(network: nn.Module) -> Iterator[nn.Conv2d]:
    return (module for module in network.modules() if isinstance(module, nn.Conv2d))


@every_layout
def test_spectral_norm_is_on_the_reference_discriminators_convolutions_alone(layout: Layout) -> None:
    generator, discriminator = (
        build(n, 2, mixture("generator_ab", merge_all)) for n in (layout.generator, layout.discriminator)
    )
    assert not any(map(parametrize.is_parametrized, convolutions(generator)))
    if layout.name != "reference":
        assert not any(map(parametrize.is_parametrized, convolutions(discriminator)))
        return
    normalized = {
        name: any(map(parametrize.is_parametrized, op.modules()))
        for mixed in discriminator.modules()
        if isinstance(mixed, MixedOp)
        for name, op in mixed.ops.items()
    }
    assert normalized == {name: not name.endswith("pool") for name in normalized}
    assert {"maxpool", "avgpool", "conv4", "dilconv5"} <= normalized.keys()
