"""All numbers of a comparison in the form that the page carries them: small, and unpacked when it is opened."""

from __future__ import annotations

import base64
import gzip
import json
import math
from collections.abc import Mapping
from typing import Any

from eval.report.summary import Summary


class Numbers:
    """Every estimate, difference and effect, for the page's browser of all numbers and for what a table's cell says
    when it is pointed at. `at` gives an estimate's place by its key, `why` the place of a text; both as the page is
    filled, so that `packed(numbers.rows())` comes last.
    """

    def __init__(self, summary: Summary) -> None:
        self._strings: dict[str, int] = {}
        self._rows: list[list[Any]] = []
        self._at: dict[str, int] = {}
        for row in summary.raw["estimates"]:
            names = [str(row[name]) for name in ("arm", "audit", "name", "group", "condition")]
            self._at["|".join(names)] = len(self._rows)
            self._add(0, names, row)
        for row in summary.raw.get("comparisons") or []:
            pair = f"{row['arm']} − {row['against']}"
            self._add(1, [pair, *(row[name] for name in ("audit", "name", "group", "condition"))], row)
        for row in (summary.raw.get("effects") or {}).get("rows") or []:
            self._add(2, [row[name] for name in ("effect", "audit", "name", "group", "condition")], row)

    def _add(self, kind: int, names: list[str], row: Mapping[str, Any]) -> None:
        values = [_short(row.get(name)) for name in ("value", "low", "high", "n")]
        self._rows.append([kind, *map(self.why, names), *values, self.why(str(row.get("method", "")))])

    def __len__(self) -> int:
        return len(self._rows)

    def at(self, key: str) -> int | None:
        return self._at.get(key)

    def why(self, text: str) -> int:
        return self._strings.setdefault(text, len(self._strings))

    def rows(self) -> dict[str, Any]:
        """Texts, and rows of kind (0 estimate, 1 difference, 2 effect), five places of texts, four numbers (null: NaN),
        and the place of the method.
        """
        return {"strings": list(self._strings), "rows": self._rows}


def _short(value: Any) -> Any:
    """Six significant digits of a number; None for what is no finite number."""
    if not isinstance(value, float):
        return value
    return float(f"{value:.6g}") if math.isfinite(value) else None


def packed(data: Any) -> str:
    """`data` as JSON, gzipped and in base64: what the page unpacks when it is opened. The same data, the same text."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return base64.b64encode(gzip.compress(text.encode(), compresslevel=9, mtime=0)).decode()
