"""``ganas grow`` end to end on small noise: the same result however it runs, and clear errors for bad input."""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from ganas.growing.architecture import GrowthArchitecture, parse_layer
from ganas.growing.candidates import candidates, cost
from ganas.growing.forecast import Timing
from ganas.growing.run import dry_run, grow
from ganas.presets import make_config
from ganas.store import Run
from in_process import InProcess
from kill_and_resume import write_images
from tiny import GANAS, ganas

SETTINGS = {
    "base.latent": 4,
    "base.channels": [4],
    "growth.filters": [2, 4],
    "growth.depth": 2,
    "growth.keep": 2,
    "training.batch": 4,
    "training.images": 32,
    "training.final_images": 16,
    "training.checkpoint_every": 8,
    "training.log_every": 16,
    "training.sample_every": 32,
    "training.ema_half_life": 8,
    "metrics.images": 16,
}


def command(images: Path, out: Path, *options: object, **changed: object) -> list[Any]:
    """The arguments of a small search."""
    settings = (f"{key}={json.dumps(value)}" for key, value in {**SETTINGS, **changed}.items())
    given = [word for setting in settings for word in ("--set", setting)]
    return ["grow", "--data", images, "--out", out, "--preset", "tiny", *given, *options]


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_images(tmp_path_factory.mktemp("data") / "images", 24, seed=0, sides=(16, 16))


@pytest.fixture(autouse=True)
def _cache(cache: Path) -> None:
    """Searches do not share the route's results, so that tests see that they are the same."""


