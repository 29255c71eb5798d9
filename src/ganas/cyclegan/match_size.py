"""The widths at which an architecture's generators have a given size, to compare networks of equal sizes.

Only generators count, as in CycleGANAS section 4: N32 and N64 have the total size of the hand-made pair at width 32
and 64, and each generator of C'64 has the size of that of N64.
"""

import re
from pathlib import Path

from ganas.config import load_config
from ganas.cyclegan.architecture import Architecture, find_architecture
from ganas.cyclegan.config import NetsConfig, RunConfig
from ganas.cyclegan.layout import GENERATORS, NetworkLayout, find_layout
from ganas.cyclegan.size import BYTES_PER_PARAMETER, MAX_WIDTH, MIN_WIDTH, parameters, width_of_size
from ganas.errors import ArchitectureError, ConfigError, GanasError
from ganas.paths import as_path
from ganas.settings import Values

UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}
DEFAULT_WIDTH = 64.0  # of an architecture without one: that of the hand-made networks


def match_widths(architecture: Architecture, target: str, *, each: bool) -> Values:
    """Return the config values that give an architecture's generators the size of `target`, in total or each.

    target    bytes of both together (45.5MB) or of ab and ba (25MB,20.5MB), or an architecture with a width:
              resnet9:32, runs/search:16, or a run of ``ganas train``, which has one

    Raises `ConfigError` for a malformed target, `SizeError` for a size that no width comes close to.
    """
    layout, targets = find_layout(architecture.layout).generator, _target_parameters(target)

    def width(target: int, *names: str) -> float:
        together = NetworkLayout(tuple(cell for name in names for cell in layout.final(architecture.ops(name)).cells))
        return width_of_size(
            together, lambda width: sum(parameters(layout, architecture.ops(name), width) for name in names), target
        )

    if not each:
        return {"nets.width": width(sum(targets), *GENERATORS)}
    return {f"nets.width_{name[-2:]}": width(size, name) for name, size in zip(GENERATORS, targets, strict=True)}


def _target_parameters(text: str) -> tuple[int, int]:
    """Parse a target size into the parameters of both generators."""
    parts = [part.strip() for part in text.split(",")]
    sizes = [size / BYTES_PER_PARAMETER for size in map(_parse_bytes, parts) if size]
    if len(sizes) == len(parts) == 1:
        return round(sizes[0] / 2), round(sizes[0] / 2)
    if len(sizes) == len(parts) == 2:
        if any(not part[-1:].isalpha() for part in parts):
            raise ConfigError(f"--match-size {text}: give both sizes with a unit, such as 25MB,20.5MB")
        return round(sizes[0]), round(sizes[1])
    architecture, nets = _architecture_at_width(text)
    layout = find_layout(architecture.layout).generator
    ab, ba = (parameters(layout, architecture.ops(name), nets.width_of(name)) for name in GENERATORS)
    return ab, ba


def _parse_bytes(text: str) -> float | None:
    number = re.fullmatch(r"([0-9]+(?:\.[0-9]*)?) ?([A-Za-z]*)", text)
    unit = UNITS.get(number[2].upper()) if number else None
    return float(number[1]) * unit if number and unit else None


def _architecture_at_width(text: str) -> tuple[Architecture, NetsConfig]:
    """Return an architecture and its width: the stored one, or the number after the last colon."""
    try:
        architecture, config = find_architecture(text), stored_config(as_path(text))
        trained = config and config.kind == "train"
        return architecture, config.nets if config and trained else NetsConfig(width=DEFAULT_WIDTH)
    except GanasError as error:
        refusal = ConfigError(f"--match-size {text}: {error}; or give bytes, such as 45.5MB")
    name, _, width = text.rpartition(":")
    if not re.fullmatch(r"[0-9]+(\.[0-9]*)?", width):
        raise refusal
    if not MIN_WIDTH <= float(width) <= MAX_WIDTH:
        raise ConfigError(f"--match-size {text}: a width is a number from {MIN_WIDTH:g} to {MAX_WIDTH:g}")
    try:
        return find_architecture(name), NetsConfig(width=float(width))
    except ArchitectureError:
        raise refusal from None


def stored_config(folder: Path) -> RunConfig | None:
    """Return the config of a run, or of one of its repeats, which differ in the seed only; None without one."""
    paths = (folder / "config.yaml", *sorted(folder.glob("repeats/*/config.yaml")))
    path = next((path for path in paths if path.is_file()), None)
    return load_config(RunConfig, path.read_bytes(), str(path)) if path else None
