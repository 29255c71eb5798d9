"""A new growing strategy is one class and one line in STRATEGIES: here, successive halving."""

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from test_grow import SETTINGS

from ganas.errors import ConfigError
from ganas.growing.actions import Space
from ganas.growing.architecture import GrowthArchitecture
from ganas.growing.children import child_id
from ganas.growing.config import STRATEGIES, GrowConfig
from ganas.growing.history import read_history
from ganas.growing.run import grow
from ganas.growing.strategy import Candidate, Score
from ganas.jobs.job import Job
from ganas.presets import make_config
from in_process import InProcess
from kill_and_resume import write_images

OPENED: list["Halving"] = []


class Halving:
    """The base, then all its children to a first target, then the best half of them to the end."""

    def __init__(
        self, initial: Sequence[GrowthArchitecture], space: Space, *, images: int, parts: int, **settings: Any
    ) -> None:
        base = Candidate(initial[0].id, initial[0])
        self._space, self._end, self._first = space, images, images // parts
        self._targets, self._reached = {base.id: images}, dict[str, int]()
        self._promoted = False
        self.candidates = {base.id: base}
        self.scores: dict[str, Score | None] = {}
        self.beams: list[list[str]] = []
        self.told: dict[tuple[str, int], Score | None] = {}
        OPENED.append(self)

    def ask(self) -> list[tuple[Candidate, int]]:
        return [(self.candidates[name], n) for name, n in self._targets.items() if self._reached.get(name) != n]

    def tell(self, candidate: str, images: int, score: Score | None) -> None:
        self._reached[candidate], self.scores[candidate] = images, score
        self.told[candidate, images] = score
        if self.ask() or self._promoted:
            return
        if not self.beams:
            (base,) = self.candidates.values()
            self.beams.append([base.id])
            for action in self._space.legal(base.architecture, 0):
                name = child_id(base.id, str(action))
                self.candidates[name] = Candidate(name, action(base.architecture), base.id, str(action), 1)
                self._targets[name] = self._first
            return
        self._promoted = True
        children = self._ranked()
        self._targets |= dict.fromkeys(children[: len(children) // 2], self._end)

    def _ranked(self) -> list[str]:
        alive = [
            (one, score) for name, one in self.candidates.items() if (score := self.scores.get(name)) and one.parent
        ]
        return [one.id for one, _ in sorted(alive, key=lambda pair: (-pair[0].architecture.resolution, pair[1].value))]

    @property
    def finalists(self) -> list[Candidate]:
        return []

    def may_continue(self, candidate: str) -> bool:
        return not self._promoted and self._targets[candidate] < self._end

    def winner(self) -> Candidate | None:
        done = [name for name in self._ranked() if self._reached[name] == self._end]
        return self.candidates[done[0]] if done else None


class Recorder(InProcess):
    """Notes each job's name, target and number of checkpoints at its start; stops the search after some."""

    def __init__(self, stop_after: int | None = None) -> None:
        super().__init__()
        self.jobs: list[tuple[str, int, int]] = []
        self._stop_after = stop_after

    def submit(self, job: Job) -> None:
        if len(self.jobs) == self._stop_after:
            raise KeyboardInterrupt
        self.jobs.append((job.name, job.images, len(job.folder.checkpoint_paths())))
        super().submit(job)


@pytest.fixture
def config(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> GrowConfig:
    images = write_images(tmp_path / "images", 8, seed=0, sides=(16, 16))
    monkeypatch.setitem(STRATEGIES, "halving", partial(Halving, parts=4))  # type: ignore[arg-type]
    monkeypatch.setitem(STRATEGIES, "straight", partial(Halving, parts=1))  # type: ignore[arg-type]
    settings = SETTINGS | {"training.final_images": 0, "training.log_every": 8, "growth.sizes": [3]}
    return make_config("grow", preset="tiny", flags={"data.images": str(images), "growth.rank_by": "raw"} | settings)


def choosing(config: GrowConfig, **growth: str) -> GrowConfig:
    return config.model_validate(config.model_dump(by_alias=True) | {"growth": config.growth.model_dump() | growth})


def outcome(folder: Path) -> dict[str, Any]:
    """Scores, everything logged except times, and the samples."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return {
        "result": json.loads((folder / "result.json").read_text())["scores"],
        "metrics": [{key: line.get(key) for key in ("nimg", "loss", "scores")} for line in lines],
        "samples": [path.read_bytes() for path in sorted(folder.glob("samples/*"))],
    }


def test_a_candidate_that_continues_equals_one_that_never_stopped(config: GrowConfig, tmp_path: Path) -> None:
    executor, folders = Recorder(), {}
    for name in ("halving", "straight"):
        folders[name] = tmp_path / name
        grow(choosing(config, strategy=name), folders[name], executor=executor if name == "halving" else InProcess())
    base, *started = [job for job in executor.jobs if not job[2]]
    continued = [job for job in executor.jobs if job[2]]
    assert base[1] == 32 and {images for _, images, _ in started} == {8}
    assert len(continued) == len(started) // 2 and {images for _, images, _ in continued} == {32}
    for name, *_ in continued:
        one, other = (outcome(folder / "candidates" / name) for folder in folders.values())
        assert one == other
    models = [(folder / "model" / "generator.safetensors").read_bytes() for folder in folders.values()]
    assert models[0] == models[1]
    assert not [*folders["halving"].rglob("checkpoints/*")], "all are released"


def test_a_search_with_several_targets_is_replayed_exactly(config: GrowConfig, tmp_path: Path) -> None:
    config = choosing(config, strategy="halving")
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    OPENED.clear()
    expected = grow(config, whole, executor=(straight := Recorder()))
    told = OPENED[0].told
    OPENED.clear()
    before = read_history(whole)
    assert OPENED[0].told == told, "scores at the first target are kept"
    jobs = []
    for stop_after in (3, len(straight.jobs) - 5, None):  # among the children, and among those that continue
        executor = Recorder(stop_after)
        try:
            assert grow(config, parts, executor=executor) == expected
        except KeyboardInterrupt:
            assert stop_after
        jobs += executor.jobs
    assert jobs == straight.jobs, "nothing is trained twice"
    history = read_history(parts)
    assert history.best == expected.winner and len(history.records) == expected.candidates
    assert [(one.spec, one.state, one.kept) for one in history.records] == [
        (one.spec, one.state, one.kept) for one in before.records
    ]


def test_partial_trainings_have_no_baseline(config: GrowConfig, tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError,
        match=r"growth\.strategy=halving compares.*after 8 images.*growth\.rank_by=pooled, per_resolution or raw",
    ):
        grow(choosing(config, strategy="halving", rank_by="normalized"), tmp_path / "run", executor=InProcess())
