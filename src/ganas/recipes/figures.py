"""Figures 3 to 6 of CycleGANAS as lists of searches and trainings. No torch here.

Widths stand for the paper's: at a smaller scale 32 and 64 become narrower ones, and names say which (C16, N16). C is
the hand-made CycleGAN, N what the one-step search found, R an architecture drawn by lot from the same space; N and R
are as large in total as the C of the same number, and each generator of C' is as large as N's.

- fig3   section 4.1: what the four strategies find, at one width
- fig4   section 4.2: hand-made and searched over a range of widths
- fig5   section 4.2: hand-made, searched and random at two equal sizes
- fig6   section 4.3: hand-made, hand-made with the searched one's asymmetry, searched
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ganas.cyclegan.layout import find_layout
from ganas.cyclegan.presets import FOREIGN, make_config
from ganas.data.sources import check_halves
from ganas.errors import ConfigError
from ganas.recipes.configs import config_of
from ganas.recipes.jobs import AS_LARGE_AS, OF_JOB, Dataset, Job
from ganas.settings import split_setting

# All are compared after as many images: the best by a few held-out ones is nearly drawn by lot.
LAST = (("metrics.select", "last"),)
STRATEGIES = ("of", "tf", "th", "ths")
HALVED = ("th", "ths")  # those that learn alphas and weights from a half of each domain
HANDMADE = "resnet9"
# What figures set themselves, or what has an option of its own.
OWN = (
    *("data.a", "data.b", "data.test_a", "data.test_b", "nets.layout", "nets.width", "nets.width_ab", "nets.width_ba"),
    *("search.strategy", "search.budget", "search.budget_ab", "search.budget_ba", "seed", "kind", "architecture"),
    *("data.split_seed", "metrics.features", "metrics.split", "training.threads", "training.inherit"),
)


@dataclass(frozen=True)
class Scale:
    """How large, how long and how often."""

    preset: str
    narrow: float  # stands for the paper's width of 32
    wide: float  # for 64
    widths: tuple[float, ...]  # of figure 4
    repeats: int  # trainings of an architecture
    evaluations: int  # trainings of an architecture in figure 6
    lots: int  # architectures drawn by lot
    search: tuple[tuple[str, object], ...] = ()  # values beside the preset's
    train: tuple[tuple[str, object], ...] = ()


SCALES: Mapping[str, Scale] = {
    "tiny": Scale(
        "tiny",
        narrow=4,
        wide=8,
        widths=(4, 8),
        repeats=2,
        evaluations=2,
        lots=2,
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
        lots=5,
        train=(("training.images", 4000),),
    ),
    "paper": Scale("paper", narrow=32, wide=64, widths=(16, 32, 48, 64, 96), repeats=3, evaluations=5, lots=5),
}


@dataclass(frozen=True)
class Network:
    """What scores are computed with, as the command names it, and what tells its weights."""

    features: str | None
    digest: str | None


NO_NETWORK = Network(None, None)


@dataclass(frozen=True)
class Variant:
    """One architecture at one size on one data set, trained several times."""

    name: str
    dataset: str
    jobs: tuple[Job, ...]  # its trainings
    group: str  # what is drawn in one colour, or as one line


@dataclass(frozen=True)
class Recipe:
    """What a figure needs, and what its numbers are divided by."""

    figure: str
    scale: str
    variants: tuple[Variant, ...]
    searches: tuple[Job, ...]
    reference: str  # variant whose mean score, of a data set and direction, is 1
    size_reference: float  # width of the hand-made generator whose size is 1

    @property
    def datasets(self) -> list[str]:
        """Names, each once."""
        return [*dict.fromkeys(variant.dataset for variant in self.variants)]

    @property
    def digest(self) -> str:
        """Of everything that its numbers depend on."""
        return hashlib.sha256(" ".join(sorted(job.id for job in self.jobs)).encode()).hexdigest()

    @property
    def jobs(self) -> list[Job]:
        """Every job once, searches first."""
        return [*{job.id: job for job in (*self.searches, *(j for v in self.variants for j in v.jobs))}.values()]


def _concerns(setting: str, kind: str) -> bool:
    """Whether a run of this kind has the key; patchgan is an option of trainings alone."""
    key = split_setting(setting)[0]
    foreign = (*FOREIGN[kind], *(["nets.discriminator"] if kind == "search" else []))
    return not any(key == name or key.startswith(f"{name}.") for name in foreign)


class Kitchen:
    """Makes the jobs of one data set at one scale."""

    def __init__(self, dataset: Dataset, scale: Scale, network: Network, seed: int, settings: Sequence[str]) -> None:
        self._dataset, self._scale, self._network, self._seed = dataset, scale, network, seed
        # images learned from and those held out are the same for all seeds, or scores could not be put side by side
        self._split = (("data.split_seed", seed),)
        self._settings = {kind: tuple(s for s in settings if _concerns(s, kind)) for kind in ("search", "train")}
        self.searches: dict[str, Job] = {}

    def search(self, strategy: str) -> Job:
        """One search by a strategy."""
        values = (*self._split, *self._scale.search, ("search.strategy", strategy))
        settings = self._settings["search"]
        job = Job("search", strategy.upper(), self._dataset, self._scale.preset, self._seed, values, settings)
        return self.searches.setdefault(job.id, job)

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
        first: int = 0,
    ) -> Variant:
        """An architecture at a width, or at a size; its seeds count up from the `first` after the recipe's."""
        own = (("nets.width", width),) if match is None and width else ()
        values = (*self._split, *LAST, *self._scale.train, *own)
        jobs = (
            Job(
                "train",
                name,
                self._dataset,
                self._scale.preset,
                self._seed + first + number,
                values,
                settings=self._settings["train"],
                features=self._network.features,
                weights=self._network.digest,
                architecture=architecture,
                match=match,
                match_each=each,
            )
            for number in range(repeats or self._scale.repeats)
        )
        return Variant(name, self._dataset.name, tuple(jobs), group or name)

    def hand_made(self, width: float, repeats: int | None = None) -> Variant:
        """C at a width."""
        return self.variant(f"C{width:g}", HANDMADE, width=width, group="CycleGAN", repeats=repeats)

    def searched(self, width: float, repeats: int | None = None) -> Variant:
        """N, as large in total as C of the same number."""
        of = _of(self.search("of"))
        return self.variant(f"N{width:g}", of, match=f"{HANDMADE}:{width:g}", group="searched", repeats=repeats)

    def random(self, width: float, layout: str) -> list[Variant]:
        """R, as large as C of the same number: several architectures, each trained once, over the seeds of the others.

        With one seed for all, what is special about that seed would look like something about random architectures.
        """
        return [
            self.variant(
                f"R{width:g}.{number + 1}",
                f"random:{layout}:{number + 1}",
                match=f"{HANDMADE}:{width:g}",
                group=f"R{width:g}",
                repeats=1,
                first=number % self._scale.repeats,
            )
            for number in range(self._scale.lots)
        ]


