"""The config of a job's run and, for a training, its architecture. No torch here."""

from collections.abc import Callable
from pathlib import Path

from ganas.config import adjustable, load_config, network_of
from ganas.cyclegan.architecture import Architecture, find_architecture
from ganas.cyclegan.config import RunConfig
from ganas.cyclegan.front import open_point, read_front
from ganas.cyclegan.match_size import match_widths
from ganas.errors import RunError, shown
from ganas.presets import make_config
from ganas.recipes.cyclegan.jobs import JOB_PREFIX, SIZE_SEPARATOR, RecipeFolder, RecipeJob
from ganas.settings import Values
from ganas.store import Run


def job_config(job: RecipeJob, find: Callable[[str], str] | None = None) -> RunConfig:
    """Return the config of a job: complete for a search, without network sizes and layout for a training.

    find   maps the id of the job that trains the teacher to a path; None: the path is left open
    """
    return make_config(job.kind, preset=job.preset, flags=_flags_of(job, find), settings=job.settings)


def training_config(
    job: RecipeJob,
    search_result: Callable[[str], str],
    drawn: Architecture | None = None,  # what an earlier call drew, if it did
) -> tuple[RunConfig, Architecture]:
    """Return the config of a training and the architecture that it trains; `search_result` maps a job id to a path.

    Raises `SizeError` if no width gives a size close to the target, `ArchitectureError` or `RunError` if there is no
    valid architecture.
    """
    text = job.architecture or ""
    name = text.removeprefix(JOB_PREFIX)
    path = text if name == text else search_result(name)
    values: Values = {}
    if job.point is None:
        architecture = find_architecture(path)
    else:
        number = min(job.point, len(read_front(Run(path)).points) - 1)
        architecture, values = open_point(path, number, None)
        if job.drawn is not None:
            from ganas.cyclegan.front_search import draw_point  # imports torch

            architecture = drawn or draw_point(path, number, job.drawn)[0]
    flags = _flags_of(job, search_result) | values | {"nets.layout": architecture.layout}
    flags |= _size_flags(job, architecture, search_result)
    return make_config(job.kind, preset=job.preset, flags=flags, settings=job.settings), architecture


def images_of(job: RecipeJob) -> int:
    """Return the number of image pairs a job trains on."""
    config = job_config(job)
    return config.training.length(max(job.dataset.training_counts(config.data)))


def with_images(config: RunConfig, images: int) -> RunConfig:
    """Return a config with another length, in image pairs."""
    return config.model_copy(update={"training": config.training.model_copy(update={"images": images, "epochs": None})})


def _flags_of(job: RecipeJob, find: Callable[[str], str] | None) -> Values:
    data = {"data.a": job.dataset.part("trainA"), "data.b": job.dataset.part("trainB")}
    if job.paired:
        data["data.pairs"] = Path(job.dataset.folder)
    if job.teacher:
        name = job.teacher.removeprefix(JOB_PREFIX)
        data["distillation.teacher"] = Path(find(name) if find else name)
    return {**data, "training.threads": 1, **dict(job.values), "metrics.features": job.features, "seed": job.seed}


def _size_flags(job: RecipeJob, architecture: Architecture, search_result: Callable[[str], str]) -> Values:
    """Return the widths that a job's `match` determines."""
    if job.match is None:
        return {}
    target = job.match
    if target.startswith(JOB_PREFIX):
        name, _, size = target.removeprefix(JOB_PREFIX).partition(SIZE_SEPARATOR)
        path = search_result(name)
        target = f"{path}:{match_widths(find_architecture(path), size, each=False)['nets.width']}"
    return match_widths(architecture, target, each=job.match_each)


def portable_config(job: RecipeJob) -> RunConfig:
    """Return `job_config` without the paths of images and weights, as stored in the job's folder."""
    config = job_config(job)
    pairs = config.data.pairs and Path("pairs")
    data = config.data.model_copy(update={"a": Path("trainA"), "b": Path("trainB"), "pairs": pairs})
    metrics = config.metrics.model_copy(update={"features": network_of(job.features)})
    return config.model_copy(update={"data": data, "metrics": metrics})


def refuse_changed(job: RecipeJob, recipe_folder: RecipeFolder) -> None:
    """Raise `RunError` if a job's stored config differs from what this version of ganas would use.

    Ids of jobs do not depend on the values of presets and defaults, so results of two versions could mix in one table.
    """
    folder = recipe_folder.job(job.id)
    if not folder.config.exists():
        return
    stored = load_config(RunConfig, folder.config.read_bytes(), str(folder.config))
    differences = [
        str(change) for change in stored.changed(portable_config(job)) if change.key not in adjustable(RunConfig)
    ]
    if differences:
        raise RunError(
            f"'{shown(folder.path)}' was written by another version of ganas ({'; '.join(differences[:3])}): resume "
            f"with that version, or choose another --out"
        )
