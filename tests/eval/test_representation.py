from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest

from eval.distances import js_distance
from eval.records import SCORE_COLUMNS
from eval.representation import (
    centrism_scores,
    ends,
    fidelity,
    profile_match_as_published,
    representation,
    representation_scores,
)
from eval.summaries import select, summarise

MANY = 1e12


def row(item: str, country: str, p: object, q: object, n: float = MANY, **more: object) -> dict[str, object]:
    return {
        "item": item, "country": country, "age": "", "sex": "", "education": "", "condition": "country",
        "stratum": "held_out", "p": np.array(p, dtype=float), "q": np.array(q, dtype=float), "n": n,
    } | more  # fmt: skip


def pick(scores: pd.DataFrame, measure: str) -> pd.DataFrame:
    return scores[scores["measure"] == measure].reset_index(drop=True)


def test_fidelity_is_the_distance_where_people_are_many() -> None:
    assert fidelity([1, 0], [0.5, 0.5], np.inf) == pytest.approx(float(js_distance([1, 0], [0.5, 0.5])))
    assert fidelity([0.5, 0.5], [0.5, 0.5], np.inf) == 0
    assert fidelity([0.5, 0.5], [0.5, 0.5], 50) < 0


@pytest.mark.parametrize("model", [[0.2, 0.3, 0.5], [0.7, 0.2, 0.1], [0.02, 0.95, 0.03]])
def test_small_groups_are_not_called_worse(model: list[float]) -> None:
    """The mean over samples hardly depends on how many people were asked, for perfect and for poor models."""
    q, rng = np.array([0.2, 0.3, 0.5]), np.random.default_rng(0)
    found = {n: fidelity(model, rng.multinomial(n, q, size=20_000) / n, n).mean() for n in (40, 4000)}
    raw = {n: js_distance(model, rng.multinomial(n, q, size=20_000) / n).mean() for n in (40, 4000)}
    assert abs(found[40] - found[4000]) < 0.02
    if model == q.tolist():
        assert raw[40] - raw[4000] > 0.07


def test_a_counted_model_distribution_has_its_noise_removed() -> None:
    rng, q = np.random.default_rng(0), np.array([0.2, 0.3, 0.5])
    counted = rng.multinomial(20, q, size=20_000) / 20
    assert abs(fidelity(counted, q, np.inf, 20).mean()) < 0.02
    assert fidelity(counted, q, np.inf).mean() > 0.1


def test_age_gap_by_hand() -> None:
    rows = [
        row("i", "NOR", [1, 0], [0, 1], age="18-29"),  # distance 1
        row("i", "NOR", [1, 0], [1, 0], age="50+"),  # distance 0
        row("i", "NOR", [1, 0], [0.5, 0.5], age="30-49"),  # not compared
        row("j", "NOR", [1, 0], [0.5, 0.5], age="18-29"),  # .557923
        row("j", "NOR", [1, 0], [0.5, 0.5], age="50+", n=20.0),
        row("k", "NOR", [1, 0], [0, 1], age="18-29"),  # has no old people: no pair
    ]
    table = pd.DataFrame(rows)
    table["n"] = MANY
    gaps = pick(representation_scores(table), "age_gap")
    assert gaps["value"].tolist() == pytest.approx([1.0, 0.0], abs=1e-5)
    assert gaps["age"].tolist() == ["", ""]
    assert list(gaps.columns) == list(SCORE_COLUMNS)


def test_sex_and_education_gaps_pair_within_other_demographics() -> None:
    rows = [
        row("i", "NOR", [1, 0], [0, 1], sex="female", age=age, education=education)
        for age, education in itertools.product(("18-29", "50+"), ("lower", "higher"))
    ]
    rows += [one | {"sex": "male", "q": np.array([1.0, 0.0])} for one in rows]
    scores = representation_scores(pd.DataFrame(rows), order={"education": ("lower", "higher")})
    assert pick(scores, "sex_gap")["value"].tolist() == pytest.approx([1.0] * 4, abs=1e-5)
    assert pick(scores, "education_gap")["value"].tolist() == pytest.approx([0.0] * 4)
    with pytest.raises(ValueError, match=r"levels \['higher'\] are missing"):
        representation_scores(pd.DataFrame(rows), order={"education": ("lower",)})


def test_education_is_compared_from_least_to_most_of_what_the_survey_has() -> None:
    """Alphabetically a bachelor's degree would come first; two surveys with other levels have ends of their own."""
    degrees = ["bachelor's degree", "graduate degree", "high school diploma", "no high school diploma"]
    assert ends(degrees) == ("no high school diploma", "graduate degree")
    assert ends(["university degree", "no university degree"]) == ("no university degree", "university degree")
    assert ends(["university degree", "own words"]) is None  # no order can be told
    rows = [row("i", "USA", [1, 0], [0, 1], education="no high school diploma")]
    rows += [row("i", "USA", [1, 0], [1, 0], education="graduate degree")]
    rows += [row("j", "BEL", [1, 0], [0, 1], education="13 or more years of education")]
    rows += [row("j", "BEL", [1, 0], [1, 0], education="at most 9 years of education")]
    gaps = pick(representation_scores(pd.DataFrame(rows)), "education_gap").set_index("item")["value"]
    assert gaps.to_dict() == pytest.approx({"i": 1.0, "j": -1.0}, abs=1e-5)


