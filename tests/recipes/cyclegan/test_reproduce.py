"""Recipes run on noise for a step or two: the queue, the table, the plot, the data sets."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import time
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from ganas.cyclegan.config import DataConfig
from ganas.data import published
from ganas.data.names import PARTS, PUBLISHED
from ganas.errors import ArchitectureError, DataError, GanasError, RunError, Stopped
from ganas.jobs.executor import JobExit
from ganas.jobs.job import Job
from ganas.jobs.options import ExecutorOptions
from ganas.jobs.result import Result
from ganas.jobs.worker import load_work, run_job
from ganas.progress import Reporter
from ganas.recipes.cyclegan.cost import describe, recipe_cost
from ganas.recipes.cyclegan.datasets import demo_dataset, expected_dataset, find_dataset
from ganas.recipes.cyclegan.figures import Recipe, recipe
from ganas.recipes.cyclegan.jobs import Dataset, RecipeFolder, RecipeJob
from ganas.recipes.cyclegan.plan import run_recipe
from ganas.recipes.cyclegan.report import collect
from ganas.recipes.reproduction import Reproduction
from ganas.signals import StopSignal
from ganas.store import Run, results_folder
from in_process import InProcess
from kill_and_resume import write_images
from tiny import GANAS, ganas

QUICK = (
    *("data.resolution=32", "data.validation=0"),
    *("training.images=2", "training.batch=1", "nets.discriminator_width=2"),
)
QUICK_FLAGS = [word for setting in QUICK for word in ("--set", setting)]


@pytest.fixture(autouse=True)
def _poll_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ganas.jobs.queue.POLL_SECONDS", 0.001)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("noise")
    for number, part in enumerate(PARTS):
        write_images(folder / part, 4, seed=number, sides=(32, 32))
    return replace(find_dataset(str(folder)), name="noise")


def write_job(job: RecipeJob, out: Path) -> Job:
    folder = RecipeFolder(out).job(job.id)
    folder.write_text(folder.path / "job.json", job.to_json())
    return Job(job.kind, folder.path, 2)


def do(job: RecipeJob, out: Path) -> Run:
    """Run one job of a recipe in this process; return its folder."""
    written = write_job(job, out)
    run_job(written, StopSignal(), load_work("ganas.kinds", job.kind))
    return written.folder


@pytest.fixture(scope="module")
def finished(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Reproduction, Path]]:
    """Reproduce each figure once; return its result and its folder."""

    @cache
    def finish_figure(figure: str) -> tuple[Reproduction, Path]:
        folder = tmp_path_factory.mktemp(figure)
        return run_recipe(recipe(figure, "tiny", [dataset], settings=QUICK), folder, InProcess()), folder

    return finish_figure


SLOW, LONG = pytest.mark.slow, pytest.mark.long


@pytest.mark.parametrize(
    "figure",
    ["fig6", pytest.param("fig3", marks=SLOW), *(pytest.param(name, marks=LONG) for name in ("fig4", "fig5"))],
)
def test_a_figure_from_start_to_end(
    figure: str, dataset: Dataset, finished: Callable[[str], tuple[Reproduction, Path]]
) -> None:
    wanted = recipe(figure, "tiny", [dataset], settings=QUICK)
    found, folder = finished(figure)
    assert not found.failed
    assert [path.suffix for path in found.files] == [".md", ".json", ".png"]
    with Image.open(found.files[2]) as drawing:
        assert drawing.size[0] > 1000
    rows = json.loads(found.files[1].read_text())
    assert len(rows) == 2 * len(wanted.variants)
    for row in rows:
        assert row["variant"] in found.table and len(row["scores"]) in (1, 2) and row["parameters"] * 4 == row["bytes"]
        if row["variant"] == wanted.reference:
            assert row["share"] == pytest.approx(1)
    before = {path: path.stat().st_mtime_ns for path in folder.glob("jobs/*/result.json")}
    for path in before:
        ended = json.loads(path.read_text())
        assert ended["images"] == 2 and 0 < ended["seconds"] < ended["elapsed"]
    assert run_recipe(wanted, folder, InProcess()).table == found.table
    assert {path: path.stat().st_mtime_ns for path in before} == before, "no job ran twice"
    sizes = {(row["variant"], row["direction"]): row["parameters"] for row in rows}
    if figure == "fig5":
        for name in ("N8", "R8.1", "R8.2"):
            total, hand_made = (sum(sizes[which, d] for d in ("ab", "ba")) for which in (name, "C8"))
            assert total == pytest.approx(hand_made, rel=0.06), "as close as such narrow networks get"
    if figure == "fig6":
        assert all(sizes["C'8", d] == pytest.approx(sizes["N8", d], rel=0.1) for d in ("ab", "ba"))


@pytest.mark.slow
def test_after_a_kill_the_command_resumes_to_the_same_table(
    dataset: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two workers in processes of their own; the driver is killed when the first training is done."""
    out = tmp_path / "out"
    command = [GANAS, "reproduce", "fig6", "--data", dataset.folder, "--out", out, "--workers", "2", *QUICK_FLAGS]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 300
    while not (tables := [*out.glob("fig6-tiny-*.md")]):
        assert process.poll() is None and time.monotonic() < deadline, "it ended or hangs"
        time.sleep(0.1)
    process.kill()
    process.wait()
    assert "| C8 |" in tables[0].read_text() and "| N8 |" not in tables[0].read_text(), "finished variants only"
    while any(Run(job).is_locked for job in out.glob("jobs/*")):  # orphaned workers exit
        time.sleep(0.1)
    ended = {path: path.stat().st_mtime_ns for path in out.glob("jobs/*/result.json")}
    assert ganas(*command[1:]) == 0
    said = capsys.readouterr()
    assert {path: path.stat().st_mtime_ns for path in ended} == ended, "no job ran twice"
    whole = run_recipe(
        recipe("fig6", "tiny", [find_dataset(dataset.folder)], settings=QUICK), tmp_path / "whole", InProcess()
    )
    assert whole.table in said.out and f"{len(ended)} done before" in said.err
    assert ganas(*command[1:], "--dry-run") == 0 and capsys.readouterr().out == "7 of 7 jobs are done\n"


