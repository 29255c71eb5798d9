"""Losses as pure functions of tensors: those of a CycleGAN (CycleGANAS section 3.1) and of WGAN-GP (DGGAN).

Scores are raw: logits or values, [n, 1, h, w] or any shape; every loss is a mean, a scalar. A discriminator's loss is
the mean of its real and its fake half, as in Zhu et al. (2017); but for WGAN, where it is their difference.
"""

from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

AdversarialName = Literal["lsgan", "bce", "hinge", "wgan"]


class Adversarial(NamedTuple):
    """The two sides of an adversarial game."""

    generator: Callable[[Tensor], Tensor]  # scores of fakes -> loss
    discriminator: Callable[[Tensor, Tensor], Tensor]  # scores of reals, scores of fakes -> loss


def lsgan_generator(fake: Tensor) -> Tensor:
    """E[(D(fake) - 1)²] (Mao et al. 2017)."""
    return (fake - 1).square().mean()


def lsgan_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """½ E[(D(real) - 1)²] + ½ E[D(fake)²]."""
    return 0.5 * ((real - 1).square().mean() + fake.square().mean())


def bce_generator(fake: Tensor) -> Tensor:
    """-E[log σ(D(fake))]: equation 1 in its non-saturating form (Goodfellow et al. 2014)."""
    return functional.softplus(-fake).mean()


def bce_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """-½ E[log σ(D(real))] - ½ E[log(1 - σ(D(fake)))]: equation 1."""
    return 0.5 * (functional.softplus(-real).mean() + functional.softplus(fake).mean())


def hinge_generator(fake: Tensor) -> Tensor:
    """-E[D(fake)] (Lim and Ye 2017)."""
    return -fake.mean()


def hinge_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """½ E[max(0, 1 - D(real))] + ½ E[max(0, 1 + D(fake))]."""
    return 0.5 * (functional.relu(1 - real).mean() + functional.relu(1 + fake).mean())


def wgan_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """E[D(fake)] - E[D(real)] (Arjovsky et al. 2017); to be kept Lipschitz, as by `gradient_penalty`."""
    return fake.mean() - real.mean()


ADVERSARIAL: Mapping[AdversarialName, Adversarial] = {
    "lsgan": Adversarial(lsgan_generator, lsgan_discriminator),
    "bce": Adversarial(bce_generator, bce_discriminator),
    "hinge": Adversarial(hinge_generator, hinge_discriminator),
    "wgan": Adversarial(hinge_generator, wgan_discriminator),
}


def at_least_float32(x: Tensor) -> Tensor:
    """What a loss is computed of: maps of bf16 as float32, others as they are."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def reconstruction(image: Tensor, original: Tensor) -> Tensor:
    """E[|image - original|]: the cycle-consistency loss (equation 2) and the identity loss (equation 3)."""
    return functional.l1_loss(image, original)


def gradient_penalty(discriminator: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """E[(‖∇ₓ D(x)‖ - 1)²] at images [n, ...] between real and fake ones, one norm an image (Gulrajani et al. 2017)."""
    x = images.detach().requires_grad_()
    scores = at_least_float32(discriminator(x))
    (gradient,) = torch.autograd.grad(scores.sum(), x, create_graph=True)
    excess: Tensor = torch.linalg.vector_norm(gradient.flatten(1), dim=1) - 1
    return excess.square().mean()


def drift(real: Tensor) -> Tensor:
    """E[D(real)²]: keeps the scores of a WGAN near zero (Karras et al. 2018, appendix A.1)."""
    return real.square().mean()
