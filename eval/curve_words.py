"""A response curve in a sentence: how the measure responds, how sure that is, and where it levels off."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from eval.curve_families import OVER
from eval.curve_fit import FEW, FLAT, LEAST_TO_SETTLE, NO_INTERVAL, ONE_DRAW, TREND
from eval.inference import signed

Curve = Mapping[str, Any]
_TITLES = {
    ("js_distance", "seen items"): "JS distance to people on trained questions",
    ("js_distance", "all"): "JS distance to people on new questions",
    ("between_ratio", "seen items"): "variation between countries on trained questions (people = 1)",
    ("between_ratio", "all"): "variation between countries on new questions (people = 1)",
}
"""What the first screen has a sentence on, of the first-token audit."""


def said(found: Mapping[str, Any]) -> list[str]:
    """Sentences for the head of a report from summary.json's `response_curves`: two a family, of trained questions
    where these were asked.
    """
    shown: dict[tuple[str, str], str] = {}
    for curve in found.get("curves") or ():
        title = _TITLES.get((curve["name"], curve["group"]))
        if title and curve["audit"] == "first_token":
            words = f"As training data gets more diverse ({curve['family']}): {sentence(curve, found['over'], title)}"
            shown.setdefault((curve["family"], curve["name"]), words)
    return list(shown.values())


def sentence(curve: Curve, over: str, title: str) -> str:
    """`curve` is a row of summary.json's `response_curves`, what is undefined NaN or None; `title` its measure."""
    trend, words = curve["trend"], OVER[over][0]
    x = [f"{value:.3g}" for value in curve["diversity"]]
    swept = f"from {x[0]} to {x[-1]}"
    state, doubling = trend["state"], f"{_change(trend, 'slope', 'low', 'high')} a doubling of the {words}"
    change = _change(trend, "change", "change_low", "change_high")
    if state == FEW:
        return f"{title}: too few levels of diversity for a trend."
    if state == NO_INTERVAL:
        return f"{title}: {doubling}, without an interval, so no trend is claimed."
    if state == ONE_DRAW:
        return (
            f"{title}: {doubling} in one data draw. What was drawn cannot be told from how much: no trend is claimed."
        )
    if state == FLAT:
        return f"{title} hardly responds: {swept} it changes by {change}, within the margin of ±{curve['margin']:g}."
    if state != TREND:
        return f"{title}: no trend is shown, and none is ruled out: {doubling}; {swept}, {change}."
    verb = "rises" if trend["slope"] > 0 else "falls"
    return f"{title} {verb}: {doubling}; {swept}, {change}. {settled(curve)}"


def settled(curve: Curve) -> str:
    """Where a measure with a trend levels off, as a sentence."""
    found, margin, last = curve["settled"], curve["margin"], curve["diversity"][-1]
    if not _known(margin):
        return "No margin is set for it, so where it levels off is not asked."
    if not found["looked"]:
        return f"Where it levels off is not asked of fewer than {LEAST_TO_SETTLE} levels."
    within = f"it stays within {margin:g} of its value at {last:.3g}"
    bounds = f"95% interval {interval(curve)}"
    if not _known(found["value"]):
        return f"It has not levelled off within the sweep: the last step changes it by more than {margin:g} ({bounds})."
    if found["value"] <= curve["diversity"][0] * (1 + 1e-9):
        return f"All along the sweep {within} ({bounds})."
    return f"From about {found['value']:.2g} on {within} ({bounds})."


def interval(curve: Curve) -> str:
    """The interval of where a measure levels off: `"4.2 to 17"`, `"4.2 to beyond the sweep"`, `"beyond the sweep"`."""
    low, high = curve["settled"]["low"], curve["settled"]["high"]
    if not _known(low):
        return "beyond the sweep"
    first = "the least" if low <= curve["diversity"][0] * (1 + 1e-9) else f"{low:.2g}"
    return f"{first} to {f'{high:.2g}' if _known(high) else 'beyond the sweep'}"


def _change(trend: Mapping[str, Any], *keys: str) -> str:
    value, low, high = (trend[key] for key in keys)
    digits = 3 if max((abs(each) for each in (value, low, high) if _known(each)), default=0.0) >= 0.01 else 4
    bounds = f" [{signed(low, digits)}, {signed(high, digits)}]" if _known(low) and _known(high) else ""
    return signed(value, digits) + bounds


def _known(value: float | None) -> bool:
    return value is not None and math.isfinite(value)
