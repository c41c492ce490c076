"""The section on response curves: what is drawn, what stands in the tables, and what is said beside them."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import pytest

from eval.report.response_curves import blocks
from eval.report.response_figure import Border, Line, Point, limits, response
from eval.report.sections import draw
from eval.report.summary import Summary

HILL = {"match-1": 1.0, "match-4": 3.8, "match-16": 14.5, "match-all": 43.0}
AGAIN = {"dpo-1": 1.0, "dpo-4": 3.8, "dpo-all": 43.0}


def estimate(arm: str, name: str, condition: str, value: float) -> dict[str, Any]:
    key = {"arm": arm, "audit": "first_token", "name": name, "group": "all", "condition": condition}
    return key | {"value": value, "low": value - 0.02, "high": value + 0.02, "n": 30, "method": "bootstrap"}


def curve(hill: dict[str, float], family: str, state: str = "trend", audit: str = "first_token") -> dict[str, Any]:
    name, condition = ("js_distance", "country") if audit == "first_token" else ("accuracy", "mark")
    trend = {"state": state, "slope": -0.03, "low": -0.04, "high": -0.02, "p": 0.01, "p_holm": 0.02}
    trend |= {"change": -0.16, "change_low": -0.22, "change_high": -0.11, "intercept": 0.4}
    looked = state == "trend"
    settled = {"looked": looked, "value": 12.0, "low": 5.0, "high": None} if looked else {"looked": False}
    return {
        "family": family,
        "arms": list(hill),
        "diversity": list(hill.values()),
        **{"audit": audit, "name": name, "condition": condition, "group": "all", "margin": 0.02},
        **{"seeds": [0, 1], "draws": [0, 1], "n": 30, "method": "slope; bootstrap over 30 units"},
        "trend": trend,
        "settled": {"value": None, "low": None, "high": None} | settled,
        "cells": [
            {"arm": arm, "seed": s, "draw": s, "diversity": x, "value": 0.4 - 0.03 * math.log2(x) + 0.01 * s}
            for arm, x in hill.items()
            for s in (0, 1)
        ],
    }


def made_up(*curves: dict[str, Any], **more: Any) -> Summary:
    def arm(name: str) -> dict[str, Any]:
        x = {**HILL, **AGAIN}.get(name, 0.0)
        drawn = [{"hill_0": round(x), "hill_1": x - s / 2, "mean_js_between": None if x == 1 else 0.2} for s in (0, 1)]
        cells = [{"manifest": {"mixture": one}} for one in drawn] if name != "base" else []
        return {"name": name, "recipe": name.partition("-")[0] if cells else "none", "cells": cells}

    rows = [estimate("base", "js_distance", "country", 0.5), estimate("base", "js_distance", "reference:uniform", 0.42)]
    rows += [estimate("base", "js_distance", "reference:people_again", 0.05)]
    found = {"over": "hill_1", "curves": list(curves), "beside": [], "left_out": [], **more}
    arms = [arm(name) for name in ("base", *HILL, *AGAIN)]
    return Summary({"schema": 2, "experiment": "x", "arms": arms, "estimates": rows, "response_curves": found})


MATCH, DPO = curve(HILL, "match full"), curve(AGAIN, "dpo full", "undecided")


def test_a_run_without_curves_has_no_section() -> None:
    for found in ({}, {"over": "hill_1", "curves": [], "beside": [], "left_out": []}):
        assert blocks(Summary({**made_up().raw, "response_curves": found}), (), {}) == []
    assert "response" not in [study.id for study, _ in draw(made_up(), ()).studies]


def test_curves_that_were_lost_are_told_of() -> None:
    (block,) = blocks(made_up(left_out=["match-1 has collapsed", "nothing is left"]), (), {})
    assert (block.panels, block.points) == ((), ("match-1 has collapsed.", "nothing is left."))


def test_the_page_has_a_section_of_its_own() -> None:
    ((study, parts),) = [one for one in draw(made_up(MATCH), ()).studies if one[0].id == "response"]
    assert study.short == "Response curves"
    assert [part.heading for part in parts] == ["Over the effective number of countries"]


def test_curves_have_a_panel_and_a_sentence_each() -> None:
    svgs: dict[str, str] = {}
    main, rest = blocks(made_up(MATCH, DPO, curve(HILL, "match full", audit="mark")), (), svgs)
    assert (main.folded, rest.folded) == (False, True)
    assert [panel.heading for panel in main.panels] == ["JS distance: match full", "JS distance: dpo full"]
    assert set(svgs) == {panel.name for block in (main, rest) for panel in block.panels}
    caption = main.panels[0].caption
    assert caption.startswith(
        "JS distance falls: −0.030 [−0.040, −0.020] a doubling of the effective number of countries;"
    )
    assert "From about 12 on it stays within 0.02 of its value at 43 (95% interval 5 to beyond the sweep)." in caption
    assert caption.endswith("Lower is closer to people. Asked: country stated.")
    assert main.points == (
        "2 of 3 curves show a trend; of curves without any, one in twenty would. None is pre-registered, and the table "
        "has Holm's p over all of them.",
    )


def test_what_else_changes_and_what_is_left_out_is_said() -> None:
    beside = [{"family": "match full", "what": "effective number of questions", "least": 1.5, "most": 2.0}]
    (block,) = blocks(made_up(MATCH, beside=beside, left_out=["dpo-4 is not in it: it has collapsed"]), (), {})
    assert block.points[0] == (
        "Along match full the effective number of questions changes too, from 1.5 to 2: what it does and what the "
        "effective number of countries does cannot be told apart here."
    )
    assert block.points[-1] == "dpo-4 is not in it: it has collapsed."


def test_tables_have_the_trends_and_the_data() -> None:
    (block,) = blocks(made_up(MATCH, DPO), (), {})
    trends, arms = block.tables
    rows = [[(cell.text, cell.interval) for cell in row.cells] for row in trends.rows]
    assert rows[0] == [
        ("JS distance", "lower is closer to people"),
        ("match full", ""),
        ("−0.030", "[−0.040, −0.020]"),
        ("−0.160", "[−0.220, −0.110]"),
        ("0.020", ""),
        ("12", "5 to beyond the sweep"),
        ("0.02", ""),
    ]
    assert rows[1][5] == ("—", "")
    assert [row.cells[0].text for row in arms.rows] == [*HILL, *AGAIN]
    titles = [column.title for column in arms.columns]
    cells = arms.rows[1].cells
    assert (cells[titles.index("Effective countries")].text, cells[titles.index("Effective countries")].interval) == (
        "3.550", "3.300 to 3.800",
    )  # fmt: skip
    assert arms.rows[0].cells[titles.index("JS between countries")].text == "—"
    assert "slope; bootstrap over 30 units" in trends.notes[0]


def test_families_of_a_measure_share_their_axis_and_references_stand_in_it_or_at_its_edge() -> None:
    svgs: dict[str, str] = {}
    (block,) = blocks(made_up(MATCH, DPO), (), svgs)
    for panel in block.panels:
        svg = svgs[panel.name]
        assert {"base", "even guess"} <= {one.strip() for one in re.findall(r">([^<>]+)</text>", svg)}
        assert "people again 0.05 ↓" in svg, "too far off to be drawn"
    ticks = [re.findall(r">(0\.\d+)</text>", svgs[panel.name]) for panel in block.panels]
    assert ticks[0] == ticks[1]
    first, second = (svgs[panel.name] for panel in block.panels)
    assert "match-4, seed 1, draw 1: 0.352 at effective number of countries 3.8" in first
    assert first.count("<title>match-") == 8
    assert second.count("<title>dpo-") == 6


def test_axis_limits() -> None:
    low, high = limits([0.2, 0.3], {})
    assert (low, high) == pytest.approx((0.19, 0.31))
    assert limits([0.2, 0.3], {"near": 0.35, "far": 0.9}) == pytest.approx((0.185, 0.365))
    low, high = limits([0.2, 0.2], {})
    assert high - low == pytest.approx(0.024), "differences of no size do not look like some"


@pytest.mark.parametrize("line", [None, Line(-0.1, 0.5, True), Line(-0.1, 0.5, False)])
@pytest.mark.parametrize("border", [None, Border(math.nan, math.nan, math.nan), Border(2.0, 1.0, 3.0)])
def test_a_figure_is_drawn_of_whatever_is_known(line: Line | None, border: Border | None) -> None:
    points = [Point(x, 0.5 - 0.1 * np.log2(x), i + 1, f"cell {i}") for i, x in enumerate((0.3, 0.6, 1.2))]
    svg = response(
        "x", "T", "D", points, line=line, border=border, references={}, within=(0.3, 0.8), axis="distance", share=True
    )
    assert all(f"<title>cell {i}</title>" in svg for i in range(3))
    assert "60%" in svg
    assert ">0.5</text>" in svg
