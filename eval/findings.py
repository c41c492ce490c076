"""What a comparison says, in sentences with intervals: who is closer to people, and what became of variation."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from eval.inference import signed
from eval.records import Comparison, Estimate
from eval.validity import Validity

MAIN = ("first_token", "js_distance", "all", "country")
_VARIATION = (
    ("between_ratio", "Variation between countries"),
    ("within_ratio", "Variation within countries"),
)


def findings(
    base: str | None,
    arms: Sequence[str],
    estimates: Mapping[str, Mapping[str, Sequence[Estimate]]],
    comparisons: Sequence[Comparison],
    validity: Mapping[str, Validity],
) -> list[str]:
    """Sentences for the head of a report. `estimates` are by arm and audit; a collapsed arm is named, not ranked."""
    audit, measure, group, condition = MAIN
    sentences = []
    for arm in arms:
        if validity[arm].status in ("collapsed", "incomplete"):
            what = "is incomplete" if validity[arm].status == "incomplete" else "has collapsed and is not ranked"
            sentences.append(f"{arm} {what}: {'; '.join(validity[arm].reasons)}.")
            continue
        if arm == base:
            continue
        wanted = (arm, base, audit, measure, group, condition)
        for row in comparisons:
            if (row.arm, row.against, row.audit, row.name, row.group, row.condition) == wanted:
                values = [_find(estimates, name, measure) for name in (arm, row.against)]
                sentences.append(closeness(row, *(value.value if value else math.nan for value in values)))
    for name, title in _VARIATION:
        ranked = [arm for arm in arms if validity[arm].status not in ("collapsed", "incomplete")]
        found = [(arm, one) for arm in ranked if (one := _find(estimates, arm, name)) and math.isfinite(one.value)]
        if found:
            parts = [f"{arm} {one.value:.2f}{_interval(one.low, one.high)}" for arm, one in found]
            sentences.append(f"{title} (people = 1): {', '.join(parts)}.")
    return sentences


def closeness(one: Comparison, value: float, against: float) -> str:
    """The sentence on one paired difference of a distance."""
    if math.isnan(one.low):
        verb = "has another distance to people than"
    elif one.high < 0:
        verb = "is closer to people than"
    elif one.low > 0:
        verb = "is further from people than"
    else:
        verb = "cannot be told apart in its distance to people from"
    values = f"mean JS distance {value:.2f} against {against:.2f}, " if math.isfinite(value + against) else ""
    bounds = "" if math.isnan(one.low) else f" [{signed(one.low, 2)}, {signed(one.high, 2)}]"
    return (
        f"On held-out countries and items, {one.arm} {verb} {one.against}: "
        f"{values}difference {signed(one.value, 2)}{bounds}, "
        f"n = {one.n} item × group pairs; {one.method.replace('; ', ', ')}."
    )


def _find(estimates: Mapping[str, Mapping[str, Sequence[Estimate]]], arm: str, name: str) -> Estimate | None:
    audit, _, group, condition = MAIN
    for one in estimates.get(arm, {}).get(audit, ()):
        if (one.name, one.group, one.condition) == (name, group, condition):
            return one
    return None


def _interval(low: float, high: float) -> str:
    return "" if math.isnan(low) else f" [{low:.2f}, {high:.2f}]".replace("-", "−")
