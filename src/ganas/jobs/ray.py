"""Run each job on a Ray cluster, in an actor that monitors one worker process on its node.

Ray schedules actors, counts cores and GPUs, and restarts the actors of a lost node elsewhere. The actor's own `Local`
executor reports crashes and timeouts of its worker, with the same messages as on one machine. An error of Ray itself is
not the result of a job: the run stops, and the same command resumes it.

An actor is detached, so it outlives its driver. It is named after its job's folder, so the next driver adopts it. All
nodes must see the run's folder under the same path.
"""

import logging
import os
import socket
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import chdir
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

from ganas.errors import ConfigError, describe_os_error
from ganas.jobs.executor import JobExit
from ganas.jobs.job import Job
from ganas.jobs.local import SAVE_TIMEOUT, Local
from ganas.jobs.worker import KINDS_MODULE

POLL_SECONDS = 0.1
KILL_CHILDREN = "RAY_kill_child_processes_on_worker_exit"  # "0": do not kill a worker while it saves
MULTI_NODE = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"  # "0": Ray listens on 127.0.0.1 only, on Linux too
MAX_LOST_NODES = 20  # per job
CONNECT_TIMEOUT = 10.0  # seconds for a cluster to answer
START_TIMEOUT = 2.0  # seconds for an actor to answer; one that does not is still pending
IDLE_TIMEOUT = 30.0  # seconds without a call after which an actor exits
NAMESPACE = "ganas-2"  # of the actors' names; changes with what actors return
CONTROL = "control"  # concurrency group of the calls that an actor answers while it works


