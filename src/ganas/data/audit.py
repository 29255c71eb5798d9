"""Decide from the contents of a data set's files how to read them, and write notes for the user. Pure functions."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import log2

from ganas.data.color import can_convert
from ganas.data.decode import ImageInfo
from ganas.data.levels import FULL, Reading
from ganas.data.limits import MAX_ASPECT_RATIO
from ganas.errors import counted, shown


@dataclass(frozen=True)
class AuditedFile:
    """One file of a data set, inspected."""

    name: str
    bytes: int  # as stored
    info: ImageInfo | None  # None: unreadable
    reason: str = ""  # why it is unreadable


def decide(files: Sequence[AuditedFile], white: float | None, icc: bool) -> tuple[Reading, tuple[str, ...]]:
    """Return how to read the images of a set, and notes, one line each; arguments as in `open_source`."""
    infos = {file.name: file.info for file in files if file.info}
    extents = [info.extent for info in infos.values() if info.extent]
    converts = icc and can_convert() and any(info.profile for info in infos.values())
    reading = Reading.decide(extents, white, icc=icc, converts=converts)
    return reading, (*_on_white(infos, reading), *_on_profiles(infos, reading), *_on_shapes(infos))


def describe_broken(broken: Sequence[tuple[str, str]]) -> str:
    """Return the first five unreadable files, of (name, reason)."""
    reasons = [f"{shown(name)}: {reason}" for name, reason in broken]
    return "; ".join(reasons[:5] + ([f"and {len(reasons) - 5} more"] if len(reasons) > 5 else []))


def _on_white(infos: Mapping[str, ImageInfo], reading: Reading) -> Iterator[str]:
    extents = {name: info.extent for name, info in infos.items() if info.extent}
    integers = [extent for extent in extents.values() if extent.kind == "integer"]
    floats = [extent for extent in extents.values() if extent.kind == "float"]
    white, bits = reading.integer, round(log2(reading.integer + 1))
    if integers and white != FULL and not reading.white_given:
        tagged = any(extent.tagged_white for extent in integers)
        why = f"white is {white:g} by their tags" if tagged else f"no value is above {white:g}"
        count = counted(len(integers), "image")
        yield f"{count} of more than 8 bits: {why}, read as {bits} bits; {_otherwise(FULL)}"
    if floats and not reading.white_given:
        other = 255.0 if reading.floating == 1 else 1.0
        count = counted(len(floats), "image")
        yield f"{count} of floating point: read with {reading.floating:g} as white; {_otherwise(other)}"
    cut = {name: extent.high for name, extent in extents.items() if extent.high > reading.white(extent)}
    if cut:
        name = max(cut, key=lambda name: cut[name])
        yield f"{_have(len(cut))} values above white, which are clipped ({shown(name)}: up to {cut[name]:g})"


def _otherwise(white: float) -> str:
    config, flag = f"--set data.white={white:g}", f"(translate, evaluate: --white {white:g})"
    return f"{config} changes it for all images of more than 8 bits {flag}"


def _on_profiles(infos: Mapping[str, ImageInfo], reading: Reading) -> Iterator[str]:
    profiles = Counter(info.profile for info in infos.values() if info.profile)
    if not reading.icc:
        return
    if profiles:
        names = ", ".join(name for name, _ in profiles.most_common(3)) + (", ..." if len(profiles) > 3 else "")
        done = "converted to sRGB; --set data.icc=false leaves them (translate, evaluate: --no-icc)"
        if not reading.converts:
            done = "not converted, because this Pillow cannot"
        yield f"{_have(profiles.total())} color profiles other than sRGB ({names}): {done}"
    damaged = [name for name, info in infos.items() if info.bad_profile]
    if damaged:
        yield f"{_have(len(damaged))} damaged or mismatched color profiles, which are ignored ({_such_as(damaged)})"


def _on_shapes(infos: Mapping[str, ImageInfo]) -> Iterator[str]:
    animated = [name for name, info in infos.items() if info.animated]
    if animated:
        yield f"{_have(len(animated))} more than one frame or page; only the first is read ({_such_as(animated)})"
    sides = {name: sorted((info.width, info.height)) for name, info in infos.items()}
    strips = [name for name, (shorter, longer) in sides.items() if longer > MAX_ASPECT_RATIO * shorter]
    if strips:
        what = f"one side more than {MAX_ASPECT_RATIO} times the other; training sees only the middle"
        yield f"{_have(len(strips))} {what} ({_such_as(strips)})"


def _have(count: int) -> str:
    return f"{counted(count, 'image')} {'has' if count == 1 else 'have'}"


def _such_as(names: Sequence[str]) -> str:
    return shown(names[0]) + (" and others" if len(names) > 1 else "")
