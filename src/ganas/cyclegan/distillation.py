"""Distillation: generators also learn from the images and the features of a trained translator, their teacher.

To the generators' losses it adds L1 to the teacher's image and to its features at four depths (Li et al. 2020, GAN
Compression, who take the squared distance of features). Teacher and student differ in channels, so a 1×1 convolution
for each depth maps the student's features to the teacher's. These adapters are trained with the student and are no part
of it: a distilled generator is a generator like any other.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from ganas.cyclegan.architecture import Architecture
from ganas.cyclegan.config import RunConfig
from ganas.cyclegan.elastic import ElasticNetwork
from ganas.cyclegan.layout import DIRECTIONS, GENERATORS, ElasticLayout, NetworkLayout, find_layout
from ganas.cyclegan.model import CycleGAN
from ganas.cyclegan.translate import find_generator, load_generator, read_generator_info
from ganas.errors import RunError
from ganas.learning.losses import at_least_float32, reconstruction
from ganas.learning.phases import Terms

DEPTHS = 4  # of the compared features: at the end of the encoder, and a third, two thirds and all of the cells later

Compare = Callable[[str, Tensor, Sequence[Tensor]], Terms]


def with_teacher(config: RunConfig) -> RunConfig:
    """Fill in the digest of the teacher's generators; raises `RunError` unless it has one of each direction."""
    teacher = config.distillation.teacher
    if teacher is None:
        return config
    if teacher.is_file():
        raise RunError(f"--teacher {str(teacher)!r} is a file: give the run, which holds a generator of each direction")
    digest = hashlib.sha256()
    for direction in DIRECTIONS:
        file = find_generator(teacher, direction)
        read_generator_info(file)
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return config.with_values({"distillation.digest": digest.hexdigest()[:16]})


