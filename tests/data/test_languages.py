"""Frames of every language are whole, and an item or a fact without words in a language is never put in English."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from data.blocks import BLOCKS
from data.countries import iso3
from data.importers.codebook import read_codebook, shipped
from data.languages import frame, languages
from data.personas import FIELDS, PERSONAS, persona
from data.prompts import Asking, Renderer
from data.records import Group, Item, ItemWording
from data.surveys import load_survey

WHOLE = "country+age+sex+education"
SOMEBODY = Group("NOR", "18-29", "female", "university degree")
ITEM = Item(
    "toy/x", "Is it so?", ("Yes", "No"), False, "toy", wordings=(ItemWording("zh", "是这样吗？", ("是", "否")),)
)


def test_six_languages_have_the_same_keys_and_placeholders() -> None:
    assert set(languages()) >= {"en", "zh", "es", "fr", "de", "ar"}
    english = frame("en")
    for language in languages():
        words = frame(language)
        assert tuple(words.facts) == FIELDS
        assert set(words.sex) == {"female", "male"}
        for name in ("question_answer", "portrayal", "told", "age_range", "age_open"):
            holes = re.findall(r"\{\w+\}", getattr(words, name))
            assert sorted(holes) == sorted(re.findall(r"\{\w+\}", getattr(english, name))), (language, name)
        for fact in words.facts.values():
            assert all("{value}" in getattr(fact, style) for style in ("answer", "biography", "portrayal"))
            assert "{" not in fact.question
        assert words.cue.strip() == words.answer.strip()


@pytest.mark.parametrize("language", [language for language in languages() if language != "en"])
def test_every_persona_is_stated_wholly_in_the_language(language: str) -> None:
    """No English word is left over: the only Latin letters in Chinese and Arabic prompts are the option letters."""
    for style in PERSONAS:
        said = persona(SOMEBODY, WHOLE, style, language)
        assert said == persona(SOMEBODY, WHOLE, style, language).strip()
        assert frame(language).country("NOR") in said
        assert "18" in said
        assert "29" in said
        assert "{" not in said
        if language in ("zh", "ar"):
            assert not re.search("[A-Za-z]", said + frame(language).instruction)


@pytest.mark.parametrize(
    ("language", "style", "said"),
    [
        ("zh", "biography", "我住在挪威。我的年龄是18至29岁。我是女性。我的教育程度是：大学学位。"),
        ("zh", "portrayal", "请像一个住在挪威、年龄为18至29岁、性别为女性、教育程度为大学学位的人那样回答。"),
        ("de", "biography", "Das Land, in dem ich lebe: Norwegen. Ich bin 18 bis 29 Jahre alt. "
         "Ich bin eine Frau. Meine Bildung: Hochschulabschluss."),
        ("fr", "biography", "Mon pays de résidence : Norvège. J'ai entre 18 et 29 ans. "
         "Je suis une femme. Mon niveau d'études : diplôme universitaire."),
        ("es", "portrayal", "Contesta como lo haría una persona con este perfil (país de residencia: "
         "Noruega; edad: entre 18 y 29 años; sexo: mujer; nivel de estudios: título universitario)."),
        ("ar", "question_answer", "س: ما بلد إقامتك؟\nج: النرويج\nس: كم عمرك؟\nج: من 18 إلى 29 سنة\n"
         "س: هل أنت امرأة أم رجل؟\nج: امرأة\nس: ما مستواك التعليمي؟\nج: شهادة جامعية"),
    ],
)  # fmt: skip
def test_personas_by_hand(language: str, style: str, said: str) -> None:
    assert persona(SOMEBODY, WHOLE, style, language) == said


def test_every_country_and_education_of_every_block_has_words_in_every_language() -> None:
    survey = load_survey(list(BLOCKS), ["country", "country+education", "country+sex"], min_n=1)
    groups = {d.group for d in survey.distributions} | {Group(iso3(code)) for code in ("XKX", "TWN", "HKG", "PSE")}
    codes = read_codebook(shipped("wvs7")).persons["education"].codes
    assert codes
    groups |= {Group("NOR", education=level) for level in codes.values()}
    for language in languages():
        for group in groups:
            condition = "+".join(name for name in FIELDS if getattr(group, name))
            assert persona(group, condition, "biography", language)


def test_a_whole_prompt_in_chinese() -> None:
    renderer = Renderer(Asking(style="completion", language="zh"))
    prompt = renderer.survey(ITEM, (1, 0), Group("USA"), "country")
    assert prompt.text == (
        "你的任务是回答调查问卷中的问题。请只回复一个选项的字母。\n\n"
        "问题：是这样吗？\nA. 否\nB. 是\n\n我住在美国。\n\n回答："
    )
    first = Renderer(Asking(style="completion", language="zh", layout="persona_first"))
    assert first.survey(ITEM, (0, 1), Group("USA"), "country").text.startswith(
        "你的任务是回答调查问卷中的问题。请只回复一个选项的字母。我住在美国。\n\n问题："
    )


def test_what_has_no_words_is_refused_never_english() -> None:
    with pytest.raises(ValueError, match=r"prompt\.language must be one of .*'tlh'"):
        Asking(language="tlh")
    with pytest.raises(ValueError, match="item 'toy/x' has no wording in 'fr'; it has en, zh"):
        Renderer(Asking(style="completion", language="fr")).survey(ITEM, (0, 1), Group("NOR"), "country")
    with pytest.raises(ValueError, match=r"'de' has no words for education 'Abitur'.*de\.yaml"):
        persona(Group("NOR", education="Abitur"), "country+education", "biography", "de")
    with pytest.raises(ValueError, match="'zh' has no words for sex 'other'"):
        persona(Group("NOR", sex="other"), "sex", "biography", "zh")
    assert persona(Group("NOR", sex="other"), "sex") == "I am other."


def test_an_item_in_another_language_is_the_same_item() -> None:
    chinese = ITEM.in_language("zh")
    assert (chinese.id, chinese.question, chinese.options, chinese.language) == (
        "toy/x",
        "是这样吗？",
        ("是", "否"),
        "zh",
    )
    assert chinese.in_language("en") == ITEM
    assert chinese.languages == ("zh", "en")
    assert ITEM.in_language("en") is ITEM
    with pytest.raises(ValueError, match="two wordings in one language"):
        replace(ITEM, wordings=(*ITEM.wordings, *ITEM.wordings))
    with pytest.raises(ValueError, match="needs 2 different options in 'zh'"):
        replace(ITEM, wordings=(ItemWording("zh", "?", ("是",)),))
