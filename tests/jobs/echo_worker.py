"""A worker of tests: it does what its spec's action says, quickly and without torch.

python worker.py JOB DRIVER
"""

import os
import signal
import sys
import threading
import time
from pathlib import Path

from ganas.growing.candidates import read_spec
from ganas.jobs.result import Result
from ganas.jobs.worker import end_with, locked
from ganas.signals import StopSignal
from ganas.store import Run


def main(job: Path) -> None:
    """Leave a trace of this start, then behave, as long as no other worker holds the job."""
    candidate = Run(job)
    with locked(candidate, StopSignal()):
        behave(candidate, job)


def behave(candidate: Run, job: Path) -> None:
    """What the job says."""
    with (job / "starts").open("a") as starts:
        starts.write(f"{os.getpid()} {sorted(os.sched_getaffinity(0))}\n")
    count = len((job / "starts").read_text().splitlines())
    behaviour = read_spec(candidate).action or "work"
    if behaviour == "raise":
        candidate.write_text(candidate.result, Result("failed", error="ValueError: on purpose").to_json())
        return
    if behaviour == "trouble":
        print("the disk is full: free some space", file=sys.stderr)
        sys.exit(75)
    if behaviour == "stop once" and count == 1:
        sys.exit(130)
    if behaviour == "exit":
        os._exit(3)
    if behaviour == "die" or (behaviour == "die once" and count == 1):
        os.kill(os.getpid(), signal.SIGKILL)
    if behaviour == "hang":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(600)
    if behaviour == "slow to stop" and count == 1:
        signal.signal(signal.SIGTERM, lambda *_: (time.sleep(3), sys.exit(130)))
        time.sleep(600)
    if behaviour == "wait" or (behaviour == "wait once" and count == 1):
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(130))
        time.sleep(600)
    while behaviour == "until told" and not (job / "told").exists():
        time.sleep(0.02)
    candidate.write_text(candidate.result, Result("done", end=1.0, start=2.0).to_json())


threading.Thread(target=end_with, args=(int(sys.argv[2]), StopSignal()), daemon=True).start()
main(Path(sys.argv[1]))
