"""Models that a server answers for, `api:NAME`: no weights here, so name and address stand where a hash would."""

from __future__ import annotations

SERVED = "api:"


def is_served(source: str) -> bool:
    return source.startswith(SERVED)


def served_weights(source: str, revision: str | None, base_url: str) -> str:
    """What stands for the hash of a served model's weights: `api:NAME@ADDRESS`, and the revision where one is set."""
    return f"{source}@{base_url.rstrip('/')}" + (f" revision {revision}" if revision else "")
