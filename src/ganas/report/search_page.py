"""The page of a search: what it found, whether it has decided, and what it did on the way. No torch."""

from collections.abc import Mapping, Sequence
from typing import Any

from ganas.cyclegan.architecture import Architecture
from ganas.cyclegan.layout import GENERATORS, NETWORKS, find_layout
from ganas.cyclegan.size import generator_sizes
from ganas.errors import counted
from ganas.records import RunRecord
from ganas.report.blocks import Block, Fact, Page, Section, Table
from ganas.report.charts import convergence, heat_map, losses, network_name, progress, scores
from ganas.report.fronts import front_blocks
from ganas.report.health import STATES, health_fact, pace, progress_fact
from ganas.report.page_parts import config_section, spreads
from ganas.report.translators import config_of, dearest, diagram, quoted, sample_blocks, sizes_table


def search_page(record: RunRecord) -> Page:
    """Build the page of a search, during or after it."""
    config, found = config_of(record), record.architecture
    assert config.search and (found is None or isinstance(found, Architecture))
    layout = find_layout(config.nets.layout)
    total = config.total_images
    choices = _choices(record)
    chosen = _chosen(found) if found else {(str(one["network"]), str(one["slot"])): str(one["op"]) for one in choices}
    leading: list[Block] = []
    if found:
        leading = [diagram(found, config), sizes_table(found, config, _milliseconds(record)), *_budget(record)]
        leading.append(dearest(found, config))
    charts = [losses(record.points), scores(record.points, (), spreads()), progress(record.points)]
    decided: list[Block] = [
        *convergence(record.points),
        *heat_map(record.points, chosen),
        *_reasons(choices, chosen),
    ]
    sections = [
        Section("front", "The front", front_blocks(record)),
        Section("found", "What it found" if record.front is None else "The largest point", leading),
        Section("decided", "How it decided", decided, _meaning(choices)),
        Section("samples", "Samples of the supernets", sample_blocks(record.samples, config.data.resolution)),
        Section("training", "Training", [chart for chart in charts if chart]),
        config_section(record),
    ]
    return Page(
        title=record.name,
        subtitle=f"Search of the networks of a CycleGAN · layout {layout.name} · strategy {config.search.strategy}",
        state=STATES[record.state][0],
        tone=STATES[record.state][1],
        share=pace(record.points, record.images, total).share,
        facts=(
            progress_fact(record, total, "pairs"),
            health_fact(record),
            _outcome(record, found),
            _quality(record),
            _trust(record, choices),
            _next(record, found),
        ),
        sections=[section for section in sections if section.blocks],
    )


def _choices(record: RunRecord) -> Sequence[Mapping[str, Any]]:
    """The choice in every slot at the end, or so far."""
    final = record.result.get("choices")
    return final or next((point.slots for point in reversed(record.points) if point.slots), ())


def _chosen(found: Architecture) -> dict[tuple[str, str], str]:
    layout = find_layout(found.layout)
    return {
        (name, slot.name): op
        for name in NETWORKS
        for slot, op in zip(layout.network(name).searched, found.ops(name), strict=True)
    }


def _milliseconds(record: RunRecord) -> list[float | None]:
    """The measured time of both generators; known only to searches within a budget of milliseconds."""
    config = config_of(record)
    used = record.result.get("budget", {})
    search = config.search
    assert search
    limits = dict(zip(GENERATORS, (search.budget_ab, search.budget_ba), strict=True))
    if search.budget != "ms":
        return [None, None]
    return [used[name] * limit if name in used and (limit := limits[name]) else None for name in GENERATORS]


def _budget(record: RunRecord) -> list[Block]:
    """How much of the budget each generator uses, and where it overruled the leading op."""
    search, used = config_of(record).search, record.result.get("budget", {})
    assert search
    if not used:
        return []
    limits = dict(zip(GENERATORS, (search.budget_ab, search.budget_ba), strict=True))
    rows = [
        (network_name(name), f"{limit:,g} {search.budget}", f"{share:.1%}")
        for name, share in used.items()
        if (limit := limits.get(name))
    ]
    blocks: list[Block] = [Table("Budget", ("generator", "limit", "used"), rows)] if rows else []
    if overruled := record.result.get("overruled", ()):
        columns = ("network", "slot", "chosen", "instead of")
        replaced = [(network_name(one["network"]), one["slot"], one["op"], one["instead_of"]) for one in overruled]
        by = "the projection" if search.derive == "projection" else "the budget"
        blocks.append(Table(f"Where {by} overruled the leading op", columns, replaced))
    return blocks


