"""The mapping from items to value axes: the shipped file fits the shipped items; a user's file is checked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from data.blocks import BLOCKS
from data.importers.codebook import read_codebook, shipped
from data.records import Item
from data.value_axes import Link, read_axes

MINIMAL = """\
format: polyphony-value-axes
version: 1
axes:
  openness:
    first: {name: openness to change, values: [self_direction]}
    second: {name: conservation, values: [security, tradition]}
items:
  my/god: {axis: openness, first_pole_at: first, value: tradition, because: religiosity}
  my/aims: {axis: openness, positions: [-1, 0.5, 1], because: aims}
"""


@pytest.fixture
def written(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        path = tmp_path / "axes.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


@pytest.fixture(scope="module")
def items() -> dict[str, Item]:
    every = [item for block in BLOCKS.values() for item in block.items]
    return {one.id: one for one in [*every, *(coded.item for coded in read_codebook(shipped("wvs7")).items)]}


def test_every_shipped_link_fits_a_shipped_item(items: dict[str, Item]) -> None:
    axes = read_axes()
    by_name = {axis.name: axis for axis in axes.axes}
    assert set(by_name) == {"openness", "transcendence"}
    for name, link in axes.links.items():
        item = items[name]
        places = axes.toward(by_name[link.axis], name, len(item.options), item.scale)
        assert places is not None
        assert {places.min(), places.max()} == {-1.0, 1.0}
        assert link.because


@pytest.mark.parametrize(
    ("item", "axis", "option"),
    [
        ("wvs/bribe", "transcendence", "1 (never justifiable)"),
        ("wvs/immigration", "openness", "Let anyone come who wants to"),
        ("ess/imwbcnt", "openness", "10 (better place to live)"),
        ("kakadu/jobs", "transcendence", "Strongly disagree"),
        ("wvs_us/god_important", "openness", "1 (not at all important)"),
        ("wvs_us/god_important", "tradition", "10 (most important)"),
        ("wvs7/Q150", "openness", "Freedom"),
        ("wvs7/Q150", "security", "Security"),
        ("wvs7/Q17", "conformity", "Named as important"),
        ("wvs7/Q106", "transcendence", "1 (incomes should be made more equal)"),
        ("wvs7/Q109", "achievement", "1 (competition is good)"),
    ],
)
def test_the_first_pole_is_at_the_end_that_says_so(items: dict[str, Item], item: str, axis: str, option: str) -> None:
    axes = read_axes()
    found = next(one for one in (*axes.axes, *axes.singles) if one.name == axis)
    places = axes.toward(found, item, len(items[item].options), items[item].scale)
    assert places is not None
    assert items[item].options[int(places.argmax())] == option


def test_positions_by_hand(written: Callable[[str], Path]) -> None:
    axes = read_axes(written(MINIMAL))
    (axis,) = axes.axes
    (tradition,) = axes.singles
    np.testing.assert_allclose(axes.toward(axis, "my/god", 3, (0, 1, 4)), [1, 0.5, -1])
    np.testing.assert_allclose(axes.toward(axis, "my/god", 3, (4, 1, 0)), [1, -0.5, -1])
    np.testing.assert_allclose(axes.toward(tradition, "my/god", 3, (0, 1, 4)), [-1, -0.5, 1])
    np.testing.assert_allclose(axes.toward(axis, "my/aims", 3, None), [-1, 0.5, 1])
    assert axes.toward(tradition, "my/aims", 3, None) is None
    assert axes.toward(axis, "my/other", 3, None) is None
    assert [axis.side(value) for value in ("self_direction", "tradition", "hedonism")] == [1, -1, 0]
    assert tradition.side("hedonism") == -1


def test_a_nominal_item_has_positions_with_two_options_only() -> None:
    link = Link("openness", "last", (), "", "why")
    np.testing.assert_allclose(link.toward(2, None), [-1, 1])
    assert link.toward(3, None) is None


def test_positions_must_fit_the_options(written: Callable[[str], Path]) -> None:
    axes = read_axes(written(MINIMAL))
    with pytest.raises(ValueError, match=r"'my/aims' has 3 positions for 4 options"):
        axes.toward(axes.axes[0], "my/aims", 4, None)


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ("version: 1", "version: 2", r"line 2, key 'version': found '2'"),
        ("[self_direction]", "[freedom]", r"line 5, key 'values': found 'freedom'"),
        ("[self_direction]", "[security]", r"key 'second': 'security' is on both poles"),
        ("[self_direction]", "[]", r"key 'values': found \[\], expected a list"),
        ("my/god: {axis: openness", "my/god: {axis: open", r"line 8, key 'axis': my/god: found 'open'"),
        ("first_pole_at: first", "first_pole_at: top", r"key 'first_pole_at': my/god: found 'top'"),
        ("first_pole_at: first, ", "", r"expected either first_pole_at or positions"),
        ("value: tradition", "value: hedonism", r"key 'value': my/god: found 'hedonism'"),
        ("because: religiosity", "reason: religiosity", r"key 'reason': unknown; did you mean"),
        (", because: religiosity", "", r"key 'because': found None, expected text"),
        ("[-1, 0.5, 1]", "[-1, 0.5, 2]", r"key 'positions': my/aims: found"),
        ("[-1, 0.5, 1]", "[-1, x, 1]", r"key 'positions': my/aims: found"),
        ("  openness:", "  tradition:", r"key 'tradition': is the name of a single value"),
    ],
)
def test_a_file_at_fault_is_refused(written: Callable[[str], Path], old: str, new: str, found: str) -> None:
    path = written(MINIMAL.replace(old, new))
    with pytest.raises(ValueError, match=found) as error:
        read_axes(path)
    assert str(path) in str(error.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"axes\.yaml not found"):
        read_axes(tmp_path / "axes.yaml")