def test_results_of_two_versions_are_not_mixed(
    dataset: Dataset, finished: Callable[[str], tuple[Reproduction, Path]], tmp_path: Path
) -> None:
    """Of versions with different presets or defaults, which ids do not depend on."""
    wanted = recipe("fig6", "tiny", [dataset], settings=QUICK)
    shutil.copytree(finished("fig6")[1], tmp_path, dirs_exist_ok=True)
    other = recipe("fig6", "tiny", [dataset], settings=[*QUICK, "data.workers=1", "training.log_every=7"])
    assert describe(other, RecipeFolder(tmp_path), 1) == ["7 of 7 jobs are done"], (
        "keys that affect no result are not compared"
    )
    stored = RecipeFolder(tmp_path).job(wanted.jobs[-1].id).config
    text = stored.read_text()
    assert dataset.folder not in text, "images may move"
    stored.write_text(text.replace("lr: 0.0006", "lr: 0.0002").replace("pool: 50", "pool: 10"))
    with pytest.raises(RunError, match=r"another version of ganas \(loss.pool: 10 → 50; training.lr: 0.0002 → 0.0006"):
        run_recipe(wanted, tmp_path, InProcess())
    with pytest.raises(RunError, match="another version of ganas"):
        describe(wanted, RecipeFolder(tmp_path), 1)
    stored.unlink()
    run_recipe(wanted, tmp_path, InProcess())  # results from before this file existed


def test_a_job_stops_at_a_signal_from_before_its_training(dataset: Dataset, tmp_path: Path) -> None:
    """For example while it imports libraries or reads images."""
    job = recipe("fig6", "tiny", [dataset], settings=QUICK).jobs[0]
    written = write_job(job, tmp_path)
    with StopSignal().listening() as stop:
        work = load_work("ganas.kinds", job.kind)
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(Stopped, match="SIGTERM"):
            work(written, stop, Reporter(quiet=True))
    assert not RecipeFolder(tmp_path).output(job).exists() and not written.folder.result.exists()


