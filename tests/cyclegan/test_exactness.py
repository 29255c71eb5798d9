"""A merged search is the naive one: at states along it, and in its alphas over its first steps."""

from typing import Literal

import pytest
import torch
from torch import Tensor

from ganas.cyclegan.config import LossConfig, SearchConfig
from ganas.cyclegan.grouping import merge_all, naive, split_dilated
from ganas.cyclegan.layout import LAYOUTS, NETWORKS
from ganas.cyclegan.mixed import draw, mixtures
from ganas.cyclegan.model import CycleGAN, discriminator_loss, generator_loss
from ganas.cyclegan.sampling import SAMPLERS
from ganas.learning.loop import Loop
from small import noise, small_config, small_loop

STATES = (0, 4, 9)  # steps before which outputs and gradients are compared

every_search = pytest.mark.parametrize(
    "layout, sampling, steps", [("framed", "softmax", 10), ("paper", "gumbel", 10), ("reference", "gumbel", 5)]
)


def double_loop(layout: str, sampling: str, mixing: Literal["merged", "naive"]) -> Loop:
    search = SearchConfig(sampling=sampling, alpha_lr=0.02)
    loop, _ = small_loop(small_config(layout, search, mixing, images=40))
    loop.gan.double()  # in place: the optimizers keep their parameters
    return loop


def gradients(gan: CycleGAN, sampling: str, batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
    """Outputs and every gradient of one step's losses."""
    gan.eval()  # no power iteration: the states are compared as they are
    gan.zero_grad()
    for network in gan.children():
        draw(network, SAMPLERS[sampling], 1.0, torch.Generator().manual_seed(0))
    terms, fakes = generator_loss(gan, *batch, LossConfig())
    terms |= discriminator_loss(gan, *batch, fakes, LossConfig())
    torch.stack([term.double() for term in terms.values()]).sum().backward()
    found = {f"fake {domain}": fake for domain, fake in fakes._asdict().items()}
    for name in NETWORKS:
        parameters = dict(gan.network(name).named_parameters())
        # biases in front of an instance norm have no gradient but rounding: they are measured by the largest of all
        biases = [p.grad.flatten() for key, p in parameters.items() if key.endswith("bias")]
        found[f"{name} biases"] = torch.cat(biases)
        found |= {f"{name}.{key}": p.grad for key, p in parameters.items() if not key.endswith("bias")}
    return {name: tensor.detach().clone() for name, tensor in found.items()}


@every_search
def test_a_merged_search_is_the_naive_one(layout: str, sampling: str, steps: int) -> None:
    """Its alphas over its first steps, and outputs and gradients at states along them, in every grouping."""
    loops = [double_loop(layout, sampling, "naive"), double_loop(layout, sampling, "merged")]
    expected_gan, *gans = (
        CycleGAN(LAYOUTS[layout], None, 2, 2, kind).double() for kind in (naive, merge_all, split_dilated)
    )
    for number in range(steps):
        batch = tuple(domain.double() for domain in noise(loops[0].config, number))
        if number in STATES:
            state = loops[0].gan.state_dict()
            expected_gan.load_state_dict(state)
            expected = gradients(expected_gan, sampling, batch)
            for gan in gans:
                gan.load_state_dict(state)
                for name, found in gradients(gan, sampling, batch).items():
                    error = (found - expected[name]).abs().max()
                    assert error <= 1e-10 * expected[name].abs().max(), (number, name)
        for loop in loops:
            loop.step(*batch)
        alphas = [torch.cat([m.alpha for n in loop.gan.children() for m in mixtures(n)]) for loop in loops]
        torch.testing.assert_close(*alphas, rtol=0, atol=1e-10)
    assert (alphas[0] - alphas[0].mean()).abs().max() > 0.02, "the alphas have moved"
