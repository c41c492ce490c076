"""What the cells of an experiment left on disk, read back for the comparison."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from data.files import read_json
from eval.outer_levels import Level
from eval.panels import STRATUM_GROUPS
from eval.records import PERSON, SCORE_COLUMNS, Estimate
from eval.summaries import Selection

AnswersOf = Callable[[pd.DataFrame], pd.DataFrame]
"""From an audit's per-item evidence (items.parquet) to its answers table."""

UNTRAINED = "none"
UNCHANGED = "none"


@dataclass(frozen=True)
class CellResult:
    """One cell: its names, its folder, its manifest and its resolved config.

    `recipe`, `adapter` and `mixture` are the names of the config members ("match", "full", "diverse"); recipe "none" is
    a model that was not trained; `inference` is that of the intervention at inference time. Read from `manifest`:
    state, training (shown in the report), collapsed and unaudited (what a collapsed variant could not be asked, and
    why); from `config`: audit (its keys are the audits that must be there) and limit.
    """

    arm: str
    seed: int
    draw: int
    folder: Path
    manifest: Mapping[str, Any]
    config: Mapping[str, Any]
    recipe: str
    adapter: str
    mixture: str
    inference: str = UNCHANGED

    @property
    def trained(self) -> bool:
        return self.recipe != UNTRAINED

    @property
    def untouched(self) -> bool:
        """A model that nothing was done to: not trained, and asked as the audits ask."""
        return not self.trained and self.inference == UNCHANGED

    @property
    def label(self) -> str:
        return f"seed {self.seed}, draw {self.draw}"

    @cached_property
    def audits(self) -> tuple[str, ...]:
        """The audits that are finished here: their estimates are written last."""
        return tuple(sorted(path.parent.name for path in (self.folder / "audits").glob("*/estimates.json")))

    @cached_property
    def missing(self) -> tuple[str, ...]:
        """Why the cell is incomplete, in words; empty where it is finished and every configured audit is there."""
        error = self.manifest.get("error") or {}
        if error.get("stage") == "model":
            return (f"its model cannot be had: {error['message']}",)
        why = f" ({error['stage']}: {error['message'] or error['type']})" if error else ""
        reasons = [] if self.manifest.get("state") == "done" else [f"its state is {self.manifest.get('state')!r}{why}"]
        absent = sorted(set(self.config.get("audit") or {}) - set(self.audits))
        vain = self.manifest.get("unaudited") or {}
        told = {name: f"failed: {vain[name]['why']}" if name in vain else "is missing" for name in absent}
        return tuple([*reasons, *(f"audit {name} {what}" for name, what in told.items())])

    def items(self, audit: str) -> pd.DataFrame:
        """Per-item evidence of an audit."""
        return pd.read_parquet(self._file(audit, "items.parquet"))

    def answers(self, audit: str, read: AnswersOf) -> pd.DataFrame:
        """The answers table of an audit; read once, so not to be changed."""
        if audit not in self._answers:
            self._answers[audit] = read(self.items(audit))
        return self._answers[audit]

    @cached_property
    def _answers(self) -> dict[str, pd.DataFrame]:
        return {}

    def scores(self, audit: str) -> pd.DataFrame:
        """Unit scores of an audit (`SCORE_COLUMNS`, and PERSON where units are persons). ValueError naming the file
        where a column is missing.
        """
        path = self._file(audit, "scores.parquet")
        scores = pd.read_parquet(path)
        if absent := [name for name in SCORE_COLUMNS if name not in scores]:
            raise ValueError(f"{path} lacks the columns {absent}; found {list(scores.columns)}")
        return scores[[*SCORE_COLUMNS, *{PERSON}.intersection(scores)]]

    def estimates(self, audit: str) -> list[Estimate]:
        """Estimates of an audit; null in the file is NaN."""

        def number(value: float | None) -> float:
            return math.nan if value is None else float(value)

        return [
            Estimate(
                name=row["name"],
                group=row["group"],
                condition=row["condition"],
                value=number(row["value"]),
                low=number(row["low"]),
                high=number(row["high"]),
                n=row["n"],
                method=row["method"],
            )
            for row in self._record(audit)["estimates"]
        ]

    def excluded(self, audit: str) -> dict[str, int]:
        """What the audit left out, by reason."""
        return dict(self._record(audit).get("excluded", {}))

    def asked_tokens(self, audit: str) -> float:
        """Distinct prompt tokens that the audit asks, as its forecast counted them; NaN where it had none."""
        return float((self._record(audit).get("expected") or {}).get("distinct_tokens", math.nan))

    def _record(self, audit: str) -> dict[str, Any]:
        record: dict[str, Any] = read_json(self._file(audit, "estimates.json"))
        return record

    def _file(self, audit: str, name: str) -> Path:
        path = self.folder / "audits" / audit / name
        if not path.exists():
            raise FileNotFoundError(f"{path} is not there: audit {audit!r} of {self.arm} ({self.label}) is incomplete")
        return path