class Teacher:
    """One trained generator, which does not learn."""

    def __init__(self, file: Path, device: str, memory_format: torch.memory_format) -> None:
        network, info = load_generator(file)
        self.network = network.to(device).to_memory_format(memory_format).requires_grad_(False)
        layout = find_layout(info.layout).generator
        self._final = layout.final(info.ops)
        self._depths = compared_cells(self._final, count_cells(layout))
        last = [self._final.cells[cell].slots[-1] for cell in self._depths]
        self.channels = [slot.c_out.at(info.width) for slot in last]

    @torch.no_grad()
    def __call__(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Translate images [n, 3, h, w]; returns also the features, [n, c, h / 4, w / 4] each."""
        outputs: list[Tensor] = []
        translated = self.network(images, outputs)
        return translated, [outputs[cell] for cell in self._depths]


def count_cells(layout: NetworkLayout) -> int:
    """The residual cells of a layout; in an elastic one those that a choice may have."""
    return len({slot.name.partition(".")[0] for slot in layout.slots if slot.name.startswith("r")})


def compared_cells(final: NetworkLayout, count: int) -> list[int]:
    """The cells of a final network after which features are compared.

    count   residual cells of its layout: a cell that is left out has the output of the one before it
    """
    (encoder,) = (number for number, cell in enumerate(final.cells) if cell.slots[-1].scale == "down")
    numbers = [int(cell.slots[0].name[1:].partition(".")[0]) for cell in final.cells if cell.residual]
    depths = (round(count * third / (DEPTHS - 1)) for third in range(DEPTHS))
    return [encoder + sum(number <= depth for number in numbers) for depth in depths]


class Distillation:
    """The teachers of both generators, and the adapters of the features, which learn with the generators."""

    def __init__(self, gan: CycleGAN, architecture: Architecture | None, config: RunConfig) -> None:
        settings, layout = config.distillation, find_layout(config.nets.layout).generator
        assert settings.teacher
        self._gan, self._image, self._features = gan, settings.image, settings.features
        self.teachers: dict[str, Teacher] = {}
        self._depths: dict[str, list[int]] = {}  # of final networks
        self.adapters = nn.ModuleDict()
        generator = torch.Generator().manual_seed(config.seed)  # of their own: networks start as without a teacher
        for name, direction in zip(GENERATORS, DIRECTIONS, strict=True):
            file = find_generator(settings.teacher, direction)
            self.teachers[name] = teacher = Teacher(file, config.device, gan.network(name).memory_format)
            if isinstance(layout, ElasticLayout) and architecture is None:
                final = layout.final([slot.ops[-1] for slot in layout.slots])
            else:
                final = layout.final(architecture.ops(name) if architecture else ())
                self._depths[name] = compared_cells(final, count_cells(layout))
            channels = [
                final.cells[cell].slots[-1].c_out.at(config.nets.width_of(name))
                for cell in compared_cells(final, count_cells(layout))
            ]
            if self._features:
                pairs = zip(channels, teacher.channels, strict=True)
                self.adapters[name] = nn.ModuleList(_adapter(*pair, generator) for pair in pairs)
        self.adapters.to(config.device)

    def parameters(self) -> Iterator[nn.Parameter]:
        """What the generators' optimizer learns besides them."""
        return self.adapters.parameters()

    def state_dict(self) -> dict[str, Any]:
        return self.adapters.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.adapters.load_state_dict(state)

    def translators(self) -> dict[str, Callable[[Tensor], Tensor]]:
        """The teachers as functions of images [n, 3, h, w] in [-1, 1], by generator."""
        return {name: teacher.network for name, teacher in self.teachers.items()}

    def comparison(self, a: Tensor, b: Tensor) -> Compare:
        """Translate a batch [n, 3, h, w] of each domain by the teachers, once.

        The function that it returns gives the terms of one generator, from its name, its translation of the same images
        and the outputs of its cells, which may be of more images behind these.
        """
        if not self._image and not self._features:
            return lambda *_: {}
        answers = {name: self.teachers[name](images) for name, images in zip(GENERATORS, (a, b), strict=True)}

        def compare(name: str, image: Tensor, outputs: Sequence[Tensor]) -> Terms:
            wanted, features = answers[name]
            direction = name.removeprefix("generator_")
            terms = {}
            if self._image:
                distance = reconstruction(at_least_float32(image), at_least_float32(wanted))
                terms[f"distillation_image_{direction}"] = self._image * distance
            if self._features:
                adapters = cast(nn.ModuleList, self.adapters[name])
                distances = [
                    reconstruction(
                        at_least_float32(_adapted(outputs[cell][: len(image)], adapter)), at_least_float32(one)
                    )
                    for cell, adapter, one in zip(self._compared(name), adapters, features, strict=True)
                ]
                terms[f"distillation_features_{direction}"] = self._features * torch.stack(distances).mean()
            return terms

        return compare

    def _compared(self, name: str) -> list[int]:
        network = self._gan.network(name)
        if isinstance(network, ElasticNetwork):
            return compared_cells(network.layout.final(network.ops), count_cells(network.layout))
        return self._depths[name]


def _adapter(c_in: int, c_out: int, generator: torch.Generator) -> nn.Conv2d:
    """A 1×1 convolution that keeps the variance of normalized features at first."""
    adapter = nn.Conv2d(c_in, c_out, 1)
    with torch.no_grad():
        adapter.weight.normal_(0, c_in**-0.5, generator=generator)
        assert adapter.bias is not None
        adapter.bias.zero_()
    return adapter


def _adapted(features: Tensor, adapter: nn.Module) -> Tensor:
    """Apply an adapter to [n, c, h, w], which may be the first channels of those it was made for."""
    assert isinstance(adapter, nn.Conv2d)
    return functional.conv2d(features, adapter.weight[:, : features.shape[1]], adapter.bias)


def open_distillation(gan: CycleGAN, architecture: Architecture | None, config: RunConfig) -> Distillation | None:
    """Load the teachers of a run; None without."""
    return Distillation(gan, architecture, config) if config.distillation.teacher else None
