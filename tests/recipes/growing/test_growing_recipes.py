"""Recipes of DGGAN as data: the runs of each table and figure, the published numbers, and reports of made-up scores."""

import json
from dataclasses import asdict, replace
from itertools import product
from pathlib import Path

import pytest

from ganas.errors import ConfigError, GanasError, RunError, Stopped
from ganas.growing.architecture import GrowthArchitecture
from ganas.growing.candidates import forget_failures
from ganas.growing.images import open_images
from ganas.growing.networks import Generator, make_generator
from ganas.growing.runner import SearchFailedError
from ganas.jobs.result import Result, read_result, write_result
from ganas.presets import make_config
from ganas.recipes.cyclegan.jobs import RecipeFolder
from ganas.recipes.growing import published, scores
from ganas.recipes.growing.experiments import EXPERIMENTS, SCALES, Experiment, experiment
from ganas.recipes.growing.jobs import GrowingFolder, GrowingJob, TrainingImages
from ganas.recipes.growing.models import Model
from ganas.recipes.growing.plan import Collector, run_experiment
from ganas.recipes.growing.published import CIFAR_LEVELS, LSUN_LEVELS, TABLE_1, TABLE_3, improvement
from ganas.recipes.growing.report import Findings, as_document, as_markdown, make_sheets, write_report
from ganas.records import read_run
from ganas.report.growing_recipe import findings as findings_of
from ganas.report.page import write_report as write_page
from ganas.store import Run
from kill_and_resume import write_images
from tiny import Capture, ganas

IMAGES = TrainingImages("noise", "/data/noise", "0")
NETWORK = {"features": "squeezenet:weights", "weights": "1"}  # preset paper's feedback is FID


def made(figure: str, scale: str = "small", **more: object) -> Experiment:
    return experiment(figure, scale, IMAGES, **(NETWORK | more))  # type: ignore[arg-type]


# ── runs ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("figure, scale", [*product(EXPERIMENTS, SCALES)])
def test_every_run_is_a_valid_growing_run_and_the_route_comes_first(figure: str, scale: str) -> None:
    one = made(figure, scale)
    names = [job.name for job in one.jobs]
    assert names[:2] == ["ProgGAN", "DGGAN"], "the search takes the scores of the route from the cache"
    assert len({job.id for job in one.jobs}) == len(names) and [job.route for job in one.jobs][:2] == ["proggan", None]
    route, search = (job.config() for job in one.jobs[:2])
    assert route == search, "the same training, also of what comes last"
    assert (search.growth.strategy, search.growth.doublings, search.rank_by) == ("topk", "late", "normalized")
    assert search.loss.adversarial == "wgan" and not search.growth.train_on, "algorithm 1 by the letter"
    for job in one.jobs:
        folder = json.loads(json.dumps(asdict(job)))
        assert GrowingJob.from_content(folder) == job, "as it is stored"
        assert (job.config().base.autogan is not None) == (job.name == "AutoGAN")


def test_tables_and_figures_of_one_data_set_share_their_runs() -> None:
    ids = {figure: {job.name: job.id for job in made(figure, "paper").jobs} for figure in EXPERIMENTS}
    assert ids["table1"] == ids["dggan-fig2"] and ids["dggan-fig3"].items() < ids["table1"].items()
    assert ids["table2"] == ids["table3"] and not {*ids["table2"].values()} & {*ids["table1"].values()}


def test_the_scale_paper_has_the_papers_values() -> None:
    cifar, lsun = (made(figure, "paper").jobs[1].config() for figure in ("table1", "table2"))
    assert (cifar.data.resolution, cifar.base.latent, cifar.training.final_images) == (32, 128, 120_000 * 16)
    assert (lsun.data.resolution, lsun.base.latent, lsun.training.final_images) == (256, 512, 96_000 * 16)
    assert [config.growth.depth - doublings for config, doublings in ((cifar, 2), (lsun, 5))] == [6, 6]
    for config in (cifar, lsun):
        assert (config.growth.keep, config.growth.probability, config.training.images) == (20, 0.4, 1_600_000)
        assert config.selected_metric == "fid"
    with pytest.raises(ConfigError, match=r"metrics\.select=fid needs a feature network: give --features"):
        experiment("table1", "paper", IMAGES)


