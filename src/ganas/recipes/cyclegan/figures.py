"""Figures 3 to 6 of CycleGANAS, and fronts, as lists of searches and trainings. No torch here.

C is the hand-made CycleGAN, N the result of the one-step search, and R a random architecture from the same search
space. The number in a variant's name is its width (C16, N16); scales other than the paper's replace 32 and 64. N and R
have the total size of the C of the same number. Each generator of C' has the size of that of N.

Fronts: S0, S1, … are the points that a search found, R0, R1, … random choices of about the same time from the same
supernets, D is C distilled from the widest C, as S and R are, T is D with three residual cells instead of nine, and Z
is D without any.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

from ganas.cyclegan.layout import find_layout
from ganas.cyclegan.presets import IGNORED_KEYS
from ganas.cyclegan.strategies import find_strategy
from ganas.data.pairs import find_pairs
from ganas.data.sources import check_halves
from ganas.data.tasks import find_task
from ganas.errors import ConfigError
from ganas.presets import make_config
from ganas.recipes.cyclegan.configs import job_config
from ganas.recipes.cyclegan.jobs import JOB_PREFIX, SIZE_SEPARATOR, ConfigItem, Dataset, RecipeJob
from ganas.settings import split_setting

# Compare all runs after the same number of images: picking a checkpoint by a few held-out images is close to random.
KEEP_LAST = (("metrics.select", "last"),)
HANDMADE, SHALLOW, BARE = "resnet9", "resnet3", "resnet0"
FRONT = "front"
# the groups of a front
ALONE, DISTILLED = "hand-made", "hand-made, distilled"
SHALLOW_DISTILLED, BARE_DISTILLED = "three cells, distilled", "no cells, distilled"
SEARCHED, DRAWN = "searched", "random, equal time"
COMPARED_STRATEGIES = ("of", "tf", "th", "ths")  # of figure 3: the paper's, whatever else there is
# Keys that --set may not change: the figures set them, or they have a command-line option.
RESERVED_KEYS = (
    *("data.a", "data.b", "data.test_a", "data.test_b", "nets.layout", "nets.width", "nets.width_ab", "nets.width_ba"),
    *("search.strategy", "search.budget", "search.budget_ab", "search.budget_ba", "seed", "kind", "architecture"),
    *("data.split_seed", "metrics.features", "metrics.split", "training.threads", "training.inherit"),
    *("distillation.teacher", "search.points"),
)
# of a front: else searched and hand-made generators would not see equally many images, or be fast at other sizes
FRONT_KEYS = ("training.images", "training.epochs", "search.latency_resolution")


@dataclass(frozen=True)
class FrontScale:
    """The sizes and lengths of a comparison of fronts."""

    widths: tuple[float, ...]  # of hand-made generators; the widest are the teachers
    search_images: int  # pairs; hand-made generators see as many as a search and the training of a point together
    train_images: int
    points: int = 3  # of a front
    timed: int = 256  # side of the image that milliseconds are of
    search: tuple[ConfigItem, ...] = ()  # more config values of searches


@dataclass(frozen=True)
class Scale:
    """Model sizes, training lengths and number of repeats."""

    preset: str
    narrow: float  # replaces the paper's width of 32
    wide: float  # replaces the paper's width of 64
    widths: tuple[float, ...]  # figure 4
    repeats: int  # trainings per architecture
    evaluations: int  # trainings per architecture in figure 6
    num_random: int  # number of random architectures
    front: FrontScale
    search: tuple[ConfigItem, ...] = ()  # config values of searches that override the preset
    train: tuple[ConfigItem, ...] = ()  # config values of trainings that override the preset


SCALES: Mapping[str, Scale] = {
    "tiny": Scale(
        "tiny",
        narrow=4,
        wide=8,
        widths=(4, 8),
        repeats=2,
        evaluations=2,
        num_random=2,
        front=FrontScale(
            (2, 4, 8),
            100,
            100,
            points=2,
            timed=64,
            search=(("search.population", 4), ("search.generations", 2), ("data.resolution", 32)),
        ),
        search=(("data.resolution", 32), ("training.images", 200), ("nets.width", 4)),
        train=(("data.resolution", 32), ("training.images", 200)),
    ),
    "small": Scale(
        "small",
        narrow=8,
        wide=16,
        widths=(8, 12, 16, 24),
        repeats=3,
        evaluations=3,
        num_random=5,
        front=FrontScale((4, 8, 12, 16), 2000, 2000),
        train=(("training.images", 4000),),
    ),
    "paper": Scale(
        "paper",
        narrow=32,
        wide=64,
        widths=(16, 32, 48, 64, 96),
        repeats=3,
        evaluations=5,
        num_random=5,
        front=FrontScale((16, 24, 32, 64), 120_000, 120_000),
    ),
}


@dataclass(frozen=True)
class Variant:
    """One architecture at one size on one data set, trained several times."""

    name: str
    dataset: str
    jobs: tuple[RecipeJob, ...]  # its trainings
    group: str  # variants of one group share a color or a line in the figure


@dataclass(frozen=True)
class Recipe:
    """The jobs of a figure, and the reference that its numbers are divided by."""

    figure: str
    scale: str
    variants: tuple[Variant, ...]
    searches: tuple[RecipeJob, ...]
    reference: str  # variant whose mean score is 1 for each data set and direction
    size_reference: float  # width of the hand-made generator whose size is 1

    @property
    def datasets(self) -> list[str]:
        """The distinct names of the data sets."""
        return [*dict.fromkeys(variant.dataset for variant in self.variants)]

    @property
    def digest(self) -> str:
        """SHA-256 hex digest of everything that the numbers depend on."""
        return hashlib.sha256(" ".join(sorted(job.id for job in self.jobs)).encode()).hexdigest()

    @property
    def jobs(self) -> list[RecipeJob]:
        """Every distinct job, searches first."""
        return [*{job.id: job for job in (*self.searches, *(j for v in self.variants for j in v.jobs))}.values()]


def _applies(setting: str, kind: str, *, distilled: bool) -> bool:
    """Whether runs of this kind have the key; only trainings can choose their discriminator."""
    key = split_setting(setting)[0]
    if key.startswith("distillation.") and not distilled:
        return False
    ignored = (*IGNORED_KEYS[kind], *(["nets.discriminator"] if kind == "search" else []))
    return not any(key == name or key.startswith(f"{name}.") for name in ignored)


@dataclass(frozen=True)
class FigureBuilder:
    """Build the jobs of a figure for one data set at one scale."""

    dataset: Dataset
    scale: Scale
    layout: str  # the search space
    seed: int
    settings: Sequence[str]
    features: str | None
    weights: str | None
    searches: dict[str, RecipeJob] = field(default_factory=dict)  # by id

    def _job(
        self, kind: Literal["search", "train"], name: str, seed: int, *values: ConfigItem, **more: Any
    ) -> RecipeJob:
        settings = tuple(setting for setting in self.settings if _applies(setting, kind, distilled="teacher" in more))
        # every seed gets the same split into training and held-out images, otherwise scores would not be comparable
        values = (("data.split_seed", self.seed), *values)
        return RecipeJob(kind, name, self.dataset, self.scale.preset, seed, values, settings, **more)

    def search(self, strategy: str) -> str:
        """Add the search with a strategy; return the reference to the architecture that it finds."""
        values = (*self.scale.search, ("search.strategy", strategy))
        job = self._job("search", strategy.upper(), self.seed, *values)
        self.searches[job.id] = job
        return f"{JOB_PREFIX}{job.id}"

    def variant(
        self,
        name: str,
        architecture: str,
        *,
        width: float | None = None,
        match: str | None = None,
        each: bool = False,
        group: str | None = None,
        repeats: int | None = None,
        first: int = 0,  # seeds count up from the recipe's seed plus this number
    ) -> Variant:
        """Return the trainings of an architecture at a `width`, or scaled to the size that `match` names."""
        start = self.seed + first
        values = (*KEEP_LAST, *self.scale.train, *((("nets.width", width),) if width else ()))
        jobs = (
            self._job(
                "train",
                name,
                seed,
                *values,
                features=self.features,
                weights=self.weights,
                architecture=architecture,
                match=match,
                match_each=each,
            )
            for seed in range(start, start + (repeats or self.scale.repeats))
        )
        return Variant(name, self.dataset.name, tuple(jobs), group or name)

    def hand_made(self, width: float, repeats: int | None = None) -> Variant:
        """Return C at a width."""
        return self.variant(f"C{width:g}", HANDMADE, width=width, group="CycleGAN", repeats=repeats)

    def searched(self, width: float, repeats: int | None = None) -> Variant:
        """Return N, scaled to the total size of C at the given width."""
        match = f"{HANDMADE}:{width:g}"
        return self.variant(f"N{width:g}", self.search("of"), match=match, group="searched", repeats=repeats)

    def random(self, width: float) -> list[Variant]:
        """Return R: several random architectures, each trained once, at the total size of C at the given width.

        Their seeds cycle through those of the other variants: with one seed for all of them, its effect could not be
        separated from the effect of random architectures.
        """
        return [
            self.variant(
                f"R{width:g}.{number + 1}",
                f"random:{self.layout}:{number + 1}",
                match=f"{HANDMADE}:{width:g}",
                group=f"R{width:g}",
                repeats=1,
                first=number % self.scale.repeats,
            )
            for number in range(self.scale.num_random)
        ]


def _fig3(build: FigureBuilder) -> list[Variant]:
    """Section 4.1: the search strategies at one width."""
    return [build.variant(name.upper(), build.search(name), width=build.scale.wide) for name in COMPARED_STRATEGIES]


def _fig4(build: FigureBuilder) -> list[Variant]:
    """Section 4.2: hand-made and searched architectures over a range of widths."""
    architecture, widths = build.search("of"), build.scale.widths
    searched = [build.variant(f"S{width:g}", architecture, width=width, group="searched") for width in widths]
    return [*map(build.hand_made, widths), *searched]


def _fig5(build: FigureBuilder) -> list[Variant]:
    """Section 4.2: hand-made, searched and random architectures at two sizes, the same for all."""
    narrow, wide = build.scale.narrow, build.scale.wide
    pairs = [kind(width) for width in (narrow, wide) for kind in (build.hand_made, build.searched)]
    return [*pairs, *build.random(wide)]


def _fig6(build: FigureBuilder) -> list[Variant]:
    """Section 4.3: hand-made, hand-made with the asymmetry of the searched architecture, searched."""
    wide, repeats = build.scale.wide, build.scale.evaluations
    hand_made, searched = build.hand_made(wide, repeats), build.searched(wide, repeats)
    size = f"{searched.jobs[0].architecture}{SIZE_SEPARATOR}{searched.jobs[0].match}"
    scaled = build.variant(f"C'{wide:g}", HANDMADE, match=size, each=True, group="CycleGAN, scaled", repeats=repeats)
    return [hand_made, scaled, searched]


def _front(build: FigureBuilder) -> list[Variant]:
    """Fronts of milliseconds and score, one of each kind for each seed, by teachers of the same seed."""
    scale = build.scale.front
    seeds = range(build.seed, build.seed + build.scale.repeats)
    paired = find_task(build.dataset.part("trainA")) is not None
    if paired:
        find_pairs(Path(build.dataset.folder), "val")  # else test pairs would choose
    common = {"paired": paired, "features": build.features, "weights": build.weights}

    def train(name: str, group: str, images: int, jobs: Mapping[int, Mapping[str, Any]], *more: ConfigItem) -> Variant:
        values = (*KEEP_LAST, *build.scale.train, *_length(images), *more)
        if paired:
            values = (*values, ("data.load_scale", 1))
        made = (build._job("train", name, seed, *values, timed=scale.timed, **common, **jobs[seed]) for seed in seeds)
        return Variant(name, build.dataset.name, tuple(made), group)

    def hand_made(
        letter: str, group: str, width: float, jobs: Mapping[int, Mapping[str, Any]], architecture: str = HANDMADE
    ) -> Variant:
        images = scale.search_images + scale.train_images
        jobs = {seed: {"architecture": architecture, **jobs.get(seed, {})} for seed in seeds}
        return train(f"{letter}{width:g}", group, images, jobs, ("nets.width", width))

    alone = [hand_made("C", ALONE, width, {}) for width in scale.widths]
    teachers = {
        seed: {"teacher": f"{JOB_PREFIX}{teacher.id}"} for seed, teacher in zip(seeds, alone[-1].jobs, strict=True)
    }
    distilled = [hand_made("D", DISTILLED, width, teachers) for width in scale.widths[:-1]]
    shallow = [hand_made("T", SHALLOW_DISTILLED, width, teachers, SHALLOW) for width in scale.widths]
    bare = [hand_made("Z", BARE_DISTILLED, width, teachers, BARE) for width in scale.widths]
    values: list[ConfigItem] = [("nets.layout", "elastic"), ("search.strategy", "sampled")]
    values += [("nets.width", scale.widths[-1]), ("search.points", scale.points)]
    values += [("search.latency_resolution", scale.timed), *_length(scale.search_images)]
    values += [("training.batch", 1), ("training.decay", 0.5), *scale.search]  # as trainings
    values += [("data.load_scale", 1)] if paired else []
    found = {}
    for seed in seeds:
        job = build._job("search", "front", seed, *values, **common, **teachers[seed])
        build.searches[job.id] = job
        found[seed] = {"architecture": f"{JOB_PREFIX}{job.id}", **teachers[seed]}
    points = range(scale.points)
    searched = [
        train(f"S{point}", SEARCHED, scale.train_images, {seed: {**found[seed], "point": point} for seed in seeds})
        for point in points
    ]
    drawn = [
        train(
            f"R{point}",
            DRAWN,
            scale.train_images,
            {seed: {**found[seed], "point": point, "drawn": seed} for seed in seeds},
        )
        for point in points
    ]
    return [*alone, *distilled, *shallow, *bare, *searched, *drawn]


def _length(images: int) -> tuple[ConfigItem, ...]:
    """Train on so many images, and score once: a front compares what comes out at the end."""
    return ("training.images", images), ("training.evaluate_every", images)


class Figure(NamedTuple):
    """How to build the variants that a figure compares, and the data sets that it has in the paper."""

    build: Callable[[FigureBuilder], list[Variant]]
    datasets: Sequence[str]


ALL_DATASETS = ("facades", "maps", "apple2orange", "horse2zebra", "summer2winter", "iphone2dslr")
FIGURES: Mapping[str, Figure] = {
    "fig3": Figure(_fig3, ("facades", "horse2zebra", "iphone2dslr")),
    "fig4": Figure(_fig4, ALL_DATASETS),
    "fig5": Figure(_fig5, ALL_DATASETS),
    "fig6": Figure(_fig6, ("horse2zebra", "iphone2dslr")),
    FRONT: Figure(_front, ("horse2zebra",)),
}


def layout_of(preset: str) -> str:
    """Return the name of the layout (search space) that a preset searches."""
    return make_config("search", preset=preset, flags={"data.a": "trainA", "data.b": "trainB"}).nets.layout


def recipe(
    figure: str,
    scale: str,
    datasets: Sequence[Dataset],
    *,
    features: str | None = None,  # specification of the feature network of the scores
    weights: str | None = None,  # digest of its weights
    seed: int = 0,
    settings: Sequence[str] = (),  # of --set; each goes to the searches and trainings that have its key
) -> Recipe:
    """Return the searches and trainings of a figure on the given data sets.

    Raises `ConfigError` for an unknown figure or scale, for two data sets of one name, and for a --set of a key that
    the figure controls. Raises `DataError` if a strategy halves a domain that is too small for it.
    """
    if figure not in FIGURES:
        raise ConfigError(f"unknown figure {figure!r}: choose one of {', '.join(FIGURES)}")
    if scale not in SCALES:
        raise ConfigError(f"unknown scale {scale!r}: choose one of {', '.join(SCALES)}")
    for setting in settings:
        key = split_setting(setting)[0]
        reserved = (*RESERVED_KEYS, *(FRONT_KEYS if figure == FRONT else ()))
        if key in reserved or key.split(".")[0] in reserved:
            raise ConfigError(f"--set {key}: {figure} controls this key, leave it out")
    names = [dataset.name for dataset in datasets]
    if duplicate := next((name for name in names if names.count(name) > 1), None):
        raise ConfigError(f"two data sets are called {duplicate!r}: rename a folder, the tables list them by name")
    chosen = SCALES[scale]
    layout = layout_of(chosen.preset)
    variants: list[Variant] = []
    searches: list[RecipeJob] = []
    for dataset in datasets:
        builder = FigureBuilder(dataset, chosen, layout, seed, settings, features, weights)
        variants += FIGURES[figure].build(builder)
        searches += builder.searches.values()
    wide = f"{chosen.wide:g}"
    references = {"fig3": "OF", "fig4": f"C{wide}", "fig5": f"C{chosen.narrow:g}", "fig6": f"C{wide}"}
    reference = references.get(figure, f"C{chosen.front.widths[-1]:g}")
    size_reference = {"fig5": chosen.narrow, FRONT: chosen.front.widths[-1]}.get(figure, chosen.wide)
    made = Recipe(figure, scale, tuple(variants), tuple(searches), reference, size_reference)
    for job in made.jobs:  # report invalid settings before any job starts
        config = job_config(job)
        for name in (config.nets.layout if job.kind == "search" else HANDMADE, HANDMADE):
            find_layout(name).check_resolution(config.data.resolution)
        if find_strategy(config).halved:  # else it would fail after other searches ran
            for part, count in zip(("trainA", "trainB"), job.dataset.training_counts(config.data), strict=True):
                check_halves(count, f"{job.dataset.name}: {part}", f"strategy {job.name}", "add images")
    return made
