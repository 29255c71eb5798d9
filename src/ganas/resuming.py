"""Going on with a run: its config against what its folder holds."""

from collections.abc import Callable, Mapping
from typing import TypeVar

from ganas.config import Change, Config, adjustable, load_config, located
from ganas.errors import RunError, shown
from ganas.store import Run

C = TypeVar("C", bound=Config)


def kept_choices(run: Run, config: C) -> C:
    """Take what an existing run settled by itself (device, precision, threads) where the command leaves it open."""
    if not run.config.exists():
        return config
    stored = load_config(type(config), run.config.read_bytes(), str(run.config))
    if stored.kind != config.kind and run.begun:
        raise RunError(f"{str(run.path)!r} is a run of ganas {stored.kind}: choose another --out")
    mine, kept = config.value("training"), stored.value("training")
    update = {
        "device": kept.device if mine.device == "auto" else mine.device,
        "precision": kept.precision if mine.precision == "auto" else mine.precision,
        "threads": mine.threads or kept.threads,
    }
    return config.model_copy(update={"training": mine.model_copy(update=update)})


def claim(run: Run, config: C, stretched: Callable[[C, C, int], str] | None = None) -> list[str]:
    """Make the run's folder this config's, or see that it is; what has changed since, a line each, for people.

    A run in which nothing was learned yet (it ended at once, by a wrong option say) takes the new config. One that goes
    on may be given new values of what is `Adjustable`, and more images where `stretched` says, of both configs and the
    images seen, what becomes of its schedules. Raises `RunError` that names any other difference.
    """
    if not run.config.exists() or not run.begun:
        run.write_text(run.config, config.to_yaml())
        for made in (run.latencies, run.images):  # for another config
            made.unlink(missing_ok=True)
        return []
    stored = load_config(type(config), run.config.read_bytes(), str(run.config))
    lines = _accepted(run, stored, config, stretched)
    if stored != config:  # its files have moved, too
        run.write_text(run.config, config.to_yaml())
    return lines


def _accepted(run: Run, stored: C, config: C, stretched: Callable[[C, C, int], str] | None) -> list[str]:
    """The changes with which a run may go on, a line each; raises `RunError` for others."""
    marks = adjustable(type(config))
    lines: list[str] = []
    refused: dict[Change, str] = {}
    for change in stored.changed(config):
        if change.key in marks:
            lines.append("; ".join(filter(None, (str(change), marks[change.key].effect))))
        elif change.key != "training.images":
            refused[change] = ""
        elif stretched is None:
            refused[change] = ", which every candidate sees, so that others would come of it"
        elif why_not := _not_longer(run, change):
            refused[change] = f", {why_not}"
        else:
            lines.append(f"{change}; {stretched(stored, config, run.saved or 0)}")
    if refused:
        raise RunError(_refusal(run, stored, refused))
    return lines


def _not_longer(run: Run, change: Change) -> str | None:
    """Why a run cannot become that long; None where it can."""
    if change.after < change.before:
        return "and a run may be made longer, but not shorter"
    if run.result.exists() and run.saved is None:
        return "and it has no checkpoint any more to go on from"
    return None


def _refusal(run: Run, stored: Config, refused: Mapping[Change, str]) -> str:
    """Why a run cannot go on: it is told something else, or its files have changed. `refused` says why a change is."""
    places = located(type(stored))
    told = [f"{change}{why}" for change, why in refused.items() if change.key not in places.values()]
    if told:
        more = f" and {len(told) - 3} more" if len(told) > 3 else ""
        return (
            f"'{shown(run.path)}' is a run of another config ({'; '.join(told[:3])}{more}): give the same options to "
            f"go on with it, or choose another --out"
        )
    changed = []
    for digest in (change.key for change in refused):
        keys = (key for key, of in places.items() if of == digest)
        files = " or ".join(f"{key} ('{shown(str(stored.value(key)))}')" for key in keys)
        changed.append(f"the {'weights' if digest == 'metrics.digest' else 'images'} of {files}")
    return (
        f"{' and '.join(changed)} have changed since '{shown(run.path)}' was begun: put them back, or choose another "
        f"--out"
    )