def test_an_id_depends_on_everything_that_affects_results() -> None:
    job = GrowingJob("DGGAN", IMAGES, "paper", 0, (("base.latent", 8),))
    changes = (
        {"name": "ProgGAN"},
        {"dataset": replace(IMAGES, digest="1")},
        {"preset": "tiny"},
        {"seed": 1},
        {"values": (("base.latent", 9),)},
        {"settings": ("training.lr=1",)},
        {"features": "squeezenet:weights"},
        {"weights": "1"},
    )
    ids = {replace(job, **change).id.rpartition("-")[2] for change in changes}  # type: ignore[arg-type]
    assert len(ids) == len(changes) and job.id.rpartition("-")[2] not in ids
    assert replace(job, dataset=replace(IMAGES, path="/elsewhere")).id == job.id, "paths do not matter"
    spelled = [replace(job, settings=(text,)).id for text in ("training.lr=1e-4", "training.lr=0.0001")]
    assert len({*spelled}) == 1 and replace(job, settings=("training.log_every=7",)).id == job.id


def test_settings_reach_autogan_only_where_its_authors_leave_a_choice() -> None:
    given = ("training.images=800", "growth.keep=3", "data.flip=true", "metrics.images=7", "training.log_every=9")
    given += ("training.batches=[32:8]", "training.patience=2", "training.device=cpu", "training.timeout=60")
    *grown, fixed = made("table1", settings=given).jobs
    assert all(job.settings == given for job in grown)
    assert fixed.settings == ("data.flip=true", "metrics.images=7", "training.device=cpu", "training.timeout=60")
    assert fixed.config().training.images == made("table1").jobs[2].config().training.images


# ── published numbers ────────────────────────────────────────────────────────────────────────────────────────────────


def test_improvements_of_table_2_are_what_the_paper_prints_but_for_one() -> None:
    percents = {side: round(100 * level.improvement) for side, level in LSUN_LEVELS.items()}
    printed = {side: level.printed for side, level in LSUN_LEVELS.items()}
    assert percents == printed | {128: 55} and printed[128] == 46


def test_improvements_on_cifar_are_printed_in_the_opposite_order() -> None:
    percents = [round(100 * level.improvement) for level in CIFAR_LEVELS.values()]
    assert percents == [level.printed for level in reversed(CIFAR_LEVELS.values())] == [51, 45, 34]
    by_own = [100 * (level.baseline - level.ours) / level.ours for level in CIFAR_LEVELS.values()]
    assert by_own == pytest.approx([105, 82.5, 51.5], abs=0.2), "divided by its own FID, that for 32 alone"


def test_published_tables_agree_with_each_other() -> None:
    table1 = {row.ours: row.fid for row in TABLE_1 if row.ours}
    assert (table1[published.DGGAN], table1[published.PROGGAN]) == (CIFAR_LEVELS[32].ours, CIFAR_LEVELS[32].baseline)
    table3 = {(row.model, row.resolution): row.fid for row in TABLE_3}
    assert all(table3["DGGAN", side] == LSUN_LEVELS[side].ours for side in (64, 256))
    for row in TABLE_3:
        if row.swd:
            assert sum(row.swd.values()) / len(row.swd) == pytest.approx(row.average, abs=0.005)


def test_an_improvement_is_a_share_of_the_baseline() -> None:
    assert improvement(6, 8) == 0.25 and improvement(8, 6) == pytest.approx(-1 / 3)


