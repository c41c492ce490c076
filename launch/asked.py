"""What a command asked for, composed. Free of Hydra, so that workers may import it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

UNTRAINED = "train.recipes.none.NoTraining"
UNCHANGED = "eval.interventions.Unchanged"


@dataclass(frozen=True)
class Asked:
    """A composed request. `cells` are resolved configurations, each with its `arm`, `seed` and `draw`; with
    `keeps_rows` a model that cannot be had costs its own cells alone.
    """

    name: str
    runs: Path
    overrides: tuple[str, ...]
    dispatch: tuple[str, ...]
    hypotheses: tuple[dict[str, Any], ...]
    cells: tuple[dict[str, Any], ...]
    questions: tuple[dict[str, Any], ...] = ()
    response_curves: Mapping[str, Any] = field(default_factory=dict)
    keeps_rows: bool = False


def trains(cell: Mapping[str, Any]) -> bool:
    """Whether the cell trains anything (recipe `none` does not)."""
    return bool(cell["recipe"].get("_target_") != UNTRAINED)


def of_the_base(cell: Mapping[str, Any]) -> bool:
    """Whether the cell is the base model: it trains nothing, and asks no variant that another cell trained."""
    return not trains(cell) and cell["parent"] is None


def plainly(cell: Mapping[str, Any]) -> bool:
    """Whether the cell is asked as the audits ask, without an intervention."""
    return bool(cell["inference"].get("_target_") == UNCHANGED)


def untouched(cell: Mapping[str, Any]) -> bool:
    """Whether the cell is the base model, asked as the audits ask: nothing trained, no intervention."""
    return of_the_base(cell) and plainly(cell)
