"""Resume a run: compare its config with the one stored in its folder."""

from collections.abc import Callable, Mapping
from typing import TypeVar

from ganas.config import Change, Config, adjustable, load_config, located
from ganas.errors import RunError, shown
from ganas.store import Run

C = TypeVar("C", bound=Config)


def keep_choices(run: Run, config: C) -> C:
    """Take what an existing run resolved for itself (device, precision, ...) where the command leaves it open."""
    if not run.config.exists():
        return config
    stored = load_config(type(config), run.config.read_bytes(), str(run.config))
    if stored.kind != config.kind and run.has_progress:
        raise RunError(f"{str(run.path)!r} is a run of ganas {stored.kind}: choose another --out")
    mine, kept = config.value("training"), stored.value("training")
    values = {f"training.{name}": value for name, value in kept if getattr(mine, name) == "auto"}
    return config.with_values({**values, "training.threads": mine.threads or kept.threads})


def claim(run: Run, config: C, describe_stretch: Callable[[C, C, int], str] | None = None) -> list[str]:
    """Write a new run's config to its folder, or compare it with the stored one; return the changes, one line each.

    A run without training progress (say, one that failed on a wrong option) takes the new config. A resumed run accepts
    new values of `Adjustable` keys and, if `describe_stretch` is given, more images: it says how the schedules change,
    given both configs and the number of images seen. Raises `RunError` that names any other difference.
    """
    if not run.config.exists() or not run.has_progress:
        run.write_text(run.config, config.to_yaml())
        for derived in (run.latencies, run.images, run.front, run.evolution):  # they may depend on an earlier config
            derived.unlink(missing_ok=True)
        return []
    stored = load_config(type(config), run.config.read_bytes(), str(run.config))
    lines = _accepted(run, stored, config, describe_stretch)
    if stored != config:  # also if only paths differ
        run.write_text(run.config, config.to_yaml())
    return lines


def _accepted(run: Run, stored: C, config: C, describe_stretch: Callable[[C, C, int], str] | None) -> list[str]:
    """Describe the changes that a resumed run accepts, one line each; raises `RunError` for any other."""
    marks = adjustable(type(config))
    lines: list[str] = []
    refused: dict[Change, str] = {}
    for change in stored.changed(config):
        if change.key in marks:
            lines.append("; ".join(filter(None, (str(change), marks[change.key].effect))))
        elif change.key != "training.images":
            refused[change] = ""
        elif describe_stretch is None:
            refused[change] = ", which would change every candidate"
        elif why_not := _why_not_longer(run, change):
            refused[change] = f", {why_not}"
        else:
            lines.append(f"{change}; {describe_stretch(stored, config, run.images_saved or 0)}")
    if refused:
        raise RunError(_refusal(run, stored, refused))
    return lines


def _why_not_longer(run: Run, change: Change) -> str | None:
    """Return why a run cannot be extended to a new length; None if it can."""
    if change.after < change.before:
        return "and a run can be extended, but not shortened"
    if run.result.exists() and run.images_saved is None:
        return "and it has no checkpoint left to resume from"
    return None


def _refusal(run: Run, stored: Config, refused: Mapping[Change, str]) -> str:
    """Explain why a run cannot resume: another config, or changed files. `refused` maps each change to a reason."""
    digests = located(type(stored))
    lines = [f"{change}{why}" for change, why in refused.items() if change.key not in digests.values()]
    if lines:
        more = f" and {len(lines) - 3} more" if len(lines) > 3 else ""
        return (
            f"'{shown(run.path)}' is a run of another config ({'; '.join(lines[:3])}{more}): give the same options to "
            f"resume it, or choose another --out"
        )
    changed = []
    for digest in (change.key for change in refused):
        keys = (key for key, of in digests.items() if of == digest)
        files = " or ".join(f"{key} ('{shown(str(stored.value(key)))}')" for key in keys)
        what = "weights" if digest in ("metrics.digest", "distillation.digest") else "images"
        changed.append(f"the {what} of {files}")
    return (
        f"{' and '.join(changed)} have changed since '{shown(run.path)}' was started: restore them, or choose "
        f"another --out"
    )
