"""Plots as Vega-Lite specs without data; colors and fonts come from the page's script. No torch."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from ganas.records import Point, Score
from ganas.report.blocks import Cell, Chart, Picker

Spec = dict[str, Any]


def quantitative(field: str, title: str, **more: Any) -> Spec:
    """An axis of numbers that need not start at zero."""
    scale = {"zero": False, "nice": True} | more.pop("scale", {})
    axis = {"format": ",~r"} | more.pop("axis", {})  # else an axis of one value has six digits
    return {"field": field, "type": "quantitative", "title": title, "scale": scale, "axis": axis, **more}


def line_spec(y: str, *, height: int = 260, error: bool = False, rule: bool = False, images: str = "images") -> Spec:
    """Lines of `value` over `images`, one per `series`; the average (`smoothed`) over a pale original.

    error: rows have `low` and `high`, drawn as a band; rule: rows have `baseline`, drawn as a dashed line
    """
    x = quantitative("images", f"{images} seen")
    color = {"field": "series", "type": "nominal", "title": None}
    shown = {"condition": {"param": "series", "value": 1}, "value": 0.08}
    tooltip = [
        {"field": "series", "type": "nominal"},
        {"field": "images", "type": "quantitative", "format": ","},
        {"field": "value", "type": "quantitative", "format": ".5~g"},
    ]
    pick = {"name": "series", "select": {"type": "point", "fields": ["series"]}, "bind": "legend"}
    pale = {"condition": {"param": "series", "value": 0.25}, "value": 0.04}
    layers: list[Spec] = [
        {
            "mark": {"type": "line", "strokeWidth": 1},
            "encoding": {"x": x, "y": quantitative("value", y), "color": color, "opacity": pale},
            "params": [pick],
        },
        {
            "mark": {"type": "line", "strokeWidth": 2, "point": {"size": 28, "filled": True}},
            "encoding": {
                "x": x,
                "y": quantitative("smoothed", y),
                "color": color,
                "opacity": shown,
                "tooltip": tooltip,
            },
        },
    ]
    if error:
        band = {"x": x, "y": quantitative("low", y), "y2": {"field": "high"}, "color": color}
        layers.insert(0, {"mark": {"type": "area", "opacity": 0.15}, "encoding": band})
    if rule:
        dashed = {"y": quantitative("baseline", y), "color": color, "opacity": shown}
        mark = {"type": "rule", "strokeDash": [6, 4], "strokeWidth": 1.5}
        layers.append({"mark": mark, "encoding": dashed, "transform": [{"filter": "isValid(datum.baseline)"}]})
    return {"width": "container", "height": height, "layer": layers}


def losses(points: Sequence[Point], unit: str = "pairs") -> Chart | None:
    """All losses over time; None before the first line of the log."""
    rows: list[tuple[Cell, ...]] = [
        (group_of(name), name.removeprefix("loss/"), point.images, value)
        for point in points
        for name, value in point.values.items()
        if name.startswith("loss/")
    ]
    if not rows:
        return None
    groups = [*dict.fromkeys(str(row[0]) for row in rows)]
    return Chart(
        id="losses",
        title="Losses",
        caption=(
            "Adversarial losses of generators and discriminators should neither vanish nor explode: the networks "
            "compete, so falling is no goal in itself. Cycle and identity losses should fall and level off. Click a "
            "name in the legend to see it alone."
        ),
        spec=line_spec("loss", images=unit),
        columns=("group", "series", "images", "value"),
        rows=rows,
        pickers=(Picker("group", "Show", tuple((name, name) for name in groups), every=True),),
        smooth=("value", "images", "series"),
    )


def group_of(name: str) -> str:
    """``loss/cycle_a`` -> ``cycle``."""
    return name.removeprefix("loss/").split("_")[0]


def scores(
    points: Sequence[Point], kept: Sequence[Score], spreads: Mapping[str, str], unit: str = "pairs"
) -> Chart | None:
    """Scores over time, direction by direction, with the untranslated baseline and errors where they are known.

    spreads: by metric, the one that is its standard error, as ``kid_stderr``
    """
    baselines = {f"{one.direction}/{one.key}": one.untranslated for one in kept}
    rows: list[tuple[Cell, ...]] = []
    for point in points:
        for name, value in point.values.items():
            direction, _, key = name.removeprefix("scores/").partition("/")
            metric, at, network = key.partition("@")
            if not name.startswith("scores/") or metric.rstrip("0123456789k") in spreads.values():
                continue
            base = metric.rstrip("0123456789k")
            spread = f"scores/{direction}/{metric.replace(base, spreads[base])}{at}{network}" if base in spreads else ""
            error = point.values.get(spread)
            low, high = (value - 1.96 * error, value + 1.96 * error) if error is not None else (value, value)
            baseline = baselines.get(f"{direction}/{key}")
            rows.append((key, ARROWS.get(direction, direction), point.images, value, low, high, baseline))
    if not rows:
        return None
    keys = [*dict.fromkeys(str(row[0]) for row in rows)]
    preferred = [one.key for one in kept if one.key in keys]
    keys.sort(key=lambda key: key not in preferred)
    return Chart(
        id="scores",
        title="Scores over time",
        caption=(
            "Dashed: the untranslated images, the baseline that a translator must beat (known at the end, for the "
            "score that selects). Bands: 95 % intervals, where a metric has an error of its own; the others jump from "
            "one measurement to the next by about their noise."
        ),
        spec=line_spec("score", error=True, rule=True, images=unit),
        columns=("key", "series", "images", "value", "low", "high", "baseline"),
        rows=rows,
        pickers=(Picker("key", "Score", tuple((key, key) for key in keys)),),
    )


ARROWS = {"ab": "A→B", "ba": "B→A"}


def progress(points: Sequence[Point], unit: str = "pairs") -> Chart | None:
    """Images a second between two lines of the log."""
    timed = [point for point in points if "time" in point.values and "step_seconds" in point.values]
    rows: list[tuple[Cell, ...]] = [
        ("throughput", after.images, (after.images - before.images) / seconds)
        for before, after in itertools.pairwise(timed)
        if (seconds := after.values["time"] - before.values["time"]) > 0 and after.images > before.images
    ]
    if len(rows) < 2:
        return None
    return Chart(
        id="throughput",
        title="Throughput",
        caption=f"{unit.capitalize()} a second of wall-clock time, with scores, samples and checkpoints between them.",
        spec=line_spec(f"{unit} / s", height=140, images=unit),
        columns=("series", "images", "value"),
        rows=rows,
    )


def convergence(points: Sequence[Point]) -> list[Chart]:
    """How far the slots have decided, over time."""
    names = {"search/median_entropy": "median entropy", "search/median_margin": "median margin"}
    rows: list[tuple[Cell, ...]] = [
        (title, point.images, point.values[name])
        for point in points
        for name, title in names.items()
        if name in point.values
    ]
    if not rows:
        return []
    caption = (
        "The median over all slots. Entropy starts at one, where all ops weigh the same, and is zero where every slot "
        "has decided; the margin of the leading op over the second goes the other way."
    )
    spec = line_spec("of the weights", height=200, images="pairs")
    return [Chart("convergence", "How far the slots have decided", caption, spec, ("series", "images", "value"), rows)]


def heat_map(points: Sequence[Point], chosen: Mapping[tuple[str, str], str]) -> list[Chart]:
    """The op that leads each slot and how clearly, and the weights of all ops of one slot.

    chosen: op by network and slot, of the derived architecture
    """
    logged = [point for point in points if point.slots]
    if not logged:
        return []
    networks = [*dict.fromkeys(str(slot["network"]) for slot in logged[0].slots)]
    cells: list[tuple[Cell, ...]] = []
    for point, until in zip(logged, [*(one.images for one in logged[1:]), _end(logged)], strict=True):
        for slot in point.slots:
            key = str(slot["network"]), str(slot["slot"])
            op = str(slot["op"])
            cells.append(
                (*key, point.images, until, op, slot["weight"], slot["margin"], slot["entropy"], chosen.get(key))
            )
    order = [*dict.fromkeys(str(slot["slot"]) for slot in logged[0].slots)]
    tooltip = [{"field": name, "type": "nominal"} for name in ("slot", "op", "chosen")]
    tooltip += [{"field": name, "type": "quantitative", "format": ".3~f"} for name in ("weight", "margin", "entropy")]
    tooltip.append({"field": "images", "type": "quantitative", "format": ","})
    spec: Spec = {
        "width": "container",
        "height": {"step": 16},
        "mark": {"type": "rect"},
        "encoding": {
            "x": {**quantitative("images", "pairs seen"), "axis": {"grid": False}},
            "x2": {"field": "until"},
            "y": {"field": "slot", "type": "ordinal", "sort": order, "title": None},
            "color": {"field": "op", "type": "nominal", "title": "leading op"},
            "opacity": {
                "field": "margin",
                "type": "quantitative",
                "title": "margin",
                "scale": {"domain": [0, 0.5], "range": [0.15, 1], "clamp": True},
            },
            "tooltip": tooltip,
        },
    }
    picker = Picker("network", "Network", tuple((name, network_name(name)) for name in networks))
    charts = [
        Chart(
            id="slots",
            title="Which op leads each slot",
            caption=(
                "A row is a slot, from the input to the output. Color is the op with the largest weight, strength its "
                "margin over the second: rows that stay pale have not decided, rows that change color to the end would "
                "have gone on changing."
            ),
            spec=spec,
            columns=("network", "slot", "images", "until", "op", "weight", "margin", "entropy", "chosen"),
            rows=cells,
            pickers=(picker,),
        )
    ]
    for name, title, unit, caption in (
        ("weights", "The weights of one slot", "weight", "The softmax of its alphas, op by op; they sum to one."),
        (
            "shares",
            "What each op of one slot contributes",
            "share",
            "The variance of weight times output, over the sum of those of all ops. A large weight may hide a small "
            "kernel, and the other way round.",
        ),
    ):
        if rows := _by_op(logged, name):
            places = dict.fromkeys(str(row[0]) for row in rows)
            charts.append(
                Chart(
                    id=name,
                    title=title,
                    caption=caption,
                    spec=line_spec(unit, height=200),
                    columns=("place", "series", "images", "value"),
                    rows=rows,
                    pickers=(Picker("place", "Slot", tuple((place, place) for place in places)),),
                )
            )
    return charts


def _end(logged: Sequence[Point]) -> int:
    """Where the last cells end: they are as wide as the ones before."""
    return 2 * logged[-1].images - logged[-2].images if len(logged) > 1 else logged[-1].images + 1


def _by_op(logged: Sequence[Point], key: str) -> list[tuple[Cell, ...]]:
    """Rows of a number of every op; none in runs of early versions, which logged the leading op only."""
    return [
        (f"{network_name(str(slot['network']))} {slot['slot']}", op, point.images, value)
        for point in logged
        for slot in point.slots
        for op, value in slot.get(key, {}).items()
    ]


def network_name(name: str) -> str:
    """``generator_ab`` -> ``G A→B``."""
    kind, _, rest = name.partition("_")
    return f"{kind[:1].upper()} {ARROWS.get(rest, rest.upper())}"
