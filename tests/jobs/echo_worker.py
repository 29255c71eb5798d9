"""Kinds of jobs for tests: each quickly does what its name says, without torch."""

import os
import signal
import sys
import time

from ganas.errors import Stopped, UserError
from ganas.jobs.job import Job
from ganas.jobs.result import Result
from ganas.progress import Reporter
from ganas.signals import StopSignal


def behave(job: Job, stop: StopSignal, reporter: Reporter) -> Result:
    """Record this start, then do what the job's kind says."""
    kind, once = job.kind.removesuffix(" once"), job.kind.endswith(" once")
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    with (job.path / "starts").open("a") as starts:
        starts.write(f"{os.getpid()} {cores}\n")
    if once and len((job.path / "starts").read_text().splitlines()) > 1:
        kind = "work"
    if kind == "raise":
        raise ValueError("on purpose")
    if kind == "trouble":
        raise UserError("the disk is full: free some space")
    if kind == "stop":
        raise Stopped("by somebody else")
    if kind == "exit":
        os._exit(3)
    if kind == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if kind == "hang":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(600)
    if kind in ("slow to stop", "wait"):
        while not stop.received:
            time.sleep(0.02)
        time.sleep(3 if kind == "slow to stop" else 0)
        stop.check()
    while kind == "until told" and not (job.path / "told").exists():
        time.sleep(0.02)
    print("on stdout")
    print("on stderr", file=sys.stderr)
    variables = {name: os.environ.get(name) for name in ("CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS")}
    facts = {"group": os.getpgrp(), "path": sys.path, "elsewhere": "torch" in sys.modules}
    return Result("done", images=job.images, scores={"score": 1.0}, facts=facts | variables)


def count(job: Job, stop: StopSignal, reporter: Reporter) -> Result:
    """Count from the last checkpoint to the job's images, 100 a second; write a checkpoint per number."""
    folder = job.folder
    saved = folder.checkpoint_paths()
    first = int(saved[-1].read_text()) if saved else 0
    with (job.path / "starts").open("a") as starts:
        starts.write(f"{os.getpid()} {first}\n")
    for number in range(first + 1, job.images + 1):
        time.sleep(0.01)
        folder.write_text(folder.checkpoints / f"state-{number:012d}.pt", str(number))
        stop.check()
    return Result("done", images=job.images, scores={"count": float(job.images)})


BEHAVIORS = ("work", "raise", "trouble", "exit", "die", "hang", "wait", "until told")
ONCE = ("die once", "stop once", "wait once", "slow to stop once")  # on the first start; then they work
KINDS = {**dict.fromkeys((*BEHAVIORS, *ONCE), "echo_worker:behave"), "count": "echo_worker:count"}
