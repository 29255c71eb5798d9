"""What a job's run is told: its config, and for a training an architecture and how large it is made."""

from collections.abc import Callable

from ganas.config import RunConfig
from ganas.nets.architecture import Architecture
from ganas.presets import Values, make_config
from ganas.recipes.figures import flags_of
from ganas.recipes.jobs import AS_LARGE_AS, OF_JOB, Job
from ganas.training.architectures import find_architecture, matched


def told(job: Job, found: Callable[[str], str]) -> tuple[RunConfig, Architecture | None]:
    """The config of a job's run, and what a training trains.

    found    where the architecture of a search is, by the search's id

    Raises `ArchitectureError` for what is no architecture, and for a size that no width of one comes near.
    """
    flags, architecture = flags_of(job), None
    if job.kind == "train":
        architecture = _architecture_of(job, found)
        flags |= {"nets.layout": architecture.layout} | _size_flags(job, architecture, found)
    return make_config(job.kind, preset=job.preset, flags=flags, settings=job.settings), architecture


def _architecture_of(job: Job, found: Callable[[str], str]) -> Architecture:
    text = job.architecture or ""
    name = text.removeprefix(OF_JOB)
    return find_architecture(text if name == text else found(name))


def _size_flags(job: Job, architecture: Architecture, found: Callable[[str], str]) -> Values:
    """The config values that a job's `match` comes to."""
    if job.match is None:
        return {}
    wanted = job.match
    if wanted.startswith(OF_JOB):
        name, _, size = wanted.removeprefix(OF_JOB).partition(AS_LARGE_AS)
        place = found(name)
        wanted = f"{place}:{matched(find_architecture(place), size, each=False)['nets.width']}"
    return matched(architecture, wanted, each=job.match_each)
