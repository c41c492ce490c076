"""N-grams of held-out questions in training text: found where they are the question's own, quiet on shared frames."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.leaks import Guard, find_leaks, refuse_leaks, tokens
from data.prompts import Asking, Renderer
from data.records import Group, Item, ItemWording

FRAME = "Please say whether you think the following can always be justified or never be justified"
BRIBE = Item(
    "w/bribe",
    f"{FRAME}: someone accepting a bribe in the course of their public duties.",
    ("Never", "Always"),
    True,
    "w",
    wordings=(ItemWording("zh", "您认为公务员在履行职责时接受贿赂在任何情况下是否可以被接受", ("从不", "总是")),),
)
FARE = Item("w/fare", f"{FRAME}: avoiding a fare on public transport.", ("Never", "Always"), True, "w")
SHORT = Item("w/short", "Can most people be trusted?", ("Yes", "No"), False, "w")
TINY = Item("w/tiny", "Happy now?", ("Yes", "No"), False, "w")


def test_a_shared_n_gram_is_found_whatever_case_and_punctuation() -> None:
    text = "Well -- ACCEPTING a bribe; in the course of THEIR “public” duties, is that so bad?"
    (leak,) = find_leaks(["nothing here", text], [BRIBE, SHORT])
    assert leak == (1, "w/bribe", "accepting a bribe in the course of their")
    assert not find_leaks(["accepting a bribe in the course of my duties"], [BRIBE], n=8)
    assert find_leaks(["accepting a bribe in the course of my duties"], [BRIBE], n=7)


def test_frames_that_training_may_show_make_no_alarm() -> None:
    prompt = Renderer(Asking(style="completion")).survey(FARE, (0, 1), Group("NOR"), "country").text
    assert find_leaks([prompt], [BRIBE])[0].words == "please say whether you think the following can"
    Guard((BRIBE, SHORT), (FARE,)).refuse([prompt], "training prompt")
    with pytest.raises(ValueError, match=r"prompt 2 shares 'someone accepting a bribe.*held-out item 'w/bribe'"):
        Guard((BRIBE,), (FARE,)).refuse([prompt, BRIBE.question.replace(FRAME, "I think")], "prompt")


def test_short_questions_as_a_whole_and_the_shortest_not_at_all() -> None:
    assert find_leaks(["I ask: can most people be TRUSTED, or not?"], [SHORT, TINY]) == [
        (0, "w/short", "can most people be trusted")
    ]
    assert not find_leaks(["Are you happy now?"], [TINY])


def test_every_language_counts_and_chinese_by_characters() -> None:
    (leak,) = find_leaks(["有人问我，公务员在履行职责时，接受贿赂在任何情况下是否可以。"], [BRIBE])
    assert (leak.item, leak.words) == ("w/bribe", "公务员在履行职责时接受贿赂在任何")
    assert not find_leaks(["公务员在履行职责时应当廉洁"], [BRIBE])
    assert tokens("Où est-il? 接受X") == ["ou", "est", "il", "接", "受", "x"]


def test_characters_that_nobody_sees_hide_no_words() -> None:
    for hidden in ("\u00ad", "\u200b", "\u2060"):
        assert find_leaks([f"accepting a br{hidden}ibe in the course of their public duties"], [BRIBE])
    assert find_leaks(["can\u00a0most\u2009people\nbe trusted"], [SHORT])


def test_words_with_vowel_signs_are_words() -> None:
    assert [len(tokens(text)) for text in ("क्या अधिकांश लोगों पर भरोसा", "பெரும்பாலான மக்களை நம்பலாமா", "هَلْ يُمْكِنُ")] == [5, 3, 2]
    hindi = Item("w/hi", "क्या अधिकांश लोगों पर भरोसा किया जा सकता है या सावधान रहना चाहिए?", ("हाँ", "नहीं"), False, "w")
    assert find_leaks([f"उसने पूछा, {hindi.question}"], [hindi])
    assert not find_leaks(["क्या अधिकांश लोगों पर कर लगता है?"], [hindi]), "four common words are no leak"


def test_the_message_names_text_item_and_number() -> None:
    text = "x " * 60 + BRIBE.question
    with pytest.raises(
        ValueError, match=r"pair 1 shares 'please say.*'w/bribe'.*x x x.*\.\.\..*; 1 more such"
    ) as caught:
        refuse_leaks([text, SHORT.question], [BRIBE, SHORT], what="pair")
    assert len(str(caught.value)) < 400
    with pytest.raises(ValueError, match="n must be at least 2"):
        find_leaks([], [], n=1)


@given(before=st.text(max_size=30), after=st.text(max_size=30))
def test_a_question_is_found_wherever_it_stands(before: str, after: str) -> None:
    for item in (BRIBE, SHORT):
        assert [leak.item for leak in find_leaks([f"{before} {item.question} {after}"], [item])] == [item.id]


def test_ten_thousand_texts_against_three_hundred_items_take_seconds() -> None:
    words = [f"w{number}" for number in range(500)]
    items = [
        Item(f"i/{k}", " ".join(words[(7 * k + j * j) % 500] for j in range(20)), ("a", "b"), False, "i")
        for k in range(300)
    ]
    texts = [" ".join(words[(3 * k + 11 * j) % 500] for j in range(100)) for k in range(10_000)]
    texts[9_999] += " " + items[299].question
    start = time.process_time()
    found = find_leaks(texts, items)
    assert time.process_time() - start < 8
    assert (9_999, "i/299") in {(leak.text, leak.item) for leak in found}
