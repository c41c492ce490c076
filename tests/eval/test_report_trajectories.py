"""The report's section on time: what is drawn, what stands in the table, and what is said to be missing."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest

from eval.report.lines import Moment, lines
from eval.report.summary import Summary
from eval.report.trajectories import blocks

START = {"js_distance": 0.46, "between_ratio": 0.2, "within_ratio": 1.2, "flip_rate": 0.3, "kendall_tau": 0.8}
ARMS = {"match-full": -0.05, "dpo-full": -0.01}


def row(name: str, condition: str, value: float, audit: str = "first_token", **at: Any) -> dict[str, Any]:
    bounds = {"low": value - 0.04, "high": value + 0.05, "n": 24, "method": "bootstrap over 24 units"}
    return {**at, "audit": audit, "name": name, "group": "all", "condition": condition, "value": value, **bounds}


def made_up(dated: bool = True) -> dict[str, Any]:
    """A summary of a base and two arms with three snapshots each, and three dated versions."""
    training = []
    for arm, slope in ARMS.items():
        for place, step in enumerate((0, 5, 10, 15, 20)):
            at = {"arm": arm, "step": step, "seeds": [0] if step == 0 else [0, 1], "draws": [0]}
            for name in ("js_distance", "between_ratio", "within_ratio"):
                training.append(row(name, "country", START[name] + slope * place, **at))
            training.append(row("flip_rate", "wording:1", 0.3 + slope * place, "edc", **at))
            training.append(row("flip_rate", "training:alone", -4 * slope * place, "edc", **at))
            training.append(row("kendall_tau", "training:alone", 1 + 2 * slope * place, "edc", **at))
            if step:
                training.append(row("flip_rate", "previous:alone", -slope * place, "edc", **at))
    calendar = []
    for place, (arm, day) in enumerate((("v1", "2023-03-14"), ("v2", "2024-05-13"), ("v3", "2024-08-06"))):
        at = {"series": "toy", "arm": arm, "date": day}
        calendar.append(row("js_distance", "country", 0.4 - 0.05 * place, **at))
        calendar.append(row("flip_rate", "first:alone", 0.1 * place, "edc", **at))
        if place:
            calendar.append(row("flip_rate", "previous:alone", 0.07, "edc", **at))
    arms = ["base", *ARMS, *(["v1", "v2", "v3"] if dated else [])]
    recipes = {name: name.split("-")[0] if name in ARMS else "none" for name in arms}
    estimates = [row(r["name"], r["condition"], r["value"], r["audit"], arm=r["arm"]) for r in (*training, *calendar)]
    return {
        "schema": 2,
        "experiment": "toy",
        "arms": [{"name": name, "recipe": recipe, "seeds": [0, 1], "draws": [0]} for name, recipe in recipes.items()],
        "estimates": estimates,
        "trajectories": {"training": training, "calendar": calendar if dated else [], "absent": []},
    }


def test_nothing_is_shown_where_there_is_nothing() -> None:
    svgs: dict[str, str] = {}
    bare = made_up()
    for found in ({}, {"training": [], "calendar": [], "absent": []}):
        assert blocks(Summary({**bare, "trajectories": found}), (), svgs) == []
    assert svgs == {}


def test_trainings_and_versions_have_a_block_each() -> None:
    svgs: dict[str, str] = {}
    along, dated = blocks(Summary(made_up()), (), svgs)
    assert [along.heading, dated.heading] == ["Along the training", "toy, version by version"]
    assert {panel.name for block in (along, dated) for panel in block.panels} == set(svgs)
    assert [panel.heading for panel in along.panels][-3:] == [
        "Flips since the base",
        "Flips since the point before",
        "Order of values kept",
    ]
    assert len(along.panels) == 7
    assert [panel.heading for panel in dated.panels][-2:] == [
        "Flips since the first version",
        "Flips since the point before",
    ]


def test_the_table_has_every_point_with_its_interval() -> None:
    (along,) = blocks(Summary(made_up(dated=False)), (), {})
    (table,) = along.tables
    titles = [column.title for column in table.columns]
    rows = [[cell.text for cell in row.cells] for row in table.rows]
    assert [(row[0], row[1]) for row in rows] == [(arm, str(step)) for arm in ARMS for step in (0, 5, 10, 15, 20)]
    at = titles.index("Flips since the base")
    assert [row[at] for row in rows[:5]] == ["0.0%", "20.0%", "40.0%", "60.0%", "80.0%"]
    assert table.rows[1].cells[at].interval == "[16.0%, 25.0%]"
    assert rows[0][titles.index("Flips since the point before")] == "—"
    assert table.notes == ("Pooled over 2 training seeds.",)


def test_figures_name_their_points_and_the_base_stands_once() -> None:
    svgs: dict[str, str] = {}
    (along,) = blocks(Summary(made_up(dated=False)), (), svgs)
    svg = svgs[next(panel.name for panel in along.panels if panel.name.endswith("flip-rate-training-"))]
    tips = re.findall(r"<title>([^<]+)</title>", svg)
    assert sum(tip.startswith("base, step 0: 0.0%") for tip in tips) == 1
    assert "match-full, step 5: 20.0% [16.0%, 25.0%] (n = 24; bootstrap over 24 units)" in tips
    assert "optimiser step" in svg


def test_versions_stand_at_their_dates() -> None:
    svgs: dict[str, str] = {}
    _, dated = blocks(Summary(made_up()), (), svgs)
    svg = svgs[dated.panels[0].name]
    assert all(day in svg for day in ("2023-03-14", "2024-05-13", "2024-08-06"))
    assert [row.cells[1].text for row in dated.tables[0].rows] == ["2023-03-14", "2024-05-13", "2024-08-06"]


def test_what_is_missing_is_said() -> None:
    raw = made_up()
    raw["trajectories"] = {"training": [], "calendar": [], "absent": ["one is lost", "another too"]}
    (block,) = blocks(Summary(raw), (), {})
    assert (block.heading, block.intro) == ("What is not there", "one is lost; another too.")


def test_an_undefined_value_interrupts_its_line() -> None:
    values = (0.1, math.nan, 0.3, 0.4)
    path = [Moment(float(t), 1, v, math.nan, math.nan, f"t{t}") for t, v in enumerate(values)]
    svg = lines("toy", "Toy", "Three points", {1: path}, axis="optimiser step")
    assert [f"<title>t{t}</title>" in svg for t in range(4)] == [True, False, True, True]
    paths = re.findall(r'<path(?: class="\w+")? d="([^"]+)"[^>]* style="([^"]+)"', svg)
    drawn = [one for one, style in paths if "--arm-1" in style]
    assert max(one.count("L") for one in drawn if "C" not in one) == 1, "from the third to the fourth alone"


@pytest.mark.parametrize("times", [(0.0,), (5.0, 5.0)])
def test_a_single_time_can_be_drawn(times: tuple[float, ...]) -> None:
    path = [Moment(time, 1, 0.2, 0.1, 0.3, "a point") for time in times]
    assert "a point" in lines("toy", "Toy", "One time", {1: path}, axis="optimiser step", share=True, target=0.0)
