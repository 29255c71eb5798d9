"""The four networks of a CycleGAN, their image pools, and the losses of one batch.

Images are float [n, 3, h, w] in [-1, 1]; a batch is n unpaired images of a and n of b.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ganas.cyclegan.architecture import Architecture
from ganas.cyclegan.build import Network, build, mixture, only_op, slot_modules
from ganas.cyclegan.config import DiscriminatorName, LossConfig
from ganas.cyclegan.elastic import ElasticNetwork, cropped, superkernels_of
from ganas.cyclegan.grouping import Grouping, merge_all
from ganas.cyclegan.layout import DISCRIMINATORS, GENERATORS, NETWORKS, ElasticLayout, Layout, find_layout
from ganas.cyclegan.mixed import mixtures
from ganas.learning.adversarial import ADVERSARIAL
from ganas.learning.losses import at_least_float32, reconstruction
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
        layout: Layout,  # structure of the four networks
        architecture: Architecture | None,  # the op of every slot; None: supernets
        width: float | Mapping[str, float],  # of both generators, or by name: encoders output 4 × width channels
        discriminator_width: float,  # channels of the first slot's output
        grouping: Grouping = merge_all,  # of supernets: which ops share a convolution
        discriminator: DiscriminatorName = "searched",  # patchgan: hand-made ones instead of the architecture's
    ) -> None:
        super().__init__()
        for name in NETWORKS:
            w = discriminator_width if name in DISCRIMINATORS else width[name] if isinstance(width, Mapping) else width
            network: nn.Module
            if name in DISCRIMINATORS and discriminator == "patchgan":
                network = build(PATCHGAN, w, only_op)
            elif architecture:
                network = build(layout.network(name).final(architecture.ops(name)), w, only_op)
            elif isinstance(elastic := layout.network(name), ElasticLayout):
                network = ElasticNetwork(elastic, w)
            else:
                network = build(layout.network(name), w, mixture(name, grouping))
            setattr(self, name, network)

    @property
    def generators(self) -> dict[str, Network]:
        return {name: self.network(name) for name in GENERATORS}

    def alphas(self) -> dict[str, list[nn.Parameter]]:
        """Return the alphas by network, from input to output: one [ops] parameter per searched slot."""
        return {name: [mixed.alpha for mixed in mixtures(self.network(name))] for name in NETWORKS}


def inherit_weights(gan: CycleGAN, architecture: Architecture, supernet: Mapping[str, Tensor]) -> tuple[int, int]:
    """Copy a supernet's weights of the chosen ops into final networks where shapes match: (tensors copied, total).

    `supernet` is a state dict of supernets of the same layout, of any width.
    """
    layout = find_layout(architecture.layout)
    state = gan.state_dict()
    if isinstance(layout.generator, ElasticLayout):
        return _inherit_elastic(gan, layout.generator, architecture, supernet)
    ops = {
        f"{network}.{path}": op
        for network in NETWORKS
        for path, op in slot_modules(layout.network(network), architecture.ops(network))
    }
    copied = {}
    for name, tensor in state.items():
        path = next((path for path in ops if name.startswith(f"{path}.")), None)
        # what the op can do of the mixture, or else its own weights
        kinds = [f"{path}.projected.{ops[path]}", f"{path}.ops.{ops[path]}"] if path else [""]
        sources = [f"{kind}{name.removeprefix(path or '')}" for kind in kinds]
        source = next((source for source in sources if source in supernet), name)
        if source in supernet and supernet[source].shape == tensor.shape:
            copied[name] = supernet[source]
    gan.load_state_dict(state | copied)
    return len(copied), len(state)


def _inherit_elastic(
    gan: CycleGAN, layout: ElasticLayout, architecture: Architecture, supernet: Mapping[str, Tensor]
) -> tuple[int, int]:
    """Copy crops of the superkernels into the generators, and the discriminators' weights if their shapes match."""
    state = gan.state_dict()
    crops = {}
    for generator in GENERATORS:
        for name, key in superkernels_of(layout, architecture.ops(generator), gan.network(generator)):
            kernel, shape = supernet.get(f"{generator}.superkernels.{key}"), state[f"{generator}.{name}"].shape
            if kernel is not None and all(has >= needs for has, needs in zip(kernel.shape, shape, strict=True)):
                crops[f"{generator}.{name}"] = cropped(kernel, shape)
    same = {name: supernet[name] for name in state if name in supernet and supernet[name].shape == state[name].shape}
    gan.load_state_dict(state | same | crops)
    return len(same | crops), len(state)


