"""The judge: scripted ones of known agreement and bias, and one that is really opened."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from data.models import ModelSpec
from data.prompts import Asking, OptionPrompt, Renderer
from eval.answer_store import AnswerStore
from eval.answers import Costs, Opened, OptionAnswer, TextAnswer, TextRequest
from eval.backends.in_process import InProcess
from eval.insensitivity.judge import Case, Judge, NoJudge, OpenJudge, SameJudge, position_effect

CASES = [Case("The reply: yes yes", ("Fine.", "Faulty.")), Case("The reply: no", ("Fine.", "Faulty."))]


class Scripted:
    """Gives the answer in the text `says(prompt)` the probability `p`, wherever it stands."""

    identity = "scripted"

    def __init__(self, says: Callable[[str], str], p: float = 0.9) -> None:
        self.costs, self.says, self.p = Costs(), says, p
        self.asked: list[str] = []

    def score(self, prompts: Sequence[OptionPrompt], progress: object = None) -> list[OptionAnswer]:
        self.asked += [prompt.text for prompt in prompts]
        return [self._answer(prompt.text) for prompt in prompts]

    def _answer(self, text: str) -> OptionAnswer:
        first = text.index("A. ") + 3
        shown_first = text[first:].startswith(self.says(text))
        return OptionAnswer(np.array([self.p, 1 - self.p] if shown_first else [1 - self.p, self.p]), 1.0)

    def generate(self, requests: Sequence[TextRequest], progress: object = None) -> list[TextAnswer]:
        raise NotImplementedError

    def perplexity(self, texts: Sequence[str]) -> float:
        raise NotImplementedError


class FirstPlace(Scripted):
    def __init__(self) -> None:
        super().__init__(lambda text: "", 1.0)


def opened(answerer: Scripted) -> OpenJudge:
    return OpenJudge(answerer, Renderer(Asking(style="completion")), "scripted")


def test_probabilities_are_of_the_second_answer_in_both_orders() -> None:
    judge = opened(Scripted(lambda text: "Faulty." if "yes" in text else "Fine."))
    np.testing.assert_allclose(judge.p_second(CASES), [[0.9, 0.9], [0.1, 0.1]])


def test_a_judge_that_looks_at_places_is_unmasked() -> None:
    p = opened(FirstPlace()).p_second(CASES)
    np.testing.assert_allclose(p, [[0, 1], [0, 1]])
    assert position_effect(p) == 1.0
    assert position_effect(np.array([[0.25, 0.25], [0.5, 1.0]])) == 0.25
    assert np.isnan(position_effect(np.empty((0, 2))))


def test_nothing_is_asked_for_no_cases() -> None:
    assert opened(FirstPlace()).p_second([]).shape == (0, 2)


@contextmanager
def audited(tiny_model: Path, tmp_path: Path) -> Iterator[tuple[Opened, AnswerStore]]:
    store = AnswerStore(tmp_path / "answers.sqlite")
    try:
        with Judge(ModelSpec(str(tiny_model)), InProcess()).open(tmp_path / "audited", store, _nobody()) as judge:
            assert judge is not None
            yield Opened(judge.answerer, judge.renderer, "weights"), store
    finally:
        store.close()


def _nobody() -> Opened:
    renderer = Renderer(Asking(style="completion"))
    return Opened(Scripted(str), renderer, "")


def test_a_judge_of_its_own_is_opened_and_its_answers_are_stored(tiny_model: Path, tmp_path: Path) -> None:
    with audited(tiny_model, tmp_path) as (variant, store):
        source = Judge(ModelSpec(str(tiny_model), name="tiny"), InProcess(), style="completion")
        with source.open(tmp_path / "judge", store, variant) as judge:
            assert judge is not None
            assert (judge.name, judge.itself) == ("tiny", False)
            first = judge.p_second(CASES)
        with source.open(tmp_path / "judge", store, variant) as judge:
            assert judge is not None
            again = judge.p_second(CASES)
            assert judge.answerer.costs.stored == 4
        np.testing.assert_allclose(again, first)
        assert ((first >= 0) & (first <= 1)).all()


def test_none_and_same(tiny_model: Path, tmp_path: Path) -> None:
    with audited(tiny_model, tmp_path) as (variant, store):
        with NoJudge().open(tmp_path, store, variant) as judge:
            assert judge is None
        with SameJudge().open(tmp_path, store, variant) as judge:
            assert judge is not None
            assert judge.answerer is variant.answerer
            assert judge.itself


def test_a_judge_needs_a_backend() -> None:
    with pytest.raises(ValueError, match=r"judge\.backend must be a backend"):
        Judge(ModelSpec("somewhere"), "transformers")
