"""The paper's analysis of a growing search as three plots (DGGAN, "Analysis", figure 3). No torch."""

from collections import defaultdict
from collections.abc import Sequence
from math import isfinite, log
from statistics import fmean, pstdev
from typing import Any

from ganas.growing.architecture import GrowthArchitecture
from ganas.growing.candidates import score_of
from ganas.growing.history import History, Record
from ganas.report.blocks import Block, Chart
from ganas.report.charts import quantitative

ACTION_COLUMNS = ("action", "candidates", "improved", "gain", "deviation")  # improved: the share of positive gains


def score_at_end(one: Record) -> float | None:
    """The score of a candidate, if it has a finite one."""
    score = score_of(one.result) if one.result else None
    return score if score is not None and isfinite(score) else None


def improvements(history: History) -> dict[str, float]:
    """log(parent's score / candidate's) by candidate, where the two can be compared; positive is better."""
    scores = {one.spec.id: _comparable(one) for one in history.records if one.role in ("search", "route")}
    found = {}
    for one in history.records:
        own, parent = scores.get(one.spec.id), scores.get(one.spec.parent or "")
        if own and parent and own[0] == parent[0] and min(own[1], parent[1]) > 0:
            found[one.spec.id] = log(parent[1] / own[1])
    return found


def _comparable(one: Record) -> tuple[Any, float] | None:
    """The score and what scores it may be compared with: all normalized ones, or those of the same resolution."""
    if one.normalized is not None and isfinite(one.normalized):
        return "normalized", one.normalized
    score = score_at_end(one)
    return None if score is None else (one.spec.architecture.resolution, score)


def analysis(history: History) -> list[Block]:
    """The balance of the networks, the actions, and whether good parents have good children."""
    return [chart for chart in (_balance(history), _actions(history), _heredity(history)) if chart]


def _balance(history: History) -> Chart | None:
    rows, lineage = [], {*history.lineage}
    for one in history.records:
        found = _comparable(one)
        if found and one.role in ("search", "repeat"):
            layers: GrowthArchitecture = one.spec.architecture
            ratio = layers.parameters("generator") / layers.parameters("discriminator")
            group = "lineage of the best" if one.spec.id in lineage else "candidate"
            rows.append((one.spec.id, group, f"{layers.resolution}²", one.spec.generation, ratio, found[1]))
    if len(rows) < 3:
        return None
    normalized = any(one.normalized is not None for one in history.records)
    title = "score ÷ ProgGAN's" if normalized else "score"
    x = quantitative("ratio", "parameters of G ÷ parameters of D", scale={"type": "log", "nice": False, "padding": 12})
    y = quantitative("score", title, scale={"type": "log", "nice": False, "padding": 12})
    tooltip = [{"field": name} for name in ("id", "resolution", "generation", "ratio", "score")]
    points = {"x": x, "y": y, "color": {"field": "resolution", "type": "nominal"}, "tooltip": tooltip}
    line = {"x": x, "y": y, "order": {"field": "generation"}}
    spec = {
        "width": "container",
        "height": 300,
        "layer": [
            {"mark": {"type": "point", "filled": True, "size": 40, "opacity": 0.6}, "encoding": points},
            {
                "mark": {"type": "line", "point": True, "strokeWidth": 1.5},
                "encoding": line,
                "transform": [{"filter": "datum.group == 'lineage of the best'"}],
            },
        ],
    }
    caption = "Do candidates do better when one network is larger? The line is the growth of the best. Lower is better."
    columns = ("id", "group", "resolution", "generation", "ratio", "score")
    return Chart("balance", "Generator against discriminator", caption, spec, columns, rows)


def _actions(history: History) -> Chart | None:
    gains = improvements(history)
    by_action: dict[str, list[float]] = defaultdict(list)
    for one in history.records:
        if one.spec.id in gains and one.role == "search" and one.spec.action:
            by_action[one.spec.action].append(gains[one.spec.id])
    if not by_action:
        return None
    rows = [
        (action, len(found), sum(gain > 0 for gain in found) / len(found), fmean(found), pstdev(found))
        for action, found in sorted(by_action.items(), key=lambda item: -fmean(item[1]))
    ]
    spec = {
        "width": "container",
        "height": {"step": 18},
        "mark": {"type": "bar"},
        "encoding": {
            "y": {"field": "action", "type": "nominal", "sort": None, "title": None},
            "x": quantitative("gain", "mean of log(parent's score ÷ child's)", scale={"zero": True}),
            "opacity": {"field": "candidates", "type": "quantitative", "scale": {"range": [0.45, 1]}, "legend": None},
            "tooltip": [{"field": name} for name in ACTION_COLUMNS],
        },
    }
    caption = "How much each action improves the score over the parent's, on average. Pale bars are of few candidates."
    return Chart("actions", "What each action does", caption, spec, ACTION_COLUMNS, rows)


def _heredity(history: History) -> Chart | None:
    """P(good child | good parent) and P(good child | other parent).

    Good is a child among the best of its generation, and a parent among the best of the parents of its generation: the
    same share of both. The paper takes a threshold of the normalized score, which other scores do not have.
    """
    searched = [one for one in history.records if one.role == "search"]
    as_child, as_parent = _ranks(searched), _ranks([one for one in searched if one.kept])
    pairs = [
        (as_parent[one.spec.parent], as_child[one.spec.id])
        for one in searched
        if one.spec.parent in as_parent and one.spec.id in as_child
    ]
    rows = []
    for percent in range(10, 100, 10):
        share = percent / 100
        for name, parents in (("good parent", True), ("other parent", False)):
            children = [child for parent, child in pairs if (parent <= share) == parents]
            if len(children) >= 3:
                rows.append((name, share, sum(child <= share for child in children) / len(children), len(children)))
    if len({row[0] for row in rows}) < 2:
        return None
    spec = {
        "width": "container",
        "height": 300,
        "mark": {"type": "line", "point": True},
        "encoding": {
            "x": quantitative("share", "good: among the best … of its generation", axis={"format": "%"}),
            "y": quantitative("probability", "share of good children", axis={"format": "%"}),
            "color": {"field": "series", "type": "nominal", "title": None},
            "tooltip": [{"field": name} for name in ("series", "share", "probability", "children")],
        },
    }
    caption = (
        "Pruning parents is safe where the lines are far apart: then good parents have good children. Only parents "
        "that were kept have children, so the other ones are the worst of the kept."
    )
    return Chart(
        "heredity",
        "Do good parents have good children?",
        caption,
        spec,
        ("series", "share", "probability", "children"),
        rows,
    )


def _ranks(records: Sequence[Record]) -> dict[str | None, float]:
    """The rank of each candidate among those of its generation, 0 for the best and 1 for the worst."""
    stages: dict[int, list[tuple[float, str]]] = defaultdict(list)
    for one in records:
        if found := _comparable(one):
            stages[one.spec.generation].append((found[1], one.spec.id))
    return {
        name: place / max(1, len(stage) - 1)
        for stage in stages.values()
        for place, (_, name) in enumerate(sorted(stage))
    }
