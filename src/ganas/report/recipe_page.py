"""The page of a recipe: the table of a figure of the paper, the figure, and the runs behind it. No torch."""

from statistics import mean, stdev

from ganas.cyclegan.layout import DIRECTIONS
from ganas.errors import counted
from ganas.metrics.measurement import higher_is_better, loss_of
from ganas.recipes.growing.jobs import GrowingFolder
from ganas.records import RunRecord
from ganas.report.blocks import Block, Chart, Fact, Frame, Gallery, Page, Picker, Section, Table, Tone, run_link
from ganas.report.charts import quantitative
from ganas.report.fronts import recipe_blocks
from ganas.report.growing_recipe import FIGURE_SIDE, findings, growing_sections
from ganas.report.health import STATES
from ganas.report.page_parts import key_table
from ganas.report.thumbnails import data_uri, readable
from ganas.report.translators import quoted


def recipe_page(record: RunRecord) -> Page:
    """Build the page of a recipe, during or after it."""
    done = [one for one in record.jobs if one.state == "done"]
    failed = [one for one in record.jobs if one.state == "failed"]
    drawn = {GrowingFolder(record.path).figure(report) for report in record.reports}  # in their own sections
    plots = [sample for sample in record.samples if sample.path not in drawn]
    figures = [Frame(sample.path.name, data_uri(picture, FIGURE_SIDE)) for sample, picture in readable(plots)]
    shown: list[Block] = [*recipe_blocks(record.rows, record.variant_samples), *_chart(record), *_table(record)]
    if figures:
        shown.append(Gallery("The figure", "As the paper draws it.", figures, "whole"))
    jobs = [
        (
            one.job.id,
            one.job.kind,
            one.job.name,
            one.job.dataset.name,
            one.job.seed,
            one.state,
            one.error or "; ".join(map(str, one.scores)),
            run_link(record.path, one.path),
        )
        for one in record.jobs
    ]
    columns = ("job", "kind", "variant", "data", "seed", "state", "scores or error", "run")
    sections = [
        *growing_sections(record),
        Section("results", "Results", shown),
        Section(
            "jobs",
            "Searches and trainings",
            [Table("Jobs", columns, jobs)],
            f"Each is a run of its own: {quoted('report')} {record.path}/RUN writes its page, which this one links",
        ),
        Section(
            "scores", "The scores", [key_table([str(row["metric"]) for row in record.rows])] if record.rows else []
        ),
    ]
    repeats = min((len(row["scores"]) for row in record.rows), default=0)
    tone: Tone = "bad" if failed else "good"
    return Page(
        title=record.name,
        subtitle="Experiments of the papers",
        state=STATES[record.state][0],
        tone=STATES[record.state][1],
        share=len(done) / len(record.jobs) if record.jobs else None,
        facts=(
            Fact(
                "How far is it?",
                STATES[record.state][0],
                STATES[record.state][1],
                (
                    f"{len(done)} of {len(record.jobs)} jobs so far are done",
                    f"{record.images:,} images or pairs seen",
                ),
            ),
            Fact(
                "Is it healthy?",
                f"{counted(len(failed), 'job')} failed" if failed else "yes",
                tone,
                tuple(f"{one.job.id}: {one.error}" for one in failed[:3]),
            ),
            Fact(
                "What came out?",
                _outcome(record),
                "plain",
                _best(record),
            ),
            Fact(
                "How good is it?",
                "in the table" if record.rows or record.reports else "not known yet",
                "plain",
                (*findings(record), *_beaten(record)),
            ),
            Fact(
                "Can I trust it?",
                f"{repeats} seeds a variant" if repeats else "one seed" if record.reports else "too early to tell",
                "good" if repeats >= 3 else "fair" if repeats or record.reports else "plain",
                ("differences within the deviation over seeds are noise",),
            ),
            Fact(
                "What next?",
                "wait"
                if record.state == "running"
                else "the same command retries what failed"
                if failed
                else "read the table",
                "plain",
            ),
        ),
        sections=[section for section in sections if section.blocks],
    )


