"""``ganas grow``: open data and config, run the search on an executor, and save the winner's generator."""

import json
from pathlib import Path

import torch

from ganas.config import DataFacts
from ganas.data.sources import ImageSource, notes_of
from ganas.errors import ArchitectureError, ConfigError, DataError
from ganas.growing.actions import TRAIN_ON
from ganas.growing.architecture import doublings
from ganas.growing.config import GrowConfig, resolve
from ganas.growing.finals import averaged_generator
from ganas.growing.forecast import forecast
from ganas.growing.images import open_images, prepare_squares, why_not_kept
from ganas.growing.networks import make_generator
from ganas.growing.plan import autogan_of, growth_space, proggan_steps, route_specs
from ganas.growing.runner import GrowResult, Growth
from ganas.growing.sample import GrownGeneratorInfo, save_grown_generator
from ganas.jobs.executor import Executor
from ganas.jobs.options import ExecutorOptions
from ganas.machine import check_device, this_machine
from ganas.metrics.features import load_features
from ganas.paths import StrPath
from ganas.progress import Reporter
from ganas.resuming import claim, keep_choices
from ganas.signals import StopSignal
from ganas.store import Run


def grow(
    config: GrowConfig,
    out: StrPath,
    *,
    route: str | None = None,  # proggan, or the path of a JSON list of actions; None: search
    executor: ExecutorOptions | Executor = ExecutorOptions(),
) -> GrowResult:
    """Search for a GAN by growing it, or train a route; the same call resumes, or returns the earlier result.

    Raises `UserError` for errors that the user can fix, `Stopped` after a stop signal.
    """
    run = Run(out)
    config, source = open_data(keep_choices(run, with_route(config, route)))
    if isinstance(executor, ExecutorOptions):
        gpus = torch.cuda.device_count() if config.device.startswith("cuda") else 0
        training = config.training
        executor = executor.open(gpus=gpus, threads=training.threads or 1, timeout=training.timeout)
    with run.lock(), StopSignal().listening() as stop:
        reporter = Reporter(run.log)
        for line in claim(run, config):
            reporter.say(line)
        reporter.note(notes_of(source))
        if reason := why_not_kept(run, config, len(source)):
            reporter.note([f"images are decoded whenever they are needed, not kept: {reason}"])

        def decode() -> None:
            with stop.interruptible():
                prepare_squares(run, config, source)

        result = Growth(run, config, executor, reporter, stop, decode).run()
        _save_winner(run, result)
        run.images.unlink(missing_ok=True)
        return result


def with_route(config: GrowConfig, route: str | None) -> GrowConfig:
    """Add the route to the config; raises `ConfigError` if it does not lead to the final resolution within limits."""
    space = growth_space(config)
    if config.base.autogan and route is not None:
        raise ConfigError("base.autogan trains one network and grows nothing: leave out --route, or the preset autogan")
    if config.base.autogan:
        autogan_of(config)
        return config.model_copy(update={"growth": config.growth.model_copy(update={"route": ()})})
    if route is None:
        return config
    steps = proggan_steps(config) if route == "proggan" else _read_route(route)
    try:
        specs = [*route_specs(config, steps)]
    except ArchitectureError as error:
        raise ConfigError(f"the route {route!r} contains an illegal action: {error}") from None
    reached = specs[-1].architecture.resolution
    if reached != config.data.resolution:
        raise ConfigError(
            f"the route {route!r} ends at {reached} pixels, not at {config.data.resolution}: give --resolution "
            f"{reached}, or another route"
        )
    for spec in specs:
        if not space.admits(spec.architecture):
            raise ConfigError(
                f"the route {route!r} exceeds growth.max_parameters or growth.max_macs at {spec.architecture}"
            )
    names = tuple(spec.action or str(TRAIN_ON) for spec in specs[1:])
    return config.model_copy(update={"growth": config.growth.model_copy(update={"route": names})})


def _read_route(path: str) -> list[str]:
    """Read the steps of a route from a JSON file; raises `ConfigError`."""
    try:
        steps = json.loads(Path(path).read_text(encoding="utf-8"))
        if not isinstance(steps, list):
            raise ValueError("it is not a list")
    except OSError as error:
        raise ConfigError(f"cannot read the route {path!r} ({error.strerror}): give proggan, or a JSON file") from None
    except ValueError as error:
        raise ConfigError(f"the route {path!r} is not a JSON list of actions ({error})") from None
    return [str(step) for step in steps]


def dry_run(
    config: GrowConfig, *, route: str | None = None, workers: int | None = None
) -> tuple[GrowConfig, list[str]]:
    """Return the resolved config, and the estimated cost of the run as lines; writes nothing."""
    config, source = open_data(with_route(config, route))
    return config, forecast(config, len(source)).lines(workers or 1)


def open_data(config: GrowConfig) -> tuple[GrowConfig, ImageSource]:
    """Find and check all images, and resolve the config."""
    data, batch = config.data, config.training.batch
    doublings(data.resolution, config.base.resolution)
    check_device(config.training.device)
    if config.training.device.startswith("cuda:"):
        raise ConfigError("training.device: give cuda without an index, candidates are distributed over all GPUs")
    if config.metrics.select == "kid" and config.rank_by in ("normalized", "pooled"):
        raise ConfigError(
            f"metrics.select=kid may be negative, so it cannot be {config.rank_by}: choose fid or swd, or "
            f"growth.rank_by=raw"
        )
    source = open_images(config, minimum=2, resolution=data.resolution)
    if len(source) < batch:
        raise DataError(f"{len(source)} images are fewer than training.batch={batch}: add images, or lower it")
    features = load_features(config.metrics.features, device="cpu") if config.metrics.features else None
    digests = {"data.digest": source.digest(), "metrics.digest": features.digest if features else None}
    return resolve(config, this_machine(), DataFacts(digests, len(source))), source


def _save_winner(run: Run, result: GrowResult) -> None:
    """Write the winner's EMA generator, its architecture and the run's result."""
    generator = make_generator(result.architecture)
    generator.load_state_dict(averaged_generator(run.candidate(result.winner)))
    info = GrownGeneratorInfo(result.architecture, result.winner, result.metric, result.score)
    save_grown_generator(run.model / "generator.safetensors", generator, info)
    run.write_text(run.architecture, result.architecture.to_json())
    run.write_result(vars(result) | {"architecture": result.architecture.id})
