"""What a part of the page is made of: a heading, a sentence, tables and figures."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from eval.records import Estimate
from eval.report import wording
from eval.report.figures import Dot
from eval.report.tables import Table
from eval.report.wording import number


@dataclass(frozen=True, slots=True)
class Panel:
    """A drawn figure: its file name, and the words above and below it. `series` where it is one arm's alone, so that
    hiding the arm hides all of it.
    """

    name: str
    heading: str
    caption: str
    series: int | None = None


@dataclass(frozen=True, slots=True)
class Block:
    """One subject of a section: an introduction and, each in a line of its own, `points`. `folded` blocks are closed
    until the reader opens them; `legend` False where the panels name their arms themselves.
    """

    heading: str
    intro: str
    tables: tuple[Table, ...] = ()
    panels: tuple[Panel, ...] = ()
    folded: bool = False
    points: tuple[str, ...] = ()
    legend: bool = True


def spoken(tips: Iterable[str]) -> str:
    """What a figure shows, for who does not see it: its tips without n and method, which the tables have."""
    return "; ".join(text.partition(" (n = ")[0] for text in tips)


def tip(arm: str, estimate: Estimate, share: bool) -> str:
    bounds = wording.interval(estimate.low, estimate.high, share)
    return (
        f"{arm}: {number(estimate.value, share)} {bounds}".strip()
        + f" (n = {wording.count(estimate.n)}; {estimate.method})"
    )


def dot(row: str, series: int, arm: str, estimate: Estimate, share: bool) -> Dot:
    return Dot(row, series, estimate.value, estimate.low, estimate.high, tip(arm, estimate, share))


def slugged(*parts: str) -> str:
    return "-".join("".join(c if c.isascii() and c.isalnum() else "-" for c in part.lower()) for part in parts)
