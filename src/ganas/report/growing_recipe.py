"""The tables and figures of DGGAN on the page of a recipe: the sheets as the report has them. No torch."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ganas.metrics.measurement import SPREADS, higher_is_better, metric_of
from ganas.recipes.growing.jobs import RUN, GrowingFolder
from ganas.recipes.reproduction import short_number
from ganas.records import RunRecord, Sample
from ganas.report.blocks import Block, Cell, Frame, Gallery, Section, Table, Text, run_link
from ganas.report.thumbnails import data_uri, readable

FIGURE_SIDE = 1600  # pixels


def growing_sections(record: RunRecord) -> Iterator[Section]:
    """A section for each table and figure, the newest first."""
    for number, report in enumerate(reversed(record.reports), 1):
        figure = Sample(0, GrowingFolder(record.path).figure(report))
        blocks: list[Block] = []
        if figure.path.is_file():
            frames = [Frame(figure.path.name, data_uri(picture, FIGURE_SIDE)) for _, picture in readable([figure])]
            blocks += [Gallery("The figure", "", frames, "whole")] if frames else []
        for sheet in report["sheets"]:
            columns = tuple(map(str, sheet["columns"]))
            rows = [_cells(columns, row, record.path) for row in sheet["rows"]]
            blocks.append(Table(str(sheet["title"]), columns, rows))
            if sheet["notes"]:
                blocks.append(Text(f"About: {sheet['title']}", [*map(str, sheet["notes"])]))
        title = f"{report['figure']} of DGGAN, {report['scale']}, {report['data']}"
        yield Section(f"report-{number}", title, blocks)


def _cells(columns: tuple[str, ...], row: list[Any], folder: Path) -> tuple[Cell, ...]:
    return tuple(
        run_link(folder, str(value)) if column == RUN else value for column, value in zip(columns, row, strict=True)
    )


def findings(record: RunRecord) -> tuple[str, ...]:
    """What the newest reports say of DGGAN against ProgGAN, a line each."""
    lines = (line for report in reversed(record.reports) for line in _compared(report))
    return tuple(dict.fromkeys(lines))  # tables and figures share their models


def _compared(report: Mapping[str, Any]) -> Iterator[str]:
    final = {one["model"]: one for one in report["models"] if one["final"]}
    if {"DGGAN", "ProgGAN"} <= final.keys():
        ours, baseline = final["DGGAN"]["scores"], final["ProgGAN"]["scores"]
        for key, score in ours.items():
            other = baseline.get(key)
            if metric_of(key) in SPREADS or score is None or other is None:
                continue
            note = " (higher is better)" if higher_is_better(key) else ""
            yield f"{key} of DGGAN {short_number(score)}, of ProgGAN {short_number(other)}{note}"
