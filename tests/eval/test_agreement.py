"""Agreement between audits: positions worked by hand, audits that agree exactly or are opposite, and coverage."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from data.dilemmas.corpus import VALUES
from data.files import write_json
from data.value_axes import Axis, ValueAxes, read_axes
from eval.agreement.axes import agreement
from eval.agreement.pairs import across_arms
from eval.agreement.readings import Choices, Contrast, Fitted, Placed, contrast
from eval.agreement.same import by_country, same_questions
from eval.agreement.units import Source
from eval.bootstrap import cluster_counts
from eval.cells import Arm, CellResult
from eval.report import agreement as section
from eval.report.agreement_words import ground
from eval.report.summary import SCHEMA, Summary

AXES = """\
format: polyphony-value-axes
version: 1
axes:
  openness:
    first: {name: openness to change, values: [self_direction, stimulation]}
    second: {name: conservation, values: [security, conformity, tradition]}
  transcendence:
    first: {name: self-transcendence, values: [universalism, benevolence]}
    second: {name: self-enhancement, values: [power, achievement]}
items:
  my/0: {axis: openness, first_pole_at: last, value: tradition, because: test}
  my/1: {axis: openness, first_pole_at: first, value: tradition, because: test}
  my/2: {axis: openness, first_pole_at: last, value: tradition, because: test}
  my/3: {axis: openness, first_pole_at: first, because: test}
  my/nominal: {axis: openness, first_pole_at: first, because: test}
