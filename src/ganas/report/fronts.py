"""Fronts on pages: milliseconds against score, and the pictures of each point, side by side and on hover. No torch."""

from collections.abc import Mapping, Sequence
from typing import Any

from ganas.cyclegan.front import Front, Subnetwork
from ganas.cyclegan.layout import DIRECTIONS, GENERATORS
from ganas.metrics.measurement import CONFIDENCE, higher_is_better
from ganas.records import RunRecord, Sample
from ganas.report.blocks import Block, Cell, Chart, Frame, Gallery, Picker, Table
from ganas.report.charts import Spec, network_name, quantitative
from ganas.report.thumbnails import data_uri, readable

PICTURE_SIDE = 640  # pixels
DISTANCE = "distance"  # of translations


def front_blocks(record: RunRecord) -> list[Block]:
    """The front of a search: its plot, its points as a table, and their pictures."""
    front = record.front
    if front is None:
        return []
    return [_chart(front), _table(front), *_pictures(record.front_pictures), _choices(front)]


def _translators(front: Front) -> list[tuple[int, str, Subnetwork]]:
    """Every point's translators, direction by direction."""
    return [(number, name, getattr(point, name)) for name in GENERATORS for number, point in enumerate(front.points)]


def _chart(front: Front) -> Chart:
    rows: list[tuple[Cell, ...]] = []
    for number, name, one in _translators(front):
        facts = (network_name(name), f"point {number}", one.milliseconds, one.predicted, one.parameters, one.macs / 1e9)
        rows.append((DISTANCE, *facts, one.distance, one.distance, one.distance))
        if one.metric and one.score is not None:
            margin = CONFIDENCE * (one.error or 0)
            rows.append((one.metric, *facts, one.score, one.score - margin, one.score + margin))
    columns = (
        *("measure", "series", "picture", "milliseconds", "predicted", "parameters", "GMACs"),
        *("value", "low", "high"),
    )
    measures = [*dict.fromkeys(str(row[0]) for row in rows)]
    measures.sort(key=lambda measure: measure == DISTANCE)  # scores first
    better = [
        f"{key}: {'higher' if key != DISTANCE and higher_is_better(key) else 'lower'} is better" for key in measures
    ]
    return Chart(
        id="front",
        title="Milliseconds against score",
        caption=(
            f"Of one {front.resolution}×{front.resolution} image on one thread of the machine that searched, measured "
            f"on the whole network; the supernets had seen {front.images:,} pairs, and a point becomes better when it "
            f"is trained by itself. {'; '.join(better)}. Bars: 95 % intervals over images, where they are known."
        ),
        spec=front_spec("value", "score or distance", "milliseconds", error=True),
        columns=columns,
        rows=rows,
        pickers=(Picker("measure", "Measure", tuple((measure, measure) for measure in measures)),),
    )


def front_spec(y: str, title: str, *more: str, error: bool = False) -> Spec:
    """Points and lines of `y` over milliseconds, one line per series; `more` fields are shown on hover.

    error: rows have `low` and `high`, drawn as bars
    """
    x = quantitative("milliseconds", "milliseconds", scale={"type": "log", "zero": False, "nice": False})
    color = {"field": "series", "type": "nominal", "title": None}
    tooltip = [{"field": name, "type": "nominal"} for name in ("series", "picture")]
    tooltip += [{"field": name, "type": "quantitative", "format": ".4~g"} for name in (*more, y)]
    layers: list[Spec] = [
        {
            "mark": {"type": "line", "strokeWidth": 2, "opacity": 0.5},
            "encoding": {"x": x, "y": quantitative(y, title), "color": color},
        },
        {
            "mark": {"type": "point", "filled": True, "size": 90},
            "encoding": {"x": x, "y": quantitative(y, title), "color": color, "tooltip": tooltip},
        },
    ]
    if error:
        bar = {"x": x, "y": quantitative("low", title), "y2": {"field": "high"}, "color": color}
        layers.insert(0, {"mark": {"type": "rule"}, "encoding": bar})
    return {"width": "container", "height": 320, "layer": layers}


def _pictures(samples: Mapping[int, Sample]) -> list[Block]:
    return gallery(
        "Every point's pictures",
        "A column per image; rows: A, its translation, B, its translation. By the supernets as they were.",
        {f"point {number}": sample for number, sample in samples.items()},
    )


def gallery(title: str, caption: str, samples: Mapping[str, Sample]) -> list[Block]:
    """Pictures side by side, by the name that plots have for them; without those that cannot be read."""
    frames = [
        Frame(name, data_uri(picture, PICTURE_SIDE), name)
        for name, sample in samples.items()
        for _, picture in readable([sample])
    ]
    return [Gallery(title, caption, frames, "large")] if frames else []


def _table(front: Front) -> Table:
    rows = [
        (
            *(number, network_name(name), one.milliseconds, one.parameters, one.macs / 1e9),
            *(one.distance, one.score, one.error),
        )
        for number, name, one in _translators(front)
    ]
    columns = ("point", "generator", "ms", "parameters", "GMACs", "distance", "score", "its error")
    return Table("The points", columns, rows)


def _choices(front: Front) -> Table:
    rows = [
        (number, network_name(name), one.predicted, ", ".join(one.ops)) for number, name, one in _translators(front)
    ]
    return Table("What was chosen", ("point", "generator", "ms, sum of slots", "choices"), rows, folded=True)


def recipe_blocks(rows: Sequence[Mapping[str, Any]], samples: Mapping[str, Sample]) -> list[Block]:
    """The fronts of a recipe: every training, and the last samples of the variants of its first seed."""
    timed = [row for row in rows if row.get("milliseconds")]
    if not timed:
        return []
    cells: list[tuple[Cell, ...]] = []
    for row in timed:
        for key, scores in {row["metric"]: row["scores"], **row["others"]}.items():
            part = f"{row['dataset']} {DIRECTIONS[row['direction']]}, {key}"
            for seed, milliseconds, score in zip(row["seeds"], row["milliseconds"], scores, strict=False):
                cells.append((part, f"{row['group']}, seed {seed}", row["variant"], row["group"], milliseconds, score))
    spec = front_spec("score", "score")
    for layer in spec["layer"]:  # a line per seed, a color per group
        layer["encoding"]["color"] = {"field": "group", "type": "nominal", "title": None}
        layer["encoding"]["detail"] = {"field": "series"}
    parts = [*dict.fromkeys(str(row[0]) for row in cells)]
    chart = Chart(
        id="fronts",
        title="Milliseconds against score",
        caption="A point is a training, a line the front of one seed.",
        spec=spec,
        columns=("part", "series", "picture", "group", "milliseconds", "score"),
        rows=cells,
        pickers=(Picker("part", "Data and score", tuple((part, part) for part in parts)),),
    )
    caption = "Six images of each domain, their translations, and the way back; the first seed of each variant."
    return [chart, *gallery("The last samples", caption, samples)]
