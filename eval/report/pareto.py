"""A picture of two measures at once: a mark an arm with the intervals of both, hollow where another arm is better in
both of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes

from eval.report.figures import LEAST_SPAN, WIDTH
from eval.report.svg import MUTED, PAPER, RULE, arm_colour, arm_ink, marker, new_figure, style, to_svg

Bounds = tuple[float, float]
_LETTER, _LINE = 4.6, 8.5
"""About how wide a letter and how high a line of a label is, in points."""


@dataclass(frozen=True, slots=True)
class Spot:
    """An arm at (x, y) with its intervals (NaN: none) and its hover; `series` indexes colour and marker."""

    arm: str
    series: int
    x: float
    y: float
    x_bounds: Bounds
    y_bounds: Bounds
    dominated: bool
    tip: str


def pareto(
    name: str, title: str, description: str, spots: Sequence[Spot], *, axes_named: tuple[str, str], target: float
) -> str:
    """`target` is the y of people, a line; x is better to the left. Arms are named where there is room, those that
    nobody dominates first.
    """
    with style():
        figure = new_figure(WIDTH, 3.4)
        axes = figure.subplots()
        axes.axhline(target, color=MUTED, linewidth=0.9, zorder=1)
        tips: dict[str, str] = {}
        for index, spot in enumerate(spots):
            colour, gid = arm_colour(spot.series), f"spot{index}"
            for bounds, across in ((spot.x_bounds, True), (spot.y_bounds, False)):
                if all(map(math.isfinite, bounds)):
                    xs, ys = (bounds, (spot.y, spot.y)) if across else ((spot.x, spot.x), bounds)
                    axes.plot(xs, ys, color=colour, linewidth=1.1, alpha=0.45, zorder=2)
            (drawn,) = axes.plot(
                [spot.x], [spot.y], marker=marker(spot.series), markersize=6, linestyle="none", zorder=4,
                markerfacecolor=PAPER if spot.dominated else colour, markeredgecolor=colour,
            )  # fmt: skip
            drawn.set_gid(gid)
            tips[gid] = spot.tip
        axes.grid(color=RULE, linewidth=0.6)
        axes.set_axisbelow(True)
        axes.margins(0.08)
        _least_span(axes)
        axes.locator_params(nbins=5)
        axes.tick_params(colors=MUTED)
        axes.set_xlabel(axes_named[0])
        axes.set_ylabel(axes_named[1])
        figure.draw_without_rendering()
        _labels(axes, spots)
        return to_svg(figure, name, title, description, tips)


def _least_span(axes: Axes) -> None:
    for limits, set_limits in ((axes.get_xlim(), axes.set_xlim), (axes.get_ylim(), axes.set_ylim)):
        if limits[1] - limits[0] < LEAST_SPAN:
            middle = sum(limits) / 2
            set_limits(middle - LEAST_SPAN / 2, middle + LEAST_SPAN / 2)


def _labels(axes: Axes, spots: Sequence[Spot]) -> None:
    """Name arms beside their marks, where a name covers no other name and no mark."""
    scale = 72 / axes.figure.dpi
    frame = axes.get_window_extent()
    at = [axes.transData.transform((spot.x, spot.y)) * scale for spot in spots]
    taken = [(x - 4, x + 4, y - 4, y + 4) for x, y in at]
    for spot, (x, y) in sorted(zip(spots, at, strict=True), key=lambda pair: pair[0].dominated):
        width = _LETTER * len(spot.arm)
        for dx, dy in ((6, -_LINE / 2), (-6 - width, -_LINE / 2), (-width / 2, 6), (-width / 2, -6 - _LINE)):
            box = (x + dx, x + dx + width, y + dy, y + dy + _LINE)
            inside = frame.x0 * scale < box[0] and box[1] < frame.x1 * scale
            inside = inside and frame.y0 * scale < box[2] and box[3] < frame.y1 * scale
            if inside and not any(b[0] < box[1] and box[0] < b[1] and b[2] < box[3] and box[2] < b[3] for b in taken):
                axes.annotate(
                    spot.arm, (spot.x, spot.y), (dx, dy), textcoords="offset points", fontsize=7.5, ha="left",
                    va="bottom", color=arm_ink(spot.series), zorder=5,
                )  # fmt: skip
                taken.append(box)
                break
