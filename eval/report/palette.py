"""The page's colours, light and dark: the one place they stand in, so that figures, style sheet and the test of their
contrast agree.
"""

from __future__ import annotations

from collections.abc import Mapping

COLOURS: Mapping[str, tuple[str, str]] = {
    "paper": ("#ffffff", "#14171b"),
    "raised": ("#f5f6f8", "#1d2127"),
    "ink": ("#1c1c1c", "#e8eaed"),
    "muted": ("#5d6470", "#a3abb6"),
    "rule": ("#d5d9de", "#3a414b"),
    "link": ("#1157a0", "#86bdf5"),
    "good": ("#14683f", "#5fcf98"),
    "bad": ("#a8231f", "#ff8f88"),
    "warn": ("#8a5300", "#f0b45a"),
    "stamp": ("#fff1d6", "#3a2c0c"),
    "stamp-edge": ("#b97900", "#d99a2b"),
}
"""CSS variable → its light and its dark value."""
ARMS: tuple[tuple[str, str], ...] = (
    ("#4a5361", "#b4bcc8"),
    ("#1668b0", "#6cb2f5"),
    ("#bf5600", "#ff9f4d"),
    ("#147a56", "#4fc795"),
    ("#7a45b8", "#bd98f7"),
    ("#b02a63", "#f27aa8"),
    ("#756200", "#d6c34c"),
    ("#00747f", "#54c6d2"),
)
"""The same for the arms: the first is the untrained base's grey, the others repeat."""


def hue(series: int) -> int:
    """Which of the arm colours, 0 to 7, stands for arm `series`."""
    return series if series == 0 else 1 + (series - 1) % (len(ARMS) - 1)


def light(name: str) -> str:
    return COLOURS[name][0]


def theme() -> str:
    """CSS that sets every colour: light, dark where the system or the page's own switch says so, light on paper."""
    pairs = {**COLOURS, **{f"arm-{index}": pair for index, pair in enumerate(ARMS)}}

    def rules(dark: bool) -> str:
        return f"color-scheme:{'dark' if dark else 'light'};" + "".join(
            f"--{name}:{pair[dark]};" for name, pair in pairs.items()
        )

    return (
        f":root{{{rules(False)}}}\n"
        f"@media screen and (prefers-color-scheme:dark){{:root:not([data-theme=light]){{{rules(True)}}}}}\n"
        f"@media screen{{:root[data-theme=dark]{{{rules(True)}}}}}\n"
    )
