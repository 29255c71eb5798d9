"""A search step beside the training step of the hand-made CycleGAN: searching should cost less than training.

python benchmarks/step_vs_handmade.py [--resolutions 256 64] [--width 16] [--rounds 7] [--threads 2]
"""

from contest import Contender, arguments, contest, machine, print_table, row
from steps import ours

HANDMADE = 64  # width of the CycleGAN as published


def main() -> None:
    """Measure and print."""
    given = arguments(__doc__, resolutions=[256, 64], width=16.0)
    rows = []
    for resolution in given.resolutions:
        for precision in ("float32", "bf16"):
            common = {"resolution": resolution, "precision": precision}
            contenders = {
                layout: Contender(ours, common | {"kind": "search", "layout": layout, "width": given.width})
                for layout in ("paper", "framed")
            }
            training = common | {"kind": "train", "layout": "resnet9", "width": HANDMADE}
            seconds = contest(contenders | {"training": Contender(ours, training)}, given.rounds, given.threads)
            rows += [(f"{resolution}²", layout, precision, *row(seconds, layout, "training")) for layout in contenders]
    print_table(("size", "layout", "precision", "search step, s", "training step, s", "ratio"), rows)
    print(f"\nwidth {given.width:g} against {HANDMADE}, batch 1; {machine(given.threads)}")


if __name__ == "__main__":
    main()
