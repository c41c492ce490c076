"""Which arms make a curve, what stands in its row, and what is said of it."""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from data.files import read_json, write_json
from eval.cells import Arm, CellResult, arms_of
from eval.compare import compare
from eval.curve_families import families
from eval.curve_fit import FEW, TREND, Trend
from eval.curve_words import said, sentence
from eval.distances import js_distance
from eval.records import SCORE_COLUMNS
from eval.response_curves import CurveSettings, response_curves

KEYS = ["item", "country", "age", "sex", "education", "condition", "stratum"]
HELD_OUT = ("NOR", "SWE", "USA", "AUS", "DEU")
COUNTRIES = {"one": 1.0, "two": 2.0, "four": 3.9, "all": 30.0}
MARGINS = {"js_distance": 0.02, "between_ratio": 0.05}


def evidence(pull: float, noise: float, seed: int, items: int = 4) -> pd.DataFrame:
    """A model that answers `pull` of the way from even shares to those of people, with noise of its own."""
    rng, rows = np.random.default_rng(seed), []
    for stratum, i, (c, country) in itertools.product(("held_out", "seen_items"), range(items), enumerate(HELD_OUT)):
        q = np.random.default_rng([i, c]).dirichlet([3, 2, 2])
        p = (1 - noise) * (pull * q + (1 - pull) / 3) + noise * rng.dirichlet(np.ones(3))
        group = dict(zip(KEYS, (f"{stratum}{i}", country, "", "", "", "country", stratum), strict=True))
        more = {"order": "[0, 1, 2]", "p": p, "q": q, "n": 500.0, "option_mass": 0.9, "positions": None}
        rows.append(group | more | {"ordered": False})
    return pd.DataFrame(rows)


def cell(folder: Path, arm: str, row: int, pull: float, **changes: Any) -> CellResult:
    """A finished cell of match; `changes` are fields of it, knobs of its mixture, or what its manifest says of it."""
    hill = changes.pop("hill", COUNTRIES.get(arm.rpartition("-")[2], 1.0))
    place = folder / f"{arm}--s{row}--d{row}--0"
    audit = place / "audits" / "first_token"
    audit.mkdir(parents=True)
    items = evidence(pull, 0.02, hash_of(arm, row))
    items.to_parquet(audit / "items.parquet")
    value = js_distance(np.stack(items["p"].to_list()), np.stack(items["q"].to_list()))
    items.assign(measure="js_distance", value=value)[list(SCORE_COLUMNS)].to_parquet(audit / "scores.parquet")
    write_json(audit / "estimates.json", {"estimates": [], "excluded": {}})
    mixture = {"name": "diverse", "countries": hill, "pooling": "country", **changes.pop("mixture", {})}
    config = {"audit": {"first_token": {}}, "mixture": mixture, "recipe": {"learning_rate": changes.pop("rate", 1e-5)}}
    drawn = {"hill_1": hill, "items_hill_1": 2.0, "ages_hill_1": None, **changes.pop("drawn", {})}
    manifest = {"state": "done", "mixture": drawn}
    made = CellResult(arm, row, row, place, manifest, config, "match", "full", "diverse")
    return replace(made, **changes)


def hash_of(arm: str, row: int) -> int:
    return sum(map(ord, arm)) * 100 + row


def pull(hill: float, row: int) -> float:
    return 0.2 + 0.12 * math.log2(hill) + 0.01 * row


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> list[CellResult]:
    """Four levels of diversity, three rows; closer to people and more varied with every doubling."""
    folder = tmp_path_factory.mktemp("swept")
    return [cell(folder, f"match-{name}", row, pull(hill, row)) for name, hill in COUNTRIES.items() for row in range(3)]


def answers(items: pd.DataFrame) -> pd.DataFrame:
    return items.drop_duplicates(KEYS).reset_index(drop=True)


def curves(cells: list[CellResult], settings: CurveSettings | None = None, **more: Any) -> dict[str, Any]:
    settings = settings or CurveSettings(margins=MARGINS)
    readers = more.pop("readers", {"first_token": answers})
    return response_curves(arms_of(cells), readers, settings, more.get("collapsed", ()), rng, 200)


@pytest.fixture(scope="module")
def found(swept: list[CellResult]) -> dict[str, Any]:
    return curves(swept)


def rng(*names: str) -> np.random.Generator:
    return np.random.default_rng([len(name) for name in names])


