"""Repeats: the same search or training with several seeds, each a run in OUT/repeats/SEED."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar

from ganas.cyclegan.config import RunConfig
from ganas.errors import RunError
from ganas.paths import StrPath
from ganas.store import Run

Result = TypeVar("Result")


@contextmanager
def repeated(
    config: RunConfig, out: StrPath, repeats: int, one: Callable[[RunConfig, StrPath], Result]
) -> Iterator[tuple[Run, Mapping[int, Run], Mapping[int, Result]]]:
    """Run one after the other; the parent's folder is locked in the block. Yields it, and runs and results by seed.

    Seeds count up from the config's. Raises `RunError` if the folder holds something else.
    """
    parent = Run(out)
    if parent.config.exists():
        raise RunError(f"{str(parent.path)!r} is a single run: choose another --out for {repeats} repeats")
    # all repeats hold out the same images, else their scores could not be compared
    data = config.data.model_copy(update={"split_seed": config.split_seed})
    config = config.model_copy(update={"data": data})
    runs = {seed: parent.repeat(seed) for seed in range(config.seed, config.seed + repeats)}
    others = {path.name for path in parent.path.glob("repeats/*")} - set(map(str, runs))
    if others:
        raise RunError(
            f"{str(parent.path)!r} holds other repeats ({', '.join(sorted(others))}): give the same --seed and at "
            f"least as many --repeats, or another --out"
        )
    with parent.lock(repeats=True):
        yield (
            parent,
            runs,
            {seed: one(config.model_copy(update={"seed": seed}), run.path) for seed, run in runs.items()},
        )