"""
COUNTRIES = ("NOR", "SWE", "USA", "JPN")
ITEMS = {"my/0": 1, "my/1": -1, "my/2": 1, "my/3": -1}
"""Items and the sign of their option scale."""


@pytest.fixture
def axes(tmp_path: Path) -> ValueAxes:
    path = tmp_path / "axes.yaml"
    path.write_text(AXES, encoding="utf-8")
    return read_axes(path)


def shares(position: float, sign: int) -> np.ndarray:
    """Three options with this expected position toward the first pole."""
    end = (1 + sign * position) / 2 * 0.8 + 0.1
    p = np.array([0.9 - (end - 0.1), 0.1, end])
    return p / p.sum()


def position(p: np.ndarray, sign: int) -> float:
    return float(sign * (p[2] - p[0]))


def frames(stand: Mapping[tuple[str, str], float], chosen: float) -> dict[str, pd.DataFrame]:
    """Evidence in which every survey audit stands at `stand` by item and country, and dilemmas at `chosen`."""
    nobody = {"age": "", "sex": "", "education": "", "stratum": "held_out"}
    scale = {"ordered": True, "positions": np.array([0.0, 1.0, 2.0]), "options": ["a", "b", "c"]}
    token, takers, mark = [], [], []
    for (item, country), where in stand.items():
        p = shares(where, ITEMS[item])
        row = {"item": item, "country": country, **nobody, **scale, "p": p, "q": p, "n": 100.0, "option_mass": 1.0}
        token += [row | {"condition": "country"}, row | {"condition": "control:wrong", "p": p[::-1]}]
        takers += [
            row | {"participant": f"{country}-{i}", "condition": "participants", "greedy": False, "answer": 0}
            for i in range(3)
        ]
        mark += [row | {"respondent": f"{country}-{item}-{i}", "condition": "mark", "human": 2} for i in range(3)]
    for item in ITEMS:
        p = np.mean([shares(stand[item, country], ITEMS[item]) for country in COUNTRIES], axis=0)
        token.append({"item": item, "country": "", **nobody, **scale, "p": p, "q": None, "condition": "none"})
    nominal = {"ordered": False, "positions": None, "p": np.array([0.2, 0.3, 0.5]), "condition": "none", "q": None}
    token.append({"item": "my/nominal", "country": "", **nobody, "options": ["a", "b", "c"]} | nominal)
    token.append({"item": "my/unlinked", "country": "", **nobody, "options": ["a", "b", "c"]} | nominal)
    pairs = [*itertools.product(("self_direction", "stimulation"), ("security", "conformity", "tradition"))]
    edc = [
        {"dilemma": f"{a}-{b}", "value_0": b, "value_1": a, "condition": condition, "p_action_0": p, "weight": 1.0}
        for a, b in pairs
        for condition, p in (("alone", (1 - chosen) / 2), ("wording:1", (1 - chosen) / 2), ("control:told", 1.0))
    ]
    return {
        name: pd.DataFrame(rows)
        for name, rows in zip(("first_token", "def", "mark", "edc"), (token, takers, mark, edc), strict=True)
    }


def make_arm(folder: Path, name: str, cells: Sequence[Mapping[str, pd.DataFrame]], recipe: str = "match") -> Arm:
    made = []
    for seed, evidence in enumerate(cells):
        place = folder / f"{name}-{seed}"
        for audit, frame in evidence.items():
            (place / "audits" / audit).mkdir(parents=True)
            frame.to_parquet(place / "audits" / audit / "items.parquet")
            write_json(place / "audits" / audit / "estimates.json", {"estimates": []})
        made.append(CellResult(name, seed, 0, place, {"state": "done"}, {}, recipe, "full", "diverse"))
    return Arm(name, tuple(made), ())


def everywhere(where: float) -> dict[tuple[str, str], float]:
    """Items and countries a little apart round a position."""
    return {
        (item, country): where + 0.05 * (i - 1.5) + 0.04 * (c - 1.5)
        for i, item in enumerate(ITEMS)
        for c, country in enumerate(COUNTRIES)
    }


def mean_position(stand: Mapping[tuple[str, str], float]) -> float:
    return float(np.mean([position(shares(where, ITEMS[item]), ITEMS[item]) for (item, _), where in stand.items()]))


def picked(rows: Sequence[Mapping[str, Any]], **wanted: Any) -> list[Mapping[str, Any]]:
    return [row for row in rows if all(row[name] == value for name, value in wanted.items())]


def test_audits_that_agree_exactly(tmp_path: Path, axes: ValueAxes) -> None:
    stand = everywhere(0.4)
    where = mean_position(stand)
    arm = make_arm(tmp_path, "base", [frames(stand, where)], "none")
    found = agreement({"base": arm}, arm, np.random.default_rng(0), 400, axes)
    placed = {
        (row["audit"], row["condition"]): row["value"]
        for row in picked(found["positions"], arm="base", axis="openness")
        if math.isfinite(row["value"])
    }
    for source in (("first_token", "none"), ("first_token", "country"), ("def", "participants"), ("mark", "mark")):
        assert placed.pop(source) == pytest.approx(where)
    assert placed.pop(("edc", "alone")) == pytest.approx(where)
    assert placed.pop(("edc", "wordings")) == pytest.approx(where)
    assert placed.pop(("edc", "fitted")) == pytest.approx(where, abs=0.06)  # the ridge pulls towards 0
    assert not placed
    direct = picked(found["pairs"], axis="openness", second_condition="wordings")
    assert len(direct) == 4
    for row in direct:
        assert row["value"] == pytest.approx(0, abs=1e-12)
        assert row["low"] <= 0 <= row["high"]
        assert row["direction"] == "same side"
    shared = picked(found["pairs"], axis="openness", same_questions=True)
    assert [(row["first_audit"], row["second_audit"]) for row in shared] == [
        ("first_token", "def"), ("first_token", "mark"), ("def", "mark"),
    ]  # fmt: skip
    assert all(row["value"] == pytest.approx(0, abs=1e-12) for row in shared)
    for axis in ("", "openness"):
        for measure in ("correlation", "correlation_within_items"):
            for row in picked(found["same_questions"], measure=measure, axis=axis):
                assert row["value"] == pytest.approx(1)
    assert all(
        row["value"] == pytest.approx(0, abs=1e-6) for row in picked(found["same_questions"], measure="js_distance")
    )


def test_people_are_the_reference(tmp_path: Path, axes: ValueAxes) -> None:
    arm = make_arm(tmp_path, "base", [frames(everywhere(0.2), 0.2)], "none")
    found = agreement({"base": arm}, arm, np.random.default_rng(0), 200, axes)
    people = {row["audit"]: row["value"] for row in picked(found["positions"], arm="people", axis="openness")}
    assert people["first_token"] == pytest.approx(mean_position(everywhere(0.2)))
    # every respondent gave the last option: 1 on two items, -1 on the two that run the other way
    assert people["mark"] == pytest.approx(0)
    assert "edc" not in people


def test_opposite_levels_and_moves(tmp_path: Path, axes: ValueAxes) -> None:
    base = make_arm(tmp_path, "base", [frames(everywhere(0.0), 0.0)], "none")
    variant = make_arm(tmp_path, "match", [frames(everywhere(0.5), -0.5)])
    found = agreement({"base": base, "match": variant}, base, np.random.default_rng(0), 400, axes)
    up = mean_position(everywhere(0.5)) - mean_position(everywhere(0.0))
    moves = {(row["audit"], row["condition"]): row for row in picked(found["moves"], axis="openness")}
    assert moves["first_token", "country"]["value"] == pytest.approx(up)
    assert moves["mark", "mark"]["value"] == pytest.approx(up)
    assert moves["edc", "wordings"]["value"] == pytest.approx(-0.5)
    for one, two in (("pairs", "match"), ("move_pairs", "match")):
        rows = picked(found[one], arm=two, axis="openness", second_audit="edc")
        assert {row["direction"] for row in rows} == {"opposite sides"}
        assert all(row["low"] > 0 for row in rows)
    row = picked(found["move_pairs"], axis="openness", first_condition="country", second_condition="wordings")[0]
    assert row["value"] == pytest.approx(up + 0.5)


def test_several_seeds_are_averaged_and_widen(tmp_path: Path, axes: ValueAxes) -> None:
    one = make_arm(tmp_path, "one", [frames(everywhere(0.3), 0.3)])
    three = make_arm(tmp_path, "three", [frames(everywhere(where), where) for where in (0.1, 0.3, 0.5)])
    found = agreement({"one": one, "three": three}, None, np.random.default_rng(0), 500, axes)
    rows = {
        row["arm"]: row for row in picked(found["positions"], axis="openness", audit="first_token", condition="country")
    }
    assert rows["three"]["value"] == pytest.approx(np.mean([mean_position(everywhere(w)) for w in (0.1, 0.3, 0.5)]))
    assert rows["three"]["high"] - rows["three"]["low"] > 2 * (rows["one"]["high"] - rows["one"]["low"])
    assert "3 training seeds by Student's t" in rows["three"]["method"]
    pair = picked(found["pairs"], arm="three", axis="openness", first_condition="country", second_condition="wordings")[
        0
    ]
    assert pair["high"] - pair["low"] < 0.5 * (rows["three"]["high"] - rows["three"]["low"])  # seeds move both alike


def test_what_is_undefined_is_counted(tmp_path: Path, axes: ValueAxes) -> None:
    evidence = frames(everywhere(0.2), 0.2)
    arm = make_arm(tmp_path, "base", [{name: evidence[name] for name in ("first_token", "edc")}], "none")
    found = agreement({"base": arm}, arm, np.random.default_rng(0), 100, axes)
    rows = picked(found["positions"], axis="transcendence")
    assert rows
    assert all(math.isnan(row["value"]) and row["n"] == 0 for row in rows)
    assert all(row["method"].startswith("undefined: no ") for row in rows)
    assert not picked(found["pairs"], axis="transcendence")
    assert found["left_out"] == {
        "arms with no dilemma of transcendence among those asked by edc (alone, all)": 1,
        "arms with no dilemma of transcendence among those asked by edc (fitted, all)": 1,
        "arms with no item of transcendence among those asked by first_token (country, all)": 1,
        "arms with no item of transcendence among those asked by first_token (none, all)": 1,
        "arms without the audit def": 1,
        "arms without the audit mark": 1,
        "dilemmas not between the poles of transcendence: in its fitted position alone": 6,
        "items without a link to an axis": 1,
        "nominal items without positions": 1,
    }
    assert [(axis["name"], axis["single"]) for axis in found["axes"]][-1] == ("tradition", True)
    openness = found["axes"][0]
    assert (openness["toward_last"], openness["dilemmas"]) == (0.5, 6)


def test_a_single_value_turns_the_sign(tmp_path: Path, axes: ValueAxes) -> None:
    arm = make_arm(tmp_path, "base", [frames(everywhere(0.4), 0.4)], "none")
    found = agreement({"base": arm}, arm, np.random.default_rng(0), 100, axes)
    three = {key: where for key, where in everywhere(0.4).items() if key[0] != "my/3"}
    row = picked(found["positions"], arm="base", axis="tradition", audit="first_token", condition="country")[0]
    assert row["value"] == pytest.approx(-mean_position(three))
    row = picked(found["positions"], arm="base", axis="tradition", audit="edc", condition="wordings")[0]
    assert (row["value"], row["n"]) == (pytest.approx(-0.4), 2)


def test_an_arm_has_the_same_numbers_whatever_others_there_are(tmp_path: Path, axes: ValueAxes) -> None:
    base = make_arm(tmp_path, "base", [frames(everywhere(0.1), 0.2)], "none")
    other = make_arm(tmp_path, "match", [frames(everywhere(0.3), 0.1)])
    alone = agreement({"base": base}, base, np.random.default_rng(4), 100, axes)
    both = agreement({"match": other, "base": base}, base, np.random.default_rng(4), 100, axes)
    for name in ("positions", "pairs", "same_questions"):
        pd.testing.assert_frame_equal(
            pd.DataFrame(picked(alone[name], arm="base")), pd.DataFrame(picked(both[name], arm="base"))
        )


def choices(p: Sequence[float], pairs: Sequence[tuple[str, str]], draws: int) -> Choices:
    first, second = (np.array([VALUES.index(pair[side]) for pair in pairs]) for side in (0, 1))
    counts = cluster_counts(len(pairs), draws, np.random.default_rng(0))
    return Choices(tuple(map(str, range(len(pairs)))), first, second, np.array([p]), ((0, 0),), counts)


def test_the_fitted_position_is_two_p_minus_one() -> None:
    axis = Axis("power", "power", "the other", ("power",), ("hedonism",))
    made = Fitted(choices([0.8] * 200, [("power", "hedonism")] * 200, 50), axis)
    assert list(made.cells.values()) == pytest.approx([0.6], abs=0.005)
    assert made.defined
    assert not Fitted(made.choices, Axis("x", "", "", ("tradition",), ("hedonism",))).defined


def test_ranks_of_arms() -> None:
    def arm(where: float) -> dict[Source, Placed | Fitted]:
        index = pd.MultiIndex.from_product([["a", "b", "c", "d"], ["NOR"]])
        table = pd.DataFrame({(0, 0): where + np.array([-0.01, 0, 0, 0.01])}, index=index)
        table.columns = pd.MultiIndex.from_tuples(table.columns)
        survey = Source("first_token", "none")
        pairs = [*itertools.product(("self_direction",), ("security", "conformity", "tradition"))] * 4
        axis = Axis("o", "", "", ("self_direction",), ("security", "conformity", "tradition"))
        return {
            survey: Placed(table, survey),
            Source("edc", "fitted"): Fitted(choices([0.5 - where / 2] * 12, pairs, 100), axis),
        }

    arms = [arm(where) for where in (-0.4, -0.1, 0.2, 0.6)]
    (row,) = across_arms(arms, 100, np.random.default_rng(0))
    assert (row["value"], row["low"], row["high"], row["n"]) == (-1.0, -1.0, -1.0, 4)
    assert not list(across_arms(arms[:3], 100, np.random.default_rng(0)))


def test_collapsed_arms_are_in_no_correlation_over_arms(tmp_path: Path, axes: ValueAxes) -> None:
    stands = {"base": (0.0, 0.0), "a": (0.1, 0.1), "b": (0.2, 0.2), "c": (0.3, 0.3), "broken": (0.6, -0.6)}
    arms = {
        name: make_arm(tmp_path, name, [frames(everywhere(said), chosen)], "none" if name == "base" else "match")
        for name, (said, chosen) in stands.items()
    }
    every = agreement(arms, arms["base"], np.random.default_rng(0), 50, axes)
    kept = agreement(arms, arms["base"], np.random.default_rng(0), 50, axes, ["broken"])
    wanted = {"axis": "openness", "audit": "first_token", "condition": "none"}
    assert picked(every["across"], **wanted)[0]["value"] < 0.5
    (row,) = picked(kept["across"], **wanted)
    assert (row["value"], row["n"]) == (1, 4)
    assert kept["left_out"]["collapsed arms: in no correlation over arms"] == 1
    assert picked(kept["positions"], arm="broken") == picked(every["positions"], arm="broken")


def test_the_ground_is_that_of_the_sentences(tmp_path: Path, axes: ValueAxes) -> None:
    """Two of the four items are asked with nobody stated, the others of countries alone."""
    evidence = frames(everywhere(0.3), 0.3)
    token = evidence["first_token"]
    evidence["first_token"] = token[(token["condition"] != "none") | token["item"].isin(["my/0", "my/2"])]
    base = make_arm(tmp_path, "base", [evidence], "none")
    found = agreement({"base": base}, base, np.random.default_rng(0), 50, axes)
    axis = next(one for one in found["axes"] if one["name"] == "openness")
    assert ground(found, axis)[0].startswith("This rests on 2 survey items and on 6 dilemmas")


def test_sampling_noise_of_few_persons_is_no_disagreement(axes: ValueAxes) -> None:
    """Both audits say the same of every country; persons are drawn. The excess is 0 on average."""
    rng = np.random.default_rng(1)
    truth = {(item, country): rng.dirichlet([4, 4, 4]) for item in ITEMS for country in map(str, range(30))}

    def asked(persons: int) -> pd.DataFrame:
        return pd.DataFrame(
            {"seed": 0, "draw": 0, "item": item, "country": country, "who": str(i) if persons > 1 else ""}
            | {"p": np.eye(3)[rng.choice(3, p=p)] if persons > 1 else p}
            for (item, country), p in truth.items()
            for i in range(persons)
        )

    scales = dict.fromkeys(ITEMS, (0.0, 1.0, 2.0))
    rows = {
        row["measure"]: row for row in same_questions(asked(1), asked(40), axes, scales, 300, rng) if row["axis"] == ""
    }
    assert rows["js_distance"]["value"] == pytest.approx(rows["js_from_sampling"]["value"], rel=0.15)
    assert abs(rows["js_excess"]["value"]) < 0.25 * rows["js_distance"]["value"] ** 2
    assert rows["js_excess"]["low"] < 0 < rows["js_excess"]["high"]
    one = asked(40).drop_duplicates(["item", "country"])
    assert by_country(one)["noise"].isna().all()


def test_intervals_of_a_difference_cover() -> None:
    """8 items in 10 countries against 15 dilemmas, both truly at 0.1: the interval of the difference holds 0."""
    rng = np.random.default_rng(2)
    index = pd.MultiIndex.from_product([[f"i{i}" for i in range(8)], [f"c{c:02}" for c in range(10)]])
    others = pd.MultiIndex.from_product([[f"d{i:02}" for i in range(15)], [""]])
    columns = pd.MultiIndex.from_tuples([(0, 0)])
    held = 0
    for _ in range(250):
        values = 0.1 + rng.normal(0, 0.2, (8, 1)) + rng.normal(0, 0.1, (1, 10)) + rng.normal(0, 0.1, (8, 10))
        survey = Placed(pd.DataFrame(values.reshape(-1, 1), index, columns), Source("first_token", "country"))
        chosen = pd.DataFrame(0.1 + rng.normal(0, 0.3, (15, 1)), others, columns)
        made = contrast([[(survey, 1.0)], [(Placed(chosen, Source("edc", "wordings")), -1.0)]], 400, rng)
        held += made.low <= 0 <= made.high
    assert 0.91 <= held / 250 <= 0.99


def test_words_of_methods() -> None:
    index = pd.MultiIndex.from_product([["d1", "d2", "d3"], [""]])
    table = pd.DataFrame([[0.1], [0.2], [0.3]], index, pd.MultiIndex.from_tuples([(0, 0)]))
    assert Placed(table, Source("edc", "alone")).method == "bootstrap over 3 dilemmas; one training seed and data draw"
    single = contrast([[(Placed(table.iloc[:1], Source("edc", "alone")), 1.0)]], 50, np.random.default_rng(0))
    assert single.method == "no interval: one dilemma"
    assert math.isnan(single.low)
    assert Contrast(0.2, 0.1, 0.3, 1, "", np.empty(0)).sign == 1
    assert single.sign == 0


def test_the_section_says_what_is_found(tmp_path: Path, axes: ValueAxes) -> None:
    base = make_arm(tmp_path, "base", [frames(everywhere(0.0), 0.0)], "none")
    variant = make_arm(tmp_path, "match", [frames(everywhere(0.5), -0.5)])
    found = agreement({"base": base, "match": variant}, base, np.random.default_rng(0), 200, axes)
    arms = [{"name": "base", "recipe": "none"}, {"name": "match", "recipe": "match"}]
    raw = {"schema": SCHEMA, "experiment": "x", "arms": arms, "estimates": []}
    write_json(tmp_path / "summary.json", raw | {"agreement": found})
    svgs: dict[str, str] = {}
    made = {block.heading: block for block in section.blocks(Summary.read(tmp_path / "summary.json"), [], svgs)}
    intro = made["Openness to change against conservation"].intro
    points = made["Openness to change against conservation"].points
    assert intro.startswith(
        "On openness to change against conservation, survey and dilemmas lean to the same side in 0 and to opposite "
        "sides in 1 of 2 arms; in 1 it is not settled"
    )
    assert "From the base, survey and dilemmas moved the same way in 0 and opposite ways in 1 of 1 arms." in points
    assert any("4 survey items and on 6 dilemmas" in point for point in points)
    assert "cannot be compared" in made["Self-transcendence against self-enhancement"].intro
    assert set(svgs) == {"agreement-openness"}
    assert "Single values" in made
    assert "The same questions, put by two audits" in made
    assert section.blocks(Summary(raw), [], {}) == []