def named(
    cells: list[CellResult], over: str = "hill_1", collapsed: tuple[str, ...] = ()
) -> tuple[list[Any], list[str]]:
    found, left_out = families(arms_of(cells), over, collapsed)
    return [(one.name, [arm.name for arm in one.arms]) for one in found], left_out


IN_ORDER = ["match-one", "match-two", "match-four", "match-all"]


def test_arms_that_differ_in_diversity_alone_are_a_family(swept: list[CellResult], tmp_path: Path) -> None:
    others = [
        cell(tmp_path / "o", "pooled-one", 0, 0.3, mixture={"pooling": "population"}),
        cell(tmp_path / "o", "strong-one", 0, 0.3, rate=1e-3),
        cell(tmp_path / "o", "lora-one", 0, 0.3, adapter="lora"),
        cell(tmp_path / "o", "asked-one", 0, 0.3, inference="persona_prompt"),
        cell(tmp_path / "o", "base", 0, 0.3, recipe="none"),
        cell(tmp_path / "o", "even-two", 0, 0.3, mixture={"age_evenness": 0.5}),
    ]
    assert named([*others, *reversed(swept)]) == ([("match full", IN_ORDER)], [])
    assert named(swept[3:9]) == ([], []), "two levels are no curve"


def test_two_families_of_one_name_are_told_apart(swept: list[CellResult], tmp_path: Path) -> None:
    strong = [cell(tmp_path / "s", f"strong-{name}", 0, 0.3, rate=1e-3) for name in COUNTRIES]
    assert [name for name, _ in named([*swept, *strong])[0]] == ["match full", "match full (strong-one to strong-all)"]


def test_a_sweep_of_ages_is_no_sweep_of_countries(tmp_path: Path) -> None:
    ages = [
        cell(tmp_path, f"ages-{n}", row, 0.3, hill=9.0, mixture={"age_evenness": n / 3}, drawn={"ages_hill_1": 1.0 + n})
        for n in range(3)
        for row in range(2)
    ]
    assert named(ages) == ([], [])
    assert named(ages, "ages_hill_1")[0] == [("match full", ["ages-0", "ages-1", "ages-2"])]


def test_what_cannot_be_in_a_curve_is_left_out_and_said(swept: list[CellResult], tmp_path: Path) -> None:
    more = [
        cell(tmp_path / "m", "match-unfinished", 0, 0.3, hill=60.0, manifest={"state": "auditing"}),
        cell(tmp_path / "m", "match-unknown", 0, 0.3, drawn={"hill_1": None}),
    ]
    found, left_out = named([*swept, *more], collapsed=("match-two",))
    assert found == [("match full", ["match-one", "match-four", "match-all"])]
    assert left_out == [
        "match-two is not in the curve of match full: it has collapsed",
        "match-unfinished is not in the curve of match full: no cell of it is finished",
        "match-unknown is not in the curve of match full: its mixture has no effective number of countries",
    ]
    found, left_out = named(swept, collapsed=("match-two", "match-one"))
    assert found == []
    assert left_out[-1] == "match full has no curve: fewer than 3 levels of diversity are left"
    assert curves(swept, collapsed=("match-two", "match-one"))["left_out"] == left_out


def test_rows_that_an_arm_lacks_are_not_used(swept: list[CellResult]) -> None:
    found, left_out = families(arms_of(swept[1:]), "hill_1")
    assert found[0].levels == ((1, 1), (2, 2))
    assert found[0].diversity.tolist() == [[1.0, 2.0, 3.9, 30.0]] * 2
    assert [one.arm for one in found[0].cells] == IN_ORDER * 2
    assert left_out == ["match full: 3 cells with a seed or draw that not all of its arms have"]


def test_arms_are_in_order_of_the_cells_that_are_used(swept: list[CellResult], tmp_path: Path) -> None:
    """Over all of its cells match-two has 5.06, more than match-four; in the row that all arms have it has 2."""
    rows = [cell for cell in swept if cell.seed == 0 and cell.arm != "match-one"]
    more = [cell(tmp_path, "match-two", 1, 0.3, hill=64.0 / 5), cell(tmp_path, "match-one", 0, 0.3)]
    family = families(arms_of([*rows, *more]), "hill_1")[0][0]
    assert [arm.name for arm in family.arms] == IN_ORDER
    assert family.diversity.tolist() == [[1.0, 2.0, 3.9, 30.0]]


