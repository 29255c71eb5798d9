"""The losses of an unconditional GAN, against values worked out by hand."""

import pytest
import torch
from torch import Tensor

from ganas.growing.architecture import GrowthArchitecture
from ganas.growing.config import GrowingLossConfig
from ganas.growing.model import GrownGAN, blended, discriminator_loss, generator_loss
from ganas.learning.adversarial import ADVERSARIAL
from ganas.learning.losses import gradient_penalty

ARCHITECTURE = GrowthArchitecture(latent=5, channels=6).doubled()


def noise(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.fixture
def gan() -> GrownGAN:
    torch.manual_seed(0)
    return GrownGAN(ARCHITECTURE).double()


def test_the_gradient_penalty_and_its_gradient_of_a_quadratic_critic() -> None:
    """D(x) = a ‖x‖² / 2 has the gradient a·x, so the penalty is (a‖x‖ - 1)², and 2 (a‖x‖ - 1) ‖x‖ its derivative."""
    a = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    x = torch.tensor([[3.0, 4.0], [0.6, 0.8]], dtype=torch.float64)  # of norms 5 and 1
    penalty = gradient_penalty(lambda x: a * x.square().sum(1) / 2, x)
    assert penalty.item() == pytest.approx(((10 - 1) ** 2 + (2 - 1) ** 2) / 2, rel=1e-12)
    (slope,) = torch.autograd.grad(penalty, a)
    assert slope.item() == pytest.approx((2 * 9 * 5 + 2 * 1 * 1) / 2, rel=1e-12)


def test_the_gradient_penalty_takes_one_norm_per_image() -> None:
    """The norm is over all axes except the batch."""
    images = torch.ones(2, 3, 2, 2, dtype=torch.float64)
    assert gradient_penalty(lambda x: x.sum((1, 2, 3)), images).item() == pytest.approx((12**0.5 - 1) ** 2, rel=1e-12)


def test_the_terms_of_a_wgan(gan: GrownGAN) -> None:
    real, z, between = noise(4, 3, 16, 16), noise(4, 5), torch.rand(4, 1, 1, 1, dtype=torch.float64)
    config = GrowingLossConfig(gradient=7.0, drift=0.5)
    terms = discriminator_loss(gan, real, z, between, config)
    with torch.no_grad():
        fake = gan.generator(z)
        of_real, of_fake = gan.discriminator(real), gan.discriminator(fake)
    close = {"rtol": 1e-10, "atol": 1e-12}
    torch.testing.assert_close(terms["discriminator"], of_fake.mean() - of_real.mean(), **close)
    torch.testing.assert_close(terms["drift"], 0.5 * of_real.square().mean(), **close)
    penalty = gradient_penalty(gan.discriminator, between * real + (1 - between) * fake)
    torch.testing.assert_close(terms["gradient_penalty"], 7 * penalty, **close)
    fooled = generator_loss(gan, z, lambda: real, config)["generator"]
    torch.testing.assert_close(fooled, -of_fake.mean(), **close)


def test_the_terms_of_the_relativistic_loss(gan: GrownGAN) -> None:
    """R3GAN's losses and penalties, each image by itself."""
    real, z, between = noise(4, 3, 16, 16), noise(4, 5), torch.rand(4, 1, 1, 1, dtype=torch.float64)
    config = GrowingLossConfig(adversarial="relativistic", zero_centered=6.0)
    terms = discriminator_loss(gan, real, z, between, config)
    fake = gan.generator(z).detach()
    squares, scores = [], []
    for images in (real, fake):
        x = images.clone().requires_grad_()
        scores.append(gan.discriminator(x))
        (gradient,) = torch.autograd.grad(scores[-1].sum(), x, create_graph=True)
        squares.append(torch.stack([one.norm() ** 2 for one in gradient]).mean())
    of_real, of_fake = scores
    assert terms.keys() == {"discriminator", "zero_centered_penalty"}
    close = {"rtol": 1e-10, "atol": 1e-12}
    torch.testing.assert_close(terms["discriminator"], (1 + (of_fake - of_real).exp()).log().mean(), **close)
    torch.testing.assert_close(terms["zero_centered_penalty"], 3 * (squares[0] + squares[1]), **close)
    weights = [*gan.discriminator.parameters()]
    ours, theirs = (
        torch.autograd.grad(one, weights, allow_unused=True)
        for one in (terms["zero_centered_penalty"], 3 * (squares[0] + squares[1]))
    )
    for one, other in zip(ours, theirs, strict=True):
        assert (one is None) == (other is None)
        if one is not None and other is not None:
            torch.testing.assert_close(one, other, **close)
    fooled = generator_loss(gan, z, lambda: real, config)["generator"]
    torch.testing.assert_close(fooled, (1 + (of_real - of_fake).exp()).log().mean(), **close)


def test_the_zero_centered_penalty_in_bf16_is_near_that_in_float32() -> None:
    """The gradient is not scaled down by the batch before bf16 rounds it, and the norm is a sum in float32."""
    torch.manual_seed(0)
    gan = GrownGAN(ARCHITECTURE)
    real, z, between = noise(8, 3, 16, 16).float(), noise(8, 5).float(), torch.zeros(8, 1, 1, 1)
    config = GrowingLossConfig(adversarial="relativistic", zero_centered=6.0)
    terms = {}
    for bf16 in (False, True):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
            terms[bf16] = discriminator_loss(gan, real, z, between, config)["zero_centered_penalty"]
    assert terms[True].dtype == torch.float32
    assert terms[True].item() == pytest.approx(terms[False].item(), rel=0.02)


def test_the_critic_step_leaves_the_generator_alone(gan: GrownGAN) -> None:
    between = torch.zeros(4, 1, 1, 1).double()
    terms = discriminator_loss(gan, noise(4, 3, 16, 16), noise(4, 5), between, GrowingLossConfig())
    sum(terms.values(), torch.zeros(())).backward()
    assert all(parameter.grad is None for parameter in gan.generator.parameters())
    assert all(parameter.grad is not None for name, parameter in gan.discriminator.named_parameters())


@pytest.mark.parametrize("adversarial", ADVERSARIAL)
def test_a_weight_of_zero_removes_its_term(gan: GrownGAN, adversarial: str) -> None:
    config = GrowingLossConfig(adversarial=adversarial, gradient=0, drift=0, zero_centered=0)
    terms = discriminator_loss(gan, noise(4, 3, 16, 16), noise(4, 5), torch.zeros(4, 1, 1, 1), config)
    assert list(terms) == ["discriminator"]


def test_real_images_are_blended_as_the_networks_are() -> None:
    images = torch.arange(16.0).reshape(1, 1, 4, 4)
    coarse = torch.tensor([[2.5, 4.5], [10.5, 12.5]]).repeat_interleave(2, 0).repeat_interleave(2, 1)
    assert torch.equal(blended(images, 0)[0, 0], coarse)
    assert torch.equal(blended(images, 1), images)
    torch.testing.assert_close(blended(images, 0.25)[0, 0], 0.75 * coarse + 0.25 * images[0, 0])
