"""Losses, against hand-computed values and PyTorch's."""

from math import exp, log, log1p

import pytest
import torch

from ganas.cyclegan.config import LossConfig
from ganas.growing import model as growing
from ganas.growing.architecture import GrowthArchitecture
from ganas.growing.config import GrowingLossConfig
from ganas.growing.model import GrownGAN
from ganas.learning.adversarial import ADVERSARIAL, Adversarial
from ganas.learning.losses import reconstruction
from small import noise, small_config, small_loop

NO_REALS = torch.empty(0)
every_game = pytest.mark.parametrize("name", ADVERSARIAL)


def scores(*values: float) -> torch.Tensor:
    """Raw scores as a discriminator gives them: [2, 1, 1, 1]."""
    return torch.tensor(values, dtype=torch.float64).reshape(-1, 1, 1, 1)


def fooled(name: str, real: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
    """The generator's loss, with the real scores only where it needs them."""
    return ADVERSARIAL[name].generator(real if ADVERSARIAL[name].needs_real else NO_REALS, fake)


@pytest.mark.parametrize(
    "name, real, fake, discriminator, generator",
    [
        ("lsgan", scores(1, 3), scores(1, -2), 0.5 * ((0 + 4) / 2 + (1 + 4) / 2), (0 + 9) / 2),
        ("hinge", scores(0.5, 3), scores(1, -2), 0.5 * ((0.5 + 0) / 2 + (2 + 0) / 2), 0.5),
        ("relativistic", scores(1, 3), scores(1, 2), (log(2) + log1p(exp(-1))) / 2, (log(2) + log1p(exp(1))) / 2),
    ],
)
def test_losses_equal_hand_computed_ones(
    name: str, real: torch.Tensor, fake: torch.Tensor, discriminator: float, generator: float
) -> None:
    assert ADVERSARIAL[name].discriminator(real, fake).item() == pytest.approx(discriminator, rel=1e-12)
    assert fooled(name, real, fake).item() == pytest.approx(generator, rel=1e-12)


def test_bce_is_the_binary_cross_entropy_of_logits() -> None:
    real, fake = torch.randn(2, 3, 1, 4, 4, dtype=torch.float64)
    bce = torch.nn.functional.binary_cross_entropy_with_logits
    expected = (bce(real, torch.ones_like(real)) + bce(fake, torch.zeros_like(fake))) / 2
    torch.testing.assert_close(ADVERSARIAL["bce"].discriminator(real, fake), expected)
    torch.testing.assert_close(ADVERSARIAL["bce"].generator(NO_REALS, fake), bce(fake, torch.ones_like(fake)))


@every_game
def test_both_sides_pull_a_fakes_score_in_opposite_directions(name: str) -> None:
    fake = torch.linspace(-0.9, 0.9, 9, requires_grad=True)
    (fools,) = torch.autograd.grad(fooled(name, torch.ones(9), fake), fake)
    (unmasks,) = torch.autograd.grad(ADVERSARIAL[name].discriminator(torch.ones(9), fake), fake)
    assert (fools < 0).all()  # descent raises the score
    assert (unmasks[fake > 0] > 0).all()


@every_game
@pytest.mark.parametrize("size", [1e4, -1e4])
def test_extreme_scores_give_finite_losses_and_gradients(name: str, size: float) -> None:
    real, fake = torch.full((2, 3), size, requires_grad=True), torch.full((2, 3), -size, requires_grad=True)
    loss = ADVERSARIAL[name].discriminator(real, fake) + fooled(name, real, fake)
    loss.backward()
    assert all(torch.isfinite(value).all() for value in (loss, real.grad, fake.grad))


def test_reconstruction_is_the_mean_absolute_difference() -> None:
    image, original = torch.tensor([[[[0.0, 1.0]]]]), torch.tensor([[[[0.5, -1.0]]]])
    assert reconstruction(image, original).item() == 1.25
    assert reconstruction(image, image).item() == 0


def test_a_relativistic_loss_is_one_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Relativistic average LSGAN (Jolicoeur-Martineau 2018), in both wings and in what configs accept."""

    def pull(up: torch.Tensor, down: torch.Tensor) -> torch.Tensor:
        return 0.5 * ((up - down.mean() - 1).square().mean() + (down - up.mean() + 1).square().mean())

    entry = Adversarial(lambda real, fake: pull(fake, real), pull, needs_real=True)
    monkeypatch.setitem(ADVERSARIAL, "ralsgan", entry)
    assert LossConfig(adversarial="ralsgan").adversarial == GrowingLossConfig(adversarial="ralsgan").adversarial
    config = small_config("resnet6")
    loop, _ = small_loop(config.model_copy(update={"loss": LossConfig(adversarial="ralsgan", pool=2)}))
    loop.step(*noise(loop.config))
    gan = GrownGAN(GrowthArchitecture(latent=4, channels=8))
    z, real = torch.randn(4, 4), torch.rand(4, 3, 8, 8)
    relativistic = GrowingLossConfig(adversarial="ralsgan")
    terms = growing.discriminator_loss(gan, real, z, torch.rand(4, 1, 1, 1), relativistic)
    torch.stack([*terms.values()]).sum().backward()
    growing.generator_loss(gan, z, lambda: real, relativistic)["generator"].backward()
    for network in (*loop.gan.children(), *gan.children()):
        gradients = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
        assert gradients and all(torch.isfinite(gradient).all() for gradient in gradients)
