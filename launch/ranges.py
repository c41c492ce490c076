"""The ranges that `polyphony tune` searches, as a user writes them beside ordinary overrides.

`recipe.beta=log:0.02:2`, `recipe.x=range:0.1:0.9`, `range:1:8` (whole numbers), `range:1:9:2` (steps of 2), and a list
of choices, `recipe.loss_type=sigmoid,ipo`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from launch.compose import Composer

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

RANGE = re.compile(r"(?P<key>[^=]+)=(?P<kind>log|range):(?P<low>[^:]+):(?P<high>[^:]+?)(:(?P<step>[^:]+))?")


def searched(composer: Composer, overrides: Sequence[str]) -> tuple[dict[str, BaseDistribution], list[str]]:
    """The spaces to search by key, and the overrides that are fixed. Raises ValueError for a wrong range, a key that is
    given twice, or where nothing is searched.
    """
    from optuna.distributions import CategoricalDistribution

    spaces: dict[str, BaseDistribution] = {}
    fixed = []
    for text in overrides:
        if found := RANGE.fullmatch(text):
            key, space = found["key"], _space(text, found)
        elif (parsed := composer.parse([text])[0]).is_sweep_override():
            if not parsed.is_discrete_sweep():
                raise ValueError(f"{text!r} has no finite list of values: write log:LOW:HIGH or range:LOW:HIGH")
            key, space = parsed.get_key_element(), CategoricalDistribution(tuple(parsed.sweep_string_iterator()))
        else:
            fixed.append(text)
            continue
        if key in spaces:
            raise ValueError(f"{key} is given two ranges")
        spaces[key] = space
    keys = {composer.parse([text])[0].key_or_group for text in fixed}
    if both := sorted(keys & set(spaces)):
        raise ValueError(f"{both[0]} is given both a value and a range")
    if not spaces:
        raise ValueError("nothing is searched: give a knob a range, e.g. recipe.beta=log:0.02:2 or recipe.beta=0.1,0.5")
    return spaces, fixed


def _space(text: str, found: re.Match[str]) -> BaseDistribution:
    from optuna.distributions import FloatDistribution, IntDistribution

    kind, low, high, step = found["kind"], found["low"], found["high"], found["step"]
    numbers = [one for one in (low, high, step) if one is not None]
    try:
        if kind == "range" and all(re.fullmatch(r"[+-]?\d+", one) for one in numbers):
            return IntDistribution(int(low), int(high), step=int(step or 1))
        if kind == "log" and step is not None:
            raise ValueError("a logarithmic range has no steps")
        return FloatDistribution(float(low), float(high), log=kind == "log", step=float(step) if step else None)
    except ValueError as error:
        raise ValueError(f"{text!r} is no range: {error}") from error


def as_it_is(cells: Sequence[Mapping[str, Any]], spaces: Mapping[str, Any]) -> dict[str, Any]:
    """The values that the searched knobs have unless they are searched; empty where one lies outside of its range."""
    found: dict[str, Any] = {}
    for key, space in spaces.items():
        value: Any = cells[-1]
        for part in key.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        value = cells[-1]["chosen"].get(key, value)
        if hasattr(space, "choices"):
            inside = str(value) in space.choices
            value = str(value)
        else:
            inside = isinstance(value, int | float) and space.low <= value <= space.high
        if not inside:
            return {}
        found[key] = value
    return found


def as_text(value: Any) -> str:
    """A value as an override says it: four digits are enough, and name it."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
