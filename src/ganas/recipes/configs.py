"""What a job's run is told: its config, and for a training an architecture and how large it is made. No torch here."""

from collections.abc import Callable
from pathlib import Path

from ganas.config import adjustable, load_config, network_of
from ganas.cyclegan.architecture import Architecture
from ganas.cyclegan.config import RunConfig
from ganas.cyclegan.find import find_architecture, matched
from ganas.cyclegan.presets import make_config
from ganas.errors import RunError, shown
from ganas.recipes.jobs import AS_LARGE_AS, OF_JOB, Job, Workplace
from ganas.settings import Values


def config_of(job: Job) -> RunConfig:
    """Of a search's run; of a training's all but its size and the layout of its architecture."""
    return make_config(job.kind, preset=job.preset, flags=_flags_of(job), settings=job.settings)


def training_config(job: Job, found: Callable[[str], str]) -> tuple[RunConfig, Architecture]:
    """The config of a training, and what it trains.

    found    where the architecture of a search is, by the search's id

    Raises `SizeError` for a size that no width of the architecture comes near, `ArchitectureError` or `RunError` for
    what is no architecture.
    """
    text = job.architecture or ""
    name = text.removeprefix(OF_JOB)
    architecture = find_architecture(text if name == text else found(name))
    flags = _flags_of(job) | {"nets.layout": architecture.layout} | _size_flags(job, architecture, found)
    return make_config(job.kind, preset=job.preset, flags=flags, settings=job.settings), architecture


def images_of(job: Job) -> int:
    """How many pairs a job is to see."""
    config = config_of(job)
    learning = (count - config.data.held_out(count) for count in (job.dataset.count_a, job.dataset.count_b))
    return config.training.images or max(learning) * (config.training.epochs or 1)


def seeing(config: RunConfig, images: int) -> RunConfig:
    """A config with another length, in pairs."""
    return config.model_copy(update={"training": config.training.model_copy(update={"images": images, "epochs": None})})


def _flags_of(job: Job) -> Values:
    data = {"data.a": job.dataset.part("trainA"), "data.b": job.dataset.part("trainB")}
    return {**data, "training.threads": 1, **dict(job.values), "metrics.features": job.features, "seed": job.seed}


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


def portable_config(job: Job) -> RunConfig:
    """`config_of`, without the places of images and weights: what a job's folder keeps, wherever it is."""
    config = config_of(job)
    data = config.data.model_copy(update={"a": Path("trainA"), "b": Path("trainB")})
    metrics = config.metrics.model_copy(update={"features": network_of(job.features)})
    return config.model_copy(update={"data": data, "metrics": metrics})


def refuse_changed(job: Job, workplace: Workplace) -> None:
    """A preset or a default that another version of ganas has makes no other id; numbers of both in one table lie.

    Raises `RunError` that names the values.
    """
    folder = workplace.job(job.id)
    if not folder.config.exists():
        return
    stored = load_config(RunConfig, folder.config.read_bytes(), str(folder.config))
    differences = [str(one) for one in stored.changed(portable_config(job)) if one.key not in adjustable(RunConfig)]
    if differences:
        raise RunError(
            f"'{shown(folder.path)}' is of another version of ganas ({'; '.join(differences[:3])}): go on with that "
            f"one, or choose another --out"
        )
