"""The page of a growing search: the tree of its candidates, the winner's lineage, and the paper's analysis. No torch."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from math import isfinite, log
from statistics import fmean
from typing import Any

from ganas.growing.architecture import SIDES, GrowthArchitecture
from ganas.growing.candidates import score_of
from ganas.growing.config import GrowConfig
from ganas.growing.history import History, Record
from ganas.growing.plan import remaining_stages
from ganas.growing.runner import seconds_left
from ganas.progress import readable_seconds
from ganas.records import RunRecord
from ganas.report.blocks import Block, Chart, Fact, Frame, Gallery, Page, Picker, Section, Table, Timeline, Tone, Tree
from ganas.report.charts import quantitative
from ganas.report.health import STATES, state_tone
from ganas.report.page_parts import config_section, key_table
from ganas.report.thumbnails import data_uri, frames, readable, thinned
from ganas.report.translators import quoted

SIDE = 256  # pixels of a candidate's picture
MAX_PICTURES = 300  # of candidates: at 10 kB each they stay well below the page's 10 MB
MAX_CURVES = 3000  # candidates whose losses are in the page
CURVE_POINTS = 12  # of a curve


def grow_page(record: RunRecord) -> Page:
    """Build the page of a growing search, during or after it."""
    config, history = record.config, record.history
    assert isinstance(config, GrowConfig) and history
    done = [one for one in history.records if one.result and one.result.state == "done"]
    remaining = _remaining(config, history) if record.state != "finished" else []
    left = sum(len(specs) for _, specs in remaining)
    sections = [
        Section("winner", "The best, step by step", _lineage(record, history)),
        Section("tree", "All candidates", _tree(record, history) + _beams(history) + _rungs(history)),
        Section("analysis", "What scores depend on", analysis(history), "The analysis of the paper, on this run."),
        Section("cost", "What it cost", [_cost(history), *_stages(remaining)]),
        Section("scores", "The scores", [key_table(_keys(done))] if done else []),
        config_section(record),
    ]
    strategy = "a fixed route" if config.growth.route is not None else f"strategy {config.growth.strategy}"
    total = len(done) + left
    return Page(
        title=record.name,
        subtitle=f"Growing search of a GAN (DGGAN) · {strategy} · to {config.data.resolution}×{config.data.resolution} pixels",
        state=STATES[record.state][0],
        tone=state_tone(record.state),
        share=1.0 if record.state == "finished" else len(done) / total if total else 0.0,
        facts=(
            _progress(record, history, remaining),
            _health(history),
            _outcome(record, history),
            _quality(record, history),
            _trust(record, config, history),
            _next(record),
        ),
        sections=[section for section in sections if section.blocks],
    )


def _keys(done: Sequence[Record]) -> list[str]:
    return [*dict.fromkeys(key for one in done if one.result for key in one.result.scores)]


def _remaining(config: GrowConfig, history: History) -> list[tuple[str, list[Any]]]:
    results = {one.spec.id: one.result for one in history.records if one.result}
    return [(name, specs) for name, specs in remaining_stages(config, results) if specs]


def score_at_end(one: Record) -> float | None:
    """The score of a candidate, if it has a finite one."""
    score = score_of(one.result) if one.result else None
    return score if score is not None and isfinite(score) else None


# ── at a glance ──────────────────────────────────────────────────────────────────────────────────────────────────────


def _progress(record: RunRecord, history: History, remaining: Sequence[tuple[str, list[Any]]]) -> Fact:
    state, _ = STATES[record.state]
    counts: dict[str, int] = defaultdict(int)
    for one in history.records:
        counts[one.state] += 1
    details = [", ".join(f"{count:,} {name}" for name, count in counts.items())]
    details.append(f"{record.images:,} images seen by all candidates together")
    hours = sum(one.result.took for one in history.records if one.result)
    details.append(f"{readable_seconds(hours)} of work so far")
    if record.state != "finished":
        done = [(one.spec, one.result) for one in history.records if one.result]
        ahead = [spec for _, specs in remaining for spec in specs]
        seconds = seconds_left(ahead, done, max(1, counts["running"]))
        if seconds is not None:
            details.append(f"about {readable_seconds(seconds)} left, for {len(ahead):,} candidates")
        if record.state != "running":
            details.append("the same command resumes")
    return Fact("How far is it?", state, state_tone(record.state), tuple(details))


def _health(history: History) -> Fact:
    failed = [one for one in history.records if one.state == "failed"]
    ended = [one for one in history.records if one.result]
    if not ended:
        return Fact("Is it healthy?", "too early to tell", "plain", ("no candidate has ended yet",))
    troubles = [f"{one.spec.id}: {one.result.error}" for one in failed[:3] if one.result]
    share = len(failed) / len(ended)
    tone: Tone = "good" if not failed else "fair" if share < 0.2 else "bad"
    gains = [gain for one in ended if (gain := _gain_of_training(one)) is not None]
    notes = [f"{len(failed):,} of {len(ended):,} candidates failed"]
    if gains:
        improved = sum(gain > 0 for gain in gains)
        notes.append(f"training improved the score of {improved:,} of {len(gains):,}")
        if improved * 2 < len(gains):
            tone = "fair" if tone == "good" else tone
            troubles.append("most candidates end worse than they start: they may train too briefly")
    return Fact("Is it healthy?", "yes" if tone == "good" else "look at this", tone, (*notes, *troubles))


def _gain_of_training(one: Record) -> float | None:
    start, end = one.result.facts.get("start") if one.result else None, score_at_end(one)
    return start - end if isinstance(start, int | float) and isfinite(start) and end is not None else None


def _outcome(record: RunRecord, history: History) -> Fact:
    if history.best is None:
        return Fact("What came out?", "nothing yet", "plain", ("no candidate has reached the final resolution",))
    best = history.record(history.best)
    layers = best.spec.architecture
    details = [
        f"{side}: {' '.join(map(str, layers.layers(side))) or 'base'}, {layers.parameters(side):,} parameters"
        for side in SIDES
    ]
    answer = f"generator {best.spec.id}, {layers.resolution}×{layers.resolution}"
    return Fact("What came out?", answer, "good" if record.result else "plain", tuple(details))


def _quality(record: RunRecord, history: History) -> Fact:
    question = "How good is it?"
    if history.best is None:
        return Fact(question, "not known yet", "plain")
    best = history.record(history.best)
    details, tone = [], "plain"
    for score in record.scores:
        details.append(
            f"{score.key} {'not a number' if score.value is None else f'{score.value:.4g}'} after the longer training"
        )
    if (end := score_at_end(best)) is not None:
        details.append(f"{end:.4g} when the search chose it, lower is better")
    if best.normalized is not None:
        tone = "good" if best.normalized < 1 else "fair"
        words = "better" if best.normalized < 1 else "no better"
        details.append(f"{best.normalized:.3f} of the ProgGAN route's score after as many images")
        return Fact(question, f"{words} than ProgGAN growth", "good" if tone == "good" else "fair", tuple(details))
    return Fact(question, f"{end:.4g}" if end is not None else "not known", "plain", tuple(details))


def _trust(record: RunRecord, config: GrowConfig, history: History) -> Fact:
    question = "Can I trust it?"
    if not record.result:
        return Fact(question, "too early to tell", "plain", ("the search has not ended",))
    searched = sum(one.role == "search" for one in history.records)
    doubts = [f"one seed ({config.seed}); the best of {searched:,} scores is partly luck"]
    if not any(one.role == "repeat" for one in history.records):
        doubts.append("its finalists were not trained again: --set growth.finalists=3 tells luck from architecture")
    if config.metrics.images < 2000:
        doubts.append(f"scores are of {config.metrics.images:,} images")
    doubts.append("compare with --set growth.strategy=random and --route proggan of as many images")
    return Fact(question, "as a model, not as a ranking", "fair", tuple(doubts))


def _next(record: RunRecord) -> Fact:
    if not record.result:
        running = record.state == "running"
        return Fact("What next?", "wait" if running else "run the same command again", "plain")
    command = quoted("sample", record.path, f"{record.path}-samples.png", "-n", 64, "--grid")
    return Fact("What next?", "generate images", "plain", (), command)


# ── the tree ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _tree(record: RunRecord, history: History) -> list[Block]:
    ranks = _ranks(history.records)
    best = {*history.lineage}
    gains = improvements(history)
    nodes = [_node(one, ranks.get(one.spec.id), gains.get(one.spec.id), one.spec.id in best) for one in history.records]
    curves, pictures = {}, {}
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


def _curves(points: Sequence[Any]) -> dict[str, list[list[float]]]:
    """The losses of both networks, summed, at a few points."""
    found: dict[str, list[list[float]]] = {}
    logged = [point for point in points if any(name.startswith("loss/") for name in point.values)]
    step = max(1, len(logged) // CURVE_POINTS)
    for point in logged[::step]:
        for name, value in point.values.items():
            if name.startswith("loss/"):
                found.setdefault(name.removeprefix("loss/"), []).append([point.images, float(f"{value:.4g}")])
    return found


def _lineage(record: RunRecord, history: History) -> list[Block]:
    """The ancestors of the best with their samples, and the best over time."""
    pictures, rows = [], []
    for name in history.lineage:
        one = history.record(name)
        grown = one.spec.action or ("trained on" if one.spec.parent else "base")
        score = score_at_end(one)
        number = "" if score is None else f", {score:.4g}"
        if last := next(readable(record.candidate(name).samples[::-1]), None):
            size = one.spec.architecture.resolution
            pictures.append(Frame(f"{grown}, {size}×{size}{number}", data_uri(last[1], SIDE)))
        rows.append((name, grown, str(one.spec.architecture), score, one.normalized))
    blocks: list[Block] = []
    winner = record.result.get("winner")
    trace = record.candidate(winner) if winner else record.trace
    chosen = thinned(trace.samples)
    if last := next(readable(chosen[::-1]), None):
        scale = max(1, round(512 / last[1].width))
        blocks.append(
            Timeline(
                id="samples",
                title="Samples of the winner" if winner else "Samples of the best so far",
                caption="The same latents each time, so that a picture changes only by training.",
                frames=frames(chosen, 640, "images"),
                width=last[1].width * scale,
                height=last[1].height * scale,
            )
        )
    if pictures:
        caption = (
            "From the base networks to the best: the action that grew each candidate, and its score at its resolution."
        )
        blocks.append(Gallery("Lineage of the best", caption, pictures))
    if rows:
        blocks.append(Table("Lineage", ("id", "action", "architecture", "score", "÷ ProgGAN"), rows, folded=True))
    return blocks


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


# ── the paper's analysis ─────────────────────────────────────────────────────────────────────────────────────────────


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
    """The paper's three plots: the balance of the networks, the actions, and whether good parents have good children."""
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
        (action, len(found), sum(gain > 0 for gain in found) / len(found), fmean(found))
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
            "tooltip": [{"field": name} for name in ("action", "candidates", "improved", "gain")],
        },
    }
    caption = "How much each action improves the score over the parent's, on average. Pale bars are of few candidates."
    return Chart("actions", "What each action does", caption, spec, ("action", "candidates", "improved", "gain"), rows)


