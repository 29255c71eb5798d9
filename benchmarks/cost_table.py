"""Seconds a step against resolution, width and batch, and what `--dry-run` says of the same.

python benchmarks/cost_table.py [--resolutions 64 128 256 512] [--rounds 5] [--threads 2] [--precision bf16]
"""

from statistics import median

import torch
from contest import Contender, arguments, contest, machine, print_table
from steps import our_loop, ours

from ganas.cyclegan.architecture import Architecture
from ganas.cyclegan.cost import measure_cost
from ganas.cyclegan.layout import find_layout

RUNS = (  # kind, layout, width, discriminators' width
    *(("search", "framed", width, 64) for width in (8, 16)),
    *(("train", "resnet9", width, 64) for width in (16, 32, 64)),
)
BATCHES = (1, 4)
LARGEST = 256 * 256 * 4  # pixels a batch: beyond, one image is enough to know


def main() -> None:
    """Measure and print."""
    given = arguments(__doc__, resolutions=[64, 128, 256, 512], precision="bf16")
    rows = []
    for kind, layout, width, discriminator_width in RUNS:
        for resolution in given.resolutions:
            for batch in BATCHES if resolution**2 * max(BATCHES) <= LARGEST else BATCHES[:1]:
                options = {"kind": kind, "layout": layout, "width": width, "discriminator_width": discriminator_width}
                options |= {"resolution": resolution, "precision": given.precision, "batch": batch}
                measured = median(contest({"run": Contender(ours, options)}, given.rounds, given.threads)["run"])
                torch.set_num_threads(given.threads)
                config = our_loop(**options).config  # type: ignore[arg-type]
                architecture = None if kind == "search" else Architecture(layout)
                dry = measure_cost(config, find_layout(layout), architecture)
                rows.append(
                    (
                        *(kind, layout, width, f"{resolution}²", batch, f"{measured:.2f}", f"{batch / measured:.2g}"),
                        *(f"{dry.step_seconds:.2f}", f"{dry.step_seconds / measured - 1:+.0%}"),
                        f"{dry.memory_bytes / 10**6:,.0f}",
                    )
                )
    header = ("step", "layout", "width", "size", "batch", "seconds", "pairs a second", "--dry-run says", "off by")
    print_table((*header, "memory, MB (--dry-run)"), rows)
    print(f"\n{given.precision}, discriminators 64; {machine(given.threads)}")


if __name__ == "__main__":
    main()
