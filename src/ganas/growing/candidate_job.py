"""The job of kind ``candidate``: train one candidate of a growing search, in RUN/candidates/ID."""

from dataclasses import replace

import torch._dynamo  # noqa: F401  imported by the first optimizer, which takes a second: do it before the fork

from ganas.config import load_config
from ganas.growing.candidates import read_spec
from ganas.growing.config import GrowConfig
from ganas.growing.finals import load_final
from ganas.growing.images import open_squares
from ganas.growing.trainer import CandidateTrainer, starts_as_its_parent
from ganas.jobs.job import Job
from ganas.jobs.result import Result, read_result
from ganas.machine import peak_memory
from ganas.progress import Reporter
from ganas.signals import StopSignal
from ganas.store import Run


def train_candidate(job: Job, stop: StopSignal, reporter: Reporter) -> Result:
    """Train from the parent's weights, or from the last checkpoint, to the job's target in images."""
    run = Run(job.path.parent.parent)
    config = load_config(GrowConfig, run.config.read_bytes(), str(run.config))
    spec = read_spec(job.folder)
    parent = run.candidate(spec.parent) if spec.parent else None
    weights = load_final(parent) if parent else None
    candidate = CandidateTrainer(job.folder, spec, config, weights, open_squares(run, config))
    start = read_result(parent) if parent and starts_as_its_parent(spec, config) else None
    result = candidate.train(reporter, stop, until=job.images, start=start.scores if start else None)
    return replace(result, memory=peak_memory(config.device))
