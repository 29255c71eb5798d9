"""The networks of a run as its config asks for them, laid out so that the machine is fast at them."""

import warnings

import torch
from torch import Tensor, nn

from ganas.cyclegan.architecture import Architecture
from ganas.cyclegan.build import build, mixture
from ganas.cyclegan.config import RunConfig
from ganas.cyclegan.grouping import MOVE, Counted, Grouping, naive
from ganas.cyclegan.layout import GENERATORS, NETWORKS, Layout
from ganas.cyclegan.mixed import mixtures
from ganas.cyclegan.model import CycleGAN
from ganas.machine import keep_freed_memory

PASS = 1.5  # batches in one pass on the average: translations and identities are two, reconstructions one

MEMORY_FORMATS = {
    "auto": torch.channels_last,  # of a config that was not resolved
    "channels_last": torch.channels_last,
    "contiguous": torch.contiguous_format,
}


def open_gan(config: RunConfig, layout: Layout, architecture: Architecture | None) -> CycleGAN:
    """The four networks on their device, drawn from the run's seed; supernets without an architecture."""
    keep_freed_memory()
    nets, training = config.nets, config.training
    torch.set_num_threads(training.threads or 1)
    grouping = naive if architecture else open_grouping(config, layout)
    torch.manual_seed(config.seed)
    widths = {name: nets.width_of(name) for name in GENERATORS}
    gan = CycleGAN(layout, architecture, widths, nets.discriminator_width, grouping, nets.discriminator)
    gan.to(device=training.device)
    for name in NETWORKS:
        gan.network(name).lay_out(MEMORY_FORMATS[training.memory_format])
    if training.compile:  # which looks at the summed kernels, that are no leaves, and is warned of it
        warnings.filterwarnings("ignore", "The .grad attribute of a Tensor that is not a leaf Tensor")
    for name in GENERATORS:
        gan.network(name).checkpointing = training.checkpointing
        if training.compile:
            gan.network(name).cells.compile(dynamic=False)
    return gan


def open_grouping(config: RunConfig, layout: Layout) -> Grouping:
    """The grouping that `nets.mixing` asks for."""
    if config.nets.mixing == "naive":
        return naive
    return Counted(_pixels(config, layout), MOVE[config.training.precision])


def _pixels(config: RunConfig, layout: Layout) -> dict[tuple[str, str], float]:
    """(network, searched slot) -> pixels that its op puts out in one forward pass, on the average."""
    found: dict[tuple[str, str], float] = {}
    for name in NETWORKS:
        made: list[int] = []

        def note(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor, made: list[int] = made) -> None:
            made.append(output[:, 0].numel())

        network = layout.network(name)
        with torch.device("meta"), torch.no_grad():
            supernet = build(network, config.nets.width_of(name), mixture(name, naive))
            for mixed in mixtures(supernet):
                mixed.register_forward_hook(note)
            supernet(torch.empty(config.training.batch, 3, config.data.resolution, config.data.resolution))
        found |= {(name, slot.name): PASS * n for slot, n in zip(network.searched, made, strict=True)}
    return found