def test_a_change_is_that_of_the_line_over_the_diversity_that_is_told(tmp_path: Path) -> None:
    """The least arm has 1 in one row and 4 in the other."""
    rows = [("match-one", 0, 1.0), ("match-one", 1, 4.0), ("match-four", 0, 8.0), ("match-four", 1, 8.0)]
    made = [cell(tmp_path, arm, row, 0.02 * hill, hill=hill) for arm, row, hill in rows]
    made += [cell(tmp_path, "match-all", row, 0.6, hill=30.0) for row in (0, 1)]
    curve = curves(made)["curves"][0]
    assert curve["diversity"] == pytest.approx([2.0, 8.0, 30.0])
    assert curve["trend"]["change"] == pytest.approx(curve["trend"]["slope"] * math.log2(30 / 2))


def test_what_changes_along_with_diversity_is_said(tmp_path: Path) -> None:
    made = [cell(tmp_path, f"match-{n}", 0, 0.3, hill=h, drawn={"items_hill_1": h**0.5}) for n, h in COUNTRIES.items()]
    (family,) = families(arms_of(made), "hill_1")[0]
    assert family.beside() == [
        {"family": "match full", "what": "effective number of questions", "least": 1.0, "most": 30.0**0.5}
    ]


def test_a_row_has_its_cells_its_trend_and_its_noise(
    swept: list[CellResult], found: dict[str, Any], tmp_path: Path
) -> None:
    assert found["over"] == "hill_1"
    assert [(row["name"], row["group"]) for row in found["curves"]] == [
        ("js_distance", "seen items"), ("js_distance", "all"), ("between_ratio", "seen items"),
        ("between_ratio", "all"), ("within_ratio", "seen items"), ("within_ratio", "all"),
    ]  # fmt: skip
    row = found["curves"][1]
    assert (row["arms"], row["seeds"], row["draws"]) == (IN_ORDER, [0, 1, 2], [0, 1, 2])
    assert row["diversity"] == pytest.approx([1.0, 2.0, 3.9, 30.0])
    assert row["n"] == 20
    assert "3 training seeds, each with a data draw of its own, by Student's t" in row["method"]
    assert "one training seed" not in row["method"]
    by_cell = {(one["arm"], one["seed"]): one["value"] for one in row["cells"]}
    for one in swept:
        scores = one.scores("first_token")
        assert by_cell[one.arm, one.seed] == pytest.approx(scores.loc[scores["stratum"] == "held_out", "value"].mean())
    means = [np.mean([by_cell[arm, seed] for seed in range(3)]) for arm in IN_ORDER]
    assert row["trend"]["slope"] == pytest.approx(np.polyfit(np.log2(row["diversity"]), means, 1)[0])
    assert row["trend"]["state"] == TREND
    assert row["trend"]["slope"] < 0 < found["curves"][3]["trend"]["slope"], "closer to people, and more varied"
    p = sorted(one["trend"]["p"] for one in found["curves"])
    assert min(one["trend"]["p_holm"] for one in found["curves"]) == pytest.approx(min(1, 6 * p[0]))
    write_json(tmp_path / "row.json", found)
    assert sentence(read_json(tmp_path / "row.json")["curves"][1], "hill_1", "JS distance").startswith(
        "JS distance falls"
    )


def test_what_all_arms_share_does_not_widen_a_trend(swept: list[CellResult], found: dict[str, Any]) -> None:
    """The distance of one arm is known far worse than how it changes, since all arms are asked the same."""
    (row,) = [one for one in found["curves"] if (one["name"], one["group"]) == ("js_distance", "all")]
    values = swept[0].scores("first_token").query("stratum == 'held_out'").groupby("item")["value"].mean()
    of_items = values.std() / len(values) ** 0.5
    assert row["trend"]["high"] - row["trend"]["low"] < 4 * of_items


def test_without_a_reader_there_are_no_ratios_and_without_a_margin_no_border(swept: list[CellResult]) -> None:
    found = curves(swept, CurveSettings(), readers={})
    assert {one["name"] for one in found["curves"]} == {"js_distance"}
    row = found["curves"][0]
    assert math.isnan(row["margin"])
    assert not row["settled"]["looked"]
    assert sentence(row, "hill_1", "X").endswith("No margin is set for it, so where it levels off is not asked.")


