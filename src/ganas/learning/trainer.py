"""The trainer: one training in its run folder, from the newest checkpoint to the end or to a number of images.

It owns what every training has: events in their order, log lines, samples, checkpoints, TensorBoard, and what is said
when it is stopped or fails. The networks, their phases, and what is measured are the method's.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

from torch import Tensor

from ganas.data.loaders import Batches
from ganas.errors import DataError, NonFiniteError, RunError, Stopped, describe_os_error
from ganas.learning.ema import averaged_or_current
from ganas.learning.loop import Event, Loop
from ganas.learning.phases import ImageBatch
from ganas.pictures import png
from ganas.progress import Reporter
from ganas.signals import StopSignal
from ganas.store import Run, write_atomically

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

SLOW_IMAGES = 0.1  # waiting longer than this share of the steps is worth a word


class Stateful(Protocol):
    """Something beside the loop that has to be restored when a run resumes."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


class Trainer:
    """Trains a GAN: `resume`, then `train`."""

    def __init__(
        self,
        run: Run,
        loop: Loop,
        batches: Batches,
        reporter: Reporter,
        stop: StopSignal,  # events that take long check it now and then
        *,
        sample: Callable[[], Tensor],  # a grid to look at, uint8 [3, h, w]
        state: Mapping[str, Stateful] | None = None,  # of the method, kept in checkpoints by name
        arrange: Callable[[Iterator[ImageBatch], int], Iterator[ImageBatch]] = lambda batches, nimg: (
            batches
        ),  # from nimg on
        facts: Callable[[], Mapping[str, Any]] = dict,  # what a log line holds beside losses and times
        summary: Callable[[Mapping[str, float]], str] | None = None,  # losses for people; None: every one by its name
        tensorboard: bool = True,
    ) -> None:
        self.run, self.loop, self.reporter, self.stop = run, loop, reporter, stop
        self._batches, self._arrange = batches, arrange
        self._sample, self._state, self._facts, self._summary = sample, state or {}, facts, summary or _every_loss
        self._tensorboard = tensorboard
        self._board: SummaryWriter | None = None
        self._logged = False

    def generators(self) -> Mapping[str, Any]:
        """The generators to look at, by name: averaged if the run keeps an EMA."""
        return averaged_or_current(self.loop.gan, self.loop.ema)

    def resume(self) -> bool:
        """Load the newest checkpoint, if there is one; raises `RunError` for one of another version."""
        state = self.run.load_checkpoint()
        if state:
            try:
                self.loop.load_state_dict(state["loop"])
                for name, part in self._state.items():
                    part.load_state_dict(state["state"][name])
            except (RuntimeError, LookupError, ValueError):
                raise RunError(
                    f"the checkpoints in {str(self.run.checkpoints)!r} are of another version of ganas: go on with "
                    f"that one, or begin a new run with another --out"
                ) from None
        self.run.rewind_metrics(state["lines"] if state else 0)
        return state is not None

    def save(self, nimg: int) -> None:
        """Write a checkpoint."""
        state = {name: part.state_dict() for name, part in self._state.items()}
        lines = len(self.run.read_metrics())
        self.run.save_checkpoint(nimg, {"loop": self.loop.state_dict(), "state": state, "lines": lines})

    def train(self, title: str, events: Sequence[Event] = (), until: int | None = None) -> None:
        """Train to the end of the run or, with a checkpoint saved there, until so many images were seen.

        Schedules and events that are due at the end follow the run's total: `train(until=n)` and then `train()`, in
        this process or another one that resumes, equal one `train()` bit for bit. When asked to stop, saves and raises
        `Stopped`. Raises `DataError`, `RunError` for what the operating system refuses, and `NonFiniteError`.
        """
        loop, total, interval = self.loop, self.loop.config.total_images, self.loop.config.training
        # log first and checkpoint last: a checkpoint knows which events are done
        everything = [
            Event("log", interval.log_every, self._write_log),
            Event("sample", interval.sample_every, self._write_sample),
            *events,
            Event("checkpoint", interval.checkpoint_every, self.save),
        ]
        batches = self._arrange(self._batches.from_image(loop.nimg), loop.nimg)
        with self.reporter.bar(title, loop.nimg, total if until is None else min(until, total)) as bar:
            try:
                loop.run(batches, everything, self.stop, bar, until)
                if loop.done.get("checkpoint") != loop.nimg:
                    self.save(loop.nimg)
            except Stopped as stopped:
                self.save(loop.nimg)
                raise Stopped(
                    f"{stopped} after {loop.nimg} of {total} images, and saved: the same command goes on from there"
                ) from None
            except DataError:  # as long as a batch is waited for, nothing has changed
                if loop.nimg:  # else another set of images is welcome
                    self.save(loop.nimg)
                raise
            except OSError as error:
                raise RunError(f"{describe_os_error(error)}; {self._saved()}") from error
            except NonFiniteError as error:
                raise NonFiniteError(f"{error}; {self._saved()}") from None
            finally:
                if self._board:
                    with suppress(Exception):
                        self._board.close()
                    self._board = None

    def _saved(self) -> str:
        """What is there to go on from after an error."""
        checkpoints = self.run.checkpoint_paths()
        return f"{checkpoints[-1].name} is intact" if checkpoints else "no checkpoint had been written yet"

    def record(self, line: Mapping[str, Any]) -> None:
        """Append a line to the metrics, and what numbers its groups hold to TensorBoard."""
        self.run.append_metrics(line)
        with suppress(Exception):  # TensorBoard is a convenience: it never ends a run
            for group, values in line.items() if self._tensorboard else ():
                for name, value in values.items() if isinstance(values, Mapping) else ():
                    if isinstance(value, int | float):
                        self._summary_writer().add_scalar(f"{group}/{name}", value, line["nimg"])

    def _summary_writer(self) -> "SummaryWriter":
        if self._board is None:
            from torch.utils.tensorboard import SummaryWriter

            self._board = SummaryWriter(str(self.run.tensorboard), purge_step=self.loop.nimg + 1)
        return self._board

    # ── events ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def _write_log(self, nimg: int) -> None:
        losses = {name: round(value, 6) for name, value in self.loop.meters.read().items()}
        seconds, self.loop.step_seconds = self.loop.step_seconds, 0.0
        waited, self.loop.wait_seconds = self.loop.wait_seconds, 0.0
        times = {"step_seconds": round(seconds, 3), "wait_seconds": round(waited, 3)}
        self.record({"nimg": nimg, "time": round(time.time(), 3), **times, "loss": losses, **self._facts()})
        self.reporter.say(f"{nimg} images: {self._summary(losses)}")
        # the first interval waits for the cache to fill
        if self._logged and not self._batches.cached and waited > SLOW_IMAGES * seconds:
            share, workers = waited / (waited + seconds), self._batches.workers
            self.reporter.say(
                f"{share:.0%} of the time went into waiting for images: stop, and go on with more data.workers "
                f"(now {workers}) or data.cache_mib, as in --set data.workers={2 * workers or 2}"
            )
        self._logged = True

    def _write_sample(self, nimg: int) -> None:
        grid = self._sample()
        write_atomically(self.run.samples / f"{nimg:09d}.png", png(grid))
        if self._tensorboard:
            with suppress(Exception):
                self._summary_writer().add_image("samples", grid, nimg)


def _every_loss(losses: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.3f}" for name, value in losses.items())
