"""The first-token audit against models whose right values are known in advance."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data.models import load_tokenizer
from data.prompts import Asking, OptionPrompt, Renderer
from data.records import Split, Survey
from eval.answers import OptionAnswer, Progress
from eval.context import AuditContext
from eval.first_token.audit import FirstToken
from eval.records import SCORE_COLUMNS, SCORE_KEYS, AuditResult

PLACES = {"NOR": "Norway", "GHA": "Ghana", "BRA": "Brazil", "IND": "India", "USA": "the United States"}


class Scripted:
    """Answers by a rule over (item, shown options, country, age), read from the prompt's text."""

    identity = "scripted"

    def __init__(self, survey: Survey, rule: Callable[..., np.ndarray], mass: float = 0.9) -> None:
        self.survey, self.rule, self.mass = survey, rule, mass

    def score(self, prompts: Sequence[OptionPrompt], progress: Progress | None = None) -> list[OptionAnswer]:
        found = []
        for prompt in prompts:
            item = next(item for item in self.survey.items if item.question in prompt.text)
            shown = [prompt.text.index(f". {option}\n" if f". {option}\n" in prompt.text else f". {option}<")
                     for option in item.options]  # fmt: skip
            order = np.argsort(shown)
            country = next((code for code, name in PLACES.items() if f"lives in {name}" in prompt.text), "")
            age = next((band for band, text in AGES.items() if text in prompt.text), "")
            found.append(OptionAnswer(self.rule(self.survey, item, order, country, age), self.mass))
        return found

    def perplexity(self, texts: Sequence[str]) -> float:
        return 12.5


AGES = {"18-29": "18 to 29 years", "30-49": "30 to 49 years", "50+": "50 years old or older"}


def perfect(survey: Survey, item, order, country: str, age: str) -> np.ndarray:
    groups = [d for d in survey.distributions if d.item == item.id and (d.group.country, d.group.age) == (country, age)]
    q = groups[0].probabilities if groups else np.full(len(item.options), 1 / len(item.options))
    return np.asarray(q)[order]


def uniform(survey: Survey, item, order, country: str, age: str) -> np.ndarray:
    return np.full(len(order), 1 / len(order))


def always_first_place(survey: Survey, item, order, country: str, age: str) -> np.ndarray:
    return np.eye(len(order))[0]


def norway_everywhere(survey: Survey, item, order, country: str, age: str) -> np.ndarray:
    return perfect(survey, item, order, "NOR", "")


@pytest.fixture
def audit(tiny_model: Path, tiny_survey: Survey, tiny_split: Split) -> Callable[..., AuditResult]:
    renderer = Renderer(Asking(persona="portrayal"), load_tokenizer(tiny_model))

    def run(rule: Callable[..., np.ndarray], limit: int | None = None, **knobs: object) -> AuditResult:
        context = AuditContext(
            answerer=Scripted(tiny_survey, rule), renderer=renderer, survey=tiny_survey, split=tiny_split, dilemmas=(),
            seed=0, limit=limit, progress=lambda what: lambda done, total: None,
        )  # fmt: skip
        return FirstToken(**({"draws": 400} | knobs))(context)  # type: ignore[arg-type]

    return run


def value(result: AuditResult, name: str, condition: str = "country", group: str = "all") -> float:
    found = [e for e in result.estimates if (e.name, e.condition, e.group) == (name, condition, group)]
    assert len(found) == 1, (name, condition, group, len(found))
    return found[0].value


def test_perfect_people_score_perfectly(audit: Callable[..., AuditResult]) -> None:
    result = audit(perfect)
    for condition in ("country", "country+age"):
        assert value(result, "js_distance", condition) == pytest.approx(0, abs=1e-7)
        assert value(result, "emd", condition) == pytest.approx(0, abs=1e-9)
        assert value(result, "top1_agreement", condition) == 1
    assert value(result, "skill") == pytest.approx(1)
    assert value(result, "attained") > 1  # closer to the people found than another sample of them would be
    assert value(result, "between_structure") == pytest.approx(1)
    assert value(result, "position_effect") == pytest.approx(0, abs=1e-12)
    assert value(result, "age_gap", "country+age") < 0.05
    assert value(result, "us_centrism") == pytest.approx(value(result, "us_centrism", "reference:people"))
    assert value(result, "js_distance", "none") > 0.05  # nobody named: it answers evenly


