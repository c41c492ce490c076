"""The leaderboard's section: places and not bare ranks, the nearest to a target first, who is dominated by whom."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from data.files import write_json
from eval.report import write_report
from eval.report.blocks import Block
from eval.report.leaderboard import blocks
from eval.report.summary import Summary

ARMS = ("base", "match", "mine", "control", "broken")
METHOD = "bootstrap over 12 items and 20 countries; 3 training seeds by Student's t"


def column(key: str, audit: str, name: str, target: float | None, entrants: list[str]) -> dict[str, Any]:
    asked = "dialogue:neutral:6" if audit == "edc" else "country"
    named = {"key": key, "audit": audit, "name": name, "condition": asked, "target": target}
    return named | {"entrants": entrants, "n": 240, "method": METHOD}


def score(value: float, low: int, high: int, best: float, target: float = 0.0) -> dict[str, Any]:
    bounds = {"value": value, "low": value - 0.02, "high": value + 0.03, "score": abs(value - target)}
    return bounds | {"rank_low": low, "rank_high": high, "best": best}


def made(**more: Any) -> dict[str, Any]:
    four = list(ARMS[:4])
    columns = [
        column("fit", "first_token", "js_distance", None, four),
        column("between", "first_token", "between_ratio", 1.0, four),
        column("stability", "edc", "flip_rate", None, four[:3]),
    ]
    scores = {
        "mine": {"fit": score(0.1, 1, 1, 0.95), "between": score(1.3, 1, 3, 0.3, 1.0)},
        "match": {"fit": score(0.2, 2, 3, 0.05), "between": score(0.8, 1, 3, 0.6, 1.0)},
        "control": {"fit": score(0.21, 2, 3, 0.0), "between": score(0.6, 1, 3, 0.1, 1.0)},
        "base": {"fit": score(0.4, 4, 4, 0.0), "between": score(0.1, 4, 4, 0.0, 1.0)},
    }
    for arm, value in (("mine", 0.25), ("match", 0.3), ("base", 0.3)):
        scores[arm]["stability"] = score(value, 1, 3, 0.33)
    front = {"of": "fit", "against": "between"}
    fronts = [front | {"dominated_by": {"mine": [], "match": [], "control": [], "base": ["mine", "match"]}}]
    costs = {"flops": 5.7e12, "seconds": 61.4, "examples": 320.0, "asked_tokens": None}
    rows = [{"arm": arm, "kind": "trained", "why": "", "costs": costs} for arm in ARMS]
    rows[0] |= {"kind": "base", "costs": dict.fromkeys(costs, 0.0)}
    rows[3]["kind"] = "control"
    rows[4]["why"] = "collapsed: its training was stopped at step 3: no answers"
    boards = [{"group": "all", "columns": columns, "scores": scores, "fronts": fronts}]
    return {"confidence": 0.95, "arms": rows, "boards": boards} | more


def summary(leaderboard: dict[str, Any]) -> dict[str, Any]:
    arms = [
        {"name": arm, "recipe": "none" if arm == "base" else "match", "seeds": [0, 1, 2], "draws": [0], "cells": []}
        for arm in ARMS
    ]
    return {"schema": 2, "experiment": "debiasing", "arms": arms, "estimates": [], "leaderboard": leaderboard}


@pytest.fixture(scope="module")
def svgs() -> dict[str, str]:
    return {}


@pytest.fixture(scope="module")
def parts(svgs: dict[str, str]) -> dict[str, Block]:
    return {part.heading: part for part in blocks(Summary(summary(made())), (), svgs)}


def cells(part: Block, table: int = 0) -> dict[str, list[tuple[str, str, float | None]]]:
    return {row.cells[0].text: [(c.text, c.interval, c.sort) for c in row.cells[1:]] for row in part.tables[table].rows}


def test_without_a_leaderboard_there_is_no_section() -> None:
    assert blocks(Summary(summary({})), (), {}) == []


def test_values_stand_with_intervals_and_sort_by_what_ranks(parts: dict[str, Block]) -> None:
    rows = cells(parts["New questions, new countries"])
    assert list(rows) == ["mine", "match", "control", "base"]
    assert rows["mine"][1] == ("0.100", "[0.080, 0.130]", 0.1)
    assert rows["mine"][2] == ("1.300", "[1.280, 1.330]", pytest.approx(0.3))
    assert rows["match"][2][2] == pytest.approx(0.2)  # 0.8 is nearer to 1 than 1.3, and comes first
    assert rows["match"][3][:2] == ("30.0%", "[28.0%, 33.0%]")
    assert rows["control"][3] == ("—", "", None)
    heads = parts["New questions, new countries"].tables[0].columns
    assert [(head.title, head.direction) for head in heads[2:]] == [
        ("Fit: JS distance", "lower is better"),
        ("Between countries", "nearer to 1 is better"),
        ("Stability: flip rate", "lower is better"),
    ]


def test_ranks_are_places_and_never_bare_where_they_are_shared(parts: dict[str, Block]) -> None:
    ranks = parts["New questions, new countries"].tables[1]
    rows = cells(parts["New questions, new countries"], 1)
    assert rows["mine"][1][:2] == ("1", "leads in 95.0%")
    assert rows["match"][1][0] == rows["control"][1][0] == "2–3"
    assert rows["control"][3][0] == "—"
    assert [head.direction for head in ranks.columns[2:]] == ["of 4", "of 4", "of 3"]
    assert rows["match"][1][2] < rows["base"][1][2]  # type: ignore[operator]
    assert all(METHOD in note for note in ranks.notes)


def test_who_may_be_the_best_is_said(parts: dict[str, Block]) -> None:
    assert parts["New questions, new countries"].points == (
        "Fit: JS distance: mine alone may be the best of 4.",
        "Between countries: 3 of 4 may be the best: mine, match and control (a control).",
        "Stability: flip rate: no arm of 3 can be told from the best.",
    )
    assert "95% confidence" in parts["New questions, new countries"].intro
    assert "one training seed" not in parts["New questions, new countries"].intro


def test_one_training_seed_is_said_where_ranks_are_read() -> None:
    board = made()["boards"][0]
    board["columns"] = [one | {"method": "bootstrap over 12 items; one training seed"} for one in board["columns"]]
    first = blocks(Summary(summary(made(boards=[board]))), (), {})[0]
    assert "neither intervals nor places cover what another training would bring" in first.intro


def test_the_picture_says_who_is_dominated(parts: dict[str, Block], svgs: dict[str, str]) -> None:
    part = parts["New questions, new countries: fit against variation"]
    assert part.points == ("Fit and variation between countries: dominated are base by mine and match.",)
    (panel,) = part.panels
    assert panel.caption.startswith("3 of 4 arms are not shown to be dominated")
    tree = ET.fromstring(svgs[panel.name])
    tips = [node.text or "" for node in tree.iter() if node.tag.endswith("title")]
    assert any(
        tip.startswith("base: JS distance 0.400") and tip.endswith("dominated by mine and match") for tip in tips
    )
    assert any(tip.startswith("mine: JS distance 0.100 [0.080, 0.130], Between countries 1.300") for tip in tips)
    named = {"".join(node.itertext()) for node in tree.iter() if node.tag.endswith("text")}
    assert {"mine", "match"} <= named


def test_costs_and_who_is_left_out(parts: dict[str, Block]) -> None:
    rows = cells(parts["What each arm cost"])
    assert [text for text, *_ in rows["match"]] == ["trained", "5.70e+12", "61", "320", "—"]
    assert [text for text, *_ in rows["base"]][1:] == ["0", "0", "0", "0"]
    left_out = cells(parts["Not ranked"])
    assert list(left_out) == ["broken"]
    assert left_out["broken"][1][0].startswith("collapsed: its training was stopped")
    assert "broken" not in cells(parts["New questions, new countries"])


def test_ranks_that_nothing_is_known_of_are_dashes() -> None:
    board = made()["boards"][0]
    board["columns"] = [board["columns"][0], board["columns"][1] | {"method": "no interval: infinite scores"}]
    for one in board["scores"].values():
        one.pop("stability", None)
        one["between"] |= {"rank_low": None, "rank_high": None, "best": None, "low": None, "high": None}
    found = {part.heading: part for part in blocks(Summary(summary(made(boards=[board]))), (), {})}
    rows = cells(found["New questions, new countries"], 1)
    assert {row[2][0] for row in rows.values()} == {"—"}
    assert cells(found["New questions, new countries"])["mine"][2][1] == "no interval"
    assert (
        found["New questions, new countries"].points[1] == "Between countries: no ranks (no interval: infinite scores)."
    )


def test_it_stands_on_the_page(tmp_path: Path) -> None:
    write_json(tmp_path / "comparison" / "summary.json", summary(made()))
    page = write_report(tmp_path / "comparison").read_text("utf-8")
    assert page.count('<section id="leaderboard"') == 1
    assert page.index('id="glance"') < page.index('<section id="leaderboard"') < page.index('<section id="gate"')
    assert 'href="#leaderboard"' in page
