"""The census's questions where the answers are known: by hand, simulated, and what is said where nothing can be."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from census_models import census, model, people

from eval.cells import arms_of, base_of
from eval.census_questions import Question
from eval.compare import compare
from eval.distances import js_distance
from eval.first_token.audit import answers_table

ORIGIN: dict[str, Any] = {"by": "origin", "first": ("China",), "second": ("USA", "France")}


def question(expect: Any = "lower", margin: float = 0.02, **more: Any) -> Question:
    return Question("q", "It is so.", "first_token", more.pop("measure", "js_distance"), expect, margin, **more)


def tags(origin: str, family: str, size: float | None = None) -> dict[str, Any]:
    return {"origin": origin, "family": family, "parameters": size, "tuning": "chat"}


def world(root: Path, gap: float, noise: float = 0.01) -> list[Any]:
    """Six models of three Chinese and three Western families; Chinese ones are `gap` further from people."""
    return [
        model(root, "q1", 0.30 + gap, tags("China", "Qwen", 1), noise),
        model(root, "q7", 0.32 + gap, tags("China", "Qwen", 7), noise),
        model(root, "yi", 0.33 + gap, tags("China", "Yi", 6), noise),
        model(root, "glm", 0.31 + gap, tags("China", "GLM", 9), noise),
        model(root, "l1", 0.30, tags("USA", "LLaMA-3", 1), noise),
        model(root, "l8", 0.32, tags("USA", "LLaMA-3", 8), noise),
        model(root, "mi", 0.33, tags("France", "Mistral", 7), noise),
        model(root, "ge", 0.31, tags("USA", "Gemma", 9), noise),
    ]


def answer(cells: list[Any], *asked: Question, **more: Any) -> dict[str, Any]:
    found: dict[str, Any] = census(cells, **more).summary(asked)["questions"][0]
    return found


def test_groups_of_known_difference(tmp_path: Path) -> None:
    row = answer(world(tmp_path, 0.10), question(**ORIGIN))
    assert row["value"] == pytest.approx(0.10, abs=0.005)
    assert row["low"] < 0.10 < row["high"]
    assert row["verdict"] == "CONTRADICTED"
    assert row["models"] == [["q1", "q7", "yi", "glm"], ["l1", "l8", "mi", "ge"]]
    assert row["exchange"]["ways"] == 20
    assert row["exchange"]["share"] == pytest.approx(2 / 20)  # three families a side can never show more
    assert row["without_one"][0] <= row["value"] <= row["without_one"][1]
    assert "China: 4 models of 3 families, 1 to 9 billion parameters" in row["sentence"]
    assert "10% of all 20 divisions of these families differ as much, so chance would do as well." in row["sentence"]
    assert row["method"] == "paired bootstrap over 8 items and 6 countries"


@pytest.mark.parametrize(("gap", "expect", "word"), [(0.1, "higher", "SUPPORTED"), (0.0, "same", "EQUIVALENT")])
def test_verdicts_come_out_right(tmp_path: Path, gap: float, expect: str, word: str) -> None:
    assert answer(world(tmp_path, gap), question(expect, **ORIGIN))["verdict"] == word


def test_a_difference_lost_in_noise_is_inconclusive(tmp_path: Path) -> None:
    row = answer(world(tmp_path, 0.01, noise=0.3), question(**ORIGIN))
    assert row["verdict"] == "INCONCLUSIVE"


def test_one_family_a_side_says_nothing_of_families(tmp_path: Path) -> None:
    asked = question("lower", by="family", first=("Mistral",), second=("LLaMA-3",), sizes=(6.0, 14.0))
    row = answer(world(tmp_path, 0.0), asked)
    assert row["models"] == [["mi"], ["l8"]]
    assert row["left_out"] == {"l1": "of another size"}
    assert math.isnan(row["exchange"]["share"])
    assert "With one family a side" in row["sentence"]


def test_who_takes_no_part_is_named(tmp_path: Path) -> None:
    cells = world(tmp_path, 0.1)
    gone = {"state": "failed", "error": {"stage": "model", "type": "Missing", "message": "no such folder"}}
    cells.append(model(tmp_path, "away", 9.0, tags("China", "Away"), manifest=gone))
    cells.append(model(tmp_path, "broken", 9.0, tags("USA", "Broken")))
    status = {cell.arm: "valid" for cell in cells} | {"away": "incomplete", "broken": "collapsed"}
    whole = census(cells, status=status).summary([question("higher", **ORIGIN)])
    row = whole["questions"][0]
    assert row["left_out"] == {"away": "incomplete", "broken": "collapsed"}
    assert row["value"] == pytest.approx(0.10, abs=0.005)
    assert {one["arm"]: one["missing"] for one in whole["models"]}["away"] == "its model cannot be had: no such folder"
    assert all("away" not in one["models"] for one in whole["groups"])


def test_the_mean_over_models_against_an_even_answer(tmp_path: Path) -> None:
    """Models that are 0.05 nearer to people than an even answer is, by units that follow it."""
    even = people()
    even = even[even["country"] != "USA"]
    values = [float(js_distance(np.full(3, 1 / 3), q)) for q in even["q"]]
    cells = world(tmp_path, 0.0)
    row = answer(cells, question("lower", against="uniform"))
    scores = np.mean([cell.scores("first_token")["value"].mean() for cell in cells if cell.arm in ("l1", "l8")])
    by_family = [
        cell.scores("first_token")["value"].mean() for cell in cells if cell.arm not in ("q1", "q7", "l1", "l8")
    ]
    qwen = np.mean([cell.scores("first_token")["value"].mean() for cell in cells if cell.arm in ("q1", "q7")])
    assert row["value"] == pytest.approx(np.mean([*by_family, scores, qwen]) - np.mean(values))
    assert [one["arm"] for one in row["each"]] == [cell.arm for cell in cells]
    assert row["each"][0]["value"] == pytest.approx(cells[0].scores("first_token")["value"].mean() - np.mean(values))


def test_us_centrism_against_an_even_answer_is_nothing_for_an_even_answer(tmp_path: Path) -> None:
    """The reference row of centrism is computed on the same units: the models' evidence is an even answer."""
    from eval.representation import centrism_scores

    cells = []
    for arm, shift in (("a", 0.0), ("b", 0.04)):
        cell = model(tmp_path, arm, 0.0, tags("China", arm), measure="us_centrism", condition="none")
        path = cell.folder / "audits" / "first_token" / "scores.parquet"
        own = centrism_scores(cell.items("first_token").assign(n=500.0), people())
        own = own[(own["measure"] == "us_centrism") & (own["condition"] == "none")]
        own.assign(value=own["value"] + shift).to_parquet(path)
        cells.append(cell)
    row = answer(cells, question("higher", 0.01, measure="us_centrism", condition="none", against="uniform"))
    assert row["value"] == pytest.approx(0.02)
    assert [one["value"] for one in row["each"]] == pytest.approx([0.0, 0.04])


