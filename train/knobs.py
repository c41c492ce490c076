"""Checks that recipes and adapters make of their knobs, with one wording."""

from __future__ import annotations

from collections.abc import Collection


def positive(part: str, **knobs: float) -> None:
    """Raise ValueError where a knob of `part` ("recipe", "adapter") is not above 0."""
    for name, value in knobs.items():
        if not value > 0:
            raise ValueError(f"{part}.{name} must be positive, got {value}")


def not_negative(part: str, **knobs: float) -> None:
    """Raise ValueError where a knob of `part` is below 0 (or not a number)."""
    for name, value in knobs.items():
        if not value >= 0:
            raise ValueError(f"{part}.{name} must be at least 0, got {value}")


def one_of(part: str, offered: Collection[str], **knobs: str) -> None:
    """Raise ValueError where a knob of `part` is not among `offered`, which are named."""
    for name, value in knobs.items():
        if value not in offered:
            raise ValueError(f"{part}.{name} must be one of {', '.join(offered)}, got {value!r}")
