"""Losses other than the adversarial ones (`ganas.learning.adversarial`), as pure functions of tensors."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional


def at_least_float32(x: Tensor) -> Tensor:
    """Convert bf16 to float32, in which losses are computed; wider types are unchanged."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def reconstruction(image: Tensor, original: Tensor) -> Tensor:
    """E[|image - original|]: the cycle-consistency loss (equation 2) and the identity loss (equation 3)."""
    return functional.l1_loss(image, original)


def zero_centered_penalty(scores: Tensor, images: Tensor) -> Tensor:
    """½ E[‖∇ₓ D(x)‖²] at real images plus the same at as many fake ones: R1 + R2 (Mescheder et al. 2018).

    images   [2n, ...], real and fake ones, which require a gradient
    scores   [2n, 1], the discriminator's, computed from them
    """
    (gradient,) = torch.autograd.grad(scores.sum(), images, create_graph=True)
    return gradient.square().sum() / len(images)


def gradient_penalty(discriminator: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """E[(‖∇ₓ D(x)‖ - 1)²] at images [n, ...] between real and fake ones, a norm per image (Gulrajani et al. 2017)."""
    x = images.detach().requires_grad_()
    scores = at_least_float32(discriminator(x))
    (gradient,) = torch.autograd.grad(scores.sum(), x, create_graph=True)
    excess: Tensor = torch.linalg.vector_norm(gradient.flatten(1), dim=1) - 1
    return excess.square().mean()
