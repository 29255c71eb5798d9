"""An unconditional GAN: its generator and discriminator, and their losses on one batch.

Images are float [n, 3, r, r], real ones in [-1, 1]; z is [n, latent], standard normal.
"""

from collections.abc import Callable, Collection

import torch
from torch import Tensor

from ganas.growing.architecture import Side
from ganas.growing.autogan import GANArchitecture
from ganas.growing.config import GrowingLossConfig
from ganas.growing.networks import Discriminator, Generator, make_discriminator, make_generator
from ganas.layers import downsample, upsample
from ganas.learning.adversarial import ADVERSARIAL
from ganas.learning.losses import at_least_float32, gradient_penalty, zero_centered_penalty
from ganas.learning.phases import GAN, Terms


class GrownGAN(GAN):
    """The generator and the discriminator of one architecture."""

    generator: Generator
    discriminator: Discriminator

    def __init__(self, architecture: GANArchitecture, *, fading: Collection[Side] = ()) -> None:
        super().__init__()
        self.fading = tuple(fading)  # networks whose last layer is faded in
        self.generator = make_generator(architecture, fading="generator" in fading)
        self.discriminator = make_discriminator(architecture, fading="discriminator" in fading)

    @property
    def generators(self) -> dict[str, Generator]:
        """The networks that make images, by name."""
        return {"generator": self.generator}

    def blend(self, share: float) -> None:
        """Set the share of the newest layer, 0 to 1, in the networks that it is faded in to."""
        for side in self.fading:
            self.network(side).blend = share

    @property
    def doubled(self) -> float:
        """The share of the newest doubling in images: below 1 while it is faded in."""
        return self.generator.blend if self.generator.doubles else 1.0


def blended(images: Tensor, share: float) -> Tensor:
    """Real images during a fade-in: from downsampled and upsampled again (share 0) to unchanged (share 1)."""
    return images if share == 1 else torch.lerp(upsample(downsample(images)), images, share)


def generator_loss(gan: GrownGAN, z: Tensor, real: Callable[[], Tensor], config: GrowingLossConfig) -> Terms:
    """The generator's loss terms for z [n, latent]; `real` gives [n, 3, r, r] if the loss needs them."""
    loss = ADVERSARIAL[config.adversarial]
    of_fake = at_least_float32(gan.discriminator(gan.generator(z)))
    of_real = at_least_float32(gan.discriminator(real())) if loss.needs_real else of_fake.new_empty(0)
    return {"generator": loss.generator(of_real, of_fake)}


def discriminator_loss(
    gan: GrownGAN,
    real: Tensor,
    z: Tensor,
    between: Tensor,  # [n, 1, 1, 1] in [0, 1]: where the gradient is penalized; 1: at the real image
    config: GrowingLossConfig,
) -> Terms:
    """The discriminator's loss terms, without a gradient for the generator. Real and fake images share one pass."""
    with torch.no_grad():
        fake = gan.generator(z).to(real)
    both = torch.cat((real, fake)).requires_grad_(config.zero_centered > 0)
    scores = at_least_float32(gan.discriminator(both, batch=len(real)))
    of_real, of_fake = scores[: len(real)], scores[len(real) :]
    terms = {"discriminator": ADVERSARIAL[config.adversarial].discriminator(of_real, of_fake)}
    if config.zero_centered > 0:
        terms["zero_centered_penalty"] = config.zero_centered * zero_centered_penalty(scores, both)
    if config.gradient > 0:
        images = torch.lerp(fake, real, between)
        terms["gradient_penalty"] = config.gradient * gradient_penalty(gan.discriminator, images)
    if config.drift > 0:
        terms["drift"] = config.drift * of_real.square().mean()  # keeps scores near zero (Karras et al. 2018, A.1)
    return terms
