"""The mean of permutations: the slow definition, no effect of places in any audit, and what it costs."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
import torch
from known_models import Model, context, even, people
from known_world import PEOPLE, PERSONS, SAMPLE_SIZE
from transformers import AutoModelForCausalLM, AutoTokenizer

from data.prompts import Asking, OptionPrompt, Renderer, in_any_order
from data.records import Split, Survey, Turn
from eval.answer_store import AnswerStore
from eval.answers import Asks, Costs, OptionAnswer, TextAnswer, TextRequest
from eval.backends.in_process import TransformersAnswerer
from eval.context import AuditContext
from eval.dilemmas.audit import EthicalDilemmas
from eval.diversity_enhanced.audit import DiversityEnhanced
from eval.first_token.audit import FirstToken
from eval.forecast import innermost, rehearse
from eval.interventions.permutations import MeanOfOrders, Permutations
from eval.mark.audit import Mark

NATIVE = Renderer(Asking("native"))
OPTIONS = ("Never", "Seldom", "Often", "Always")


@dataclass
class ByText:
    """Answers drawn by the prompt's text, and kept."""

    identity: str = "by text"
    costs: Costs = field(default_factory=Costs)
    asked: list[str] = field(default_factory=list)

    def score(self, prompts: Sequence[OptionPrompt], progress: Callable | None = None) -> list[OptionAnswer]:
        self.asked += [prompt.text for prompt in prompts]
        self.costs.prompts += len(prompts)
        for done in range(len(prompts)):
            if progress:
                progress(done + 1, len(prompts))
        return [drawn(prompt) for prompt in prompts]

    def generate(self, requests: Sequence[TextRequest], progress: Callable | None = None) -> list[TextAnswer]:
        return [TextAnswer(request.text[:3], "stop", 1) for request in requests]

    def perplexity(self, texts: Sequence[str]) -> float:
        return 7.0


def drawn(prompt: OptionPrompt) -> OptionAnswer:
    rng = np.random.default_rng(zlib.crc32(prompt.text.encode()))
    return OptionAnswer(rng.dirichlet(np.ones(len(prompt.labels))), float(rng.random()), float(rng.random()))


def question(order: Sequence[int], options: Sequence[str] = OPTIONS, about: str = "") -> OptionPrompt:
    return NATIVE.closed([Turn("system", "Answer.")], f"How often?{about}", [options[place] for place in order])


def test_which_orders() -> None:
    assert Permutations().orders(3) == [(0, 1, 2), (1, 2, 0), (2, 0, 1)]
    assert Permutations("both").orders(3) == [(0, 1, 2), (2, 1, 0)]
    assert Permutations(count=2).orders(4) == [(0, 1, 2, 3), (2, 3, 0, 1)]
    assert len(Permutations(count=9).orders(4)) == 4
    assert Permutations("both").orders(1) == Permutations().orders(1) == [(0,)]
    for wrong in ({"ways": "all"}, {"count": 1}, {"ways": "both", "count": 2}):
        with pytest.raises(ValueError, match=r"inference\.(ways|count) must be"):
            Permutations(**wrong)


@pytest.mark.parametrize("knobs", [{}, {"ways": "both"}, {"count": 3}])
@pytest.mark.parametrize("shown", [(0, 1, 2, 3), (2, 0, 3, 1)])
def test_the_mean_is_the_slow_definition(knobs: dict, shown: tuple[int, ...]) -> None:
    """Every order asked by itself, the probability of each option found by its words."""
    way = Permutations(**knobs)
    (answer,) = way.answerer(ByText()).score([question(shown)])
    each = []
    for places in way.orders(4):
        order = [shown[place] for place in places]
        found = drawn(question(order))
        each.append(({OPTIONS[o]: p for o, p in zip(order, found.probabilities, strict=True)}, found))
    for place, option in enumerate(shown):
        assert answer.probabilities[place] == pytest.approx(np.mean([by[OPTIONS[option]] for by, _ in each]))
    assert answer.option_mass == pytest.approx(np.mean([found.option_mass for _, found in each]))
    assert answer.missing_mass == pytest.approx(np.mean([found.missing_mass for _, found in each]))


def test_what_several_questions_share_is_asked_once_and_progress_counts_questions() -> None:
    inner, seen = ByText(), []
    shifts = [(0, 1, 2, 3), (1, 2, 3, 0), (2, 3, 0, 1), (3, 0, 1, 2)]
    answers = Permutations().answerer(inner).score([question(one) for one in shifts], lambda *done: seen.append(done))
    assert inner.costs.prompts == len(set(inner.asked)) == 4
    assert seen[-1] == (4, 4)
    by_option = [dict(zip(one, answer.probabilities, strict=True)) for one, answer in zip(shifts, answers, strict=True)]
    assert all(found == pytest.approx(by_option[0]) for found in by_option)


def test_a_prompt_without_an_order_is_asked_as_it_is_and_texts_are_not_touched() -> None:
    wrapped = Permutations().answerer(inner := ByText())
    bare = OptionPrompt("[]", ("Yes", "No"))
    assert wrapped.score([bare])[0].probabilities.tolist() == drawn(bare).probabilities.tolist()
    assert wrapped.score([]) == []
    assert [one.text for one in wrapped.generate([TextRequest("abcd")])] == ["abc"]
    assert wrapped.perplexity(["x"]) == 7.0
    assert isinstance(wrapped, Asks)
    assert innermost(wrapped) is inner
    wrapped.costs = Costs(prompts=5)
    assert inner.costs.prompts == 5
    others = [way.answerer(inner).identity for way in (Permutations("both"), Permutations(count=2))]
    assert len({wrapped.identity, inner.identity, *others}) == 4


