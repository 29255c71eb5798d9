"""Our training step of the hand-made CycleGAN beside a plain PyTorch writing of it (steps.plain).

python benchmarks/step_vs_plain.py [--resolution 256] [--width 64] [--rounds 7] [--threads 2]
"""

from contest import Contender, arguments, contest, machine, print_table, row
from steps import ours, plain


def main() -> None:
    """Measure and print."""
    given = arguments(__doc__, resolution=256, width=64)
    rows = []
    for precision in ("float32", "bf16"):
        common = {"resolution": given.resolution, "precision": precision, "width": given.width}
        contenders = {
            "ours": Contender(ours, common | {"kind": "train", "layout": "resnet9"}),
            "plain": Contender(plain, common),
        }
        rows.append((precision, *row(contest(contenders, given.rounds, given.threads), "ours", "plain")))
    print_table(("precision", "ours, s", "plain, s", "ratio"), rows)
    print(f"\n{given.resolution}², width {given.width}, batch 1; {machine(given.threads)}")


if __name__ == "__main__":
    main()
