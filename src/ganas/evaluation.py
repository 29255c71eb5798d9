"""Evaluate images, or the generators of a run on images that they were not trained on."""

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from ganas.config import kind_of, load_config
from ganas.cyclegan.config import RunConfig
from ganas.cyclegan.domains import open_domains
from ganas.cyclegan.layout import DIRECTIONS, Direction, find_layout
from ganas.cyclegan.match_size import stored_config
from ganas.cyclegan.translate import Translator, find_generator, load_generator, read_generator_info, translate
from ganas.cyclegan.validation import Validation
from ganas.data.limits import ALL, VERIFIED
from ganas.data.loaders import CenterCrops, center_crops
from ganas.data.pairs import find_pairs, match_pairs
from ganas.data.sources import ImageSource, check_overlap, open_source
from ganas.errors import ConfigError, RunError
from ganas.growing.config import GrowConfig
from ganas.growing.images import open_images
from ganas.growing.sample import find_grown_generator, load_grown_generator, make_images
from ganas.metrics.cache import Cache
from ganas.metrics.features import FeatureNetwork
from ganas.metrics.folders import evaluate_folders, load_network
from ganas.metrics.measurement import Measurement
from ganas.metrics.reference import Reference, Split, possible_metrics
from ganas.paths import StrPath, as_path
from ganas.progress import Reporter
from ganas.store import Run


@dataclass(frozen=True)
class TranslationScores:
    """Scores of one direction: source images against the other domain, before and after translation."""

    untranslated: Measurement
    translated: Measurement