class ImagePool:
    """A history of the fakes shown to a discriminator (Shrivastava et al. 2017; 50 per domain in Zhu et al. 2017).

    Until it is full it returns its input; then each image is swapped for a stored one with probability ½.
    """

    def __init__(self, size: int) -> None:
        self.size = size  # images; 0: every image is returned unchanged
        self.images: list[Tensor] = []  # each [3, h, w]

    def exchange(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Store images [n, 3, h, w] and return as many, some of them older."""
        if self.size == 0:
            return images
        # a resumed pool is on the CPU
        return torch.stack([self._exchange(image, generator).to(images.device) for image in images.detach()])

    def _exchange(self, image: Tensor, generator: torch.Generator) -> Tensor:
        if len(self.images) < self.size:
            self.images.append(image)
            return image
        probability, index = torch.rand(2, generator=generator).tolist()
        if probability < 0.5:
            return image
        slot = int(index * self.size)
        older, self.images[slot] = self.images[slot], image
        return older

    def state_dict(self) -> dict[str, Any]:
        """Return the stored images, [n, 3, h, w], or an empty tensor."""
        return {"images": torch.stack(self.images) if self.images else torch.empty(0)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.images = list(state["images"].unbind())


class Fakes(NamedTuple):
    """The generator phase's translations of one batch, detached, for the discriminator phase."""

    a: Tensor  # [n, 3, h, w], b translated
    b: Tensor  # [n, 3, h, w], a translated


def generator_loss(
    gan: CycleGAN,
    a: Tensor,
    b: Tensor,
    config: LossConfig,
    # a generator's name, its translations and the outputs of its cells -> more terms
    compare: Callable[[str, Tensor, Sequence[Tensor]], Terms] | None = None,
) -> tuple[Terms, Fakes]:
    """Return the generators' terms of equation 4: adversarial, cycle and identity terms of [n, 3, h, w] batches.

    Each generator processes translation and identity inputs as one batch, which is exact with instance norm.
    """
    outputs: dict[str, list[Tensor] | None] = {name: [] if compare else None for name in GENERATORS}
    fake_b, same_b = _translate(gan.generator_ab, a, b, config.identity_ab > 0, outputs["generator_ab"])
    fake_a, same_a = _translate(gan.generator_ba, b, a, config.identity_ba > 0, outputs["generator_ba"])
    loss = ADVERSARIAL[config.adversarial]

    def adversarial_term(discriminator: Network, real: Tensor, fake: Tensor) -> Tensor:
        fake_scores = at_least_float32(discriminator(fake))
        real_scores = at_least_float32(discriminator(real)) if loss.needs_real else fake_scores.new_empty(0)
        return loss.generator(real_scores, fake_scores)

    terms = {
        "adversarial_ab": config.adversarial_ab * adversarial_term(gan.discriminator_b, b, fake_b),
        "adversarial_ba": config.adversarial_ba * adversarial_term(gan.discriminator_a, a, fake_a),
    }
    if config.cycle > 0:
        terms["cycle_a"] = config.cycle * reconstruction(at_least_float32(gan.generator_ba(fake_b)), a)
        terms["cycle_b"] = config.cycle * reconstruction(at_least_float32(gan.generator_ab(fake_a)), b)
    if same_b is not None:
        terms["identity_ab"] = config.identity_ab * reconstruction(at_least_float32(same_b), b)
    if same_a is not None:
        terms["identity_ba"] = config.identity_ba * reconstruction(at_least_float32(same_a), a)
    if compare:
        for name, fake in zip(GENERATORS, (fake_b, fake_a), strict=True):
            terms |= compare(name, fake, outputs[name] or ())
    return terms, Fakes(a=fake_a.detach(), b=fake_b.detach())


def _translate(
    generator: Network, source: Tensor, target: Tensor, identity: bool, outputs: list[Tensor] | None
) -> tuple[Tensor, Tensor | None]:
    """Return the translated source and, for the identity loss, the target through the same generator."""
    images = torch.cat((source, target)) if identity else source
    translated = generator(images) if outputs is None else generator(images, outputs)
    fake, same = translated.split((len(source), len(images) - len(source)))
    return fake, same if identity else None


def discriminator_loss(gan: CycleGAN, a: Tensor, b: Tensor, fakes: Fakes, config: LossConfig) -> Terms:
    """Return the discriminators' terms of equation 1: real images of their domain against fakes, both [n, 3, h, w]."""
    loss = ADVERSARIAL[config.adversarial]

    def term(discriminator: Network, real: Tensor, fake: Tensor) -> Tensor:
        scores = at_least_float32(discriminator(torch.cat((real, fake.to(real)))))
        return loss.discriminator(*torch.split(scores, [len(real), len(fake)]))

    return {
        "discriminator_a": term(gan.discriminator_a, a, fakes.a),
        "discriminator_b": term(gan.discriminator_b, b, fakes.b),
    }
