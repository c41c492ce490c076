"""What the cells of an experiment left on disk, read back for the comparison."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from data.files import read_json
from eval.records import PERSON, SCORE_COLUMNS, Estimate

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
        reasons = [] if self.manifest.get("state") == "done" else [f"its state is {self.manifest.get('state')!r}"]
        absent = sorted(set(self.config.get("audit") or {}) - set(self.audits))
        vain = self.manifest.get("unaudited") or {}
        told = {name: f"failed: {vain[name]['why']}" if name in vain else "is missing" for name in absent}
        return tuple([*reasons, *(f"audit {name} {what}" for name, what in told.items())])

    def items(self, audit: str) -> pd.DataFrame:
        """Per-item evidence of an audit."""
        return pd.read_parquet(self._file(audit, "items.parquet"))

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
        """Unit scores of all finished cells with columns arm, seed, draw and audit."""
        return pd.concat(
            [
                cell.scores(audit).assign(arm=self.name, seed=cell.seed, draw=cell.draw, audit=audit)
                for cell in self.cells
            ],
            ignore_index=True,
        )


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
