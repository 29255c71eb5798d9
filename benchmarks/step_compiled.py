"""What `training.compile` gives: a step with the generators compiled beside the step without.

python benchmarks/step_compiled.py [--resolutions 64 256] [--rounds 7] [--threads 2]
"""

from contest import Contender, arguments, contest, machine, print_table, row
from steps import ours

RUNS = (("search", "paper", 16), ("train", "resnet9", 64))  # kind, layout, width
COMPILED = ("training.compile=true",)


def main() -> None:
    """Measure and print."""
    given = arguments(__doc__, resolutions=[64, 256])
    rows = []
    for resolution in given.resolutions:
        for precision in ("float32", "bf16"):
            for kind, layout, width in RUNS:
                options = {"kind": kind, "layout": layout, "width": width}
                options |= {"resolution": resolution, "precision": precision}
                contenders = {
                    "compiled": Contender(ours, options | {"settings": COMPILED}),
                    "eager": Contender(ours, options),
                }
                seconds = contest(contenders, given.rounds, given.threads)
                rows.append((f"{resolution}²", f"{kind} {layout}", precision, *row(seconds, "compiled", "eager")))
    print_table(("size", "step", "precision", "compiled, s", "eager, s", "ratio"), rows)
    print(f"\nbatch 1; {machine(given.threads)}")


if __name__ == "__main__":
    main()
