"""python -m ganas.growing.worker RUN/candidates/ID [DRIVER]: train one candidate of a growing search.

No torch before it is needed: a worker that has to wait for its candidate waits lightly.
"""

import sys

from ganas.config import load_config
from ganas.growing.candidates import read_spec
from ganas.growing.config import GrowConfig
from ganas.jobs.result import Result
from ganas.jobs.worker import main_of
from ganas.progress import Reporter
from ganas.signals import StopSignal
from ganas.store import Run


def train(folder: Run, stop: StopSignal, reporter: Reporter) -> Result:
    """The candidate whose folder this is, from its parent's weights or its last checkpoint to the end."""
    from ganas.growing.trainer import Candidate, Reals, open_squares

    run = Run(folder.path.parent.parent)
    config = load_config(GrowConfig, run.config.read_bytes(), str(run.config))
    spec = read_spec(folder)
    parent = run.candidate(spec.parent) if spec.parent else None
    candidate = Candidate(folder, spec, config, parent, Reals(open_squares(run, config), config))
    result = candidate.train(reporter, stop)
    candidate.save_final()
    return result


if __name__ == "__main__":
    sys.exit(main_of(train))
