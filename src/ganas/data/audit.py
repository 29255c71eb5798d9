"""Audit of a data set: from what its files contain, how to read them, and notes for the user. Pure functions."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import log2

from ganas.data.color import can_convert
from ganas.data.decode import ImageInfo
from ganas.data.levels import FULL, Reading
from ganas.data.limits import LONGEST
from ganas.errors import counted, shown


@dataclass(frozen=True)
class AuditedFile:
    """One file."""

    name: str
    bytes: int  # as stored
    facts: ImageInfo | None  # None: it cannot be read
    reason: str = ""  # why not


def decide(found: Sequence[AuditedFile], white: float | None, icc: bool) -> tuple[Reading, tuple[str, ...]]:
    """Decide how to read the images of a set; returns that and notes, one line each.

    white: the value of white in images of more than 8 bits; None: decide by their values and tags.
    icc: convert color profiles other than sRGB.
    """
    seen = {one.name: one.facts for one in found if one.facts}
    extents = [facts.extent for facts in seen.values() if facts.extent]
    converts = icc and can_convert() and any(facts.profile for facts in seen.values())
    reading = Reading.decided(extents, white, icc=icc, converts=converts)
    return reading, (*_on_white(seen, reading), *_on_profiles(seen, reading), *_on_shapes(seen))


def listed(found: Sequence[AuditedFile]) -> str:
    """The first five unreadable files with the reasons."""
    reasons = [f"{shown(one.name)}: {one.reason}" for one in found if not one.facts]
    return "; ".join(reasons[:5] + ([f"and {len(reasons) - 5} more"] if len(reasons) > 5 else []))


def _on_white(seen: Mapping[str, ImageInfo], reading: Reading) -> Iterator[str]:
    extents = {name: facts.extent for name, facts in seen.items() if facts.extent}
    integers = [extent for extent in extents.values() if extent.kind == "integer"]
    floats = [extent for extent in extents.values() if extent.kind == "float"]
    white, bits = reading.integer, round(log2(reading.integer + 1))
    if integers and white != FULL and not reading.white_given:
        why = (
            f"white is {white:g} by their tags"
            if any(e.tagged_white for e in integers)
            else f"no value is above {white:g}"
        )
        count = counted(len(integers), "image")
        yield f"{count} of more than 8 bits: {why}, read as {bits} bits; {_otherwise(FULL)}"
    if floats and not reading.white_given:
        other = 255.0 if reading.floating == 1 else 1.0
        count = counted(len(floats), "image")
        yield f"{count} of floating point: read with {reading.floating:g} as white; {_otherwise(other)}"
    cut = {name: extent.high for name, extent in extents.items() if extent.high > reading.white(extent)}
    if cut:
        name = max(cut, key=lambda name: cut[name])
        yield f"{_have(len(cut))} values above white, which are cut ({shown(name)}: up to {cut[name]:g})"


def _otherwise(white: float) -> str:
    return (
        f"--set data.white={white:g} reads all of more than 8 bits otherwise (translate, evaluate: --white {white:g})"
    )


def _on_profiles(seen: Mapping[str, ImageInfo], reading: Reading) -> Iterator[str]:
    profiles = Counter(facts.profile for facts in seen.values() if facts.profile)
    if not reading.icc:
        return
    if profiles:
        names = ", ".join(name for name, _ in profiles.most_common(3)) + (", ..." if len(profiles) > 3 else "")
        done = "converted to sRGB; --set data.icc=false leaves them (translate, evaluate: --no-icc)"
        if not reading.converts:
            done = "left as they are, for this Pillow cannot convert them"
        yield f"{_have(profiles.total())} color profiles other than sRGB ({names}): {done}"
    damaged = [name for name, facts in seen.items() if facts.bad_profile]
    if damaged:
        yield f"{_have(len(damaged))} damaged or unfitting color profiles, which are ignored ({_such_as(damaged)})"


def _on_shapes(seen: Mapping[str, ImageInfo]) -> Iterator[str]:
    animated = [name for name, facts in seen.items() if facts.animated]
    if animated:
        yield f"{_have(len(animated))} more than one frame or page, of which the first is read ({_such_as(animated)})"
    strips = [name for name, facts in seen.items() if is_strip(facts.width, facts.height)]
    if strips:
        what = f"one side more than {LONGEST} times the other, of which training sees the middle"
        yield f"{_have(len(strips))} {what} ({_such_as(strips)})"


def _have(count: int) -> str:
    return f"{counted(count, 'image')} {'has' if count == 1 else 'have'}"


def _such_as(names: Sequence[str]) -> str:
    return shown(names[0]) + (" and others" if len(names) > 1 else "")


def is_strip(width: int, height: int) -> bool:
    """Whether an image is so thin that training sees only its middle."""
    return max(width, height) > LONGEST * min(width, height)
