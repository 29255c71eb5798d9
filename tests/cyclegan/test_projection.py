"""Alphas are not identifiable, projections are: what an op can do of a mixture, and the choice that follows."""

import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from ganas.cyclegan.architecture import Architecture, random_architecture
from ganas.cyclegan.budget import handmade_size
from ganas.cyclegan.build import SlotModule, build_op
from ganas.cyclegan.config import LossConfig, RunConfig, SearchConfig
from ganas.cyclegan.derive import agreement
from ganas.cyclegan.layout import NETWORKS, Layout, NetworkLayout, Slot, find_layout
from ganas.cyclegan.mixed import MixedOp, use_mean_weights
from ganas.cyclegan.model import CycleGAN, discriminator_loss, generator_loss, inherit_weights
from ganas.cyclegan.ops import OPS
from ganas.cyclegan.projection import ProjectedOp, output_shares, projected_weights, projection_losses
from ganas.cyclegan.search import search
from ganas.cyclegan.size import parameters
from ganas.cyclegan.supernets import Supernets
from ganas.cyclegan.train import train
from ganas.presets import make_config
from kill_and_resume import write_images
from small import MIXTURES, small_config

SEARCHED = [layout for layout in MIXTURES.values() if layout.size > 1]
every_search = pytest.mark.parametrize("layout", SEARCHED, ids=lambda layout: layout.name)


def supernets(layout_name: str, width: float = 2) -> CycleGAN:
    """Supernets with kernels and biases that are not small, float64, by the mean weights of random alphas."""
    torch.manual_seed(0)
    gan = CycleGAN(find_layout(layout_name), None, width, width).double().eval()
    for parameter in gan.parameters():
        nn.init.normal_(parameter)
    for name in NETWORKS:
        use_mean_weights(gan.network(name))
    return gan


def searched(gan: CycleGAN, layout: NetworkLayout, name: str) -> Iterator[tuple[Slot, SlotModule]]:
    modules = (
        one for one in gan.network(name).modules() if isinstance(one, SlotModule) and isinstance(one.op, MixedOp)
    )
    return zip(layout.searched, modules, strict=True)


@every_search
def test_alphas_are_not_identifiable_and_projections_are(layout: Layout) -> None:
    """A gauge: each alpha up by h, its kernel and bias down by exp(h), multiplies the mixture by a constant.

    So a norm removes it, while the leading op is another one. Projections are multiplied by the same constant.
    """
    gan, changed = supernets(layout.name), 0
    for name in ("generator_ab", "discriminator_b"):
        for slot, module in searched(gan, layout.network(name), name):
            mixed = module.op
            assert isinstance(mixed, MixedOp)
            if slot.spectral:
                continue  # it fixes the scale of kernels
            x = torch.randn(1, slot.c_in.at(2), 16, 16, dtype=torch.float64)
            with torch.no_grad():
                before, projections = mixed(x), [ProjectedOp(mixed, op)(x) for op in slot.ops]
                leading = int(mixed.alpha.argmax())
                total = mixed.alpha.exp().sum()
                for number, op in enumerate(mixed.ops.values()):
                    shift = 3.0 if number != leading else -3.0
                    mixed.alpha[number] += shift
                    for parameter in op.parameters():
                        parameter *= torch.tensor(-shift, dtype=torch.float64).exp()
                use_mean_weights(gan.network(name))
                constant = total / mixed.alpha.exp().sum()
                torch.testing.assert_close(mixed(x), constant * before, rtol=1e-12, atol=1e-12)
                after = [ProjectedOp(mixed, op)(x) for op in slot.ops]
            for one, other in zip(after, projections, strict=True):
                torch.testing.assert_close(one, constant * other, rtol=1e-11, atol=1e-11)
            changed += int(mixed.alpha.argmax()) != leading
    assert changed >= 15


def apply(op: str, slot: Slot, weights: dict[str, Tensor], x: Tensor) -> Tensor:
    """A final op with these weights."""
    module = build_op(op, slot.c_in.at(2), slot.c_out.at(2), slot).double()
    module.load_state_dict(weights)
    return module(x)  # type: ignore[no-any-return]


