"""Runs of every kind, written by hand, without training: small ones, hostile ones, and one of 2,000 candidates."""

import json
from collections.abc import Sequence
from dataclasses import replace
from math import exp
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image

from ganas.cyclegan.architecture import Architecture, random_architecture
from ganas.cyclegan.config import RunConfig
from ganas.cyclegan.front import Front, Point, Subnetwork
from ganas.cyclegan.layout import GENERATORS, LAYOUTS, NETWORKS
from ganas.growing.candidates import Spec
from ganas.growing.children import uniform
from ganas.growing.config import GrowConfig
from ganas.growing.plan import baseline_route, candidate_spec, open_strategy, tell_finished
from ganas.jobs.result import Result
from ganas.presets import make_config
from ganas.recipes.cyclegan.figures import recipe
from ganas.recipes.cyclegan.jobs import JOB, Dataset, RecipeFolder
from ganas.store import Run

HOSTILE = "\"><img src=x onerror=window.hacked=1>'</script><script>window.hacked=1</script>{{7*7}}&lt;"
HOSTILE_NAME = HOSTILE.replace("/", "_")  # of a file
FRAMED = LAYOUTS["framed"]
SIDE = 16  # pixels


def write_picture(path: Path, rows: int, columns: int, side: int = SIDE, seed: int = 0) -> None:
    """A grid of colored tiles, as the trainers write them."""
    shape = rows * (side + 2) - 2, columns * (side + 2) - 2, 3
    canvas = np.full(shape, 255, np.uint8)
    colors = np.random.default_rng(seed).integers(0, 220, (rows, columns, 3))
    for y in range(rows):
        for x in range(columns):
            canvas[y * (side + 2) : y * (side + 2) + side, x * (side + 2) : x * (side + 2) + side] = colors[y, x]
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(canvas).save(path)


def _config(kind: Literal["search", "train"], text: str, **values: Any) -> RunConfig:
    flags = {"data.a": f"photos{text}", "data.b": f"paintings{text}", "data.resolution": SIDE}
    config = make_config(kind, preset="tiny", flags=flags, settings=["training.images=400"])
    assert isinstance(config, RunConfig)
    return config.with_values(values)


def _lines(run: Run, count: int, text: str, **more: Any) -> None:
    for number in range(1, count + 1):
        nimg = 40 * number
        losses = {
            f"{name}_{part}": round(height * exp(-number / 8), 6)
            for name, height in (("adversarial", 1.0), ("cycle", 9.0), ("discriminator", 0.6))
            for part in ("ab", "ba")
        }
        losses |= {f"cycle_{text}": 1.0} if text else {}
        times = {"time": 1e9 + 10.0 * number, "step_seconds": 9.0, "wait_seconds": 0.5}
        run.append_metrics({"nimg": nimg, **times, "loss": losses} | {key: make(nimg) for key, make in more.items()})
        if number % 5 == 0:
            write_picture(run.samples / f"{nimg:09d}.png", 6, 6, seed=number)


def write_search(folder: Path, text: str = "", *, lines: int = 10, finished: bool = True) -> Run:
    """A search whose weights become clearer over time; `text` stands wherever text of others may."""
    run = Run(folder)
    found = random_architecture(FRAMED, 1)
    budget = {"search.budget": "params", "search.budget_ab": 2e5, "search.budget_ba": 2e5}
    run.write_text(run.config, _config("search", text, **budget).to_yaml())

    def slots(nimg: int) -> list[dict[str, Any]]:
        rows = []
        for network in NETWORKS:
            for slot, op in zip(FRAMED.network(network).searched, found.ops(network), strict=True):
                lead = nimg / 800
                rest = (1 - 1 / len(slot.ops) - lead * 0.4) / (len(slot.ops) - 1)
                weights = {name: 1 / len(slot.ops) + lead * 0.4 if name == op else rest for name in slot.ops}
                first, second = sorted(weights.values())[:-3:-1]
                choice = {"network": network, "slot": slot.name, "op": op, "weight": first, "margin": first - second}
                rows.append({**choice, "entropy": 1 - lead, "weights": weights})
        return rows

    _lines(run, lines, text, slots=slots, search=lambda nimg: {"median_entropy": 1 - nimg / 800, "median_margin": 0.1})
    run.log.write_text(f"2026-01-01 00:00:00 note: {text or 'all is well'}\n", encoding="utf-8")
    if finished:
        run.write_text(run.architecture, found.to_json())
        choices = slots(40 * lines)
        overruled = [{"network": GENERATORS[0], "slot": "e1.1", "op": text or "conv3", "instead_of": "conv7"}]
        result = {"architecture": found.id, "verdict": f"clear: {text}", "images": 400, "choices": choices}
        run.write_result(result | {"budget": {GENERATORS[0]: 0.9}, "overruled": overruled})
    return run


