"""The four networks of a CycleGAN, their image pools, and the generator and discriminator losses of one batch.

Generators are named by their direction, discriminators by the domain they judge. Images are float [n, 3, h, w] in
[-1, 1]; n pairs are a batch, a and b unpaired.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ganas.cyclegan.architecture import Architecture
from ganas.cyclegan.build import Choose, Network, build, mixture, one_op, slot_modules
from ganas.cyclegan.config import DiscriminatorName
from ganas.cyclegan.grouping import Grouping, whole
from ganas.cyclegan.layout import DISCRIMINATORS, GENERATORS, NETWORKS, Layout, find_layout
from ganas.cyclegan.mixed import mixtures
from ganas.learning.losses import ADVERSARIAL, AdversarialName, at_least_float32, reconstruction
from ganas.learning.phases import GAN, Terms

PATCHGAN = find_layout("resnet9").discriminator  # 70×70, Zhu et al. 2017


class CycleGAN(GAN):
    """Two generators and two discriminators: supernets, or the final networks of an architecture."""

    generator_ab: Network
    generator_ba: Network
    discriminator_a: Network
    discriminator_b: Network

    def __init__(
        self,
        layout: Layout,  # what the four networks look like
        architecture: Architecture | None,  # the op of every slot; None: supernets
        width: float | Mapping[str, float],  # of the generators, or of each: their encoders put out 4 × width channels
        discriminator_width: float,  # the first slot's channels
        grouping: Grouping = whole,  # of supernets: which ops of a slot share a convolution
        discriminator: DiscriminatorName = "searched",  # patchgan: hand-made ones in place of the architecture's
    ) -> None:
        super().__init__()
        for name in GENERATORS:
            own = width[name] if isinstance(width, Mapping) else width
            setattr(self, name, build(layout.generator, own, _choose(layout, architecture, name, grouping)))
        for name in DISCRIMINATORS:
            if discriminator == "patchgan":
                network, choose = PATCHGAN, one_op(PATCHGAN, ())
            else:
                network, choose = layout.discriminator, _choose(layout, architecture, name, grouping)
            setattr(self, name, build(network, discriminator_width, choose))

    def network(self, name: str) -> Network:
        """One of the four by its name."""
        return getattr(self, name)  # type: ignore[no-any-return]

    @property
    def generators(self) -> dict[str, Network]:
        """What makes images, by name."""
        return {name: self.network(name) for name in GENERATORS}

    def alphas(self) -> dict[str, list[nn.Parameter]]:
        """Architecture weights by network, from input to output: one [ops] parameter a searched slot."""
        return {name: [mixed.alpha for mixed in mixtures(self.network(name))] for name in NETWORKS}


def _choose(layout: Layout, architecture: Architecture | None, name: str, grouping: Grouping) -> Choose:
    return one_op(layout.network(name), architecture.ops(name)) if architecture else mixture(name, grouping)


def inherit(gan: CycleGAN, architecture: Architecture, supernet: Mapping[str, Tensor]) -> tuple[int, int]:
    """Copy a supernet's weights of the chosen ops into final networks wherever shapes agree: (copied, of all tensors).

    `supernet` is the state dict of the supernets of the same layout, of any width.
    """
    chosen = {
        f"{network}.{place}": op
        for network in NETWORKS
        for place, op in slot_modules(find_layout(architecture.layout).network(network), architecture.ops(network))
    }
    state = gan.state_dict()
    copied = {}
    for name, tensor in state.items():
        place = next((place for place in chosen if name.startswith(f"{place}.")), None)
        source = f"{place}.ops.{chosen[place]}{name.removeprefix(place)}" if place else name
        if source in supernet and supernet[source].shape == tensor.shape:
            copied[name] = supernet[source]
    gan.load_state_dict(state | copied)
    return len(copied), len(state)


class ImagePool:
    """The last fakes shown to a discriminator (Shrivastava et al. 2017; 50 images a domain in Zhu et al. 2017).

    Fills first and returns what it was given; afterwards each image is, with probability ½, exchanged for a stored one.
    """

    def __init__(self, size: int) -> None:
        self.size = size  # images; 0: every image is returned as it came
        self.images: list[Tensor] = []  # each [3, h, w]

    def exchange(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Images [n, 3, h, w] -> as many, some of them older."""
        if self.size == 0:
            return images
        # a resumed pool was read on the CPU
        return torch.stack([self._exchange(image, generator).to(images.device) for image in images.detach()])

    def _exchange(self, image: Tensor, generator: torch.Generator) -> Tensor:
        if len(self.images) < self.size:
            self.images.append(image)
            return image
        keep, index = torch.rand(2, generator=generator).tolist()
        if keep < 0.5:
            return image
        place = int(index * self.size)
        older, self.images[place] = self.images[place], image
        return older

    def state_dict(self) -> dict[str, Any]:
        """The stored images, [n, 3, h, w], or an empty tensor."""
        return {"images": torch.stack(self.images) if self.images else torch.empty(0)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` gave."""
        self.images = list(state["images"].unbind())


class LossWeights(NamedTuple):
    """λ of equation 4, in the paper's order."""

    adversarial_ab: float = 1.0
    adversarial_ba: float = 1.0
    cycle: float = 10.0
    identity_ab: float = 5.0
    identity_ba: float = 5.0


class Fakes(NamedTuple):
    """What the generator phase made of one batch, without graph: the discriminators learn from it."""

    a: Tensor  # [n, 3, h, w], b translated
    b: Tensor  # [n, 3, h, w], a translated


def generator_loss(
    gan: CycleGAN,
    a: Tensor,
    b: Tensor,
    *,
    adversarial: AdversarialName,
    weights: LossWeights,
) -> tuple[Terms, Fakes]:
    """Equation 4 as the generators see it: adversarial, cycle and identity terms of [n, 3, h, w] batches.

    Translation and identity of one generator go through it as one batch: instance norm makes that exact.
    """
    fake_b, same_b = _translate(gan.generator_ab, a, b, identity=weights.identity_ab > 0)
    fake_a, same_a = _translate(gan.generator_ba, b, a, identity=weights.identity_ba > 0)
    fool = ADVERSARIAL[adversarial].generator
    terms = {
        "adversarial_ab": weights.adversarial_ab * fool(at_least_float32(gan.discriminator_b(fake_b))),
        "adversarial_ba": weights.adversarial_ba * fool(at_least_float32(gan.discriminator_a(fake_a))),
    }
    if weights.cycle > 0:
        terms["cycle_a"] = weights.cycle * reconstruction(at_least_float32(gan.generator_ba(fake_b)), a)
        terms["cycle_b"] = weights.cycle * reconstruction(at_least_float32(gan.generator_ab(fake_a)), b)
    if same_b is not None:
        terms["identity_ab"] = weights.identity_ab * reconstruction(at_least_float32(same_b), b)
    if same_a is not None:
        terms["identity_ba"] = weights.identity_ba * reconstruction(at_least_float32(same_a), a)
    return terms, Fakes(a=fake_a.detach(), b=fake_b.detach())


def _translate(generator: Network, source: Tensor, target: Tensor, *, identity: bool) -> tuple[Tensor, Tensor | None]:
    """The translated source and, for the identity loss, the target sent through the same generator."""
    if not identity:
        return generator(source), None
    fake, same = generator(torch.cat((source, target))).split((len(source), len(target)))
    return fake, same


def discriminator_loss(
    gan: CycleGAN,
    a: Tensor,
    b: Tensor,
    fakes: Fakes,
    *,
    adversarial: AdversarialName,
) -> Terms:
    """Equation 1 as each discriminator sees it: reals of its domain against fakes, both [n, 3, h, w]."""
    judge = ADVERSARIAL[adversarial].discriminator

    def term(discriminator: Network, real: Tensor, fake: Tensor) -> Tensor:
        scores = at_least_float32(discriminator(torch.cat((real, fake.to(real)))))
        return judge(*torch.split(scores, [len(real), len(fake)]))

    return {
        "discriminator_a": term(gan.discriminator_a, a, fakes.a),
        "discriminator_b": term(gan.discriminator_b, b, fakes.b),
    }
