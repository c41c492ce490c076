"""Interventions at inference time: nothing is trained, the variant is asked in another way."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Unchanged:
    """Asked as the audits ask."""
