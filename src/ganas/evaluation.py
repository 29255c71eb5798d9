"""Judging images, or a trained translator: its translations of images it did not learn from, beside those images."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from ganas.config import load_config
from ganas.cyclegan.config import RunConfig
from ganas.cyclegan.domains import open_domains
from ganas.cyclegan.layout import DIRECTIONS, Direction, find_layout
from ganas.cyclegan.translate import Translator, find_generator, load_generator, read_generator_info, translate
from ganas.cyclegan.validation import Validation
from ganas.data.sources import ImageSource, check_overlap, open_source
from ganas.errors import RunError
from ganas.metrics.cache import Cache
from ganas.metrics.evaluate import Reference, Split, evaluate_folders, load_network, possible_metrics
from ganas.metrics.features import FeatureNetwork
from ganas.metrics.measurement import Measurement
from ganas.paths import StrPath, as_path
from ganas.progress import Reporter
from ganas.store import Run


@dataclass(frozen=True)
class Judgement:
    """One direction: how far images are from the other domain before and after translation."""

    untranslated: Measurement
    translated: Measurement


def evaluate(
    real: StrPath,
    fake: StrPath,
    *,
    metrics: Sequence[str] | None = None,  # of fid, kid, pr, is, swd; None: all that `features` allows
    features: str | None = None,  # specification of a feature network, as squeezenet:weights.safetensors
    count: int | None = None,  # draw so many of the fake images; None: all
    bootstrap: int = 0,  # resamples behind 95 % intervals; 0: none
    cache: Cache | None = None,  # of statistics of real images
    skip_bad: bool = False,
    white: float | None = None,  # as in `open_source`
    icc: bool = True,
) -> Measurement:
    """How far the images under `fake` (folder or zip) are from those under `real`; `evaluate_run` judges a run.

    Raises `DataError` for images that cannot be measured, `ConfigError` for metrics that `features` does not allow.
    """
    (measured,) = evaluate_folders(
        real,
        [fake],
        metrics=metrics,
        features=features,
        count=count,
        bootstrap=bootstrap,
        cache=cache,
        skip_bad=skip_bad,
        white=white,
        icc=icc,
    )
    return measured


def evaluate_run(
    run: StrPath,
    *,
    a: StrPath | None = None,  # test images of A, folder or zip; None, as b: the run's held-out images
    b: StrPath | None = None,
    metrics: Sequence[str] | None = None,  # None: all that `features` allows
    features: str | None = None,  # specification of a feature network; None: the run's own, if it has one
    bootstrap: int = 0,
    cache: Cache | None = None,
    skip_bad: bool = False,
    white: float | None = None,  # of test images, as in `open_source`; None: as in the run's own
    icc: bool = True,  # False: neither for test images
) -> dict[Direction, Judgement]:
    """Both directions of a run of `ganas train`.

    Test images are translated as they are, A against the images of B and the reverse. Images held out are shrunk to
    the run's resolution and compared with up to 500 training images of the other domain, as the run itself did.
    Raises `RunError` without generators, or where the run's images or feature network are no longer what they were.
    """
    place, reporter = as_path(run), Reporter()
    chosen_on = {direction: _chosen_on(place, direction) for direction in DIRECTIONS}
    config = _config(place)
    network = load_network(features or (config.metrics.features if config else None), metrics)
    if config and not features and network and network.digest != config.metrics.digest:
        raise RunError(
            f"{config.metrics.features!r} holds other weights than when {str(place)!r} was trained: give --features"
        )
    if a is None or b is None:
        if config is None:
            raise RunError(f"{str(place)!r} has no config that says what was held out: give --a and --b")
        validation = _validation(place, config, metrics, network, cache, reporter)
        bf16 = config.training.precision == "bf16"
        judged = {}
        for direction in DIRECTIONS:
            before = validation.untranslated(direction, bootstrap=bootstrap)
            translator = _translator(place, direction, bf16)
            after = validation.measure(direction, translator, bootstrap=bootstrap, chosen_on=chosen_on[direction])
            judged[direction] = Judgement(before, _warned(after))
        return judged
    places: dict[Direction, Path] = {"ab": as_path(a), "ba": as_path(b)}
    infos = {direction: read_generator_info(find_generator(place, direction)) for direction in DIRECTIONS}
    sides = {
        direction: open_source(
            side,
            minimum=2,
            skip_bad=skip_bad,
            white=white or infos[direction].white,
            icc=icc and infos[direction].icc,
        )
        for direction, side in places.items()
    }
    if check_overlap(*sides.values()):
        reporter.note(["A and B are the same images"])
    targets: dict[Direction, ImageSource] = {"ab": sides["ba"], "ba": sides["ab"]}
    split = _split(config, [side.digest() for side in sides.values()])
    judgements = {}
    for direction, source in sides.items():
        reference = Reference(targets[direction], metrics, network, cache=cache, split=split, reporter=reporter)
        facts = {"source_digest": source.digest()}
        before = reference.measure(source, bootstrap=bootstrap, facts=facts)
        with tempfile.TemporaryDirectory(prefix="ganas-") as folder:
            translate(
                place, places[direction], Path(folder), direction=direction, skip_bad=skip_bad, white=white, icc=icc
            )
            translated = open_source(Path(folder), minimum=2, verify=False)
            facts["chosen_on"] = chosen_on[direction]
            after = reference.measure(translated, bootstrap=bootstrap, facts=facts)
        judgements[direction] = Judgement(before, _warned(after))
    return judgements


def _chosen_on(place: Path, direction: Direction) -> str:
    """What this direction's generator was chosen by; raises `RunError` where there is none."""
    info = read_generator_info(find_generator(place, direction))
    if info.network != f"generator_{direction}":
        raise RunError(
            f"{str(place)!r} is a {info.network}: give the run or its model folder, which hold both directions"
        )
    return info.split or "nothing"


