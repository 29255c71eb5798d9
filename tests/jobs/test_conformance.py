"""The behaviour of every executor: most tests run on each of them."""

import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest

from ganas.errors import ConfigError
from ganas.jobs.executor import Executor, JobExit
from ganas.jobs.job import Job
from ganas.jobs.local import Local
from ganas.jobs.ray import MULTI_NODE, NAMESPACE, Ray

KINDS = "echo_worker"
CLUSTER = "GANAS_TEST_CLUSTER"  # variable: the address of the tests' Ray cluster

linux = pytest.mark.skipif(sys.platform != "linux", reason="workers are forked on Linux")
Make = Callable[..., Executor]  # workers, timeout


local = partial(Local, workers=2, kinds=KINDS)
fresh = partial(local, warm=False)


def ray(workers: int = 2, timeout: float | None = None) -> Ray:
    return Ray(workers, KINDS, timeout=timeout, address=os.environ.get(CLUSTER))


EXECUTORS: dict[str, Make] = {"local": local, "fresh": fresh, "ray": ray}
RAY = pytest.param("ray", marks=pytest.mark.slow)  # a cluster takes seconds to start


def on_a_cluster(test: Callable[..., None]) -> Callable[..., None]:
    """Mark a slow test that needs a Ray cluster."""
    return pytest.mark.slow(pytest.mark.usefixtures("cluster")(test))


@pytest.fixture(scope="session")
def cluster() -> Iterator[str]:
    """Start a Ray cluster of two cores, with its address in the environment; return the address."""
    cluster_utils = pytest.importorskip("ray.cluster_utils")
    found = cluster_utils.Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(CLUSTER, found.address)
        yield found.address
    sys.modules["ray"].shutdown()
    found.shutdown()


@pytest.fixture(params=["local", "fresh", RAY])
def name(request: pytest.FixtureRequest) -> str:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
def make(name: str, request: pytest.FixtureRequest) -> Make:
    if name == "ray":
        request.getfixturevalue("cluster")
    return EXECUTORS[name]


def job(folder: Path, kind: str, name: str = "job", images: int = 1) -> Job:
    path = folder / "candidates" / name
    path.mkdir(parents=True, exist_ok=True)
    return Job(kind, path, images)