# ── reports ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def model(name: str, side: int, fid: float | None, *, final: bool = False) -> Model:
    scores = {f"swd@laplacian-clean-{side}": 0.002} | ({} if fid is None else {"fid@squeezenet-clean-64": fid})
    return Model(name, f"noise-{name.lower()}-0-0123456789", "c", final, side, 32, 16, 10, 20, scores, {"16": 0.002})


def findings(side: int = 32) -> Findings:
    at = [(8, 40.0, 30.0, False), (16, 10.0, 9.0, False), (side, 20.0, 15.0, True)]
    models = [model("ProgGAN", r, theirs, final=final) for r, theirs, _, final in at]
    models += [model("DGGAN", r, ours, final=final) for r, _, ours, final in at]
    return Findings([*models, model("AutoGAN", side, 18.0, final=True)])


def rows_of(figure: str, found: Findings) -> list[dict[str, object]]:
    sheet = make_sheets(made(figure), found)[1 if figure == "table1" else 0]
    return [dict(zip(sheet.columns, row, strict=True)) for row in sheet.rows]


@pytest.mark.parametrize("figure, data", [("table1", "CIFAR-10"), ("table2", "LSUN bedrooms")])
def test_each_resolution_is_compared_with_proggan(figure: str, data: str) -> None:
    rows = rows_of(figure, findings())
    assert [row["resolution"] for row in rows] == ["8×8", "16×16", "32×32"]
    assert [row["improvement"] for row in rows] == ["25%", "10%", "25%"]
    assert [row["DGGAN ÷ ProgGAN"] for row in rows] == pytest.approx([0.75, 0.9, 0.75])
    expected = ["51%", "45%", "34%"] if figure == "table1" else ["16%", "10%", "32%"]
    assert [row[f"published improvement, {data}"] for row in rows] == expected


def test_table_1_has_our_models_and_published_ones_in_columns_of_their_own() -> None:
    sheet = make_sheets(made("table1"), findings())[0]
    rows = {row[0]: dict(zip(sheet.columns, row, strict=True)) for row in sheet.rows}
    assert (rows["DGGAN"]["FID"], rows["DGGAN"]["published FID, CIFAR-10, 50k"]) == (15.0, 12.10)
    assert rows["DGGAN"]["÷ ProgGAN"] == 0.75 and rows["DGGAN"]["SWD · 1000"] == 2
    assert (rows["AGAN"]["FID"], rows["AGAN"]["published IS, CIFAR-10, 50k"]) == (None, "8.82 ± 0.09")
    assert any("IS is missing: it needs a feature network with a classifier" in note for note in sheet.notes)


def test_table_3_has_levels_and_the_resolution_of_64_where_it_is_passed() -> None:
    def ours(found: Findings) -> list[tuple[object, object]]:
        rows = rows_of("table3", found)
        return [(row["model"], row["pixels"]) for row in rows if str(row["model"]).startswith("our")]

    assert ours(findings()) == [("our ProgGAN", 32), ("our DGGAN", 32), ("our AutoGAN", 32)]
    grown = Findings([model("DGGAN", 64, 8.0), model("DGGAN", 128, 9.0, final=True)])
    assert ours(grown) == [("our DGGAN", 64), ("our DGGAN", 128)]
    (row,) = (row for row in rows_of("table3", findings()) if row["model"] == "our DGGAN")
    assert (row["SWD · 1000 at 16"], row["SWD · 1000 at 256"], row["average"]) == (2, None, 2)


def test_without_a_network_the_sliced_distance_is_compared() -> None:
    models = [model("ProgGAN", 32, None, final=True), model("DGGAN", 32, None, final=True)]
    (row,) = rows_of("table2", Findings(models))
    assert row["improvement"] == "0%" and row["published FID of DGGAN, LSUN bedrooms"] == 19.01


