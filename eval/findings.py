"""What a comparison says, in sentences with intervals: who is closer to people, and what became of variation."""

from __future__ import annotations

import math
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
            parts = [f"{arm} {one.value:.2f}{_interval(one.low, one.high)}" for arm, one in found]
            sentences.append(f"{title} (people = 1): {', '.join(parts)}.")
    sentences += effects_found(effects)
    for arm in arms:
        if arm not in ranked:
            state = "is incomplete" if validity[arm].status == "incomplete" else "has collapsed and is not ranked"
            sentences.append(f"{arm} {state}: {'; '.join(validity[arm].reasons)}.")
    return sentences


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
    parts = []
    for row in rows:
        value = _find(estimates, row.arm, MEASURE, group)
        level_of = f"{value.value:.2f}, " if value and math.isfinite(value.value) else ""
        bounds = "" if math.isnan(row.low) else f" [{signed(row.low, 2)}, {signed(row.high, 2)}]"
        parts.append(f"{row.arm} {_verb(row)} ({level_of}difference {signed(row.value, 2)}{bounds}{_here(row)})")
    noise = "; ".join(dict.fromkeys(row.method.replace("; ", ", ") for row in rows))
    return (
        f"{where}, mean JS distance to people against {against}{level}: {', '.join(parts)}; "
        f"n = {rows[0].n} question × group pairs, {noise}."
    )


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
