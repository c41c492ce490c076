"""summary.json as the report reads it: estimates by key, arms in order, and words where something is undefined."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from data.files import read_json
from eval.controls import EFFECT
from eval.records import Estimate
from eval.report.wording import MAIN_CONDITIONS, REFERENCE

SCHEMA = 2
DRAWN = 12
"""Where there are more arms, figures with a line or a panel an arm show so many of them; tables show all."""
NAN = float("nan")
_FIELDS = ("name", "group", "condition", "value", "low", "high", "n", "method")

Key = tuple[str, str, str, str, str]
"""arm, audit, name, group, condition."""


def as_float(value: Any) -> float:
    """A number of summary.json as a float; null (which is how NaN is written) is NaN."""
    return NAN if value is None else float(value)


@dataclass(frozen=True)
class Summary:
    """`raw` is summary.json itself; everything else is read from it and nothing is computed anew."""

    raw: Mapping[str, Any]

    @classmethod
    def read(cls, path: Path) -> Summary:
        """Raises FileNotFoundError or ValueError naming the file and what is wrong with it."""
        if not path.exists():
            raise FileNotFoundError(f"{path} is not there: a report is made from a finished comparison's summary.json")
        raw = read_json(path)
        if not isinstance(raw, dict) or raw.get("schema") != SCHEMA:
            found = raw.get("schema") if isinstance(raw, dict) else type(raw).__name__
            raise ValueError(f"{path} has schema {found!r}; this version reads {SCHEMA}: compare the cells again")
        for key in ("experiment", "arms", "estimates"):
            if key not in raw:
                raise ValueError(f"{path} has no {key!r}; found {sorted(raw)}")
        return cls(raw)

    @cached_property
    def arms(self) -> tuple[str, ...]:
        """Names of the arms: untouched ones first, then untrained ones, else in the order of the experiment."""
        arms = sorted(self.raw["arms"], key=lambda arm: (not _untouched(arm), arm.get("recipe") != "none"))
        return tuple(arm["name"] for arm in arms)

    @cached_property
    def arm(self) -> dict[str, Mapping[str, Any]]:
        return {arm["name"]: arm for arm in self.raw["arms"]}

    @cached_property
    def base(self) -> str | None:
        """The untouched arm that others are held against, where there is one."""
        if "base" in self.raw:
            return None if self.raw["base"] is None else str(self.raw["base"])
        return next((name for name in self.arms if _untouched(self.arm[name])), None)

    def series(self, arm: str) -> int:
        """Index of the arm's colour and marker: 0 is kept for the base."""
        return self.arms.index(arm) + (self.base is None)

    @cached_property
    def drawn(self) -> tuple[str, ...]:
        """The arms of figures with a line, a mark or a panel an arm: all, or DRAWN of them. Those are the base, the
        arms of pre-registered comparisons, and of the others some spread evenly over their order.
        """
        if len(self.arms) <= DRAWN:
            return self.arms
        primary = [row for row in self.raw.get("comparisons") or [] if row.get("family") == "primary"]
        named = [self.base, *(row[side] for row in primary for side in ("arm", "against"))]
        first = [name for name in dict.fromkeys(named) if name in self.arm][:DRAWN]
        rest = [name for name in self.arms if name not in first]
        room = DRAWN - len(first)
        chosen = {*first, *(rest[place * len(rest) // room] for place in range(room))}
        return tuple(name for name in self.arms if name in chosen)

    @cached_property
    def estimates(self) -> dict[Key, Estimate]:
        """All estimates but those of positive controls, which have a table of their own."""
        found = {}
        for row in self.raw["estimates"]:
            if row["name"] == EFFECT:
                continue
            values = {field: row.get(field) for field in _FIELDS}
            for field in ("value", "low", "high"):
                values[field] = as_float(values[field])
            key = (row["arm"], row["audit"], row["name"], row["group"], row["condition"])
            found[key] = Estimate(**values)
        return found

    @cached_property
    def audits(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(key[1] for key in self.estimates))

    def get(self, arm: str, audit: str, name: str, group: str = "all", condition: str = "none") -> Estimate | None:
        return self.estimates.get((arm, audit, name, group, condition))

    @cached_property
    def _asked(self) -> dict[tuple[str, ...], dict[tuple[str, str, str], None]]:
        """Distinct (name, group, condition) in their order, of an audit, and of an audit with a name or a group."""
        found: dict[tuple[str, ...], dict[tuple[str, str, str], None]] = {}
        for _, audit, name, group, condition in self.estimates:
            for of in ((audit,), (audit, "name", name), (audit, "group", group)):
                found.setdefault(of, {})[name, group, condition] = None
        return found

    def values(self, audit: str, position: str, group: str | None = None, name: str | None = None) -> tuple[str, ...]:
        """Distinct values at a `position` ("name", "group" or "condition") of an audit's keys, in its order."""
        at = {"name": 0, "group": 1, "condition": 2}[position]
        of = (audit, "name", name) if name is not None else (audit, "group", group) if group is not None else (audit,)
        return tuple(dict.fromkeys(key[at] for key in self._asked.get(of, ()) if group is None or key[1] == group))

    def conditions(self, audit: str, name: str, group: str = "all") -> tuple[str, ...]:
        """What was asked, reference rows left out."""
        return tuple(c for c in self.values(audit, "condition", group, name) if not c.startswith(REFERENCE))

    def main_condition(self, audit: str, names: Iterable[str], group: str = "all") -> str | None:
        """The condition that stands for a measure on the first screen: see `wording.MAIN_CONDITIONS`."""
        there = [c for name in names for c in self.conditions(audit, name, group)]
        for wanted in MAIN_CONDITIONS:
            if wanted in there:
                return wanted
        return there[0] if there else None

    def reference(self, audit: str, name: str, condition: str, group: str = "all") -> Estimate | None:
        """A reference row: of the base arm where it has one, else of any arm (they ask about the same people)."""
        owners = [*self.arms, *dict.fromkeys(key[0] for key in self.estimates)]
        for arm in dict.fromkeys(owners):
            found = self.get(arm, audit, name, group, condition)
            if found and math.isfinite(found.value):
                return found
        return None

    def references(self, audit: str, name: str, group: str = "all", beside: str | None = None) -> dict[str, Estimate]:
        """Reference rows by condition; with `beside` only those that were measured on that condition's units."""
        every = [c for c in self.values(audit, "condition", group, name) if c.startswith(REFERENCE)]
        if beside is not None:
            stated = beside.partition(" (")[
                0
            ]  # a style or language has the units of what is stated, or rows of its own
            own = next((rows for of in (beside, stated) if (rows := [c for c in every if c.endswith(f" ({of})")])), [])
            every = own or [c for c in every if " (" not in c]
        found = {c: self.reference(audit, name, c, group) for c in every}
        return {c: estimate for c, estimate in found.items() if estimate is not None}

    def validity(self, arm: str) -> tuple[str, list[str]]:
        state = self.arm.get(arm, {}).get("validity") or {}
        return str(state.get("status", "unknown")), [str(reason) for reason in state.get("reasons", [])]

    def label(self, arm: str) -> str:
        """The arm's name, with its state where it takes part in no comparison: "dpo-full (collapsed)"."""
        status, _ = self.validity(arm)
        return f"{arm} ({status})" if status in ("collapsed", "incomplete") else arm

    @cached_property
    def size(self) -> str:
        """How much was run, in a few words: "4 arms · 3 training seeds × 2 data draws · 14 held-out questions …"."""
        parts = [f"{len(self.arms)} arm{'' if len(self.arms) == 1 else 's'}"]
        if self._trained:
            levels = [sorted({len(arm.get(key, [])) for arm in self._trained}) for key in ("seeds", "draws")]
            counts = [f"{'up to ' * (len(of) > 1)}{of[-1]}" for of in levels]
            plural = ["" if of[-1] == 1 else "s" for of in levels]
            drawn = ", each with its own data draw" if self._own else f" × {counts[1]} data draw{plural[1]}"
            parts.append(f"{counts[0]} training seed{plural[0]}{drawn}")
        split = self.raw.get("split") or {}
        if split:
            items, countries = (len(split.get(f"held_out_{key}") or []) for key in ("items", "countries"))
            ends = ("" if items == 1 else "s", "country" if countries == 1 else "countries")
            parts.append(f"{items} question{ends[0]} and {countries} {ends[1]} held out")
        return " · ".join(parts)

    @cached_property
    def _trained(self) -> list[Mapping[str, Any]]:
        """Trained arms with a finished cell, or all trained ones where none has."""
        trained = [self.arm[name] for name in self.arms if self.arm[name].get("recipe") != "none"]
        return [arm for arm in trained if arm.get("seeds")] or trained

    @property
    def _own(self) -> bool:
        """Whether every trained arm has several seeds, each with a data draw of its own."""
        levels = [[(cell["seed"], cell["draw"]) for cell in arm.get("cells", ())] for arm in self._trained]
        return all(len({draw for _, draw in own}) == len({seed for seed, _ in own}) == len(own) > 1 for own in levels)

    @cached_property
    def noise(self) -> str:
        """Which levels of noise the intervals can cover, counted from the arms' seeds and draws."""
        if not self._trained:
            return "Nothing was trained here. Intervals cover the choice of items and countries."
        seeds = min(len(arm.get("seeds", [])) for arm in self._trained)
        draws = min(len(arm.get("draws", [])) for arm in self._trained)
        covered = ["items", "countries"]
        missing: list[str] = []
        (covered if seeds > 1 else missing).append("training seeds")
        (covered if draws > 1 else missing).append("draws of the training data")
        text = f"Intervals are 95% and cover the choice of {', '.join(covered[:-1])} and {covered[-1]}."
        if missing:
            text += (
                f" They do not cover {' or '.join(missing)}, because a trained arm has one: trained again, an arm "
                "could differ by more than its interval says."
            )
        return (
            f"{text} Items or countries that are as good as fewer than three are taken as given, and the method of an "
            "interval says so."
        )


def _untouched(arm: Mapping[str, Any]) -> bool:
    return arm.get("recipe") == "none" and arm.get("inference", "none") == "none"
