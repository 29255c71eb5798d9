"""``ganas grow`` from begin to end on small noise: the same result however it runs, and clear words for bad input."""

import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ganas.growing.architecture import GrowthArchitecture, parse_layer
from ganas.growing.candidates import candidates, cost
from ganas.growing.forecast import Pace
from ganas.growing.presets import make_grow_config
from ganas.growing.run import foresee, grow
from ganas.growing.worker import train
from ganas.jobs.executor import InProcess
from ganas.jobs.worker import finish
from ganas.signals import StopSignal
from ganas.store import Run
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


def settings(**changed: object) -> list[str]:
    return [word for key, value in {**SETTINGS, **changed}.items() for word in ("--set", f"{key}={json.dumps(value)}")]


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_images(tmp_path_factory.mktemp("data") / "images", 24, seed=0, sides=(16, 16))


@pytest.fixture(autouse=True)
def _cache(cache: Path) -> None:
    """No search takes the route's results from another: it is to be seen that they are the same."""


@pytest.fixture(scope="module")
def whole(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A search that nobody disturbed, all of it in this process."""
    out = tmp_path_factory.mktemp("whole") / "run"
    config = make_grow_config(preset="tiny", flags={"data.images": str(images)} | SETTINGS)
    grow(config, out, place=InProcess(lambda job: finish(job, StopSignal(), train)))
    return out


def outcome(run: Path) -> dict[str, Any]:
    """Everything that is not a clock: who was trained, with which scores; the winner's bytes."""
    found: dict[str, Any] = {
        spec.id: (spec, result and (result.state, result.images, result.start, result.end))
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


@pytest.mark.usefixtures("traps")
def test_two_processes_find_what_one_finds(whole: Path, images: Path, tmp_path: Path) -> None:
    run = ["grow", "--data", images, "--out", tmp_path / "run", "--preset", "tiny", *settings(), "--workers", "2"]
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
    assert document["lineage"][-1] == document["best"]
    for one in document["candidates"]:
        assert {
            "id",
            "parent",
            "action",
            "generation",
            "seed",
            "resolution",
            "state",
            "normalized",
            "role",
        } <= one.keys()
        assert (
            one["resolution"]
            == 8 * 2 ** one["generator"].count("double")
            == 8 * 2 ** one["discriminator"].count("double")
        )
        architecture = GrowthArchitecture(
            4, 4, tuple(map(parse_layer, one["generator"])), tuple(map(parse_layer, one["discriminator"]))
        )
        assert (
            one["cost"] == cost(architecture)
            and one["cost"]["generator"]["macs"] > one["cost"]["generator"]["parameters"] > 0
        )
        result = one["result"]
        assert (
            result["state"] == "done"
            and result["images"] == one["images"]
            and result["elapsed"] >= result["seconds"] > 0
        )
        assert result["start"] > 0 and result["end"] > 0
    log = (whole / "log.txt").read_text()
    assert " done, 0 failed, 0 running, " in log and "; best " in log and " left\n" in log


def test_the_same_images_elsewhere_are_no_other_config(
    whole: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, moved = shutil.copytree(whole, tmp_path / "run"), shutil.copytree(images, tmp_path / "moved")
    last = max(candidates(Run(run)), key=lambda pair: pair[0].generation)[0]
    for unfinished in (run, Run(run).candidate(last.id).path):
        (unfinished / "result.json").unlink()
    assert ganas("grow", "--data", moved, "--out", run, "--preset", "tiny", *settings()) == 0, capsys.readouterr().err
    assert outcome(run) == outcome(whole) and f"images: {moved}\n" in (run / "config.yaml").read_text()


def test_the_papers_scale_comes_with_what_it_cost(images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ganas.growing.forecast._pace", lambda *_: Pace(0.1, 1.0, 1))
    flags = {"data.images": str(images), "data.resolution": 16}
    _, lines = foresee(make_grow_config(preset="paper", flags=flags), None, None)
    assert "580 GPU-days" in lines[-1]
    _, lines = foresee(make_grow_config(preset="tiny", flags=flags), None, None)
    assert "580 GPU-days" not in "".join(lines)


@pytest.mark.usefixtures("traps")
def test_a_dry_run_says_what_it_costs_and_writes_nothing(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ganas("grow", "--data", images, "--out", tmp_path / "run", "--preset", "tiny", *settings(), "--dry-run") == 0
    out, _ = capsys.readouterr()
    assert "generation 2" in out and "in all" in out
    assert not (tmp_path / "run").exists()


def test_a_route_is_trained_by_itself(images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    route = tmp_path / "route.json"
    route.write_text('["g-conv3x4", "on", "fade"]')
    out = tmp_path / "run"
    assert ganas("grow", "--data", images, "--out", out, "--preset", "tiny", *settings(), "--route", route) == 0
    assert json.loads((out / "architecture.json").read_text())["generator"] == ["conv3x4", "double"]
    assert json.loads((out / "result.json").read_text())["candidates"] == 4
    capsys.readouterr()
    assert ganas("runs", out) == 0
    shown = capsys.readouterr().out
    assert "best: fade" in shown and shown.count("route ") == 4 and shown.count("longer ") == 1
    assert ganas("grow", "--data", images, "--out", out, "--preset", "tiny", *settings()) == 2, "without the route"
    assert "growth.route" in capsys.readouterr().err


@pytest.mark.parametrize(
    "changed, words",
    [
        (["--resolution", "12"], "cannot grow to 12 pixels: choose 8, 16, 32"),
        (["--resolution", "32"], "--resolution 32 is larger than the images, the smallest has 16 pixels a side"),
        (["--set", "growth.keep=0"], "growth.keep: input should be greater than or equal to 1, got 0"),
        (["--set", "growth.probability=0"], "growth.probability: input should be greater than 0"),
        (["--set", "growth.probability=1.01"], "growth.probability: input should be less than or equal to 1"),
        (["--set", "growth.fade_images=33"], "does not end within a candidate's training"),
        (["--set", "growth.max_parameters=10"], "no legal action"),
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
        (["--route", "nowhere.json"], "cannot read the route 'nowhere.json'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_is_one_line(
    changed: list[str], words: str, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    assert ganas("grow", "--data", images, "--out", out, "--preset", "tiny", *settings(), *changed) == 2
    _, err = capsys.readouterr()
    assert err.count("\n") == 1 and words in err
    assert not out.exists()


@pytest.mark.parametrize(
    "text, words",
    [
        ('["fly"]', "illegal action: unknown action 'fly'"),
        ('["fade", "fade"]', "ends at 32 pixels and not at 16"),
        ('{"fade": 1}', "no JSON list"),
        ("[", "no JSON list"),
        ("[]", "ends at 8 pixels and not at 16"),
    ],
)
def test_a_bad_route_is_one_line(
    text: str, words: str, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "route.json").write_text(text)
    given = ["--preset", "tiny", *settings(), "--route", tmp_path / "route.json"]
    assert ganas("grow", "--data", images, "--out", tmp_path / "run", *given) == 2
    _, err = capsys.readouterr()
    assert err.count("\n") == 1 and words in err


def test_another_config_or_other_images_are_refused(
    whole: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = shutil.copytree(whole, tmp_path / "run")
    before = outcome(run)
    assert ganas("grow", "--data", images, "--out", run, "--preset", "tiny", *settings(), "--seed", "1") == 2
    assert "a run of another config (seed: 0 → 1)" in capsys.readouterr().err
    longer = ["--set", "training.images=99999"]
    assert ganas("grow", "--data", images, "--out", run, "--preset", "tiny", *settings(), *longer) == 2
    assert ", which would change every candidate)" in capsys.readouterr().err
    others = shutil.copytree(images, tmp_path / "images")
    gone = next(others.iterdir())
    gone.unlink()
    command = ["grow", "--data", others, "--out", run, "--preset", "tiny", *settings()]
    assert ganas(*command) == 2
    assert f"(data.images: {images} → {others}): give the same options" in capsys.readouterr().err
    shutil.copyfile(images / gone.name, gone)
    assert ganas(*command) == 0, "the same images, elsewhere"
    gone.unlink()
    capsys.readouterr()
    assert ganas(*command) == 2
    assert f"the images of data.images ('{others}') have changed since '{run}' was started" in capsys.readouterr().err
    assert outcome(run) == before


def test_a_full_disk_stops_the_search_and_it_goes_on_once_there_is_room(
    whole: Path, images: Path, small_disk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, ballast = small_disk / "run", small_disk / "ballast"
    ballast.write_bytes(b"\0" * (2048 - 180 << 10))
    command = ["grow", "--data", images, "--out", out, "--preset", "tiny", *settings(), "--workers", "2"]
    assert ganas(*command) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert re.match(
        rf"ganas: (candidate \w+ cannot be trained: )?No space left on device( '{out}/.*')?: free some", last
    ), last
    assert not list(out.rglob("*.partial"))
    ballast.unlink()
    subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
    assert ganas(*command) == 0
    assert outcome(out) == outcome(whole)


# ── true processes, killed ───────────────────────────────────────────────────────────────────────────────────────────


def _trained(run: Path) -> dict[str, int]:
    """Finished candidates, and when they finished."""
    return {path.parent.name: path.stat().st_mtime_ns for path in run.glob("candidates/*/result.json")}


def _workers(run: Path) -> dict[int, bytes]:
    """The workers of a run: process numbers, and what each trains."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        jobs = [word for word in words if word.startswith(f"{run}/".encode())]
        if b"ganas.growing.worker" in words and jobs:
            found[int(folder.name)] = jobs[0]
    return found


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").exists(), reason="finds workers in /proc")
@pytest.mark.parametrize("victim", ["driver", "workers"])
def test_killed_at_ten_moments_it_ends_the_same(victim: str, whole: Path, images: Path, tmp_path: Path) -> None:
    moments, kills = random.Random(0), 0
    for attempt in range(10):
        out = tmp_path / f"attempt {attempt}"
        kills += disturbed(victim, out, images, moments, 10 - kills)
        assert outcome(out) == outcome(whole)
        deadline = time.monotonic() + 30
        while _workers(out) and time.monotonic() < deadline:
            time.sleep(0.2)
        assert not _workers(out), "nobody is left behind"
        if kills == 10:
            break
    assert kills == 10, "the runs were over before they could be disturbed"


def disturbed(victim: str, out: Path, images: Path, moments: random.Random, most: int) -> int:
    """A search to its end, with the driver or workers killed on the way; how often."""
    command = [GANAS, "grow", "--data", images, "--out", out, "--preset", "tiny", *settings(), "--workers", "2"]
    finished: dict[str, int] = {}
    killed: list[bytes] = []
    process = None
    deadline = time.monotonic() + 600
    while time.monotonic() < deadline:
        if process is None:
            with out.with_suffix(".said").open("ab") as said:
                process = subprocess.Popen(command, stdout=said, stderr=said)
        try:
            process.wait(moments.uniform(2, 7) if len(killed) < most else 300)
        except subprocess.TimeoutExpired:
            # twice is no result yet
            workers = {pid: job for pid, job in _workers(out).items() if killed.count(job) < 2}
            targets = {process.pid: b""} if victim == "driver" else workers
            if targets:
                target = moments.choice(sorted(targets))
                os.kill(target, signal.SIGKILL)
                killed.append(targets[target])
            if victim == "driver":
                process.wait()
                process = None
        else:
            break
        now = _trained(out)
        assert all(now[name] == when for name, when in finished.items()), "a finished candidate was trained again"
        finished = now
    assert process and process.returncode == 0, out.with_suffix(".said").read_text()
    return len(killed)


# ── a Ray cluster ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def nodes() -> Iterator[Any]:
    """A cluster whose head trains nothing, and two nodes of one core."""
    cluster_utils = pytest.importorskip("ray.cluster_utils")
    cluster = cluster_utils.Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    for _ in range(2):
        cluster.add_node(num_cpus=1)
    yield cluster
    cluster.shutdown()


def on_ray(nodes: Any, out: Path, images: Path, said: Path) -> "subprocess.Popen[bytes]":
    command = [GANAS, "grow", "--data", images, "--out", out, "--preset", "tiny", *settings()]
    with said.open("ab") as file:
        return subprocess.Popen([*command, "--executor", "ray", "--address", nodes.address], stdout=file, stderr=file)


def wait_for_results(run: Path, count: int, process: "subprocess.Popen[bytes]") -> dict[str, int]:
    deadline = time.monotonic() + 600
    while len(_trained(run)) < count:
        assert process.poll() is None and time.monotonic() < deadline, "it ended, or hangs"
        time.sleep(0.1)
    return _trained(run)


def test_without_ray_the_way_to_it_is_told(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    out = tmp_path / "run"
    command = ["grow", "--data", images, "--out", out, "--preset", "tiny", *settings(), "--executor", "ray"]
    assert ganas(*command) == 2
    assert (
        capsys.readouterr().err == "ganas: --executor ray needs Ray, which is not installed: pip install 'ganas[ray]'\n"
    )
    assert not out.exists()


@pytest.mark.parametrize(
    "answer, words",
    [
        (None, "refused"),  # nobody is there
        ("", "timed out"),
        ("bye", "it hung up"),
        ("HTTP/1.1 400 Bad Request", "something else answers there"),
    ],
)
def test_a_cluster_that_does_not_answer_is_named(
    answer: str | None,
    words: str,
    images: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("ray").shutdown()  # other tests may have connected this process
    monkeypatch.setattr("ganas.jobs.ray.PATIENCE", 0.5)

    def serve() -> None:
        door, _ = server.accept()
        with door:
            door.recv(100)
            if answer != "bye":
                door.sendall(str(answer).encode())

    with socket.create_server(("127.0.0.1", 0)) as server:
        address = "127.0.0.1:1" if answer is None else f"127.0.0.1:{server.getsockname()[1]}"
        if answer:
            threading.Thread(target=serve, daemon=True).start()
        command = ["grow", "--data", images, "--out", tmp_path / "run", "--preset", "tiny", *settings()]
        assert ganas(*command, "--executor", "ray", "--address", address) == 2
    error = capsys.readouterr().err
    assert f"ganas: no Ray cluster at '{address}' (" in error and words in error


@pytest.mark.slow
def test_a_node_that_is_lost_and_one_that_joins_change_nothing(
    whole: Path, images: Path, nodes: Any, tmp_path: Path
) -> None:
    out, said = tmp_path / "run", tmp_path / "said"
    process = on_ray(nodes, out, images, said)
    finished = wait_for_results(out, 3, process)
    nodes.remove_node(nodes.list_all_nodes()[-1], allow_graceful=False)
    finished |= wait_for_results(out, 6, process)
    nodes.add_node(num_cpus=1)
    assert process.wait(300) == 0, said.read_text()
    assert outcome(out) == outcome(whole)
    now = _trained(out)
    assert all(now[name] == when for name, when in finished.items()), "a finished candidate was trained again"


@pytest.mark.slow
def test_a_driver_of_a_cluster_can_be_started_again(whole: Path, images: Path, nodes: Any, tmp_path: Path) -> None:
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
            assert code == 130 and f"stopped by {how.name}; all is saved" in said.read_text()
            assert not _workers(out), "all have gone before it"
    process = on_ray(nodes, out, images, said)
    seen: dict[bytes, set[int]] = defaultdict(set)
    while process.poll() is None:
        for worker, job in _workers(out).items():
            seen[job].add(worker)
        time.sleep(0.02)
    assert process.wait() == 0, said.read_text()
    assert [job for worker, job in left.items() if seen[job] == {worker}] == [*left.values()], "what ran is adopted"
    assert outcome(out) == outcome(whole)
    now = _trained(out)
    assert all(now[name] == when for name, when in finished.items()), "a finished candidate was trained again"


def test_a_worker_ends_with_its_driver(images: Path, whole: Path, tmp_path: Path) -> None:
    """An orphan would train on for nobody."""
    run = shutil.copytree(whole, tmp_path / "run")
    folder = next(path.parent for path in sorted(run.glob("candidates/*/result.json")))
    (folder / "result.json").unlink()
    spec = json.loads((folder / "spec.json").read_text())
    (folder / "spec.json").write_text(json.dumps(spec | {"images": 10**6}))
    driver = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import os, subprocess, sys; arguments = [*sys.argv[1:-1], str(os.getpid())]; "
            "print(subprocess.Popen(arguments).pid, flush=True); input()",
            *(sys.executable, "-m", "ganas.growing.worker", folder, "DRIVER"),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert driver.stdout and driver.stdin
    worker = int(driver.stdout.readline())
    time.sleep(0.5)
    driver.kill()
    driver.wait()
    driver.stdout.close()
    driver.stdin.close()
    deadline = time.monotonic() + 60
    while worker in _workers(run):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert not (folder / "result.json").exists()