def _config(place: Path) -> RunConfig | None:
    """What the run was told; of several repeats any one, as they differ in their seeds alone."""
    run = Run(place)
    path = next((path for path in (run.config, *sorted(place.glob("repeats/*/config.yaml"))) if path.is_file()), None)
    return load_config(RunConfig, path.read_bytes(), str(path)) if path else None


def _split(config: RunConfig | None, digests: list[str]) -> Split:
    """What images with these digests were to the run."""
    if config is None:
        return "given"
    known = (config.data.digest_a, config.data.digest_b)
    return "training" if any(digest in known for digest in digests) else "test"


def _warned(measured: Measurement) -> Measurement:
    """With a warning where the score flatters."""
    warnings = []
    if measured.protocol["split"] == "training":
        warnings.append("these are images that the run learned from: its scores flatter")
    if measured.protocol["chosen_on"] == "test":
        warnings.append("this generator was chosen on test images: its scores flatter")
    return replace(measured, warnings=(*warnings, *measured.warnings))


def _translator(place: Path, direction: Direction, bf16: bool) -> Translator:
    generator, info = load_generator(find_generator(place, direction))
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return Translator(generator, find_layout(info.layout).generator_multiple, device=device, bf16=bf16)


def _validation(
    place: Path,
    config: RunConfig,
    metrics: Sequence[str] | None,
    network: FeatureNetwork | None,
    cache: Cache | None,
    reporter: Reporter,
) -> Validation:
    """What the run was measured by, on whatever device this machine has."""
    here = config.model_copy(update={"training": config.training.model_copy(update={"device": "auto"})})
    domains = open_domains(here, find_layout(config.nets.layout))
    for key, digest in domains.facts.digests.items():
        if config.value(key) != digest:
            name = config.data.a if key == "data.digest_a" else config.data.b
            raise RunError(f"the images of {str(name)!r} changed since {str(place)!r} was trained: give --a and --b")
    validation = Validation(config, domains, network, cache, metrics or possible_metrics(network), reporter)
    if validation.test_digest() != config.data.digest_test:
        raise RunError(f"the test images of {str(place)!r} changed since it was trained: give --a and --b")
    if not validation.enough:
        raise RunError(f"{str(place)!r} holds out too few images to measure by: give --a and --b")
    return validation
