"""Differentiable search of the architectures of a CycleGAN (CycleGANAS section 3.3)."""

from dataclasses import dataclass, replace
from functools import partial
from statistics import pstdev
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from ganas.cyclegan.architecture import Architecture
from ganas.cyclegan.budget import open_budget
from ganas.cyclegan.build import Network
from ganas.cyclegan.config import RunConfig
from ganas.cyclegan.derive import Agreement, agreement, deviations, read_choices, records, summarize
from ganas.cyclegan.distillation import Distillation, open_distillation, with_teacher
from ganas.cyclegan.domains import Domains, open_domains
from ganas.cyclegan.front import Front, read_front
from ganas.cyclegan.front_search import check_limits, find_front, open_evolution
from ganas.cyclegan.layout import GENERATORS, ElasticLayout, Layout, find_layout
from ganas.cyclegan.model import CycleGAN
from ganas.cyclegan.networks import open_gan
from ganas.cyclegan.projection import output_shares
from ganas.cyclegan.repeats import repeated
from ganas.cyclegan.steps import no_penalty
from ganas.cyclegan.strategies import STRATEGIES, find_derivation, find_strategy
from ganas.cyclegan.supernets import Supernets
from ganas.cyclegan.trainer import describe_stretched_schedules, log_run_facts, open_trainer
from ganas.cyclegan.translate import Translator
from ganas.cyclegan.validation import Validation, open_validation
from ganas.data.loaders import center_crops, to_images, to_network
from ganas.data.sources import check_halves
from ganas.errors import ConfigError, Stopped, counted
from ganas.learning.loop import Event
from ganas.learning.trackers import check_trackers
from ganas.learning.trainer import Trainer
from ganas.metrics.cache import Cache
from ganas.metrics.measurement import metric_of
from ganas.paths import StrPath
from ganas.pictures import png, tile
from ganas.progress import Reporter
from ganas.resuming import claim, keep_choices
from ganas.signals import StopSignal
from ganas.store import Run, default_cache, write_atomically

PROJECTION_IMAGES = 16  # of each domain, to judge projections on
FRONT_IMAGES = 32  # of each domain, to score subnetworks on
PICTURED = 6  # of these, shown for each point of a front


@dataclass(frozen=True)
class SearchResult:
    """The result of a search."""

    architecture: Architecture
    decided: int  # slots whose leading op weighs at least twice the second
    slots: int
    median_entropy: float  # over the slots; 1 at the start, 0 when decided
    images: int  # pairs seen
    spent: tuple[str, ...] = ()  # human-readable lines on the budget and how much of it the generators use
    agreement: Agreement | None = None  # of repeats
    front: Front | None = None  # of strategy sampled; the architecture is that of its last point

    @property
    def verdict(self) -> str:
        """One line on whether to trust the architecture: only agreement between seeds says that."""
        if self.front:
            first, last = self.front.points[0].limit, self.front.points[-1].limit
            return f"a front of {counted(len(self.front.points), 'point')}, from {first:.1f} to {last:.1f} ms an image"
        if self.agreement:
            return str(self.agreement)
        return (
            f"in {self.decided} of {self.slots} slots the leading op weighs at least twice the second, median entropy "
            f"{self.median_entropy:.2f}; --repeats 3 tells whether other seeds find the same"
        )


