"""The leaderboard of arms whose distances from people are known: who leads, who ties, who is apart, what it cost."""

from __future__ import annotations

import math
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from board_world import Made, write_cells

from data.files import read_json, write_json
from eval.cells import AnswersOf, CellResult, arms_of
from eval.leaderboard import COLUMNS, leaderboard
from eval.pooling import pooled_estimates
from eval.records import Estimate
from eval.validity import Validity

DRAWS = 400
READERS: dict[str, AnswersOf] = {"first_token": lambda items: items}
ARMS = {
    "base": Made(apart=0.0, noise=0.4, recipe="none", flips=0.5),
    "asked": Made(apart=0.0, noise=0.4, recipe="none", inference="persona_prompt"),
    "match": Made(apart=0.5, noise=0.1),
    "twin": Made(apart=0.5, noise=0.101),
    "best": Made(apart=0.97, noise=0.02, flips=0.1),
    "control": Made(apart=0.0, noise=0.15, control="shuffled_labels"),
    "broken": Made(collapsed=True),
    "cut": Made(state="failed"),
}


Estimates = dict[str, dict[str, list[Estimate]]]


def rng(*names: str) -> np.random.Generator:
    return np.random.default_rng([zlib.crc32(name.encode()) for name in names])


def board(cells: list[CellResult]) -> tuple[dict[str, Any], Estimates]:
    """The leaderboard and the estimates that it was made from."""
    arms = {arm.name: arm for arm in arms_of(cells)}
    validity = {
        name: Validity("incomplete", ("cut off",)) if arm.incomplete
        else Validity("collapsed", ("no answers",)) if name == "broken"
        else Validity("valid")
        for name, arm in arms.items()
    }  # fmt: skip
    estimates = {
        name: {audit: pooled_estimates(arm, audit, rng(name, audit), 100, _shown) for audit in arm.audits}
        for name, arm in arms.items()
    }
    return leaderboard(arms, validity, estimates, READERS, rng, DRAWS), estimates


def _shown(one: Estimate) -> bool:
    return one.condition in {column.condition for column in COLUMNS}


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> list[CellResult]:
    return write_cells(tmp_path_factory.mktemp("cells"), ARMS)


@pytest.fixture(scope="module")
def made(cells: list[CellResult]) -> tuple[dict[str, Any], Estimates]:
    return board(cells)


@pytest.fixture(scope="module")
def found(made: tuple[dict[str, Any], Estimates]) -> dict[str, Any]:
    return made[0]


def places(found: dict[str, Any], group: str, key: str) -> dict[str, tuple[int, int]]:
    scores = next(one["scores"] for one in found["boards"] if one["group"] == group)
    return {arm: (one[key]["rank_low"], one[key]["rank_high"]) for arm, one in scores.items()}


def test_there_is_a_board_for_each_part_and_measure(found: dict[str, Any]) -> None:
    assert found["confidence"] == 0.95
    columns = {one["group"]: [column["key"] for column in one["columns"]] for one in found["boards"]}
    assert columns == {
        "all": ["fit", "between", "within", "age_gap", "home_bias", "stability"],
        "seen items": ["fit", "between", "within", "age_gap"],
    }


@pytest.mark.parametrize("group", ["all", "seen items"])
def test_known_arms_come_in_their_order(found: dict[str, Any], group: str) -> None:
    fit, between = places(found, group, "fit"), places(found, group, "between")
    assert fit["best"] == (1, 1)
    assert fit["match"][0] == fit["twin"][0] == 2
    assert min(fit["base"][0], fit["asked"][0]) == 4
    assert fit["base"] == fit["asked"]
    assert between["best"][0] == 1
    assert min(between[arm][0] for arm in ("match", "twin", "control")) == 2
    assert max(high for _, high in fit.values()) == 6


def test_rows_come_by_fit_and_the_leader_leads_in_nearly_all_resamples(found: dict[str, Any]) -> None:
    scores = found["boards"][0]["scores"]
    fits = [one["fit"]["value"] for one in scores.values()]
    assert fits == sorted(fits)
    assert next(iter(scores)) == "best"
    assert scores["best"]["fit"]["best"] > 0.99
    for key in ("fit", "stability"):
        assert sum(one[key]["best"] for one in scores.values()) == pytest.approx(1)


def test_a_ratio_scores_by_its_distance_from_people(found: dict[str, Any]) -> None:
    for one in found["boards"][0]["scores"].values():
        for key in ("between", "within"):
            assert one[key]["score"] == pytest.approx(abs(one[key]["value"] - 1))
        assert one["age_gap"]["score"] == pytest.approx(abs(one["age_gap"]["value"]))
        assert one["home_bias"]["score"] == one["home_bias"]["value"]


