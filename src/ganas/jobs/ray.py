"""Jobs on a Ray cluster: each has an actor, which looks after one worker on whatever node Ray gives it.

Ray places actors, counts cores and GPUs, brings new nodes in, and begins the actors of a lost node again elsewhere.
What it has no word for, that a process was killed, fell over or took too long, is told by the worker's own executor on
its node (`Local`), in the same words. What goes wrong with Ray itself is no result of a job: the run stops, and the
same command goes on.

An actor is detached, so that it outlives a driver that is lost, and bears the name of its job's folder, by which the
next driver finds and adopts it. The folder of the run has to be seen by all nodes under the same path.
"""

import logging
import os
import socket
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import chdir
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

from ganas.errors import ConfigError, describe_os_error
from ganas.jobs.executor import Ended
from ganas.jobs.job import Job
from ganas.jobs.local import GRACE, Local
from ganas.jobs.worker import KINDS_MODULE

POLL_SECONDS = 0.1
LEAVE_WORKERS = "RAY_kill_child_processes_on_worker_exit"  # else a worker is killed while it saves
MANY_MACHINES = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"  # "0": Ray listens on 127.0.0.1 alone, on Linux too
LOST_NODES = 20  # that a job may outlive
PATIENCE = 10.0  # seconds for a cluster to answer
ANSWER = 2.0  # seconds for an actor to answer, else it has no room yet
IDLE = 30.0  # seconds after which an actor that nobody asks for anything goes
NAMESPACE = "ganas"  # of the actors' names
STOPPED = (None, False)  # what `work` comes to then: its driver does not listen any more
ASIDE = "aside"  # concurrency group of what an actor answers while it works


