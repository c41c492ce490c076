"""A figure of arms along a knob on a logarithmic axis, over a computed curve and a few fixed levels."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes

from eval.distances import FloatArray
from eval.report.figures import WIDTH
from eval.report.svg import INK, MUTED, RULE, arm_colour, marker, new_figure, style, to_svg

HEIGHT = 2.7
DODGE = 1.07
"""By which factor arms at one value stand apart."""
_GAP = 9.5
"""Points between the labels of two levels."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A value at `at` with its interval (NaN bounds: none), what the curve has there (NaN: nothing), and its hover;
    `series` indexes colour and marker.
    """

    at: float
    series: int
    value: float
    low: float
    high: float
    expected: float
    tip: str


@dataclass(frozen=True, slots=True)
class Anchor:
    """A level to hold marks against, named at its right end; of an arm where it has a `series`."""

    name: str
    value: float
    series: int | None = None


def curve(
    name: str,
    title: str,
    description: str,
    marks: Sequence[Mark],
    joined: Sequence[Sequence[Mark]],
    line: Sequence[tuple[float, float]],
    anchors: Sequence[Anchor],
    *,
    axis: str,
    root: bool = False,
) -> str:
    """`line` holds the curve's points in order, undefined ones interrupt it; the marks of each of `joined` are joined
    in order. With `root` the value axis grows with the square root, so that what is far below 1 is told apart beside
    what is far above.
    """
    with style():
        figure = new_figure(WIDTH, HEIGHT)
        axes = figure.subplots()
        axes.set_xscale("log")
        if root:
            axes.set_yscale("function", functions=(_root, _square))
        axes.plot([at for at, _ in line], [value for _, value in line], color=INK, linewidth=1.2, zorder=2)
        at_of = _dodged(marks)
        for same in joined:
            axes.plot([at_of[mark] for mark in same], [mark.value for mark in same],
                      color=MUTED, linewidth=0.9, zorder=3)  # fmt: skip
        tips = {}
        for place, mark in enumerate(marks):
            x, colour, gid = at_of[mark], arm_colour(mark.series), f"mark{place}"
            if math.isfinite(mark.expected):
                axes.plot([x, x], [mark.value, mark.expected], color=colour, linewidth=0.8, linestyle=(0, (1, 2)))
            if math.isfinite(mark.low) and math.isfinite(mark.high):
                axes.plot([x, x], [max(mark.low, 0.0), mark.high], color=colour, linewidth=1.6, alpha=0.6, zorder=4)
            (drawn,) = axes.plot([x], [mark.value], marker=marker(mark.series), markersize=5.5, color=colour,
                                 linestyle="none", zorder=5)  # fmt: skip
            drawn.set_gid(gid)
            tips[gid] = mark.tip
        axes.grid(axis="y", color=RULE, linewidth=0.6)
        axes.set_axisbelow(True)
        axes.tick_params(axis="y", colors=MUTED)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.xaxis.set_minor_formatter(lambda value, _: "")
        axes.set_xlabel(axis)
        known = [anchor for anchor in anchors if math.isfinite(anchor.value)]
        top = max([mark.value for mark in marks] + [mark.high for mark in marks if math.isfinite(mark.high)]
                  + [anchor.value for anchor in known] + [v for _, v in line if math.isfinite(v)])  # fmt: skip
        axes.set_ylim(0, 1.05 * top or 1.0)
        _levels(axes, known, 0.75 * 72 * HEIGHT, lambda value: value**0.5 if root else value)
        return to_svg(figure, name, title, description, tips)


def _root(values: npt.ArrayLike) -> FloatArray:
    return np.asarray(np.sqrt(np.maximum(np.asarray(values, dtype=np.float64), 0.0)))


def _square(values: npt.ArrayLike) -> FloatArray:
    return np.asarray(values, dtype=np.float64) ** 2


def _dodged(marks: Sequence[Mark]) -> dict[Mark, float]:
    """Where each mark stands: those at one value beside each other."""
    found: dict[Mark, float] = {}
    for at in dict.fromkeys(mark.at for mark in marks):
        same = [mark for mark in marks if mark.at == at]
        found |= {mark: at * DODGE ** (lane - (len(same) - 1) / 2) for lane, mark in enumerate(same)}
    return found


def _levels(axes: Axes, anchors: Sequence[Anchor], height: float, scale: Callable[[float], float]) -> None:
    """A dashed line a level, named outside on the right, the names pushed apart where they would overlap on axes that
    are about `height` points high.
    """
    top = scale(axes.get_ylim()[1])
    places: list[float] = []
    for anchor in sorted(anchors, key=lambda one: one.value):
        colour = MUTED if anchor.series is None else arm_colour(anchor.series)
        axes.axhline(anchor.value, color=colour, linewidth=0.8, linestyle=(0, (4, 3)), zorder=1)
        own = height * scale(max(anchor.value, 0.0)) / top
        places.append(max(own, places[-1] + _GAP) if places else own)
        shift = (3, places[-1] - own)
        axes.annotate(anchor.name, (1, anchor.value), xycoords=("axes fraction", "data"), xytext=shift,
                      textcoords="offset points", fontsize=7.5, color=colour, va="center",
                      annotation_clip=False)  # fmt: skip
