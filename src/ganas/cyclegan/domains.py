"""Open the two domains of a run, check them, and split them into training and held-out images."""

from dataclasses import dataclass, replace

from ganas.config import DataFacts
from ganas.cyclegan.config import RunConfig
from ganas.cyclegan.layout import LAYOUTS, Layout, find_layout
from ganas.data.loaders import split
from ganas.data.sources import MINIMUM_IMAGES, ImageSource, check_overlap, open_source
from ganas.data.tasks import other_resolution
from ganas.errors import ArchitectureError, ConfigError
from ganas.machine import check_device


@dataclass(frozen=True)
class Domains:
    """Training and held-out images of both domains."""

    a: ImageSource
    b: ImageSource
    held_out_a: ImageSource
    held_out_b: ImageSource
    facts: DataFacts  # of all images, held out or not

    @property
    def whole(self) -> tuple[ImageSource, ImageSource]:
        """All images of A and of B, held out or not."""
        return _joined(self.a, self.held_out_a), _joined(self.b, self.held_out_b)


def open_domains(config: RunConfig, layout: Layout) -> Domains:
    """Open and split both domains; raises `UserError` for a resolution, device or image that cannot be used."""
    layout.check_resolution(config.data.resolution)
    if config.nets.discriminator == "patchgan":
        if config.kind == "search":
            raise ConfigError(
                "nets.discriminator=patchgan is for ganas train: a search also searches the discriminators"
            )
        try:
            find_layout("resnet9").check_resolution(config.data.resolution)
        except ArchitectureError as error:
            raise ConfigError(f"nets.discriminator=patchgan: {error}, or --set nets.discriminator=searched") from None
    if config.kind == "search" and layout.size == 1:
        choices = ", ".join(name for name, other in LAYOUTS.items() if other.size > 1)
        raise ArchitectureError(f"layout {layout.name!r} has nothing to search: choose one of {choices}, or train it")
    check_device(config.training.device)
    data = config.data
    a, b = (
        open_source(
            path,
            skip_bad=data.skip_bad,
            minimum=MINIMUM_IMAGES,
            verify=data.verify,
            limit=data.limit,
            seed=config.split_seed,
            white=data.white,
            icc=data.icc,
        )
        for path in (data.a, data.b)
    )
    digest_a, digest_b = a.digest(), b.digest()
    if check_overlap(a, b) or digest_a == digest_b:
        b = replace(b, notes=(*b.notes, "A and B are the same images, so there is nothing to learn"))
    if warning := other_resolution(data.a, data.resolution, data.load_scale):
        a = replace(a, notes=(*a.notes, warning))
    (train_a, held_out_a), (train_b, held_out_b) = (_hold_out(source, config) for source in (a, b))
    digests = {"data.digest_a": digest_a, "data.digest_b": digest_b}
    return Domains(train_a, train_b, held_out_a, held_out_b, DataFacts(digests, max(len(train_a), len(train_b))))


def _joined(one: ImageSource, other: ImageSource) -> ImageSource:
    return replace(one, names=tuple(sorted((*one.names, *other.names))))


def _hold_out(source: ImageSource, config: RunConfig) -> tuple[ImageSource, ImageSource]:
    """Split a domain into images to train on, and up to `data.validation` others, at most a tenth."""
    training, held_out = split(len(source), config.data.held_out(len(source)), config.split_seed)
    return source.subset(training), source.subset(held_out)
