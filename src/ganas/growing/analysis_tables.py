"""The analysis of a growing search as tables of text and as JSON. No torch."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from ganas.document import finite
from ganas.growing.analysis import Analysis, Setting

Rows = list[tuple[str, ...]]


def summary(found: Analysis) -> str:
    """One line: how many candidates, and what their scores are."""
    scores = "scores ÷ the ProgGAN route's" if found.normalized else "scores within a resolution"
    stopped = f"; {found.stopped} others were stopped at rungs and are not counted" if found.stopped else ""
    return f"{len(found.points)} candidates{stopped}; {scores}; intervals are 95 %"


def tables(found: Analysis, simulations: Sequence[Setting]) -> dict[tuple[str, ...], Rows]:
    """Rows by columns, without empty tables."""
    grown = ("children", "improved", "log(parent ÷ child)", "deviation")
    made: dict[tuple[str, ...], Rows] = {
        (name, *grown): [
            (one.name, str(one.children), one.improved.percent, f"{one.gain}", f"{one.deviation:.2g}") for one in groups
        ]
        for name, groups in (("action", found.by_action), ("kind", found.by_kind))
    }
    made["good: score below" if found.normalized else "good: best share", "parents", "children", "good children"] = [
        (f"{one.threshold:g}", one.parents, str(one.children), one.good.percent) for one in found.heredity
    ]
    made["simulated K", "p", "trained", "best score"] = [
        (str(one.keep), f"{one.probability:g}", f"{one.trained}", f"{one.best}") for one in simulations
    ]
    return {columns: rows for columns, rows in made.items() if rows}


def as_json(found: Analysis, simulations: Sequence[Setting]) -> dict[str, Any]:
    """JSON values of everything."""
    document = asdict(found) | {"points": [{**asdict(one), "ratio": one.ratio} for one in found.points]}
    return dict(finite(document | {"simulations": [asdict(one) for one in simulations]}))
