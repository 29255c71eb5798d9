"""Phases: who learns from what."""

import pytest
import torch
from torch import nn

from ganas.cyclegan.config import RunConfig, SearchConfig
from ganas.cyclegan.layout import NETWORKS
from ganas.cyclegan.mixed import draw, mixtures
from ganas.cyclegan.sampling import SAMPLERS
from ganas.cyclegan.steps import build_phases, open_pools
from ganas.learning.phases import Phase
from small import MIXTURES, noise, small_config, small_gan

CONFIGS = [small_config(name, SearchConfig() if layout.size > 1 else None) for name, layout in MIXTURES.items()]
every_config = pytest.mark.parametrize("config", CONFIGS, ids=MIXTURES)


@every_config
@pytest.mark.parametrize("mixing", ["merged", "naive"])
def test_every_alpha_and_weight_of_a_phases_networks_has_a_gradient_and_nothing_else(
    config: RunConfig, mixing: str
) -> None:
    config = config.model_copy(update={"nets": config.nets.model_copy(update={"mixing": mixing})})
    gan, random = small_gan(config), torch.Generator().manual_seed(0)
    learned: list[str] = []
    for phase in build_phases(gan, open_pools(config), config):
        gan.zero_grad()
        phase.freeze_others(gan)
        for name in NETWORKS:
            draw(gan.network(name), SAMPLERS["softmax"], 1.0, random)
        torch.stack([*phase.terms(noise(config), random).values()]).sum().backward()
        for name, parameter in gan.named_parameters():
            if name.startswith(phase.networks):
                assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), name
                assert parameter.grad.any() or name.endswith("bias"), name  # instance norm takes a bias away
            else:
                assert parameter.grad is None, name
        learned += phase.networks
    assert sorted(learned) == sorted(NETWORKS)


@every_config
def test_every_parameter_has_one_optimiser(config: RunConfig) -> None:
    gan = small_gan(config)
    phases = build_phases(gan, open_pools(config), config)
    for phase in phases:
        theirs = {id(parameter) for name in phase.networks for parameter in gan.network(name).parameters()}
        assert {id(parameter) for parameter in parameters(phase)} == theirs
    assert sum(len(parameters(phase)) for phase in phases) == len([*gan.parameters()])


def parameters(phase: Phase) -> list[nn.Parameter]:
    return [parameter for group in phase.optimizer.param_groups for parameter in group["params"]]


@pytest.mark.parametrize("alpha_lr, expected", [(None, 2e-4), (0.01, 0.01)])
def test_alphas_and_weights_share_one_adam_and_alphas_may_have_a_rate_of_their_own(
    alpha_lr: float | None, expected: float
) -> None:
    config = small_config("framed", SearchConfig(alpha_lr=alpha_lr))
    gan = small_gan(config)
    alphas = {id(mixed.alpha) for mixed in mixtures(gan)}
    for phase in build_phases(gan, open_pools(config), config):
        for group in phase.optimizer.param_groups:
            are_alphas = {id(parameter) in alphas for parameter in group["params"]}
            assert len(are_alphas) == 1
            assert group["lr"] == (expected if are_alphas == {True} else 2e-4)
            assert group["betas"] == (0.5, 0.999)
