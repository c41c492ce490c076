"""Tables in Markdown and numbers in words, for all benchmarks."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median


def markdown(table: Sequence[Sequence[str]]) -> list[str]:
    """The first row as head, the first column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = [
        "| "
        + " | ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))])
        + " |"
        for row in table
    ]
    rule = "|" + "|".join(["-" * (widths[0] + 2), *("-" * (width + 1) + ":" for width in widths[1:])]) + "|"
    return [lines[0], rule, *lines[1:]]


def known(number: float | None, form: str) -> str:
    """The number in this format, a dash where it is not known (None, NaN)."""
    return "–" if number is None or number != number else format(number, form)


def spread(numbers: Sequence[float], form: str) -> str:
    """Median and range, "7.0 (6.8–7.2)"; the number alone where there is one, a dash where there is none."""
    if len(numbers) < 2:
        return known(numbers[0] if numbers else None, form)
    return f"{median(numbers):{form}} ({min(numbers):{form}}–{max(numbers):{form}})"