def write_front(folder: Path, text: str = "", *, pictures: int = 3) -> Run:
    """A search that found a front of three points."""
    run = Run(folder)
    settings = {"nets.layout": "elastic", "search.strategy": "sampled", "search.generations": 2}
    run.write_text(run.config, _config("search", text, **settings).to_yaml())
    _lines(run, 10, text)
    layout = LAYOUTS["elastic"]
    points = []
    for number in range(3):
        found = random_architecture(layout, number)
        translators = []
        for direction, name in enumerate(GENERATORS):
            measured = Subnetwork(found.ops(name), 5.0 + 10 * number + direction, 6.0, 10**9, 10**5, 0.3 - number / 10)
            scored = replace(measured, metric=f"psnr@rgb-native-{SIDE}{text}", score=20.0 + number, error=0.5)
            translators.append(scored)
        points.append(Point(6.0 + 10 * number, *translators))
        if number < pictures:
            write_picture(run.front_picture(number), 4, 6, seed=number)
    front = Front(tuple(points), 256, 400)
    run.write_text(run.front, front.to_json())
    run.write_text(run.architecture, points[-1].architecture.to_json())
    run.write_result(
        {"architecture": points[-1].architecture.id, "verdict": f"front {text}", "images": 400, "points": 3}
    )
    return run


