"""The trainer on a toy GAN: a run in parts, stopped or failed between them, equals a whole one."""

import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ganas.config import LearningConfig
from ganas.data.loaders import Batches
from ganas.errors import RunError, Stopped
from ganas.learning.ema import EMA
from ganas.learning.loop import Event, Loop
from ganas.learning.phases import GAN, Phase
from ganas.learning.trainer import Trainer
from ganas.progress import Reporter
from ganas.signals import StopSignal
from ganas.store import Run

BATCH, TOTAL = 2, 16


@dataclass(frozen=True)
class Config:
    training = LearningConfig(batch=BATCH, ema_half_life=4, log_every=4, sample_every=8, checkpoint_every=8)
    seed, total_images, device = 5, TOTAL, "cpu"


class Toy(GAN):
    def __init__(self) -> None:
        super().__init__()
        self.generator = nn.Conv2d(3, 3, 1)

    def network(self, name: str) -> nn.Module:
        return self.generator

    @property
    def generators(self) -> dict[str, nn.Module]:
        return {"generator": self.generator}


def trainer(path: Path) -> tuple[Trainer, nn.Module]:
    """Return the trainer of a toy GAN in a folder, and a state of the method: a count of its phases."""
    torch.manual_seed(0)
    gan, count = Toy(), nn.Module()
    count.register_buffer("steps", torch.tensor(0))
    adam = torch.optim.Adam([{"params": gan.parameters(), "lr": 0.1, "initial_lr": 0.1, "start_image": 0.0}])

    def terms(images: tuple[Tensor, ...], generator: torch.Generator) -> dict[str, Tensor]:
        count.steps += 1
        noise = torch.randn(images[0].shape, generator=generator)
        return {"loss": (gan.generator(noise) - images[0]).square().mean()}

    loop = Loop(gan, [Phase("g", adam, ("generator",), (), terms)], EMA(gan, half_life=4, batch=BATCH), Config())
    pixels = np.random.default_rng(0).integers(0, 256, (5, 3, 4, 4)).astype(np.uint8)
    batches = Batches((pixels,), resolution=4, load_size=4, flip=True, batch=BATCH, seed=5)
    grid = torch.zeros(3, 4, 4, dtype=torch.uint8)
    one = Trainer(
        Run(path), loop, batches, Reporter(quiet=True), StopSignal(), sample=lambda: grid, state={"count": count}
    )
    path.mkdir(exist_ok=True)
    one.resume()
    return one, count


def end(path: Path) -> tuple[Any, list[Any]]:
    return Run(path).load_checkpoint(), [(line["nimg"], line.get("loss")) for line in Run(path).read_metrics()]


@pytest.mark.parametrize("how", ["stop", "until", "until, then on in the same process", "error"])
def test_in_two_parts_it_is_the_same_bit_for_bit(how: str, tmp_path: Path) -> None:
    seen: dict[str, list[int]] = {}

    def watch(name: str, one: Trainer, interrupt: bool) -> Event:
        def act(nimg: int) -> None:
            if interrupt and nimg == TOTAL // 2:
                if how == "error":
                    raise ArithmeticError("in an event")
                one.stop.received = signal.SIGTERM
            seen.setdefault(name, []).append(nimg)

        return Event("watch", 4, act)

    whole, _ = trainer(tmp_path / "whole")
    whole.train("toy", [watch("whole", whole, False)])
    first, _ = trainer(tmp_path / "parts")
    if how.startswith("until"):
        first.train("toy", [watch("parts", first, False)], until=TOTAL // 2)
    else:
        with pytest.raises((Stopped, ArithmeticError)):
            first.train("toy", [watch("parts", first, True)])
    second, count = (first, None) if "same" in how else trainer(tmp_path / "parts")
    second.train("toy", [watch("parts", second, False)])
    assert second.loop.nimg == TOTAL and (count is None or count.steps == TOTAL // BATCH)
    assert sorted({*seen["parts"]}) == seen["whole"] == [4, 8, 12, 16]
    torch.testing.assert_close(end(tmp_path / "parts"), end(tmp_path / "whole"), rtol=0, atol=0)


def test_an_event_that_fails_stays_due_and_events_keep_their_order(tmp_path: Path) -> None:
    one, _ = trainer(tmp_path)

    def fail(nimg: int) -> None:
        raise OSError(28, "no space")

    with pytest.raises(RunError, match="no checkpoint had been written yet"):
        one.train("toy", [Event("watch", 8, fail)])
    assert one.loop.done == {"log": 8, "sample": 8}
    one.train("toy", [Event("watch", 8, lambda nimg: None)])
    assert [*one.loop.done] == ["log", "sample", "watch", "checkpoint"] and {*one.loop.done.values()} == {TOTAL}


def test_a_checkpoint_of_another_version_is_refused_in_one_line(tmp_path: Path) -> None:
    one, _ = trainer(tmp_path)
    one.train("toy", until=8)
    state = one.run.load_checkpoint()
    assert state
    loop = {"average" if key == "ema" else key: value for key, value in state["loop"].items()}
    one.run.save_checkpoint(10, {"loop": loop, "pools": {}, "lines": state["lines"]})
    with pytest.raises(RunError, match=r"^the checkpoints in .+ were written by another version of ganas: resume"):
        trainer(tmp_path)
