"""Candidates on a Ray cluster: each is a task, and the task runs one worker on whatever node Ray gives it.

Ray places tasks, counts cores and GPUs, brings new nodes in, and begins the tasks of a lost node again elsewhere. What
it has no word for, that a process was killed, fell over or took too long, is told by the worker's own executor on its
node (`Local`), in the same words. What goes wrong with Ray itself is no result of a candidate: the search stops, and
the same command goes on. A task that loses its driver ends with its worker; the folder of the run has to be seen by all
nodes under the same path.
"""

import logging
import os
import socket
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ganas.errors import ConfigError, describe_os_error
from ganas.executors.base import Ended
from ganas.executors.local import GRACE, Local

POLL_SECONDS = 0.1
LEAVE_WORKERS = "RAY_kill_child_processes_on_worker_exit"  # else a worker is killed while it saves
LOST_NODES = 20  # that a candidate may outlive
PATIENCE = 10.0  # seconds for a cluster to answer
GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])  # of HTTP/2, which gRPC speaks


class Ray:
    """At most `workers` tasks at once, or as many as the cluster has room for, each with `threads` cores.

    command    what a node's Python is given to be a worker, as for `Local`
    gpu_share  of one GPU that each candidate takes: 0.25 puts four on one
    timeout    seconds that a worker may take; None: as long as it likes
    address    of a cluster that is there; None: the one in RAY_ADDRESS, or one of this machine alone

    Raises `ConfigError` where Ray is not installed, no cluster answers, or none of its nodes has room.
    """

    def __init__(
        self,
        workers: int | None,
        command: Sequence[str],
        *,
        threads: int = 1,
        gpu_share: float = 0.0,
        timeout: float | None = None,
        address: str | None = None,
    ) -> None:
        self._ray = _connected(address)
        self._workers, self._threads, self._gpu_share = workers, threads, gpu_share
        self._task = self._ray.remote(_train).options(
            num_cpus=threads, num_gpus=gpu_share, max_retries=LOST_NODES, name="ganas job"
        )
        self._settings = {"command": tuple(command), "threads": threads, "timeout": timeout}
        self._running: dict[Any, Path] = {}  # by the task's reference
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

    def submit(self, job: Path) -> None:
        """Have a task made; Ray begins it as soon as there is room."""
        self._running[self._task.remote(str(job.absolute()), self._settings)] = job

    def poll(self) -> Sequence[Ended]:
        """The jobs that ended since the last call."""
        if not self._running:
            return []
        ready, _ = self._ray.wait([*self._running], num_returns=len(self._running), timeout=0)
        return [self._ended(task) for task in ready]

    def cancel(self) -> None:
        """Have all workers save and go; those that do not within a minute are killed."""
        for task in self._running:
            self._ray.cancel(task, force=False)
        if self._running:
            _, left = self._ray.wait([*self._running], num_returns=len(self._running), timeout=GRACE + 10)
            for task in left:
                self._ray.cancel(task, force=True)
        self._running.clear()

    def _room(self, resources: Mapping[str, float]) -> int:
        """For how many candidates at once a node has cores, and GPUs."""
        cores = resources.get("CPU", 0.0) / self._threads
        gpus, share = resources.get("GPU", 0.0), self._gpu_share
        if share == 0:
            return int(cores)
        # parts of a GPU are of one GPU
        return int(min(cores, gpus // share if share >= 1 else gpus * int(1 / share + 1e-6)))

    def _ended(self, task: Any) -> Ended:
        job = self._running.pop(task)
        try:
            error, trouble = self._ray.get(task)
        except self._ray.exceptions.RayError as lost:  # nodes, again and again; or something of Ray's own
            reason = str(getattr(lost, "cause", None) or type(lost).__name__)
            why = " ".join(reason.split())[:200]
            return Ended(job, f"Ray lost its task ({why}): look after the cluster, then go on", trouble=True)
        return Ended(job, error, trouble=trouble)


def _train(job: str, settings: dict[str, Any]) -> tuple[str | None, bool]:
    """The task: one worker, looked after on its node until it ends."""
    local = Local(1, pinned=False, **settings)
    try:
        local.submit(Path(job))
        while not (ended := local.poll()):
            time.sleep(POLL_SECONDS)
        return ended[0].error, ended[0].trouble
    except OSError as error:  # the run's folder is not seen here, for one
        return f"on {socket.gethostname()}: {describe_os_error(error)}", True
    finally:  # cancelled, which Ray makes a KeyboardInterrupt
        local.cancel()


def _connected(address: str | None) -> Any:
    try:
        import ray
    except ImportError:
        raise ConfigError("--executor ray needs Ray, which is not installed: pip install 'ganas[ray]'") from None
    if not ray.is_initialized():
        address = address or os.environ.get("RAY_ADDRESS")
        if address is None:
            os.environ.setdefault(LEAVE_WORKERS, "0")
        try:
            _knock(address)
            ray.init(
                address=address or "local", log_to_driver=False, logging_level=logging.ERROR, include_dashboard=False
            )
        except (OSError, ValueError, RuntimeError, ray.exceptions.RayError) as error:
            place = f"at {address!r}" if address else "here"
            reason = " ".join(str(error).split())[:200]
            raise ConfigError(f"no Ray cluster {place} ({reason}): give the address that ray start printed") from None
    return ray


def _knock(address: str | None) -> None:
    """Raise `OSError` where nobody at HOST:PORT speaks gRPC: Ray itself would try for minutes."""
    host, _, port = (address or "").rpartition(":")
    bare = host.removeprefix("[").removesuffix("]")  # of IPv6
    if not host or not port.isdecimal() or "/" in host or (":" in bare and bare == host):
        return
    with socket.create_connection((bare, int(port)), PATIENCE) as door:
        if os.environ.get("RAY_USE_TLS", "0") not in ("0", ""):
            return  # it would have to be greeted otherwise
        door.sendall(GREETING)
        if not (answer := door.recv(9)):
            raise ConnectionResetError("it hung up")
        if answer[3:4] != b"\x04":  # settings, with which HTTP/2 begins
            raise ConnectionError("something else answers there")