def test_halves_that_are_too_small_are_reported_before_the_first_search(dataset: Dataset) -> None:
    few = replace(dataset, count_b=3)
    with pytest.raises(DataError, match="noise: trainB has 3 training images, and strategy TH halves them; 4 nee"):
        recipe("fig3", "tiny", [few])
    assert recipe("fig5", "tiny", [few]).jobs


def test_a_folder_in_use_is_refused(dataset: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with results_folder(tmp_path / "out", new=False):
        assert ganas("reproduce", "fig6", "--data", dataset.folder, "--out", tmp_path / "out") == 2
    assert f"'{tmp_path / 'out'}' is in use by another process" in capsys.readouterr().err


@pytest.mark.long
def test_a_cluster_gives_the_same_table(dataset: Dataset, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    command = ["reproduce", "fig6", "--data", dataset.folder, "--out", tmp_path / "out", *QUICK_FLAGS]
    done = subprocess.run([GANAS, *command, "--executor", "ray", "--workers", "2"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    wanted = recipe("fig6", "tiny", [find_dataset(dataset.folder)], settings=QUICK)
    assert run_recipe(wanted, tmp_path / "here", InProcess()).table in done.stdout


@pytest.mark.slow  # measures the steps of six networks
@pytest.mark.usefixtures("traps")
def test_a_dry_run_prints_the_cost(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = [word for setting in QUICK if "images" not in setting for word in ("--set", setting)]
    assert ganas("reproduce", "fig6", "--out", tmp_path / "out", "--dry-run", "--workers", "2", *settings) == 0
    out = capsys.readouterr().out
    assert "1 search: 200 pairs" in out and "6 trainings: 1,200 pairs" in out and "with 2 workers at best" in out
    assert not (tmp_path / "out").exists()


def test_the_default_data_are_the_built_in_photographs(tmp_path: Path) -> None:
    found = demo_dataset(tmp_path)
    assert found.name == "demo" and min(found.count_a, found.count_b) > 2 and demo_dataset(tmp_path) == found
    assert demo_dataset(tmp_path / "elsewhere").digest == found.digest, "ids do not depend on the path"


@pytest.mark.parametrize("kind", ["search", "train"])
def test_a_job_killed_before_it_wrote_its_result_does_not_run_again(
    kind: str, dataset: Dataset, tmp_path: Path
) -> None:
    job = next(job for job in recipe("fig6", "tiny", [dataset]).jobs if job.kind == kind)
    folder = RecipeFolder(tmp_path)
    folder.job(job.id).write_text(folder.output(job), "{}")
    do(job, tmp_path)
    assert folder.result(job) and not folder.run(job.id).config.exists()


def test_a_size_that_no_width_gives_fails_one_job(dataset: Dataset, tmp_path: Path) -> None:
    job = replace(recipe("fig6", "tiny", [dataset]).variants[0].jobs[0], match="1KB")
    result = json.loads(do(job, tmp_path).result.read_text())
    assert result["state"] == "failed" and "no width from 1 to 1024 fits" in result["error"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="tests a machine without a GPU")
def test_the_cost_of_jobs_for_a_clusters_gpus_is_measured_without_one(dataset: Dataset) -> None:
    jobs = recipe("fig6", "tiny", [dataset], settings=[*QUICK, "training.device=cuda"]).searches
    assert all(cost.seconds > 0 for cost in recipe_cost(jobs))


def test_a_damaged_architecture_is_a_fatal_error(dataset: Dataset, tmp_path: Path) -> None:
    """It does not fail one job: all that need the search would fail one after another."""
    job = next(job for job in recipe("fig6", "tiny", [dataset]).jobs if job.parents)
    search = RecipeFolder(tmp_path).run(job.parents[0])
    search.write_text(search.architecture, "{")
    with pytest.raises(ArchitectureError, match=r"architecture\.json"):
        do(job, tmp_path)


class Stub:
    """Trains nothing, in `times`; jobs whose name is in `fails` fail."""

    capacity = 2

    def __init__(self, fails: Sequence[str] = (), **times: float) -> None:
        self._fails, self._times = fails, times
        self._running: list[Job] = []
        self.started: list[str] = []

    def submit(self, job: Job) -> None:
        self.started.append(RecipeJob.read(job.folder).name)
        self._running.append(job)

    def poll(self) -> Sequence[JobExit]:
        job, *self._running = self._running
        name = RecipeJob.read(job.folder).name
        if name in self._fails:
            return [JobExit(job, "it fell over")]
        sizes = {d: {"width": 1.0, "parameters": 10, "bytes": 40, "macs": 1} for d in ("ab", "ba")}
        judged = {d: {"scores": {"swd@x": 2.0 if name == "C8" else 1.0}} for d in ("ab", "ba")}
        document = {"architecture": "a", "sizes": sizes, "translated": judged, "untranslated": judged}
        (job.path / "scores.json").write_text(json.dumps(document))
        if job.product and not job.product.exists():
            job.folder.write_text(job.product, "{}")
        job.folder.write_text(job.folder.result, Result("done", job.images, **self._times).to_json())
        return [JobExit(job)]

    def cancel(self) -> None:
        self._running.clear()


@pytest.fixture
def stubbed(dataset: Dataset, tmp_path: Path) -> Recipe:
    """Figure 6, whose jobs have the results of the stub."""
    made = recipe("fig6", "tiny", [dataset])
    run_recipe(made, tmp_path, Stub(seconds=600.0, elapsed=60.0))
    return made


def test_the_command_lists_failed_jobs_and_exits_with_1(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ExecutorOptions, "open", lambda *_, **__: Stub(fails=["OF"]))
    assert ganas("reproduce", "fig6", "--data", dataset.folder, "--out", tmp_path / "out") == 1
    out, err = capsys.readouterr()
    assert "| C8 |" in out and "written: " in out
    assert err.count("\nfailed: ") == 5 and err.endswith("ganas: 5 jobs failed; the same command retries them\n")


def test_the_time_of_a_resumed_job_includes_its_earlier_workers(
    capsys: pytest.CaptureFixture[str], stubbed: Recipe
) -> None:
    assert len(stubbed.jobs) == 7
    assert "done in 10 min; 1 done, 0 failed, 1 running, 5 waiting; about 30 min left" in "".join(capsys.readouterr())


def test_a_training_without_scores_runs_again(stubbed: Recipe, tmp_path: Path) -> None:
    job = stubbed.variants[0].jobs[1]
    RecipeFolder(tmp_path).scores(job.id).unlink()
    executor = Stub()
    run_recipe(stubbed, tmp_path, executor)
    assert executor.started == [job.name]


def test_failed_jobs_are_listed_retried_and_do_not_stop_the_others(dataset: Dataset, tmp_path: Path) -> None:
    wanted = recipe("fig6", "tiny", [dataset])
    executor = Stub(fails=["OF"])
    found = run_recipe(wanted, tmp_path, executor)
    assert {*executor.started} == {"C8", "OF"}, "the others need the search"
    assert len(found.failed) == len(wanted.jobs) - 2
    assert any("it needs noise-search" in line for line in found.failed)
    assert "| C8 |" in found.table and "| N8 |" not in found.table
    again = run_recipe(wanted, tmp_path, Stub())
    assert not again.failed and "| N8 |" in again.table, "failed jobs are retried"


def test_scores_are_divided_by_the_references_mean(stubbed: Recipe, tmp_path: Path) -> None:
    shares = {row.variant: row.share for row in collect(stubbed, RecipeFolder(tmp_path))}
    assert shares == {"C8": 1.0, "C'8": 0.5, "N8": 0.5}


def test_held_out_scores_are_means_over_the_second_half(stubbed: Recipe, tmp_path: Path) -> None:
    folder = RecipeFolder(tmp_path)
    assert all(row.late == () for row in collect(stubbed, folder)), "nothing was held out"
    for number, job in enumerate(stubbed.variants[0].jobs):
        run = folder.run(job.id)
        run.path.mkdir()
        for nimg in range(1, 11):
            scores = {"ab/swd@y": number + nimg, "ba/swd@y": -nimg, "ab/kid@y": 1000, "ab/kid_stderr@y": 1000}
            run.append_metrics({"nimg": nimg, "loss": {}} | ({"scores": scores} if nimg % 2 == 0 else {}))
        kept = {"untranslated": {"kid@y": 2000, "swd@y": 40}} if number else {}  # an older ganas wrote none
        run.write_result({"kept": {"ab": kept}})
    rows = {(row.variant, row.direction): row for row in collect(stubbed, folder)}
    assert rows["C8", "ab"].untranslated_held == 40 and rows["C8", "ba"].untranslated_held is None
    late = {key: row.late for key, row in rows.items()}
    assert late["C8", "ab"] == (8, 9) and late["C8", "ba"] == (-8, -8) and late["N8", "ab"] == ()
    table = run_recipe(stubbed, tmp_path, Stub()).table
    assert "| 40 | 8.5 ± 0.7071 |" in table
    scores = folder.scores(stubbed.variants[0].jobs[0].id)
    scores.write_text(scores.read_text().replace("2.0", "Infinity"))
    assert "| inf |" in run_recipe(stubbed, tmp_path, Stub()).table, "an infinite score does not break the report"


def test_it_is_an_error_if_every_training_failed(dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(GanasError, match=r"every training failed; the first of \d+: noise-search"):
        run_recipe(recipe("fig6", "tiny", [dataset]), tmp_path, Stub(fails=["OF", "C8"]))


# ── data sets ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_folder_is_a_data_set(dataset: Dataset) -> None:
    found = find_dataset(dataset.folder)
    assert (found.folder, found.count_a) == (dataset.folder, 4)
    assert found.part("testB") == Path(dataset.folder) / "testB"


def test_a_folder_that_lacks_a_part_is_refused(tmp_path: Path) -> None:
    (tmp_path / "trainA").mkdir()
    with pytest.raises(DataError, match="has no trainB"):
        find_dataset(str(tmp_path))


def test_a_broken_test_image_is_reported_before_any_job_starts(dataset: Dataset, tmp_path: Path) -> None:
    folder = shutil.copytree(dataset.folder, tmp_path / "set")
    (folder / "testB" / "broken.png").write_bytes(b"x")
    with pytest.raises(DataError, match=r"testB: 1 of 5 images cannot be read"):
        find_dataset(str(folder))
    assert find_dataset(str(folder), DataConfig(a=folder, b=folder, skip_bad=True)).digest


def test_a_recipe_reads_images_as_its_jobs_do(tmp_path: Path) -> None:
    for part in PARTS:
        (tmp_path / part).mkdir()
        for number in range(2):
            values = np.full((16, 16), 4000 + number, np.uint16)
            Image.fromarray(values).save(tmp_path / part / f"{number}.png")
    as_jobs_do = DataConfig(a=tmp_path, b=tmp_path, white=65535)
    assert find_dataset(str(tmp_path), as_jobs_do).digest != find_dataset(str(tmp_path)).digest, "12 bits, or 16"


@pytest.fixture
def server(dataset: Dataset, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to download from, with one data set that contains unexpected files."""
    monkeypatch.setattr(published, "SERVERS", (f"{tmp_path.as_uri()}/no-https", tmp_path.as_uri()))
    with zipfile.ZipFile(tmp_path / "facades.zip", "w") as archive:
        for part in PARTS:
            for path in sorted(Path(dataset.folder, part).iterdir()):
                archive.write(path, f"facades/{part}/{path.name}")
        archive.writestr("../../outside.png", b"x")
        archive.writestr("facades/trainA/setup.py", "import os")
    pin(tmp_path, monkeypatch)
    return tmp_path


def pin(server: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the checksum of what the server holds be the published one."""
    digest = hashlib.sha256((server / "facades.zip").read_bytes()).hexdigest()
    monkeypatch.setitem(PUBLISHED, "facades", PUBLISHED["facades"]._replace(sha256=digest))


def test_a_published_data_set_is_downloaded_once(server: Path, cache: Path) -> None:
    found = find_dataset("facades")
    assert len([*found.part("trainA").iterdir()]) == 4 and not [*cache.rglob("setup.py"), *server.rglob("outside.png")]
    (server / "facades.zip").unlink()
    assert find_dataset("facades") == found, "it is in the cache"
    assert expected_dataset("facades") == found, "a dry run recognizes finished jobs by its digest"


@pytest.mark.slow  # measures steps
def test_paper_scale_prints_the_cost_before_the_download(
    server: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """400 epochs of search and 200 of training, of the published 400 images; a step a second."""
    monkeypatch.setattr(ExecutorOptions, "open", lambda *_, **__: Stub())
    monkeypatch.setattr("ganas.recipes.cyclegan.plan.in_subprocess", lambda made, *more: made(*more))
    monkeypatch.setattr("ganas.recipes.cyclegan.cost.measure_cost", lambda *_: SimpleNamespace(step_seconds=1.0))
    paper = ("reproduce", "fig6", "--scale", "paper", "--data", "facades", "--out", tmp_path / "out")
    assert ganas(*paper) == 0
    done, told = capsys.readouterr()
    assert "without --features scores are sliced Wasserstein distances" in told
    assert "1 search: 160,000 pairs, 44.4 h of steps" in told and "15 trainings: 1,200,000 pairs" in told
    assert "| N64 |" in done


def test_a_cost_estimate_downloads_nothing(server: Path, cache: Path) -> None:
    assert expected_dataset("facades").count_a == 400 and not cache.exists()


def test_another_file_is_refused(server: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PUBLISHED, "facades", PUBLISHED["facades"]._replace(sha256="0" * 64))
    with pytest.raises(
        DataError, match=r"facades\.zip is not the published file \(its SHA-256 is [0-9a-f]{12}…, not 0"
    ):
        find_dataset("facades")
    assert [path.name for path in (cache / "datasets").iterdir()] == []


def test_a_failed_download_names_a_way_out(server: Path) -> None:
    message = r"cannot download file.*maps\.zip.*download it by hand, unpack it, and pass its folders"
    with pytest.raises(DataError, match=message):
        find_dataset("maps")


def test_half_a_zip_is_refused(server: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (server / "facades.zip").write_bytes(b"PK\3\4")
    pin(server, monkeypatch)
    with pytest.raises(DataError, match="is not a readable zip"):
        find_dataset("facades")
    assert [path.name for path in (cache / "datasets").iterdir()] == []


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["fig9"], "unknown figure 'fig9': choose one of fig3, fig4, fig5, fig6"),
        (["fig3", "--scale", "huge"], "unknown scale 'huge'"),
        (["fig3", "--scale", "small"], "--scale small needs images: give --data DIR"),
        (["fig3", "--set", "metrics.select=fid"], "metrics.select=fid needs a feature network: give --features"),
        (["fig3", "--data", "nowhere"], "there is no data set 'nowhere': give a folder, or one of facades"),
        (["fig3", "--set", "nonsense"], "--set takes section.key=value"),
        (["fig3", "--set", "data.resolution=50"], "resolution 50 does not fit layout"),
        (["fig3", "--set", "training.device=cuda:1"], "training.device: give cuda alone"),
        (["fig3", "--set", "training.device=cuda:1", "--dry-run"], "training.device: give cuda alone"),
        (["fig3", "--set", "training.device=gpu", "--dry-run"], "there is no device 'gpu'"),
        (["fig3", "--workers", "0"], "--workers 0: give 1 or more"),
        (["fig3", "--address", "host:1"], "--address is of a Ray cluster: give --executor ray with it"),
        (["fig3", "--set", "training.nonsense=1"], "unknown key 'training.nonsense'"),
    ],
)
def test_bad_input_is_one_line(
    arguments: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ganas("reproduce", *arguments, "--out", tmp_path / "out") == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and words in err and not (tmp_path / "out").exists()
