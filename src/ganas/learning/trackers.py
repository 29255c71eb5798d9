"""Trackers: programs outside a run that show its numbers and samples. No torch until one is opened.

A tracker is an entry in `TRACKERS`; ``training.trackers`` names those of a run. They only watch: what a tracker raises
is noted once, the tracker is left out from then on, and the run goes on.
"""

import importlib.util
import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple, Protocol

import yaml

from ganas.errors import ConfigError
from ganas.store import Run

if TYPE_CHECKING:
    from torch import Tensor


class Tracker(Protocol):
    """Where numbers and pictures go. `images`: seen by then; they only grow."""

    def numbers(self, values: Mapping[str, float], images: int) -> None:
        """Show numbers by name, as ``loss/cycle_a``."""

    def picture(self, name: str, picture: "Tensor", images: int) -> None:
        """Show a picture, uint8 [3, h, w]."""

    def close(self) -> None:
        """Write what is left."""


class TensorBoard:
    """Event files in the run's ``tensorboard/``."""

    def __init__(self, run: Run, images: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(run.tensorboard), purge_step=images + 1)

    def numbers(self, values: Mapping[str, float], images: int) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, images)

    def picture(self, name: str, picture: "Tensor", images: int) -> None:
        self._writer.add_image(name, picture, images)

    def close(self) -> None:
        self._writer.close()


class WeightsAndBiases:
    """A run of W&B, which a resumed run continues; its project is ``ganas``, or $WANDB_PROJECT.

    With WANDB_MODE=offline it only writes into the run's ``wandb/``.
    """

    def __init__(self, run: Run, images: int) -> None:
        import wandb

        path, kept = run.path.resolve(), run.path / "wandb" / "ganas-id"
        if not kept.is_file():
            kept.parent.mkdir(exist_ok=True)
            run.write_text(kept, secrets.token_hex(8))
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", "ganas"),
            id=kept.read_text(encoding="utf-8"),
            name=path.name,
            dir=str(path),
            config=yaml.safe_load(run.config.read_text(encoding="utf-8")),
            resume="allow",
            settings=wandb.Settings(silent=True, console="off"),  # stdout is for results
        )
        self._wandb = wandb

    def numbers(self, values: Mapping[str, float], images: int) -> None:
        self._run.log({**values, "images": images}, step=images)

    def picture(self, name: str, picture: "Tensor", images: int) -> None:
        image = self._wandb.Image(picture.permute(1, 2, 0).contiguous().numpy())
        self._run.log({name: image}, step=images)

    def close(self) -> None:
        self._run.finish()


class Entry(NamedTuple):
    """A tracker that users may name."""

    open: Callable[[Run, int], Tracker]  # (run, images seen)
    module: str  # that it needs
    install: str


TRACKERS: Mapping[str, Entry] = {
    "tensorboard": Entry(TensorBoard, "tensorboard", "tensorboard"),
    "wandb": Entry(WeightsAndBiases, "wandb", "'ganas[track]'"),
}


def check_trackers(names: Sequence[str]) -> None:
    """Raise `ConfigError` if a tracker is not installed."""
    for name in names:
        if importlib.util.find_spec(TRACKERS[name].module) is None:
            raise ConfigError(f"training.trackers={name} is not installed: pip install {TRACKERS[name].install}")


class Tracking:
    """The trackers of a run, opened when there is something to show."""

    def __init__(
        self,
        names: Sequence[str],
        run: Run,
        note: Callable[[str], None],  # says why a tracker was left out
    ) -> None:
        self._left = list(names)
        self._open: dict[str, Tracker] = {}
        self._run, self._note = run, note

    def numbers(self, values: Mapping[str, float], images: int) -> None:
        """Show numbers in every tracker."""
        if values:
            self._each(images, lambda tracker: tracker.numbers(values, images))

    def picture(self, name: str, picture: "Tensor", images: int) -> None:
        """Show a picture in every tracker."""
        self._each(images, lambda tracker: tracker.picture(name, picture, images))

    def _each(self, images: int, show: Callable[[Tracker], None]) -> None:
        for name in tuple(self._left):
            try:
                if name not in self._open:
                    self._open[name] = TRACKERS[name].open(self._run, images)
                show(self._open[name])
            except Exception as error:  # a full disk, no network, no account: the run is worth more
                self._left.remove(name)
                reason = (str(error).strip() or type(error).__name__).splitlines()[0]
                self._note(f"note: {name} shows nothing from here on ({reason}); the run goes on")

    def close(self) -> None:
        """Close all; the next number opens them again."""
        for tracker in self._open.values():
            with suppress(Exception):
                tracker.close()
        self._open.clear()
