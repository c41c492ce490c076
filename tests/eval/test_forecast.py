from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from data.prompts import Asking, OptionPrompt, Renderer
from data.records import Split, Survey, Turn
from eval.answer_store import AnswerStore
from eval.answers import TextRequest
from eval.backends.in_process import TransformersAnswerer
from eval.context import AuditContext
from eval.forecast import Forecast, instance, rehearse

SCHEMA = {
    "type": "object",
    "properties": {
        "reason": {"type": "string", "minLength": 3},
        "stress": {"type": "integer", "minimum": 10, "maximum": 100},
        "letter": {"enum": ["B", "C"]},
        "more": {"type": "array", "items": {"type": "boolean"}, "minItems": 2},
        "left out": {"type": "null"},
    },
    "required": ["reason", "stress", "letter", "more"],
}


@dataclass(frozen=True)
class Asks:
    """An audit that asks fixed things."""

    prompts: tuple[OptionPrompt, ...]
    requests: tuple[TextRequest, ...] = ()

    def ask(self, context: AuditContext) -> list[str]:
        context.answerer.score(self.prompts, context.progress("options"))
        return [text.text for text in context.answerer.generate(self.requests, context.progress("texts"))]


def ignore(what: str) -> Callable[[int, int], None]:
    return lambda done, total: None


@pytest.fixture
def answerer(tiny_model: Path, tmp_path: Path) -> TransformersAnswerer:
    model = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32).eval()
    renderer = Renderer(Asking(), AutoTokenizer.from_pretrained(tiny_model))
    return TransformersAnswerer(model, renderer, "w", AnswerStore(tmp_path / "answers.sqlite"))


@pytest.fixture
def context(answerer: TransformersAnswerer, tiny_survey: Survey, tiny_split: Split) -> AuditContext:
    return AuditContext(answerer, answerer.renderer, tiny_survey, tiny_split, (), 0, None, ignore)


def prompts(renderer: Renderer, endings: Sequence[str]) -> tuple[OptionPrompt, ...]:
    return tuple(
        renderer.closed((), f"Is it ever justified to accept a bribe? {end}", ("Yes", "No")) for end in endings
    )


def test_the_forecast_is_what_asking_then_costs(context: AuditContext, answerer: TransformersAnswerer) -> None:
    audit = Asks(prompts(context.renderer, ["Perhaps", "Never", "Always"]))
    rehearsal = rehearse(audit, context)
    assert rehearsal is not None
    assert answerer.costs.prompts == 0
    audit.ask(context)
    forecast, costs = rehearsal.forecast, answerer.costs
    assert forecast.prompts == costs.prompts == 3
    assert forecast.prompt_tokens == costs.prompt_tokens
    assert forecast.distinct_tokens == costs.computed_tokens < forecast.prompt_tokens
    assert forecast.stored == 0
    again = rehearse(audit, context)
    assert again is not None
    assert again.forecast.stored == 3
    assert "3 answered before" in again.forecast.sentence


def test_texts_are_counted_by_the_most_they_may_have(context: AuditContext, answerer: TransformersAnswerer) -> None:
    requests = tuple(
        TextRequest(
            context.renderer.dialogue([Turn("user", "Who should decide about the road?")]), max_tokens=n, repeat=n
        )
        for n in (3, 4)
    )
    rehearsal = rehearse(Asks((), requests), context)
    assert rehearsal is not None
    assert (rehearsal.forecast.texts, rehearsal.forecast.generated_tokens) == (2, 7)
    Asks((), requests).ask(context)
    again = rehearse(Asks((), requests), context)
    assert again is not None
    assert again.forecast.stored == 2


def test_the_pace_is_positive_and_stores_nothing(context: AuditContext, answerer: TransformersAnswerer) -> None:
    asked = prompts(context.renderer, ["Perhaps", "Never"])
    scored, written = answerer.pace(
        asked,
        [TextRequest(context.renderer.dialogue([Turn("user", "Who should decide about the road?")]), max_tokens=40)],
    )
    assert scored > 0
    assert written > 0 or written != written  # a text may end at once
    assert answerer.costs.prompts == answerer.costs.texts == 0
    assert answerer.pace([], [TextRequest(asked[0].text, max_tokens=40)])[0] > 0  # prompts of texts are computed too
    rehearsal = rehearse(Asks(asked), context)
    assert rehearsal is not None
    assert rehearsal.forecast.stored == 0


def test_an_audit_without_ask_has_no_forecast(context: AuditContext) -> None:
    assert rehearse(object(), context) is None


def test_time_is_that_of_what_is_not_stored() -> None:
    forecast = Forecast(8, 2, 5, 900, 600, 200, True)
    assert forecast.seconds((100.0, 50.0)) == pytest.approx((6 + 4) / 2)
    assert Forecast(8, 0, 0, 900, 600, 0, True).seconds((100.0, float("nan"))) == pytest.approx(6)


def test_time_with_texts_is_a_bound_and_says_so() -> None:
    assert Forecast(8, 2, 5, 900, 600, 200, True).about == "at most about"
    assert Forecast(8, 0, 0, 900, 600, 0, True).about == "about"


def test_without_a_tokenizer_tokens_are_counted_from_letters(context: AuditContext) -> None:
    renderer = Renderer(Asking(style="native"))
    audit = Asks((OptionPrompt("x" * 400, ("A", "B")),))
    plain = AuditContext(context.answerer, renderer, context.survey, context.split, (), 0, None, ignore)
    rehearsal = rehearse(audit, plain)
    assert rehearsal is not None
    assert rehearsal.forecast.prompt_tokens == 100
    assert "about 100 prompt tokens" in rehearsal.forecast.sentence


def test_a_smallest_instance_fulfils_its_schema(context: AuditContext, answerer: TransformersAnswerer) -> None:
    made = instance(SCHEMA)
    assert made == {"reason": "xxx", "stress": 10, "letter": "B", "more": [True, True]}
    with pytest.raises(ValueError, match="no smallest value"):
        instance({"type": "unheard of"})
    request = TextRequest(
        context.renderer.dialogue([Turn("user", "Who should decide about the road?")]), schema=json.dumps(SCHEMA)
    )
    rehearsal = rehearse(Asks((), (request,)), context)
    assert rehearsal is not None
    assert Asks((), (request,)).ask(
        AuditContext(rehearsal, context.renderer, context.survey, context.split, (), 0, None, ignore)
    ) == [json.dumps(made)]