def _reasons(choices: Sequence[Mapping[str, Any]], chosen: Mapping[tuple[str, str], str]) -> list[Block]:
    """Why each op was chosen."""
    if not choices:
        return []
    rows = [
        (
            network_name(one["network"]),
            one["slot"],
            op,
            one["weight"],
            one["margin"],
            one["entropy"],
            _why(one, op),
        )
        for one in choices
        for op in [chosen.get((one["network"], one["slot"]), one["op"])]
    ]
    columns = ("network", "slot", "chosen", "largest weight", "margin", "entropy", "why")
    return [Table("Every slot and why", columns, rows, folded=True)]


def _why(choice: Mapping[str, Any], op: str) -> str:
    if losses := choice.get("losses"):  # by projection
        return f"the loss rises by {losses[op]:.3g}, by {min(losses.values()):.3g} with the best"
    if op != choice["op"]:
        return "the budget"
    return "leads clearly" if _clear(choice) else "leads, undecided"


def _clear(choice: Mapping[str, Any]) -> bool:
    """Whether the leading op weighs at least twice the second, as `ganas.cyclegan.derive.Choice.decided`."""
    return bool(choice["weight"] >= 2 * (choice["weight"] - choice["margin"]))


def _meaning(choices: Sequence[Mapping[str, Any]]) -> str:
    if not choices:
        return ""
    clear = sum(map(_clear, choices))
    return (
        f"A slot is decided when its leading op weighs at least twice the second: {clear} of {len(choices)} are. That "
        f"is no proof, because the same images can come from other alphas with larger or smaller kernels: only "
        f"agreement between seeds is (ganas search --repeats 3)."
    )


def _outcome(record: RunRecord, found: Architecture | None) -> Fact:
    if found is None:
        return Fact("What came out?", "nothing yet", "plain", ("the architecture is derived at the end",))
    config = config_of(record)
    if record.front:
        count = len(record.front.points)
        lines = tuple(record.front.lines())
        return Fact("What came out?", f"a front of {counted(count, 'point')}", "good", lines)
    sizes = generator_sizes(found, config.nets, config.data.resolution)
    details = [
        f"{network_name(size.network)}: {size.parameters:,} parameters, {size.macs / 1e9:.3f} GMACs" for size in sizes
    ]
    details.append("at the width of the search; train it at any width")
    return Fact("What came out?", f"architecture {found.id}", "good", tuple(details))


def _quality(record: RunRecord) -> Fact:
    trained = "how good they are shows when they are trained"
    points = [*enumerate(record.front.points)] if record.front else []
    scored = [
        f"{network_name(name)}, point {number}: {one.metric} {one.score:.4g}, {one.milliseconds:.1f} ms"
        for number, point in dict([*points[:1], *points[-1:]]).items()
        for name, one in zip(GENERATORS, (point.generator_ab, point.generator_ba), strict=True)
        if one.score is not None
    ]
    if scored:
        return Fact("How good is it?", "so far, in the supernets", "plain", (*scored, trained))
    return Fact("How good is it?", "not known yet", "plain", (f"a search chooses networks; {trained}",))


def _trust(record: RunRecord, choices: Sequence[Mapping[str, Any]]) -> Fact:
    if record.result.get("points"):
        teacher = config_of(record).distillation.teacher
        of = "teacher" if teacher else "largest subnetwork"
        hint = f"distances are from the {of}: fine-tune a point to judge it"
        return Fact("Can I trust it?", "as a choice of sizes", "fair", (str(record.result["verdict"]), hint))
    if not choices:
        return Fact("Can I trust it?", "too early to tell", "plain", ("no weights were logged yet",))
    clear = sum(map(_clear, choices))
    details = [str(record.result.get("verdict") or f"{clear} of {len(choices)} slots are decided so far")]
    details.append("compare what it trains to with random architectures, too: ganas train random:0")
    return Fact("Can I trust it?", "one seed cannot tell", "fair", tuple(details))


def _next(record: RunRecord, found: Architecture | None) -> Fact:
    config = config_of(record)
    if found is None:
        text = "wait" if record.state == "running" else "run the same command again"
        return Fact("What next?", text, "plain", ("it resumes where it stopped",) if text != "wait" else ())
    command = quoted("train", record.path, "--a", config.data.a, "--b", config.data.b, "--out", f"{record.path}-train")
    if points := record.result.get("points"):
        teacher = config.distillation.teacher
        taught = f" {quoted('--teacher', teacher).removeprefix('ganas ')}" if teacher else ""
        command = f"{command} --point 0{taught}"
        return Fact("What next?", "fine-tune a point", "plain", (f"points 0 to {points - 1}",), command)
    return Fact(
        "What next?", "train it from scratch", "plain", ("three seeds and more tell method from luck",), command
    )
