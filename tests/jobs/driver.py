"""Submit a job to an executor under test and wait for it; cancel it at SIGTERM.

python driver.py EXECUTOR JOB KIND IMAGES
"""

import signal
import sys
import time
from pathlib import Path

from test_conformance import EXECUTORS

from ganas.jobs.job import Job

executor = EXECUTORS[sys.argv[1]]()
executor.submit(Job(sys.argv[3], Path(sys.argv[2]), int(sys.argv[4])))
signal.signal(signal.SIGTERM, lambda *_: executor.cancel())
while not executor.poll():
    time.sleep(0.02)
