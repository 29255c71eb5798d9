"""Score the generators of a run on images that they are not trained on."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from torch import Tensor

from ganas.cyclegan.config import RunConfig, resolve
from ganas.cyclegan.domains import Domains
from ganas.cyclegan.layout import DIRECTIONS
from ganas.cyclegan.trainer import open_translators
from ganas.cyclegan.translate import Translator
from ganas.data.images import Images
from ganas.data.limits import ALL
from ganas.data.loaders import center_crops, split
from ganas.data.pairs import find_pairs, match_pairs
from ganas.data.sources import ImageSource, notes_of, open_source
from ganas.errors import ConfigError, DataError
from ganas.learning.trainer import Trainer
from ganas.machine import this_machine
from ganas.metrics.cache import Cache
from ganas.metrics.features import FeatureNetwork, load_features
from ganas.metrics.measurement import METRICS, Measurement, is_paired, joined
from ganas.metrics.reference import Reference, Split, check_metrics, possible_metrics
from ganas.progress import Reporter

REFERENCE_IMAGES = 500  # at most, of the target domain, to compare translations with
MIN_HELD_OUT = 10  # images per domain; scores of fewer are too noisy for selection


class Validation:
    """Held-out or test images of both domains, and reference images of the other domain for their translations.

    With ``data.pairs`` translations of its images are also compared with their partners. All images are downscaled to
    the run's resolution, as in training.
    """

    def __init__(
        self,
        config: RunConfig,
        domains: Domains,
        network: FeatureNetwork | None,
        cache: Cache | None,
        metrics: Sequence[str] | None = None,  # None: those that select a generator
        reporter: Reporter | None = None,  # shows progress
        requested: bool = True,  # as in `Reference`
    ) -> None:
        self._reporter, self._requested = reporter, requested
        self._config, self._domains, self._network, self._cache = config, domains, network, cache
        select = config.metrics.select
        scores = ["fid", "kid"] if network and select != "swd" else ["swd"]
        if select in METRICS and select not in scores and not is_paired(select):
            scores.append(select)
        self._metrics = [name for name in metrics or scores if not is_paired(name)]
        self._paired_metrics = [name for name in metrics or possible_metrics(network, paired=True) if is_paired(name)]
        self._sources = dict(zip(DIRECTIONS, _scored_images(config, domains), strict=True))
        self._pairs = _open_pairs(config, domains)
        # pairs of val are held out from training; others may be test images
        self._pairs_split: Split = "validation" if _are_validation(self._pairs) else "test"
        if not self._pairs and any(is_paired(name) for name in metrics or ()):
            check_metrics(self._paired_metrics, network, paired=False)  # refuses them
        self._warned = False

    def test_digest(self) -> str | None:
        """Return the digest of the test images; None without metrics.split=test."""
        return "-".join(self._digests.values()) if self._config.metrics.split == "test" else None

    def pairs_digest(self) -> str | None:
        """Return the digest of the pairs; None without data.pairs."""
        return "-".join(source.digest() for source in self._pairs.values()) or None

    @property
    def enough(self) -> bool:
        """Whether there are enough images for a score to mean anything."""
        return self._enough_held_out or bool(self._pairs and self._paired_metrics)

    def measures(self, metric: str) -> bool:
        """Whether there are images to measure a metric on, by name."""
        return bool(self._pairs) if is_paired(metric) else self._enough_held_out

    def split_of(self, metric: str) -> Split:
        """Return the origin of the images that a metric is measured on."""
        return self._pairs_split if is_paired(metric) else self._config.metrics.split

    @property
    def _enough_held_out(self) -> bool:
        return min(map(len, self._sources.values())) >= MIN_HELD_OUT

    def ready(self, reporter: Reporter) -> bool:
        """Return `enough`, after reporting notes on test images or that there are too few images."""
        if self._config.metrics.split == "test":
            reporter.note(notes_of(*self._sources.values()))
        if not self._enough_held_out:
            hint = "; --set metrics.select=psnr selects by the pairs" if self.enough else ""
            count = min(map(len, self._sources.values()))
            reporter.say(f"{count} held-out images are too few for a score{hint}")
        return self.enough

    @cached_property
    def _images(self) -> Mapping[str, Tensor]:
        return {direction: self._crops(source) for direction, source in self._sources.items()}

    @cached_property
    def _references(self) -> Mapping[str, Reference]:
        domains = self._domains
        if self._config.metrics.split == "all":
            a, b = domains.whole
        elif self._config.metrics.reference == "scored":
            a, b = self._sources["ab"], self._sources["ba"]
        else:
            a, b = self._sample(domains.a), self._sample(domains.b)
        return {
            direction: Reference(
                self._crops(target),
                self._metrics,
                self._network,
                cache=self._cache,
                split=self._config.metrics.split,
                requested=self._requested,
                reporter=self._reporter,
            )
            for direction, target in {"ab": b, "ba": a}.items()
        }

    @cached_property
    def _paired_images(self) -> Mapping[str, Tensor]:
        return {direction: self._crops(source) for direction, source in self._pairs.items()}

    @cached_property
    def _paired_references(self) -> Mapping[str, Reference]:
        return {
            direction: Reference(
                self._paired_images[other], self._paired_metrics, self._network, split=self._pairs_split, paired=True
            )
            for direction, other in (("ab", "ba"), ("ba", "ab"))
            if self._pairs
        }

    def _sample(self, source: ImageSource) -> ImageSource:
        """Return up to REFERENCE_IMAGES of a domain, at random: the first names might all be of one kind."""
        surplus = len(source) - REFERENCE_IMAGES
        return source if surplus <= 0 else source.subset(split(len(source), surplus, self._config.split_seed)[0])

    def _crops(self, source: Images) -> Tensor:
        return center_crops(source, self._config.data.resolution)

    @cached_property
    def _digests(self) -> Mapping[str, str]:
        return {direction: source.digest() for direction, source in self._sources.items()}

    def measure(
        self, direction: str, translator: Translator, *, bootstrap: int = 0, chosen_on: str | None = None
    ) -> Measurement:
        """Score a translator; `chosen_on` is the split that it was selected on, if it was."""
        facts = {"chosen_on": chosen_on} if chosen_on else {}
        return self._measure(direction, translator, bootstrap, facts)

    def untranslated(self, direction: str, *, bootstrap: int = 0) -> Measurement:
        """Score the unchanged source images, the baseline that a translator must beat."""
        return self._measure(direction, lambda images: images, bootstrap, {})

    def _measure(
        self, direction: str, translate: Callable[[Tensor], Tensor], bootstrap: int, facts: Mapping[str, str]
    ) -> Measurement:
        measured = Measurement({})
        if self._enough_held_out and self._metrics:
            facts_here = {"source_digest": self._digests[direction], **facts}
            images = translate(self._images[direction])
            measured = self._references[direction].measure(images, bootstrap=bootstrap, facts=facts_here)
        if self._pairs and self._paired_metrics:
            images = translate(self._paired_images[direction])
            of_pairs = self._paired_references[direction].measure(images, bootstrap=bootstrap, facts=facts)
            measured = joined(measured, of_pairs)
        return measured

    @property
    def has_pairs(self) -> bool:
        """Whether the right translation of some images is known."""
        return bool(self._pairs and self._paired_metrics)

    def translated_pairs(
        self, direction: str, translator: Translator
    ) -> tuple[Tensor, Tensor, Tensor, Sequence[str], Mapping[str, tuple[float, ...]]]:
        """Return inputs, translations and right answers, uint8 [n, 3, r, r], with their names and scores by key."""
        inputs, truths = (self._paired_images[name] for name in (direction, "ba" if direction == "ab" else "ab"))
        outputs = translator(inputs)
        scores = self._paired_references[direction].measure(outputs).per_image
        return inputs, outputs, truths, self._pairs[direction].names, scores

    def record(self, trainer: Trainer, nimg: int) -> dict[str, Measurement]:
        """Measure the generators of both directions, and record the scores with their protocol."""
        measured: dict[str, Measurement] = {}
        for direction, translator in open_translators(trainer.generators(), self._config).items():
            with trainer.stop.interruptible():
                measured[direction] = self.measure(direction, translator)
            for warning in () if self._warned else measured[direction].warnings:
                trainer.reporter.say(f"note: {direction}: {warning}")
        self._warned = True
        scores = {
            f"{direction}/{key}": value for direction, one in measured.items() for key, value in one.scores.items()
        }
        protocol = {direction: dict(one.protocol) for direction, one in measured.items()}
        seconds = sum(facts.pop("seconds") for facts in protocol.values())
        trainer.record({"nimg": nimg, "score_seconds": seconds, "scores": scores, "protocol": protocol})
        return measured


def open_validation(config: RunConfig, domains: Domains, cache: Cache | None) -> tuple[RunConfig, Validation]:
    """Load the feature network, if any, open the images to measure on, and resolve the config.

    Raises `ConfigError` if test images are needed but missing.
    """
    machine, features = this_machine(), config.metrics.features
    network = load_features(features, device=machine.device(config.training.device)) if features else None
    validation = Validation(resolve(config, machine, domains.facts), domains, network, cache)
    digests = {"data.digest_test": validation.test_digest(), "metrics.digest": network.digest if network else None}
    digests["data.digest_pairs"] = validation.pairs_digest()
    facts = replace(domains.facts, digests={**domains.facts.digests, **digests})
    return resolve(config, machine, facts), validation


def _scored_images(config: RunConfig, domains: Domains) -> tuple[ImageSource, ImageSource]:
    """Return the images of A and B to score on: held out, or test images."""
    if config.metrics.split != "test":
        return domains.held_out_a, domains.held_out_b
    test_a, test_b = config.data.test_a, config.data.test_b
    if test_a is None or test_b is None:
        raise ConfigError("metrics.split=test needs test images: give --set data.test_a=DIR and data.test_b=DIR")
    return _open_apart(test_a, domains.a, config), _open_apart(test_b, domains.b, config)


def _open_pairs(config: RunConfig, domains: Domains) -> dict[str, ImageSource]:
    """Return the pairs of `data.pairs` by the direction they are translated in; none without it."""
    if config.data.pairs is None:
        return {}
    a, b = find_pairs(config.data.pairs, "val", "test")
    sources = _open_apart(a, domains.a, config, 2, ALL), _open_apart(b, domains.b, config, 2, ALL)
    ab, ba = match_pairs(*sources, skip_missing=config.data.skip_bad)
    return {"ab": ab, "ba": ba}


def _are_validation(pairs: Mapping[str, ImageSource]) -> bool:
    return all(source.path.name.startswith("val") for source in pairs.values())


def _open_apart(
    path: Path, training: ImageSource, config: RunConfig, minimum: int = MIN_HELD_OUT, verify: int | None = None
) -> ImageSource:
    """Open images to score on, read as the training images; raises `DataError` if they share a file."""
    data = config.data
    white = data.white or training.reading.level
    test = open_source(
        path, skip_bad=data.skip_bad, minimum=minimum, verify=verify or data.verify, white=white, icc=data.icc
    )
    if shared := len(test.files & training.files):
        raise DataError(
            f"{shared} of the test images in {str(test.path)!r} are also training images in "
            f"{str(training.path)!r}: keep them apart"
        )
    return test