def test_an_even_answer_equals_the_uniform_reference(audit: Callable[..., AuditResult]) -> None:
    result = audit(uniform)
    assert value(result, "js_distance") == pytest.approx(value(result, "js_distance", "reference:uniform"))
    assert value(result, "attained") == pytest.approx(0)
    assert value(result, "between_ratio") == pytest.approx(0)
    assert value(result, "us_centrism") == pytest.approx(value(result, "us_centrism", "reference:uniform"))
    assert value(result, "within_ratio") > 1
    assert value(result, "option_mass") == pytest.approx(0.9)
    assert value(result, "perplexity", "neutral text") == 12.5


def test_answering_by_place_is_seen_and_averages_out(audit: Callable[..., AuditResult]) -> None:
    result = audit(always_first_place)
    assert value(result, "position_effect") == pytest.approx(1)
    assert value(result, "entropy") == 0  # certain each time; that orders differ is no disagreement among people
    assert value(result, "mode_share") == 1
    nominal = [r.scores.query("measure == 'js_distance' and item == 'toy/vote' and condition == 'country'")["value"]
               for r in (result, audit(uniform))]  # fmt: skip
    np.testing.assert_allclose(*nominal)  # every option stood first equally often


def test_one_country_everywhere_has_no_variation_between(audit: Callable[..., AuditResult]) -> None:
    result = audit(norway_everywhere)
    assert value(result, "between_ratio") == pytest.approx(0)
    assert value(result, "js_distance", group="country=NOR") == pytest.approx(0, abs=1e-7)
    assert value(result, "js_distance", group="country=GHA") > 0.05


def test_only_held_out_countries_are_asked_and_seen_items_stand_apart(audit: Callable[..., AuditResult]) -> None:
    result = audit(perfect)
    asked = result.items[result.items["country"] != ""]
    assert set(asked["country"]) == {"NOR", "GHA", "BRA", "IND"}
    held = asked[asked["stratum"] == "held_out"]
    assert set(held["item"]) == {"toy/bribe", "toy/vote"}
    assert set(asked[asked["stratum"] == "seen_items"]["item"]) == {"toy/work", "toy/poor"}
    assert "USA" not in set(result.scores["country"])


def test_scores_are_unique_units_and_reproduce_the_estimates(audit: Callable[..., AuditResult]) -> None:
    result = audit(norway_everywhere)
    assert list(result.scores.columns) == list(SCORE_COLUMNS)
    assert not result.scores.duplicated(list(SCORE_KEYS)).any()
    rows = result.scores.query("measure == 'js_distance' and condition == 'country' and stratum == 'held_out'")
    assert rows["value"].mean() == pytest.approx(value(result, "js_distance"))


def test_evidence_holds_what_was_asked(audit: Callable[..., AuditResult]) -> None:
    items = audit(perfect).items
    row = items[(items["condition"] == "country+age") & (items["country"] == "NOR")].iloc[0]
    assert "lives in Norway" in row["prompt"]
    assert row["p"].sum() == pytest.approx(1)
    assert row["option_mass"] == pytest.approx(0.9)
    np.testing.assert_allclose(row["p"], row["q"])
    assert isinstance(items, pd.DataFrame)


def test_limit_bounds_the_items_and_no_held_out_item_is_an_error(
    audit: Callable[..., AuditResult], tiny_survey: Survey, tiny_split: Split
) -> None:
    assert set(audit(perfect, limit=1).items["item"]) == {"toy/bribe"}
    with pytest.raises(ValueError, match="nothing to audit"):
        audit(perfect, limit=0)


def test_a_bound_on_countries_is_counted(audit: Callable[..., AuditResult]) -> None:
    result = audit(perfect, max_countries=3)
    assert result.excluded == {"item × country beyond max_countries=3": 4}
    by_item = result.items[result.items["stratum"] == "held_out"].query("country != ''").groupby("item")["country"]
    assert (by_item.nunique() == 3).all()


def test_unknown_conditions_are_named() -> None:
    with pytest.raises(ValueError, match=r"must be among .* got 'planet'"):
        FirstToken(conditions=("planet",))
