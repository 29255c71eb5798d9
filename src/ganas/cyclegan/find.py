"""Find the architecture to train (named, stored or random), and the width that matches the size of another one.

At equal sizes, a comparison differs in the architecture alone. Only generators count, since only they remain after
training (CycleGANAS section 4): N32 and N64 have the total size of the hand-made pair at width 32 and 64, and each
generator of C'64 has the size of that of N64.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ganas.config import load_config
from ganas.cyclegan.architecture import Architecture, handmade, load_architecture, random_architecture
from ganas.cyclegan.config import NetsConfig, RunConfig
from ganas.cyclegan.layout import GENERATORS, find_layout
from ganas.cyclegan.size import BYTES, NARROWEST, WIDEST, macs, matching_width, parameters
from ganas.errors import ArchitectureError, ConfigError, GanasError, RunError
from ganas.paths import as_path
from ganas.settings import Values
from ganas.store import Run

RANDOM = "random"  # prefix of the names of random architectures
UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}
DEFAULT_WIDTH = 64.0  # of an architecture without one: that of the hand-made networks


def find_architecture(text: str) -> Architecture:
    """Find an architecture by a hand-made network's name, ``random:SEED``, an ``architecture.json`` or a run folder."""
    if text in handmade():
        return Architecture(text)
    if text.startswith(f"{RANDOM}:"):
        return _parse_random_architecture(text)
    path = as_path(text)
    if path.is_dir():
        run = Run(path)
        if run.architecture.is_file():
            return load_architecture(run.architecture)
        state = (
            "its search has not ended yet: run the same ganas search again" if run.config.is_file() else "it is no run"
        )
        raise RunError(f"{text!r} holds no architecture.json; {state}")
    if not path.exists():
        raise ArchitectureError(
            f"there is no architecture {text!r}: give an architecture.json, a search run, random:SEED, "
            f"or {' or '.join(handmade())}"
        )
    return load_architecture(path)


def _parse_random_architecture(text: str) -> Architecture:
    """``random:SEED`` or ``random:LAYOUT:SEED``: sampled uniformly from a layout's search space, framed by default.

    The baseline that every search must beat (Li and Talwalkar 2019).
    """
    _, *layout, seed = text.split(":")
    if len(layout) > 1 or not seed.isdecimal():
        raise ArchitectureError(f"{text!r} is not a random architecture: give random:SEED or random:LAYOUT:SEED")
    return random_architecture(find_layout(layout[0] if layout else "framed"), int(seed))


@dataclass(frozen=True)
class NetworkSize:
    """Size and compute of one network at a width: three numbers that are easily confused."""

    network: str
    width: float
    parameters: int
    macs: int  # multiply-accumulates of one image at the run's resolution

    @property
    def bytes(self) -> int:
        """Size in float32."""
        return BYTES * self.parameters


def generator_sizes(architecture: Architecture, nets: NetsConfig, resolution: int) -> list[NetworkSize]:
    """The sizes of both generators under a run's config."""
    layout = find_layout(architecture.layout).generator
    return [
        NetworkSize(
            name,
            nets.width_of(name),
            parameters(layout, architecture.ops(name), nets.width_of(name)),
            macs(layout, architecture.ops(name), nets.width_of(name), resolution),
        )
        for name in GENERATORS
    ]


def describe_sizes(sizes: Sequence[NetworkSize]) -> list[str]:
    """Describe every network, and how unequal the two generators are, in human-readable lines."""
    ab, ba = (size for size in sizes if size.network in GENERATORS)
    return [
        *(
            f"{size.network:16} width {size.width:g}, {size.parameters:,} parameters, {size.bytes / 10**6:.2f} MB, "
            f"{size.macs / 1e9:.2f} GMACs per image"
            for size in sizes
        ),
        f"generators       {ab.parameters + ba.parameters:,} parameters, {(ab.bytes + ba.bytes) / 10**6:.2f} MB; "
        f"ab is {ab.parameters / ba.parameters:.2f} times as large as ba",
    ]


def match_widths(architecture: Architecture, target: str, *, each: bool) -> Values:
    """Return the config values that give an architecture's generators the size of `target`, in total or each.

    target    bytes of both together (45.5MB) or of ab and ba (25MB,20.5MB), or an architecture with a width:
              resnet9:32, runs/search:16, or a run of ``ganas train``, which has one

    Raises `ConfigError` for a malformed target, `SizeError` for a size that no width comes close to.
    """
    targets = _target_parameters(target)
    layout = find_layout(architecture.layout).generator

    def size(names: Sequence[str], width: float) -> int:
        return sum(parameters(layout, architecture.ops(name), width) for name in names)

    if not each:
        return {"nets.width": matching_width(layout, lambda width: size(GENERATORS, width), sum(targets))}
    (ab, ba), (size_ab, size_ba) = GENERATORS, targets
    return {
        "nets.width_ab": matching_width(layout, lambda width: size((ab,), width), size_ab),
        "nets.width_ba": matching_width(layout, lambda width: size((ba,), width), size_ba),
    }


def _target_parameters(text: str) -> tuple[int, int]:
    """Parse a target size into the parameters of both generators."""
    parts = [part.strip() for part in text.split(",")]
    given = [size for size in map(_bytes, parts) if size]
    if len(given) == len(parts) == 1:
        return round(given[0] / BYTES / 2), round(given[0] / BYTES / 2)
    if len(given) == len(parts) == 2:
        if any(not part[-1:].isalpha() for part in parts):
            raise ConfigError(f"--match-size {text}: give both sizes with a unit, such as 25MB,20.5MB")
        return round(given[0] / BYTES), round(given[1] / BYTES)
    architecture, nets = _architecture_at_width(text)
    layout = find_layout(architecture.layout).generator
    ab, ba = (parameters(layout, architecture.ops(name), nets.width_of(name)) for name in GENERATORS)
    return ab, ba


def _bytes(text: str) -> float | None:
    number = re.fullmatch(r"([0-9]+(?:\.[0-9]*)?) ?([A-Za-z]*)", text)
    unit = UNITS.get(number[2].upper()) if number else None
    return float(number[1]) * unit if number and unit else None


def _architecture_at_width(text: str) -> tuple[Architecture, NetsConfig]:
    """An architecture and its width: the stored one, or the number after the last colon."""
    try:
        return find_architecture(text), _stored_widths(text)
    except GanasError as error:
        refusal = ConfigError(f"--match-size {text}: {error}; or give bytes, such as 45.5MB")
    name, _, width = text.rpartition(":")
    if not re.fullmatch(r"[0-9]+(\.[0-9]*)?", width):
        raise refusal
    if not NARROWEST <= float(width) <= WIDEST:
        raise ConfigError(f"--match-size {text}: a width is a number from {NARROWEST:g} to {WIDEST:g}")
    try:
        return find_architecture(name), NetsConfig(width=float(width))
    except ArchitectureError:
        raise refusal from None


def _stored_widths(path: str) -> NetsConfig:
    """The widths of a run of ``ganas train`` or of its repeats; for anything else that of the hand-made networks."""
    for file in (Path(path) / "config.yaml", *sorted(Path(path).glob("repeats/*/config.yaml"))):
        if file.is_file():
            config = load_config(RunConfig, file.read_bytes(), str(file))
            if config.kind == "train":
                return config.nets
    return NetsConfig(width=DEFAULT_WIDTH)
