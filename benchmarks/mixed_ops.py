"""One slot's mixture in every name it can be merged: forward and backward, kernels summed once, milliseconds.

python benchmarks/mixed_ops.py [--resolutions 256 64] [--width 16] [--rounds 9] [--threads 2]

What the weights of `ganas.cyclegan.grouping` (MOVE_COST, CALL_COST) were set by.
"""

import time
from statistics import median

import torch
from contest import arguments, machine, print_table

from ganas.cyclegan.build import build, mixture
from ganas.cyclegan.grouping import GROUPINGS, naive
from ganas.cyclegan.layout import LAYOUTS
from ganas.cyclegan.mixed import MixedOp
from ganas.cyclegan.sampling import softmax_weights

SLOTS = (  # layout, network, place among the searched slots
    *(("framed", "generator", place) for place in (0, 1, 2, 20)),
    *(("framed", "discriminator", place) for place in (1, 2)),
    *(("reference", "discriminator", place) for place in (1, 3)),
)


def step(mixed: MixedOp, side: int, precision: str) -> None:
    """Two passes with one draw: of translations and identities, and of reconstructions."""
    c_in = mixed.ops["nearest"][1].in_channels if "nearest" in mixed.ops else mixed.ops["conv3"].in_channels
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bf16"):
        mixed.set_weights(softmax_weights(mixed.alpha))
        batches = [torch.ones(n, c_in, side, side).to(memory_format=torch.channels_last) for n in (2, 1)]
        outputs = [mixed(batch.requires_grad_()) for batch in batches]
    torch.autograd.backward(outputs, [torch.ones_like(output) for output in outputs])
    mixed.zero_grad()


def main() -> None:
    """Measure and print."""
    given = arguments(__doc__, resolutions=[256, 64], width=16.0)
    torch.set_num_threads(given.threads)
    groupings = {**GROUPINGS, "naive": naive}
    rows = []
    for resolution in given.resolutions:
        for layout, kind, place in SLOTS:
            network = getattr(LAYOUTS[layout], kind)
            width = given.width if kind == "generator" else 64
            built = {name: build(network, width, mixture("", grouping)) for name, grouping in groupings.items()}
            sides: list[int] = []
            searched = {name: [m for m in net.modules() if isinstance(m, MixedOp)] for name, net in built.items()}
            searched["naive"][place].register_forward_pre_hook(lambda _, x, sides=sides: sides.append(x[0].shape[2]))
            with torch.no_grad():
                built["naive"](torch.zeros(1, 3, resolution, resolution))
            for precision in ("float32", "bf16"):
                times: dict[str, list[float]] = {name: [] for name in groupings}
                for number in range(given.rounds + 2):
                    for name in groupings:
                        mixed = searched[name][place].to(memory_format=torch.channels_last)
                        began = time.perf_counter()
                        step(mixed, sides[0], precision)
                        if number >= 2:
                            times[name].append(1000 * (time.perf_counter() - began))
                slot = network.searched[place]
                what = f"{layout} {slot.name}, {slot.c_in.at(width)} → {slot.c_out.at(width)}, {sides[0]}²"
                rows.append((what, precision, *(f"{median(times[name]):.1f}" for name in groupings)))
    print_table(("slot", "precision", *(f"{name}, ms" for name in groupings)), rows)
    print(f"\n{machine(given.threads)}")


if __name__ == "__main__":
    main()