@every_search
def test_a_projection_is_an_op_with_weights(layout: Layout) -> None:
    gan = supernets(layout.name)
    for name in ("generator_ab", "discriminator_b"):
        for slot, module in searched(gan, layout.network(name), name):
            x = torch.randn(2, slot.c_in.at(2), 12, 12, dtype=torch.float64)
            for op in slot.ops:
                projected = ProjectedOp(module.op, op)  # type: ignore[arg-type]
                torch.testing.assert_close(
                    projected(x), apply(op, slot, projected.weights(), x), rtol=1e-10, atol=1e-10
                )


def zeros(name: str, share: float = 1.0) -> MixedOp:
    """The mixture of a slot of width 1, with kernels and biases that are zero and weights that are equal."""
    found = searched(supernets("framed", width=1), find_layout("framed").generator, "generator_ab")
    (mixed,) = (module.op for slot, module in found if slot.name == name)
    assert isinstance(mixed, MixedOp)
    for parameter in mixed.ops.parameters():
        nn.init.zeros_(parameter)
    mixed.set_weights(torch.full([len(mixed.ops)], share, dtype=torch.float64))
    return mixed


def set_kernel(mixed: MixedOp, op: str, values: Tensor) -> None:
    mixed.ops[op].get_parameter("1.weight" if OPS[op].resampling else "weight").data.copy_(values)


def test_taps_by_hand() -> None:
    """With every kernel a constant: what is left of the sum."""
    mixed = zeros("r1.1")
    for op, constant in zip(mixed.ops, (1.0, 10.0, 100.0, 1000.0, 10_000.0), strict=True):
        for parameter in mixed.ops[op].parameters():
            nn.init.constant_(parameter, constant)
    # conv3, conv5, conv7, dilconv3 (every second of 5×5), dilconv5 (every second of 9×9)
    line = ProjectedOp(mixed, "conv7").taps[0, 0, 3].tolist()
    assert line == [100, 110 + 11_000, 111, 11_111, 111, 110 + 11_000, 100]
    assert ProjectedOp(mixed, "dilconv3").taps[0, 0].tolist()[1] == [11_110.0, 11_111.0, 11_110.0]
    assert ProjectedOp(mixed, "conv3").bias.tolist() == [11_111.0] * 4


def test_pools_by_hand() -> None:
    """Of taps that all differ: the mean of the sum's 2×2 where the average is taken, nothing of it for the maximum."""
    mixed = zeros("e1.1", share=0.5)
    set_kernel(mixed, "conv3", 100 * torch.arange(9.0).view(3, 3))  # at the pool's pixels 400, 500, 700 and 800
    set_kernel(mixed, "conv4", torch.arange(16.0).view(4, 4))  # 5, 6, 9 and 10
    for op in ("avgpool", "maxpool"):
        set_kernel(mixed, op, torch.tensor([4.0, 8.0]).view(2, 1, 1, 1))
    average, maximum = ProjectedOp(mixed, "avgpool"), ProjectedOp(mixed, "maxpool")
    assert average.taps.flatten(1).tolist() == [[(600 + 7.5 + 1) / 2] * 4, [(600 + 7.5 + 2) / 2] * 4]
    assert average.weights()["1.weight"].flatten().tolist() == [2 * (600 + 7.5 + 1), 2 * (600 + 7.5 + 2)], "four taps"
    assert maximum.taps.flatten().tolist() == maximum.weights()["1.weight"].flatten().tolist() == [2, 4], "its own"


def test_interpolations_by_hand() -> None:
    """As for pools: a pixel becomes 2×2, the last taps of 3×3."""
    mixed = zeros("d1.1", share=0.5)
    set_kernel(mixed, "deconv3", torch.arange(9.0).view(3, 3))  # 4, 5, 7 and 8
    own = torch.arange(8.0).view(2, 4, 1, 1)  # of each output, and each input
    for op in ("nearest", "bilinear"):
        set_kernel(mixed, op, own)
    nearest, bilinear = ProjectedOp(mixed, "nearest"), ProjectedOp(mixed, "bilinear")
    assert nearest.weights()["1.weight"].tolist() == ((6 + own) / 2).tolist()
    assert nearest.taps.tolist() == ((6 + own) / 2).transpose(0, 1).expand(4, 2, 2, 2).tolist()
    assert bilinear.weights()["1.weight"].tolist() == (own / 2).tolist(), "its own"


