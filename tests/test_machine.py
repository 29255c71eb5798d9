"""What a run takes from its machine, and what may change when it goes on."""

import mmap
import os
import sys
from pathlib import Path
from typing import Literal

import pytest
import torch

from ganas import machine
from ganas.config import DataFacts, adjustable
from ganas.cyclegan.config import RunConfig
from ganas.cyclegan.config import resolve as resolve_translation
from ganas.errors import RunError
from ganas.growing.config import GrowConfig, resolve
from ganas.machine import Machine, cgroup_cores, cores, default_threads, peak_memory, switch_off_tf32
from ganas.presets import make_config
from ganas.resuming import claim, keep_choices
from ganas.store import Run


@pytest.mark.parametrize("precision, kept", [("float32", False), ("bf16", True)])
def test_float32_is_not_tf32(precision: str, kept: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    switch_off_tf32(precision)
    assert torch.backends.cudnn.allow_tf32 == kept
    assert not torch.backends.cuda.matmul.allow_tf32, "torch's default"


@pytest.mark.parametrize(
    "value, threads",
    [
        *(("3", 3), ("4,2", 4), (" 2 , 8", 2), ("12", 12)),
        *((nonsense, cores()) for nonsense in ("", "0", "-1", "all", "1.5", "2x", ",4", "99999999999")),
    ],
)
def test_the_default_number_of_threads_is_openmps(value: str, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", value)
    assert default_threads() == threads >= 1


@pytest.mark.parametrize(
    "limits, own, expected",
    [
        ({}, "/", None),
        ({"": "max 100000"}, "/", None),
        ({"": "200000 100000"}, "/", 2.0),
        ({"": "150000 100000"}, "/", 1.5),
        ({"a": "max 100000", "a/b": "50000 100000"}, "/a/b", 0.5),
        ({"a": "100000 100000", "a/b": "800000 100000"}, "/a/b", 1.0),
        ({"other": "100000 100000"}, "/a", None),
        ({"": "nonsense"}, "/../..", None),
    ],
)
def test_a_container_may_use_what_its_groups_may(
    limits: dict[str, str], own: str, expected: float | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for group, limit in limits.items():
        (tmp_path / group).mkdir(parents=True, exist_ok=True)
        (tmp_path / group / "cpu.max").write_text(f"{limit}\n")
    (tmp_path / "groups").write_text(f"3:cpuset:/x\n0::{own}\n")
    found = cgroup_cores(tmp_path, tmp_path / "groups")
    assert found == (expected or float("inf")) and cgroup_cores(tmp_path, tmp_path / "missing") == float("inf")
    monkeypatch.setattr(machine, "cgroup_cores", lambda: found)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1, 2, 3}, raising=False)
    assert cores() == max(1, int(expected or 4))


@pytest.mark.skipif(sys.platform != "linux", reason="nobody tells these pages apart")
def test_pages_of_files_are_not_memory_that_a_run_needs(tmp_path: Path) -> None:
    size = 32 << 20
    (tmp_path / "images.npy").write_bytes(bytes(size))
    before = peak_memory("cpu")
    with (tmp_path / "images.npy").open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        assert sum(mapped[:: mmap.PAGESIZE]) == 0
        assert peak_memory("cpu") - before < size / 2
        with mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as held:  # not what others have freed
            held.write(b"1" * size)
            assert peak_memory("cpu") - before > size / 2


def test_a_system_that_does_not_tell_them_apart_counts_all(tmp_path: Path) -> None:
    (tmp_path / "status").write_text("VmRSS:	  1 kB\n")
    for status in ("status", "missing"):
        assert peak_memory("cpu", tmp_path / status) > 1024


def test_what_may_change_when_a_run_goes_on() -> None:
    """A new entry needs a proof that it changes no result (tests/test_survival.py), or words that say what it does."""
    both = {f"training.{key}" for key in ("threads", "log_every", "sample_every", "checkpoint_every")}
    translating = {"data.skip_bad", "data.verify", "data.cache_mib", "data.workers", "training.checkpointing"}
    translating |= {"training.trackers"}
    assert set(adjustable(RunConfig)) == both | translating
    assert set(adjustable(GrowConfig)) == both | {"data.skip_bad", "data.verify", "data.cache_mib", "training.timeout"}
    assert {key for key, mark in adjustable(RunConfig).items() if mark.effect} == {"training.threads"}


@pytest.mark.parametrize(
    "kind, facts, training, expected",
    [
        ("train", {"avx512": False}, {}, "contiguous"),
        ("search", {"avx512": False}, {}, "channels_last"),
        ("train", {"avx512": False, "cpu_bf16": True}, {}, "channels_last"),
        ("train", {"avx512": False, "cuda": True}, {}, "channels_last"),
        ("train", {"avx512": True}, {}, "channels_last"),
        ("train", {"avx512": True}, {"training.memory_format": "contiguous"}, "contiguous"),
    ],
)
def test_the_memory_format_is_the_machines_and_stays_with_the_run(
    kind: Literal["search", "train"], facts: dict[str, bool], training: dict[str, str], expected: str, tmp_path: Path
) -> None:
    config = make_config(kind, preset="tiny", flags={"data.a": "a", "data.b": "b"} | training)
    resolved = resolve_translation(config, Machine(**facts), DataFacts({}))  # type: ignore[arg-type]
    assert resolved.training.memory_format == expected
    run = Run(tmp_path / "run")
    claim(run, resolved)
    run.append_metrics({"nimg": 0})
    elsewhere = Machine(avx512=expected == "contiguous", cpu_bf16=True, threads=7)
    assert resolve_translation(keep_choices(run, config), elsewhere, DataFacts({})) == resolved


def test_a_run_from_before_there_was_a_choice_stays_channels_last(tmp_path: Path) -> None:
    config = make_config("train", preset="tiny", flags={"data.a": "a", "data.b": "b"})
    resolved = resolve_translation(config, Machine(), DataFacts({}))
    run = Run(tmp_path / "run")
    run.write_text(run.config, resolved.to_yaml().replace("  memory_format: channels_last\n", ""))
    run.append_metrics({"nimg": 0})
    assert resolve_translation(keep_choices(run, config), Machine(avx512=False), DataFacts({})) == resolved
    assert claim(run, resolved) == []


def growing(weights: str | None) -> GrowConfig:
    config = make_config("grow", preset="tiny", flags={"data.images": "images", "metrics.features": "squeezenet:a\nb"})
    return resolve(config, Machine(), DataFacts({"data.digest": "i", "metrics.digest": weights}))


def test_weights_that_changed_are_said_to_have_changed(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    assert claim(run, growing("1")) == []
    assert claim(run, growing("2")) == [], "nothing was learned yet"
    run.append_metrics({"nimg": 0})
    before = run.config.read_bytes()
    assert claim(run, growing("2")) == [] and run.config.read_bytes() == before
    with pytest.raises(RunError) as refusal:
        claim(run, growing("1"))
    assert str(refusal.value) == (
        rf"the weights of metrics.features ('squeezenet:{Path.cwd()}/a\nb') have changed since '{run.path}' was "
        "started: restore them, or choose another --out"
    )
    assert run.config.read_bytes() == before
