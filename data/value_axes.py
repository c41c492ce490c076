"""Which survey items and dilemmas speak of the same values: axes with two poles, and the items that lie on them.

`read_axes()` reads the mapping that comes with the program, `read_axes(path)` one of your own (form and sources: see
`value_axes.yaml`). A position is a number in [-1, 1], 1 at the axis's first pole and -1 at its second. Beside its axis
an item may name the single value that it bears on most; these values are axes too, each against the nine others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from data.dilemmas.corpus import VALUES
from data.importers.checked_yaml import CheckedYaml, Node

FORMAT, VERSION = "polyphony-value-axes", "1"
ENDS = ("first", "last")
OTHERS = "the other values"


@dataclass(frozen=True, slots=True)
class Axis:
    """Two poles in words, and the values of `data.dilemmas` that each stands for."""

    name: str
    first: str
    second: str
    first_values: tuple[str, ...]
    second_values: tuple[str, ...]

    def side(self, value: str) -> int:
        """1 where the value belongs to the first pole, -1 to the second, 0 to neither."""
        return int(value in self.first_values) - int(value in self.second_values)


@dataclass(frozen=True, slots=True)
class Link:
    """Why and how an item lies on an axis: by the end of its options that is the first pole, or option by option."""

    axis: str
    first_pole_at: str
    positions: tuple[float, ...]
    value: str
    because: str

    def toward(self, options: int, scale: Sequence[float] | None) -> npt.NDArray[np.float64] | None:
        """The options' positions (options,) in [-1, 1]; None for a nominal item of more than two options whose link
        gives no positions. `scale` are the item's own positions (None: nominal), ascending or descending.

        ValueError where the link gives another number of positions than there are options.
        """
        if self.positions:
            if len(self.positions) != options:
                raise ValueError(f"{len(self.positions)} positions for {options} options")
            return np.asarray(self.positions)
        if scale is None and options > 2:
            return None
        places = np.asarray(range(options) if scale is None else scale, dtype=np.float64)
        rising = 2 * (places - places[0]) / (places[-1] - places[0]) - 1
        return np.asarray(rising if self.first_pole_at == "last" else -rising)


@dataclass(frozen=True)
class ValueAxes:
    """A checked mapping: `axes` as in the file, `links` by item id."""

    axes: tuple[Axis, ...]
    links: Mapping[str, Link]

    @property
    def singles(self) -> tuple[Axis, ...]:
        """An axis for each value that some item names, against the other values, in the order of Schwartz's circle."""
        named = {link.value for link in self.links.values()}
        return tuple(
            Axis(value, value.replace("_", "-"), OTHERS, (value,), tuple(one for one in VALUES if one != value))
            for value in VALUES
            if value in named
        )

    def toward(
        self, axis: Axis, item: str, options: int, scale: Sequence[float] | None
    ) -> npt.NDArray[np.float64] | None:
        """Positions of the item's options on an axis (one of `axes` or `singles`); None where the item isn't on it or
        has no positions. ValueError naming the item where the link does not fit its options.
        """
        link = self.links.get(item)
        if link is None or axis.name not in (link.axis, link.value):
            return None
        try:
            places = link.toward(options, scale)
        except ValueError as error:
            raise ValueError(f"value axes: item {item!r} has {error}") from error
        if places is None or axis.name == link.axis:
            return places
        side = next(one for one in self.axes if one.name == link.axis).side(link.value)
        return side * places


def read_axes(path: Path | None = None) -> ValueAxes:
    """The mapping in a YAML file, checked wholly; the shipped one by default. Raises FileNotFoundError, or ValueError
    naming file, line and key at fault.
    """
    file = Path(str(resources.files("data") / "value_axes.yaml")) if path is None else path
    if not file.is_file():
        raise FileNotFoundError(f"value axes {file} not found: expected a YAML file")
    return _Reader(str(file)).read()


class _Reader(CheckedYaml):
    """Makes the mapping of the YAML; every method names file, line and key of what it refuses."""

    def read(self) -> ValueAxes:
        content = self.load()
        if not isinstance(content, Node):
            raise ValueError(f"{self.path}: found {type(content).__name__}, expected a mapping of keys")
        self.known(content, ("format", "version", "axes", "items"))
        for key, expected in (("format", FORMAT), ("version", VERSION)):
            if content.get(key) != expected:
                raise self.fail(content, key, f"found {content.get(key)!r}, expected {expected!r}")
        given = self.mapping(content, "axes")
        axes = {name: self.axis(given, name) for name in given}
        if not axes:
            raise self.fail(content, "axes", "names no axis, expected at least one")
        items = self.mapping(content, "items")
        return ValueAxes(tuple(axes.values()), {item: self.link(items, item, axes) for item in items})

    def axis(self, given: Node, name: str) -> Axis:
        node = self.mapping(given, name)
        self.known(node, ("first", "second"))
        if name in VALUES:
            raise self.fail(given, name, "is the name of a single value, expected another name for an axis")
        poles = {}
        for side in ("first", "second"):
            pole = self.mapping(node, side)
            self.known(pole, ("name", "values"))
            values = pole.get("values")
            if not isinstance(values, list) or not values or len(set(map(str, values))) != len(values):
                raise self.fail(pole, "values", f"found {values!r}, expected a list of different values")
            if wrong := [value for value in values if value not in VALUES]:
                raise self.fail(pole, "values", f"found {wrong[0]!r}, expected values among {', '.join(VALUES)}")
            poles[side] = (self.text(pole, "name"), tuple(values))
        if both := sorted(set(poles["first"][1]) & set(poles["second"][1])):
            raise self.fail(node, "second", f"{both[0]!r} is on both poles")
        return Axis(name, poles["first"][0], poles["second"][0], poles["first"][1], poles["second"][1])

    def link(self, items: Node, item: str, axes: Mapping[str, Axis]) -> Link:
        node = self.mapping(items, item)
        self.known(node, ("axis", "first_pole_at", "positions", "value", "because"))
        name, value = self.text(node, "axis"), self.text(node, "value", "")
        if name not in axes:
            raise self.fail(node, "axis", f"{item}: found {name!r}, expected one of {', '.join(axes)}")
        if value and not axes[name].side(value):
            poles = (*axes[name].first_values, *axes[name].second_values)
            raise self.fail(node, "value", f"{item}: found {value!r}, expected a value of {name}: {', '.join(poles)}")
        if ("first_pole_at" in node) == ("positions" in node):
            raise self.fail(node, "first_pole_at", f"{item}: expected either first_pole_at or positions")
        end = self.text(node, "first_pole_at", "")
        if "first_pole_at" in node and end not in ENDS:
            raise self.fail(node, "first_pole_at", f"{item}: found {end!r}, expected one of {', '.join(ENDS)}")
        return Link(name, end, self.positions(node, item), value, self.text(node, "because"))

    def positions(self, node: Node, item: str) -> tuple[float, ...]:
        given: Any = node.get("positions", [])
        try:
            found = tuple(float(one) for one in given) if isinstance(given, list) else ()
        except (TypeError, ValueError):
            found = ()
        if "positions" in node and (len(found) < 2 or not all(-1 <= one <= 1 for one in found)):
            raise self.fail(node, "positions", f"{item}: found {given!r}, expected a number in [-1, 1] for each option")
        return found
