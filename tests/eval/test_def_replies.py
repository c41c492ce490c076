from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.prompts import LETTERS
from eval.diversity_enhanced.replies import UNPARSED, Reply, disclaims, first_sentence, read_reply

SCALE = ("Never", "Seldom", "Often", "Always")
NUMBERS = ("0 (no trust at all)", "1", "2", "3", "10 (complete trust)")
NESTED = ("Yes", "Yes, always", "No")
TEN = tuple(f"option {letter}" for letter in "abcdefghij")


@pytest.mark.parametrize(
    ("text", "options", "answer", "explanation"),
    [
        ("B", SCALE, 1, ""),
        (" (B) ", SCALE, 1, ""),
        ('"B"', SCALE, 1, ""),
        ("**B. Seldom**\n\nBecause it is so.", SCALE, 1, "Because it is so."),
        ("B. Seldom. Because.", SCALE, 1, "Because."),
        ("B Seldom", SCALE, 1, ""),
        ("B - because", SCALE, 1, "because"),
        ("A, because I say", SCALE, 0, "because I say"),
        ("A because I say", SCALE, 0, "because I say"),
        ("B. And I think C is bad", SCALE, 1, "And I think C is bad"),
        ("B because A is wrong", SCALE, 1, "because A is wrong"),
        ("Answer: B. Seldom", SCALE, 1, ""),
        ("Option C: because", SCALE, 2, "because"),
        ("The answer is C.", SCALE, 2, ""),
        ("My answer is: (D) because", SCALE, 3, "because"),
        ("I would choose Often, as it is", SCALE, 2, "as it is"),
        ("seldom", SCALE, 1, ""),
        ("Often. Never mind.", SCALE, 2, "Never mind."),
        ("1", NUMBERS, 1, ""),
        ("10", NUMBERS, 4, ""),
        ("0. No trust", NUMBERS, 0, "No trust"),
        ("B. 1", NUMBERS, 1, ""),
        ("Yes, always.", NESTED, 1, ""),
        ("Yes, because", NESTED, 0, "because"),
        ("I. Because", TEN, 8, "Because"),
        ("I chose option A", SCALE, 0, ""),
        ("I've chosen B, since", SCALE, 1, "since"),
        ("I have selected option B because", SCALE, 1, "because"),
        ("We went with C.", SCALE, 2, ""),
        ("I'll pick D.", SCALE, 3, ""),
        ("I am choosing Often.", SCALE, 2, ""),
        ("I would not choose A. I choose B.", SCALE, 1, ""),
        ("I chose A over B", SCALE, 0, "over B"),
        ("I chose option A instead of B.", SCALE, 0, "instead of B."),
        ("Option B is my choice", SCALE, 1, "is my choice"),
        ("B. Seldom. I chose option B", SCALE, 1, "I chose option B"),
        ("No, never.", NESTED, 2, "never."),
        ("No I do not", NESTED, 2, "I do not"),
    ],
)
def test_what_names_one_option(text: str, options: tuple[str, ...], answer: int, explanation: str) -> None:
    assert read_reply(text, options) == Reply(answer, LETTERS[answer], explanation)


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("", SCALE),
        ("b.", SCALE),  # a lower-case letter may be any word's beginning
        ("A person should never", SCALE),
        ("The answer is A person", SCALE),
        ("I think it is so", TEN),
        ("I, as a person, agree", TEN),
        ("E. Sometimes", SCALE),
        ("B) Often", SCALE),
        ("A Seldom", SCALE),
        ("A. 1", NUMBERS),
        ("A or B", SCALE),
        ("A/B", SCALE),
        ("A. B.", SCALE),
        ("B, C", SCALE),
        ("Never or seldom", SCALE),
        ("Yes and no", NESTED),
        ("A. Never\nB. Seldom\nC. Often", SCALE),
        ("The answer is not B.", SCALE),
        ("None of these", SCALE),
        ("Seldomly", SCALE),
        ("As an AI, B.", SCALE),
        ("A. Never. I chose option B.", SCALE),
        ("I chose the first option", SCALE),
        ("I chose not to answer", SCALE),
        ("I did not choose A.", SCALE),
        ("A person chose B", SCALE),
        ("I chose A and B", SCALE),
        ("I chose option E", SCALE),
        ("No one should", NESTED),
        ("1.5", NUMBERS),
        ("2-3", NUMBERS),
        ("10%", NUMBERS),
    ],
)
def test_what_names_none_or_several_is_unparsed(text: str, options: tuple[str, ...]) -> None:
    assert read_reply(text, options) == Reply(UNPARSED, "", text)


@given(
    st.integers(2, 26).flatmap(lambda k: st.tuples(st.just(k), st.integers(0, k - 1))), st.sampled_from([".", ")", ":"])
)
def test_letter_and_text_are_read_back(case: tuple[int, int], mark: str) -> None:
    options = tuple(f"choice {number}" for number in range(case[0]))
    found = read_reply(f"{LETTERS[case[1]]}{mark} {options[case[1]]}. It is what people here think.", options)
    assert found == Reply(case[1], LETTERS[case[1]], "It is what people here think.")


@given(st.text(), st.sampled_from([SCALE, NUMBERS, NESTED, TEN]))
def test_any_text_can_be_read(text: str, options: tuple[str, ...]) -> None:
    found = read_reply(text, options)
    assert -1 <= found.answer < len(options)
    assert (found.letter == "") == (found.answer == UNPARSED)


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("B. Seldom. Because x.", "B. Seldom."),
        ("B", "B"),
        ("B.\nBecause of that. And so on.", "B.\nBecause of that."),
        ("It is 3.5 per cent. No.", "It is 3.5 per cent."),
        ("Yes! No.", "Yes!"),
        ("第一句。第二句。", "第一句。"),
        ("", ""),
    ],
)
def test_first_sentence(text: str, first: str) -> None:
    assert first_sentence(text) == first


@pytest.mark.parametrize(
    "text",
    [
        "As an AI, I cannot say.",
        "B. As a language model I have no view.",
        "I'm just an AI",
        "I am a large language model",
        "I don't have personal opinions",
        "I do not have any feelings",
        "I was developed by Hugging Face",
        "I'm an AI assistant made by OpenAI",
        "I don't have any personal opinion",
        "I don't have personal experiences, as I am a program",
        "I do not have feelings or opinions",
    ],
)
def test_a_machine_speaks(text: str) -> None:
    assert disclaims(text)


@pytest.mark.parametrize(
    "text",
    [
        "B. Aid is needed.",
        "As a person of faith",
        "I am a Norwegian",
        "I do not have money",
        "AI will take our jobs",
        "I don't have any personal experience with the police",
        "I do not have personal freedom here",
        "I don't have my own house",
        "I don't have any opinions on that",
        "I work as a machine operator",
        "Robots developed by Google scare me",
    ],
)
def test_a_person_speaks(text: str) -> None:
    assert not disclaims(text)
