"""Architectures: what is written is what is read, ids never change, and a file that is not right is refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ganas.cyclegan.architecture import Architecture, handmade, load_architecture
from ganas.cyclegan.layout import LAYOUTS, NETWORKS
from ganas.errors import ArchitectureError


@st.composite
def architectures(draw: st.DrawFn) -> Architecture:
    layout = LAYOUTS[draw(st.sampled_from(sorted(LAYOUTS)))]
    ops = {name: tuple(draw(st.sampled_from(slot.ops)) for slot in layout.network(name).searched) for name in NETWORKS}
    return Architecture(layout.name, **ops)


GOLDEN_FILE = Path(__file__).with_name("architecture_schema1.json")


def golden(layout: str = "framed") -> Architecture:
    """The architecture of the golden file."""
    residual = ("conv3", "conv5", "conv7", "dilconv3", "dilconv5", "conv3", "conv3", "conv7", "conv5") * 2
    return Architecture(
        layout,
        generator_ab=("conv3", "conv7", *residual, "nearest", "deconv3"),
        generator_ba=("maxpool", "dilconv5", *residual[::-1], "bilinear", "nearest"),
        discriminator_a=("conv4", "conv4", "conv5", "avgpool"),
        discriminator_b=("dilconv3", "conv7", "conv3", "maxpool"),
    )


@given(architectures())
def test_json_gives_back_what_was_written(architecture: Architecture) -> None:
    text = architecture.to_json()
    again = Architecture.from_json(text)
    assert again == architecture
    assert (again.id, again.to_json()) == (architecture.id, text)


@given(architectures(), architectures())
def test_equal_architectures_and_no_others_have_equal_ids(one: Architecture, other: Architecture) -> None:
    assert (one.id == other.id) == (one == other)


def test_files_and_ids_never_change() -> None:
    """They lie on users' disks and stand in their papers: if this fails, undo what changed them."""
    assert golden().to_json() == GOLDEN_FILE.read_text()
    assert (golden().id, golden("paper").id) == ("5932df06e1", "47a7c66686")
    assert load_architecture(GOLDEN_FILE) == golden()


def test_a_file_may_leave_the_id_out() -> None:
    assert Architecture.from_json(without("id")) == golden()


def edited(**changes: Any) -> str:
    return json.dumps(json.loads(golden().to_json()) | changes)


def without(key: str) -> str:
    return json.dumps({name: value for name, value in json.loads(golden().to_json()).items() if name != key})


@pytest.mark.parametrize(
    "text, says",
    [
        (golden().to_json()[:200], "not complete JSON"),
        ("", "not complete JSON"),
        ("[1, 2]", "holds a list"),
        (edited(schema=2), "schema 2, newer than this ganas knows.*update ganas"),
        (edited(schema="one"), "schema 'one'"),
        (without("schema"), "schema None"),
        (edited(kind="growth"), "kind 'growth'"),
        (edited(layout="framd"), "unknown layout 'framd'.*framed"),
        (edited(layout="reference"), "generator_ab has 22 ops where layout 'reference' has 24 slots"),
        (edited(discriminator_a=["conv3"]), "discriminator_a has 1 ops where layout 'framed' has 4 slots"),
        (edited(discriminator_b=["conv3", "conv3", "conv3", "conv9"]), r"discriminator_b holds 'conv9' in slot e2\.2"),
        (edited(discriminator_b=["nearest", "conv3", "conv3", "conv3"]), r"'nearest' in slot e1\.1.*maxpool, avgpool"),
        (edited(discriminator_a=None), "discriminator_a|NoneType"),
        (without("generator_ba"), "lacks 'generator_ba'"),
        (
            edited(discriminator_a=list(golden().discriminator_b)),
            f"was edited: its id '{golden().id}' is not .*'[0-9a-f]{{10}}'",
        ),
    ],
)
def test_a_file_that_is_not_right_is_refused_with_its_name_and_the_reason(text: str, says: str) -> None:
    with pytest.raises(ArchitectureError, match=says) as caught:
        Architecture.from_json(text, origin="found/architecture.json")
    assert str(caught.value).startswith("found/architecture.json")
    assert "\n" not in str(caught.value)


def test_following_the_advice_for_an_edited_file_mends_it() -> None:
    changed = golden().discriminator_b
    with pytest.raises(ArchitectureError) as caught:
        Architecture.from_json(edited(discriminator_a=list(changed)))
    identity = str(caught.value).split("'")[3]
    assert Architecture.from_json(edited(discriminator_a=list(changed), id=identity)).discriminator_a == changed


@pytest.mark.parametrize("make", [lambda path: None, Path.mkdir, lambda path: path.write_bytes(bytes(range(256)))])
def test_a_file_that_cannot_be_read_is_refused_by_name(tmp_path: Path, make: Callable[[Path], object]) -> None:
    path = tmp_path / "architecture.json"
    make(path)
    with pytest.raises(ArchitectureError, match=r"cannot read.*architecture\.json"):
        load_architecture(path)


@given(architectures())
def test_it_prints_as_one_line_and_as_a_table_of_all_its_slots(architecture: Architecture) -> None:
    line, layout = str(architecture), LAYOUTS[architecture.layout]
    assert line == line.strip() and "\n" not in line
    assert line.startswith(f"{architecture.layout}:{architecture.id}")
    rows = architecture.table()
    both = [*zip(architecture.generator_ab, architecture.generator_ba, strict=True)]
    assert [row[1:] for row in rows[: len(both)]] == both
    assert len(rows) == len(both) + len(layout.discriminator.searched)
    assert len({row[0] for row in rows}) == len(rows)


def test_the_line_counts_runs_of_one_op() -> None:
    generator = ("conv3", "conv4") + ("conv5",) * 18 + ("nearest", "nearest")
    line = str(Architecture("paper", generator, generator, ("conv3",) * 4, ("maxpool", "conv4", "conv4", "conv3")))
    told = "conv3 conv4 18×conv5 2×nearest"
    assert line.endswith(f" ab {told} | ba {told} | d_a 4×conv3 | d_b maxpool 2×conv4 conv3")


def test_hand_made_networks_are_architectures_by_their_name() -> None:
    assert set(handmade()) == {"resnet0", "resnet3", "resnet6", "resnet9"}
    assert all(Architecture(name).table() == [] for name in handmade())
