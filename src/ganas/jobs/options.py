"""Where jobs run: in processes on this machine, or on a Ray cluster. No torch here."""

from dataclasses import dataclass

from ganas.errors import ConfigError
from ganas.jobs.executor import Executor
from ganas.jobs.local import Local
from ganas.jobs.ray import Ray

EXECUTORS = ("local", "ray")


@dataclass(frozen=True)
class ExecutorOptions:
    """Which executor, and how large; raises `ConfigError` for options that contradict each other."""

    executor: str = "local"  # local: processes on this machine; ray: a Ray cluster
    workers: int | None = None  # jobs at once; None: one locally, on a cluster as many as it has room for
    address: str | None = None  # of a running Ray cluster
    gpu_share: float | None = None  # of a GPU per job on a Ray cluster; None: a whole one

    def __post_init__(self) -> None:
        if self.executor not in EXECUTORS:
            raise ConfigError(f"unknown executor {self.executor!r}: choose one of {', '.join(EXECUTORS)}")
        if self.workers is not None and self.workers < 1:
            raise ConfigError(f"--workers {self.workers}: give 1 or more")
        for option, value in (("--address", self.address), ("--gpu-share", self.gpu_share)):
            if value is not None and self.executor != "ray":
                raise ConfigError(f"{option} is of a Ray cluster: give --executor ray with it, or leave it out")
        share = self.gpu_share
        if share is not None and not (0 < share < 1 or share in range(1, 17)):
            raise ConfigError(f"--gpu-share {share}: give a part of one GPU, such as 0.25, or a whole number of GPUs")

    def open(
        self,
        *,
        gpus: int,  # of this machine; 0: jobs use none
        threads: int = 1,  # per job
        timeout: float | None = None,  # seconds per job
    ) -> Executor:
        """Open the executor; raises `ConfigError` if it is not available, or has no room for a job."""
        if self.gpu_share is not None and not gpus:
            raise ConfigError("--gpu-share: jobs use no GPU, there is none or training.device=cpu; leave it out")
        if self.executor == "ray":
            share = (1.0 if self.gpu_share is None else self.gpu_share) if gpus else 0.0
            return Ray(self.workers, threads=threads, timeout=timeout, gpu_share=share, address=self.address)
        return Local(self.workers or 1, threads=threads, timeout=timeout, gpus=gpus)
