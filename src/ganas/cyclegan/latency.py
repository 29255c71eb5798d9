"""Latency of each op in the slots of a generator, measured on this machine once and stored in the run."""

import json
from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial

import torch
from torch import Tensor

from ganas.cyclegan.build import SlotModule, only_op
from ganas.cyclegan.config import RunConfig
from ganas.cyclegan.layout import Layout, Slot
from ganas.cyclegan.networks import MEMORY_FORMATS
from ganas.cyclegan.size import input_sides
from ganas.document import parse_object
from ganas.learning.loop import autocast
from ganas.learning.timing import median_seconds
from ganas.machine import keep_freed_memory
from ganas.store import Run

WARM_UP, REPEATS = 2, 7

Latencies = dict[str, dict[str, int]]  # slot -> op -> microseconds


def load_latencies(run: Run, config: RunConfig, layout: Layout, width: float) -> Latencies:
    """Return microseconds per image of each slot (op, norm, activation) at the run's resolution and precision.

    Measured if the run does not have them. Their sum is 0.8 to 1.2 times the time of the network (LOG.md), close
    enough to compare ops. Raises `RunError` for a damaged file.
    """
    file, tables = run.latencies, {}
    if file.is_file():
        way_out = "take an intact copy of it, or remove it to measure again"
        tables = parse_object(file.read_text(), repr(str(file)), "table of latencies", way_out=way_out)
    key = f"{width:g}"
    if key not in tables:
        tables[key] = measure_latencies(config, layout, width)
        run.write_text(file, json.dumps(tables, indent=1) + "\n")
    return tables[key]  # type: ignore[no-any-return]


@torch.no_grad()
def measure_latencies(config: RunConfig, layout: Layout, width: float) -> Latencies:
    """Measure every op in every slot; equal slots are measured once."""
    torch.set_num_threads(config.training.threads or 1)
    keep_freed_memory()  # as in training
    measure = cache(partial(_microseconds, width=width, config=config))
    return {
        slot.name: {op: measure(replace(slot, name="", ops=(op,)), side) for op in slot.ops}
        for slot, side in zip(
            layout.generator.slots, input_sides(layout.generator, config.data.resolution), strict=True
        )
    }


def _microseconds(slot: Slot, side: int, *, width: float, config: RunConfig) -> int:
    call = slot_call(slot, side, width, config.device, MEMORY_FORMATS[config.training.memory_format])

    def run() -> None:
        with autocast(config):
            call()

    return max(1, round(1e6 * median_seconds(run, config.device, WARM_UP, REPEATS)))


def slot_call(
    slot: Slot, side: int, width: float, device: str = "cpu", memory_format: torch.memory_format = torch.channels_last
) -> Callable[[], Tensor]:
    """What is timed of a slot with one op: its module, of an image of side × side."""
    module = SlotModule(slot, width, only_op).to(device).to(memory_format=memory_format).eval()
    image = torch.rand(1, slot.c_in.at(width), side, side, device=device).to(memory_format=memory_format)
    return partial(module, image)