def test_a_folder_with_a_report_has_a_page_with_links_to_its_runs(tmp_path: Path, capsys: Capture) -> None:
    pytest.importorskip("matplotlib")
    one = made("table1")
    for job, error in zip(one.jobs, (None, "every candidate <failed>", None), strict=True):
        GrowingFolder(tmp_path).write_job(job, error)
    _, files = write_report(one, findings(), tmp_path)
    assert [path.suffix for path in files] == [".md", ".json", ".png"] and files[2].stat().st_size > 5000
    record = read_run(tmp_path)
    assert [(job.job.name, job.state) for job in record.jobs] == [
        ("AutoGAN", "pending"),
        ("DGGAN", "failed"),
        ("ProgGAN", "pending"),
    ]
    assert record.kind == "recipe" and record.reports[0]["figure"] == "table1" and len(record.samples) == 1
    assert ganas("runs", tmp_path) == 0 and "every candidate <failed>" in capsys.readouterr().out
    text = write_page(tmp_path).read_text()
    assert "Models at 32×32" in text and "DGGAN 15, of ProgGAN 20" in text and "every candidate &lt;failed&gt;" in text
    page = GrowingFolder(tmp_path).run(one.jobs[0].id).path / "report.html"
    assert f"runs/{one.jobs[0].id}" in text and "report.html" not in text, "the path as long as there is no page"
    page.parent.mkdir()
    page.write_text("a page")
    link = f"runs/{one.jobs[0].id}/report.html"
    assert f'<a href="./{link}">' in write_page(tmp_path).read_text()
    assert f'<a href="./{tmp_path.name}/{link}">' in write_page(tmp_path, tmp_path.parent / "x.html").read_text()
    assert f"]({link})" in as_markdown(make_sheets(one, findings()), tmp_path)


def test_scores_are_compared_in_their_order_without_deviations(tmp_path: Path) -> None:
    one = made("table1")
    keys = ["swd@laplacian-clean-32", "is@inception-clean-299", "is_std@inception-clean-299", "fid@inception-clean-299"]
    measured = dict(zip(keys, (0.002, 8.0, 0.1, 12.0), strict=True))
    models = [replace(model(name, 32, None, final=True), scores=measured) for name in ("ProgGAN", "DGGAN")]
    GrowingFolder(tmp_path).announce(one.jobs)
    write_report(one, Findings(models), tmp_path)
    assert findings_of(read_run(tmp_path)) == (
        f"{keys[0]} of DGGAN 0.002, of ProgGAN 0.002",
        f"{keys[1]} of DGGAN 8, of ProgGAN 8 (higher is better)",
        f"{keys[3]} of DGGAN 12, of ProgGAN 12",
    )


def test_numbers_that_json_lacks_are_null() -> None:
    found = Findings([model("DGGAN", 32, float("inf"), final=True)])
    text = json.dumps(as_document(made("table2"), found, make_sheets(made("table2"), found)), allow_nan=False)
    assert json.loads(text)["models"][0]["scores"]["fid@squeezenet-clean-64"] is None


def test_another_programs_json_is_no_recipe(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "settings.json").write_text("{}")
    with pytest.raises(RunError, match="is not a run"):
        read_run(tmp_path)


# ── the order of runs ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def grown(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of runs in their order; DGGAN's fails, and nothing is trained or scored."""
    names: list[str] = []

    def grow(config: object, out: Path, *, route: str | None, executor: object) -> None:
        names.append(out.name.split("-")[1])
        if names[-1] == "dggan":
            raise SearchFailedError("every candidate failed")

    def score(job: GrowingJob) -> Findings:
        return Findings([model(job.name, 32, 10.0, final=True)])

    monkeypatch.setattr("ganas.growing.run.grow", grow)
    monkeypatch.setattr(Collector, "_open_scorer", lambda _: score)
    return names