def _of(job: Job) -> str:
    return f"{OF_JOB}{job.id}"


def _fig3(kitchen: Kitchen, scale: Scale, layout: str) -> list[Variant]:
    return [
        kitchen.variant(name.upper(), _of(kitchen.search(name)), width=scale.wide, group=name.upper())
        for name in STRATEGIES
    ]


def _fig4(kitchen: Kitchen, scale: Scale, layout: str) -> list[Variant]:
    of = _of(kitchen.search("of"))
    hand_made = [kitchen.hand_made(width) for width in scale.widths]
    return [*hand_made, *(kitchen.variant(f"S{w:g}", of, width=w, group="searched") for w in scale.widths)]


def _fig5(kitchen: Kitchen, scale: Scale, layout: str) -> list[Variant]:
    pairs = [kind(width) for width in (scale.narrow, scale.wide) for kind in (kitchen.hand_made, kitchen.searched)]
    return [*pairs, *kitchen.random(scale.wide, layout)]


def _fig6(kitchen: Kitchen, scale: Scale, layout: str) -> list[Variant]:
    wide, often = scale.wide, scale.evaluations
    hand_made, searched = kitchen.hand_made(wide, often), kitchen.searched(wide, often)
    size = f"{searched.jobs[0].architecture}{AS_LARGE_AS}{searched.jobs[0].match}"
    scaled = kitchen.variant(f"C'{wide:g}", HANDMADE, match=size, each=True, group="CycleGAN, scaled", repeats=often)
    return [hand_made, scaled, searched]


