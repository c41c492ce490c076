"""A figure of values in time: a line an arm, its 95% intervals, and the common start in the base's grey."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from eval.report.figures import WIDTH
from eval.report.svg import MUTED, RULE, arm_colour, marker, new_figure, style, to_svg

DODGE = 0.012
"""How far apart the arms' points at one time stand, as a share of the whole time, so that intervals can be told."""


@dataclass(frozen=True, slots=True)
class Moment:
    """A value at `time` with its interval (NaN bounds: none) and its hover; `series` indexes colour and marker."""

    time: float
    series: int
    value: float
    low: float
    high: float
    tip: str


def lines(
    name: str,
    title: str,
    description: str,
    paths: Mapping[int, Sequence[Moment]],
    *,
    axis: str,
    ticks: Mapping[float, str] | None = None,
    target: float | None = None,
    share: bool = False,
) -> str:
    """`paths` maps a series to its moments in order; an undefined value interrupts its line. A moment of another series
    (the base that all start from) stands where it is, the others beside each other. `ticks` label times that are no
    plain numbers.
    """
    times = [*(ticks or ()), *(moment.time for path in paths.values() for moment in path)]
    span = (max(times) - min(times)) or 1.0
    with style():
        figure = new_figure(WIDTH, 2.5)
        axes = figure.subplots()
        if target is not None:
            axes.axhline(target, color=MUTED, linewidth=0.9, zorder=1)
        tips: dict[str, str] = {}
        drawn: set[Moment] = set()
        for lane, (series, path) in enumerate(paths.items()):
            shift = (lane - (len(paths) - 1) / 2) * DODGE * span
            at = [moment.time + shift * (moment.series == series) for moment in path]
            axes.plot(at, [moment.value for moment in path], color=arm_colour(series), linewidth=1.1, zorder=2)
            for x, moment in zip(at, path, strict=True):
                if not math.isfinite(moment.value) or moment in drawn:
                    continue
                drawn.add(moment)
                colour, gid = arm_colour(moment.series), f"moment{len(drawn)}"
                if math.isfinite(moment.low) and math.isfinite(moment.high):
                    axes.plot([x, x], [moment.low, moment.high], color=colour, linewidth=1.3, alpha=0.55, zorder=2)
                (point,) = axes.plot(
                    [x],
                    [moment.value],
                    marker=marker(moment.series),
                    markersize=4.5,
                    color=colour,
                    linestyle="none",
                    zorder=4,
                )
                point.set_gid(gid)
                tips[gid] = moment.tip
        axes.grid(axis="y", color=RULE, linewidth=0.6)
        axes.set_axisbelow(True)
        axes.tick_params(axis="y", colors=MUTED)
        axes.locator_params(axis="y", nbins=5)
        if ticks:
            axes.set_xticks(list(ticks), list(ticks.values()), rotation=35, ha="right", rotation_mode="anchor")
        else:
            axes.locator_params(axis="x", nbins=6, integer=True)
        if share:
            axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f}%")
        axes.set_xlim(min(times) - 0.05 * span, max(times) + 0.05 * span)
        axes.set_xlabel(axis)
        return to_svg(figure, name, title, description, tips)
