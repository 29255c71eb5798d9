"""What a training of a recipe trains: an architecture, and how large it is made."""

from collections.abc import Callable

from ganas.nets.architecture import Architecture
from ganas.presets import Values
from ganas.recipes.jobs import AS_LARGE_AS, OF_JOB, Job
from ganas.training.architectures import find_architecture, matched


def architecture_of(job: Job, found: Callable[[str], str]) -> Architecture:
    """What a job trains.

    found    where the architecture of a search is, by the search's id

    Raises `ArchitectureError` for what is none.
    """
    text = job.architecture or ""
    name = text.removeprefix(OF_JOB)
    return find_architecture(text if name == text else found(name))


def size_flags(job: Job, architecture: Architecture, found: Callable[[str], str]) -> Values:
    """The config values that a job's `match` comes to.

    found    as for `architecture_of`

    Raises `ArchitectureError` for a size that no width of an architecture comes near.
    """
    if job.match is None:
        return {}
    wanted = job.match
    if wanted.startswith(OF_JOB):
        name, _, size = wanted.removeprefix(OF_JOB).partition(AS_LARGE_AS)
        place = found(name)
        wanted = f"{place}:{matched(find_architecture(place), size, each=False)['nets.width']}"
    return matched(architecture, wanted, each=job.match_each)