FIGURES: Mapping[str, Callable[[Kitchen, Scale, str], list[Variant]]] = {
    "fig3": _fig3,
    "fig4": _fig4,
    "fig5": _fig5,
    "fig6": _fig6,
}


PAPER_DATASETS: Mapping[str, Sequence[str]] = {
    "fig3": ("facades", "horse2zebra", "iphone2dslr"),
    "fig4": ("facades", "maps", "apple2orange", "horse2zebra", "summer2winter", "iphone2dslr"),
    "fig5": ("facades", "maps", "apple2orange", "horse2zebra", "summer2winter", "iphone2dslr"),
    "fig6": ("horse2zebra", "iphone2dslr"),
}


def layout_of(preset: str) -> str:
    """The search space of a preset's searches, by name."""
    return make_config("search", preset=preset, flags={"data.a": "trainA", "data.b": "trainB"}).nets.layout


def recipe(
    figure: str,
    scale: str,
    datasets: Sequence[Dataset],
    *,
    network: Network = NO_NETWORK,
    seed: int = 0,
    settings: Sequence[str] = (),  # of --set, for searches and trainings as far as they have the key
) -> Recipe:
    """Everything that a figure needs.

    Raises `ConfigError` for an unknown figure or scale, or a --set that is not the user's: what a figure compares is
    set by the figure; `DataError` for a domain that is too small to be halved where a strategy does so.
    """
    if figure not in FIGURES:
        raise ConfigError(f"unknown figure {figure!r}: choose one of {', '.join(FIGURES)}")
    if scale not in SCALES:
        raise ConfigError(f"unknown scale {scale!r}: choose one of {', '.join(SCALES)}")
    for setting in settings:
        key = split_setting(setting)[0]
        if key in OWN or key.split(".")[0] in OWN:
            raise ConfigError(f"--set {key}: {figure} sets it itself, leave it out")
    names = [dataset.name for dataset in datasets]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ConfigError(f"two data sets are called {twice!r}: rename a folder, tables tell them apart by its name")
    chosen = SCALES[scale]
    layout = layout_of(chosen.preset)
    variants: list[Variant] = []
    searches: list[Job] = []
    for dataset in datasets:
        kitchen = Kitchen(dataset, chosen, network, seed, settings)
        variants += FIGURES[figure](kitchen, chosen, layout)
        searches += kitchen.searches.values()
    wide = f"{chosen.wide:g}"
    reference = {"fig3": "OF", "fig4": f"C{wide}", "fig5": f"C{chosen.narrow:g}", "fig6": f"C{wide}"}[figure]
    size_reference = chosen.narrow if figure == "fig5" else chosen.wide
    made = Recipe(figure, scale, tuple(variants), tuple(searches), reference, size_reference)
    for job in made.jobs:  # what is wrong in a --set is said before anything begins
        config = config_of(job)
        for name in (layout, HANDMADE):
            find_layout(name).check_resolution(config.data.resolution)
        if config.search and config.search.strategy in HALVED:  # or it would stop what follows the first searches
            for part, count in (("trainA", job.dataset.count_a), ("trainB", job.dataset.count_b)):
                place = f"{job.dataset.name}: {part}"
                check_halves(count - config.data.held_out(count), place, f"strategy {job.name}", "add images")
    return made
