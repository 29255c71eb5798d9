"""Differentiable search of the architectures of a CycleGAN (CycleGANAS section 3.3)."""

from dataclasses import dataclass
from functools import partial
from typing import Any

from safetensors.torch import save

from ganas.cyclegan.architecture import Architecture
from ganas.cyclegan.budget import Budget, open_budget
from ganas.cyclegan.config import RunConfig
from ganas.cyclegan.derive import budget_deviations, read_choices, records, summarize
from ganas.cyclegan.domains import Domains, open_domains
from ganas.cyclegan.layout import Layout, find_layout
from ganas.cyclegan.model import CycleGAN
from ganas.cyclegan.networks import open_gan
from ganas.cyclegan.steps import no_penalty
from ganas.cyclegan.strategies import STRATEGIES, find_strategy
from ganas.cyclegan.trainer import describe_stretched_schedules, log_run_facts, open_trainer
from ganas.cyclegan.validation import Validation, open_validation
from ganas.data.sources import check_halves
from ganas.errors import ConfigError
from ganas.learning.loop import Event
from ganas.learning.trackers import check_trackers
from ganas.metrics.cache import Cache
from ganas.paths import StrPath
from ganas.progress import Reporter
from ganas.resuming import claim, keep_choices
from ganas.signals import StopSignal
from ganas.store import Run, default_cache, write_atomically


@dataclass(frozen=True)
class SearchResult:
    """The result of a search."""

    architecture: Architecture
    converged: int  # slots whose leading op weighs at least twice the second
    slots: int
    median_entropy: float  # over the slots; 1 at the start, 0 when decided
    images: int  # pairs seen
    spent: tuple[str, ...] = ()  # human-readable lines on the budget and how much of it the generators use

    @property
    def verdict(self) -> str:
        """One line on whether to trust the architecture: yes if at least half of the slots have converged."""
        state = "converged" if 2 * self.converged >= self.slots else "not converged"
        advice = "" if state == "converged" else "; a longer search, or a higher search.alpha_lr, may help"
        return (
            f"{state}: in {self.converged} of {self.slots} slots the leading op weighs at least twice the second, "
            f"median entropy {self.median_entropy:.2f}{advice}"
        )


def search(config: RunConfig, out: StrPath) -> SearchResult:
    """Search the architectures of a CycleGAN. Calling it again resumes the run, or returns a finished run's result.

    Raises `UserError` for anything the user can fix, `Stopped` when interrupted, `NonFiniteError`.
    """
    layout = find_layout(config.nets.layout)
    run = Run(out)
    config, domains, validation = open_search(config, run)
    with run.lock(), StopSignal().listening() as stop:
        reporter = Reporter(run.log)
        for line in claim(run, config, describe_stretched_schedules):
            reporter.say(line)
        budget = open_budget(run, config, layout)
        penalty = budget.terms if budget else no_penalty
        with stop.interruptible():
            gan = open_gan(config, layout, None)

        def log() -> dict[str, Any]:
            choices = read_choices(layout, gan.alphas())
            return {"search": summarize(choices), "slots": records(choices)}

        def log_text() -> str:
            return "; {converged} of {slots} slots converged, median entropy {median_entropy:.3f}".format(
                **log()["search"]
            )

        trainer = open_trainer(run, config, gan, domains, reporter, stop, penalty, log_extras=log, log_text=log_text)
        trainer.resume()
        # scores of the supernets are only recorded
        evaluate = Event("evaluate", config.training.evaluate_every, partial(validation.record, trainer))
        events = [evaluate] if validation.ready(reporter) else []
        log_run_facts(trainer, config, domains)
        trainer.train("search", events)
        architecture = find_strategy(config).derive(config, layout, gan.alphas(), budget)
        run.write_text(run.architecture, architecture.to_json())
        write_atomically(run.supernet, save({k: v.contiguous() for k, v in gan.state_dict().items()}))
        return _write_result(run, layout, gan, architecture, budget, trainer.loop.nimg)


def _write_result(
    run: Run, layout: Layout, gan: CycleGAN, architecture: Architecture, budget: Budget | None, images: int
) -> SearchResult:
    choices = read_choices(layout, gan.alphas())
    summary = summarize(choices)
    document: dict[str, Any] = {"architecture": architecture.id}
    spent: list[str] = []
    if budget:
        overruled = budget_deviations(choices, architecture)
        slots = 2 * len(layout.generator.searched)
        spent = budget.describe(layout, architecture)
        spent.append(f"in {len(overruled)} of the generators' {slots} slots it overruled the leading op")
        document["budget"] = budget.utilization(layout, architecture)
        document |= {"budget_width": dict(budget.widths), "overruled": overruled}
    converged, entropy = summary["converged"], summary["median_entropy"]
    result = SearchResult(architecture, converged, len(choices), entropy, images, tuple(spent))
    run.write_result(document | {"verdict": result.verdict, "images": images} | summary | {"choices": records(choices)})
    return result


def open_search(config: RunConfig, run: Run) -> tuple[RunConfig, Domains, Validation]:
    """Resolve the config and open the data. Every user error is raised here, before the run's folder is created."""
    check_trackers(config.training.trackers)
    layout = find_layout(config.nets.layout)
    if config.kind != "search" or config.search is None:
        raise ConfigError(f"a config of kind {config.kind!r} cannot be searched with: use make_config('search', ...)")
    config = keep_choices(run, config)
    assert config.search
    domains = open_domains(config, layout)
    if find_strategy(config).halved:
        whole = " or ".join(name for name, strategy in STRATEGIES.items() if not strategy.halved)
        way_out = f"add images, or search with --strategy {whole}"
        for name, source in (("A", domains.a), ("B", domains.b)):
            check_halves(len(source), name, f"--strategy {config.search.strategy}", way_out)
    if config.search.budget != "ms":  # the latencies are not measured yet
        open_budget(run, config, layout)
    config, validation = open_validation(config, domains, Cache(default_cache()))
    return config, domains, validation
