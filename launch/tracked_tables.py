"""The tables and charts of a comparison for a tracker: data frames made of summary.json and the cells' metrics.

Intervals stand beside every value (`low`, `high`); a table's rows are in the order in which they matter, because a
tracker that shows ten thousand rows shows the first. Knows no tracker.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from eval.leaderboard import COLUMNS, FIT, NOT_RANKED, VARIATION
from eval.panels import STRATUM_GROUPS
from eval.response_curves import MEASURES
from launch.tracking import read_metrics

KEY = ["audit", "name", "condition", "group"]
VALUE = ["value", "low", "high"]
LOSS_POINTS = 200
"""Steps of a cell's loss that are drawn; the cell's own run has all."""


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart of `rows`: bars (a bar for each `x`), lines (one for each value of column `line`) or a scatter plot."""

    name: str
    kind: Literal["bar", "lines", "scatter"]
    title: str
    rows: pd.DataFrame
    x: str
    y: str
    line: str = ""


def tables(summary: Mapping[str, Any], cells: Sequence[Path]) -> dict[str, pd.DataFrame]:
    """What the summary holds of arms, estimates, comparisons, verdicts, effects, ranks, response curves, models and
    collapse curves, the main measures of every arm (`eval.response_curves.MEASURES`), and the losses of the cells in
    the folders `cells`. A part that the run lacks has no table.
    """
    responses, collapse = summary.get("response_curves") or {}, summary.get("collapse") or {}
    curves, laws = responses.get("curves", []), collapse.get("curves", [])
    found = {
        "main": _main(summary),
        "arms": pd.json_normalize([{name: arm[name] for name in arm if name != "cells"} for arm in summary["arms"]]),
        "verdicts": pd.json_normalize(summary.get("verdicts", [])),
        "estimates": _whole_first(pd.DataFrame(summary["estimates"])),
        "comparisons": _whole_first(pd.DataFrame(summary.get("comparisons", []))),
        "effects": pd.DataFrame((summary.get("effects") or {}).get("rows", [])),
        "leaderboard": pd.DataFrame(_ranks(summary.get("leaderboard") or {})),
        "response_curves": pd.json_normalize([{key: one[key] for key in one if key != "cells"} for one in curves]),
        "census": pd.DataFrame((summary.get("census") or {}).get("groups", [])),
        "collapse": pd.DataFrame([{"knob": law["knob"], **point} for law in laws for point in law["points"]]),
        "training": _losses(summary, cells),
    }
    return {name: frame for name, frame in found.items() if len(frame)}


def charts(summary: Mapping[str, Any], shown: Mapping[str, pd.DataFrame]) -> Iterator[Chart]:
    """Main measures by arm, fit against variation, response curves, collapse curves and losses, of the tables `shown`;
    none for what the run lacks.
    """
    main = shown.get("main", pd.DataFrame(columns=["arm", *KEY, *VALUE]))
    for key, rows in main.groupby(KEY, sort=False):
        yield Chart(f"main/{_place(key)}", "bar", _title(key), rows, "label", "value")
    yield from _pareto(summary)
    yield from _responses(summary, main)
    yield from _collapse(summary)
    losses = shown.get("training", pd.DataFrame(columns=["recipe"]))
    for recipe, rows in losses.groupby("recipe", sort=False):
        yield Chart(f"loss/{_place([recipe])}", "lines", f"Training loss, {recipe}", rows, "step", "loss", "cell")


def _main(summary: Mapping[str, Any]) -> pd.DataFrame:
    """The main measures of every arm with its validity, in their order; `label` is the arm, and that it collapsed."""
    status = _status(summary)
    order = {key: place for place, key in enumerate(MEASURES)}
    rows = [
        (order[key], {"label": _label(one["arm"], status), "validity": status[one["arm"]], **one})
        for one in summary["estimates"]
        if (key := tuple(one[name] for name in KEY)) in order and one["value"] is not None
    ]
    return pd.DataFrame([row for _, row in sorted(rows, key=lambda pair: pair[0])])


def _status(summary: Mapping[str, Any]) -> dict[str, str]:
    return {arm["name"]: arm["validity"]["status"] for arm in summary["arms"]}


def _label(arm: str, status: Mapping[str, str]) -> str:
    return f"{arm} (collapsed)" if status[arm] == "collapsed" else arm


def _whole_first(frame: pd.DataFrame) -> pd.DataFrame:
    """Whole strata before single countries and ages."""
    if frame.empty:
        return frame
    return frame.sort_values("group", key=lambda groups: ~groups.isin(STRATUM_GROUPS.values()), kind="stable")