def test_a_failed_run_is_listed_and_the_others_go_on(grown: list[str], tmp_path: Path) -> None:
    one = made("table1")
    found = run_experiment(one, tmp_path, None)  # type: ignore[arg-type]
    assert grown == ["proggan", "dggan", "autogan"]
    assert found.failed == (f"{one.jobs[1].id}: every candidate failed",)
    assert "AutoGAN" in found.table and dict(GrowingFolder(tmp_path).jobs())[one.jobs[1]] == "every candidate failed"
    only = Experiment("table2", "small", one.jobs[1:2])
    with pytest.raises(GanasError, match="no run that table2 needs succeeded; the first of 1: noise-dggan"):
        run_experiment(only, tmp_path / "other", None)  # type: ignore[arg-type]


def test_a_model_without_scores_stops_no_other_run(
    grown: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def score(job: GrowingJob) -> Findings:
        if job.name == "AutoGAN":
            raise RunError("its history is damaged")
        return Findings([model(job.name, 32, 10.0, final=True)], missing=["c at 8×8"], failed=["d at 16×16: too small"])

    monkeypatch.setattr(Collector, "_open_scorer", lambda _: score)
    one = made("table1")
    found = run_experiment(one, tmp_path, None)  # type: ignore[arg-type]
    assert grown == ["proggan", "dggan", "autogan"]
    assert [line.rpartition(": ")[2] for line in found.failed] == [
        "every candidate failed",
        "its history is damaged",
        "too small",
    ]
    assert "c at 8×8." in found.table and "d at 16×16: too small." in found.table and "ProgGAN" in found.table


def test_a_recipe_between_two_runs_is_not_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its other runs are known, and what failed before stays so until it runs again."""
    one, folder = made("table1"), GrowingFolder(tmp_path)
    folder.write_job(one.jobs[2], "no memory")

    def grow(config: object, out: Path, *, route: str | None, executor: object) -> None:
        Run(out).write_result({"metric": "fid", "score": 1.0})
        raise Stopped("stopped")

    monkeypatch.setattr("ganas.growing.run.grow", grow)
    with pytest.raises(Stopped):
        run_experiment(one, tmp_path, None)  # type: ignore[arg-type]
    record = read_run(tmp_path)
    states = {job.job.name: job.state for job in record.jobs}
    assert states == {"ProgGAN": "done", "DGGAN": "pending", "AutoGAN": "failed"} and record.state == "unfinished"


def test_the_next_call_trains_failed_candidates_again(
    grown: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, seen = made("table1"), list[tuple[str, bool]]()

    def grow(config: object, out: Path, *, route: str | None, executor: object) -> None:
        failed = Run(out).candidate("c")
        seen.append((out.name.split("-")[1], failed.result.exists()))
        write_result(failed, Result("failed", error="no memory"))
        if "-dggan-" in out.name:
            raise SearchFailedError("every candidate failed")

    monkeypatch.setattr("ganas.growing.run.grow", grow)
    for _ in range(2):
        run_experiment(one, tmp_path, None)  # type: ignore[arg-type]
    assert seen[:3] == [("proggan", False), ("dggan", False), ("autogan", False)]
    assert seen[3:] == [("proggan", True), ("dggan", False), ("autogan", True)], "a run without it is left as it is"


def test_a_failed_candidate_goes_back_to_its_last_score(tmp_path: Path) -> None:
    candidate = Run(tmp_path).candidate("c")
    write_result(candidate, Result("done", images=32, scores={"swd": 3.0}))
    write_result(candidate, Result("failed", images=50, error="no memory"))
    forget_failures(Run(tmp_path))
    result = read_result(candidate)
    assert result and (result.state, result.images, result.scores, result.error) == ("done", 32, {"swd": 3.0}, None)


# ── scores ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_model_that_cannot_be_scored_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Scores that do not apply are left out, real images are opened once, and the device is that of the runs."""
    write_images(tmp_path / "images", 12, seed=0)
    flags = {"data.images": tmp_path / "images", "data.resolution": 16, "metrics.images": 8, "training.device": "cpu"}
    config = make_config("grow", preset="tiny", flags=flags)
    folder, jobs = GrowingFolder(tmp_path), [replace(job, features=None) for job in made("table1").jobs[:2]]
    names = {"gone": 8, "broken": 8, "small": 4, "whole": 16}

    def models(job: GrowingJob, *_: object) -> list[Model]:
        one = model(job.name, 16, None)
        return [replace(one, run=job.id, candidate=name, resolution=side) for name, side in names.items()]

    def open_generator(_: object, one: Model) -> Generator:
        if one.candidate == "broken":
            raise RunError("its weights are damaged")
        return make_generator(GrowthArchitecture(4, 4, base=one.resolution))

    for job in jobs:
        run = folder.run(job.id)
        run.write_text(run.config, config.to_yaml())
        run.write_result({"winner": "w"})
        for name in names.keys() - {"gone"}:
            run.write_text(run.candidate(name).final, name)
    opened = []
    monkeypatch.setattr(scores, "models_of", models)
    monkeypatch.setattr(scores, "read_history", lambda _: None)
    monkeypatch.setattr(scores, "open_generator", open_generator)
    monkeypatch.setattr(scores, "open_images", lambda config: opened.append(config) or open_images(config))
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    scorer = scores.Scorer(folder)
    for job in jobs:
        found = scorer.score(job)
        small, whole = found.models
        assert not small.scores and "left out" in small.warnings[0] and (whole.score("swd") or 0) > 0
        assert found.missing == [f"{job.id}: gone at 8×8 is left out, its weights are missing"]
        assert found.failed == [f"{job.id}: broken at 8×8 has no scores: its weights are damaged"]
    assert len(opened) == 1 and scores.device_of(config) == "cpu"


# ── bad input ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"[1]", b"3", b"{", b'{"schema": 1, "sheets": []}'])
def test_damaged_files_are_treated_as_absent(content: bytes, tmp_path: Path) -> None:
    for name in ("table1-tiny-x.json", "fig3-tiny-x.json", "times.json", "scores.json"):
        (tmp_path / name).write_bytes(content)
    assert not GrowingFolder(tmp_path).reports() and not scores._read(tmp_path / "scores.json")
    recipe = RecipeFolder(tmp_path)
    assert not recipe.read_times() and not recipe.read_rows()


def test_a_damaged_job_is_one_line(tmp_path: Path) -> None:
    GrowingFolder(tmp_path).announce(made("table2").jobs)
    for path in GrowingFolder(tmp_path).job_files():
        path.write_bytes(b"\xff\xfe")
    with pytest.raises(RunError, match="remove it, and its run, to run it again"):
        read_run(tmp_path)


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["table9"], "unknown figure 'table9': choose one of fig3, fig4, fig5, fig6, front, table1"),
        (["table1", "--scale", "huge"], "unknown scale 'huge'"),
        (["table1", "--scale", "small"], "--scale small needs images: give --data IMAGES"),
        (["table1", "--scale", "paper"], "metrics.select=fid needs a feature network: give --features"),
        (["table1", "--data", "a", "--data", "b"], "table1 learns from one set of images: give --data once"),
        (["table1", "--data", "nowhere"], "nowhere"),
        (["table1", "--set", "seed=3"], "--set seed: table1 controls this key, leave it out"),
        (["table1", "--set", "growth.nonsense=3"], "unknown key 'growth.nonsense'"),
        (["table1", "--set", "growth.depth=0"], "growth.depth=0 actions cannot double 8 pixels to 16"),
        (["table1", "--set", "training.device=gpu"], "there is no device 'gpu'"),
        (["table1", "--workers", "0"], "--workers 0: give 1 or more"),
    ],
)
def test_bad_input_is_one_line(arguments: list[str], words: str, tmp_path: Path, capsys: Capture) -> None:
    assert ganas("reproduce", *arguments, "--out", tmp_path / "out") == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and words in err and not (tmp_path / "out").exists()