def search(config: RunConfig, out: StrPath, *, repeats: int = 1) -> SearchResult:
    """Search the architectures of a CycleGAN. Calling it again resumes the run, or returns a finished run's result.

    repeats   number of searches, with seeds that count up, each in ``out/repeats/SEED``; the result is the architecture
              that agrees most with the others

    Raises `UserError` for anything the user can fix, `Stopped` when interrupted, `NonFiniteError`.
    """
    if repeats > 1:
        return _search_repeats(config, out, repeats)
    layout = find_layout(config.nets.layout)
    run = Run(out)
    config, domains, validation = open_search(config, run)
    with run.lock(), StopSignal().listening() as stop:
        reporter = Reporter(run.log)
        for line in claim(run, config, describe_stretched_schedules):
            reporter.say(line)
        if note := find_strategy(config).note:
            reporter.note([note])
        sandwich = find_strategy(config).sandwich
        budget = None if sandwich else open_budget(run, config, layout)
        penalty = budget.terms if budget else no_penalty
        with stop.interruptible():
            gan = open_gan(config, layout, None)
            distillation = open_distillation(gan, None, config)

        shown = [images.to(config.training.device) for images in _projection_images(config, domains, 1)]

        def log() -> dict[str, Any]:
            if sandwich:
                return {}
            choices = read_choices(layout, gan.alphas())
            return {"search": summarize(choices), "slots": records(choices, shares=output_shares(gan, *shown))}

        def log_text() -> str:
            if sandwich:
                return ""
            return "; {decided} of {slots} slots decided, median entropy {median_entropy:.3f}".format(
                **summarize(read_choices(layout, gan.alphas()))
            )

        trainer = open_trainer(
            run, config, gan, domains, reporter, stop, penalty, log, log_text, distillation=distillation
        )
        trainer.resume()
        # scores of the supernets are only recorded
        evaluate = Event("evaluate", config.training.evaluate_every, partial(validation.record, trainer))
        events = [evaluate] if validation.ready(reporter) else []
        log_run_facts(trainer, config, domains)
        trainer.train("search", events)
        if sandwich:
            scorer = validation if validation.enough else None
            with stop.interruptible():
                return _write_front(run, config, gan, domains, distillation, scorer, trainer)
        supernets = Supernets(config, layout, gan, budget, lambda: _projection_images(config, domains))
        with stop.interruptible():
            architecture = find_derivation(config)(supernets)
        run.write_text(run.architecture, architecture.to_json())
        weights = gan.state_dict() | supernets.projected_weights(architecture)
        write_atomically(run.supernet, save({name: tensor.contiguous() for name, tensor in weights.items()}))
        return _write_result(run, supernets, architecture, trainer.loop.nimg)


def _write_front(
    run: Run,
    config: RunConfig,
    gan: CycleGAN,
    domains: Domains,
    distillation: Distillation | None,
    validation: Validation | None,  # None: too few images for scores
    trainer: Trainer,
) -> SearchResult:
    """Find the front of elastic supernets, or read it: milliseconds are measured once."""
    images, reporter = trainer.loop.nimg, trainer.reporter
    if not run.front.is_file() or read_front(run).images != images:  # a longer run has other supernets
        a, b = (part.to(config.training.device) for part in _projection_images(config, domains, FRONT_IMAGES))
        kept = open_evolution(run, images)
        teachers = distillation.translators() if distillation else None
        judge = partial(_judge, config, validation) if validation else None
        try:
            front = find_front(gan, a, b, config, kept, teachers=teachers, judge=judge, reporter=reporter)
        except Stopped as stopped:
            raise Stopped(f"{stopped} while the front evolved: the same command goes on") from None
        if metric := front.points[-1].generator_ab.metric:
            assert validation
            front = replace(front, split=validation.split_of(metric_of(metric)))
        _write_pictures(run, front, gan, a[:PICTURED], b[:PICTURED])
        run.write_text(run.front, front.to_json())
    front = read_front(run)
    architecture = front.points[-1].architecture
    run.write_text(run.architecture, architecture.to_json())
    write_atomically(run.supernet, save({name: tensor.contiguous() for name, tensor in gan.state_dict().items()}))
    result = SearchResult(architecture, 0, 0, 0.0, images, tuple(front.lines()), front=front)
    document = {"architecture": architecture.id, "verdict": result.verdict, "images": images}
    run.write_result(document | {"points": len(front.points)})
    return result


@torch.no_grad()
def _write_pictures(run: Run, front: Front, gan: CycleGAN, a: Tensor, b: Tensor) -> None:
    """Write what each point translates, of images [n, 3, h, w]."""
    for number, point in enumerate(front.points):
        ab, ba = (gan.network(name).cut_out(getattr(point, name).ops) for name in GENERATORS)
        rows = tuple(to_images(images.float().cpu()) for images in (a, ab(a), b, ba(b)))
        write_atomically(run.front_picture(number), png(tile(rows)))


def _judge(config: RunConfig, validation: Validation, name: str, network: Network) -> tuple[str, float, float | None]:
    """Score a generator on the images that are held out: key, score, standard error over images if it is known."""
    training, multiple = config.training, find_layout(config.nets.layout).generator_multiple
    translator = Translator(network, multiple, device=training.device, bf16=training.precision == "bf16")
    measured = validation.measure(name.removeprefix("generator_"), translator)
    with_features = config.metrics.features is not None
    paired, unpaired = ("perceptual", "kid") if with_features else ("psnr", "swd")
    scores = {metric_of(key): (key, score) for key, score in measured.scores.items()}
    key, score = scores[paired if paired in scores else unpaired]
    values = measured.per_image.get(key)
    error = pstdev(values) / len(values) ** 0.5 if values else scores.get(f"{unpaired}_stderr", (key, None))[1]
    return key, score, error


