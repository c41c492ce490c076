"""The figure of `polyphony bench curve`: a panel a stratum, a line a recipe, its runs thin behind it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from launch.bench.curve import mean_curve
from launch.bench.heldout import NEW, TRAINED

COLOURS = ("#1668b0", "#bf5600", "#147a56", "#7a45b8")
LINES = ("-", "--", "-.", ":")


def draw_curves(numbers: Mapping[str, Any], out: Path) -> None:
    """Write `curve.png` and `curve.svg` to the folder."""
    curves = numbers["curves"]
    recipes = list(dict.fromkeys(curve["recipe"] for curve in curves))
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "curve", "font.size": 9}):
        figure = Figure(figsize=(8, 3.4), layout="constrained")
        for axes, stratum, reached in zip(figure.subplots(1, 2), (TRAINED, NEW), numbers["reached"], strict=True):
            for place, name in enumerate(recipes):
                look = {"color": COLOURS[place % 4], "linestyle": LINES[place % 4]}
                for curve in curves:
                    if curve["recipe"] == name:
                        points = curve["points"]
                        axes.plot(*([point[key] for point in points] for key in ("tokens", stratum)), alpha=0.3, **look)
                axes.plot(*mean_curve(curves, name, stratum), label=name, linewidth=2, **look)
            axes.axhline(reached["distance"], color="#5d6470", linewidth=0.8)
            axes.set_title(f"{stratum}, held-out countries", fontsize=9)
            axes.set_xlabel("prompt tokens trained on")
            axes.set_ylabel("Jensen-Shannon distance to people")
            axes.spines[["top", "right"]].set_visible(False)
            axes.legend(frameon=False)
        figure.savefig(out / "curve.png", dpi=150)
        figure.savefig(out / "curve.svg", metadata={"Date": None})