def _outcome(record: RunRecord) -> str:
    parts = [f"{len(record.rows)} rows"] if record.rows else []
    parts += [str(report["figure"]) for report in record.reports]
    return ", ".join(dict.fromkeys(parts)) or "nothing yet"


def _best(record: RunRecord) -> tuple[str, ...]:
    lines = []
    for dataset, direction in dict.fromkeys((row["dataset"], row["direction"]) for row in record.rows):
        rows = [row for row in record.rows if (row["dataset"], row["direction"]) == (dataset, direction)]
        best = min(rows, key=lambda row: loss_of(row["metric"], mean(row["scores"])))
        extreme = "highest" if higher_is_better(best["metric"]) else "lowest"
        lines.append(f"{dataset} {DIRECTIONS[direction]}: {best['variant']} has the {extreme} {best['metric']}")
    return tuple(lines)


def _beaten(record: RunRecord) -> tuple[str, ...]:
    better = sum(
        loss_of(row["metric"], mean(row["scores"])) < loss_of(row["metric"], row["untranslated"]) for row in record.rows
    )
    return (
        (f"{better} of {len(record.rows)} variants and directions are better than untranslated images",)
        if record.rows
        else ()
    )


def _table(record: RunRecord) -> list[Block]:
    rows = [
        (
            *(row["dataset"], row["variant"], DIRECTIONS[row["direction"]], row["width"], row["parameters"]),
            *(row["macs"] / 1e9, row["untranslated"], mean(row["scores"])),
            *(stdev(row["scores"]) if len(row["scores"]) > 1 else None, len(row["scores"]), row["share"]),
        )
        for row in record.rows
    ]
    columns = (
        "data",
        "variant",
        "direction",
        "width",
        "parameters",
        "GMACs",
        "untranslated",
        "mean",
        "deviation",
        "seeds",
        "÷ reference",
    )
    return [Table("The table", columns, rows)] if rows else []


def _chart(record: RunRecord) -> list[Block]:
    rows = [
        (
            f"{row['dataset']} {DIRECTIONS[row['direction']]}",
            row["variant"],
            row["group"],
            seed,
            score,
            row["untranslated"],
            row["metric"],
        )
        for row in record.rows
        for seed, score in zip(row["seeds"], row["scores"], strict=False)
    ]
    if not rows:
        return []
    parts = [*dict.fromkeys(str(row[0]) for row in rows)]
    y = {"field": "variant", "type": "nominal", "sort": None, "title": None}
    title = f"score, {'higher' if higher_is_better(str(rows[0][-1])) else 'lower'} is better"
    x = quantitative("score", title)
    color = {"field": "group", "type": "nominal", "title": None}
    spec = {
        "width": "container",
        "height": {"step": 26},
        "layer": [
            {
                "mark": {"type": "point", "filled": True, "size": 60, "opacity": 0.7},
                "encoding": {
                    "x": x,
                    "y": y,
                    "color": color,
                    "tooltip": [{"field": name} for name in ("variant", "seed", "score", "metric")],
                },
            },
            {
                "mark": {"type": "tick", "thickness": 2, "size": 20},
                "encoding": {"x": {**x, "aggregate": "mean"}, "y": y, "color": color},
            },
            {
                "mark": {"type": "rule", "strokeDash": [6, 4]},
                "encoding": {"x": quantitative("untranslated", title)},
            },
        ],
    }
    columns = ("part", "variant", "group", "seed", "score", "untranslated", "metric")
    caption = "A point is a training, the bar its variant's mean; dashed: untranslated images."
    return [
        Chart(
            "variants",
            "Variants",
            caption,
            spec,
            columns,
            rows,
            (Picker("part", "Data", tuple((part, part) for part in parts)),),
        )
    ]