def test_the_comparison_has_curves_and_says_them(swept: list[CellResult], tmp_path: Path) -> None:
    settings = CurveSettings(margins=MARGINS)
    summary, _ = compare(swept, experiment="x", draws=50, answers={"first_token": answers}, curves=settings)
    assert len(summary["response_curves"]["curves"]) == 6
    sentences = [
        one for one in summary["finding"] if one.startswith("As training data gets more diverse (match full): ")
    ]
    assert len(sentences) == 2
    assert "JS distance to people on trained questions falls: −0." in sentences[0]
    assert "a doubling of the effective number of countries; from 1 to 30, −0." in sentences[0]
    assert "variation between countries on trained questions (people = 1) rises: +0." in sentences[1]
    json.dumps(summary["response_curves"])
    two, _ = compare(swept[:6], experiment="x", draws=50)
    assert two["response_curves"] == {}
    assert said({}) == []


def row_of(state: str = TREND, **more: Any) -> dict[str, Any]:
    trend = {"state": state, "slope": -0.0123, "low": -0.02, "high": -0.004}
    trend |= {"change": -0.0738, "change_low": -0.12, "change_high": -0.024}
    settled = {"looked": True, "value": 8.2, "low": 4.1, "high": 17.3} | more
    return {"trend": trend, "settled": settled, "margin": 0.02, "diversity": [1.0, 4.0, 16.0, 60.0]}


def test_sentences() -> None:
    doubling = "−0.012 [−0.020, −0.004] a doubling of the effective number of countries"
    change = "−0.074 [−0.120, −0.024]"
    falls = f"X falls: {doubling}; from 1 to 60, {change}. "
    within = "it stays within 0.02 of its value at 60"
    not_yet = "It has not levelled off within the sweep: the last step changes it by more than 0.02"
    told = "cannot be told from how much: no trend is claimed."
    nan = float("nan")
    for row, expected in (
        (row_of(), f"{falls}From about 8.2 on {within} (95% interval 4.1 to 17)."),
        (row_of(high=nan), f"{falls}From about 8.2 on {within} (95% interval 4.1 to beyond the sweep)."),
        (row_of(value=1.0, low=1.0), f"{falls}All along the sweep {within} (95% interval the least to 17)."),
        (row_of(value=nan, high=None), f"{falls}{not_yet} (95% interval 4.1 to beyond the sweep)."),
        (row_of(value=nan, low=nan, high=nan), f"{falls}{not_yet} (95% interval beyond the sweep)."),
        (row_of(looked=False), f"{falls}Where it levels off is not asked of fewer than 4 levels."),
        (row_of("flat"), f"X hardly responds: from 1 to 60 it changes by {change}, within the margin of ±0.02."),
        (row_of("undecided"), f"X: no trend is shown, and none is ruled out: {doubling}; from 1 to 60, {change}."),
        (row_of("one data draw"), f"X: {doubling} in one data draw. What was drawn {told}"),
        (row_of("too few levels"), "X: too few levels of diversity for a trend."),
    ):  # fmt: skip
        assert sentence(row, "hill_1", "X") == expected
    bare = row_of("no interval")
    bare["trend"] |= dict.fromkeys(("low", "high", "change_low", "change_high"), None)
    assert sentence(bare, "hill_1", "X") == (
        "X: −0.012 a doubling of the effective number of countries, without an interval, so no trend is claimed."
    )
    few = row_of() | {"trend": asdict(Trend(FEW))}
    assert sentence(few, "hill_1", "X") == "X: too few levels of diversity for a trend."


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"over": "hill_3"}, "response_curves.over must be one of hill_0, hill_1"),
        ({"margins": {"js": 0.1}}, "response_curves.margins.js: the measures that have a curve are js_distance"),
        ({"margins": {"emd": 0.1}}, "margins.emd: the measures"),
        ({"margins": {"js_distance": 0}}, "response_curves.margins.js_distance must be a number above 0, got 0"),
        ({"margins": {"js_distance": "x"}}, "must be a number above 0, got 'x'"),
    ],
)
def test_wrong_settings_are_refused(given: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        CurveSettings(**given)


def test_an_arm_without_cells_makes_no_family() -> None:
    empty = CellResult("match-one", 0, 0, Path(), {"state": "planned"}, {}, "match", "full", "diverse")
    assert families([Arm("match-one", (), (empty,))], "hill_1") == ([], [])