@pytest.fixture(scope="module")
def whole(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An undisturbed search, all of it in this process."""
    out = tmp_path_factory.mktemp("whole") / "run"
    config = make_config("grow", preset="tiny", flags={"data.images": str(images)} | SETTINGS)
    grow(config, out, executor=InProcess())
    return out


def outcome(run: Path) -> dict[str, Any]:
    """Everything except times: the candidates and their scores, and the bytes of the winner."""
    found: dict[str, Any] = {
        spec.id: (spec, result and (result.state, result.images, result.facts, result.scores))
        for spec, result in candidates(Run(run))
    }
    for name in ("result.json", "architecture.json", "model/generator.safetensors"):
        found[name] = (run / name).read_bytes()
    return found


def test_a_search_ends_with_a_generator_to_sample_from(whole: Path, tmp_path: Path) -> None:
    result = json.loads((whole / "result.json").read_text())
    assert result["failed"] == 0 and result["candidates"] >= 5
    assert ganas("sample", whole, tmp_path / "out", "-n", "3") == 0
    images = sorted((tmp_path / "out").iterdir())
    assert len(images) == 3 and all(path.read_bytes()[16:24] == b"\0\0\0\x10" * 2 for path in images), "16×16"


def test_any_candidate_with_weights_is_sampled(whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = Run(whole)
    winner = json.loads((whole / "result.json").read_text())["winner"]
    kept = {spec.id for spec, _ in candidates(run) if run.candidate(spec.id).final.is_file()}
    removed = next(spec.id for spec, _ in candidates(run) if spec.id not in kept)
    other = next(iter(kept - {winner}))
    for name, options in (("plain", []), ("winner", ["--candidate", winner]), ("other", ["--candidate", other])):
        assert ganas("sample", whole, tmp_path / f"{name}.png", "-n", "4", *options) == 0
    plain, same, different = ((tmp_path / f"{name}.png").read_bytes() for name in ("plain", "winner", "other"))
    assert plain == same != different
    capsys.readouterr()
    for name, words in ((removed, f"candidate {removed} has no weights"), ("nobody", "has no candidate 'nobody'")):
        assert ganas("sample", whole, tmp_path / "x.png", "--candidate", name) == 2
        err = capsys.readouterr().err
        assert words in err and err.count("\n") == 1
    assert ganas("sample", whole / "model", tmp_path / "x.png", "--candidate", other) == 2
    assert "has no candidates: give the folder that ganas grow wrote" in capsys.readouterr().err


def test_a_grown_run_is_evaluated_as_its_winner_was_scored(whole: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert ganas("evaluate", whole, "--json") == 0
    result = json.loads((whole / "result.json").read_text())
    scores = json.loads(capsys.readouterr().out)["scores"]
    assert scores[result["metric"]] == pytest.approx(result["score"], rel=1e-6)
    assert ganas("evaluate", whole, "--a", "x", "--b", "y") == 2
    assert "--a cannot be used here, a run of ganas grow is compared with its own images" in capsys.readouterr().err


@pytest.mark.usefixtures("traps")
def test_two_processes_find_what_one_finds(whole: Path, images: Path, tmp_path: Path) -> None:
    run = command(images, tmp_path / "run", "--workers", "2")
    assert ganas(*run) == 0
    assert outcome(tmp_path / "run") == outcome(whole)
    trained = sorted((tmp_path / "run").glob("candidates/*/result.json"), key=lambda path: path.stat().st_mtime_ns)
    assert not (tmp_path / "run" / "images.npy").exists(), "decoded for the processes of the search alone"
    before = [path.stat().st_mtime_ns for path in trained]
    assert ganas(*run) == 0, "the same command again"
    assert [path.stat().st_mtime_ns for path in trained] == before, "nothing is trained twice"


def test_runs_shows_the_beam_and_the_lineage(whole: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ganas("runs", whole) == 0
    out, err = capsys.readouterr()
    assert not err and out.count("\nbeam ") == 3 and "best: fade" in out
    assert ganas("runs", whole, "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["lineage"][-1] == document["best"] and (document["kind"], document["state"]) == ("grow", "finished")
    for one in document["candidates"]:
        keys = {"id", "parent", "action", "generation", "seed", "resolution", "state", "normalized", "role"}
        assert keys <= one.keys()
        for side in ("generator", "discriminator"):
            assert one["resolution"] == 8 * 2 ** one[side].count("double")
        layers = (tuple(map(parse_layer, one[side])) for side in ("generator", "discriminator"))
        costs = cost(GrowthArchitecture(4, 4, *layers))
        assert one["cost"] == costs and costs["generator"]["macs"] > costs["generator"]["parameters"] > 0
        result = one["result"]
        assert result["state"] == "done" and result["images"] == one["images"]
        assert result["elapsed"] >= result["seconds"] > 0 and result["memory"] > 10**7
        assert result["facts"]["start"] > 0 and min(result["scores"].values()) > 0
    log = (whole / "log.txt").read_text()
    assert " done, 0 failed, 0 running, " in log and "; best " in log and " left\n" in log


def test_runs_analyses_a_search(whole: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ganas("runs", whole, "--analyse") == 0
    shown = capsys.readouterr().out
    assert "log(parent ÷ child)" in shown and "generator, kernel 3" in shown and "simulated K" in shown
    assert ganas("runs", whole, "--analyse", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert len(found["points"]) == sum(group["children"] for group in found["by_action"]) + 1  # the base


def test_a_dry_run_at_the_papers_scale_quotes_its_cost(images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ganas.growing.forecast._measure", lambda *_: Timing(0.1, 1.0, 1))
    flags = {"data.images": str(images), "data.resolution": 16}
    _, lines = dry_run(make_config("grow", preset="paper", flags=flags | {"metrics.select": "swd"}))
    assert "580 GPU-days" in lines[-1]
    _, lines = dry_run(make_config("grow", preset="tiny", flags=flags))
    assert "580 GPU-days" not in "".join(lines)


@pytest.mark.usefixtures("traps")
def test_a_dry_run_estimates_the_cost_and_writes_nothing(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ganas(*command(images, tmp_path / "run", "--dry-run")) == 0
    out, _ = capsys.readouterr()
    assert "generation 2" in out and "total" in out
    base = GrowthArchitecture(4, 4)
    for architecture in (base, base.doubled()):
        sizes = [f"{architecture.parameters(side):,} parameters in the generator" for side in ("generator",)]
        sizes += [
            f"{architecture.parameters('discriminator'):,} in the discriminator",
            " million MACs an image; memory",
        ]
        line = next(line for line in out.splitlines() if line.startswith(f"{architecture.resolution}×"))
        assert all(size in line for size in sizes)
    assert (
        "largest candidate of a simulated search: " in out and " MB at most for images, checkpoints and weights" in out
    )
    assert not (tmp_path / "run").exists()


def test_a_route_is_trained_by_itself(images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    route = tmp_path / "route.json"
    route.write_text('["g-conv3x4", "on", "fade"]')
    out = tmp_path / "run"
    assert ganas(*command(images, out, "--route", route)) == 0
    assert json.loads((out / "architecture.json").read_text())["generator"] == ["conv3x4", "double"]
    assert json.loads((out / "result.json").read_text())["candidates"] == 4
    capsys.readouterr()
    assert ganas("runs", out) == 0
    shown = capsys.readouterr().out
    assert "best: fade" in shown and shown.count("route ") == 4 and shown.count("longer ") == 1
    assert ganas(*command(images, out)) == 2, "without the route"
    assert "growth.route" in capsys.readouterr().err


@pytest.mark.parametrize(
    "changed, words",
    [
        (["--resolution", "12"], "cannot grow to 12 pixels: choose 8, 16, 32"),
        (["--resolution", "32"], "--resolution 32 is larger than some images, the smallest side is 16 pixels"),
        (["--set", "growth.keep=0"], "growth.keep: input should be greater than or equal to 1, got 0"),
        (["--set", "training.batch=25", "--set", "training.images=100"], "24 images are fewer than training.batch=25"),
        (["--set", "training.lrr=1"], "unknown key 'training.lrr'"),
        (["--set", "metrics.select=fid"], "needs a feature network: give --features"),
        (["--features", "squeezenet:nowhere.safetensors"], "nowhere.safetensors"),
        (["--set", "training.decay=0.5"], "training.decay has no meaning for ganas grow"),
        (["--workers", "0"], "--workers 0: give 1 or more"),
        (["--executor", "slurm"], "unknown executor 'slurm': choose one of local, ray"),
        (["--address", "here:1"], "--address is of a Ray cluster: give --executor ray with it"),
        (["--executor", "ray", "--gpu-share", "1.5"], "--gpu-share 1.5: give a part of one GPU"),
        (["--preset", "reference"], "unknown preset 'reference'"),
        (["--preset", "paper"], "metrics.select=fid needs a feature network: give --features, or metrics.select=swd"),
        (["--route", "nowhere.json"], "cannot read the route 'nowhere.json'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_is_one_line(
    changed: list[str], words: str, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ganas(*command(images, tmp_path / "run", *changed)) == 2
    _, err = capsys.readouterr()
    assert err.count("\n") == 1 and words in err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "text, words",
    [
        ('["fly"]', "illegal action: unknown action 'fly'"),
        ('["fade", "fade"]', "ends at 32 pixels, not at 16"),
        ('{"fade": 1}', "not a JSON list"),
        ("[", "not a JSON list"),
        ("[]", "ends at 8 pixels, not at 16"),
    ],
)
def test_a_bad_route_is_one_line(
    text: str, words: str, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "route.json").write_text(text)
    assert ganas(*command(images, tmp_path / "run", "--route", tmp_path / "route.json")) == 2
    _, err = capsys.readouterr()
    assert err.count("\n") == 1 and words in err


def test_another_config_or_other_images_are_refused(
    whole: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = shutil.copytree(whole, tmp_path / "run")
    assert ganas(*command(images, run, "--seed", "1")) == 2
    assert "a run of another config (seed: 0 → 1)" in capsys.readouterr().err
    assert ganas(*command(images, run, "--set", "training.images=99999")) == 2
    assert ", which would change every candidate)" in capsys.readouterr().err
    moved = shutil.copytree(images, tmp_path / "images")
    missing = next(moved.iterdir())
    missing.unlink()
    assert ganas(*command(moved, run)) == 2
    assert f"(data.images: {images} → {moved}): give the same options" in capsys.readouterr().err
    shutil.copyfile(images / missing.name, missing)
    last = max(candidates(Run(run)), key=lambda pair: pair[0].generation)[0]
    for unfinished in (run, Run(run).candidate(last.id).path):
        (unfinished / "result.json").unlink()
    assert ganas(*command(moved, run)) == 0, "the same images, elsewhere"
    assert f"images: {moved}\n" in (run / "config.yaml").read_text()
    missing.unlink()
    capsys.readouterr()
    assert ganas(*command(moved, run)) == 2
    assert f"the images of data.images ('{moved}') have changed since '{run}' was started" in capsys.readouterr().err
    assert outcome(run) == outcome(whole)


@pytest.mark.slow  # two searches with worker processes; that of a CycleGAN's is a default test
def test_a_full_disk_stops_the_search_which_resumes_once_there_is_room(
    whole: Path, images: Path, small_disk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, ballast = small_disk / "run", small_disk / "ballast"
    ballast.write_bytes(b"\0" * (2048 - 180 << 10))
    search = command(images, out, "--workers", "2")
    assert ganas(*search) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert re.match(
        rf"ganas: (candidate \w+ cannot continue: )?No space left on device( '{out}/.*')?: free some", last
    ), last
    assert not list(out.rglob("*.partial"))
    ballast.unlink()
    subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
    assert ganas(*search) == 0
    assert outcome(out) == outcome(whole)


# ── true processes, killed ───────────────────────────────────────────────────────────────────────────────────────────


def _trained(run: Path) -> dict[str, int]:
    """The finished candidates, with the time at which each finished."""
    return {path.parent.name: path.stat().st_mtime_ns for path in run.glob("candidates/*/result.json")}


def assert_kept(run: Path, finished: dict[str, int]) -> None:
    now = _trained(run)
    assert all(now[name] == when for name, when in finished.items()), "a finished candidate was trained again"


def _workers(run: Path) -> dict[int, str]:
    """The workers of a run: process id -> candidate, found by the log that each writes to."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            log = Path(os.readlink(folder / "fd" / "1"))
            if log.is_relative_to(run / "candidates"):
                found[int(folder.name)] = log.parent.name
    return found


def wait_for_exit(run: Path) -> None:
    """Wait until no worker of a run is left."""
    deadline = time.monotonic() + 60
    while _workers(run):
        assert time.monotonic() < deadline, "a worker is left behind"
        time.sleep(0.1)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").exists(), reason="finds workers in /proc")
def test_a_search_killed_at_random_moments_has_the_same_result(whole: Path, images: Path, tmp_path: Path) -> None:
    """Kills the driver twice and workers twice; the executors have tests of their own, with workers that only count."""
    moments, out, finished = random.Random(0), tmp_path / "run", dict[str, int]()
    search = [GANAS, *command(images, out, "--workers", "2")]
    process = None
    for victim in ("driver", "worker", "driver", "worker"):
        process = process or subprocess.Popen(search, start_new_session=True, stderr=subprocess.DEVNULL)
        while not _workers(out):
            assert process.poll() is None, "the search ended before it could be killed"
        time.sleep(moments.uniform(0, 1))
        workers = _workers(out)
        if victim == "driver":
            os.killpg(process.pid, signal.SIGKILL)
            process = process.wait() and None
        elif workers:
            os.kill(moments.choice(sorted(workers)), signal.SIGKILL)
        assert_kept(out, finished)
        finished = _trained(out)
    assert process and process.wait(300) == 0
    assert outcome(out) == outcome(whole)
    wait_for_exit(out)


# ── a Ray cluster ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def nodes() -> Iterator[Any]:
    """A cluster of two nodes with one core each; its head trains nothing."""
    cluster_utils = pytest.importorskip("ray.cluster_utils")
    cluster = cluster_utils.Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    for _ in range(2):
        cluster.add_node(num_cpus=1)
    yield cluster
    cluster.shutdown()


def on_ray(nodes: Any, out: Path, images: Path, said: Path) -> "subprocess.Popen[bytes]":
    search = [GANAS, *command(images, out, "--executor", "ray", "--address", nodes.address)]
    with said.open("ab") as file:
        return subprocess.Popen(search, stdout=file, stderr=file)


def wait_for_results(run: Path, count: int, process: "subprocess.Popen[bytes]") -> dict[str, int]:
    deadline = time.monotonic() + 600
    while len(_trained(run)) < count:
        assert process.poll() is None and time.monotonic() < deadline, "the search ended, or hangs"
        time.sleep(0.1)
    return _trained(run)


def test_without_ray_the_error_says_how_to_install_it(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    out = tmp_path / "run"
    assert ganas(*command(images, out, "--executor", "ray")) == 2
    assert (
        capsys.readouterr().err == "ganas: --executor ray needs Ray, which is not installed: pip install 'ganas[ray]'\n"
    )
    assert not out.exists()


@pytest.mark.parametrize(
    "address, words",
    [
        ("127.0.0.1:1", "refused"),  # nobody is there
        ("192.0.2.1:6379", ""),  # a network for documentation, in which nobody is: timed out, or unreachable
        ("no.such.host.invalid:6379", ""),
    ],
)
def test_the_error_names_a_cluster_that_does_not_answer(
    address: str,
    words: str,
    images: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("ray").shutdown()  # other tests may have connected this process
    monkeypatch.setattr("ganas.jobs.ray.CONNECT_TIMEOUT", 0.5)
    began = time.monotonic()
    assert ganas(*command(images, tmp_path / "run", "--executor", "ray", "--address", address)) == 2
    assert time.monotonic() - began < 10, "Ray itself would try for minutes"
    error = capsys.readouterr().err
    assert f"ganas: no Ray cluster at '{address}' (" in error and words in error


@pytest.mark.slow
def test_losing_and_adding_nodes_changes_nothing(whole: Path, images: Path, nodes: Any, tmp_path: Path) -> None:
    out, said = tmp_path / "run", tmp_path / "said"
    process = on_ray(nodes, out, images, said)
    finished = wait_for_results(out, 3, process)
    nodes.remove_node(nodes.list_all_nodes()[-1], allow_graceful=False)
    finished |= wait_for_results(out, 6, process)
    nodes.add_node(num_cpus=1)
    assert process.wait(300) == 0, said.read_text()
    assert outcome(out) == outcome(whole)
    assert_kept(out, finished)


@pytest.mark.long  # tests/jobs/test_conformance.py restarts drivers of jobs that need no torch
def test_the_driver_of_a_cluster_can_be_restarted(whole: Path, images: Path, nodes: Any, tmp_path: Path) -> None:
    out, said = tmp_path / "run", tmp_path / "said"
    finished: dict[str, int] = {}
    for count, how in ((3, signal.SIGINT), (6, signal.SIGTERM), (9, signal.SIGKILL)):
        process = on_ray(nodes, out, images, said)
        finished |= wait_for_results(out, count, process)
        while not (left := _workers(out)):
            assert process.poll() is None
        process.send_signal(how)
        code = process.wait(90)
        if how != signal.SIGKILL:
            assert code == 130 and f"stopped by {how.name}; everything is saved" in said.read_text()
            assert not _workers(out), "the workers exit before the driver"
    process = on_ray(nodes, out, images, said)
    seen: dict[str, set[int]] = defaultdict(set)
    while process.poll() is None:
        for worker, job in _workers(out).items():
            seen[job].add(worker)
        time.sleep(0.02)
    assert process.wait() == 0, said.read_text()
    assert [job for worker, job in left.items() if seen[job] == {worker}] == [*left.values()], "jobs are adopted"
    assert outcome(out) == outcome(whole)
    assert_kept(out, finished)


@pytest.mark.skipif(not Path("/proc").exists(), reason="finds workers in /proc")
def test_a_worker_ends_with_its_driver(images: Path, tmp_path: Path) -> None:
    """Otherwise orphans would keep the cores busy."""
    out = tmp_path / "run"
    search = [GANAS, *command(images, out, **{"training.images": 10**6})]
    driver = subprocess.Popen(search, start_new_session=True, stderr=subprocess.DEVNULL)
    while not [*out.glob("candidates/*/checkpoints/*")]:
        assert driver.poll() is None
        time.sleep(0.05)
    assert _workers(out)
    os.killpg(driver.pid, signal.SIGKILL)
    driver.wait()
    wait_for_exit(out)
    assert not [*out.glob("candidates/*/result.json")]
