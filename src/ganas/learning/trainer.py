"""The trainer: runs a loop in a run folder, with log lines, sample grids, checkpoints, trackers and messages.

Networks, phases and metrics belong to the method.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from torch import Tensor

from ganas.data.loaders import Batches
from ganas.errors import DataError, NonFiniteError, RunError, Stopped, describe_os_error
from ganas.learning.ema import averaged_or_current
from ganas.learning.loop import Event, Loop
from ganas.learning.phases import ImageBatch
from ganas.learning.trackers import Tracking
from ganas.pictures import png
from ganas.progress import Reporter
from ganas.signals import StopSignal
from ganas.store import Run, write_atomically

if TYPE_CHECKING:
    from torch.distributed.checkpoint.stateful import Stateful

SLOW_IMAGES = 0.1  # waits for images beyond this share of the step time are reported


def list_losses(losses: Mapping[str, float]) -> str:
    """Summarize losses as a list of all of them by name."""
    return ", ".join(f"{name} {value:.3f}" for name, value in losses.items())


class Trainer:
    """Trains a GAN: call `resume`, then `train`."""

    def __init__(
        self,
        run: Run,
        loop: Loop,
        batches: Batches,
        reporter: Reporter,
        stop: StopSignal,  # slow events should check it
        *,
        sample: Callable[[], Tensor],  # a sample grid, uint8 [3, h, w]
        state: "Mapping[str, Stateful]",  # of the method, saved in checkpoints by name
        # (batches, number of their first image) -> the batches for the phases
        arrange: Callable[[Iterator[ImageBatch], int], Iterator[ImageBatch]] = lambda batches, nimg: batches,
        log_extras: Callable[[], Mapping[str, Any]] = dict,  # more values of a log line
        summary: Callable[[Mapping[str, float]], str] = list_losses,
        trackers: Sequence[str] = (),  # names in TRACKERS
    ) -> None:
        self.run, self.loop, self.reporter, self.stop = run, loop, reporter, stop
        self._batches, self._arrange = batches, arrange
        self._sample, self._state, self._log_extras = sample, state, log_extras
        self._summary = summary
        self._tracking = Tracking(trackers, run, reporter.say)
        self._logged = False

    def generators(self) -> Mapping[str, Any]:
        """The generators to sample from, by name: averaged if the run keeps an EMA."""
        return averaged_or_current(self.loop.gan, self.loop.ema)

    def resume(self) -> bool:
        """Load the newest checkpoint, if there is one; raises `RunError` if another version wrote it."""
        state = self.run.load_checkpoint()
        if state:
            try:
                self.loop.load_state_dict(state["loop"])
                for name, part in self._state.items():
                    part.load_state_dict(state["state"][name])
            except (RuntimeError, LookupError, ValueError):
                raise RunError(
                    f"the checkpoints in {str(self.run.checkpoints)!r} were written by another version of ganas: "
                    f"resume with that version, or start a new run with another --out"
                ) from None
        self.run.rewind_metrics(state["lines"] if state else 0)
        return state is not None

    def save(self, nimg: int) -> None:
        """Write a checkpoint."""
        state = {name: part.state_dict() for name, part in self._state.items()}
        lines = len(self.run.read_metrics())
        self.run.save_checkpoint(nimg, {"loop": self.loop.state_dict(), "state": state, "lines": lines})

    def train(self, title: str, events: Sequence[Event] = (), until: int | None = None) -> None:
        """Train to the end of the run, or until `until` images were seen, and save a checkpoint there.

        Schedules and final events follow the run's total: `train(until=n)` and then `train()`, in this process or in
        another one that resumes, equal a single `train()` bit for bit. Saves and raises `Stopped` after a stop signal.
        Also raises `DataError`, `RunError` for errors of the operating system, and `NonFiniteError`.
        """
        loop, total, interval = self.loop, self.loop.config.total_images, self.loop.config.training
        # checkpoint last, so that it records which events are done
        all_events = [
            Event("log", interval.log_every, self._write_log),
            Event("sample", interval.sample_every, self._write_sample),
            *events,
            Event("checkpoint", interval.checkpoint_every, self.save),
        ]
        batches = self._arrange(self._batches.from_image(loop.nimg), loop.nimg)
        with self.reporter.bar(title, loop.nimg, total if until is None else min(until, total)) as bar:
            try:
                loop.run(batches, all_events, self.stop, bar, until)
                if loop.done.get("checkpoint") != loop.nimg:
                    self.save(loop.nimg)
            except Stopped as stopped:
                self.save(loop.nimg)
                raise Stopped(
                    f"{stopped} after {loop.nimg} of {total} images, and saved: the same command resumes"
                ) from None
            except DataError:  # raised while waiting for a batch, so the state is consistent
                if loop.nimg:  # without a checkpoint, the run may start again with other images
                    self.save(loop.nimg)
                raise
            except OSError as error:
                self._record_error(error)
                raise RunError(f"{describe_os_error(error)}; {self._describe_saved()}") from error
            except NonFiniteError as error:
                self._record_error(error)
                raise NonFiniteError(f"{error}; {self._describe_saved()}") from None
            finally:
                self._tracking.close()

    def _record_error(self, error: Exception) -> None:
        """Say in the metrics why the run ended, for who reads it later; a resume drops the line."""
        with suppress(OSError):  # the disk may be full
            self.run.append_metrics({"nimg": self.loop.nimg, "time": round(time.time(), 3), "error": str(error)})

    def _describe_saved(self) -> str:
        """The checkpoint to resume from after an error."""
        checkpoints = self.run.checkpoint_paths()
        return f"{checkpoints[-1].name} is intact" if checkpoints else "no checkpoint had been written yet"

    def record(self, line: Mapping[str, Any]) -> None:
        """Append a line to the metrics, and show the numbers in its groups to the trackers."""
        self.run.append_metrics(line)
        numbers = {
            f"{group}/{name}": value
            for group, values in line.items()
            if isinstance(values, Mapping)
            for name, value in values.items()
            if isinstance(value, int | float)
        }
        self._tracking.numbers(numbers, line["nimg"])

    # ── events ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def _write_log(self, nimg: int) -> None:
        losses = {name: round(value, 6) for name, value in self.loop.meters.read().items()}
        seconds, self.loop.step_seconds = self.loop.step_seconds, 0.0
        waited, self.loop.wait_seconds = self.loop.wait_seconds, 0.0
        times = {"step_seconds": round(seconds, 3), "wait_seconds": round(waited, 3)}
        self.record({"nimg": nimg, "time": round(time.time(), 3), **times, "loss": losses, **self._log_extras()})
        self.reporter.say(f"{nimg} images: {self._summary(losses)}")
        # not after the first interval, in which the cache fills
        if self._logged and not self._batches.cached and waited > SLOW_IMAGES * seconds:
            share, workers = waited / (waited + seconds), self._batches.workers
            self.reporter.say(
                f"{share:.0%} of the time was spent waiting for images: stop, and resume with more data.workers "
                f"(now {workers}) or data.cache_mib, as in --set data.workers={2 * workers or 2}"
            )
        self._logged = True

    def _write_sample(self, nimg: int) -> None:
        grid = self._sample()
        write_atomically(self.run.samples / f"{nimg:09d}.png", png(grid))
        self._tracking.picture("samples", grid, nimg)
