"""The doctor says truthfully what fits on the disk."""

from types import SimpleNamespace

import pytest
import torch

from ganas import doctor
from ganas.config import DataFacts
from ganas.cyclegan.architecture import random_architecture
from ganas.cyclegan.config import resolve
from ganas.cyclegan.cost import disk_bytes, trial_loop
from ganas.cyclegan.layout import find_layout
from ganas.learning.timing import noise
from ganas.machine import Machine
from ganas.presets import make_config
from ganas.store import KEPT_CHECKPOINTS

NEEDS = {"train": {"tiny": 10**9, "paper": 5 * 10**9}, "grow": {"tiny": 10**8, "paper": 50 * 10**9}}
ON_TOP = "grow's decoded images come on top (--dry-run)"


@pytest.mark.parametrize(
    "free, expected",
    [
        (10**11, f"room for train (all presets), grow (all presets); {ON_TOP}"),
        (
            5 * 10**9,
            f"room for train (all presets), grow (tiny); too little for grow (paper 50 GB): write elsewhere with "
            f"--out; {ON_TOP}",
        ),
        (
            0,
            f"too little for train (tiny 1 GB, paper 5 GB), grow (tiny 0.1 GB, paper 50 GB): write elsewhere with "
            f"--out; {ON_TOP}",
        ),
    ],
)
def test_it_names_the_presets_that_fit(free: int, expected: str) -> None:
    assert doctor.what_fits(free, NEEDS) == expected


@pytest.mark.parametrize(
    "size, text",
    [(4 * 10**7, "0.04"), (123 * 10**7, "1.2"), (996 * 10**7, "10"), (123 * 10**9, "123"), (10**13, "10,000")],
)
def test_gigabytes_are_never_in_powers_of_ten(size: int, text: str) -> None:
    assert f"paper {text} GB" in doctor.what_fits(0, {"grow": {"paper": size}})


def test_the_needs_are_those_of_the_forecast(monkeypatch: pytest.MonkeyPatch) -> None:
    needs = doctor.disk_needs()
    assert needs["grow"]["tiny"] < needs["grow"]["small"] < needs["grow"]["gpu"] < needs["grow"]["paper"]
    assert needs["grow"]["paper"] > 20e9, "a generation of hundreds of wide candidates is kept until it ends"
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=needs["grow"]["paper"] - 1))
    assert "too little for grow (paper" in doctor._disk().meaning


@pytest.mark.parametrize("kind, discriminator", [("search", ""), ("train", "searched"), ("train", "patchgan")])
def test_the_disk_of_a_run_is_that_of_its_checkpoints(kind: str, discriminator: str) -> None:
    """Besides counters and names, and with pools that are full."""
    flags = {"data.a": "a", "data.b": "b", "data.resolution": 32, "nets.width": 4, "nets.discriminator_width": 8}
    flags |= {"training.ema_half_life": None, "loss.pool": 2, "training.batch": 2}
    flags |= {"nets.discriminator": discriminator} if kind == "train" else {"search.warmup": 0}
    config = make_config(kind, preset="gpu", flags=flags)  # type: ignore[call-overload]
    architecture = random_architecture(find_layout("framed"), 1) if kind == "train" else None
    loop = trial_loop(resolve(config, Machine(), DataFacts({})), find_layout("framed"), architecture)
    loop.step(*noise(2, 2, 32))

    def size(value: object) -> int:
        if isinstance(value, torch.Tensor):
            return value.numel() * 4
        values = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
        return sum(map(size, values))

    pools = 2 * 2 * 3 * 32**2 * 4
    checkpoints = (KEPT_CHECKPOINTS + 1) * (size(loop.state_dict()) + pools)
    found = disk_bytes(config, architecture)
    assert checkpoints < found < 1.3 * checkpoints, "the trained generators come on top"
    if kind == "train":
        assert found < disk_bytes(config), "the largest ops"