def test_ends_of_a_scale() -> None:
    assert ends(["50+", "18-29", "30-49"]) == ("18-29", "50+")
    assert ends(["100-120", "9-12", ""]) == ("9-12", "100-120")
    assert ends(["30-49", "Under 30", "50+"]) == ("Under 30", "50+")
    assert ends(["18-29", "<18", "over 64"]) == ("<18", "over 64")
    assert ends(["male", "female"]) == ("female", "male")
    assert ends(["higher", "lower"], ("lower", "higher")) == ("lower", "higher")
    assert ends(["", "18-29"]) is None


def test_us_centrism_by_hand() -> None:
    same, other = [0.5, 0.5], [1.0, 0.0]
    rows = [row("i", "NOR", same, other), row("i", "SWE", other, same), row("j", "NOR", same, other)]
    people = pd.DataFrame([{"item": "i", "country": "USA", "age": "", "sex": "", "education": "", "q": np.array(same)}])
    scores = centrism_scores(pd.DataFrame(rows), people)  # j was not asked in the USA
    found = {(r.condition, r.country): r.value for r in pick(scores, "us_centrism").itertuples()}
    home = {(r.condition, r.country): r.value for r in pick(scores, "similarity_to_home").itertuples()}
    gap = 0.557923
    assert home["country", "NOR"] == 1
    assert home["country", "SWE"] == pytest.approx(1 - gap, abs=1e-6)
    assert home["reference:people", "SWE"] == 1
    assert found["country", "NOR"] == pytest.approx(gap, abs=1e-6)  # answers like Americans, not like Norwegians
    assert found["country", "SWE"] == pytest.approx(0, abs=1e-6)  # equally far from both
    assert found["reference:uniform", "NOR"] == pytest.approx(gap, abs=1e-6)
    assert found["reference:people", "NOR"] == pytest.approx(-gap, abs=1e-6)
    assert found["reference:people", "SWE"] == pytest.approx(0, abs=1e-6)
    near = pick(representation_scores(pd.DataFrame(rows)), "similarity")
    assert near[near["country"] == "NOR"]["value"].tolist() == pytest.approx([1 - gap] * 2, abs=1e-6)


def test_estimates_by_group() -> None:
    rng = np.random.default_rng(0)
    rows = [
        row(f"i{i}", country, rng.dirichlet(np.ones(3)), rng.dirichlet(np.ones(3)), 100.0, age=age, stratum=stratum)
        for i, (country, age, stratum) in enumerate(
            itertools.product(("USA", "NOR", "SWE"), ("", "18-29", "50+"), ("held_out", "seen_items"))
        )
        for i in range(4)
    ]
    table = pd.DataFrame(rows)
    scores = representation_scores(table)
    found = {(one.name, one.group): one for one in representation(table, np.random.default_rng(0), 200)}
    assert {group for name, group in found if name == "fidelity"} == {
        "all", "seen items", "country=USA", "country=NOR", "country=SWE", "age=18-29", "age=50+",
    }  # fmt: skip
    assert ("age_gap", "all") in found
    assert ("sex_gap", "all") not in found
    for (name, group), one in found.items():
        assert one.value == pytest.approx(select(scores, name, "country", group)["value"].mean())
        assert one.low <= one.value <= one.high
    assert found["fidelity", "country=NOR"].method.startswith("bootstrap over 4 items; one country")


def test_select_refuses_an_unknown_group_form() -> None:
    scores = representation_scores(pd.DataFrame([row("i", "NOR", [1, 0], [0, 1])]))
    with pytest.raises(ValueError, match="got 'everyone'"):
        select(scores, "fidelity", "country", "everyone")
    assert select(scores, "fidelity", "country", "country=SWE").empty
    assert summarise(scores.iloc[:0], np.random.default_rng(0)) == []


def test_profile_match_as_published_never_lets_a_small_group_win() -> None:
    """A model that copies the young exactly matches their profile in no item, because there are fewer of them."""
    young, old = np.array([[90.0, 10], [80, 20]]), np.array([[400.0, 600], [300, 700]])
    counts = np.stack([young, old], axis=1)
    assert profile_match_as_published(young / 100, counts).tolist() == [0.0, 1.0]
    tie = np.array([[[5.0, 1], [5, 1]]])
    assert profile_match_as_published([[0.9, 0.1]], tie).tolist() == [0.5, 0.5]
    with pytest.raises(ValueError, match=r"got \(1, 2\) and \(1, 2\)"):
        profile_match_as_published([[0.9, 0.1]], [[5, 1]])
