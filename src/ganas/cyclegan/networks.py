"""Build the networks of a run from its config, in the memory format that is fast on the machine."""

import warnings

import torch

from ganas.cyclegan.architecture import Architecture
from ganas.cyclegan.config import RunConfig
from ganas.cyclegan.grouping import MOVE_COST, CheapestGrouping, naive
from ganas.cyclegan.layout import GENERATORS, NETWORKS, Layout
from ganas.cyclegan.model import CycleGAN
from ganas.cyclegan.size import output_sides
from ganas.machine import keep_freed_memory, switch_off_tf32

BATCHES_PER_PASS = 1.5  # on average: translation and identity inputs are two batches, reconstructions one

MEMORY_FORMATS = {
    "auto": torch.channels_last,  # in an unresolved config
    "channels_last": torch.channels_last,
    "contiguous": torch.contiguous_format,
}


def open_gan(config: RunConfig, layout: Layout, architecture: Architecture | None) -> CycleGAN:
    """Build the four networks on their device from the run's seed; supernets if there is no architecture."""
    keep_freed_memory()
    switch_off_tf32(config.training.precision)
    nets, training = config.nets, config.training
    torch.set_num_threads(training.threads or 1)
    grouping = naive if architecture or nets.mixing == "naive" else _cheapest_grouping(config, layout)
    torch.manual_seed(config.seed)
    widths = {name: nets.width_of(name) for name in GENERATORS}
    gan = CycleGAN(layout, architecture, widths, nets.discriminator_width, grouping, nets.discriminator)
    gan.to(device=training.device)
    for name in NETWORKS:
        gan.network(name).to_memory_format(MEMORY_FORMATS[training.memory_format])
    if training.compile:  # the compiler reads .grad of the summed kernels, which are not leaf tensors
        warnings.filterwarnings("ignore", "The .grad attribute of a Tensor that is not a leaf Tensor")
    for name in GENERATORS:
        gan.network(name).checkpointing = training.checkpointing
        if training.compile:
            gan.network(name).cells.compile(dynamic=False)
    return gan


def _cheapest_grouping(config: RunConfig, layout: Layout) -> CheapestGrouping:
    batch = BATCHES_PER_PASS * config.training.batch
    pixels: dict[tuple[str, str], float] = {}  # mean output pixels of a forward pass, by network and slot
    for name in NETWORKS:
        network = layout.network(name)
        sides = output_sides(network, config.data.resolution)
        pixels |= {(name, slot.name): batch * side**2 for slot, side in zip(network.slots, sides, strict=True)}
    return CheapestGrouping(pixels, MOVE_COST[config.training.precision])
