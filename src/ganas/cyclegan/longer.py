"""How more images change a resumed run: its schedules are functions of its length."""

from collections.abc import Callable

from ganas.cyclegan.config import RunConfig
from ganas.cyclegan.strategies import alphas_begin, find_sampler, find_strategy, swap_at
from ganas.learning.schedules import learning_rate_factor, temperature


def describe_stretch(before: RunConfig, after: RunConfig, nimg: int) -> str:
    """Describe how the schedules change for a run that has seen `nimg` images, in one human-readable line."""
    search = after.search
    schedules: dict[str, Callable[[RunConfig], float]] = {"the learning rate": lambda run: _learning_rate(run, nimg)}
    if search and find_sampler(search).uses_temperature:
        start, end = search.temperature_start, search.temperature_end
        schedules["the temperature"] = lambda run: temperature(nimg, total=run.total_images, start=start, end=end)
    if search and search.warmup:
        schedules["the image from which alphas learn"] = alphas_begin
    if find_strategy(after).images == "swapped":
        schedules["the image at which the halves swap roles"] = swap_at
    moves = ((name, f"{of(before):.4g}", f"{of(after):.4g}") for name, of in schedules.items())
    words = (f"{name} goes from {old} to {new}" if old != new else f"{name} stays {new}" for name, old, new in moves)
    return f"schedules stretch, after {nimg} images {', '.join(words)}"


def _learning_rate(config: RunConfig, nimg: int) -> float:
    return config.training.lr * learning_rate_factor(nimg, total=config.total_images, decay=config.training.decay)