def wait_until(condition: Callable[[], object], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def wait_for(executor: Executor, count: int = 1) -> list[JobExit]:
    """Wait until `count` jobs have ended."""
    ended: list[JobExit] = []
    wait_until(lambda: ended.extend(executor.poll()) or len(ended) >= count)
    return ended


def starts(job: Job) -> Sequence[str]:
    """Return a line per worker of a job: its process id, and what it noted."""
    return (job.path / "starts").read_text().splitlines()


def first_worker(job: Job) -> int:
    """Return the process id of the first worker of a job."""
    return int(starts(job)[0].split()[0])


def wait_until_started(job: Job) -> None:
    wait_until(lambda: (job.path / "starts").exists() and bool(starts(job)))  # it is created before it is written


def start(executor: Executor, job: Job) -> None:
    executor.submit(job)
    wait_until_started(job)


def do(executor: Executor, job: Job) -> None:
    """Run a job to its result."""
    executor.submit(job)
    assert wait_for(executor) == [JobExit(job)]


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{pid}/stat")  # on Linux; it also lists dead processes that were not waited for
    return not state.exists() or state.read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.parametrize(
    "kind, count, outcome",
    [
        ("work", 1, "done"),
        ("raise", 1, "ValueError: on purpose; see "),
        ("die once", 2, "done"),
        ("stop once", 2, "done"),  # by a signal that is not the driver's
    ],
)
def test_jobs_end_with_a_result(kind: str, count: int, outcome: str, make: Make, tmp_path: Path) -> None:
    """An exception is a result; a worker that is killed or stopped is restarted."""
    executor, path = make(), job(tmp_path, kind)
    do(executor, path)
    result = path.result()
    assert result and (result.error or result.state).startswith(outcome)
    assert len(starts(path)) == count and not executor.poll()


@pytest.mark.parametrize(
    "kind, count, error",
    [
        ("exit", 1, r"exit code 3.*log\.txt"),
        ("die", 3, "SIGKILL"),
        ("trouble", 1, "^the disk is full: free some space$"),
        ("hang", 1, "longer than 3 s"),
    ],
)
def test_errors_without_a_result(kind: str, count: int, error: str, make: Make, tmp_path: Path) -> None:
    executor, path = make(timeout=3 if kind == "hang" else None), job(tmp_path, kind)
    executor.submit(path)
    (ended,) = wait_for(executor)
    assert ended.job == path and ended.error and re.search(error, ended.error)
    assert ended.fatal == (kind == "trouble"), "which would stop every job"
    assert path.result() is None and len(starts(path)) == count and not alive(first_worker(path))


def test_cancelled_jobs_exit_and_can_be_resubmitted(make: Make, tmp_path: Path) -> None:
    executor, path = make(), job(tmp_path, "wait once")
    start(executor, path)
    executor.cancel()
    assert not alive(first_worker(path)) and not executor.poll()
    do(executor, path)
    assert len(starts(path)) == 2


def start_driver(name: str, path: Job, **options: Any) -> "subprocess.Popen[bytes]":
    """Start a process that submits a job to an executor and waits for it."""
    script = Path(__file__).parent / "driver.py"
    command = [sys.executable, "-P", script, name, path.path, path.kind, str(path.images)]
    return subprocess.Popen(command, **options)


def lose_the_driver(name: str, path: Job, *, stopping: bool = False) -> None:
    """Kill the driver once its worker has started, or while that is about to save."""
    driver = start_driver(name, path)
    wait_until_started(path)
    if stopping:
        driver.terminate()
        time.sleep(1)
    driver.kill()
    driver.wait()


@pytest.mark.parametrize("name", ["local", "fresh"], indirect=True)
def test_another_driver_continues_after_a_kill(name: str, make: Make, tmp_path: Path) -> None:
    """The first worker stops, since nobody monitors it; the second one waits for that."""
    path = job(tmp_path, "wait once")
    lose_the_driver(name, path)
    do(make(), path)
    assert len(starts(path)) == 2 and not alive(first_worker(path))


def test_a_failure_does_not_affect_other_jobs(make: Make, tmp_path: Path) -> None:
    executor = make()
    paths = [job(tmp_path, kind, kind) for kind in ("die", "work", "exit", "raise")]
    ended: list[JobExit] = []
    for path in paths:
        executor.submit(path)
        ended += wait_for(executor)
    assert {one.job for one in ended} == set(paths)
    assert {one.job.name for one in ended if one.error} == {"die", "exit"}


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity") or len(os.sched_getaffinity(0)) < 2, reason="needs two cores")
@pytest.mark.parametrize("begin", [local, fresh])
@pytest.mark.parametrize("workers", [1, 2])
def test_workers_are_pinned_to_disjoint_cores(workers: int, begin: Make, tmp_path: Path) -> None:
    executor = begin(workers=workers)
    paths = [job(tmp_path, "wait", name) for name in "ab"[:workers]]
    for path in paths:
        start(executor, path)
    cores = [json.loads(starts(path)[0].split(maxsplit=1)[1]) for path in paths]
    executor.cancel()
    assert sorted(core for some in cores for core in some) == sorted(os.sched_getaffinity(0)), "no core is shared"
    assert max(map(len, cores)) - min(map(len, cores)) <= 1


# ── targets, checkpoints, warm workers ───────────────────────────────────────────────────────────────────────────────


def test_a_job_resumes_for_a_larger_target(make: Make, tmp_path: Path) -> None:
    executor, path = make(), job(tmp_path, "count", images=5)
    do(executor, path)
    longer = replace(path, images=8)
    assert longer.result() is None and path.folder.checkpoint_paths(), "kept until the job is released"
    do(executor, longer)
    do(executor, longer)  # it is done: no worker starts
    result = longer.result()
    assert result and (result.images, result.scores) == (8, {"count": 8.0})
    assert [line.split()[1] for line in starts(path)] == ["0", "5"]


@pytest.mark.parametrize("victim", ["worker", "driver", "server"])
def test_a_job_survives_random_kills(victim: str, tmp_path: Path) -> None:
    """A driver is killed with its process group, as from a terminal; orphaned workers save."""
    path, moments = job(tmp_path, "count", images=300), random.Random(0)
    kills, driver, dead = 0, None, set[int]()
    while path.result() is None:
        if driver is None:
            driver = start_driver("local", path, start_new_session=True)
        with suppress(subprocess.TimeoutExpired):
            driver.wait(moments.uniform(0.1, 0.3))
            break
        found = [int(line.split()[0]) for line in starts(path)] if (path.path / "starts").exists() else []
        worker = next((pid for pid in found[::-1] if pid not in dead and alive(pid)), None)
        if worker is None or kills == 2:
            continue
        if victim == "driver":
            os.killpg(driver.pid, signal.SIGKILL)
            driver.wait()
            driver = None
        else:
            os.kill(worker if victim == "worker" else _parent(worker), signal.SIGKILL)
        dead.add(worker)
        kills += 1
    assert driver and driver.wait(30) == 0 and kills == 2
    result = path.result()
    assert result and result.scores == {"count": 300.0}
    firsts = [int(line.split()[1]) for line in starts(path)]
    assert len(firsts) > kills and firsts == sorted(firsts) and firsts[-1] > 0, "each resumed where the last stopped"
    assert not any(alive(int(line.split()[0])) for line in starts(path)), "no worker is left"


def _parent(process: int) -> int:
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])


