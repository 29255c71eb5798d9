"""Adversarial losses as pure functions of scores, in one table. No torch: configs derive their choices from it.

Scores are raw logits or values of any shape, such as [n, 1, h, w]; every loss is a scalar, the mean. A discriminator's
loss is the mean of its real and its fake half, as in Zhu et al. (2017); WGAN and the relativistic loss compare the two.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    Loss = Callable[[Tensor, Tensor], Tensor]  # scores of real images, of fake images -> loss


@dataclass(frozen=True)
class Adversarial:
    """The two sides of an adversarial game, and what they need."""

    generator: "Loss"
    discriminator: "Loss"
    needs_real: bool = False  # by the generator's loss; if not, it gets an empty tensor of real scores
    needs_penalty: bool = False  # requires a smooth discriminator, by a gradient penalty


def lsgan_generator(real: "Tensor", fake: "Tensor") -> "Tensor":
    """E[(D(fake) - 1)²] (Mao et al. 2017)."""
    return (fake - 1).square().mean()


def lsgan_discriminator(real: "Tensor", fake: "Tensor") -> "Tensor":
    """½ E[(D(real) - 1)²] + ½ E[D(fake)²]."""
    return 0.5 * ((real - 1).square().mean() + fake.square().mean())


def bce_generator(real: "Tensor", fake: "Tensor") -> "Tensor":
    """-E[log σ(D(fake))]: equation 1 in its non-saturating form (Goodfellow et al. 2014)."""
    from torch.nn.functional import softplus

    return softplus(-fake).mean()


def bce_discriminator(real: "Tensor", fake: "Tensor") -> "Tensor":
    """-½ E[log σ(D(real))] - ½ E[log(1 - σ(D(fake)))]: equation 1."""
    from torch.nn.functional import softplus

    return 0.5 * (softplus(-real).mean() + softplus(fake).mean())


def hinge_generator(real: "Tensor", fake: "Tensor") -> "Tensor":
    """-E[D(fake)] (Lim and Ye 2017)."""
    return -fake.mean()


def hinge_discriminator(real: "Tensor", fake: "Tensor") -> "Tensor":
    """½ E[max(0, 1 - D(real))] + ½ E[max(0, 1 + D(fake))]."""
    return 0.5 * ((1 - real).relu().mean() + (1 + fake).relu().mean())


def wgan_discriminator(real: "Tensor", fake: "Tensor") -> "Tensor":
    """E[D(fake)] - E[D(real)] (Arjovsky et al. 2017)."""
    return fake.mean() - real.mean()


def relativistic_generator(real: "Tensor", fake: "Tensor") -> "Tensor":
    """E[softplus(D(real) - D(fake))]: each fake is to look more real than a real image (Jolicoeur-Martineau 2019)."""
    from torch.nn.functional import softplus

    return softplus(real - fake).mean()


def relativistic_discriminator(real: "Tensor", fake: "Tensor") -> "Tensor":
    """E[softplus(D(fake) - D(real))], over pairs of a real and a fake image."""
    return relativistic_generator(fake, real)


ADVERSARIAL = {
    "lsgan": Adversarial(lsgan_generator, lsgan_discriminator),
    "bce": Adversarial(bce_generator, bce_discriminator),
    "hinge": Adversarial(hinge_generator, hinge_discriminator),
    "wgan": Adversarial(hinge_generator, wgan_discriminator, needs_penalty=True),
    # with zero-centered penalties: R3GAN (Huang et al. 2024)
    "relativistic": Adversarial(
        relativistic_generator, relativistic_discriminator, needs_real=True, needs_penalty=True
    ),
}


def adversarial_names(*, penalty: bool) -> list[str]:
    """The losses to choose from, with or without a gradient penalty."""
    return [name for name, loss in ADVERSARIAL.items() if penalty or not loss.needs_penalty]
