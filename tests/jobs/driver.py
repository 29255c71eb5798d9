"""A driver of tests, to be killed: it submits a job to one of the executors under test and looks after it.

At SIGTERM it cancels the job.

python driver.py EXECUTOR JOB KIND IMAGES
"""

import signal
import sys
import time
from pathlib import Path

from test_conformance import EXECUTORS

from ganas.jobs.job import Job


def main(name: str, job: Job) -> None:
    """Until the job has ended."""
    executor = EXECUTORS[name]()
    executor.submit(job)
    signal.signal(signal.SIGTERM, lambda *_: executor.cancel())
    while not executor.poll():
        time.sleep(0.02)


main(sys.argv[1], Job(sys.argv[3], Path(sys.argv[2]), int(sys.argv[4])))
