"""The small picture beside a verdict: the difference with its interval, the margin around 0, on one line."""

from __future__ import annotations

import html
import math

from eval.report.wording import number

WIDTH, HEIGHT = 230, 46
_MIDDLE, _HALF, _LINE = WIDTH / 2, WIDTH / 2 - 14, 17


def strip(value: float, low: float, high: float, margin: float) -> str:
    """An `<svg>` in CSS colours, 0 in its middle; empty text where there is no difference to draw.

    Each strip has a scale of its own, because verdicts are on different measures: its ends are labelled. The numbers
    stand in the sentence beside it, so that the picture is hidden from who listens.
    """
    if not math.isfinite(value):
        return ""
    ends = [abs(one) for one in (value, low, high) if math.isfinite(one)]
    reach = 1.12 * max(*ends, 1.6 * margin if math.isfinite(margin) else 0.0, 1e-9)

    def x(at: float) -> str:
        return f"{_MIDDLE + _HALF * at / reach:.1f}"

    parts = [f'<line x1="14" x2="{WIDTH - 14}" y1="{_LINE}" y2="{_LINE}" stroke="var(--rule)"/>']
    if math.isfinite(margin) and margin > 0:
        wide = 2 * _HALF * margin / reach
        parts.append(f'<rect x="{x(-margin)}" y="5" width="{wide:.1f}" height="24" fill="var(--rule)" opacity=".55"/>')
    parts.append(f'<line x1="{x(0)}" x2="{x(0)}" y1="3" y2="31" stroke="var(--muted)"/>')
    if math.isfinite(low) and math.isfinite(high):
        parts.append(
            f'<line x1="{x(low)}" x2="{x(high)}" y1="{_LINE}" y2="{_LINE}" stroke="currentColor" stroke-width="3"/>'
        )
    parts.append(f'<circle cx="{x(value)}" cy="{_LINE}" r="5" fill="currentColor"/>')
    for at, anchor in ((-reach, "start"), (0.0, "middle"), (reach, "end")):
        place = {"start": "0", "middle": f"{_MIDDLE}", "end": f"{WIDTH}"}[anchor]
        label = html.escape(number(at) if at else "0")
        parts.append(
            f'<text x="{place}" y="43" text-anchor="{anchor}" font-size="11" fill="var(--muted)">{label}</text>'
        )
    return f'<svg class="strip" aria-hidden="true" viewBox="0 0 {WIDTH} {HEIGHT}">{"".join(parts)}</svg>'