def test_variation_between_countries_is_compared_too(tmp_path: Path) -> None:
    row = answer(world(tmp_path, 0.0), question("same", 0.05, measure="between_ratio", **ORIGIN))
    assert row["value"] == pytest.approx(0.0)  # the same even answer for every country
    assert row["n"] > 0


@pytest.mark.parametrize(
    ("levels", "word"),
    [((0.50, 0.43, 0.40, 0.44, 0.50), "SUPPORTED"), ((0.50, 0.46, 0.42, 0.38, 0.34), "CONTRADICTED"),
     ((0.40, 0.40, 0.40, 0.40, 0.40), "INCONCLUSIVE")],
)  # fmt: skip
def test_sizes_that_turn_and_that_do_not(tmp_path: Path, levels: tuple[float, ...], word: str) -> None:
    sizes = (0.5, 1.5, 3, 7, 14)
    cells = [model(tmp_path, f"m{n}", levels[n], tags("China", "Qwen", sizes[n])) for n in range(5)]
    row = answer(cells, question("turn", 0.01, by="parameters"))
    assert row["verdict"] == word
    assert row["trends"][0]["scope"] == "Qwen"
    assert row["p_holm"] == row["p"]


def test_too_few_sizes_give_no_verdict(tmp_path: Path) -> None:
    row = answer(world(tmp_path, 0.0), question("turn", 0.01, by="parameters"))
    assert row["verdict"] == "NO VERDICT"
    assert "5 different sizes" in row["sentence"]


def test_no_verdict_where_nothing_may_be_a_result(tmp_path: Path) -> None:
    cells = world(tmp_path, 0.1)
    for asked in (question("higher", **ORIGIN), question("turn", 0.0, by="parameters"), question("higher")):
        assert answer(cells, asked, no_verdict="cut short by limit=2")["verdict"] == "NO VERDICT"
    empty = answer(cells, question("same", by="origin", first=("Mars",), second=("China",)))
    assert (empty["verdict"], empty["n"]) == ("NO VERDICT", 0)
    assert empty["sentence"] == "No verdict: a group has no model."
    other = answer(cells, question("same", measure="flip_rate", **ORIGIN))
    assert "share no flip_rate" in other["sentence"]
    without = answer(cells, question("higher", measure="us_centrism", condition="none", against="uniform"))
    assert (without["verdict"], without["n"]) == ("NO VERDICT", 0)
    assert "us_centrism of first_token has no row 'uniform' here" in without["sentence"]