def _heredity(history: History) -> Chart | None:
    """P(good child | good parent) and P(good child | other parent), good being among a share of its stage."""
    ranks = _stage_ranks(history.records)
    pairs = [
        (ranks[one.spec.parent], ranks[one.spec.id])
        for one in history.records
        if one.spec.parent in ranks and one.spec.id in ranks and one.role == "search"
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
        "Pruning parents is safe where the lines are far apart: then good parents have good children. Only parents that "
        "were kept have children, so the other ones are the worst of the kept."
    )
    return Chart(
        "heredity",
        "Do good parents have good children?",
        caption,
        spec,
        ("series", "share", "probability", "children"),
        rows,
    )


def _stage_ranks(records: Sequence[Record]) -> dict[str | None, float]:
    """The rank of each candidate of the search within its generation, 0 for the best and 1 for the worst."""
    stages: dict[int, list[tuple[float, str]]] = defaultdict(list)
    for one in records:
        if one.role == "search" and (found := _comparable(one)):
            stages[one.spec.generation].append((found[1], one.spec.id))
    kept = {one.spec.id for one in records if one.kept}
    ranks: dict[str | None, float] = {}
    for stage in stages.values():
        for group in (stage, [pair for pair in stage if pair[1] in kept]):
            for place, (_, name) in enumerate(sorted(group)):
                ranks[name] = place / max(1, len(group) - 1)  # parents last: among the kept
    return ranks


# ── cost ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _cost(history: History) -> Table:
    by_generation: Mapping[tuple[str, int], list[Record]] = defaultdict(list)
    for one in history.records:
        by_generation[one.role, one.spec.generation].append(one)
    rows = []
    for (role, generation), found in sorted(by_generation.items(), key=lambda item: (item[0][0] != "search", item[0])):
        results = [one.result for one in found if one.result]
        failed = sum(one.state == "failed" for one in found)
        images, seconds = sum(result.images for result in results), sum(result.took for result in results)
        name = str(generation) if role == "search" else f"{role}, {generation}"
        rows.append((name, len(found), failed, images, readable_seconds(seconds)))
    return Table("Candidates, images and time", ("generation", "candidates", "failed", "images", "time"), rows)


def _stages(remaining: Sequence[tuple[str, list[Any]]]) -> list[Block]:
    rows = [(name, len(specs), sum(spec.images for spec in specs)) for name, specs in remaining]
    return [Table("What is left", ("stage", "candidates", "images"), rows)] if rows else []