def _projection_images(config: RunConfig, domains: Domains, count: int = PROJECTION_IMAGES) -> tuple[Tensor, Tensor]:
    """Return the first held-out images of both domains, or of all if there are too few: float [n, 3, r, r]."""
    pairs = (domains.held_out_a, domains.a), (domains.held_out_b, domains.b)
    count = min(count, *(max(map(len, pair)) for pair in pairs))
    sources = [held_out if len(held_out) >= count else training for held_out, training in pairs]
    a, b = (to_network(center_crops(one.subset(range(count)), config.data.resolution)) for one in sources)
    return a, b


def _search_repeats(config: RunConfig, out: StrPath, repeats: int) -> SearchResult:
    if find_strategy(config).sandwich:
        raise ConfigError("--repeats tells whether seeds find the same architecture: it is not for fronts")
    with repeated(config, out, repeats, search) as (parent, runs, results):
        found = [*results.values()]
        how_far, typical = agreement([one.architecture for one in found])
        result = replace(found[typical], agreement=how_far)
        parent.write_text(parent.architecture, result.architecture.to_json())
        document = {"architecture": result.architecture.id, "seed": [*runs][typical], "repeats": repeats}
        parent.write_result(document | {"images": result.images, "verdict": result.verdict} | vars(how_far))
        return result


def _write_result(run: Run, supernets: Supernets, architecture: Architecture, images: int) -> SearchResult:
    layout, limits = supernets.layout, supernets.limits
    choices = read_choices(layout, supernets.gan.alphas())
    summary = summarize(choices)
    document: dict[str, Any] = {"architecture": architecture.id}
    spent: list[str] = []
    if limits:
        overruled = deviations(choices, architecture)
        slots = sum(len(layout.network(name).searched) for limit in limits for name in limit.limits)
        spent = [line for limit in limits for line in limit.describe(layout, architecture)]
        spent.append(f"in {len(overruled)} of their {slots} slots the leading op was overruled")
        document["budget"] = {k: v for limit in limits for k, v in limit.utilization(layout, architecture).items()}
        document["budget_width"] = {name: limit.widths[name] for limit in limits for name in limit.limits}
        document["overruled"] = overruled
    decided, entropy = summary["decided"], summary["median_entropy"]
    result = SearchResult(architecture, decided, len(choices), entropy, images, tuple(spent))
    losses = {"losses": supernets.losses} if supernets.projects else {}
    document |= {"verdict": result.verdict, "images": images} | summary
    run.write_result(document | {"choices": records(choices, **losses)})
    return result


def _check_strategy(config: RunConfig, layout: Layout) -> None:
    """Raise `ConfigError` unless the strategy trains subnetworks where the layout has them, or mixtures elsewhere."""
    elastic, sandwich = isinstance(layout.generator, ElasticLayout), find_strategy(config).sandwich
    training = config.training
    if sandwich and (training.checkpointing or training.compile):
        name = "checkpointing" if training.checkpointing else "compile"
        raise ConfigError(f"training.{name} is not for subnetworks: leave it out with --strategy sampled")
    if config.distillation.teacher and not sandwich:
        raise ConfigError("--teacher is for subnetworks: leave it out, or search with --strategy sampled")
    if elastic == sandwich:
        return
    names = [name for name, strategy in STRATEGIES.items() if strategy.sandwich == elastic]
    raise ConfigError(
        f"layout {layout.name!r} is searched with --strategy {' or '.join(names)}"
        + ("" if elastic else ", and --layout elastic with --strategy sampled")
    )


def open_search(config: RunConfig, run: Run) -> tuple[RunConfig, Domains, Validation]:
    """Resolve the config and open the data. Every user error is raised here, before the run's folder is created."""
    check_trackers(config.training.trackers)
    layout = find_layout(config.nets.layout)
    if config.kind != "search" or config.search is None:
        raise ConfigError(f"a config of kind {config.kind!r} cannot be searched with: use make_config('search', ...)")
    config = with_teacher(keep_choices(run, config))
    assert config.search
    _check_strategy(config, layout)
    domains = open_domains(config, layout)
    if find_strategy(config).halved:
        whole = " or ".join(name for name, strategy in STRATEGIES.items() if not strategy.halved)
        way_out = f"add images, or search with --strategy {whole}"
        for name, source in (("A", domains.a), ("B", domains.b)):
            check_halves(len(source), name, f"--strategy {config.search.strategy}", way_out)
    if find_strategy(config).sandwich:
        if not run.has_progress:  # else a busy machine could refuse what it began
            check_limits(config)
    elif config.search.budget != "ms":  # the latencies are not measured yet
        open_budget(run, config, layout)
    config, validation = open_validation(config, domains, Cache(default_cache()))
    return config, domains, validation
