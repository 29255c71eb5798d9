"""A search step of layout `reference` beside the public CycleGANAS code (antaegun20/CycleGANAS) at its widths.

python benchmarks/step_vs_public.py --checkout CycleGANAS [--resolution 256] [--width 16] [--rounds 7] [--threads 2]
"""

from contest import Contender, arguments, contest, machine, print_table, row
from steps import ours, public


def main() -> None:
    """Measure and print."""
    given = arguments(__doc__, checkout="CycleGANAS", resolution=256, width=16)
    rows = []
    for precision in ("float32", "bf16"):
        common = {"resolution": given.resolution, "precision": precision, "width": given.width}
        gumbel = {"kind": "search", "layout": "reference", "settings": ("search.sampling=gumbel",)}
        contenders = {
            "ours": Contender(ours, common | gumbel),
            "public": Contender(public, common | {"checkout": given.checkout}),
        }
        rows.append((precision, *row(contest(contenders, given.rounds, given.threads), "ours", "public")))
    print_table(("precision", "ours, s", "public, s", "ratio"), rows)
    print(f"\n{given.resolution}², width {given.width}, discriminators 64, batch 1; {machine(given.threads)}")


if __name__ == "__main__":
    main()
