"""The paper's analysis of a growing search as three plots (DGGAN, "Analysis", figure 3). No torch."""

from math import isfinite

from ganas.growing.analysis import Analysis, analyse, gains, is_normalized, points_of
from ganas.growing.candidates import score_of
from ganas.growing.history import History, Record
from ganas.report.blocks import Block, Chart
from ganas.report.charts import quantitative
from ganas.stats import Interval

# improved: the share of positive gains; low and high: of the mean gain
ACTION_COLUMNS = ("action", "candidates", "improved", "gain", "low", "high", "deviation")
HEREDITY_COLUMNS = ("series", "threshold", "probability", "low", "high", "children")


def score_at_end(one: Record) -> float | None:
    """The score of a candidate, if it has a finite one."""
    score = score_of(one.result) if one.result else None
    return score if score is not None and isfinite(score) else None


def improvements(history: History) -> dict[str, float]:
    """log(parent's score / candidate's) by candidate, where the two can be compared; positive is better."""
    points = points_of(history, ("search", "route"))
    return {one.id: gain for one, gain in gains(points, is_normalized(history))}


def analysis(history: History) -> list[Block]:
    """The balance of the networks, the actions, and whether good parents have good children."""
    found = analyse(history)
    return [chart for chart in (_balance(found), _actions(found), _heredity(found)) if chart]


def _balance(found: Analysis) -> Chart | None:
    if len(found.points) < 3:
        return None
    lineage = {*found.lineage}
    rows = [
        (
            one.id,
            "lineage of the best" if one.id in lineage else "candidate",
            f"{one.architecture.resolution}²",
            one.generation,
            one.ratio,
            one.score,
        )
        for one in found.points
    ]
    title = "score ÷ ProgGAN's" if found.normalized else "score"
    x = quantitative("ratio", "parameters of G ÷ parameters of D", scale={"type": "log", "nice": False, "padding": 12})
    y = quantitative("score", title, scale={"type": "log", "nice": False, "padding": 12})
    tooltip = [{"field": name} for name in ("id", "resolution", "generation", "ratio", "score")]
    sides = sorted({one.architecture.resolution for one in found.points})
    color = {"field": "resolution", "type": "nominal", "sort": [f"{side}²" for side in sides]}
    points = {"x": x, "y": y, "color": color, "tooltip": tooltip}
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


def _actions(found: Analysis) -> Chart | None:
    if not found.by_action:
        return None
    rows = [
        (one.name, one.children, one.improved.estimate, one.gain.estimate, *_limits(one.gain), one.deviation)
        for one in found.by_action
    ]
    y = {"field": "action", "type": "nominal", "sort": None, "title": None}
    tooltip = [{"field": name} for name in ACTION_COLUMNS]
    bar = {
        "y": y,
        "x": quantitative("gain", "mean of log(parent's score ÷ child's)", scale={"zero": True}),
        "opacity": {"field": "candidates", "type": "quantitative", "scale": {"range": [0.45, 1]}, "legend": None},
        "tooltip": tooltip,
    }
    interval = {"y": y, "x": {"field": "low", "type": "quantitative"}, "x2": {"field": "high"}, "tooltip": tooltip}
    spec = {
        "width": "container",
        "height": {"step": 18},
        "layer": [
            {"mark": {"type": "bar"}, "encoding": bar},
            {"mark": {"type": "rule"}, "encoding": interval, "transform": [{"filter": "datum.candidates > 1"}]},
        ],
    }
    caption = (
        "How much each action improves the score over the parent's, on average, with 95 % intervals. Pale bars are of "
        "few candidates."
    )
    return Chart("actions", "What each action does", caption, spec, ACTION_COLUMNS, rows)


def _limits(interval: Interval) -> tuple[float, float]:
    """Its ends; twice the estimate where they are not known."""
    known = isfinite(interval.low)
    return (interval.low, interval.high) if known else (interval.estimate, interval.estimate)


def _heredity(found: Analysis) -> Chart | None:
    if len({one.parents for one in found.heredity}) < 2:
        return None
    rows = [
        (f"{one.parents} parent", one.threshold, one.good.estimate, one.good.low, one.good.high, one.children)
        for one in found.heredity
    ]
    good = "a score ÷ ProgGAN's below" if found.normalized else "among the best … of its generation"
    x = quantitative("threshold", f"good: {good}", axis={} if found.normalized else {"format": "%"})
    color = {"field": "series", "type": "nominal", "title": None}
    tooltip = [{"field": name} for name in HEREDITY_COLUMNS]
    y = quantitative("probability", "share of good children", axis={"format": "%"})
    band = {"x": x, "y": {"field": "low", "type": "quantitative"}, "y2": {"field": "high"}, "color": color}
    spec = {
        "width": "container",
        "height": 300,
        "layer": [
            {"mark": {"type": "area", "opacity": 0.15}, "encoding": band},
            {"mark": {"type": "line", "point": True}, "encoding": {"x": x, "y": y, "color": color, "tooltip": tooltip}},
        ],
    }
    caption = (
        "Pruning parents is safe where the lines are far apart: then good parents have good children. Only parents "
        "that were kept have children, so the other ones are the worst of the kept. Shaded: 95 % intervals."
    )
    return Chart("heredity", "Do good parents have good children?", caption, spec, HEREDITY_COLUMNS, rows)
