"""The candidates of a growing search as a tree, their generations, and the rungs of a race. No torch."""

from collections import defaultdict
from collections.abc import Sequence
from math import isfinite
from typing import Any

from ganas.growing.architecture import SIDES
from ganas.growing.candidates import score_of
from ganas.growing.history import History, Record
from ganas.records import Point, RunRecord
from ganas.report.analysis import improvements, score_at_end
from ganas.report.blocks import Block, Chart, Picker, Table, Tree
from ganas.report.charts import quantitative
from ganas.report.thumbnails import data_uri, readable

SIDE = 256  # pixels of a candidate's picture
MAX_PICTURES = 300  # of candidates: at 10 kB each they stay well below the page's 10 MB
MAX_CURVES = 3000  # candidates whose losses are in the page
CURVE_POINTS = 12  # of a curve


def tree_blocks(record: RunRecord, history: History) -> list[Block]:
    """Return all candidates, the parents of each generation, and, of a race, its rungs."""
    return [*_tree(record, history), *_beams(history), *_rungs(history)]


def _tree(record: RunRecord, history: History) -> list[Block]:
    ranks = _ranks(history.records)
    best = {*history.lineage}
    gains = improvements(history)
    nodes = [_node(one, ranks.get(one.spec.id), gains.get(one.spec.id), one.spec.id in best) for one in history.records]
    curves: dict[str, Any] = {}
    pictures: dict[str, str] = {}
    for one in history.records[:MAX_CURVES]:
        shown = len(pictures) < MAX_PICTURES and (one.kept or one.spec.id in best or one.role != "search")
        trace = record.candidate(one.spec.id)
        curves[one.spec.id] = _curves(trace.points)
        if shown and (last := next(readable(trace.samples[::-1]), None)):
            pictures[one.spec.id] = data_uri(last[1], SIDE)
    caption = (
        "A circle is a candidate, to the right of its parent. Choose one for its architecture, its losses and, of "
        "parents and finalists, its samples. Drag to move, Ctrl and the wheel to zoom, double-click to fold a branch. "
        "Scores at different resolutions cannot be compared, ranks can: the color is the rank at its resolution."
    )
    return [Tree("candidates", "Candidates and their parents", caption, nodes, curves, pictures)]


def _ranks(records: Sequence[Record]) -> dict[str, float]:
    """The place of each candidate among those of its resolution: 0 is the best, 1 the worst."""
    by_resolution: dict[int, list[tuple[float, str]]] = defaultdict(list)
    for one in records:
        if (score := one.normalized if one.normalized is not None else score_at_end(one)) is not None:
            by_resolution[one.spec.architecture.resolution].append((score, one.spec.id))
    ranks = {}
    for found in by_resolution.values():
        for place, (_, name) in enumerate(sorted(found)):
            ranks[name] = place / max(1, len(found) - 1)
    return ranks


def _node(one: Record, rank: float | None, gain: float | None, best: bool) -> dict[str, Any]:
    spec, result, layers = one.spec, one.result, one.spec.architecture
    node: dict[str, Any] = {
        "id": spec.id,
        "parent": spec.parent,
        "action": spec.action,
        "generation": spec.generation,
        "state": one.state,
        "role": one.role,
        "kept": one.kept,
        "best": best,
        "resolution": layers.resolution,
        "layers": [" ".join(map(str, layers.layers(side))) for side in SIDES],
        "generator": layers.parameters("generator"),
        "discriminator": layers.parameters("discriminator"),
        "score": score_at_end(one),
        "normalized": one.normalized,
        "rank": rank,
        "gain": gain,
    }
    if result:
        node |= {"start": result.facts.get("start"), "seconds": result.seconds, "images": result.images}
        if result.error:
            node["error"] = result.error
    return {key: value for key, value in node.items() if value is not None and value is not False}


def _curves(points: Sequence[Point]) -> dict[str, list[list[float]]]:
    """The losses of both networks, summed, at a few points."""
    found: dict[str, list[list[float]]] = {}
    logged = [point for point in points if any(name.startswith("loss/") for name in point.values)]
    step = max(1, len(logged) // CURVE_POINTS)
    for point in logged[::step]:
        for name, value in point.values.items():
            if name.startswith("loss/"):
                found.setdefault(name.removeprefix("loss/"), []).append([point.images, float(f"{value:.4g}")])
    return found


def _beams(history: History) -> list[Block]:
    rows = [(number, len(beam), " ".join(beam)) for number, beam in enumerate(history.beams)]
    return (
        [Table("Parents of each generation", ("generation", "parents", "ids, the best first"), rows, folded=True)]
        if rows
        else []
    )


def _rungs(history: History) -> list[Block]:
    """A race: the scores at each rung of those that went on and of those that stopped."""
    rows = []
    for one in history.records:
        earlier = one.result.facts.get("earlier", {}) if one.result else {}
        for images in [*map(int, earlier), *([one.result.images] if one.result else [])]:
            score = score_of(one.result, images) if one.result else None
            if score is not None and isfinite(score):
                rows.append((f"generation {one.spec.generation}", one.spec.id, one.state, images, score))
    if not any(one.state == "stopped" or (one.result and one.result.facts.get("earlier")) for one in history.records):
        return []
    generations = [*dict.fromkeys(str(row[0]) for row in rows)]
    spec = {
        "width": "container",
        "height": 260,
        "mark": {"type": "line", "point": True, "opacity": 0.7},
        "encoding": {
            "x": quantitative("images", "images of a candidate"),
            "y": quantitative("score", "score", scale={"type": "log", "nice": False, "padding": 12}),
            "detail": {"field": "id"},
            "color": {"field": "state", "type": "nominal", "title": None},
            "tooltip": [{"field": name} for name in ("id", "state", "images", "score")],
        },
    }
    picker = Picker("generation", "Show", tuple((name, name) for name in generations))
    caption = "A line is a candidate; those that were behind at a rung were stopped there, and their images saved."
    return [
        Chart("rungs", "The race", caption, spec, ("generation", "id", "state", "images", "score"), rows, (picker,))
    ]
