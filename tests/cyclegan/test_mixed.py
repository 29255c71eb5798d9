"""The mixed operation and its draws: softmax over alpha, or Gumbel over softmax(alpha)."""

import pytest
import torch
from torch import Tensor, nn

from ganas.cyclegan.build import build, mixture
from ganas.cyclegan.grouping import merge_all
from ganas.cyclegan.layout import LAYOUTS
from ganas.cyclegan.mixed import MixedOp, draw, mixtures, use_mean_weights
from ganas.cyclegan.sampling import SAMPLERS, gumbel_weights


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def supernet() -> nn.Module:
    torch.manual_seed(0)
    network = build(LAYOUTS["framed"].discriminator, 1, mixture("generator_ab", merge_all))
    with torch.no_grad():
        for mixed in mixtures(network):
            mixed.alpha.normal_()
    return network


def weights(network: nn.Module) -> Tensor:
    """The current draw of every slot: [slots, ops]."""
    return torch.stack([mixed.weights for mixed in mixtures(network)])


def test_a_mixture_is_the_weighted_sum_of_its_ops() -> None:
    mixed = MixedOp({"identity": nn.Identity(), "relu": nn.ReLU()})
    mixed.set_weights(torch.tensor([0.25, 2.0]))
    assert mixed(torch.tensor([-4.0, 3.0])).tolist() == [-1.0, 6.75]


@pytest.mark.parametrize("sampling", SAMPLERS)
@pytest.mark.parametrize("temperature", [5.0, 0.1])
def test_weights_of_a_slot_are_positive_and_sum_to_one(sampling: str, temperature: float) -> None:
    network = supernet()
    draw(network, SAMPLERS[sampling], temperature, seeded())
    assert (weights(network) >= 0).all()
    torch.testing.assert_close(weights(network).sum(dim=1), torch.ones(4))


@pytest.mark.parametrize("sampling", SAMPLERS)
def test_a_draw_depends_on_its_generator_alone_and_leaves_the_global_one(sampling: str) -> None:
    network = supernet()
    draw(network, SAMPLERS[sampling], 1.0, seeded(1))
    first = weights(network)
    torch.manual_seed(9)
    state = torch.random.get_rng_state()
    draw(network, SAMPLERS[sampling], 1.0, seeded(1))
    assert torch.equal(weights(network), first)
    assert torch.equal(torch.random.get_rng_state(), state)
    draw(network, SAMPLERS[sampling], 1.0, seeded(2))
    assert torch.equal(weights(network), first) == (sampling == "softmax")


@pytest.mark.parametrize("sampling", SAMPLERS)
def test_alphas_learn_from_a_draw_and_not_from_means(sampling: str) -> None:
    network = supernet()
    draw(network, SAMPLERS[sampling], 1.0, seeded())
    assert weights(network).requires_grad
    use_mean_weights(network)
    assert not weights(network).requires_grad
    alphas = torch.stack([mixed.alpha for mixed in mixtures(network)])
    torch.testing.assert_close(weights(network), torch.softmax(alphas, dim=1).detach())


def test_the_leading_op_of_gumbel_samples_follows_the_softmax_of_the_softmax() -> None:
    alpha, generator, draws = torch.tensor([2.0, 0.0, -1.0, 1.0]), seeded(), 4000
    samples = torch.stack([gumbel_weights(alpha, 0.1, generator) for _ in range(draws)])
    expected = torch.softmax(torch.softmax(alpha, dim=0), dim=0)
    frequencies = samples.argmax(dim=1).bincount(minlength=4) / draws
    assert ((frequencies - expected).abs() < 4 * (expected * (1 - expected) / draws).sqrt()).all()


def test_gumbel_samples_are_nearly_one_hot_when_cold_and_nearly_uniform_when_hot() -> None:
    alpha = torch.zeros(5)
    cold = torch.stack([gumbel_weights(alpha, 0.01, seeded(seed)) for seed in range(100)])
    hot = torch.stack([gumbel_weights(alpha, 1000.0, seeded(seed)) for seed in range(100)])
    assert cold.amax(dim=1).median() > 0.999
    torch.testing.assert_close(hot, torch.full_like(hot, 0.2), atol=0.01, rtol=0)
