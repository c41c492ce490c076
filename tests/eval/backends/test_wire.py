"""What replies say: labels among the listed tokens, and the bound of what is not listed."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.prompts import Asking, OptionPrompt, Renderer
from eval.backends.wire import Wire, label_answer, label_of


@given(
    weights=st.lists(st.floats(0.01, 50), min_size=8, max_size=30),
    shown=st.integers(1, 30),
    drawn=st.integers(0, 29),
)
def test_the_bound_holds_for_every_distribution_and_every_drawn_token(
    weights: list[float], shown: int, drawn: int
) -> None:
    p = np.array(weights) / sum(weights)
    names = [str(place) for place in range(len(p))]
    forms = [["0", "1"], ["2"], ["3", "no such token"]]
    order = np.argsort(-p)[:shown]
    one = drawn % len(p)
    answer = label_answer([(names[i], math.log(p[i])) for i in order], (names[one], math.log(p[one])), forms)
    true = np.array([p[0] + p[1], p[2], p[3]])
    assert answer.option_mass <= true.sum() + 1e-9
    assert true.sum() <= answer.option_mass + answer.missing_mass + 1e-9
    if answer.option_mass > 0:
        np.testing.assert_array_less(true, answer.probabilities * answer.option_mass + answer.missing_mass + 1e-9)
    else:
        assert np.isnan(answer.probabilities).all()


def test_label_answer_by_hand() -> None:
    top = [("A", math.log(0.5)), (" A", math.log(0.1)), ("B", math.log(0.2)), ("I", math.log(0.05))]
    answer = label_answer(top, ("zebra", math.log(0.01)), [["A", " A", "(A"], ["B", " B", "(B"], ["C", " C", "(C"]])
    np.testing.assert_allclose(answer.probabilities, [0.75, 0.25, 0])
    assert answer.option_mass == pytest.approx(0.8)
    assert answer.missing_mass == pytest.approx(min(1 - 0.86, 6 * 0.05))  # "(A", " B", "(B", "C", " C", "(C"


@pytest.mark.parametrize("untold", [-9999.0, None])
def test_a_drawn_label_whose_probability_is_not_told_counts_as_not_listed(untold: float | None) -> None:
    """OpenAI writes -9999 for a drawn token that is not among the most probable ones."""
    top = [{"token": "x", "logprob": math.log(0.7)}, {"token": "A", "logprob": math.log(0.2)}]
    first = {"token": "B", "logprob": untold, "top_logprobs": [*top, {"token": "y", "logprob": untold}]}
    wire, prompt = Wire("m", Renderer(Asking(style="native")), 2, {}), OptionPrompt("[]", ("A", "B"))
    answer = wire.read_options({"choices": [{"logprobs": {"content": [first]}}]}, prompt)
    told = wire.read_options(
        {"choices": [{"logprobs": {"content": [{**first, "token": "x", "logprob": -0.4}]}}]}, prompt
    )
    assert answer is not None
    assert told is not None
    assert answer.probabilities.tolist() == [1, 0]
    assert answer.missing_mass == told.missing_mass == pytest.approx(0.1)
    completions = {
        "tokens": ["B"],
        "token_logprobs": [untold],
        "top_logprobs": [{"x": math.log(0.7), "A": math.log(0.2)}],
    }
    wire = Wire("m", Renderer(Asking(style="completion")), 2, {})
    answer = wire.read_options({"choices": [{"logprobs": completions}]}, prompt)
    assert answer is not None
    assert answer.missing_mass == pytest.approx(0.1)


def test_log_probabilities_of_no_known_form_are_none() -> None:
    wire = Wire("m", Renderer(Asking(style="native")), 2, {})
    assert wire.read_options({"choices": [{"logprobs": [-0.1]}]}, OptionPrompt("[]", ("A", "B"))) is None


def test_labels_are_recognised_in_their_forms_only() -> None:
    assert [label_of(text, ("A", "B")) for text in ("A", " B", "(A", " (B", "AB", "a", "", "I")] == [
        0, 1, 0, 1, None, None, None, None,
    ]  # fmt: skip
