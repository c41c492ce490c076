"""A matplotlib figure as SVG text that lives inside a page: themed by CSS variables, named, with hover titles.

Figures are drawn in stand-in colours (`INK`, `arm_colour(0)` …) which become `var(--ink, #1c1c1c)` and so on: the
page's light or dark theme decides, and a file opened alone falls back to the light colours. Text stays text.
"""

from __future__ import annotations

import html
import io
import re
from contextlib import AbstractContextManager
from typing import Any

import matplotlib as mpl
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

INK, MUTED, RULE, PAPER = "#010101", "#010102", "#010103", "#010104"
_FALLBACK = {INK: "--ink", MUTED: "--muted", RULE: "--rule", PAPER: "--paper"}
LIGHT = {"--ink": "#1c1c1c", "--muted": "#5d6470", "--rule": "#d5d9de", "--paper": "#ffffff"}
ARM_LIGHT = ("#4a5361", "#1668b0", "#bf5600", "#147a56", "#7a45b8", "#b02a63", "#756200", "#00747f")
ARM_DARK = ("#b4bcc8", "#6cb2f5", "#ff9f4d", "#4fc795", "#bd98f7", "#f27aa8", "#d6c34c", "#54c6d2")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "h")
SIGNS = ("●", "■", "▲", "◆", "▼", "✚", "✖", "⬢")
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9.5,
    "axes.edgecolor": RULE,
    "axes.labelcolor": MUTED,
    "axes.titlecolor": INK,
    "axes.titlesize": 9.5,
    "axes.labelsize": 9,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": INK,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "lines.linewidth": 1.4,
}


def arm_colour(index: int) -> str:
    """Stand-in for the colour of arm `index`; 0 is the grey of the untrained base. The other seven colours repeat."""
    return f"#0102{hue(index):02d}"


def hue(index: int) -> int:
    """Which of the theme's arm colours, 0 to 7, stands for arm `index`."""
    return index if index == 0 else 1 + (index - 1) % (len(ARM_LIGHT) - 1)


def marker(index: int) -> str:
    """Marker of arm `index`, so that arms are told apart without colour."""
    return MARKERS[index % len(MARKERS)]


def new_figure(width: float, height: float) -> Figure:
    """A figure of `width` x `height` inches without a canvas of any window system; call it inside `style()`."""
    figure = Figure(figsize=(width, height), layout="constrained")
    figure.patch.set_alpha(0)
    return figure


def style() -> AbstractContextManager[None]:
    """Context manager with the report's matplotlib settings."""
    return mpl.rc_context(STYLE)


def to_svg(figure: Figure, name: str, title: str, description: str, tips: dict[str, str] | None = None) -> str:
    """The figure as an `<svg>` element whose ids start with `name`. `tips` maps an artist's gid to its hover title."""
    for axes in figure.axes:
        axes.patch.set_alpha(0)
    buffer = io.StringIO()
    with mpl.rc_context({**STYLE, "svg.hashsalt": name}):
        FigureCanvasSVG(figure).print_svg(buffer, metadata={"Date": None})  # type: ignore[no-untyped-call]
    text = buffer.getvalue()
    text = text[text.index("<svg") :].strip()
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.S)
    text = re.sub(r'<g id="patch_1">.*?</g>\s*', "", text, count=1, flags=re.S)
    text = text.replace("'DejaVu Sans', sans-serif", "var(--sans, sans-serif)").replace("'DejaVu Sans'", "sans-serif")
    text = re.sub(r"#0102(\d\d)", lambda m: f"var(--arm-{int(m[1])}, {ARM_LIGHT[int(m[1])]})", text)
    for stand_in, variable in _FALLBACK.items():
        text = text.replace(stand_in, f"var({variable}, {LIGHT[variable]})")
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r'href="#', f'href="#{name}-', text)
    text = re.sub(r"url\(#", f"url(#{name}-", text)
    for gid, tip in (tips or {}).items():
        opening = f'<g id="{name}-{gid}">'
        text = text.replace(opening, f"{opening}<title>{html.escape(tip)}</title>")
    text = re.sub(r'="[^"]*"', lambda m: re.sub(r"(\d+\.\d\d)\d+", r"\1", m[0]), text)
    text = re.sub(r">\s*\n\s*<", "><", text)
    text = re.sub(r"<!--.*?-->", "", text, flags=re.S)
    words = (
        f'<title id="{name}-title">{html.escape(title)}</title><desc id="{name}-desc">{html.escape(description)}</desc>'
    )
    labelled = f'role="img" aria-labelledby="{name}-title {name}-desc"'
    return re.sub(r"<svg ([^>]*)>", lambda m: f"<svg {labelled} {m[1]}>{words}", text, count=1)


def inline(svg: str) -> str:
    """An SVG for an HTML page: no namespace addresses, and no fixed size (the page's CSS gives it one)."""
    opening, rest = svg.split(">", 1)
    opening = re.sub(r'\s(xmlns(:\w+)?|version)="[^"]*"', "", opening)
    return opening + ">" + rest.replace("xlink:href", "href")


def standalone(svg: str) -> str:
    """An SVG file's whole text."""
    return f'<?xml version="1.0" encoding="utf-8"?>\n{svg}\n'
