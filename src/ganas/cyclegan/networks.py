"""The networks of a run as its config asks for them, laid out so that the machine is fast at them."""

import warnings

import torch

from ganas.cyclegan.architecture import Architecture
from ganas.cyclegan.config import RunConfig
from ganas.cyclegan.grouping import naive
from ganas.cyclegan.layout import GENERATORS, NETWORKS, Layout
from ganas.cyclegan.model import CycleGAN
from ganas.cyclegan.tuning import open_grouping
from ganas.machine import keep_freed_memory
from ganas.store import Run

MEMORY_FORMATS = {
    "auto": torch.channels_last,  # of a config that was not resolved
    "channels_last": torch.channels_last,
    "contiguous": torch.contiguous_format,
}


def open_gan(config: RunConfig, layout: Layout, architecture: Architecture | None, run: Run | None = None) -> CycleGAN:
    """The four networks on their device, drawn from the run's seed; supernets without an architecture.

    With nets.mixing=timed, `run` is where the measurement is kept.
    """
    keep_freed_memory()
    nets, training = config.nets, config.training
    torch.set_num_threads(training.threads or 1)  # before anything is timed
    grouping = naive if architecture else open_grouping(run, config, layout)
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
