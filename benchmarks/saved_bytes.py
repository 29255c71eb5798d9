"""Bytes that the generators' forward passes keep for their backward pass, counted with saved-tensor hooks.

python benchmarks/saved_bytes.py [--resolution 256] [--width 16]

Both generators, the batch of translations and identities and the reconstructions, as in a search step. A tensor kept
several times counts once; parameters do not count, kernels summed out of them do.
"""

import torch
from contest import arguments, print_table
from steps import images, our_loop
from torch import Tensor

from ganas.cyclegan.layout import GENERATORS
from ganas.learning.loop import Loop, autocast


def saved_bytes(loop: Loop, resolution: int) -> int:
    """Of one generator phase, up to its losses."""
    parameters = {p.untyped_storage().data_ptr() for p in loop.gan.parameters()}
    storages: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in parameters:
            storages[storage.data_ptr()] = storage.nbytes()
        return tensor

    a, b = images(resolution, 1)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor), autocast(loop.config):
        loop._draw(GENERATORS, torch.Generator())
        translate_ab, translate_ba = (loop.gan.network(name) for name in GENERATORS)
        both_b, both_a = translate_ab(torch.cat((a, b))), translate_ba(torch.cat((b, a)))
        graph = translate_ba(both_b[:1]), translate_ab(both_a[:1])
    del graph
    return sum(storages.values())


def main() -> None:
    """Count and print."""
    given = arguments(__doc__, resolution=256, width=16.0)
    rows = []
    for layout in ("paper", "framed", "reference"):
        for precision in ("float32", "bf16"):
            common = {"width": given.width, "resolution": given.resolution, "precision": precision}
            merged, checkpointed, naive = (
                saved_bytes(our_loop("search", layout, **common, settings=(setting,)), given.resolution) / 1e6
                for setting in ("nets.mixing=merged", "training.checkpointing=true", "nets.mixing=naive")
            )
            rows.append(
                (
                    layout,
                    precision,
                    *(f"{n:.0f}" for n in (merged, naive)),
                    f"{merged / naive:.2f}",
                    f"{checkpointed:.0f}",
                )
            )
    print_table(("layout", "precision", "merged, MB", "naive, MB", "ratio", "merged and checkpointed, MB"), rows)


if __name__ == "__main__":
    main()