def test_orders_of_orders_compose() -> None:
    made = in_any_order(lambda order: question(order), (1, 0, 3, 2))
    for first in permutations(range(4)):
        again = made.reorder(first)
        assert again.text == question([(1, 0, 3, 2)[place] for place in first]).text
        assert again.reorder((1, 2, 3, 0)).text == question([(1, 0, 3, 2)[first[p]] for p in (1, 2, 3, 0)]).text


def intervened(model: Model, survey: Survey = PEOPLE, way: Permutations | None = None) -> AuditContext:
    plain = context(model, survey)
    return replace(plain, answerer=(way or Permutations()).answerer(plain.answerer))


BIASED = Model("0.7 first place", people, 0.7)


def test_a_liking_for_the_first_place_leaves_first_token() -> None:
    biased = FirstToken(("country",), draws=20)
    before, after = (position(biased(one).estimates) for one in (context(BIASED), intervened(BIASED)))
    assert before > 0.3
    assert after == pytest.approx(0, abs=1e-9)


def test_a_liking_for_the_first_place_leaves_simulated_survey_takers() -> None:
    """Each of them is shown one order, and answers as if asked in all."""
    items = DiversityEnhanced(participants=3, draws=20).ask(intervened(BIASED)).items
    own = items[items["condition"] == "participants"]
    assert len({tuple(order) for order in own["order"]}) > 3
    for row in own.itertuples():
        assert row.p == pytest.approx(0.7 / len(row.q) + 0.3 * np.asarray(row.q), abs=1e-9)
    remembered = items[items["condition"] == "control:remembered"]
    copying = replace(BIASED, meaning=copy, bias=0.0)
    repeated = DiversityEnhanced(participants=3, draws=20).ask(intervened(copying)).items
    for row in repeated[repeated["condition"] == "control:remembered"].itertuples():
        assert row.p[row.told] == pytest.approx(1)  # who repeats what it said, whatever its letter, still does
    assert len(remembered)


def copy(asked: object) -> dict[str, float]:
    told = asked.told
    return {option: float(option == told) for option in asked.options} if told else even(asked)


def test_a_liking_for_the_first_place_leaves_dilemmas_dialogues_included() -> None:
    audit = EthicalDilemmas(draws=20, dilemmas=6, pressing_turns=2)
    before, after = (audit(one) for one in (context(BIASED), intervened(BIASED)))
    effects = [e for e in after.estimates if e.name == "position_effect"]
    assert len(effects) > 5
    assert max(e.value for e in before.estimates if e.name == "position_effect") > 0.2
    assert [e.condition for e in effects if not abs(e.value) < 1e-9] == []


def test_a_liking_for_the_first_place_leaves_mark() -> None:
    audit = Mark(draws=20, respondents=SAMPLE_SIZE)
    before, after = (position(audit(one).estimates) for one in (context(BIASED, PERSONS), intervened(BIASED, PERSONS)))
    assert before > 0.3
    assert after == pytest.approx(0, abs=1e-9)


def position(estimates: Sequence) -> float:
    return max(abs(one.value) for one in estimates if one.name == "position_effect")


AUDITS = (EthicalDilemmas(dilemmas=3, draws=20), FirstToken(("country",), draws=20), Mark(respondents=3, draws=20))


@pytest.mark.parametrize("audit", AUDITS)
def test_who_has_no_liking_for_places_answers_as_before(audit: object) -> None:
    survey = PERSONS if isinstance(audit, Mark) else PEOPLE
    perfect = Model("perfect", people)
    found = [audit(one) for one in (context(perfect, survey), intervened(perfect, survey))]
    plain, mean = ({(e.name, e.group, e.condition): e.value for e in one.estimates} for one in found)
    assert mean == pytest.approx(plain, abs=1e-6, nan_ok=True)  # distances are roots


@pytest.fixture
def tiny(tiny_model: Path, tiny_survey: Survey, tiny_split: Split, tmp_path: Path) -> AuditContext:
    model = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32).eval()
    renderer = Renderer(Asking(), AutoTokenizer.from_pretrained(tiny_model))
    inner = TransformersAnswerer(model, renderer, "w", AnswerStore(tmp_path / "answers.sqlite"))
    silent = lambda what: lambda done, total: None  # noqa: E731
    dilemmas = context(BIASED).dilemmas
    return AuditContext(MeanOfOrders(inner, Permutations()), renderer, tiny_survey, tiny_split, dilemmas, 0, 2, silent)


@pytest.mark.parametrize(
    "audit",
    [
        FirstToken(("country",), max_countries=1, seen_items=False),
        DiversityEnhanced(countries=1, participants=2, items=2, max_memory=0),
        EthicalDilemmas(conditions=("form:compare", "dialogue:pressing")),
        Mark(respondents=1, items=1),
    ],
)
def test_the_forecast_counts_what_is_then_asked_and_asking_again_is_free(tiny: AuditContext, audit: object) -> None:
    rehearsal = rehearse(audit, tiny)
    assert tiny.answerer.costs.prompts == 0
    audit.ask(tiny)
    costs = tiny.answerer.costs
    if not isinstance(audit, Mark):  # whose later stages depend on its answers
        assert rehearsal.forecast.prompts == costs.prompts
        assert rehearsal.forecast.prompt_tokens == costs.prompt_tokens
        assert rehearse(audit, tiny).forecast.stored == costs.prompts
    tiny.answerer.costs = Costs()
    audit.ask(tiny)
    assert tiny.answerer.costs.computed_tokens == 0
    assert tiny.answerer.costs.stored == costs.prompts
