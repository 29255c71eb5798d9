"""One run, put together out of its config: data, networks, loop, and what is written down on the way.

`search` and `train` are the same session with different networks; `ganas.cyclegan.search` and
`ganas.cyclegan.train` say in what they differ.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from torch import Tensor

from ganas.cyclegan.architecture import Architecture
from ganas.cyclegan.build import Network
from ganas.cyclegan.config import RunConfig
from ganas.cyclegan.domains import Domains
from ganas.cyclegan.layout import Layout
from ganas.cyclegan.mixed import settle
from ganas.cyclegan.model import ImagePool
from ganas.cyclegan.networks import open_gan
from ganas.cyclegan.strategies import Penalty, Strategy, no_penalty, open_loop
from ganas.cyclegan.translate import Translator
from ganas.data.loaders import Batches, centre_images
from ganas.data.sources import ImageSource, notes_of
from ganas.errors import DataError, NonFiniteError, RunError, Stopped, describe_os_error
from ganas.learning.ema import EMA, averaged_or_current
from ganas.learning.loop import Event
from ganas.pictures import png, tile
from ganas.progress import Reporter
from ganas.signals import StopSignal
from ganas.store import Run, write_atomically

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

SLOW_IMAGES = 0.1  # waiting longer than this share of the steps is worth a word
SAMPLES = 6  # images a domain in a sample grid


class Session:
    """Networks, data, loop and records of one run; `go` runs it to its end."""

    def __init__(
        self,
        run: Run,
        config: RunConfig,
        layout: Layout,
        architecture: Architecture | None,  # None: supernets
        domains: Domains,
        strategy: Strategy,
        reporter: Reporter,
        penalty: Penalty = no_penalty,
    ) -> None:
        self.run, self.config, self.layout, self.domains, self.reporter = run, config, layout, domains, reporter
        self.gan = open_gan(config, layout, architecture)
        self.pools = {domain: ImagePool(config.loss.pool) for domain in "ab"}
        half_life = config.training.ema_half_life
        self.average = EMA(self.gan, half_life=half_life, batch=config.training.batch) if half_life else None
        self.strategy = strategy
        self.loop = open_loop(self.gan, strategy.phases(self.gan, self.pools, config, penalty), self.average, config)
        self.batches = Batches(
            strategy.sources(domains.a, domains.b, config.split_seed),
            resolution=config.data.resolution,
            load_size=round(config.data.resolution * config.data.load_scale),
            flip=config.data.flip,
            batch=config.training.batch,
            seed=config.seed,
            workers=config.data.workers,
            cache_bytes=config.data.cache_mib << 20,
            say=reporter.say,
        )
        self.extra_log: Callable[[], dict[str, Any]] = dict  # what a log line holds beside the losses
        self.extra_words: Callable[[], str] = str  # the same for people
        self.stop = StopSignal()  # events that take long ask it now and then
        self._board: SummaryWriter | None = None
        self._logged = False
        self._samples = (self._look_at(domains.held_a, domains.a), self._look_at(domains.held_b, domains.b))

    def _look_at(self, held: ImageSource, otherwise: ImageSource) -> Tensor:
        source = held if len(held) >= SAMPLES else otherwise
        return centre_images(source.subset(range(min(SAMPLES, len(source)))), self.config.data.resolution)

    def resume(self) -> bool:
        """Take up the newest checkpoint, if there is one."""
        state = self.run.load_checkpoint()
        if state is None:
            self.run.rewind_metrics(0)
            return False
        try:
            self.loop.load_state_dict(state["loop"])
        except (RuntimeError, LookupError):
            raise RunError(
                f"the checkpoints in {str(self.run.checkpoints)!r} are of another version of ganas: go on with that "
                f"one, or begin a new run with another --out"
            ) from None
        for domain, pool in self.pools.items():
            pool.load_state_dict(state["pools"][domain])
        self.run.rewind_metrics(state["lines"])
        return True

    def save(self, nimg: int) -> None:
        """Write a checkpoint."""
        pools = {domain: pool.state_dict() for domain, pool in self.pools.items()}
        lines = len(self.run.read_metrics())
        self.run.save_checkpoint(nimg, {"loop": self.loop.state_dict(), "pools": pools, "lines": lines})

    def introduce(self) -> None:
        """Say what is about to happen: images, epochs, machine."""
        domains, training = self.domains, self.config.training
        self.reporter.note(notes_of(domains.a, domains.b))
        epoch = max(len(domains.a), len(domains.b))
        self.reporter.say(
            f"A has {len(domains.a)} images and B {len(domains.b)}, with {len(domains.held_a)} and "
            f"{len(domains.held_b)} more held out; an epoch is {epoch} pairs, the run "
            f"{self.config.total_images} pairs or {self.config.total_images / epoch:.1f} epochs"
        )
        self.reporter.say(
            f"{training.device}, {training.precision}, {training.threads} threads, batch {training.batch}, "
            f"{self.config.data.resolution}×{self.config.data.resolution} pixels"
            + (f"; going on after {self.loop.nimg} images" if self.loop.nimg else "")
        )

    def go(self, title: str, events: Sequence[Event], stop: StopSignal) -> None:
        """Run to the end; when asked to stop, save and raise `Stopped`."""
        training = self.config.training
        # log first and checkpoint last: a checkpoint knows which events are done
        everything = [
            Event("log", training.log_every, self._write_log),
            Event("sample", training.sample_every, self._write_sample),
            *events,
            Event("checkpoint", training.checkpoint_every, self.save),
        ]
        self.stop = stop
        self.introduce()
        nimg = self.loop.nimg
        batches = self.strategy.roles(self.batches.from_image(nimg), nimg, self.config)
        with self.reporter.bar(title, self.loop.nimg, self.config.total_images) as bar:
            try:
                self.loop.run(batches, everything, stop, bar)
            except Stopped as stopped:
                self.save(self.loop.nimg)
                raise Stopped(
                    f"{stopped} after {self.loop.nimg} of {self.config.total_images} images, and saved: "
                    f"the same command goes on from there"
                ) from None
            except DataError:  # as long as a batch is waited for, nothing has changed
                if self.loop.nimg:  # else another set of images is welcome
                    self.save(self.loop.nimg)
                raise
            except OSError as error:
                raise RunError(f"{describe_os_error(error)}; {self._saved()}") from error
            except NonFiniteError as error:
                raise NonFiniteError(f"{error}; {self._saved()}") from None
            finally:
                if self._board:
                    with suppress(Exception):
                        self._board.close()

    def _saved(self) -> str:
        """What is there to go on from after an error."""
        checkpoints = self.run.checkpoint_paths()
        return f"{checkpoints[-1].name} is intact" if checkpoints else "no checkpoint had been written yet"

    def generators(self) -> Mapping[str, Network]:
        """The generators to look at: averaged if the run keeps an average."""
        return averaged_or_current(self.gan, self.average)

    def translators(self) -> dict[str, Translator]:
        """The generators by direction, ready for uint8 images; a supernet's mixtures without noise."""
        training = self.config.training
        generators = self.generators()
        for generator in generators.values():
            settle(generator)
        return {
            name.removeprefix("generator_"): Translator(
                generator,
                self.layout.generator_multiple,
                device=training.device,
                bf16=training.precision == "bf16",
            )
            for name, generator in generators.items()
        }

    # ── events ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def _write_log(self, nimg: int) -> None:
        losses = {name: round(value, 6) for name, value in self.loop.meters.read().items()}
        seconds, self.loop.step_seconds = self.loop.step_seconds, 0.0
        waited, self.loop.wait_seconds = self.loop.wait_seconds, 0.0
        times = {"step_seconds": round(seconds, 3), "wait_seconds": round(waited, 3)}
        line = {"nimg": nimg, "time": round(time.time(), 3), **times, "loss": losses}
        self.record(line | self.extra_log())
        said = ", ".join(
            f"{name} {_total(losses, name):.3f}" for name in ("adversarial", "cycle", "identity", "discriminator")
        )
        self.reporter.say(f"{nimg} images: {said}{self.extra_words()}")
        # the first interval waits for the cache to fill
        if self._logged and not self.batches.cached and waited > SLOW_IMAGES * seconds:
            share = waited / (waited + seconds)
            workers = self.config.data.workers
            self.reporter.say(
                f"{share:.0%} of the time went into waiting for images: stop, and go on with more data.workers "
                f"(now {workers}) or data.cache_mib, as in --set data.workers={2 * workers or 2}"
            )
        self._logged = True

    def record(self, line: dict[str, Any]) -> None:
        """One line of metrics, to the file and to TensorBoard."""
        self.run.append_metrics(line)
        with suppress(Exception):  # TensorBoard is a convenience: it never ends a run
            for group in ("loss", "scores", "search"):
                for name, value in line.get(group, {}).items():
                    if isinstance(value, int | float):
                        self._summary_writer().add_scalar(f"{group}/{name}", value, line["nimg"])

    def _summary_writer(self) -> "SummaryWriter":
        if self._board is None:
            from torch.utils.tensorboard import SummaryWriter

            self._board = SummaryWriter(str(self.run.tensorboard), purge_step=self.loop.nimg + 1)
        return self._board

    def _write_sample(self, nimg: int) -> None:
        translators = self.translators()
        grid = sample_grid(*self._samples, translators["ab"], translators["ba"])
        write_atomically(self.run.samples / f"{nimg:09d}.png", png(grid))
        with suppress(Exception):
            self._summary_writer().add_image("samples", grid, nimg)


def _total(losses: dict[str, float], name: str) -> float:
    """The sum of the terms whose names begin alike."""
    return sum(value for term, value in losses.items() if term.startswith(name))


def sample_grid(images_a: Tensor, images_b: Tensor, ab: Translator, ba: Translator) -> Tensor:
    """uint8 [3, H, W]: columns are images, rows A, A→B, A→B→A, then B, B→A, B→A→B; inputs uint8 [n, 3, r, r]."""
    fake_b, fake_a = ab(images_a), ba(images_b)
    rows = (images_a, fake_b, ba(fake_b), images_b, fake_a, ab(fake_a))
    return tile(rows)
