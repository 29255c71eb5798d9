"""``ganas grow``: data and config opened, the search run over an executor, the winner made ready to be used."""

import json
from collections.abc import Sequence
from pathlib import Path

import torch

from ganas.config import GrowConfig, resolve_growth
from ganas.data.sources import ImageSource, open_source
from ganas.errors import ArchitectureError, ConfigError, DataError, Stopped
from ganas.executors.base import Executor
from ganas.executors.local import Local
from ganas.nets.growable import GrownGenerator
from ganas.nets.layers import doublings
from ganas.progress import Reporter, StopSignal
from ganas.sampling import GrownInfo, save_grown
from ganas.searching.forecast import PAPER_COST, forecast
from ganas.searching.runner import GrowResult, Growth, Step, parse_route, proggan_steps, route_specs, space_of
from ganas.store import Run
from ganas.training.candidate import load_final
from ganas.training.opening import check_device, claim, fast_bf16, kept_choices

HUGE = 10**9  # images in all, from which what the paper spent is worth a word


def grow(
    config: GrowConfig,
    out: Path,
    *,
    route: str | None = None,  # proggan, or a JSON file with a list of actions; None: search
    workers: int = 1,
    executor: Executor | None = None,  # None: processes on this machine
) -> GrowResult:
    """Search a GAN by growing it, or train a route; the same call again resumes or returns what was found.

    Raises `UserError` for anything the user can mend, `Stopped` when asked to stop.
    """
    if workers < 1:
        raise ConfigError(f"--workers {workers}: give 1 or more")
    run = Run(out)
    steps = find_route(route, config) if route else None
    space_of(config)
    config, _ = open_images(kept_choices(run, config))
    with run.lock(), StopSignal().listening() as stop:
        reporter = Reporter(run.log)
        claim(run, config)
        growth = Growth(run, config, executor or Local(workers, threads=config.training.threads or 1), reporter, stop)
        try:
            winner = growth.search() if steps is None else growth.route(steps)
            result = growth.finish(winner)
        except (Stopped, KeyboardInterrupt):
            raise
        finally:
            growth.wait_for_workers()
        _keep(run, config, result)
        return result


def foresee(config: GrowConfig, route: str | None, workers: int) -> tuple[GrowConfig, list[str]]:
    """The config as it would be resolved, and what the run would cost; nothing is written."""
    steps = find_route(route, config) if route else None
    space_of(config)
    config, _ = open_images(config)
    expected = forecast(config, steps)
    lines = expected.lines(workers)
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
    """Find and check every image, and settle what depends on them and on the machine."""
    resolution, batch = config.data.resolution, config.training.batch
    doublings(resolution)
    check_device(config.training.device)
    if config.metrics.select in ("fid", "kid") and not config.metrics.features:
        raise ConfigError(f"metrics.select={config.metrics.select} needs a feature network: give --features")
    if config.metrics.select == "kid" and config.growth.rank_by == "normalized":
        raise ConfigError(
            "metrics.select=kid may be negative, and cannot be normalised: choose fid or swd, or growth.rank_by=raw"
        )
    source = open_source(config.data.images, skip_bad=config.data.skip_bad, minimum=2)
    if len(source) < batch:
        raise DataError(f"{len(source)} images are fewer than training.batch={batch}: add images, or lower it")
    smallest = min(min(source.read(index).size) for index in range(len(source)))
    if smallest < resolution:
        raise DataError(
            f"--resolution {resolution} is larger than the images, the smallest has {smallest} pixels a side: "
            f"lower it, or leave small images out"
        )
    fast = fast_bf16(config.training.device)
    cuda = torch.cuda.is_available()
    return resolve_growth(config, digest=source.digest(), cuda=cuda, fast_bf16=fast), source


def _keep(run: Run, config: GrowConfig, result: GrowResult) -> None:
    """The winner's averaged generator, by itself enough to sample from."""
    generator = GrownGenerator(result.architecture)
    average = load_final(run.candidate(result.winner))["average"]
    generator.load_state_dict({name: tensor for name, tensor in average.items() if not name.startswith("old_")})
    info = GrownInfo(
        architecture=result.architecture, candidate=result.winner, metric=result.metric, score=result.score
    )
    save_grown(run.model / "generator.safetensors", generator, info)
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