def evaluate(
    real: StrPath,
    fake: StrPath,
    *,
    metrics: Sequence[str] | None = None,  # names in METRICS; None: all that `features` allows
    features: str | None = None,  # specification of a feature network, as squeezenet:weights.safetensors
    count: int | None = None,  # size of a random sample of the fake images; None: all
    bootstrap: int = 0,  # resamples for 95 % intervals; 0: none
    cache: Cache | None = None,  # of statistics of real images
    skip_bad: bool = False,
    white: float | None = None,  # as in `open_source`
    icc: bool = True,
) -> Measurement:
    """Compare the images under `fake` (folder or zip) with those under `real`; `evaluate_run` evaluates a run.

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


@dataclass(frozen=True)
class _Side:
    """The measurements of one direction, each made when called."""

    untranslated: Callable[[], Measurement]
    translated: Callable[[], Measurement]


def evaluate_run(
    run: StrPath,
    *,
    a: StrPath | None = None,  # test images of A, folder or zip; None, as b: the run's held-out images
    b: StrPath | None = None,
    paired: StrPath | None = None,  # folder of test images of both domains with the same names, as testA and testB
    metrics: Sequence[str] | None = None,  # None: all that `features` allows
    features: str | None = None,  # specification of a feature network; None: the run's own, if it has one
    bootstrap: int = 0,
    cache: Cache | None = None,
    skip_bad: bool = False,
    white: float | None = None,  # of test images, as in `open_source`; None: that of the run
    icc: bool = True,  # False: ignore the color profiles of test images
    resolution: int | None = None,  # shrink and crop test images to squares of this side first; None: their own size
) -> dict[Direction, TranslationScores]:
    """Evaluate both directions of a run of `ganas train`.

    Test images are translated at their own size, or at a resolution, and compared with the test images of the other
    domain; of `paired` ones each translation is also compared with its partner. Held-out images are shrunk to the run's
    resolution and compared as in the run (`metrics.reference`).
    Raises `RunError` without generators, or if the run's images or feature network have changed.
    """
    sides = _open_sides(run, a, b, paired, metrics, features, bootstrap, cache, skip_bad, white, icc, resolution)
    return {direction: TranslationScores(side.untranslated(), side.translated()) for direction, side in sides}


def evaluate_translations(
    run: StrPath,
    *,
    a: StrPath | None = None,
    b: StrPath | None = None,
    paired: StrPath | None = None,
    metrics: Sequence[str] | None = None,
    features: str | None = None,
    bootstrap: int = 0,
    cache: Cache | None = None,
) -> dict[str, Measurement]:
    """:func:`evaluate_run` without the scores of the untranslated images, which take as long again."""
    sides = _open_sides(run, a, b, paired, metrics, features, bootstrap, cache)
    return {direction: side.translated() for direction, side in sides}


def _open_sides(
    run: StrPath,
    a: StrPath | None,
    b: StrPath | None,
    paired: StrPath | None,
    metrics: Sequence[str] | None,
    features: str | None,
    bootstrap: int,
    cache: Cache | None,
    skip_bad: bool = False,
    white: float | None = None,
    icc: bool = True,
    resolution: int | None = None,
) -> Iterator[tuple[Direction, _Side]]:
    """Open and check everything that the measurements of a run need, and yield its directions one by one.

    Arguments and errors as in `evaluate_run`.
    """
    if paired is not None:
        if a is not None or b is not None:
            raise ConfigError("give either --paired, a folder of both domains, or --a and --b")
        a, b = find_pairs(as_path(paired), "test", "val")
    if (a is None) != (b is None):
        raise ConfigError("give both --a and --b, or neither to evaluate on the run's held-out images")
    if a is None and (white is not None or not icc):
        raise ConfigError("--white and --no-icc need --a and --b: held-out images are read as in the run")
    if a is None and resolution is not None:
        raise ConfigError("--resolution needs --a and --b: held-out images have the resolution of the run")
    path, reporter = as_path(run), Reporter()
    for direction in DIRECTIONS:
        _selected_on(path, direction)  # refuses a run without generators
    config = stored_config(path)
    network = load_network(features or (config.metrics.features if config else None), metrics)
    if config and not features and network and network.digest != config.metrics.digest:
        raise RunError(
            f"{config.metrics.features!r} holds other weights than when {str(path)!r} was trained: give --features"
        )
    if a is None or b is None:
        if config is None:
            raise RunError(f"{str(path)!r} has no config that says what was held out: give --a and --b")
        validation = _open_validation(path, config, metrics, network, cache, reporter)
        for direction in DIRECTIONS:
            yield (
                direction,
                _Side(
                    partial(validation.untranslated, direction, bootstrap=bootstrap),
                    partial(_validated, validation, path, direction, config, bootstrap),
                ),
            )
        return
    paths: dict[Direction, Path] = {"ab": as_path(a), "ba": as_path(b)}
    sources = {}
    for direction, images in paths.items():
        info = read_generator_info(find_generator(path, direction))
        sources[direction] = open_source(
            images,
            minimum=2,
            skip_bad=skip_bad,
            verify=VERIFIED if paired is None else ALL,
            white=white or info.white,
            icc=icc and info.icc,
        )
    if check_overlap(*sources.values()):
        reporter.note(["A and B are the same images"])
    if paired is not None:
        sources["ab"], sources["ba"] = match_pairs(sources["ab"], sources["ba"], skip_missing=skip_bad)
    targets: dict[Direction, ImageSource] = {"ab": sources["ba"], "ba": sources["ab"]}
    digests = [source.digest() for source in sources.values()]
    split = _split(config, digests)
    if config and config.data.digest_pairs == "-".join(digests):
        split = "validation"  # the run was scored on these pairs
    for direction, source in sources.items():
        target, is_paired = targets[direction], paired is not None
        real = center_crops(target, resolution) if resolution else target
        unchanged = center_crops(source, resolution) if resolution else source
        reference = Reference(real, metrics, network, cache=cache, split=split, paired=is_paired, reporter=reporter)
        facts = {"source_digest": source.digest()}

        def measure_translated(
            direction: Direction = direction,
            target: ImageSource = target,
            reference: Reference = reference,
            unchanged: ImageSource | Tensor = unchanged,
            facts: Mapping[str, str] = facts | {"chosen_on": _selected_on(path, direction)},
        ) -> Measurement:
            if isinstance(unchanged, Tensor):
                translator = _open_translator(
                    path, direction, bf16=bool(config and config.training.precision == "bf16")
                )
                return _with_warnings(reference.measure(translator(unchanged), bootstrap=bootstrap, facts=facts))
            with tempfile.TemporaryDirectory(prefix="ganas-") as folder:
                images = Path(folder)
                translate(path, paths[direction], images, direction=direction, skip_bad=skip_bad, white=white, icc=icc)
                translated = open_source(images, minimum=2, verify=0)
                if paired is not None:
                    _, translated = match_pairs(target, translated, skip_missing=skip_bad)
                return _with_warnings(reference.measure(translated, bootstrap=bootstrap, facts=facts))

        yield (
            direction,
            _Side(partial(reference.measure, unchanged, bootstrap=bootstrap, facts=facts), measure_translated),
        )


def _validated(
    validation: Validation, path: Path, direction: Direction, config: RunConfig, bootstrap: int
) -> Measurement:
    translator = _open_translator(path, direction, bf16=config.training.precision == "bf16")
    selected_on = _selected_on(path, direction)
    return _with_warnings(validation.measure(direction, translator, bootstrap=bootstrap, chosen_on=selected_on))


def evaluate_grown(
    run: StrPath,
    *,
    metrics: Sequence[str] | None = None,  # None: all that `features` allows
    features: str | None = None,  # specification of a feature network; None: the run's own, if it has one
    bootstrap: int = 0,
    cache: Cache | None = None,
) -> Measurement:
    """Evaluate the generator of a finished `ganas grow`: images of the latents 0, 1, ... against the run's real ones.

    As many as the run's candidates were scored on (``metrics.images``). Raises `RunError` without a generator, or if
    the run's images have changed.
    """
    path, reporter = as_path(run), Reporter()
    if not is_grown(path):
        raise RunError(f"{str(path)!r} is no run of ganas grow: give the folder that it wrote")
    generator, _ = load_grown_generator(find_grown_generator(path))
    text = Run(path).config.read_bytes()
    config = load_config(GrowConfig, text, str(Run(path).config))
    network = load_network(features or config.metrics.features, metrics)
    data, source = config.data, open_images(config)
    if source.digest() != data.digest:
        raise RunError(f"the images of {str(data.images)!r} changed since {str(path)!r} was grown: restore them")
    fits = 3 * data.resolution**2 * len(source) <= data.cache_mib << 20
    real = center_crops(source, data.resolution) if fits else CenterCrops(source, data.resolution)
    if not features and network and network.digest != config.metrics.digest:
        raise RunError(
            f"{config.metrics.features!r} holds other weights than when {str(path)!r} was grown: give --features"
        )
    reference = Reference(real, metrics, network, cache=cache, split="training", reporter=reporter)
    images = make_images(generator, range(config.metrics.images))
    return reference.measure(images, bootstrap=bootstrap)


def is_grown(run: StrPath) -> bool:
    """Whether a folder is a run of `ganas grow`, finished or not."""
    config = Run(as_path(run)).config
    return config.is_file() and kind_of(config.read_bytes()) == "grow"


def _selected_on(path: Path, direction: Direction) -> str:
    """Return the split that a direction's generator was selected on, or "nothing"; raises `RunError` without one."""
    info = read_generator_info(find_generator(path, direction))
    if info.network != f"generator_{direction}":
        raise RunError(
            f"{str(path)!r} is a {info.network}: give the run or its model folder, which hold both directions"
        )
    return info.split or "nothing"


