"""A search step with merged mixed ops beside one that computes every op by itself, layout `paper` and others.

python benchmarks/step_vs_naive.py [--resolution 256] [--width 16] [--rounds 7] [--threads 2]
"""

from contest import Contender, arguments, contest, machine, print_table, row
from steps import ours


def main() -> None:
    """Measure and print."""
    given = arguments(__doc__, resolution=256, width=16.0)
    rows = []
    for layout in ("paper", "framed", "reference"):
        for precision in ("float32", "bf16"):
            common = {"kind": "search", "layout": layout, "width": given.width}
            common |= {"resolution": given.resolution, "precision": precision}
            contenders = {
                mixing: Contender(ours, common | {"settings": (f"nets.mixing={mixing}",)})
                for mixing in ("merged", "naive")
            }
            seconds = contest(contenders, given.rounds, given.threads)
            rows.append((layout, precision, *row(seconds, "merged", "naive")))
    print_table(("layout", "precision", "merged, s", "naive, s", "ratio"), rows)
    print(f"\n{given.resolution}², width {given.width:g}, batch 1; {machine(given.threads)}")


if __name__ == "__main__":
    main()
