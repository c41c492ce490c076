"""A matplotlib figure as SVG text that lives inside a page: themed by CSS variables, named, with hover titles.

Figures are drawn in stand-in colours (`INK`, `arm_colour(0)` …) which become `var(--ink, #1c1c1c)` and so on: the
page's light or dark theme decides, and a file opened alone falls back to the light colours. Text stays text.
"""

from __future__ import annotations

import html
import io
import re
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

import matplotlib as mpl
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from eval.report.palette import ARMS, hue, light

INK, MUTED, RULE, PAPER = "#010101", "#010102", "#010103", "#010104"
_NAMES = {INK: "ink", MUTED: "muted", RULE: "rule", PAPER: "paper"}
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


def arm_colour(series: int) -> str:
    """Stand-in for the colour of arm `series`; 0 is the grey of the untrained base. The other seven colours repeat.

    Whatever is drawn in it belongs to that arm: it gets the class by which the page hides an arm (`s3`).
    """
    return f"#02{series:04x}"


def arm_ink(series: int) -> str:
    """Stand-in for ordinary ink that belongs to arm `series`: the label of a row that is the arm's alone."""
    return f"#03{series:04x}"


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


def to_svg(
    figure: Figure,
    name: str,
    title: str,
    description: str,
    tips: Mapping[str, str] | None = None,
    attributes: Mapping[str, str] | None = None,
) -> str:
    """The figure as an `<svg>` element whose ids start with `name`. `tips` maps an artist's gid to its hover title;
    `attributes` are set on the element, for the page's script.
    """
    for axes in figure.axes:
        axes.patch.set_alpha(0)
    buffer = io.StringIO()
    with mpl.rc_context({**STYLE, "svg.hashsalt": name}):
        FigureCanvasSVG(figure).print_svg(buffer, metadata={"Date": None})  # type: ignore[no-untyped-call]
    text = _smaller(buffer.getvalue())
    text = re.sub(r'<(path|use|text)( [^<>]*style="[^"]*#0[23]([0-9a-f]{4}))', _owned, text)
    text = re.sub(r"#02([0-9a-f]{4})", _arm, text)
    text = re.sub(r"#03[0-9a-f]{4}", INK, text)
    for stand_in, colour in _NAMES.items():
        text = text.replace(stand_in, f"var(--{colour}, {light(colour)})")
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r'href="#', f'href="#{name}-', text)
    text = re.sub(r"url\(#", f"url(#{name}-", text)
    for gid, tip in (tips or {}).items():
        opening = f'<g id="{name}-{gid}">'
        text = text.replace(opening, f"<g><title>{html.escape(tip)}</title>")
    words = (
        f'<title id="{name}-title">{html.escape(title)}</title><desc id="{name}-desc">{html.escape(description)}</desc>'
    )
    more = "".join(f' {key}="{html.escape(value)}"' for key, value in (attributes or {}).items())
    labelled = f'role="img" aria-labelledby="{name}-title {name}-desc"{more}'
    return re.sub(r"<svg ([^>]*)>", lambda m: f"<svg {labelled} {m[1]}>{words}", text, count=1)


def _smaller(text: str) -> str:
    """Matplotlib's SVG without what nobody refers to: metadata, its groups' ids, digits beyond a hundredth of a point,
    rotations by nothing.
    """
    text = text[text.index("<svg") :].strip()
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.S)
    text = re.sub(r'<g id="patch_1">.*?</g>\s*', "", text, count=1, flags=re.S)
    text = text.replace("'DejaVu Sans', sans-serif", "var(--sans, sans-serif)").replace("'DejaVu Sans'", "sans-serif")
    text = re.sub(r'<g id="(?:figure|axes|patch|line2d|text|[xy]tick|matplotlib\.axis|legend)_\d+"', "<g", text)
    text = re.sub(r'="[^"]*"', lambda m: re.sub(r"(\d+\.\d\d)\d+", r"\1", re.sub(r"\s*\n\s*", " ", m[0])), text)
    text = re.sub(r' transform="rotate\(-0 [^"]*"', "", text)
    text = re.sub(r">\s*\n\s*<", "><", text)
    text = re.sub(r"<!--.*?-->", "", text, flags=re.S)
    return text.replace("<g/>", "")


def _owned(found: re.Match[str]) -> str:
    return f'<{found[1]} class="s{int(found[3], 16)}"{found[2]}'


def _arm(found: re.Match[str]) -> str:
    index = hue(int(found[1], 16))
    return f"var(--arm-{index}, {ARMS[index][0]})"


def inline(svg: str) -> str:
    """An SVG for an HTML page: no namespace addresses and no style sheet (the page's CSS has it)."""
    opening, rest = svg.split(">", 1)
    opening = re.sub(r'\s(xmlns(:\w+)?|version)="[^"]*"', "", opening)
    rest = re.sub(r'<defs><style type="text/css">[^<]*</style></defs>', "", rest)
    return opening + ">" + rest.replace("xlink:href", "href")


def standalone(svg: str) -> str:
    """An SVG file's whole text."""
    return f'<?xml version="1.0" encoding="utf-8"?>\n{svg}\n'
