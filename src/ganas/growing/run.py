"""``ganas grow``: data and config opened, the search run over an executor, the winner made ready to be used."""

import json
from collections.abc import Sequence
from pathlib import Path

import torch

from ganas.config import DataFacts
from ganas.data.center_crops import write_center_crops
from ganas.data.sources import ImageSource, notes_of, open_source
from ganas.errors import ArchitectureError, ConfigError, DataError
from ganas.growing.architecture import doublings
from ganas.growing.config import GrowConfig, resolve
from ganas.growing.forecast import PAPER_COST, forecast
from ganas.growing.networks import GrownGenerator
from ganas.growing.plan import CONTINUE, Step, growth_space, parse_route, proggan_steps, route_specs
from ganas.growing.runner import GrowResult, Growth
from ganas.growing.sample import GrownGeneratorInfo, save_grown_generator
from ganas.growing.trainer import averaged_generator
from ganas.jobs.executor import Executor
from ganas.jobs.options import ExecutorOptions
from ganas.machine import check_device, this_machine
from ganas.metrics.features import load_features
from ganas.paths import StrPath
from ganas.progress import Reporter
from ganas.resuming import claim, keep_choices
from ganas.signals import StopSignal
from ganas.store import Run

HUGE = 10**9  # images in all, from which what the paper spent is worth a word


def grow(
    config: GrowConfig,
    out: StrPath,
    *,
    route: str | None = None,  # proggan, or a JSON file with a list of actions; None: search
    executor: ExecutorOptions | Executor = ExecutorOptions(),
) -> GrowResult:
    """Search a GAN by growing it, or train a route; the same call again resumes or returns what was found.

    Raises `UserError` for anything the user can mend, `Stopped` when asked to stop.
    """
    run = Run(out)
    config, source = open_images(keep_choices(run, _with_route(config, route)))
    workers = _opened(executor, config) if isinstance(executor, ExecutorOptions) else executor
    with run.lock(), StopSignal().listening() as stop:
        reporter = Reporter(run.log)
        for line in claim(run, config):
            reporter.say(line)
        reporter.note(notes_of(source))

        def decode() -> None:
            if not run.images.exists():
                with stop.interruptible():
                    write_center_crops(run.images, source, config.data.resolution)

        result = Growth(run, config, workers, reporter, stop, decode).run()
        _keep(run, result)
        run.images.unlink(missing_ok=True)
        return result


def _opened(options: ExecutorOptions, config: GrowConfig) -> Executor:
    gpus = torch.cuda.device_count() if config.device.startswith("cuda") else 0
    return options.open(gpus=gpus, threads=config.training.threads or 1, timeout=config.training.timeout)


def _with_route(config: GrowConfig, route: str | None) -> GrowConfig:
    """The config with the route in it; raises `ConfigError` where there is no way to the final resolution."""
    space = growth_space(config)
    if route is None:
        return config
    names = tuple(str(step) if step else CONTINUE for step in find_route(route, config))
    for spec in route_specs(config, parse_route(names)):
        if not space.limits.admit(spec.architecture):
            raise ConfigError(
                f"the route {route!r} exceeds growth.max_parameters or growth.max_macs at {spec.architecture}"
            )
    return config.model_copy(update={"growth": config.growth.model_copy(update={"route": names})})


def dry_run(
    config: GrowConfig, *, route: str | None = None, workers: int | None = None
) -> tuple[GrowConfig, list[str]]:
    """The config as it would be resolved, and what the run would cost, a line each; nothing is written."""
    config, _ = open_images(_with_route(config, route))
    expected = forecast(config)
    lines = expected.lines(workers or 1)
    large = sum(stage.images for stage in expected.stages) > HUGE
    return config, [*lines, PAPER_COST] if large else lines


def find_route(text: str, config: GrowConfig) -> list[Step]:
    """``proggan``, or the actions in a file; raises `ConfigError` for one that cannot be followed."""
    if text == "proggan":
        return proggan_steps(config)
    path = Path(text)
    try:
        names = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(names, Sequence) or isinstance(names, str):
            raise ValueError("it holds no list")
        steps = parse_route([str(name) for name in names])
    except OSError as error:
        raise ConfigError(f"cannot read the route {text!r} ({error.strerror}): give proggan, or a JSON file") from None
    except ValueError as error:
        raise ConfigError(f"the route {text!r} is no JSON list of actions ({error})") from None
    except ArchitectureError as error:
        raise ConfigError(f"the route {text!r} holds an illegal action: {error}") from None
    *_, last = route_specs(config, steps)
    if last.architecture.resolution != config.data.resolution:
        raise ConfigError(
            f"the route {text!r} ends at {last.architecture.resolution} pixels and not at {config.data.resolution}: "
            f"give --resolution {last.architecture.resolution}, or another route"
        )
    return steps


def open_images(config: GrowConfig) -> tuple[GrowConfig, ImageSource]:
    """Find and check every image, and resolve the config."""
    resolution, batch = config.data.resolution, config.training.batch
    doublings(resolution)
    check_device(config.training.device)
    if config.training.device.startswith("cuda:"):
        raise ConfigError("training.device: give cuda alone, candidates are spread over the GPUs there are")
    if config.metrics.select == "kid" and config.growth.rank_by == "normalized":
        raise ConfigError(
            "metrics.select=kid may be negative, and cannot be normalised: choose fid or swd, or growth.rank_by=raw"
        )
    source = open_source(
        config.data.images,
        skip_bad=config.data.skip_bad,
        minimum=2,
        resolution=resolution,
        white=config.data.white,
        icc=config.data.icc,
    )
    if len(source) < batch:
        raise DataError(f"{len(source)} images are fewer than training.batch={batch}: add images, or lower it")
    features = load_features(config.metrics.features, device="cpu") if config.metrics.features else None
    digests = {"data.digest": source.digest(), "metrics.digest": features.digest if features else None}
    return resolve(config, this_machine(), DataFacts(digests, len(source))), source


def _keep(run: Run, result: GrowResult) -> None:
    """The winner's averaged generator, by itself enough to sample from."""
    generator = GrownGenerator(result.architecture)
    generator.load_state_dict(averaged_generator(run.candidate(result.winner)))
    info = GrownGeneratorInfo(
        architecture=result.architecture, candidate=result.winner, metric=result.metric, score=result.score
    )
    save_grown_generator(run.model / "generator.safetensors", generator, info)
    run.write_text(run.architecture, result.architecture.to_json())
    run.write_result(
        {
            "architecture": result.architecture.id,
            "winner": result.winner,
            "metric": result.metric,
            "score": result.score,
            "candidates": result.candidates,
            "failed": result.failed,
        }
    )