def test_losses_are_those_of_supernets_with_one_slot_replaced() -> None:
    """Against networks whose alpha is one-hot and whose kernel was set by hand to the projection."""
    layout = find_layout("paper")
    config = LossConfig()
    gan = supernets("paper", width=1)
    for parameter in gan.parameters():
        parameter.data *= 0.3
    side = layout.minimum
    a, b = torch.rand(2, 3, 3, side, side, dtype=torch.float64) * 2 - 1
    state = {name: tensor.clone() for name, tensor in gan.state_dict().items()}
    losses = projection_losses(gan, a, b, config)
    assert all(torch.equal(tensor, state[name]) for name, tensor in gan.state_dict().items()), "nothing has changed"

    def total(name: str) -> float:
        with torch.no_grad():
            terms, fakes = generator_loss(gan, a, b, config)
            if name.startswith("discriminator"):
                terms = discriminator_loss(gan, a, b, fakes, config)
        return sum(term.item() for term in terms.values())

    for name in NETWORKS:
        found = [*searched(gan, layout.network(name), name)]
        assert [len(slot) for slot in losses[name]] == [len(slot.ops) for slot, _ in found]
        slot, module = found[-2]
        usual, mixed = total(name), module.op
        assert isinstance(mixed, MixedOp)
        for op, loss in zip(slot.ops, losses[name][-2], strict=True):
            final = build_op(op, slot.c_in.at(1), slot.c_out.at(1), slot).double()
            final.load_state_dict(ProjectedOp(mixed, op).weights())
            module.op = final
            assert total(name) - usual == pytest.approx(loss, rel=1e-9, abs=1e-9)
            module.op = mixed


def test_larger_supports_lose_less() -> None:
    """On the slot's own output: the rest of the mixture's taps is nothing but error."""
    gan = supernets("framed", width=1)
    _, module = next(searched(gan, find_layout("framed").generator, "generator_ab"))
    mixed = module.op
    assert isinstance(mixed, MixedOp)
    with torch.no_grad():
        for op, parameter in product(("maxpool", "avgpool"), range(2)):
            [*mixed.ops[op].parameters()][parameter].zero_()
        use_mean_weights(gan.network("generator_ab"))
        x = torch.randn(8, 1, 64, 64, dtype=torch.float64)
        errors = {op: (ProjectedOp(mixed, op)(x) - mixed(x)).square().mean().item() for op in mixed.ops}
    assert errors["conv7"] < errors["conv5"] < errors["conv3"] < errors["avgpool"]


def test_the_choice_is_the_best_within_the_size_of_the_hand_made_network() -> None:
    config = small_config("paper", SearchConfig(derive="projection"))
    layout = find_layout("paper")
    gan = supernets("paper")
    a, b = torch.rand(2, 2, 3, 16, 16, dtype=torch.float64) * 2 - 1
    found = Supernets(config, layout, gan, None, lambda: (a, b))
    architecture = found.best_projections()
    limits = handmade_size(config, layout).limits
    for name in NETWORKS:
        network = layout.network(name)

        def score(ops: tuple[str, ...], name: str = name, network: NetworkLayout = network) -> float:
            slots = zip(network.searched, found.losses[name], ops, strict=True)
            return sum(losses[slot.ops.index(op)] for slot, losses, op in slots)

        chosen = architecture.ops(name)
        assert parameters(network, chosen, 2) <= limits[name]
        for number, slot in enumerate(network.searched):  # no better choice that differs in one slot
            for op in slot.ops:
                other = (*chosen[:number], op, *chosen[number + 1 :])
                assert parameters(network, other, 2) > limits[name] or score(other) >= score(chosen) - 1e-9
    handmade = Architecture(
        "paper",
        **{
            name: tuple(
                "deconv3" if s.scale == "up" else "conv4" if "disc" in name else "conv3"
                for s in layout.network(name).searched
            )
            for name in NETWORKS
        },
    )
    assert {name: parameters(layout.network(name), handmade.ops(name), 2) for name in NETWORKS} == limits