def test_holm_is_over_all_questions(tmp_path: Path) -> None:
    asked = [question("higher", **ORIGIN), question("higher", by="tuning", first=("chat",), second=("base",))]
    rows = census(world(tmp_path, 0.1)).summary([asked[0], asked[0]])["questions"]
    assert [row["p_holm"] for row in rows] == pytest.approx([2 * row["p"] for row in rows])


def test_a_verdict_on_few_questions_says_that_it_is_on_these(tmp_path: Path) -> None:
    cells = world(tmp_path, 0.1)
    for cell in cells:
        path = cell.folder / "audits" / "first_token" / "scores.parquet"
        scores = pd.read_parquet(path)
        scores[scores["item"].isin(["i0", "i1"])].to_parquet(path)
    sentence = answer(cells, question("higher", **ORIGIN))["sentence"]
    assert "as given, too few to speak for others." in sentence
    turn = answer(cells, question("turn", by="parameters"))["sentence"]
    assert turn.endswith("It holds for these 2 items as given, too few to speak for others.")


def test_groups_by_every_tag(tmp_path: Path) -> None:
    rows = census(world(tmp_path, 0.1)).summary([question("higher", **ORIGIN)])["groups"]
    found = {(row["by"], row["level"]): row for row in rows}
    assert found["origin", "China"]["value"] - found["origin", "USA"]["value"] == pytest.approx(0.1, abs=0.02)
    assert found["family", "Qwen"]["models"] == ["q1", "q7"]
    assert len(found["", "every model"]["models"]) == 8
    assert found["tuning", "chat"]["low"] < found["tuning", "chat"]["value"] < found["tuning", "chat"]["high"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"expect": "turn"}, "expect turn goes with by parameters"),
        ({"by": "parameters"}, "expect turn goes with by parameters"),
        ({"by": "origin", "first": ("China",)}, "first and second, both with values"),
        ({"first": ("China",), "second": ("USA",)}, "first and second, both with values"),
        ({"by": "origin", "first": ("China",), "second": ("China",)}, "'China' is in first and in second"),
        ({"against": "unifrom"}, "against must be one of uniform"),
        ({**ORIGIN, "against": "uniform"}, "against must be one of uniform"),
        ({"sizes": (7.0, 1.0)}, "sizes must be two numbers"),
        ({"margin": -1.0}, "margin must be 0 or more"),
        ({"measure": "emd_as_published"}, "no verdict rests on"),
    ],
)
def test_questions_that_say_nothing_are_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        question(**given)


def test_of_many_models_none_is_the_others_base(tmp_path: Path) -> None:
    cells = [model(tmp_path, name, 0.3, {}) for name in ("a", "b", "c")]
    assert base_of(arms_of(cells)) is None
    two = base_of(arms_of(cells[:2]))
    assert two is not None
    assert two.name == "a"
    gone = model(tmp_path, "gone", 0.3, {}, manifest={"state": "failed"})
    trained = [replace(cells[1], recipe="match"), replace(cells[2], recipe="dpo")]
    finished = base_of(arms_of([gone, cells[0], *trained]))
    assert finished is not None
    assert finished.name == "a"  # not the one that left nothing


@pytest.mark.parametrize(("weights", "status"), [("same", "collapsed"), ("others", "valid")])
def test_the_perplexity_of_another_model_is_no_sign_of_collapse(tmp_path: Path, weights: str, status: str) -> None:
    """Eleven times the base's perplexity: a collapse of the same model, and nothing of another with its own tokens."""
    cells = [
        model(tmp_path, "base", 0.3, {}, perplexity=9.0, parent={"weights": "same"}),
        model(tmp_path, "other", 0.3, {}, perplexity=99.0, parent={"weights": weights}),
    ]
    summary = compare(cells, experiment="two", draws=100, answers={"first_token": answers_table})[0]
    assert [row["validity"]["status"] for row in summary["arms"]] == ["valid", status]


def test_an_unreachable_model_does_not_make_the_others_no_result(tmp_path: Path) -> None:
    error = {"stage": "model", "type": "Missing", "message": "no key"}
    cells = [model(tmp_path, name, 0.3, {}) for name in ("a", "b", "c")]
    cells.append(model(tmp_path, "gone", 0.3, {}, manifest={"state": "failed", "error": error}))
    summary = compare(cells, experiment="four", draws=100, gate_audit="another")[0]
    assert summary["not_a_result"] == []
    assert summary["exclusions"] == [
        {"arm": "gone", "audit": "all", "reason": "its model cannot be had: no key", "count": 1}
    ]
    alone = compare(cells[3:], experiment="one", draws=100, gate_audit="another")[0]
    assert alone["not_a_result"] == ["incomplete cells: gone (seed 0, draw 0)"]