def _split(config: RunConfig | None, digests: list[str]) -> Split:
    """Return the split of images with these digests, from the run's point of view."""
    if config is None:
        return "given"
    training = (config.data.digest_a, config.data.digest_b)
    return "training" if any(digest in training for digest in digests) else "test"


def _with_warnings(measured: Measurement) -> Measurement:
    """Add warnings where scores are optimistically biased."""
    warnings = []
    if measured.protocol["split"] == "training":
        warnings.append("these are training images of the run: the scores are optimistically biased")
    if measured.protocol["chosen_on"] == "test":
        warnings.append("this generator was selected on test images: the scores are optimistically biased")
    return replace(measured, warnings=(*warnings, *measured.warnings))


def _open_translator(path: Path, direction: Direction, bf16: bool) -> Translator:
    generator, info = load_generator(find_generator(path, direction))
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return Translator(generator, find_layout(info.layout).generator_multiple, device=device, bf16=bf16)


def _open_validation(
    path: Path,
    config: RunConfig,
    metrics: Sequence[str] | None,
    network: FeatureNetwork | None,
    cache: Cache | None,
    reporter: Reporter,
) -> Validation:
    """Open the images that the run was validated on, with whatever device this machine has."""
    domains = open_domains(config.with_values({"training.device": "auto"}), find_layout(config.nets.layout))
    for key, digest in domains.facts.digests.items():
        if config.value(key) != digest:
            name = config.data.a if key == "data.digest_a" else config.data.b
            raise RunError(f"the images of {str(name)!r} changed since {str(path)!r} was trained: give --a and --b")
    validation = Validation(
        config,
        domains,
        network,
        cache,
        metrics or possible_metrics(network, paired=config.data.pairs is not None),
        reporter,
        requested=metrics is not None,
    )
    if validation.test_digest() != config.data.digest_test:
        raise RunError(f"the test images of {str(path)!r} changed since it was trained: give --a and --b")
    if validation.pairs_digest() != config.data.digest_pairs:
        raise RunError(f"the pairs of {str(path)!r} changed since it was trained: give --paired, or --a and --b")
    if not validation.enough or (metrics and not any(map(validation.measures, metrics))):
        raise RunError(f"{str(path)!r} holds out too few images to score: give --a and --b")
    return validation
