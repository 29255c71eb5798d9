"""Fronts whose seeds were measured separately, even on different machines, as one comparison.

    python experiments/front_seeds.py ROWS.json ... --plot fronts.png

Each file is the JSON of one `ganas reproduce front --scale small`, of one data set, each with other seeds.
Prints what the recipe's report says of all seeds together. Milliseconds are compared within a seed only.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ganas.recipes.cyclegan.drawing import draw
from ganas.recipes.cyclegan.figures import Recipe, recipe
from ganas.recipes.cyclegan.fronts import fronts_as_markdown
from ganas.recipes.cyclegan.jobs import Dataset
from ganas.recipes.cyclegan.rows import Row

PER_SEED = ("runs", "seeds", "scores", "late", "milliseconds")


def main() -> None:
    """Merge, print, and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", type=Path, nargs="+")
    parser.add_argument("--plot", type=Path)
    arguments = parser.parse_args()
    rows = merge([[Row(**row) for row in json.loads(path.read_text(encoding="utf-8"))] for path in arguments.rows])
    made = as_recipe(rows)
    print("\n".join(fronts_as_markdown(made, rows)))
    if arguments.plot:
        draw(made, rows, arguments.plot)


def merge(files: Sequence[Sequence[Row]]) -> list[Row]:
    """The rows of all files, one per variant and direction."""
    merged: dict[tuple[str, str, str], Row] = {}
    for row in (row for rows in files for row in rows):
        key = row.dataset, row.variant, row.direction
        before = merged.get(key)
        if before is None:
            merged[key] = row
            continue
        if {*before.seeds} & {*row.seeds}:
            raise SystemExit(f"{row.variant}: seed {row.seeds[0]} is in two files")
        values = {name: (*getattr(before, name), *getattr(row, name)) for name in PER_SEED}
        others = {key: (*scores, *row.others[key]) for key, scores in before.others.items()}
        merged[key] = replace(before, others=others, **values)
    return [*merged.values()]


def as_recipe(rows: Sequence[Row]) -> Recipe:
    """The recipe whose rows they are."""
    (dataset,) = {row.dataset for row in rows}
    return recipe("front", "small", [Dataset(dataset, dataset, 1, 1, "")])


if __name__ == "__main__":
    main()
