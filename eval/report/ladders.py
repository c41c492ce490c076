"""A figure of a measure over the size of models: a line a family, named at its end, with each model's interval."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from eval.report.figures import WIDTH
from eval.report.svg import MUTED, RULE, arm_colour, marker, new_figure, style, to_svg

APART = 0.065
"""How far apart the names at the lines' ends stand at least, as a share of the axis."""


@dataclass(frozen=True, slots=True)
class Rung:
    """A model of a family: `size` in billions of parameters, its value with its interval (NaN: none), its hover."""

    size: float
    value: float
    low: float
    high: float
    tip: str


def ladders(
    name: str,
    title: str,
    description: str,
    families: Mapping[str, tuple[int, Sequence[Rung]]],
    *,
    target: float | None = None,
    share: bool = False,
) -> str:
    """`families` maps a name to the series that gives colour and marker, and to its models in order of size."""
    with style():
        figure = new_figure(WIDTH, 3.0)
        axes = figure.subplots()
        if target is not None:
            axes.axhline(target, color=MUTED, linewidth=0.9, zorder=1)
        tips: dict[str, str] = {}
        for series, rungs in families.values():
            colour = arm_colour(series)
            axes.plot([one.size for one in rungs], [one.value for one in rungs], color=colour, linewidth=1.1, zorder=2)
            for one in rungs:
                gid = f"rung{len(tips)}"
                tips[gid] = one.tip
                if math.isfinite(one.low) and math.isfinite(one.high):
                    axes.plot([one.size] * 2, [one.low, one.high], color=colour, linewidth=0.9, alpha=0.45, zorder=2)
                (drawn,) = axes.plot(
                    [one.size], [one.value], marker=marker(series), markersize=4.5, color=colour, linestyle="none",
                    zorder=4,
                )  # fmt: skip
                drawn.set_gid(gid)
        axes.set_xscale("log")
        sizes = sorted({one.size for _, rungs in families.values() for one in rungs})
        axes.set_xlim(sizes[0] / 1.25, sizes[-1] * 1.25)
        axes.set_xticks(_spaced(sizes), [f"{size:g}" for size in _spaced(sizes)])
        axes.minorticks_off()
        axes.grid(axis="y", color=RULE, linewidth=0.6)
        axes.set_axisbelow(True)
        axes.tick_params(axis="y", colors=MUTED)
        axes.locator_params(axis="y", nbins=5)
        if share:
            axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f}%")
        axes.set_xlabel("billion parameters (log scale)")
        bottom, top = axes.get_ylim()
        last = {family: (rungs[-1].value - bottom) / (top - bottom) for family, (_, rungs) in families.items()}
        for family, place in _apart(last).items():
            axes.text(
                1.02, place, family, transform=axes.transAxes, color=arm_colour(families[family][0]), fontsize=8,
                va="center",
            )  # fmt: skip
        return to_svg(figure, name, title, description, tips)


def _spaced(sizes: Sequence[float], least: float = 0.16) -> list[float]:
    """The sizes that are labelled, so that labels do not cover each other."""
    kept: list[float] = []
    for size in sizes:
        if not kept or math.log10(size / kept[-1]) >= least:
            kept.append(size)
    return kept


def _apart(places: Mapping[str, float]) -> dict[str, float]:
    """Places on the axis pushed up, from the lowest on, until all are APART."""
    found: dict[str, float] = {}
    for family in sorted(places, key=lambda one: places[one]):
        lowest = max(found.values(), default=-1.0) + APART
        found[family] = max(places[family], lowest)
    return found