@dataclass(frozen=True)
class Arm:
    """An arm's cells: `cells` are the finished ones, the only ones that are averaged; `incomplete` are the others."""

    name: str
    cells: tuple[CellResult, ...]
    incomplete: tuple[CellResult, ...]

    @property
    def first(self) -> CellResult:
        return (*self.cells, *self.incomplete)[0]

    @property
    def trained(self) -> bool:
        return self.first.trained

    @property
    def untouched(self) -> bool:
        return self.first.untouched

    @property
    def seeds(self) -> list[int]:
        return sorted({cell.seed for cell in self.cells})

    @property
    def draws(self) -> list[int]:
        return sorted({cell.draw for cell in self.cells})

    @property
    def audits(self) -> list[str]:
        """The audits that every finished cell has."""
        return sorted(set.intersection(*(set(cell.audits) for cell in self.cells))) if self.cells else []

    def scores(self, audit: str) -> pd.DataFrame:
        """Unit scores of all finished cells with columns arm, seed, draw and audit; read once, so not to be changed."""
        if audit not in self._scores:
            own = [
                cell.scores(audit).assign(arm=self.name, seed=cell.seed, draw=cell.draw, audit=audit)
                for cell in self.cells
            ]
            self._scores[audit] = pd.concat(own, ignore_index=True)
        return self._scores[audit]

    def units(self, audit: str, measure: str, condition: str, group: str) -> pd.DataFrame:
        """The rows of `scores` of an estimate that `eval.summaries.summarise` named so."""
        if audit not in self._selections:
            self._selections[audit] = Selection(self.scores(audit))
        return self._selections[audit].select(measure, condition, group)

    def answers(self, audit: str, read: AnswersOf) -> dict[Level, pd.DataFrame]:
        """The answers tables of the finished cells by (seed, draw): the rows of the strata that are reported."""
        found = {(cell.seed, cell.draw): cell.answers(audit, read) for cell in self.cells}
        return {level: table[table["stratum"].isin(STRATUM_GROUPS)] for level, table in found.items()}

    @cached_property
    def _scores(self) -> dict[str, pd.DataFrame]:
        return {}

    @cached_property
    def _selections(self) -> dict[str, Selection]:
        return {}


def model_of(arm: Arm) -> Any:
    """What is known of the weights that the arm's model descends from; None where nothing is."""
    parent = arm.first.config.get("parent")
    return parent.get("weights") if isinstance(parent, Mapping) else None


def base_of(arms: Sequence[Arm]) -> Arm | None:
    """The untouched arm that the others are held against: the first that is finished, else the first. None where all of
    more than two arms are untouched: models beside each other, of which none is the others' base.
    """
    untouched = [arm for arm in arms if arm.untouched]
    if len(untouched) == len(arms) > 2:
        return None
    return next((arm for arm in untouched if arm.cells), untouched[0] if untouched else None)


def arms_of(cells: Sequence[CellResult]) -> list[Arm]:
    """The arms in the order in which they first come. ValueError where two cells have the same arm, seed and draw."""
    seen: set[tuple[str, int, int]] = set()
    for cell in cells:
        key = (cell.arm, cell.seed, cell.draw)
        if key in seen:
            raise ValueError(f"two cells are {key}: {cell.folder} is the second")
        seen.add(key)
    found = []
    for name in dict.fromkeys(cell.arm for cell in cells):
        mine = [cell for cell in cells if cell.arm == name]
        done = tuple(cell for cell in mine if not cell.missing)
        found.append(Arm(name, done, tuple(cell for cell in mine if cell.missing)))
    return found
