"""When a training has collapsed, and what is done about it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Gate:
    """Knobs of the validity gate during training."""
