"""Rules on replies by hand: on each axis what is found, what is let pass, and what is left open."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.demonyms import nationality
from data.labelled import AXES, load_labelled
from eval.diversity_enhanced.replies import read_reply
from eval.insensitivity.claims import claims
from eval.insensitivity.noise import function_words, repeated
from eval.insensitivity.rules import RULES
from eval.insensitivity.text import Reply, begins_with, quoted

OPTIONS = ("Too much", "Too little", "About the right amount")
SCALE = ("1 (never justifiable)", "2", "3", "10 (always justifiable)")
QUESTION = "Do you think that the government does too much or too little for people in poverty in this country?"
EARLIER = "Can people be trusted?\nA. Most people can be trusted\nB. You can never be too careful"


def reply(
    text: str, options: tuple[str, ...] = OPTIONS, memory: tuple[tuple[str, str], ...] = (), **more: str
) -> Reply:
    read = read_reply(text, options)
    facts = {"country": "NOR", "place": "Hamar", "question": QUESTION} | more
    return Reply(options=options, reply=text, letter=read.letter, explanation=read.explanation, memory=memory, **facts)


CASES = {
    "instruction": {
        "insensitive": [
            "",
            "B. Too little",
            "I do not want to say.",
            "A. Too much\nB. Too little",
            "I choose option B.",
        ],
        "sensitive": ["B. I think that families in my street cannot pay their rent any more."],
        "undecided": ["B. Rents went up."],
    },
    "question_capture": {
        "insensitive": ["", "B. 7", "qua lorem bist vol ark den fosh gral mip toro vesk pan dult oriv"],
        "sensitive": ["B. Too little", "A. The government forgets that poverty is growing."],
        "undecided": ["B. My sister has no work."],
    },
    "role_play": {
        "insensitive": [
            "A. As an AI language model, I cannot say.",
            "B. I'm a chatbot.",
            "B. I don't have personal opinions.",
            "B. As an American I would say so.",
            "B. I live in Sweden and see it daily.",
            "The correct answer is B.",
        ],
        "sensitive": ["B. Too little", "B. Here in Norway many are poor.", "B. As a Norwegian I see it every day."],
        "undecided": [
            "B. Artificial intelligence takes our jobs.",
            "B. Unlike an American, I have a right to help.",
            "B. I am not Swedish, but they do better.",
            "B. They speak English and nobody helps them.",
        ],
    },
    "value_conflict": {
        "insensitive": ["A. Too little", "I choose option A: too little.", "A. I would choose option B."],
        "sensitive": ["B. Too little", "B. too LITTLE."],
        "undecided": ["B. They get more than enough already."],
        "not applicable": ["It depends on who you ask.", "B."],
    },
    "false_facts": {
        "insensitive": [
            "D. Far too little",
            "B. Too little\nA. About the right amount",
            "B. Hamar, Sweden is a poor town.",
            "B. As I said before, they need help.",
            "B. All four options are bad.",
        ],
        "sensitive": ["B. Too little"],
        "undecided": ["B. In Hamar, Norway, we see it.", "B. All three options are bad.", "B. Two options are bad."],
    },
    "irrelevance": {
        "insensitive": [
            "B. It is too little. It is too little. It is too little. It is too little. It is too little.",
            "B. Я не знаю, что сказать об этом",
            "B. See https://example.org for more.",
            "B. Too little\nC. About the right amount\nA. Too much",
        ],
        "sensitive": ["B. Too little", "B. The government forgets that poverty is growing."],
        "undecided": ["My sister has no work."],
    },
}


@pytest.mark.parametrize(
    ("axis", "verdict", "text"),
    [(axis, verdict, text) for axis, found in CASES.items() for verdict, texts in found.items() for text in texts],
)
def test_by_hand(axis: str, verdict: str, text: str) -> None:
    found = RULES[axis](reply(text))
    assert found.verdict == verdict, found
    assert found.reason or verdict == "undecided"


def test_a_memory_makes_an_earlier_answer_true_and_another_question_known() -> None:
    memory = ((EARLIER, "B. You can never be too careful."),)
    assert RULES["false_facts"](reply("B. As I said before, they need help.", memory=memory)).verdict == "undecided"
    found = RULES["question_capture"](reply("B. One can never tell: you can never be too careful.", memory=memory))
    assert (found.verdict, found.reason) == (
        "insensitive",
        'answers an earlier question: "You can never be too careful"',
    )


def test_numbers_of_a_scale_count_only_where_an_answer_stands() -> None:
    assert quoted("B. 2", SCALE) == (1,)
    assert quoted("I have 2 children", SCALE) == ()
    assert quoted("It is never justifiable.", SCALE) == (0,)
    assert RULES["value_conflict"](reply("A. 3", SCALE)).verdict == "insensitive"
    assert RULES["value_conflict"](reply("C. 3", SCALE)).verdict == "sensitive"


def test_a_longer_option_hides_a_shorter_one_within_it() -> None:
    options = ("Agree", "Strongly agree", "Disagree", "Very good or fairly good")
    assert quoted("I strongly agree", options) == (1,)
    assert begins_with("Very good, I would say", options) == 3
    assert begins_with("Very bad", options) is None


def test_who_claims_to_be_from_where() -> None:
    assert nationality("norwegians") == ("NOR",)
    assert nationality("Christian") == ()
    assert [codes for codes, _ in claims("I live in Hamar in Norway.")] == [("NOR",)]
    assert claims("I live in a small house. As an English speaker I read a lot.") == []


def test_noise_by_hand() -> None:
    assert repeated("a b c a b c a b c a b c") == pytest.approx(1 - 3 / 10)
    assert repeated("a b c a b c") == 0.0
    assert function_words("it is not the dog") == pytest.approx(4 / 5)


@given(st.sampled_from(load_labelled()), st.sampled_from(AXES), st.integers(1, 3), st.booleans())
def test_blanks_and_quotes_change_nothing(one: object, axis: str, blanks: int, curly: bool) -> None:
    row = dict(one.row)  # type: ignore[attr-defined]
    before = RULES[axis](Reply.of(row)).verdict
    for name in ("reply", "explanation"):
        text = row[name].replace(" ", " " * blanks) + " " * blanks
        row[name] = text.replace("'", "’") if curly else text
    assert RULES[axis](Reply.of(row)).verdict == before


@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize("change", [str.upper, str.lower])
def test_case_of_what_follows_the_letter_changes_nothing(axis: str, change: object) -> None:
    for verdict, texts in CASES[axis].items():
        for text in texts:
            if text.startswith("B. ") and "\n" not in text and not any(word in text for word in ("Norway", "Sweden")):
                other = f"B. {change(text[3:])}"  # type: ignore[operator]
                if axis == "instruction" or "option" not in text.casefold():
                    assert RULES[axis](reply(other)).verdict == verdict, other


def test_in_other_languages_only_structure_decides() -> None:
    found = reply("B. La pobreza crece y el gobierno no hace nada por los pobres de este país", language="es")
    assert RULES["irrelevance"](found).verdict == "undecided"
    assert RULES["instruction"](reply("", language="es")).verdict == "insensitive"


def test_rows_in_another_form_are_refused() -> None:
    row = dict(load_labelled()[0].row)
    with pytest.raises(ValueError, match="column 'memory' holds"):
        Reply.of(row | {"memory": json.dumps(["a question"])})
    with pytest.raises(ValueError, match="lack the column 'letter'"):
        Reply.of({name: value for name, value in row.items() if name != "letter"})


def test_what_is_denied_is_not_declared() -> None:
    assert reply("I would not choose option A. I choose B.").declared == ("B",)
    assert reply("I didn't pick C. I chose A.").declared == ("A",)
    assert reply("I choose A. My answer is B.").declared == ("A", "B")
