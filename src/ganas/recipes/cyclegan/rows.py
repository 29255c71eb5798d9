"""A row of a recipe's table, as its JSON holds it. No torch."""

from dataclasses import dataclass, field

from ganas.cyclegan.layout import Direction


@dataclass(frozen=True)
class Row:
    """One variant on one data set in one direction."""

    dataset: str
    variant: str
    group: str
    direction: Direction
    architecture: str
    runs: tuple[str, ...]  # folders of its trainings, relative to the recipe's folder
    seeds: tuple[int, ...]
    width: float
    parameters: int
    bytes: int
    macs: int
    size: float  # parameters / parameters of the hand-made generator at the reference width
    asymmetry: float  # parameters / parameters of the other direction's generator
    metric: str  # metric key
    untranslated: float  # score of the untranslated images
    scores: tuple[float, ...]  # one per repeat
    share: float | None  # mean score / mean score of the reference; None: it has none, or 0
    others: dict[str, tuple[float, ...]]  # scores of the other metrics
    # The same metric on translated held-out images, one per repeat: at the run's resolution, against training images of
    # the target domain, averaged over the second half of the run, which is less noisy than the last checkpoint alone.
    # Empty if a run did not measure it: too few held-out images, or metrics.select=swd.
    late: tuple[float, ...] = ()
    untranslated_held: float | None = None  # the same metric on untranslated held-out images
    untranslated_others: dict[str, float] = field(default_factory=dict)  # scores of the other metrics
    milliseconds: tuple[float, ...] = ()  # of one image, one per repeat; empty: not timed
