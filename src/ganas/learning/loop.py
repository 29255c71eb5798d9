"""The training loop: for each batch, the loss and optimizer step of each phase; then the events that are due.

All randomness in a step comes from a generator seeded by (seed, images seen), so a resumed run equals an uninterrupted
one, and no random state has to be saved.
"""

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn.utils import parametrize

from ganas.config import LearningConfig
from ganas.errors import NonFiniteError
from ganas.learning.ema import EMA
from ganas.learning.meters import AverageMeters
from ganas.learning.phases import GAN, Phase, Terms
from ganas.learning.schedules import learning_rate_factor
from ganas.progress import Bar
from ganas.signals import StopSignal


class LoopConfig(Protocol):
    """The part of a run's config that a loop reads."""

    @property
    def seed(self) -> int: ...

    @property
    def training(self) -> LearningConfig: ...

    @property
    def total_images(self) -> int: ...

    @property
    def device(self) -> str: ...


@dataclass(frozen=True)
class Event:
    """An action after every `every` images, and at the end."""

    name: str
    every: int  # images
    act: Callable[[int], object]  # called with the images seen

    def due(self, nimg: int, batch: int, total: int) -> bool:
        """Whether the step that ended at `nimg` images crossed a multiple of `every`, or was the last."""
        return nimg > 0 and (nimg // self.every > (nimg - batch) // self.every or nimg >= total)


class Loop:
    """Training steps and events; time is `nimg`, the images seen.

    draw      samples the ops of networks before a phase uses them
    prepare   sets what depends on the images seen; called before each step and before events
    """

    def __init__(
        self,
        gan: GAN,
        phases: Sequence[Phase],
        ema: EMA | None,
        config: LoopConfig,
        *,
        draw: Callable[[Sequence[str], int, torch.Generator], None] = lambda names, nimg, generator: None,
        prepare: Callable[[int], None] = lambda nimg: None,
    ) -> None:
        self.gan, self.phases, self.ema, self.config = gan, phases, ema, config
        self.draw, self.prepare = draw, prepare
        self.nimg = 0
        self.meters = AverageMeters()
        self.done: dict[str, int] = {}  # event -> images seen when it last ran: a resume does not repeat it
        self.step_seconds = self.wait_seconds = 0.0  # spent in steps, and waiting for images, since the last log

    def run(
        self,
        batches: Iterator[tuple[Tensor, ...]],
        events: Sequence[Event],
        stop: StopSignal,
        bar: Bar,
        until: int | None = None,  # images, rounded up to whole batches; None: the run's total
    ) -> None:
        """Train to the end; raises `Stopped` after a stop signal, `NonFiniteError` for a NaN or infinity.

        Schedules and events follow the run's total, whatever `until` is.
        """
        total = self.config.total_images
        target = total if until is None else min(until, total)
        self._run_due(events, stop)
        while self.nimg < target:
            began = time.perf_counter()
            with stop.interruptible():
                images = next(batches)
            ready = time.perf_counter()
            self.step(*images)
            self.wait_seconds += ready - began
            self.step_seconds += time.perf_counter() - ready
            bar.update(self.nimg)
            self._run_due(events, stop)

    def _run_due(self, events: Sequence[Event], stop: StopSignal) -> None:
        self.prepare(self.nimg)  # so that events see the same networks after a resume
        for event in events:
            due = event.due(self.nimg, self.config.training.batch, self.config.total_images)
            if due and self.done.get(event.name) != self.nimg:
                stop.check()
                self.done[event.name] = self.nimg
                try:
                    event.act(self.nimg)
                except BaseException:
                    self.done.pop(event.name)
                    raise

    def step(self, *images: Tensor) -> None:
        """Train every phase on one batch: [n, 3, h, w] in [-1, 1] per domain."""
        images = tuple(domain.to(self.config.device) for domain in images)
        generator = step_generator(self.config.seed, self.nimg)
        self.prepare(self.nimg)
        for phase in self.phases:
            step = self.nimg // self.config.training.batch
            if not phase.is_active(self.nimg) or (step + 1) % phase.interval:
                continue
            phase.freeze_others(self.gan)
            with parametrize.cached(), autocast(self.config):
                self.draw(phase.uses, self.nimg, generator)
                terms = phase.terms(images, generator)
            self._optimize(phase, terms)
            self.meters.add(terms)
        self.nimg += len(images[0])
        if self.ema:
            self.ema.update(self.nimg)

    def _optimize(self, phase: Phase, terms: Terms) -> None:
        loss = torch.stack(list(terms.values())).sum()
        if not torch.isfinite(loss):
            bad = (name for name, term in terms.items() if not torch.isfinite(term))
            self._raise_non_finite(next(bad, phase.name), "loss")  # none: the sum overflowed
        phase.optimizer.zero_grad()
        torch.autograd.backward(loss)
        for name in phase.networks:
            parameters = self.gan.network(name).parameters()
            norm = torch.nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
            if not torch.isfinite(norm):
                self._raise_non_finite(name, "gradient")
        factor = learning_rate_factor(self.nimg, total=self.config.total_images, decay=self.config.training.decay)
        for group in phase.optimizer.param_groups:
            group["lr"] = group["initial_lr"] * factor
            if self.nimg < group["start_image"]:
                for parameter in group["params"]:
                    parameter.grad = None  # Adam then skips it, including its moments
        phase.optimizer.step()

    def _raise_non_finite(self, name: str, what: str) -> None:
        step = self.nimg // self.config.training.batch + 1
        raise NonFiniteError(
            f"the {what} of {name} is not finite at step {step} (image {self.nimg}): the run stopped; try a lower "
            f"training.lr, or training.precision=float32, in a new run"
        )

    def state_dict(self) -> dict[str, Any]:
        """All that the next step depends on."""
        return {
            "nimg": self.nimg,
            "done": dict(self.done),
            "gan": self.gan.state_dict(),
            "optimizers": {phase.name: phase.optimizer.state_dict() for phase in self.phases},
            "ema": self.ema.state_dict() if self.ema else None,
            "meters": self.meters.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.nimg = state["nimg"]
        self.done = dict(state["done"])
        self.gan.load_state_dict(state["gan"])
        for phase in self.phases:
            starts = [group["start_image"] for group in phase.optimizer.param_groups]
            phase.optimizer.load_state_dict(state["optimizers"][phase.name])
            for group, start in zip(phase.optimizer.param_groups, starts, strict=True):
                group["start_image"] = start  # depends on the run's length, which a resume may extend
            _match_memory_format(phase.optimizer)
        if self.ema:
            self.ema.load_state_dict(state["ema"])
        self.meters.load_state_dict(state["meters"])


def _match_memory_format(optimizer: torch.optim.Optimizer) -> None:
    """Convert an optimizer's state to its parameters' memory format, which fused Adam assumes without a check."""
    for parameter, state in optimizer.state.items():
        for name, value in state.items():
            if value.shape == parameter.shape and value.stride() != parameter.stride():
                state[name] = torch.empty_like(parameter).copy_(value)


def step_generator(seed: int, nimg: int) -> torch.Generator:
    """The random generator of the step that starts at `nimg` images."""
    digest = hashlib.sha256(f"step {seed} {nimg}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)


def autocast(config: LoopConfig) -> torch.autocast:
    """Autocast to bf16 inside the networks, if the config says so; losses and weights stay float32."""
    device = config.device.split(":")[0]
    return torch.autocast(device, dtype=torch.bfloat16, enabled=config.training.precision == "bf16")