def test_final_networks_start_from_the_projections() -> None:
    gan = supernets("paper")
    architecture = random_architecture(find_layout("paper"), 1)
    weights = projected_weights(gan, architecture)
    final = CycleGAN(find_layout("paper"), architecture, 2, 2).double()
    copied, total = inherit_weights(final, architecture, gan.state_dict() | weights)
    assert copied == total
    slots = zip(find_layout("paper").generator.searched, architecture.generator_ab, strict=True)
    modules = (one for one in final.generator_ab.modules() if isinstance(one, SlotModule))
    for (slot, op), module, (_, mixture) in zip(
        slots, modules, searched(gan, find_layout("paper").generator, "generator_ab"), strict=True
    ):
        x = torch.randn(1, slot.c_in.at(2), 12, 12, dtype=torch.float64)
        torch.testing.assert_close(module.op(x), ProjectedOp(mixture.op, op)(x), rtol=1e-10, atol=1e-10)  # type: ignore[arg-type]
    other = random_architecture(find_layout("paper"), 2)
    inherit_weights(again := CycleGAN(find_layout("paper"), other, 2, 2).double(), other, gan.state_dict() | weights)
    inherit_weights(plain := CycleGAN(find_layout("paper"), other, 2, 2).double(), other, gan.state_dict())
    differing = sum(
        op != mine for name in NETWORKS for op, mine in zip(other.ops(name), architecture.ops(name), strict=True)
    )
    same = sum(map(torch.equal, again.state_dict().values(), plain.state_dict().values()))
    assert same == 2 * differing, "weights of another op are not taken"


def test_shares_are_variances_by_hand() -> None:
    gan = supernets("paper")
    a, b = torch.rand(2, 2, 3, 32, 32, dtype=torch.float64) * 2 - 1
    shares = output_shares(gan, a, b)
    assert all(sum(slot) == pytest.approx(1) for slots in shares.values() for slot in slots)
    first = next(searched(gan, find_layout("paper").generator, "generator_ba"))[1].op
    assert isinstance(first, MixedOp)
    outputs = [w * op(b) for w, op in zip(first.alpha.softmax(0), first.ops.values(), strict=True)]
    variances = [one.detach().var((2, 3), correction=0).mean().item() for one in outputs]
    assert shares["generator_ba"][0] == pytest.approx([one / sum(variances) for one in variances], rel=1e-6)


def test_agreement_by_hand() -> None:
    one = random_architecture(find_layout("framed"), 0)
    other = replace(
        one,
        generator_ab=("conv3", *one.generator_ab[1:])
        if one.generator_ab[0] != "conv3"
        else ("conv4", *one.generator_ab[1:]),
    )
    third = random_architecture(find_layout("framed"), 1)
    found, typical = agreement([one, other, one])
    assert found.share == pytest.approx((51 / 52 + 1 + 51 / 52) / 3) and typical == 0
    assert found.chance == pytest.approx((2 * (2 / 8 + 18 / 5 + 2 / 3) + 8 / 8) / 52)
    assert agreement([third, one, other])[1] > 0


@pytest.fixture
def settings(tmp_path: Path) -> RunConfig:
    for seed, name in enumerate("ab"):
        write_images(tmp_path / name, 24, seed=seed, sides=(40, 40))
    flags = {"data.a": tmp_path / "a", "data.b": tmp_path / "b", "data.resolution": 32, "nets.width": 2}
    flags |= {"nets.discriminator_width": 2, "search.derive": "projection", "training.images": 4}
    return make_config("search", preset="tiny", flags=flags)


@pytest.mark.long
def test_a_search_by_projection_and_its_training(
    settings: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ganas.cyclegan.search.PROJECTION_IMAGES", 1)
    found = search(settings, tmp_path / "run")
    assert any("parameters" in line for line in found.spent)
    flags = {"data.a": tmp_path / "a", "data.b": tmp_path / "b", "data.resolution": 32, "nets.width": 2}
    flags |= {"nets.discriminator": "searched", "nets.discriminator_width": 2}
    flags |= {"training.inherit": tmp_path / "run", "training.images": 4}
    train(make_config("train", preset="tiny", flags=flags), found.architecture, tmp_path / "trained")
    (line,) = re.findall(r"inherited (\d+) of (\d+) tensors", (tmp_path / "trained" / "log.txt").read_text())
    assert line[0] == line[1]


def test_repeats_say_whether_seeds_agree(settings: RunConfig, tmp_path: Path) -> None:
    values = {"search.derive": "argmax", "data.split_seed": 0}
    settings = RunConfig.model_validate(settings.with_values(values).model_dump(by_alias=True))
    found = search(settings, tmp_path / "run", repeats=2)
    assert found.agreement and f"{found.agreement.share:.0%}" in found.verdict
    seeds = [search(settings.model_copy(update={"seed": seed}), tmp_path / f"seed-{seed}") for seed in (0, 1)]
    assert found.architecture in [one.architecture for one in seeds]
    assert found.agreement == agreement([one.architecture for one in seeds])[0]
    assert search(settings, tmp_path / "run", repeats=2) == found, "the same command again"
