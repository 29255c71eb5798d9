"""Score folders of images against a folder of real ones."""

from collections.abc import Sequence

import torch

from ganas.data.sources import check_overlap, notes_of, open_source
from ganas.errors import ConfigError, DataError, shown
from ganas.metrics.cache import Cache
from ganas.metrics.features import FeatureNetwork, load_features
from ganas.metrics.measurement import Measurement
from ganas.metrics.reference import Reference, find_metric
from ganas.paths import StrPath
from ganas.progress import Reporter


def evaluate_folders(
    real: StrPath,
    fakes: Sequence[StrPath],
    *,
    metrics: Sequence[str] | None,  # None: all that `features` allows
    features: str | None,  # specification of a feature network
    count: int | None = None,
    bootstrap: int = 0,
    cache: Cache | None = None,
    skip_bad: bool = False,
    white: float | None = None,
    icc: bool = True,
    reporter: Reporter | None = None,
) -> list[Measurement]:
    """Score the images under each of ``fakes`` (folder or zip) against those under ``real``.

    Several fakes must have the same number of images, unless ``count`` is given. Arguments and errors: see `Reference`,
    its `measure`, and `open_source`.
    """
    sources = [open_source(path, minimum=2, skip_bad=skip_bad, white=white, icc=icc) for path in (real, *fakes)]
    same = [fake for fake in sources[1:] if check_overlap(sources[0], fake)]
    if reporter:
        reporter.note((*notes_of(*sources), *(f"{shown(fake.path)}: the real images themselves" for fake in same)))
    counts = sorted({len(source) for source in sources[1:]})
    if count is None and len(counts) > 1:
        raise ConfigError(
            f"folders of {counts[0]} and {counts[-1]} images cannot be compared: "
            f"give --images {counts[0]} to sample as many of each"
        )
    if count is not None and count > counts[0]:
        raise DataError(f"cannot sample {count} of {counts[0]} images: give a number from 2 to {counts[0]}")
    network = load_network(features, metrics)
    reference = Reference(sources[0], metrics, network, cache=cache, reporter=reporter)
    return [reference.measure(source, count=count, bootstrap=bootstrap) for source in sources[1:]]


def load_network(features: str | None, metrics: Sequence[str] | None) -> FeatureNetwork | None:
    """Load a feature network, on the GPU if there is one; None if no metric needs it. Raises ConfigError."""
    needs = {find_metric(name).needs for name in metrics or ()}
    if needs == {"nothing"}:
        return None
    return load_features(features, device="cuda" if torch.cuda.is_available() else "cpu") if features else None
