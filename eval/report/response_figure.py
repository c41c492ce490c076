"""One response curve: every cell at the diversity of its data, the mean of each level with the span of its cells, the
fitted line, and where it levels off.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes

from eval.curve_fit import levels_of_diversity
from eval.distances import FloatArray
from eval.report.figures import LEAST_SPAN, WIDTH
from eval.report.svg import INK, MUTED, RULE, arm_colour, marker, new_figure, style, to_svg

HEIGHT = 2.6
NEAR = 0.6
"""A reference within so many spans of the cells is drawn; a farther one would flatten them and is named at the edge."""
Limits = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Point:
    """A cell: its diversity (> 0), its value, the colour and marker of its arm, and its hover."""

    diversity: float
    value: float
    series: int
    tip: str


@dataclass(frozen=True, slots=True)
class Line:
    """A straight line in log2 of diversity; `shown` where its slope is told from 0."""

    slope: float
    intercept: float
    shown: bool


@dataclass(frozen=True, slots=True)
class Border:
    """Where a curve levels off (NaN: not within the sweep) with its interval (`high` NaN: beyond the sweep)."""

    value: float
    low: float
    high: float


def limits(values: Sequence[float], references: Mapping[str, float]) -> Limits:
    """The value axis: all cells, and the references that are near them."""
    low, high = min(values), max(values)
    span = max(high - low, LEAST_SPAN)
    near = [one for one in references.values() if low - NEAR * span <= one <= high + NEAR * span]
    low, high = min([low, *near]), max([high, *near])
    room = 0.1 * max(high - low, LEAST_SPAN)
    middle, half = (low + high) / 2, max(high - low, LEAST_SPAN) / 2
    return middle - half - room, middle + half + room


def response(
    name: str,
    title: str,
    description: str,
    points: Sequence[Point],
    *,
    line: Line | None,
    border: Border | None,
    references: Mapping[str, float],
    within: Limits,
    axis: str,
    share: bool = False,
) -> str:
    """The figure as SVG; the diversity axis is in powers of two."""
    xs, ys = np.log2([point.diversity for point in points]), np.array([point.value for point in points])
    levels = _levels(points, xs)
    means, low, high = (np.array([f(ys[level]) for level in levels]) for f in (np.mean, np.min, np.max))
    centres = np.array([xs[level].mean() for level in levels])
    with style():
        figure = new_figure(WIDTH, HEIGHT)
        axes = figure.subplots()
        axes.set_ylim(*within)
        room = 0.05 * max(float(np.ptp(xs)), 1.0)
        axes.set_xlim(xs.min() - room, xs.max() + room)
        axes.fill_between(centres, low, high, color=MUTED, alpha=0.16, linewidth=0, zorder=1)
        axes.plot(centres, means, color=MUTED, linewidth=1.0, zorder=2)
        if line is not None:
            ends = np.array([centres[0], centres[-1]])
            dash = "solid" if line.shown else (0, (4, 3))
            axes.plot(ends, line.intercept + line.slope * ends, color=INK, linewidth=1.5, linestyle=dash, zorder=3)
        tips = {}
        for index, (point, x) in enumerate(zip(points, xs, strict=True)):
            (drawn,) = axes.plot(
                [x],
                [point.value],
                marker=marker(point.series),
                markersize=4,
                color=arm_colour(point.series),
                linestyle="none",
                zorder=4,
            )
            drawn.set_gid(f"cell{index}")
            tips[f"cell{index}"] = point.tip
        _references(axes, references, within, (means[0], means[-1]))
        if border is not None:
            _border(axes, border)
        axes.grid(axis="y", color=RULE, linewidth=0.6)
        axes.set_axisbelow(True)
        axes.tick_params(axis="y", colors=MUTED)
        axes.locator_params(axis="y", nbins=5)
        powers = np.arange(math.floor(xs.min() - room), math.ceil(xs.max() + room) + 1)
        inside = powers[(powers >= xs.min() - room) & (powers <= xs.max() + room)]
        axes.set_xticks(inside, [f"{2.0**power:g}" for power in inside])
        if share:
            axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f}%")
        axes.set_xlabel(axis)
        return to_svg(figure, name, title, description, tips)


def _levels(points: Sequence[Point], log2: FloatArray) -> list[list[int]]:
    """The places of the points by level of diversity; arms of nearly one diversity are one level."""
    arms: dict[int, list[int]] = {}
    for place, point in enumerate(points):
        arms.setdefault(point.series, []).append(place)
    order = sorted(arms.values(), key=lambda places: float(log2[places].mean()))
    groups = levels_of_diversity(np.array([log2[places].mean() for places in order]))
    return [[place for arm in group for place in order[arm]] for group in groups]


def _references(axes: Axes, references: Mapping[str, float], within: Limits, ends: tuple[float, float]) -> None:
    """Dotted lines with their names, on the side whose end of the curve is farther off; those beyond the axis are named
    at its edge with an arrow.
    """
    low, high = within
    height = high - low
    taken: list[float] = []
    for name, value in sorted(references.items(), key=lambda one: one[1]):
        inside = low <= value <= high
        if inside:
            axes.axhline(value, color=MUTED, linewidth=0.8, linestyle=(0, (2, 3)), zorder=1)
        text = name if inside else f"{name} {value:.2g} {'↑' if value > high else '↓'}".replace("-", "−")
        at = min(max(value, low), high - 0.08 * height) + 0.01 * height
        while any(abs(at - other) < 0.08 * height for other in taken):
            at += 0.02 * height if value <= high else -0.02 * height
        taken.append(at)
        side = int(abs(at - ends[1]) > abs(at - ends[0]))
        x, aligned = axes.get_xlim()[side], ("left", "right")[side]
        axes.text(x, at, f" {text} ", fontsize=7.5, color=MUTED, ha=aligned, va="bottom", zorder=5)


def _border(axes: Axes, border: Border) -> None:
    """A bar over its interval at the foot of the figure, to the right edge where it ends beyond the sweep, and a
    vertical line where it is.
    """
    left, right = axes.get_xlim()
    foot = axes.get_ylim()[0]
    if math.isfinite(border.low):
        end = math.log2(border.high) if math.isfinite(border.high) else right
        axes.plot(
            [max(math.log2(border.low), left), end], [foot, foot], color=INK, linewidth=4, clip_on=False,
            solid_capstyle="butt", zorder=6,
        )  # fmt: skip
    if math.isfinite(border.value):
        axes.axvline(math.log2(border.value), color=INK, linewidth=0.9, linestyle=(0, (1, 2)), zorder=2)
