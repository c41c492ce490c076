"""The report's figures. Each is at most 4 inches wide, so that it is read on a phone as it is on a laptop.

`dots` is the one plot behind the overview, age bands, flip rates and value priorities: rows, a series an arm, 95%
intervals, and reference values as dashed lines with a row of their own. `journeys` shows countries from base to
arm, `map_panel` people and a model in one space, `curves` training.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes

from eval.report import wording
from eval.report.svg import INK, MUTED, PAPER, RULE, arm_colour, arm_ink, marker, new_figure, style, to_svg

WIDTH = 3.9
LEAST_SPAN = 0.02
"""A value axis is never narrower, so that differences of no size do not look like some."""


@dataclass(frozen=True, slots=True)
class Dot:
    """One value with its interval (NaN bounds: none) in row `row`; `series` indexes colour and marker, `tip` is its
    hover.
    """

    row: str
    series: int
    value: float
    low: float
    high: float
    tip: str


@dataclass(frozen=True, slots=True)
class Place:
    """A country on the map (arbitrary units; only distances mean something)."""

    country: str
    x: float
    y: float


def dots(
    name: str,
    title: str,
    description: str,
    points: Sequence[Dot],
    *,
    references: Mapping[str, float] | None = None,
    target: float | None = None,
    axis: str = "",
    share: bool = False,
    one_row_each: bool = False,
) -> str:
    """Rows from top to bottom in order of first appearance, then one for each reference; series are dodged in a row.

    Where each series has one row of its own, the page can hide a row and close the gap: `data-rows` and `data-pitch` on
    the figure say which series stand in its rows and how far apart these are, in its own units.
    """
    rows = list(dict.fromkeys(point.row for point in points))
    known = {row: value for row, value in (references or {}).items() if math.isfinite(value)}
    series = sorted({point.series for point in points})
    lanes = 1 if one_row_each else len(series)
    pitch = max(0.19, 0.13 * lanes + 0.06)
    with style():
        height = 0.62 + pitch * len(rows) + 0.19 * len(known)
        figure = new_figure(WIDTH, height)
        axes = figure.subplots()
        y_of = {row: index * pitch for index, row in enumerate(rows)}
        y_of |= {row: (len(rows) - 0.5) * pitch + 0.12 + 0.19 * index for index, row in enumerate(known)}
        if target is not None:
            axes.axvline(target, color=MUTED, linewidth=0.9, zorder=1)
        for row, value in known.items():
            axes.axvline(value, color=MUTED, linewidth=0.7, linestyle=(0, (2, 3)), zorder=1)
            axes.plot([value], [y_of[row]], marker="|", markersize=9, color=MUTED, linestyle="none", zorder=3)
        tips = {}
        for index, point in enumerate(points):
            lane = 0 if one_row_each else series.index(point.series) - (len(series) - 1) / 2
            y = y_of[point.row] + 0.13 * lane
            colour, gid = arm_colour(point.series), f"dot{index}"
            if math.isfinite(point.low) and math.isfinite(point.high):
                axes.plot([point.low, point.high], [y, y], color=colour, linewidth=1.6, zorder=2)
            (drawn,) = axes.plot(
                [point.value],
                [y],
                marker=marker(point.series),
                markersize=5.5,
                color=colour,
                linestyle="none",
                zorder=4,
            )
            drawn.set_gid(gid)
            tips[gid] = point.tip
        axes.set_yticks(list(y_of.values()), [_short(row) for row in y_of])
        for label in axes.get_yticklabels()[len(rows) :]:
            label.set_color(MUTED)
        bottom = max([(len(rows) - 0.5) * pitch + 0.02, *(y_of[row] + 0.14 for row in known)])
        axes.set_ylim(bottom, -pitch / 2 - 0.02)
        _value_axis(axes, axis, share)
        if not one_row_each:
            return to_svg(figure, name, title, description, tips)
        owner = {point.row: point.series for point in points}
        for label, row in zip(axes.get_yticklabels(), rows, strict=False):
            label.set_color(arm_ink(owner[row]))
        figure.draw_without_rendering()
        shown = axes.get_position().height * height * 72 / (bottom + pitch / 2 + 0.02)
        collapse = {"data-rows": " ".join(str(owner[row]) for row in rows), "data-pitch": f"{shown * pitch:.2f}"}
        return to_svg(figure, name, title, description, tips, collapse)


def _short(text: str, most: int = 32) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def _value_axis(axes: Axes, label: str, share: bool = False) -> None:
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x", color=RULE, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.margins(x=0.06)
    left, right = axes.get_xlim()
    if right - left < LEAST_SPAN:
        middle = (left + right) / 2
        axes.set_xlim(middle - LEAST_SPAN / 2, middle + LEAST_SPAN / 2)
    axes.locator_params(axis="x", nbins=4)
    if share:
        axes.xaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f}%")
    axes.set_xlabel(label)


def journeys(
    name: str,
    title: str,
    description: str,
    start: Mapping[str, float],
    end: Mapping[str, float],
    series: int,
    *,
    floor: Mapping[str, float] | None = None,
    limits: tuple[float, float],
    axis: str,
) -> str:
    """One row a country: hollow where it starts (the base), filled where the arm ends, a tick at people's own floor.

    Rows are ordered by `start`, largest at the top; countries missing from either side are left out by the caller.
    """
    order = sorted(start, key=lambda code: -start[code])
    pitch = 0.16 if len(order) <= 45 else 0.125
    with style():
        figure = new_figure(WIDTH, 0.62 + pitch * len(order))
        axes = figure.subplots()
        tips = {}
        for row, code in enumerate(order):
            axes.plot(
                [start[code], end[code]], [row, row], color=arm_colour(series), linewidth=1.2, alpha=0.55, zorder=2
            )
            axes.plot(
                [start[code]], [row], marker="o", markersize=4.5, markerfacecolor=PAPER, markeredgecolor=arm_colour(0),
                linestyle="none", zorder=3,
            )  # fmt: skip
            (drawn,) = axes.plot(
                [end[code]],
                [row],
                marker=marker(series),
                markersize=4.5,
                color=arm_colour(series),
                linestyle="none",
                zorder=4,
            )
            drawn.set_gid(f"country{row}")
            words = f"{wording.country(code)}: {wording.number(start[code])} → {wording.number(end[code])}"
            if floor and math.isfinite(floor.get(code, math.nan)):
                axes.plot([floor[code]], [row], marker="|", markersize=6, color=MUTED, linestyle="none", zorder=1)
                words += f" (people asked again {wording.number(floor[code])})"
            tips[f"country{row}"] = words
        axes.set_yticks(
            range(len(order)), [_short(code, 12) for code in order], fontsize=8 if len(order) <= 45 else 6.5
        )
        axes.set_ylim(len(order) - 0.4, -0.6)
        axes.set_xlim(*limits)
        _value_axis(axes, axis)
        return to_svg(figure, name, title, description, tips)


def map_panel(
    name: str,
    title: str,
    description: str,
    people: Sequence[Place],
    model: Sequence[Place],
    series: int,
    limits: tuple[float, float, float, float],
) -> str:
    """People's countries, and where a model puts them, joined by a line. Without `model` the people alone.

    Codes are written where they fit; the rest is in the hover titles.
    """
    with style():
        figure = new_figure(WIDTH, WIDTH)
        axes = figure.subplots()
        axes.set_xlim(limits[0], limits[1])
        axes.set_ylim(limits[2], limits[3])
        axes.set_aspect("equal", adjustable="box")
        axes.set_xticks([])
        axes.set_yticks([])
        for spine in axes.spines.values():
            spine.set_visible(True)
        tips: dict[str, str] = {}
        at = {place.country: place for place in people}
        for place in model:
            if place.country in at:
                axes.plot(
                    [at[place.country].x, place.x], [at[place.country].y, place.y], color=RULE, linewidth=0.7, zorder=1
                )
        shown = model or people
        for layer, places, colour, size, shape in (
            ("people", people, MUTED, 3.2 if model else 4.5, "o"),
            ("model", model, arm_colour(series), 4.3, marker(series)),
        ):
            face = PAPER if layer == "people" and model else colour
            for number, place in enumerate(places):
                (drawn,) = axes.plot(
                    [place.x], [place.y], marker=shape, markersize=size, color=colour, linestyle="none",
                    zorder=2 if layer == "people" else 3, markerfacecolor=face,
                )  # fmt: skip
                gid = f"{layer}{number}"
                drawn.set_gid(gid)
                tips[gid] = f"{wording.country(place.country)} ({layer})"
        _labels(axes, shown, [*people, *model], INK if model else MUTED)
        return to_svg(figure, name, title, description, tips)


def _labels(axes: Axes, places: Sequence[Place], obstacles: Sequence[Place], colour: str) -> None:
    """Write country codes beside their points where they cover neither another code nor another point."""
    left, right = axes.get_xlim()
    bottom, top = axes.get_ylim()
    unit = max(right - left, top - bottom) / ((WIDTH - 0.2) * 72)
    width, height, gap = 16.5 * unit, 7.0 * unit, 4.2 * unit
    taken = [(p.x - 2 * unit, p.x + 2 * unit, p.y - 2 * unit, p.y + 2 * unit) for p in obstacles]
    for place in places:
        for dx, dy in ((gap, -height / 2), (-gap - width, -height / 2), (-width / 2, gap), (-width / 2, -gap - height)):
            x, y = place.x + dx, place.y + dy
            inside = left < x and x + width < right and bottom < y and y + height < top
            box = (x, x + width, y, y + height)
            if inside and not any(_overlap(box, other) for other in taken):
                axes.text(x, y, _short(place.country, 4), fontsize=7, color=colour, ha="left", va="bottom", zorder=5)
                taken.append(box)
                break


def _overlap(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> bool:
    return a[0] < b[1] and b[0] < a[1] and a[2] < b[3] and b[2] < a[3]


POINTS = 120
"""A training curve is drawn with at most so many points: a longer one as the means of equal parts."""


def thinned(steps: Sequence[float], values: Sequence[float]) -> tuple[list[float], list[float]]:
    """At most POINTS points, each the mean of as many neighbours; the curve itself where it has no more. NaN is left
    out of a mean, and is one where there is nothing else.
    """
    if len(steps) <= POINTS:
        return list(steps), list(values)
    parts = [(np.asarray(one, dtype=np.float64)) for one in (steps, values)]
    xs, ys = (np.array_split(one, POINTS) for one in parts)
    means = [float(np.mean(part[np.isfinite(part)])) if np.isfinite(part).any() else math.nan for part in ys]
    return [float(part.mean()) for part in xs], means


def curves(
    name: str,
    title: str,
    description: str,
    lines: Mapping[str, tuple[int, Sequence[float], Sequence[float]]],
    axis: str,
) -> str:
    """Lines over optimiser steps: `lines` maps a label to (series, steps, values). A long curve is thinned, see
    `thinned`.
    """
    with style():
        figure = new_figure(WIDTH, 2.4)
        axes = figure.subplots()
        for series, steps, values in lines.values():
            x, y = thinned(steps, values)
            size = 2.5 if len(x) <= POINTS / 2 and len(lines) == 1 else 0
            axes.plot(x, y, color=arm_colour(series), marker=marker(series), markersize=size, linewidth=1.1)
        axes.grid(color=RULE, linewidth=0.6)
        axes.set_axisbelow(True)
        axes.set_xlabel("optimiser step")
        axes.set_ylabel(axis)
        axes.yaxis.label.set_color(MUTED)
        axes.tick_params(axis="y", colors=MUTED)
        return to_svg(figure, name, title, description)
