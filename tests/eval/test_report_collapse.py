"""The report's section on the collapse curve: what is drawn, said and left out."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from data.files import write_json
from eval.report import write_report
from eval.report.collapse import blocks
from eval.report.curve import Anchor, Mark, curve
from eval.report.summary import Summary

BETAS = {"dpo-0.1": 0.1, "dpo-1": 1.0}
SHOWN = {"between_ratio": (0.4, 1.2), "within_ratio": (1.1, 0.8), "js_distance": (0.45, 0.2)}


def estimate(name: str, group: str, value: float, half: float = 0.05) -> dict[str, Any]:
    bounds = {"low": value - half, "high": value + half, "n": 24, "method": "bootstrap over 24 units"}
    return {"name": name, "group": group, "condition": "country", "value": value, **bounds}


def made_up(known: bool = True, **changes: Any) -> dict[str, Any]:
    """Two arms of dpo that differ in beta, the first hardly moved and the second half way."""
    points: list[dict[str, Any]] = []
    distances: list[dict[str, Any]] = []
    for arm, beta in BETAS.items():
        for group in ("all", "seen items"):
            for name, (measured, predicted) in SHOWN.items():
                row = {"arm": arm, "at": beta, **estimate(name, group, measured + 0.1 * (arm == "dpo-1"))}
                points.append(row | {"predicted": predicted if known else None})
            away, nearer = (2.4, 0.02) if arm == "dpo-0.1" else (1.25, 1.25)
            row = {"arm": arm, "at": beta, **estimate("kl_to_optimum", group, away), "start": away + nearer}
            distances.append(row | {"nearer": nearer, "nearer_low": nearer - 0.1, "nearer_high": nearer + 0.1})
    predicted = [
        {
            "at": at,
            "group": group,
            **{name: both[0] / (1 + at) + both[1] * at / (1 + at) for name, both in SHOWN.items()},
        }
        for group in ("all", "seen items")
        for at in (0.05, 0.1, 0.5, 1.0, 5.0, 20.0)
    ]
    references = [
        {"of": of, "group": group, "between_ratio": a, "within_ratio": b, "js_distance": c}
        for of, a, b, c in (("start", 0.3, 1.2, 0.5), ("people", 1.0, 1.0, 0.0), ("even", 0.0, 1.3, 0.4))
        for group in ("all", "seen items")
    ]
    one = {
        "knob": "beta",
        "formula": "reference × people^(1/beta)" if known else "",
        "pooled": False,
        "reference": "base" if known else None,
        "why_not": [] if known else ["dpo-0.1 has the loss type ipo, whose optimum is another one."],
        "families": [list(BETAS)],
        "points": points,
        "predicted": predicted if known else [],
        "references": references if known else [],
        "distances": distances if known else [],
    }
    names = {"base": "none", **dict.fromkeys(BETAS, "dpo")}
    estimates = [{"arm": arm, "audit": "first_token", **estimate("js_distance", "all", 0.4)} for arm in names]
    return {
        "schema": 2,
        "experiment": "toy",
        "arms": [{"name": name, "recipe": recipe, "seeds": [0, 1], "draws": [0]} for name, recipe in names.items()],
        "estimates": estimates,
        "collapse": {"audit": "first_token", "condition": "country", "curves": [one | changes]},
    }


def test_nothing_is_shown_where_there_is_nothing() -> None:
    svgs: dict[str, str] = {}
    for found in ([], None):
        assert blocks(Summary({**made_up(), "collapse": {"curves": found}}), (), svgs) == []
    assert svgs == {}


def test_a_curve_has_a_figure_a_measure_and_part_and_a_table_a_part() -> None:
    svgs: dict[str, str] = {}
    how, one, numbers = blocks(Summary(made_up()), (), svgs)
    assert how.heading == "How to read it"
    assert one.heading == "Optimum base × people^(1/beta)"
    assert [panel.heading for panel in one.panels][:2] == [
        "Between countries, held-out questions",
        "Within countries, held-out questions",
    ]
    assert {panel.name for panel in one.panels} == set(svgs)
    assert len(svgs) == 6
    assert one.tables == ()
    assert [table.caption for table in numbers.tables] == ["Held-out questions", "Trained questions"]
    assert numbers.folded


def test_how_far_each_arm_is_from_its_optimum_is_said() -> None:
    _, one, numbers = blocks(Summary(made_up()), (), {})
    first, second = numbers.points
    assert one.points == (
        "dpo-0.1 and dpo-1, beta 0.1 → 1, held-out questions: dispersion within countries 1.100 [1.050, 1.150] → 1.200 "
        "[1.150, 1.250], at their optima 0.800 → 0.800 (people = 1).",
        "dpo-0.1 and dpo-1, beta 0.1 → 1, held-out questions: between countries 0.400 [0.350, 0.450] → 0.500 [0.450, "
        "0.550], at their optima 1.200 → 1.200 (people = 1).",
        "KL to an arm's own optimum against that of base, held-out questions: less for dpo-1 (50% of the way); not "
        "shown to be less for dpo-0.1.",
        "KL to an arm's own optimum against that of base, trained questions: less for dpo-1 (50% of the way); not "
        "shown to be less for dpo-0.1.",
    )
    assert first.startswith(
        "dpo-0.1 (beta 0.1), KL to its optimum: held-out questions 2.400 [2.350, 2.450] nats, where base has 2.420: "
        "not shown to be nearer (0.020 [−0.080, 0.120]); trained questions 2.400"
    )
    assert second.endswith(
        "trained questions 1.250 [1.200, 1.300] nats, where base has 2.500: nearer by 1.250 [1.150, 1.350], 50% of the "
        "way."
    )


def test_an_arm_that_went_away_from_its_optimum_is_told_so() -> None:
    raw = made_up()
    row = raw["collapse"]["curves"][0]["distances"][0]
    row |= {"nearer": -0.4, "nearer_low": -0.5, "nearer_high": -0.3}
    _, one, numbers = blocks(Summary(raw), (), {})
    assert "farther by 0.400 [0.300, 0.500]" in numbers.points[0]
    assert one.points[2].endswith("less for dpo-1 (50% of the way); more for dpo-0.1.")


def test_the_table_holds_measured_and_predicted_side_by_side() -> None:
    _, _, numbers = blocks(Summary(made_up()), (), {})
    table = numbers.tables[0]
    first = [cell.text for cell in table.rows[0].cells]
    assert first[:4] == ["dpo-0.1", "0.1", "0.400", "1.200"]
    assert first[-3:] == ["2.400", "2.420", "0.020"]
    assert table.rows[0].cells[2].interval == "[0.350, 0.450]"
    assert [row.cells[0].text for row in table.rows if row.reference] == ["base", "people", "every option alike"]


def test_figures_show_arms_with_hovers_and_name_what_they_are_held_against() -> None:
    svgs: dict[str, str] = {}
    _, one, _ = blocks(Summary(made_up()), (), svgs)
    svg = svgs[one.panels[0].name]
    tips = re.findall(r"<title>([^<]+)</title>", svg)
    assert any(tip.startswith("dpo-1: 0.500 [0.450, 0.550]") and "its optimum: 1.200" in tip for tip in tips)
    for words in ("base", "people", "every option alike", "beta (← sharper"):
        assert words in svg


def test_without_a_known_optimum_the_arms_alone_are_shown_and_why() -> None:
    svgs: dict[str, str] = {}
    _, one, numbers = blocks(Summary(made_up(known=False)), (), svgs)
    assert one.heading == "dpo-0.1 and dpo-1, no optimum known"
    assert one.points[0] == "dpo-0.1 has the loss type ipo, whose optimum is another one."
    assert one.points[1].endswith("within countries 1.100 [1.050, 1.150] → 1.200 [1.150, 1.250] (people = 1).")
    assert numbers.tables[0].rows[0].cells[3].text == "—"
    assert len(svgs) == 6


def test_pooled_people_are_said() -> None:
    _, one, _ = blocks(Summary(made_up(pooled=True)), (), {})
    assert one.heading.endswith(", people pooled")
    assert "one answer for everybody" in one.intro


@pytest.mark.parametrize("values", [(0.0,), (-0.02, 0.0), (0.3, 4.0)])
def test_odd_values_can_be_drawn(values: tuple[float, ...]) -> None:
    nan = float("nan")
    marks = [Mark(1.0, 1, value, nan, nan, nan, f"mark {place}") for place, value in enumerate(values)]
    svg = curve("toy", "Toy", "One", marks, [], [(0.1, nan), (1.0, 0.2)], [Anchor("people", nan)], axis="beta")
    assert all(f"mark {place}" in svg for place in range(len(values)))
    assert ">people<" not in svg


def test_the_page_has_the_section(tmp_path: Path) -> None:
    write_json(tmp_path / "comparison" / "summary.json", made_up())
    html = write_report(tmp_path / "comparison").read_text(encoding="utf-8")
    assert '<section id="collapse">' in html
    assert html.count("<h3>Optimum base × people^(1/beta)</h3>") == 1
    write_json(tmp_path / "comparison" / "summary.json", made_up() | {"collapse": {}})
    assert 'id="collapse"' not in write_report(tmp_path / "comparison").read_text(encoding="utf-8")