def test_values_are_those_of_the_estimates(made: tuple[dict[str, Any], Estimates]) -> None:
    found, estimates = made
    for one in found["boards"]:
        for column in one["columns"]:
            key = (column["name"], one["group"], column["condition"])
            for arm, scores in one["scores"].items():
                known = {(e.name, e.group, e.condition): e for e in estimates[arm][column["audit"]]}[key]
                shown = [scores[column["key"]][name] for name in ("value", "low", "high")]
                assert shown == [known.value, known.low, known.high]


def test_collapsed_and_incomplete_arms_are_apart(found: dict[str, Any]) -> None:
    apart = {row["arm"]: row["why"] for row in found["arms"] if row["why"]}
    assert set(apart) == {"broken", "cut"}
    assert apart["broken"].startswith("collapsed: ")
    assert apart["cut"].startswith("incomplete: ")
    assert not any(set(apart) & set(one["scores"]) for one in found["boards"])


def test_kinds_and_costs(found: dict[str, Any]) -> None:
    arms = {row["arm"]: row for row in found["arms"]}
    kinds = {name: arms[name]["kind"] for name in ("base", "asked", "match", "control")}
    assert kinds == {"base": "base", "asked": "asked otherwise", "match": "trained", "control": "control"}
    costs = {"flops": 5.7e12, "seconds": 51.0, "examples": 320.0, "asked_tokens": 7000.0}
    assert arms["match"]["costs"] == pytest.approx(costs)  # the mean of three cells' 50, 51 and 52 seconds
    assert arms["asked"]["costs"] == {"flops": 0.0, "seconds": 0.0, "examples": 0.0, "asked_tokens": 11000.0}
    assert math.isnan(arms["cut"]["costs"]["flops"])


def test_the_noise_that_ranks_cover_is_said(found: dict[str, Any]) -> None:
    columns = {column["key"]: column for column in found["boards"][0]["columns"]}
    for key in ("fit", "between", "within"):
        assert "4 items and 8 countries" in columns[key]["method"]
        assert "3 training seeds (1 in another arm), each with a data draw of its own" in columns[key]["method"]
        assert len(columns[key]["entrants"]) == 6
    assert columns["stability"]["n"] == 24


def test_dominated_is_who_is_worse_in_both(found: dict[str, Any]) -> None:
    for one in found["boards"]:
        assert [(front["of"], front["against"]) for front in one["fronts"]] == [("fit", "between"), ("fit", "within")]
        for front in one["fronts"]:
            ranks = [places(found, one["group"], front[side]) for side in ("of", "against")]
            for arm, by in front["dominated_by"].items():
                for other in by:
                    assert all(rank[other][0] < rank[arm][1] for rank in ranks)
    between = found["boards"][0]["fronts"][0]["dominated_by"]
    assert between["best"] == []
    assert between["match"] == between["twin"] == ["best"]
    assert "best" in between["control"]


def test_few_arms_and_no_estimates_make_no_board(cells: list[CellResult]) -> None:
    assert board([cell for cell in cells if cell.arm in ("base", "match", "broken")])[0] == {}
    three, _ = board([cell for cell in cells if cell.arm in ("base", "match", "best")])
    assert [len(column["entrants"]) for column in three["boards"][0]["columns"]] == [3] * 6


def test_a_measure_that_an_arm_lacks_leaves_it_out_there_alone(tmp_path: Path) -> None:
    made = {name: ARMS[name] for name in ("base", "match", "best", "twin")}
    cells = write_cells(tmp_path, made, seeds=1)
    file = next(tmp_path.glob("twin*")) / "audits" / "first_token" / "estimates.json"
    kept = read_json(file)
    for row in kept["estimates"]:
        if row["name"] == "within_ratio":
            row["value"] = None
    write_json(file, kept)
    found, _ = board(cells)
    columns = {column["key"]: column["entrants"] for column in found["boards"][0]["columns"]}
    assert columns["within"] == ["base", "match", "best"]
    assert columns["fit"] == ["base", "match", "best", "twin"]
    assert "within" not in found["boards"][0]["scores"]["twin"]
    assert set(found["boards"][0]["fronts"][1]["dominated_by"]) == {"base", "match", "best"}
    assert "one training seed" in found["boards"][0]["columns"][0]["method"]


def test_the_same_seed_gives_the_same_ranks_and_json_takes_them(cells: list[CellResult], tmp_path: Path) -> None:
    few = [cell for cell in cells if cell.arm in ("base", "match", "best")]
    found, _ = board(few)
    assert found == board(few)[0]
    write_json(tmp_path / "board.json", found)
    assert read_json(tmp_path / "board.json")["boards"]
