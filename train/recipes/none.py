"""No training: the base model is audited as it is."""

from __future__ import annotations

from dataclasses import dataclass

from train.run import RunContext


@dataclass(frozen=True)
class NoTraining:
    """The base model itself, the arm that others are compared with."""

    def __call__(self, run: RunContext) -> None:
        return None