class Ray:
    """At most `workers` jobs at once, or as many as the cluster has room for, each with `threads` cores.

    kinds      the module that says which function does which kind of job, as for `Local`
    gpu_share  of one GPU that each job takes: 0.25 puts four on one
    timeout    seconds that a worker may take; None: as long as it likes
    address    of a cluster that is there; None: the one in RAY_ADDRESS, or one of this machine alone

    Raises `ConfigError` where Ray is not installed, no cluster answers, or none of its nodes has room.
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
        self._ray = _connected(address)
        self._workers, self._threads, self._gpu_share = workers, threads, gpu_share
        self._minder = self._ray.remote(concurrency_groups={ASIDE: 1})(_JobActor)
        self._options = {
            "num_cpus": threads,
            "num_gpus": gpu_share,
            "max_restarts": LOST_NODES,
            "max_task_retries": LOST_NODES,
            "lifetime": "detached",
            "namespace": NAMESPACE,
            "get_if_exists": True,
        }
        self._settings = {"kinds": kinds, "threads": threads, "timeout": timeout}
        self._driver = uuid4().hex  # by which actors tell this one from those before it
        self._running: dict[Any, _Running] = {}  # by the reference of how the work ended
        if self.capacity < 1:
            wanted = f"{threads} cores" + (f" and {gpu_share:g} of a GPU" if gpu_share else "")
            raise ConfigError(
                f"the Ray cluster has no room for a job, which takes {wanted}: add nodes, or give --workers to "
                f"wait for them"
            )

    @property
    def capacity(self) -> int:
        """How many jobs run at once: what was asked for, else what the nodes that are there now have room for."""
        if self._workers is not None:
            return self._workers
        return sum(self._room(node["Resources"]) for node in self._ray.nodes() if node["Alive"])

    def submit(self, job: Job) -> None:
        """Have an actor made, which Ray begins as soon as there is room; or adopt the one of a driver that was lost."""
        job = replace(job, path=job.path.absolute())
        actor = self._minder.options(**self._options, name=str(job.path)).remote(job, self._settings, IDLE)
        began = actor.began.options(concurrency_group=ASIDE).remote()
        self._running[actor.work.remote(self._driver)] = _Running(job, actor, began)

    def poll(self) -> Sequence[Ended]:
        """The jobs that ended since the last call."""
        return [self._ended(work) for work in self._wait([*self._running], 0)]

    def cancel(self) -> None:
        """Have all workers save and go; those that do not within a minute are killed."""
        for running in self._running.values():  # at once: if this is interrupted, they go all the same
            running.actor.stop.options(concurrency_group=ASIDE).remote(self._driver)
        begun = set(self._wait([running.began for running in self._running.values()], ANSWER))
        for running in self._running.values():
            if running.began not in begun:  # it must not get the room of one that goes
                self._ray.kill(running.actor)
        self._wait([*self._running], GRACE + 10)
        for running in self._running.values():
            self._ray.kill(running.actor)
        self._running.clear()

    def _wait(self, references: list[Any], seconds: float) -> list[Any]:
        """Those that are there, all of them or as many as are after some time."""
        return self._ray.wait(references, num_returns=len(references), timeout=seconds)[0] if references else []

    def _room(self, resources: Mapping[str, float]) -> int:
        """For how many jobs at once a node has cores, and GPUs."""
        cores = resources.get("CPU", 0.0) / self._threads
        gpus, share = resources.get("GPU", 0.0), self._gpu_share
        if share == 0:
            return int(cores)
        # parts of a GPU are of one GPU
        return int(min(cores, gpus // share if share >= 1 else gpus * int(1 / share + 1e-6)))

    def _ended(self, work: Any) -> Ended:
        running = self._running.pop(work)
        try:
            error, trouble = self._ray.get(work)
        except self._ray.exceptions.RayError as lost:  # nodes, again and again; or something of Ray's own
            reason = str(getattr(lost, "cause", None) or lost).strip().split("\n")[-1]
            why = " ".join(reason.split())[:200]
            error, trouble = f"Ray lost its actor ({why}): look after the cluster, then go on", True
            if running.job.result():  # all that the actor had left to do was to go
                error, trouble = None, False
        self._ray.kill(running.actor)  # its room is wanted
        return Ended(running.job, error, trouble=trouble)


@dataclass(frozen=True)
class _Running:
    """A job that was submitted."""

    job: Job
    actor: Any
    began: Any  # the reference of what is there once the actor has room


class _JobActor:
    """The actor of a job: it looks after one worker at a time, on its node, until there is a result.

    It goes when its driver has heard of that, or once nobody has asked it for anything for a while.
    """

    def __init__(self, job: Job, settings: dict[str, Any], idle: float) -> None:
        self._job, self._settings, self._idle = job, settings, idle
        self._stopped: list[str] = []  # drivers that wanted it
        self._failed: tuple[str | None, bool] | None = None
        self._idle_since: float | None = time.monotonic()
        threading.Thread(target=self._go_when_idle, daemon=True).start()

    def began(self) -> None:
        """Answered once there is room."""

    def stop(self, driver: str) -> None:
        """Have the worker save and go, whoever wanted it; begin none for this driver."""
        self._stopped.append(driver)

    def work(self, driver: str) -> tuple[str | None, bool]:
        """How the job ended: its error, and whether that is trouble. A second driver hears what the first would."""
        stops = len(self._stopped)
        if driver in self._stopped:
            return STOPPED
        self._idle_since = None
        try:
            ended = self._failed or self._work(stops)  # what succeeded is told by its result
            if ended[0]:
                self._failed = ended
            return ended
        finally:
            self._idle_since = time.monotonic()

    def _work(self, stops: int) -> tuple[str | None, bool]:
        if self._job.result():  # since a node was lost, for one
            return None, False
        local = Local(1, pinned=False, warm=False, **self._settings)  # a server would serve this job alone
        try:
            local.submit(self._job)
            while not (ended := local.poll()):
                if len(self._stopped) > stops:
                    return STOPPED
                time.sleep(POLL_SECONDS)
            return ended[0].error, ended[0].trouble
        except OSError as error:  # the run's folder is not seen here, for one
            return f"on {socket.gethostname()}: {describe_os_error(error)}", True
        finally:
            local.cancel()

    def _go_when_idle(self) -> None:
        import ray

        while (since := self._idle_since) is None or time.monotonic() - since < self._idle:
            time.sleep(1)
        ray.kill(ray.get_runtime_context().current_actor)


def _connected(address: str | None) -> Any:
    _have_token_shown()
    address = address or os.environ.get("RAY_ADDRESS")
    if address is None:
        os.environ.setdefault(LEAVE_WORKERS, "0")
        os.environ.setdefault(MANY_MACHINES, "0")  # which Ray reads as it is imported
    try:
        import ray
    except ImportError:
        raise ConfigError("--executor ray needs Ray, which is not installed: pip install 'ganas[ray]'") from None
    if not ray.is_initialized():
        try:
            _probe(address)
            with chdir(sys.prefix):  # the current folder becomes one that actors import from
                ray.init(
                    address=address or "local",
                    log_to_driver=False,
                    logging_level=logging.ERROR,
                    include_dashboard=False,
                )
        except (OSError, ValueError, RuntimeError, ray.exceptions.RayError) as error:
            place = f"at {address!r}" if address else "here"
            reason = " ".join(str(error).split())[:200]
            raise ConfigError(
                f"no Ray cluster {place} ({reason}): give the address that ray start printed, and have its token, if "
                f"it wants one, in ~/.ray/auth_token"
            ) from None
    return ray


def _have_token_shown() -> None:
    """Where this machine has a token: by itself Ray wants it of others from then on, but does not show its own."""
    given = any(f"RAY_AUTH_TOKEN{place}" in os.environ for place in ("", "_PATH"))
    if given or Path(os.path.expanduser("~/.ray/auth_token")).exists():
        os.environ.setdefault("RAY_AUTH_MODE", "token")  # a cluster without tokens does not mind


def _probe(address: str | None) -> None:
    """Raise `OSError` where nobody answers at HOST:PORT: Ray itself would try for minutes."""
    host, _, port = (address or "").rpartition(":")
    bare = host.removeprefix("[").removesuffix("]")  # of IPv6
    if host and port.isdecimal() and "/" not in host and (":" not in bare or bare != host):
        socket.create_connection((bare, int(port)), PATIENCE).close()