def write_training(folder: Path, text: str = "", *, seed: int = 0, lines: int = 10, finished: bool = True) -> Run:
    """A training with scores of both directions, and pairs."""
    run = Run(folder)
    architecture = random_architecture(FRAMED, 2)
    run.write_text(run.config, _config("train", text, seed=seed).to_yaml())
    run.write_text(run.architecture, architecture.to_json())
    key, paired = "swd@laplacian-clean-16", f"psnr@rgb-native-{SIDE}{text}"
    _lines(run, lines, text)
    for nimg in (200, 400)[: lines // 5]:
        scores = {f"{d}/{key}": 0.2 - nimg / 4000 + seed / 100 for d in ("ab", "ba")} | {
            f"ab/{paired}": 15 + nimg / 100
        }
        scores |= {"ab/kid@squeezenet-clean-128": 30.0, "ab/kid_stderr@squeezenet-clean-128": 2.0}
        protocol = {d: {"split": "validation", "fake_images": 20, "note": text} for d in ("ab", "ba")}
        run.append_metrics({"nimg": nimg, "score_seconds": 1, "scores": scores, "protocol": protocol})
    run.log.write_text(f"2026-01-01 00:00:00 note: {text or 'all is well'}\n", encoding="utf-8")
    if finished:
        kept = {
            d: {
                "metric": key,
                "score": score,
                "split": "validation",
                "chosen": True,
                "nimg": 400,
                "untranslated": {key: 0.15},
            }
            for d, score in (("ab", 0.1 + seed / 100), ("ba", 0.16))
        }
        write_picture(run.example_picture("ab"), 3, 4)
        examples = [{"name": f"{n} {text}.png", "score": 10.0 + n} for n in range(4)]
        document = {"key": paired, "images": 400, "side": SIDE, "examples": examples}
        run.write_text(run.example_scores("ab"), json.dumps(document))
        run.write_result({"architecture": architecture.id, "images": 400, "kept": kept})
    return run


def write_repeats(folder: Path, text: str = "", seeds: Sequence[int] = (0, 1, 2)) -> Path:
    """A training with several seeds."""
    for seed in seeds:
        write_training(Run(folder).repeat(seed).path, text, seed=seed)
    kept = {"ab": {"metric": "swd@laplacian-clean-16", "score": 0.1, "chosen": True, "nimg": 400, "seed": 0}}
    Run(folder).write_result({"images": 400, "kept": kept, "repeats": len(seeds)})
    return folder


def grow_config(folder: Path, text: str = "", **values: Any) -> GrowConfig:
    """The config of a growing run."""
    flags = {"data.images": f"photos{text}", "seed": 0}
    config = make_config("grow", preset="tiny", flags=flags)
    assert isinstance(config, GrowConfig)
    return config.with_values({"metrics.select": "swd", **values})


def write_growth(
    folder: Path,
    text: str = "",
    *,
    candidates: int = 10**6,  # stop after so many have ended
    pictures: bool = True,
    **values: Any,  # of the config
) -> Run:
    """A growing search with random scores; the first candidate of the second generation failed."""
    run, config = Run(folder), grow_config(folder, text, **values)
    run.write_text(run.config, config.to_yaml())
    search, route, results = open_strategy(config), baseline_route(config), dict[str, Result]()

    def train(spec: Spec, images: int, *, on_route: bool = False) -> None:
        candidate = run.candidate(spec.id)
        score = (0.5 + uniform("score", spec.id)) / (1 + spec.generation)
        failed = not on_route and spec.generation == 1 and not any(one.state == "failed" for one in results.values())
        facts: dict[str, Any] = {"start": 1.2 * score}
        if before := results.get(spec.id):  # at a rung
            facts["earlier"] = {**before.facts.get("earlier", {}), str(before.images): before.scores}
        done = Result("done", images, 10.0, 12.0, {"swd@laplacian-clean-8": score}, facts)
        results[spec.id] = Result("failed", error=text or "out of memory") if failed else done
        candidate.path.mkdir(parents=True, exist_ok=True)
        candidate.spec.write_text(spec.to_json())
        lines = [
            {
                "nimg": spec.images * n // 8,
                "time": 1e9 + n,
                "loss": {"generator": score * n, f"discriminator{text}": 1 / n},
            }
            for n in range(1, 9)
        ]
        candidate.metrics.write_text("".join(json.dumps(line) + "\n" for line in lines))
        candidate.result.write_text(results[spec.id].to_json())
        if pictures:
            write_picture(candidate.samples / f"{spec.images:09d}.png", 8, 8, seed=spec.seed % 1000)

    for spec in route:
        train(spec, spec.images, on_route=True)
    while (asked := search.ask()) and len(results) < candidates:
        for candidate, images in asked:
            result = results.get(candidate.id)
            if (result is None or (result.state == "done" and result.images < images)) and len(results) < candidates:
                train(candidate_spec(config, candidate), images)
        if not tell_finished(search, results, route):
            break
    run.log.write_text(f"2026-01-01 00:00:00 note: {text or 'all is well'}\n", encoding="utf-8")
    if not search.ask() and (winner := search.winner()):
        ((metric, score),) = results[winner.id].scores.items()
        result = {"architecture": winner.architecture.id, "winner": winner.id, "metric": metric, "score": score}
        run.write_result(result | {"candidates": len(results), "failed": 1})
    return run


LARGE = {  # about 2,000 candidates
    "growth.depth": 8,
    "growth.keep": 20,
    "growth.probability": 0.85,
    "growth.sizes": (3, 7),
    "growth.filters": (16, 32, 64, 128, 256, 512),
    "data.resolution": 32,
}


def write_recipe(folder: Path, text: str = "") -> Path:
    """A recipe with a finished training, a failed one and one that waits."""
    recipe_folder = RecipeFolder(folder)
    jobs = recipe("fig6", "tiny", [Dataset(f"noise{text}", "data/noise", 4, 4, "0")]).jobs
    done, failed = [job for job in jobs if job.kind == "train"][:2]
    for job, result in ((done, Result("done", 6)), (failed, Result("failed", error=text or "out of memory"))):
        at = recipe_folder.job(job.id)
        at.write_text(at.path / JOB, job.to_json())
        at.write_text(at.result, result.to_json())
    write_training(recipe_folder.run(done.id).path, text)
    judged = {d: {"scores": {"swd@x": 2.0}} for d in ("ab", "ba")}
    recipe_folder.scores(done.id).write_text(json.dumps({"translated": judged, "untranslated": judged}))
    row = {
        "dataset": f"noise{text}",
        "group": f"N{text}",
        "architecture": "a",
        "seeds": [0, 1],
        "width": 4,
        "parameters": 1000,
        "bytes": 4000,
        "macs": 10**6,
        "size": 1,
        "asymmetry": 1,
        "metric": f"swd@x{text}",
        "untranslated": 3.0,
        "share": None,
        "others": {},
        "milliseconds": [20.0, 21.0],
    }
    rows = [
        row
        | {"variant": f"{name}{text}", "runs": [f"jobs/{done.id}/run"], "direction": d, "scores": [2.0 + n, 2.5 + n]}
        for n, name in enumerate(("C4", "N4"))
        for d in ("ab", "ba")
    ]
    (folder / "fig6-tiny-noise-abcdef.json").write_text(json.dumps(rows))
    write_picture(folder / "fig6-tiny-noise-abcdef.png", 2, 3)
    return folder


def write_measurement(file: Path, text: str = "") -> Path:
    """What ``ganas evaluate RUN --json`` prints."""
    key = f"fid@squeezenet-clean-64{text}"
    one = {"scores": {key: 12.5}, "intervals": {key: [11.0, 14.0]}, "protocol": {"split": f"test{text}"}}
    document = {
        d: {"untranslated": one | {"warnings": []}, "translated": one | {"warnings": [text]}} for d in ("ab", "ba")
    }
    file.write_text(json.dumps(document), encoding="utf-8")
    return file


def write_all(folder: Path, text: str = "", name: str = "") -> dict[str, Path]:
    """One run of each kind, by kind; `name` is added to their names."""
    return {
        "search": write_search(folder / f"search{name}", text).path,
        "front": write_front(folder / f"front{name}", text).path,
        "train": write_training(folder / f"train{name}", text).path,
        "repeats": write_repeats(folder / f"repeats{name}", text),
        "grow": write_growth(folder / f"grow{name}", text).path,
        "recipe": write_recipe(folder / f"recipe{name}", text),
        "measurement": write_measurement(folder / f"measurement{name}.json", text),
    }


def architecture_of(run: Run) -> Architecture:
    """The architecture that `write_search` found."""
    return Architecture.from_json(run.architecture.read_text())