@linux
def test_a_forked_worker_equals_a_started_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own process group, which no Ctrl-C reaches; the same threads, paths and environment; output in its log."""
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    found, logs = [], []
    for name, warm in (("warm", True), ("fresh", False)):
        path = job(tmp_path, "work", name)
        do(Local(1, KINDS, threads=2, warm=warm), path)
        result = path.result()
        assert result
        made = dict(result.facts)
        assert made.pop("group") == first_worker(path)
        found.append(made)
        logs.append(path.folder.log.read_text())
    assert (
        found[0] == found[1] and found[0]["OMP_NUM_THREADS"] == "2" and logs[0] == logs[1] == "on stdout\non stderr\n"
    )


@linux
def test_no_server_outlives_its_executor(tmp_path: Path) -> None:
    executor, path = Local(1, KINDS), job(tmp_path, "wait")
    start(executor, path)
    worker = first_worker(path)
    server = _parent(worker)
    assert server != os.getpid()
    del executor  # or it ends with an exception
    wait_until(lambda: not alive(server) and not alive(worker), seconds=10)


@linux
def test_cancelling_before_the_first_fork_does_not_wait(tmp_path: Path) -> None:
    executor = Local(2)
    for name in "ab":
        executor.submit(job(tmp_path, "train", name))  # imports torch first
    began = time.monotonic()
    executor.cancel()
    assert time.monotonic() - began < 1 and not executor.poll()


@linux
@pytest.mark.parametrize("kind", ["candidate", "train"])
def test_server_imports_are_complete_and_start_no_threads_or_cuda(kind: str) -> None:
    """The fork of a process with threads would wait for threads that it does not have."""
    script = (
        "import os, sys\n"
        "from ganas.jobs.worker import load_work\n"
        f"load_work('ganas.kinds', {kind!r})\n"
        "import torch\n"
        "assert not torch.cuda.is_initialized() and len(os.listdir('/proc/self/task')) == 1\n"
        "before = set(sys.modules)\n"
        "torch.optim.Adam([torch.zeros(1)])\n"
        "assert len(set(sys.modules) - before) < 10\n"
    )
    subprocess.run([sys.executable, "-P", "-c", script], env=os.environ | {"OMP_NUM_THREADS": "1"}, check=True)


# ── a cluster outlives its drivers ───────────────────────────────────────────────────────────────────────────────────


def actors() -> set[str]:
    """Return the names of the actors on the cluster."""
    found = sys.modules["ray"].util.list_named_actors(all_namespaces=True)
    return {actor["name"] for actor in found if actor["namespace"] == NAMESPACE}


def wait_until_gone(path: Job) -> None:
    wait_until(lambda: f"{path.path} {path.images}" not in actors())


def second_driver(folder: Path, kind: str, *, stopping: bool = False) -> tuple[Ray, Job]:
    """Submit a job whose first driver was killed."""
    path = job(folder, kind)
    lose_the_driver("ray", path, stopping=stopping)
    executor = ray()
    executor.submit(path)
    return executor, path


@on_a_cluster
def test_jobs_of_a_lost_driver_are_adopted(tmp_path: Path) -> None:
    executor, path = second_driver(tmp_path, "until told")
    time.sleep(2)  # in which a worker that nobody monitors would exit
    assert not executor.poll() and alive(first_worker(path))
    (path.path / "told").touch()
    assert wait_for(executor) == [JobExit(path)] and len(starts(path)) == 1
    wait_until_gone(path)


@on_a_cluster
def test_adopted_jobs_can_be_cancelled(tmp_path: Path) -> None:
    executor, path = second_driver(tmp_path, "wait")
    executor.cancel()
    assert not alive(first_worker(path)) and len(starts(path)) == 1
    wait_until_gone(path)


@on_a_cluster
def test_a_job_that_a_lost_driver_was_stopping_is_restarted(tmp_path: Path) -> None:
    executor, path = second_driver(tmp_path, "slow to stop once", stopping=True)
    assert wait_for(executor) == [JobExit(path)] and len(starts(path)) == 2


@on_a_cluster
def test_a_pending_job_does_not_start_during_a_cancel(tmp_path: Path) -> None:
    executor = ray(workers=3)
    paths = [job(tmp_path, kind, kind) for kind in ("wait", "slow to stop once", "work")]
    for path in paths[:2]:
        start(executor, path)
    executor.submit(paths[2])
    executor.cancel()
    assert not any(alive(first_worker(path)) for path in paths[:2])
    wait_until_gone(paths[2])
    assert not (paths[2].path / "starts").exists()


@on_a_cluster
def test_a_second_driver_gets_the_same_error(tmp_path: Path) -> None:
    path = job(tmp_path, "exit")
    first, second = ray(), ray()
    first.submit(path)
    second.submit(path)
    (ended,) = wait_for(second)
    assert ended.error and "exit code 3" in ended.error and len(starts(path)) == 1


@on_a_cluster
def test_an_idle_actor_exits_after_its_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ganas.jobs.ray.IDLE_TIMEOUT", 1.0)
    path = job(tmp_path, "until told")
    start(ray(), path)
    time.sleep(3)
    assert f"{path.path} {path.images}" in actors(), "its job still runs"
    (path.path / "told").touch()
    wait_until_gone(path)
    assert path.result()


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["token", "disabled"])
def test_an_existing_token_is_used(mode: str, tmp_path: Path) -> None:
    """By clusters that require one and clusters that do not, without any option."""
    pytest.importorskip("ray")
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text("ab" * 32)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    others = {key: value for key, value in os.environ.items() if not key.startswith("RAY_")}
    plain = others | {"HOME": str(tmp_path), MULTI_NODE: "0"}
    start = (sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", "--num-cpus", "1")
    options = ("--port", address.rpartition(":")[2], "--include-dashboard", "false")
    head = subprocess.Popen([*start, *options], env=plain | {"RAY_AUTH_MODE": mode}, stdout=subprocess.DEVNULL)
    try:
        script = f"from ganas.jobs.ray import Ray; print(Ray(None, address={address!r}).capacity)"
        deadline = time.monotonic() + 60
        command = [sys.executable, "-c", script]
        while "1" not in (done := subprocess.run(command, env=plain, capture_output=True, text=True)).stdout:
            assert time.monotonic() < deadline, done.stderr
    finally:
        head.terminate()
        head.wait()


# ── neither the user's files nor other machines are involved ─────────────────────────────────────────────────────────


@pytest.mark.usefixtures("traps")
@pytest.mark.parametrize("name", ["local", RAY], indirect=True)
def test_the_current_folder_is_not_imported_and_the_port_is_local(name: str, tmp_path: Path) -> None:
    """With Ray, on a cluster that is started for this job."""
    if name == "ray":
        pytest.importorskip("ray")
    path = job(tmp_path, "until told")
    environment = {key: value for key, value in os.environ.items() if key not in (CLUSTER, MULTI_NODE)}
    driver = start_driver(name, path, env=environment)
    try:
        wait_until_started(path)
        if sys.platform == "linux":
            assert listening(driver.pid) == ({LOOPBACK} if name == "ray" else set())
        (path.path / "told").touch()
        assert driver.wait(60) == 0 and path.result()
    finally:
        driver.kill()


@pytest.mark.skipif(sys.platform != "linux", reason="the addresses are found in /proc")
@on_a_cluster
def test_the_test_cluster_listens_locally() -> None:
    ray()  # connects this process, too
    assert listening(os.getpid()) == {LOOPBACK}


LOOPBACK = "0100007F"  # 127.0.0.1, as in /proc/net/tcp


def listening(process: int) -> set[str]:
    """Return the IPv4 addresses at which a process and its descendants listen."""
    tree, sockets = [process], set()
    for one in tree:  # grows in the loop
        with suppress(FileNotFoundError):  # the process has just ended
            for task in Path(f"/proc/{one}/task").iterdir():
                tree += map(int, (task / "children").read_text().split())
        for handle in Path(f"/proc/{one}/fd").glob("*"):
            with suppress(FileNotFoundError):
                sockets.add(os.readlink(handle))
    lines = [line.split() for table in ("tcp", "tcp6") for line in Path(f"/proc/net/{table}").read_text().splitlines()]
    return {line[1].partition(":")[0][-8:] for line in lines if line[3] == "0A" and f"socket:[{line[9]}]" in sockets}


# ── resources ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("begin", [local, fresh])
@pytest.mark.parametrize("visible, expected", [(None, ["0", "1", "0"]), ("5,7", ["5", "7", "5"])])
def test_local_workers_are_assigned_to_gpus_in_turn(
    begin: Make, visible: str | None, expected: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    executor = begin(workers=3, gpus=2)
    jobs = [job(tmp_path, "work", f"job{number}") for number in range(3)]
    for one in jobs:
        executor.submit(one)
    wait_for(executor, 3)
    results = [one.result() for one in jobs]
    assert [result and result.facts["CUDA_VISIBLE_DEVICES"] for result in results] == expected


@pytest.mark.parametrize(
    "nodes, threads, share, expected",
    [
        ([{"CPU": 2}, {"CPU": 3}], 1, 0, 5),
        ([{"CPU": 2}, {"CPU": 3}], 2, 0, 2),  # a job is on one node
        ([{"CPU": 16, "GPU": 1}, {"CPU": 16}], 1, 0.1, 10),
        ([{"CPU": 16, "GPU": 2}], 1, 0.4, 4),  # a share comes from a single GPU
        ([{"CPU": 16, "GPU": 8}], 1, 0.6, 8),
        ([{"CPU": 16, "GPU": 3}], 1, 2, 1),
        ([{"CPU": 3, "GPU": 8}], 1, 1, 3),
        ([{"CPU": 2}, {"GPU": 2}], 1, 1, 0),
        ([{"CPU": 2}, {"CPU": 2}], 3, 0, 0),
    ],
)
def test_cluster_capacity_counts_what_fits_each_node(
    nodes: list[dict[str, float]], threads: int, share: float, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = MagicMock()
    alive = [{"Alive": True, "Resources": resources} for resources in nodes]
    cluster.nodes.return_value = [{"Alive": False, "Resources": {}}, *alive]
    monkeypatch.setattr("ganas.jobs.ray._connect", lambda _: cluster)
    if expected:
        assert Ray(None, KINDS, threads=threads, gpu_share=share).capacity == expected
    else:
        with pytest.raises(ConfigError, match="the Ray cluster has no room for a job, which needs"):
            Ray(None, KINDS, threads=threads, gpu_share=share)
