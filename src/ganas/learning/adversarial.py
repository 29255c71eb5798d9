"""Adversarial losses as pure functions of scores, in one table. No torch: configs derive their choices from it.

Scores are raw: logits or values, [n, 1, h, w] or any shape; every loss is a mean, a scalar. A discriminator's loss is
the mean of its real and its fake half, as in Zhu et al. (2017); but for WGAN, where it is their difference.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    Loss = Callable[[Tensor, Tensor], Tensor]  # scores of reals, scores of fakes -> loss


@dataclass(frozen=True)
class Adversarial:
    """The two sides of an adversarial game, and what they need."""

    generator: "Loss"
    discriminator: "Loss"
    needs_real: bool = False  # the generator's loss looks at real scores too; otherwise they are empty, never computed
    needs_penalty: bool = False  # only for a discriminator that is kept Lipschitz, as by a gradient penalty


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


ADVERSARIAL = {
    "lsgan": Adversarial(lsgan_generator, lsgan_discriminator),
    "bce": Adversarial(bce_generator, bce_discriminator),
    "hinge": Adversarial(hinge_generator, hinge_discriminator),
    "wgan": Adversarial(hinge_generator, wgan_discriminator, needs_penalty=True),
}


def adversarial_names(*, penalty: bool) -> list[str]:
    """The losses to choose from, with or without a gradient penalty beside them."""
    return [name for name, loss in ADVERSARIAL.items() if penalty or not loss.needs_penalty]