class Ray:
    """Runs at most `workers` jobs at once, or as many as the cluster has room for, each with `threads` cores.

    kinds      the module with the table of job functions, as for `Local`
    gpu_share  of a GPU per job: 0.25 puts four jobs on one
    timeout    seconds per worker; None: no limit
    address    of a running cluster; None: the one in RAY_ADDRESS, or a new one on this machine

    Raises `ConfigError` if Ray is not installed, no cluster answers, or no node has room for a job.
    """

    def __init__(
        self,
        workers: int | None,
        kinds: str = KINDS_MODULE,
        *,
        threads: int = 1,
        gpu_share: float = 0.0,
        timeout: float | None = None,
        address: str | None = None,
    ) -> None:
        self._ray = _connect(address)
        self._workers, self._threads, self._gpu_share = workers, threads, gpu_share
        self._actor_class = self._ray.remote(concurrency_groups={CONTROL: 1})(_JobActor)
        self._options = {
            "num_cpus": threads,
            "num_gpus": gpu_share,
            "max_restarts": MAX_LOST_NODES,
            "max_task_retries": MAX_LOST_NODES,
            "lifetime": "detached",
            "namespace": NAMESPACE,
            "get_if_exists": True,
        }
        self._settings = {"kinds": kinds, "threads": threads, "timeout": timeout}
        self._driver = uuid4().hex  # actors tell drivers apart by it
        self._running: dict[Any, _Running] = {}  # by the reference of the result of `work`
        if self.capacity < 1:
            needed = f"{threads} cores" + (f" and {gpu_share:g} of a GPU" if gpu_share else "")
            raise ConfigError(
                f"the Ray cluster has no room for a job, which needs {needed}: add nodes, or give --workers to "
                f"wait for them"
            )

    @property
    def capacity(self) -> int:
        """How many jobs run at once: `workers`, or as many as the current nodes have room for."""
        if self._workers is not None:
            return self._workers
        return sum(self._room(node["Resources"]) for node in self._ray.nodes() if node["Alive"])

    def submit(self, job: Job) -> None:
        """Create an actor, which Ray starts as soon as there is room, or adopt the one of a lost driver."""
        job = replace(job, path=job.path.absolute())
        name = f"{job.path} {job.images}"  # with a larger target it is another actor
        actor = self._actor_class.options(**self._options, name=name).remote(job, self._settings, IDLE_TIMEOUT)
        started = actor.started.options(concurrency_group=CONTROL).remote()
        self._running[actor.work.remote(self._driver)] = _Running(job, actor, started)

    def poll(self) -> Sequence[JobExit]:
        """Return the jobs that ended since the last call."""
        return [self._exit(work) for work in self._wait([*self._running], 0)]

    def cancel(self) -> None:
        """Ask all workers to save and exit, and kill those that do not in time."""
        submitted = [*self._running.values()]
        for one in submitted:  # first of all: they exit even if this is interrupted
            one.actor.stop.options(concurrency_group=CONTROL).remote(self._driver)
        started = set(self._wait([one.started for one in submitted], START_TIMEOUT))
        for one in submitted:
            if one.started not in started:  # a pending actor must not take the room of one that exits
                self._ray.kill(one.actor)
        self._wait([*self._running], SAVE_TIMEOUT + 10)
        for one in submitted:
            self._ray.kill(one.actor)
        self._running.clear()

    def _wait(self, references: list[Any], seconds: float) -> list[Any]:
        """The references that are ready: all of them, or those that are after `seconds`."""
        return self._ray.wait(references, num_returns=len(references), timeout=seconds)[0] if references else []

    def _room(self, resources: Mapping[str, float]) -> int:
        """How many jobs fit on a node, by its cores and GPUs."""
        cores = resources.get("CPU", 0.0) / self._threads
        gpus, share = resources.get("GPU", 0.0), self._gpu_share
        if share == 0:
            return int(cores)
        # a share must come from a single GPU
        return int(min(cores, gpus // share if share >= 1 else gpus * int(1 / share + 1e-6)))

    def _exit(self, work: Any) -> JobExit:
        job, actor, _ = self._running.pop(work)
        try:
            found = self._ray.get(work)
            ended = JobExit(job, found.error, found.fatal)
        except self._ray.exceptions.RayError as lost:  # too many lost nodes, or an error of Ray itself
            ended = JobExit(job)
            if not job.result():  # else the actor was lost after its work was done
                reason = str(getattr(lost, "cause", None) or lost).strip().split("\n")[-1]
                why = " ".join(reason.split())[:200]
                error = f"Ray lost its actor ({why}): check the cluster, then run the same command again"
                ended = JobExit(job, error, fatal=True)
        self._ray.kill(actor)  # frees its resources at once
        return ended


class _Running(NamedTuple):
    job: Job
    actor: Any
    started: Any  # a reference that is ready once the actor runs


class _JobActor:
    """The actor of a job: monitors one worker at a time, on its node, until there is a result.

    It ends when its driver has received the result, or after `idle` seconds without a call.
    """

    def __init__(self, job: Job, settings: dict[str, Any], idle: float) -> None:
        self._job, self._settings, self._idle = job, settings, idle
        self._stopped: list[str] = []  # drivers that have called `stop`
        self._failed: JobExit | None = None
        self._idle_since: float | None = time.monotonic()
        threading.Thread(target=self._exit_when_idle, daemon=True).start()

    def started(self) -> None:
        """Return as soon as the actor runs."""

    def stop(self, driver: str) -> None:
        """Ask the worker to save and exit, whichever driver started it; start no worker for this driver."""
        self._stopped.append(driver)

    def work(self, driver: str) -> JobExit:
        """Run the job. A second driver gets the same answer."""
        stops = len(self._stopped)
        if driver in self._stopped:
            return JobExit(self._job)
        self._idle_since = None
        try:
            ended = self._failed or self._work(stops)  # a success is known by its result file
            if ended.error:
                self._failed = ended
            return ended
        finally:
            self._idle_since = time.monotonic()

    def _work(self, stops: int) -> JobExit:
        if self._job.result():  # written before a node was lost, for example
            return JobExit(self._job)
        local = Local(1, pinned=False, warm=False, **self._settings)  # a fork server would only serve this job
        try:
            local.submit(self._job)
            while not (ended := local.poll()):
                if len(self._stopped) > stops:
                    return JobExit(self._job)
                time.sleep(POLL_SECONDS)
            return ended[0]
        except OSError as error:  # this node does not see the run's folder, for example
            return JobExit(self._job, f"on {socket.gethostname()}: {describe_os_error(error)}", fatal=True)
        finally:
            local.cancel()

    def _exit_when_idle(self) -> None:
        import ray

        while (since := self._idle_since) is None or time.monotonic() - since < self._idle:
            time.sleep(1)
        ray.kill(ray.get_runtime_context().current_actor)


def _connect(address: str | None) -> Any:
    _enable_token_auth()
    address = address or os.environ.get("RAY_ADDRESS")
    if address is None:
        os.environ.setdefault(KILL_CHILDREN, "0")
        os.environ.setdefault(MULTI_NODE, "0")  # Ray reads it on import
    try:
        import ray
    except ImportError:
        raise ConfigError("--executor ray needs Ray, which is not installed: pip install 'ganas[ray]'") from None
    if not ray.is_initialized():
        try:
            _probe(address)
            with chdir(sys.prefix):  # actors import from the current folder
                ray.init(
                    address=address or "local",
                    log_to_driver=False,
                    logging_level=logging.ERROR,
                    include_dashboard=False,
                )
        except (OSError, ValueError, RuntimeError, ray.exceptions.RayError) as error:
            where = f"at {address!r}" if address else "here"
            reason = " ".join(str(error).split())[:200]
            raise ConfigError(
                f"no Ray cluster {where} ({reason}): give the address that ray start printed, and put the cluster's "
                f"token, if it requires one, into ~/.ray/auth_token"
            ) from None
    return ray


def _enable_token_auth() -> None:
    """If this machine has a token, send it: Ray by itself then requires one from others, but does not send its own."""
    given = "RAY_AUTH_TOKEN" in os.environ or "RAY_AUTH_TOKEN_PATH" in os.environ
    if given or Path(os.path.expanduser("~/.ray/auth_token")).exists():
        os.environ.setdefault("RAY_AUTH_MODE", "token")  # a cluster without tokens ignores it


def _probe(address: str | None) -> None:
    """Raise `OSError` if nothing answers at HOST:PORT: Ray itself would try for minutes."""
    host, _, port = (address or "").rpartition(":")
    bare = host.removeprefix("[").removesuffix("]")  # IPv6
    if host and port.isdecimal() and "/" not in host and (":" not in bare or bare != host):
        socket.create_connection((bare, int(port)), CONNECT_TIMEOUT).close()
