"""Tables of growing searches: round trips, truths, and replays against what can be counted."""

import gzip
import math
from dataclasses import replace
from pathlib import Path

import pytest

from ganas.errors import RunError
from ganas.growing.children import uniform
from ganas.growing.table import Row, Table, read_table, regrets, replay, write_table
from ganas.growing.topk import RACE, TopK

ACTIONS = ("g-conv3x4", "d-conv3x4", "on", "fade")
SCORE = "fid@squeezenet-clean-64"


def paths(table: Table) -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []
    waiting = [(table.base, ())]
    while waiting:
        architecture, path = waiting.pop()
        found.append(path)
        for action in table.space.legal(architecture, len(path)):
            waiting.append((action(architecture), (*path, str(action))))
    return found


@pytest.fixture(scope="module")
def table() -> Table:
    """A small tree in three worlds, with random scores that get better with training."""
    facts = {"data": "noise"}
    empty = Table(4, 8, ACTIONS, 2, 16, 32, (0.25, 0.5, 1), SCORE, facts, ())
    rows = [
        Row(
            world,
            path,
            seed=world,
            images=32,
            seconds=1.5,
            parameters={"generator": 1, "discriminator": 1},
            macs={"generator": 1, "discriminator": 1},
            scores={SCORE: tuple(1 + uniform(world, path, share) / share for share in empty.shares)},
        )
        for world in range(3)
        for path in paths(empty)
    ]
    return replace(empty, rows=tuple(rows))


def search(table: Table, **settings: object) -> TopK:
    given = {"images": 32, "keep": 99, "probability": 1.0, "seed": 0, "rank_by": "raw"} | settings
    return TopK([table.base], table.space, **given)  # type: ignore[arg-type]


def test_a_table_comes_back_as_it_was_written(table: Table, tmp_path: Path) -> None:
    for name, one in (("one", table), ("other", replace(table, rows=table.rows[::-1]))):
        write_table(tmp_path / name, one)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()
    read = read_table(tmp_path / "one")
    assert set(map(str, read.rows)) == set(map(str, table.rows)) and replace(read, rows=()) == replace(table, rows=())
    assert read.worlds == (0, 1, 2)
    assert replace(read, rows=tuple(row for row in read.rows if row.path or row.world)).worlds == (1, 2), (
        "complete ones"
    )


def test_the_truth_of_a_path_is_its_mean_in_other_worlds(table: Table) -> None:
    path = ("fade", "on")
    expected = (math.log(table.score(0, path)) + math.log(table.score(2, path))) / 2
    assert table.truth(1, path) == pytest.approx(expected, rel=1e-12)
    assert table.score(1, path, 8) == table.score(1, path, 5) != table.score(1, path, 16)


def test_a_search_of_everything_finds_the_best_score_of_its_world(table: Table) -> None:
    for world in table.worlds:
        found = replay(table, search(table), world)
        at_16 = [path for path in paths(table) if "fade" in path]
        winner = min(at_16, key=lambda path: table.score(world, path))
        assert found.images == 32 * len(paths(table)) and found.end == table.truth(world, winner)
        (regret,) = regrets(table, [(world, found)])
        assert regret == found.end - min(table.truth(world, path) for path in at_16) >= 0


def test_a_race_spends_what_its_rungs_say(table: Table) -> None:
    for world in table.worlds:
        race = search(table, keep=1, rungs=RACE)
        found = replay(table, race, world)
        first = 32 + 4 * 8 + 2 * 8 + 2 * 16  # the base, its four children, two of which go on to the end
        doubled = race.candidates[race.beams[1][0]].action == "fade"
        second = 3 * 8 + 1 * 8 + 1 * 16 if doubled else 32  # three children, or the doubling alone
        assert found.images == first + second
        assert found == replay(table, search(table, keep=1, rungs=RACE), world)


def test_a_damaged_table_is_refused(table: Table, tmp_path: Path) -> None:
    file = tmp_path / "table.gz"
    write_table(file, table)
    text = gzip.decompress(file.read_bytes()).decode()
    for content, reason in (
        (file.read_bytes()[:50], "is no table of a growing search"),
        (b"noise", "is no table of a growing search"),
        (gzip.compress(text.replace('"schema": 1', '"schema": 2').encode()), "has another schema than 1: update ganas"),
        (gzip.compress(text.replace('"depth"', '"deep"').encode()), "deep"),
    ):
        file.write_bytes(content)
        with pytest.raises(RunError, match=reason):
            read_table(file)
