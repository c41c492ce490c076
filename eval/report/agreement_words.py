"""What the section "Do the audits agree?" says in sentences."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from eval.agreement.units import FITTED, PEOPLE
from eval.inference import signed
from eval.report import wording
from eval.report.summary import as_float

UNSAID = (
    "A zero is the middle of a survey's scale in one audit and indifference between two actions "
    "in another, so a difference of levels is partly one of units. Moves from the base are free of that, but not of "
    "the scales' lengths. A model that answers nearly evenly stands near 0 everywhere: two audits near 0 do not "
    "agree, they are silent."
)
SAME = (
    "The same item put to the same country by two audits. The distance that sampling alone makes comes from the number "
    "of participants or respondents; the excess (in bits) is 0 on average where both say the same, and may be negative "
    "by chance. A correlation over items and countries is mostly one of items; within items it is what is left for "
    "countries."
)
_SURVEYS = (
    ("first_token", "none", "all"),
    ("first_token", "none", "seen items"),
    ("first_token", "country", "all"),
    ("first_token", "country", "seen items"),
)
Rows = Sequence[Mapping[str, Any]]


def findings(found: Mapping[str, Any], axis: Mapping[str, Any], title: str) -> list[str]:
    """What is found: how many arms agree, then levels and moves arm by arm."""
    pairs, moves = (_main(of_axis(found[name], axis)) for name in ("pairs", "move_pairs"))
    if not pairs:
        return [
            f"On {title} surveys and dilemmas cannot be compared: one of them asked nothing about it that is known to "
            "lie on this axis."
        ]
    first = pairs[0]
    stated = {"none": "nobody stated", "country": "countries stated"}[first["first_condition"]]
    group = first["first_group"]
    seen = "" if group == "all" else f", {wording.STRATA.get(group, group)}"
    said = [
        f"{row['arm']} at {bounded(row, 'first_')}, its choices in dilemmas at {bounded(row, 'second_')}, {_apart(row)}"
        for row in pairs
    ]
    sentences = [
        f"On {title}, {_counted(pairs, ('lean to the same side', 'to opposite sides'))}.",
        f"The survey ({stated}{seen}) puts {'; '.join(said)}.",
        *_people(found, axis, group),
    ]
    if moves:
        moved = [
            f"in {row['arm']} what it says by {bounded(row, 'first_')}, what it chooses by {bounded(row, 'second_')}"
            for row in moves
        ]
        counted = _counted(moves, ("moved the same way", "opposite ways"))
        sentences += [f"From the base, {counted}.", f"Training moved {'; '.join(moved)}."]
    ranked = [row for row in of_axis(found["across"], axis) if survey(row, "") == survey(first, "first_")]
    sentences += [
        f"Over {row['n']} arms the ranks by survey and by dilemmas correlate by {bounded(row, '')}, an interval that "
        "covers items and dilemmas and not the choice of arms."
        for row in ranked
        if math.isfinite(as_float(row["value"]))
    ]
    return sentences


def _counted(rows: Rows, ways: tuple[str, str]) -> str:
    """`"survey and dilemmas lean to the same side in 1 and to opposite sides in 0 of 3 arms; in 2 it is …"`."""
    counts = Counter(row["direction"] for row in rows)
    same, opposite = counts["same side"], counts["opposite sides"]
    said = f"survey and dilemmas {ways[0]} in {same} and {ways[1]} in {opposite} of {len(rows)} arms"
    left = len(rows) - same - opposite
    return f"{said}; in {left} it is not settled (an interval holds 0, or items are too few)" if left else said


def _people(found: Mapping[str, Any], axis: Mapping[str, Any], group: str) -> list[str]:
    """Where people stand on the same items."""
    return [
        f"People stand at {bounded(row, '')} on these items."
        for row in of_axis(found["positions"], axis)
        if (row["condition"], row["audit"], row["group"]) == (PEOPLE, "first_token", group)
    ]


def _main(rows: Rows) -> list[Mapping[str, Any]]:
    """One row an arm: the first of `_SURVEYS` that there is, beside what all dilemmas imply."""
    for wanted in _SURVEYS:
        picked = [row for row in rows if survey(row, "first_") == wanted and row["second_condition"] == FITTED]
        if picked:
            return picked
    return []


def survey(row: Mapping[str, Any], side: str) -> tuple[str, str, str]:
    return row[f"{side}audit"], row[f"{side}condition"], row[f"{side}group"]


def _apart(row: Mapping[str, Any]) -> str:
    low, high = as_float(row["low"]), as_float(row["high"])
    told = "they differ by" if low > 0 or high < 0 else "not told apart,"
    return f"{told} {bounded(row, '')}"


def ground(found: Mapping[str, Any], axis: Mapping[str, Any]) -> list[str]:
    """How thin the ground of `findings` is."""
    pairs = _main(of_axis(found["pairs"], axis))
    if not pairs:
        return []
    items, dilemmas = axis["items"]["|".join(survey(pairs[0], "first_"))], axis["dilemmas"]
    count = len(items)
    said = [
        f"This rests on {count} survey item{'s' * (count != 1)} and on {dilemmas} dilemma{'s' * (dilemmas != 1)} that "
        "set the two poles against each other; the position in dilemmas is what the choices in all of them imply."
    ]
    end = as_float(axis["toward_last"])
    if end in (0.0, 1.0) and count > 1:
        place = "last" if end else "first"
        said.append(
            f"All items have the first pole at their {place} option, so a liking of that end looks like a value."
        )
    return said


def bounded(row: Mapping[str, Any], side: str) -> str:
    """`"+0.20 [+0.11, +0.30]"`."""
    value, low, high = (as_float(row[f"{side}{name}"]) for name in ("value", "low", "high"))
    if not math.isfinite(value):
        return "an undefined place"
    bounds = f"[{sign(low)}, {sign(high)}]" if math.isfinite(low) and math.isfinite(high) else "(no interval)"
    return f"{sign(value)} {bounds}"


def sign(value: float, digits: int = 2) -> str:
    """With its sign; nothing but zeros has none."""
    return signed(value, digits) if abs(value) >= 0.5 * 10**-digits else f"{0:.{digits}f}"


def of_axis(rows: Rows, axis: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [row for row in rows if row["axis"] == axis["name"]]
