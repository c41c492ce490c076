"""What a comparison says, in sentences with intervals: who is closer to people, and what became of variation."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from eval.inference import signed
from eval.records import Comparison, Estimate
from eval.validity import Validity

AUDIT, MEASURE, CONDITION = "first_token", "js_distance", "country"
_WHERE = (
    ("all", "On questions and in countries held out from training"),
    ("seen items", "On trained questions in held-out countries"),
    ("later wave", "On trained questions in trained countries, asked again in a later wave"),
)
_VARIATION = (
    ("between_ratio", "Variation between countries"),
    ("within_ratio", "Variation within countries"),
)
FEW = 6
"""A sentence names so many arms; of more it says how many, and which lie at the ends."""
Estimates = Mapping[str, Mapping[str, Sequence[Estimate]]]


def findings(
    base: str | None,
    arms: Sequence[str],
    estimates: Estimates,
    comparisons: Sequence[Comparison],
    validity: Mapping[str, Validity],
    effects: Sequence[Mapping[str, Any]] = (),
) -> list[str]:
    """Sentences for the head of a report. `estimates` are by arm and audit, `effects` rows of summary.json's effects; a
    collapsed arm is named, not ranked.
    """
    ranked = [arm for arm in arms if validity[arm].status not in ("collapsed", "incomplete")]
    sentences = []
    for group, where in _WHERE:
        rows = [
            row
            for row in comparisons
            if (row.against, row.audit, row.name, row.group, row.condition) == (base, AUDIT, MEASURE, group, CONDITION)
            and row.arm in ranked
        ]
        if rows:
            sentences.append(closeness(where, rows, group, estimates))
    for name, title in _VARIATION:
        found = [(arm, one) for arm in ranked if (one := _find(estimates, arm, name)) and math.isfinite(one.value)]
        if found:
            sentences.append(f"{title} (people = 1): {levels(base, found)}.")
    sentences += effects_found(effects)
    for arm in arms:
        if arm not in ranked:
            state = "is incomplete" if validity[arm].status == "incomplete" else "has collapsed and is not ranked"
            sentences.append(f"{arm} {state}: {'; '.join(validity[arm].reasons)}.")
    return sentences


def levels(base: str | None, found: Sequence[tuple[str, Estimate]]) -> str:
    """Arms with their values and intervals; of more than FEW the base, the ends and the median of the others."""

    def said(arm: str, one: Estimate) -> str:
        return f"{arm} {one.value:.2f}{_interval(one.low, one.high)}"

    if len(found) <= FEW:
        return ", ".join(said(*pair) for pair in found)
    others = sorted((pair for pair in found if pair[0] != base), key=lambda pair: pair[1].value)
    ends = f"highest {said(*others[-1])}, lowest {said(*others[0])}"
    median = statistics.median(one.value for _, one in others)
    first = [f"{said(*pair)}; " for pair in found if pair[0] == base]
    return f"{''.join(first)}of {len(others)} {'other ' * bool(first)}arms {ends}, median {median:.2f}"


def effects_found(effects: Sequence[Mapping[str, Any]]) -> list[str]:
    """One sentence on the factors whose effect on the distance to people has an interval without 0; none otherwise."""
    parts = []
    for group, where in _WHERE:
        here = [row for row in effects if (row["audit"], row["name"], row["group"]) == (AUDIT, MEASURE, group)]
        clear = [row for row in here if row["low"] > 0 or row["high"] < 0]
        if clear:
            told = ", ".join(
                f"{row['effect']} {signed(row['value'], 2)} [{signed(row['low'], 2)}, {signed(row['high'], 2)}]"
                for row in clear
            )
            noise = clear[0]["method"].replace("; ", ", ")
            parts.append(f"{where[0].lower()}{where[1:]}, {told} ({len(clear)} of {len(here)} effects, {noise})")
    if not parts:
        return []
    return [f"What each factor does to mean JS distance to people (exploratory): {'; '.join(parts)}."]


def closeness(where: str, rows: Sequence[Comparison], group: str, estimates: Estimates) -> str:
    """One sentence on the distance to people of all arms against one other, with paired differences."""
    against = rows[0].against
    own = _find(estimates, against, MEASURE, group)
    level = f" ({own.value:.2f})" if own and math.isfinite(own.value) else ""

    def held(row: Comparison) -> str:
        value = _find(estimates, row.arm, MEASURE, group)
        level_of = f"{value.value:.2f}, " if value and math.isfinite(value.value) else ""
        bounds = "" if math.isnan(row.low) else f" [{signed(row.low, 2)}, {signed(row.high, 2)}]"
        return f"({level_of}difference {signed(row.value, 2)}{bounds}{_here(row)})"

    if len(rows) <= FEW:
        said = ", ".join(f"{row.arm} {_verb(row)} {held(row)}" for row in rows)
    else:
        verbs = Counter(_verb(row) for row in rows)
        said_of = {verb: verb if verbs[verb] == 1 else many for verb, many in _PLURAL.items() if verbs[verb]}
        counts = ", ".join(f"{verbs[verb]} {words}" for verb, words in said_of.items())
        nearest, furthest = (end(rows, key=lambda row: row.value) for end in (min, max))
        said = (
            f"of {len(rows)} arms {counts} (each by its own interval, not corrected for their number); "
            f"nearest to people {nearest.arm} {held(nearest)}, furthest {furthest.arm} {held(furthest)}"
        )
    noise = "; ".join(dict.fromkeys(row.method.replace("; ", ", ") for row in rows[:FEW]))
    return (
        f"{where}, mean JS distance to people against {against}{level}: {said}; "
        f"n = {rows[0].n} question × group pairs, {noise}."
    )


_PLURAL = {
    "is closer": "are closer",
    "cannot be told apart": "cannot be told apart",
    "is further away": "are further away",
    "has no interval": "have no interval",
}


def _verb(row: Comparison) -> str:
    if math.isnan(row.low):
        return "has no interval"
    if row.high < 0:
        return "is closer"
    return "is further away" if row.low > 0 else "cannot be told apart"


def _here(row: Comparison) -> str:
    """Whether these very questions say more than the interval for questions at large; "" where they don't."""
    if not (row.low <= 0 <= row.high) or row.low_here <= 0 <= row.high_here or math.isnan(row.low_here):
        return ""
    verb = "closer" if row.high_here < 0 else "further away"
    return f"; on these very questions {verb}, [{signed(row.low_here, 2)}, {signed(row.high_here, 2)}] over countries"


def _find(estimates: Estimates, arm: str, name: str, group: str = "all") -> Estimate | None:
    for one in estimates.get(arm, {}).get(AUDIT, ()):
        if (one.name, one.group, one.condition) == (name, group, CONDITION):
            return one
    return None


def _interval(low: float, high: float) -> str:
    return "" if math.isnan(low) else f" [{low:.2f}, {high:.2f}]".replace("-", "−")
