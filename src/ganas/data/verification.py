"""Decode images before training: find broken ones, and decide how the set is read.

All of a set are decoded, or, of a large one, a random sample. What was found is kept (:mod:`ganas.data.memory`).
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

from ganas.data.audit import AuditedFile, decide
from ganas.data.containers.base import Container
from ganas.data.decode import inspect, short_reason
from ganas.data.levels import Reading
from ganas.data.limits import UnreadableError
from ganas.data.memory import Memory
from ganas.data.threads import in_threads
from ganas.errors import counted, shown

T = TypeVar("T")

SAMPLE = 2000  # images of a set too large to decode in full: of one broken image in 1,000, two are found on average
BAR_FROM, BAR_EVERY = 1000, 100  # images from which on progress is shown, and between two updates


@dataclass(frozen=True)
class Findings:
    """What decoding some images of a set has shown."""

    broken: tuple[tuple[str, str], ...]  # name and reason of each unreadable image
    made: tuple[str, ...]  # names of those that ganas wrote, unless all are
    reading: Reading
    notes: tuple[str, ...]  # decisions about how to read them, one line each
    sides: Mapping[int, int]  # shorter side in pixels -> images
    smallest: str  # name of an image with the smallest one

    @classmethod
    def of(cls, files: Sequence[AuditedFile], white: float | None, icc: bool) -> "Findings":
        """Sum up; ``white`` and ``icc`` as in `open_source`."""
        broken = tuple((file.name, file.reason) for file in files if not file.info)
        kept, made = without_own(files)
        reading, notes = decide(kept, white, icc)
        sides = {file.name: min(file.info.width, file.info.height) for file in kept if file.info}
        smallest = min(sides, key=lambda name: sides[name], default="")
        names = tuple(file.name for file in made)
        return cls(broken, names, reading, notes, dict(sorted(Counter(sides.values()).items())), smallest)

    def as_json(self) -> dict[str, Any]:
        """Return a JSON object."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "Findings":
        """Read the result of `as_json`; raises TypeError, KeyError or ValueError for anything else."""
        return cls(
            tuple((name, reason) for name, reason in content["broken"]),
            tuple(content["made"]),
            Reading(**content["reading"]),
            tuple(content["notes"]),
            {int(side): count for side, count in content["sides"].items()},
            content["smallest"],
        )


def verify_images(
    container: Container, names: Sequence[str], memory: Memory, *, white: float | None, icc: bool
) -> Findings:
    """Decode these images, unless what that shows is known from an earlier time."""
    facts = {"white": white, "icc": icc}
    if kept := memory.read("verification", **facts):
        with suppress(TypeError, KeyError, ValueError, AttributeError):
            return Findings.from_json(kept)
    findings = Findings.of(audit(container, names, white_given=white is not None), white, icc)
    memory.write(findings.as_json(), "verification", **facts)
    return findings


def audit(container: Container, names: Sequence[str], *, white_given: bool) -> list[AuditedFile]:
    """Decode every image; white_given: the user gave the value of white."""

    def audited(index: int) -> AuditedFile:
        name, size = names[index], 0
        try:
            encoded = read_encoded(container, name)
            size = len(encoded)
            return AuditedFile(name, size, inspect(encoded, name, white_given=white_given))
        except UnreadableError as error:
            return AuditedFile(name, size, None, str(error))

    return list(with_progress(f"checking {shown(container.path)}", audited, len(names)))


def read_encoded(container: Container, name: str) -> bytes:
    """Return the bytes of one image. Raises UnreadableError."""
    try:
        return container.read(name)
    except Exception as error:  # files, zips and codecs raise a dozen exception types
        raise UnreadableError(short_reason(error)) from error


def without_own(files: Sequence[AuditedFile]) -> tuple[Sequence[AuditedFile], Sequence[AuditedFile]]:
    """Return the files without the images that ganas wrote, and those; all of them if there are no others.

    So ganas does not learn from its own results.
    """
    made = [file for file in files if file.info and file.info.from_ganas]
    if not made or not any(file.info and not file.info.from_ganas for file in files):
        return files, ()
    return [file for file in files if not (file.info and file.info.from_ganas)], made


def note_on_own(names: Sequence[str]) -> tuple[str, ...]:
    """Return a note on the images that ganas wrote."""
    if not names:
        return ()
    return (f"{counted(len(names), 'image')} ({shown(names[0])}{', …' * (len(names) > 1)}) left out, written by ganas",)


def with_progress(title: str, function: Callable[[int], T], count: int) -> Iterator[T]:
    """Yield the results of `in_threads`, and show the progress of many."""
    from ganas.progress import Reporter

    results = in_threads(function, count)
    if count < BAR_FROM:
        yield from results
        return
    with Reporter().bar(title, 0, count) as bar:
        for done, result in enumerate(results, 1):
            yield result
            if done % BAR_EVERY == 0:
                bar.update(done)
