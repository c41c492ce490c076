"""The dilemma audit's blocks, from what two scripted arms left."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import dilemma_scripted as scripted
import pytest

from data.records import Dilemma
from eval.dilemmas.audit import EthicalDilemmas
from eval.report.blocks import Block
from eval.report.dilemmas import blocks
from eval.report.evidence import Cell
from eval.report.summary import Summary
from eval.report.tables import Table

KNOBS = EthicalDilemmas(draws=50)
HOSTILE = "<script>alert(1)</script>"


def turning(shown: scripted.Shown) -> float:
    """Dilemma 2 turns round under everything else than the plain question, dilemma 4 after small talk alone."""
    plain = not (shown.paraphrase or shown.compare or shown.turns or shown.said)
    turned = (shown.dilemma == 2 and not plain) or (shown.dilemma == 4 and shown.turns)
    return float(scripted.stronger(shown, 0.2 if turned else 0.8))


def corpus() -> tuple[Dilemma, ...]:
    """With a text in dilemma 2 that must not become markup."""
    dilemmas = list(scripted.dilemmas())
    wording = dilemmas[2].wordings["en"]
    scenarios = (f"{HOSTILE} {wording.scenarios[0]}", *wording.scenarios[1:])
    dilemmas[2] = replace(dilemmas[2], wordings={"en": replace(wording, scenarios=scenarios)})
    return tuple(dilemmas)


@pytest.fixture
def drawn(tmp_path: Path) -> tuple[list[Block], dict[str, str]]:
    rows, cells = [], []
    for arm, rule in (("base", scripted.by_value), ("match", turning)):
        result = KNOBS(scripted.context(scripted.Fake(rule), corpus=corpus()))
        folder = tmp_path / arm
        (folder / "audits" / "edc").mkdir(parents=True)
        result.items.to_parquet(folder / "audits" / "edc" / "items.parquet")
        rows += [{"arm": arm, "audit": "edc", **asdict(one)} for one in result.estimates]
        cells.append(Cell(arm, folder))
    arms = [{"name": "base", "recipe": "none"}, {"name": "match", "recipe": "match"}]
    svgs: dict[str, str] = {}
    summary = Summary({"schema": 1, "experiment": "x", "arms": arms, "estimates": rows})
    return blocks(summary, cells, svgs), svgs


def texts(table: Table) -> list[list[str]]:
    return [[cell.text for cell in row.cells] for row in table.rows]


def test_every_condition_stands_with_its_floor(drawn: tuple[list[Block], dict[str, str]]) -> None:
    (table,) = drawn[0][0].tables
    rows = texts(table)
    # Two of twelve go from 0.8 to 0.2: each (0.6)² of excess, and a distance of √(1 − H(0.8)) = 0.527.
    assert ["after 6 exchanges of small talk", "match", "0.600", "16.7%"] in [row[:4] for row in rows]
    assert ["0.060", "0.088", "0"] in [row[-3:] for row in rows]
    assert ["after a pushback", "base"] in [row[:2] for row in rows]
    assert all(row[-1] == "0" for row in rows)


def test_drift_with_length_is_drawn_for_both_arms(drawn: tuple[list[Block], dict[str, str]]) -> None:
    found, svgs = drawn
    (block,) = [one for one in found if one.heading == "Drift with the length of a dialogue"]
    assert [panel.name for panel in block.panels] == ["edc-js-distance-length", "edc-flip-rate-length"]
    assert "match: 16.7%" in svgs["edc-flip-rate-length"]
    assert "base: 0.0%" in svgs["edc-flip-rate-length"]


def test_priorities_poles_and_what_was_asked(drawn: tuple[list[Block], dict[str, str]]) -> None:
    by_heading = {block.heading: block for block in drawn[0]}
    values, poles = by_heading["What comes first, in numbers"].tables
    assert [row[0] for row in texts(values)] == ["stimulation", "power", "security", "benevolence"]
    assert [row[0] for row in texts(poles)] == [
        "conservation over openness",
        "self-transcendence over self-enhancement",
    ]
    (asked,) = by_heading["What was asked"].tables
    assert ["security", "3", "3", "2", "4"] in texts(asked)


def test_the_dilemmas_that_turn_most_come_first(drawn: tuple[list[Block], dict[str, str]]) -> None:
    (table,) = drawn[0][-1].tables
    rows = texts(table)
    assert [row[0] for row in rows] == ["match", "match"]
    assert rows[0][1].startswith(f"{HOSTILE} Scenario 2")
    assert rows[0][-1] == "7 of 7"
    assert rows[1][-1] == "2 of 7"
    assert rows[1][4:6] == ["20.0%", "20.0% to 80.0%"]


def test_nothing_is_shown_where_nothing_was_asked() -> None:
    assert blocks(Summary({"schema": 1, "experiment": "x", "arms": [], "estimates": []}), [], {}) == []
