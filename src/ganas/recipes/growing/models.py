"""The models of a growing run that a report compares, with their scores. No torch here."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from ganas.growing.history import History, Record
from ganas.metrics.measurement import metric_of
from ganas.recipes.growing.jobs import GrowingJob


@dataclass(frozen=True)
class Model:
    """The generator that a run ended with, or the best candidate at a lower resolution."""

    model: str  # DGGAN, ProgGAN or AutoGAN
    run: str  # id of the job
    candidate: str
    final: bool  # what the run ended with
    resolution: int
    images: int  # that it and its ancestors were trained on
    images_there: int  # of these at its resolution
    generator: int  # parameters
    discriminator: int
    scores: Mapping[str, float] = field(default_factory=dict)  # by metric key, on latents that no search has seen
    levels: Mapping[str, float] = field(default_factory=dict)  # of SWD, by the side of a level in pixels
    warnings: tuple[str, ...] = ()

    def key_of(self, metric: str) -> str | None:
        """The key of a metric's score; None if it was not measured."""
        return next((key for key in self.scores if metric_of(key) == metric), None)

    def score(self, metric: str) -> float | None:
        """The score of a metric."""
        key = self.key_of(metric)
        return None if key is None else self.scores[key]

    def scored(self, found: Mapping[str, Any]) -> "Model":
        """Add stored scores."""
        return replace(self, **{**found, "warnings": tuple(found["warnings"])})

    def as_json(self) -> dict[str, Any]:
        """JSON values."""
        return asdict(self)


def models_of(job: GrowingJob, history: History, winner: str) -> Iterator[Model]:
    """Yield the models of a finished run, without scores, from its lowest resolution on."""
    last = history.record(winner)
    for resolution, one in sorted(history.by_resolution().items()):
        if resolution < last.spec.architecture.resolution:
            yield _model(job, history, one, final=False)
    yield _model(job, history, last, final=True)


def _model(job: GrowingJob, history: History, one: Record, *, final: bool) -> Model:
    architecture, line = one.spec.architecture, [one]
    while parent := line[-1].spec.parent:
        line.append(history.record(parent))
    seen = [(past.spec.architecture.resolution, past.result.images if past.result else 0) for past in line]
    return Model(
        job.name,
        job.id,
        one.spec.id,
        final,
        architecture.resolution,
        sum(images for _, images in seen),
        sum(images for resolution, images in seen if resolution == architecture.resolution),
        architecture.parameters("generator"),
        architecture.parameters("discriminator"),
    )
