"""How long each op of a generator's slots takes on this machine, measured once and kept in the run."""

import json
import time
from statistics import median

import torch
from torch import nn

from ganas.cyclegan.build import FilledSlot, build_op
from ganas.cyclegan.config import RunConfig
from ganas.cyclegan.layout import Layout, Slot
from ganas.cyclegan.size import sides
from ganas.document import parse_object
from ganas.learning.loop import autocast
from ganas.store import Run

ROUNDS = 7  # of which the median counts, after some to warm up
WARM_UP = 2
MEASURE_AGAIN = "take an intact copy of it, or remove it to measure again"

Latencies = dict[str, dict[str, int]]  # slot -> op -> microseconds


def slot_latencies(run: Run, config: RunConfig, layout: Layout, width: float) -> Latencies:
    """Microseconds of one image through each slot: op, norm and activation, at the run's resolution and precision.

    Their sum is 0.8 to 1.2 times what a network takes (LOG.md), near enough to choose by. Raises `RunError` for a
    damaged file.
    """
    known = _read(run)
    key = f"{width:g}"
    if key not in known:
        known[key] = measure_latencies(config, layout, width)
        run.write_text(run.latencies, json.dumps(known, indent=1) + "\n")
    return known[key]


def _read(run: Run) -> dict[str, Latencies]:
    if not run.latencies.is_file():
        return {}
    return parse_object(
        run.latencies.read_text(), repr(str(run.latencies)), "table of latencies", way_out=MEASURE_AGAIN
    )


@torch.no_grad()
def measure_latencies(config: RunConfig, layout: Layout, width: float) -> Latencies:
    """Anew; slots that are alike are measured once."""
    torch.set_num_threads(config.training.threads or 1)
    alike: dict[tuple[object, ...], int] = {}
    found: Latencies = {}
    for slot, side in zip(layout.generator.slots, sides(layout.generator, config.data.resolution), strict=True):
        found[slot.name] = {}
        for op in slot.ops:
            likeness = (op, side, slot.c_in, slot.c_out, slot.reflect, slot.norm, slot.activation)
            if likeness not in alike:
                alike[likeness] = _microseconds(slot, op, side, width, config)
            found[slot.name][op] = alike[likeness]
    return found


def _microseconds(slot: Slot, op: str, side: int, width: float, config: RunConfig) -> int:
    filled: nn.Module = FilledSlot(slot, width, lambda slot, c_in, c_out: build_op(op, c_in, c_out, slot))
    filled = filled.to(config.device).to(memory_format=torch.channels_last).eval()
    image = torch.rand(1, slot.c_in.at(width), side, side, device=config.device)
    image = image.to(memory_format=torch.channels_last)
    times = []
    for _ in range(WARM_UP + ROUNDS):
        began = time.perf_counter()
        with autocast(config):
            filled(image)
        if config.device.startswith("cuda"):
            torch.cuda.synchronize(config.device)
        times.append(time.perf_counter() - began)
    return max(1, round(1e6 * median(times[WARM_UP:])))