def _ranks(board: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    kinds = {one["arm"]: {"kind": one["kind"], "why": one["why"], **one["costs"]} for one in board.get("arms", [])}
    for each in board.get("boards", []):
        for arm, scores in each["scores"].items():
            for key, score in scores.items():
                yield {"group": each["group"], "arm": arm, "measure": key, **score, **kinds[arm]}


def _losses(summary: Mapping[str, Any], cells: Sequence[Path]) -> pd.DataFrame:
    """The loss of each cell by step, evenly thinned to `LOSS_POINTS`; each recipe has a loss of its own."""
    arms = {one["folder"]: arm for arm in summary["arms"] for one in arm["cells"]}
    rows = []
    for folder in cells:
        steps = [one for one in read_metrics(folder / "metrics.jsonl") if one.get("loss") is not None]
        arm = arms.get(folder.name, {"recipe": "reward model", "name": folder.name.partition("--")[0]})
        known = {"recipe": arm["recipe"], "arm": arm["name"], "cell": folder.name.rpartition("--")[0]}
        rows += [known | {name: one[name] for name in ("step", "loss")} for one in steps[:: _every(len(steps))]]
    return pd.DataFrame(rows)


def _every(steps: int) -> int:
    return max(1, -(-steps // LOSS_POINTS))


def _pareto(summary: Mapping[str, Any]) -> Iterator[Chart]:
    """Fit against variation between and within countries, a point for each arm that may be ranked."""
    of = {one.key: one for one in COLUMNS}
    known = {tuple(one[name] for name in ("arm", *KEY)): one for one in summary["estimates"]}
    for group in STRATUM_GROUPS.values():
        for other in VARIATION:
            rows = []
            for arm in (name for name, found in _status(summary).items() if found not in NOT_RANKED):
                both = [known.get((arm, c.audit, c.measure, c.condition, group)) for c in (of[FIT], of[other])]
                if all(one and one["value"] is not None for one in both):
                    named = zip((of[FIT].measure, of[other].measure), both, strict=True)
                    values = {(f"{m}_{v}" if v != "value" else m): one[v] for m, one in named if one for v in VALUE}
                    rows.append({"arm": arm, **values})
            if len(rows) > 1:
                x, y = of[FIT].measure, of[other].measure
                title = f"{x} against {y} (people = 1), {group}"
                yield Chart(f"pareto/{_place((y, group))}", "scatter", title, pd.DataFrame(rows), x, y)


def _responses(summary: Mapping[str, Any], main: pd.DataFrame) -> Iterator[Chart]:
    """Each main measure over the diversity of the training data, a line for each family of otherwise equal arms."""
    responses = summary.get("response_curves") or {}
    found: dict[tuple[Any, ...], list[pd.DataFrame]] = {}
    for curve in responses.get("curves", []):
        key = tuple(curve[name] for name in KEY)
        points = pd.DataFrame({"arm": curve["arms"], "diversity": curve["diversity"], "family": curve["family"]})
        measured = main[[each == key for each in main[KEY].itertuples(index=False, name=None)]]
        found.setdefault(key, []).append(points.merge(measured[["arm", *VALUE, "n", "method"]], on="arm"))
    for key, parts in found.items():
        rows = pd.concat(parts, ignore_index=True).sort_values(["family", "diversity"])
        title = f"{_title(key)} over {responses['over']} of the training data"
        yield Chart(f"response/{_place(key)}", "lines", title, rows, "diversity", "value", "family")


def _collapse(summary: Mapping[str, Any]) -> Iterator[Chart]:
    """What was measured along a knob of preference training, and what the theory predicts, as two lines a measure."""
    for law in (summary.get("collapse") or {}).get("curves", []):
        points = pd.DataFrame(law["points"])
        for (name, group), measured in points.groupby(["name", "group"], sort=False) if len(points) else ():
            rows = [measured[["at", *VALUE, "arm"]].assign(line="measured").sort_values("at")]
            if law["predicted"]:
                expected = pd.DataFrame(law["predicted"]).query("group == @group")
                rows.append(expected[["at", name]].rename(columns={name: "value"}).assign(line="predicted"))
            knob = f"{law['knob']}{', raters pooled' if law['pooled'] else ''}"
            shown = pd.concat(rows, ignore_index=True).dropna(subset="value")
            title = f"{name} along {knob}, {group}"
            yield Chart(f"collapse/{_place((knob, name, group))}", "lines", title, shown, "at", "value", "line")


def _title(key: Sequence[Any]) -> str:
    audit, name, condition, group = key
    return f"{audit} {name} ({condition}), {group}"


def _place(parts: Sequence[Any]) -> str:
    return "/".join("".join(char if char.isalnum() or char in "+_-" else "-" for char in str(one)) for one in parts)
