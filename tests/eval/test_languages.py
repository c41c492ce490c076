"""Audits in another language, and against a later wave: asked of whom, in what words, and what is left out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from data.languages import frame
from data.models import load_tokenizer
from data.prompts import Asking, OptionPrompt, Renderer
from data.records import Item, ItemWording, Split, Survey
from eval.answers import OptionAnswer, Progress
from eval.context import AuditContext
from eval.diversity_enhanced.audit import DiversityEnhanced
from eval.first_token.audit import FirstToken
from eval.languages import in_language
from eval.mark.audit import Mark
from eval.records import AuditResult

CHINESE = {
    "toy/bribe": ItemWording("zh", "接受贿赂是否正当？", ("从不", "很少", "经常", "总是")),
    "toy/work": ItemWording("zh", "人们应该多久上一次夜班？", ("从不", "很少", "经常")),
}


class Even:
    """Answers evenly and keeps the prompts."""

    identity = "even"

    def __init__(self) -> None:
        self.prompts: list[OptionPrompt] = []

    def score(self, prompts: Sequence[OptionPrompt], progress: Progress | None = None) -> list[OptionAnswer]:
        self.prompts += prompts
        return [OptionAnswer(np.full(len(p.labels), 1 / len(p.labels)), 0.9) for p in prompts]

    def perplexity(self, texts: Sequence[str]) -> float:
        return 10.0


def worded(survey: Survey) -> Survey:
    def with_chinese(item: Item) -> Item:
        return replace(item, wordings=(CHINESE[item.id],)) if item.id in CHINESE else item

    return replace(survey, items=tuple(map(with_chinese, survey.items)))


def context_of(survey: Survey, split: Split, language: str = "en") -> tuple[AuditContext, Even]:
    asked = Even()
    renderer = Renderer(Asking(style="completion", language=language))
    return AuditContext(asked, renderer, survey, split, (), 0, None, lambda what: lambda done, total: None), asked


@pytest.mark.parametrize("knob", [None, "zh"])
def test_first_token_in_chinese(tiny_survey: Survey, tiny_split: Split, knob: str | None) -> None:
    """By the prompts' language or by the audit's own knob: the same prompts, and no English left in them."""
    context, asked = context_of(worded(tiny_survey), tiny_split, "en" if knob else "zh")
    result = FirstToken(draws=100, language=knob)(context)
    assert result.settings["language"] == "zh"
    assert result.excluded["items without a wording in 'zh'"] == 2
    assert set(result.items["item"]) == {"toy/bribe", "toy/work"}
    for prompt in asked.prompts:
        assert prompt.text.startswith(frame("zh").instruction)
        assert not re.search("[A-Za-z]{2,}", prompt.text)
    assert any("我住在挪威。我的年龄是18至29岁。" in prompt.text for prompt in asked.prompts)


def test_simulated_survey_takers_in_chinese_live_in_no_place(tiny_survey: Survey, tiny_split: Split) -> None:
    context, asked = context_of(worded(tiny_survey), tiny_split, "zh")
    result = DiversityEnhanced(countries=4, participants=2, draws=100)(context)
    assert result.settings["language"] == "zh"
    assert result.excluded["participants' places (named in English only)"] == 8
    assert not any(re.search("[A-Za-z]{2,}", prompt.text) for prompt in asked.prompts)
    english, _ = context_of(worded(tiny_survey), tiny_split)
    assert "participants' places (named in English only)" not in DiversityEnhanced(draws=100)(english).excluded


def test_mark_asks_in_english_whatever_the_prompts_language(tiny_survey: Survey, tiny_split: Split) -> None:
    context, asked = context_of(worded(tiny_survey), tiny_split, "zh")
    result = Mark(respondents=2, items=1, draws=100)(context)
    assert result.settings["language"] == "en"
    assert asked.prompts
    assert all(prompt.text.isascii() for prompt in asked.prompts)
    with pytest.raises(ValueError, match=r"audit\.mark\.language must be en"):
        Mark(language="zh")


def test_a_language_that_nothing_is_worded_in_is_refused(tiny_survey: Survey, tiny_split: Split) -> None:
    context, _ = context_of(worded(tiny_survey), tiny_split)
    with pytest.raises(ValueError, match=r"no item of the survey has a wording in 'fr'.* en, zh"):
        FirstToken(language="fr")(context)
    with pytest.raises(ValueError, match=r"prompt\.language must be one of"):
        FirstToken(language="tlh")(context)


def test_english_changes_nothing(tiny_survey: Survey, tiny_split: Split, tiny_model: Path) -> None:
    context, _ = context_of(tiny_survey, tiny_split)
    same, missing = in_language(context, None)
    assert (same.survey, same.renderer, missing) == (context.survey, context.renderer, {})
    renderer = Renderer(Asking(), load_tokenizer(tiny_model))
    assert renderer.in_language("zh").tokenizer is renderer.tokenizer


def value(result: AuditResult, group: str, condition: str = "country") -> float:
    (found,) = (e for e in result.estimates if (e.name, e.group, e.condition) == ("js_distance", group, condition))
    return found.value


def test_the_later_wave_is_a_stratum_of_its_own(tiny_survey: Survey, tiny_split: Split) -> None:
    """Trained items × countries are asked against the later wave, beside the held-out cells; never without a split."""
    split = replace(tiny_split, train_before=2005)
    survey = replace(tiny_survey, earlier=tuple(replace(d, year="1999") for d in tiny_survey.distributions))
    context, _ = context_of(survey, split)
    result = FirstToken(draws=100)(context)
    later = result.items[result.items["stratum"] == "later_wave"]
    assert set(later["item"]) == set(split.train_items)
    assert set(later.loc[later["country"] != "", "country"]) == set(split.train_countries)
    assert set(result.items["stratum"]) == {"held_out", "seen_items", "later_wave"}
    plain, _ = context_of(tiny_survey, tiny_split)
    without = FirstToken(draws=100)(plain)
    assert set(without.items["stratum"]) == {"held_out", "seen_items"}
    for group in ("all", "seen items"):
        assert value(result, group) == pytest.approx(value(without, group))
    assert value(result, "later wave") == pytest.approx(value(result, "later wave", "reference:uniform"))
    scores = result.scores
    assert set(scores.loc[scores["stratum"] == "later_wave", "country"]) <= {*split.train_countries, ""}
