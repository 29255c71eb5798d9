"""Two sets of images whose names make pairs: the same scene in both domains. No torch."""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from ganas.data.published import find_folder
from ganas.data.sources import ImageSource
from ganas.data.threads import in_threads
from ganas.errors import DataError, counted, shown


def find_pairs(folder: Path, *splits: str) -> tuple[Path, Path]:
    """Return the folders (or zips) of A and B in a folder of pairs: ``A``, ``B``, or ``valA``, ``valB`` and so on.

    splits    in order of preference, such as ``val``, ``test``; `DataError` if it holds none of them

    The folder may be a published data set, by name.
    """
    folder = find_folder(folder)
    for split in (*splits, ""):
        found = [
            next(filter(Path.exists, (folder / f"{split}{side}{end}" for end in ("", ".zip"))), None) for side in "AB"
        ]
        if found[0] and found[1]:
            return found[0], found[1]
    expected = ", or ".join(f"{split}A and {split}B" for split in (*splits, ""))
    raise DataError(f"{shown(folder)} holds no pairs: it needs {expected}, with the same names in both")


def match_pairs(a: ImageSource, b: ImageSource, *, skip_missing: bool = False) -> tuple[ImageSource, ImageSource]:
    """Return both sets in an order in which equal indices are pairs.

    skip_missing    leave out images without a partner, as unreadable ones are left out, if there are pairs at all

    Names are equal without their suffix, without a folder that holds all of a side (in a zip), and without ``_A`` and
    ``_B`` where all names of a side have it. Raises `DataError` for an image without a partner, or one of another size.
    """
    in_a, in_b = _by_key(a), _by_key(b)
    order = [key for key in in_a if key in in_b]
    if not skip_missing or not order:
        _refuse_missing(a, [in_a[key] for key in in_a.keys() - in_b.keys()], b)
        _refuse_missing(b, [in_b[key] for key in in_b.keys() - in_a.keys()], a)
    a, b = a.subset(in_a[key] for key in order), b.subset(in_b[key] for key in order)
    sizes = list(in_threads(lambda index: (a.read(index).size, b.read(index).size), len(a)))
    for name, (one, two) in zip(a.names, sizes, strict=True):
        if one != two:
            raise DataError(
                f"{shown(a.location(name))} has {one[0]}×{one[1]} pixels and its partner in {shown(b.path)} "
                f"{two[0]}×{two[1]}: pairs need the same size"
            )
    return a, b


def _refuse_missing(source: ImageSource, missing: Sequence[int], other: ImageSource) -> None:
    if missing:
        raise DataError(
            f"{shown(other.path)} has no partner for {counted(len(missing), 'image')} of {shown(source.path)} "
            f"({shown(source.names[min(missing)])}): pairs need the same names on both sides"
        )


def _by_key(source: ImageSource) -> dict[str, int]:
    """Return the index of each image by the name of its pair; raises `DataError` for two of one name."""
    paths = [PurePosixPath(name).with_suffix("") for name in source.names]
    while all(len(path.parts) > 1 for path in paths) and len({path.parts[0] for path in paths}) == 1:
        paths = [path.relative_to(path.parts[0]) for path in paths]
    stems = [str(path) for path in paths]
    if {stem.lower()[-2:] for stem in stems} in ({"_a"}, {"_b"}):
        stems = [stem[:-2] for stem in stems]
    keys: dict[str, int] = {}
    for index, stem in enumerate(stems):
        if stem in keys:
            one, other = source.names[keys[stem]], source.names[index]
            raise DataError(
                f"{shown(source.path)}: {shown(one)} and {shown(other)} share a name: pairs need different names"
            )
        keys[stem] = index
    return keys
