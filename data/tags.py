"""Tags of a model: what it is told apart from other models by. They touch neither its weights nor how it is asked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

ORIGIN, FAMILY, SIZE, TUNING = "origin", "family", "parameters", "tuning"
TAGS = (ORIGIN, FAMILY, SIZE, TUNING)
"""The country of the maker, the family that it shares with others, billions of parameters, base or chat. A model may
have more of its user's own, of text or numbers."""


def check_tags(tags: Mapping[str, Any]) -> None:
    """Raise ValueError where a tag is neither text nor a number nor null, or `parameters` is no positive number."""
    for name, value in tags.items():
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if name == SIZE and value is not None and not (number and value > 0):
            raise ValueError(f"model.tags.{name} must be a number of billions above 0, or null, got {value!r}")
        if not (value is None or number or isinstance(value, str)):
            raise ValueError(f"model.tags.{name} must be text, a number or null, got {value!r}")
