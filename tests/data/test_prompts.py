"""Prompts as text, option orders, and the tokens that stand for option labels."""

from __future__ import annotations

import hashlib
import itertools
from pathlib import Path

import pycountry
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.countries import iso3
from data.models import load_tokenizer
from data.options import OptionTokens
from data.personas import PERSONAS, persona
from data.prompts import LAYOUTS, Asking, Renderer, lettered, orders
from data.records import Group, Item, Turn

ITEM = Item("toy/x", "Is it so?", ("Yes", "No", "Perhaps"), False, "toy")
NORWAY = Group("NOR", age="18-29")


def test_chat_prompt_is_the_template_and_ends_where_the_model_speaks(tiny_model: Path) -> None:
    renderer = Renderer(Asking(persona="portrayal"), load_tokenizer(tiny_model))
    prompt = renderer.survey(ITEM, (2, 0, 1), NORWAY, "country+age")
    assert prompt.labels == ("A", "B", "C")
    assert prompt.text == (
        "<|im_start|>system\nYou answer survey questions. Reply with the letter of one option only.<|im_end|>\n"
        "<|im_start|>user\nIs it so?\nA. Perhaps\nB. Yes\nC. No\n\n"
        "Answer as a person who lives in Norway and is 18 to 29 years old would.<|im_end|>\n<|im_start|>assistant\n"
    )


def test_completion_style_and_persona_first() -> None:
    renderer = Renderer(Asking(style="completion", layout="persona_first", persona="biography"))
    text = renderer.survey(ITEM, (0, 1, 2), Group("USA", sex="female"), "country+sex").text
    assert text.startswith("You answer survey questions.")
    assert "I live in the United States. I am a woman." in text.split("Question:")[0]
    assert text.endswith("A. Yes\nB. No\nC. Perhaps\n\nAnswer:")


def test_a_persona_needs_the_facts_it_states() -> None:
    assert persona(NORWAY, "none") == ""
    assert persona(NORWAY, "country+age") == "I live in Norway. I am 18 to 29 years old."
    with pytest.raises(ValueError, match="needs 'sex'"):
        persona(NORWAY, "country+sex")


def test_wrong_knobs_are_named() -> None:
    with pytest.raises(ValueError, match=r"prompt\.style must be one of .*'chatty'"):
        Asking(style="chatty")


def test_chat_without_a_template_is_refused() -> None:
    with pytest.raises(ValueError, match="no chat template"):
        Renderer(Asking(style="chat"), None)


def test_two_beginnings_of_sequence_are_refused(tiny_model: Path) -> None:
    renderer = Renderer(Asking(), load_tokenizer(tiny_model))
    with pytest.raises(ValueError, match="two beginning-of-sequence"):
        renderer.encode(["<|im_start|><|im_start|>system\n"])


@given(st.integers(2, 12), st.booleans())
def test_orders_are_permutations_the_own_order_first(options: int, ordered: bool) -> None:
    found = orders(options, ordered, rotate_scales=True)
    assert found[0] == tuple(range(options))
    assert all(sorted(order) == list(range(options)) for order in found)
    assert len(set(found)) == len(found)
    if options <= 5:  # every option stands at every place equally often
        for place in range(options):
            at = [order[place] for order in found]
            assert {at.count(option) for option in range(options)} == {len(found) // options}
    else:
        assert len(found) == 4


def test_reversals_of_an_ordered_scale() -> None:
    assert orders(3, True) == [(0, 1, 2), (2, 1, 0)]
    assert orders(11, True) == [tuple(range(11)), tuple(range(10, -1, -1))]
    every = orders(3, True, rotate_scales=True)
    assert every == [(0, 1, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0), (0, 2, 1), (1, 0, 2)]
    assert orders(2, True) == [(0, 1), (1, 0)]
    assert orders(10, True, rotate_scales=True)[2] == tuple(range(9, -1, -1))


def test_more_options_than_letters_are_refused() -> None:
    with pytest.raises(ValueError, match="at most 26"):
        lettered("?", [str(i) for i in range(27)])


def test_option_tokens_sum_the_one_token_forms(tiny_model: Path) -> None:
    tokenizer = load_tokenizer(tiny_model)
    prompt = Renderer(Asking(), tokenizer).survey(ITEM, (0, 1, 2), NORWAY, "none").text
    found = OptionTokens(tokenizer)(prompt, ("A", "B", "C"))
    for label, ids in zip("ABC", found, strict=True):
        assert {tokenizer.decode([i]).strip(" (") for i in ids} == {label}
    flat = [i for ids in found for i in ids]
    assert len(flat) == len(set(flat))


def test_labels_of_several_tokens_are_refused(tiny_model: Path) -> None:
    with pytest.raises(ValueError, match="no single token"):
        OptionTokens(load_tokenizer(tiny_model))("Answer:", ("Zyx", "B"))


def test_an_assistant_turn_is_part_of_the_history(tiny_model: Path) -> None:
    renderer = Renderer(Asking(), load_tokenizer(tiny_model))
    text = renderer.dialogue([Turn("user", "Hi"), Turn("assistant", "Hello"), Turn("user", "Bye")])
    assert text.count("<|im_start|>assistant\n") == 2


def test_english_prompts_are_what_they_were() -> None:
    """Every country, persona style and layout, to the byte: variants trained on them are compared with later ones."""
    total = hashlib.sha256()
    for style, layout, persona_style in itertools.product(("completion", "native"), LAYOUTS, PERSONAS):
        renderer = Renderer(Asking(style=style, layout=layout, persona=persona_style))
        for country in sorted({iso3(country.alpha_3) for country in pycountry.countries} | {"XKX"}):
            for condition in ("none", "country", "country+age", "country+age+sex+education"):
                for age, sex in (("18-29", "male"), ("50+", "female")):
                    group = Group(country, age, sex, "university degree")
                    total.update(renderer.survey(ITEM, (2, 0, 1), group, condition).text.encode())
        turns = [Turn("system", "s"), Turn("user", "u"), Turn("assistant", "a"), Turn("user", "v")]
        total.update(renderer.dialogue(turns).encode())
    assert total.hexdigest() == "436b583280106493cbd02c6d0573884d159d892f9b15fef8fa6a39578bab00f9"
