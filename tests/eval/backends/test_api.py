"""The API backend over real HTTP on loopback, against a server with true log-probabilities."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from data.models import ModelSpec, load_model, load_tokenizer
from data.prompts import Asking, OptionPrompt, Renderer
from data.records import Group, Survey
from eval.answers import TextRequest
from eval.backends.api import OpenAICompatible
from eval.backends.in_process import TransformersAnswerer

ALL = 100_000  # more than the whole vocabulary


@pytest.mark.parametrize("style", ["native", "completion"])
def test_with_the_whole_vocabulary_answers_equal_the_engines(
    asked: Any, opened: Any, tiny_survey: Survey, model: Path, style: str
) -> None:
    renderer = Renderer(Asking(style="chat" if style == "native" else style), load_tokenizer(model))
    engine = TransformersAnswerer(load_model(model, torch.float32), renderer, "weights")
    own = asked(tiny_survey, "chat" if style == "native" else style, model)
    subject = opened(style, top_logprobs=ALL)
    for mine, true in zip(subject.score(asked(tiny_survey, style, model)), engine.score(own), strict=True):
        np.testing.assert_allclose(mine.probabilities, true.probabilities, atol=1e-4)
        assert mine.option_mass == pytest.approx(true.option_mass, abs=1e-4)
        # tokens that are no whole character look alike as text, and a completions reply has them once
        assert mine.missing_mass < (1e-9 if style == "native" else 0.05)
    assert subject.costs.truncated == 0
    assert subject.costs.prompt_tokens == sum(map(len, renderer.encode([prompt.text for prompt in own])))


@pytest.mark.parametrize("top", [1, 3, 60])
def test_what_a_short_list_hides_is_bounded_and_counted(
    opened: Any, prompts: list[OptionPrompt], exact: list[Any], top: int
) -> None:
    subject = opened(top_logprobs=top)
    answers = subject.score(prompts)
    for mine, true in zip(answers, exact, strict=True):
        raw = true.probabilities * true.option_mass
        assert mine.option_mass <= true.option_mass + 1e-6
        assert true.option_mass <= mine.option_mass + mine.missing_mass + 1e-6
        assert (raw <= mine.probabilities * mine.option_mass + mine.missing_mass + 1e-6).all()
    unseen = [(answer.probabilities == 0).any() for answer in answers]
    assert subject.costs.truncated == sum(unseen)
    assert any(unseen) == (top < 60)
    assert subject.costs.missing_mass == max(answer.missing_mass for answer in answers) > 0


def test_a_prompt_answered_with_none_of_its_labels_is_an_error_after_all_were_asked(server: Any, opened: Any) -> None:
    text = json.dumps([{"role": "user", "content": "Is it justified?"}])
    prompts = [OptionPrompt(text, ("A", "B")), OptionPrompt(text, ("Q", "R"))]
    with pytest.raises(ValueError, match=r"'tiny' answers 1 of 2 prompts with none of their labels.*\['Q', 'R'\]"):
        opened(top_logprobs=3).score(prompts)
    assert server.requests == 2


def test_a_server_without_logprobs_is_named(server: Any, opened: Any, prompts: list[OptionPrompt]) -> None:
    server.gives_logprobs = False
    with pytest.raises(ValueError, match=r"without log-probabilities for model 'tiny'.*backend\.logprobs=sample"):
        opened(logprobs="top").score(prompts)
    assert server.requests == 1


@pytest.mark.parametrize("refuses", [False, True])
def test_without_logprobs_auto_says_so_once_and_samples(
    server: Any, opened: Any, prompts: list[OptionPrompt], caplog: pytest.LogCaptureFixture, refuses: bool
) -> None:
    server.gives_logprobs = False
    server.script = ["400 logprobs is not supported"] if refuses else []
    subject = opened(samples=5)
    assert len(subject.score(prompts[:2])) == 2
    assert caplog.text.count("Now each prompt is sampled 5 times instead.") == 1
    assert server.requests == 1 + 2 * 5
    again = opened(samples=5)
    again.score(prompts[:2])
    assert again.costs.requests == 0
    assert caplog.text.count("instead") == 1


def test_sampled_answers_converge_to_the_distribution(
    server: Any, opened: Any, prompts: list[OptionPrompt], exact: list[Any]
) -> None:
    samples = 300
    subject = opened(logprobs="sample", samples=samples)
    steps: list[tuple[int, int]] = []
    answer = subject.score(prompts[:1], lambda done, total: steps.append((done, total)))[0]
    true = exact[0]
    assert abs(answer.option_mass - true.option_mass) < 4 * math.sqrt(0.25 / samples)
    counted = samples * answer.option_mass
    assert np.abs(answer.probabilities - true.probabilities).max() < 4 * math.sqrt(0.25 / counted)
    seeds = [body["seed"] for body in server.bodies]
    assert len(set(seeds)) == samples
    assert {body["temperature"] for body in server.bodies} == {1.0}
    assert steps[-1] == (1, 1)
    more = opened(logprobs="sample", samples=samples + 5)
    more.score(prompts[:1])
    assert more.costs.requests == 5


def test_texts_are_generated_stored_and_told_apart_by_repeat(server: Any, opened: Any, tiny_survey: Survey) -> None:
    renderer = Renderer(Asking(style="native"))
    text = renderer.survey(tiny_survey.items[0], (0, 1, 2, 3), Group(""), "none").text
    requests = [TextRequest(text, max_tokens=6, repeat=repeat) for repeat in range(4)]
    requests += [TextRequest(text, max_tokens=6, temperature=0.0), TextRequest(text, 6, schema='{"type": "object"}')]
    subject = opened()
    answers = subject.generate(requests)
    assert len({answer.text for answer in answers[:4]}) == 4
    assert json.loads(answers[5].text) == {"choice": 1}
    assert all(answer.finish in ("length", "stop") and 1 <= answer.tokens <= 6 for answer in answers)
    assert subject.costs.generated_tokens == sum(answer.tokens for answer in answers)
    assert subject.costs.texts == 6
    again = opened()
    assert again.generate(requests[::-1]) == answers[::-1]
    assert server.requests == 6
    assert opened(store="fresh").generate(requests) == answers  # the seed is in the request, not in the order


def test_stop_strings_are_sent_and_cut(server: Any, opened: Any) -> None:
    text = json.dumps([{"role": "user", "content": "Is it ever justified?"}])
    whole = opened().generate([TextRequest(text, 12, temperature=0.0)])[0]
    stop = whole.text[3:5]
    cut = opened().generate([TextRequest(text, 12, temperature=0.0, stop=(stop,))])[0]
    assert cut.text == whole.text[: whole.text.index(stop)]
    assert cut.finish == "stop"


def test_text_that_should_be_json_and_is_not_is_said(opened: Any, caplog: pytest.LogCaptureFixture) -> None:
    text = json.dumps([{"role": "user", "content": "Is it ever justified?"}])
    subject = opened(extra={"response_format": None})
    subject.generate([TextRequest(text, 4, schema='{"type": "object"}')])
    assert "1 of 1 texts of tiny are not the JSON asked for" in caplog.text


def test_money_and_tokens(server: Any, opened: Any, prompts: list[OptionPrompt]) -> None:
    prices = {"input": 2.5, "output": 10.0, "currency": "USD"}
    subject = opened(top_logprobs=ALL, prices=prices)
    subject.score(prompts[:3])
    assert subject.costs.generated_tokens == 3
    assert subject.costs.money == pytest.approx((subject.costs.prompt_tokens * 2.5 + 3 * 10) / 1e6)
    again = opened(top_logprobs=ALL, prices=prices)
    again.score(prompts[:3])
    assert again.costs.money == 0
    assert opened(store="other", top_logprobs=ALL).costs.money is None
    server.says_usage = False
    blind = opened(store="blind", top_logprobs=ALL, prices=prices)
    blind.score(prompts[:1])
    assert math.isnan(blind.costs.money)


def test_perplexity_is_the_engines_where_the_server_echoes_and_nan_elsewhere(
    server: Any, opened: Any, model: Path
) -> None:
    texts = ["Should the government do more about poverty?", "Is it ever justified to accept a bribe?"]
    renderer = Renderer(Asking(style="completion"), load_tokenizer(model))
    true = TransformersAnswerer(load_model(model, torch.float32), renderer, "weights").perplexity(texts)
    assert opened("completion").perplexity(texts) == pytest.approx(true, rel=1e-4)
    server.echoes = False
    assert math.isnan(opened("completion", store="silent").perplexity(texts))
    assert math.isnan(opened("native").perplexity(texts))


def test_the_store_tells_servers_and_lengths_of_lists_apart(
    server: Any, opened: Any, prompts: list[OptionPrompt]
) -> None:
    opened(top_logprobs=ALL).score(prompts[:1])
    opened(top_logprobs=ALL - 1).score(prompts[:1])
    opened(top_logprobs=ALL, extra={"user": "me"}).score(prompts[:1])
    other = opened(top_logprobs=ALL)
    other.weights = "api:tiny@elsewhere"
    other.score(prompts[:1])
    assert server.requests == 4


def test_the_body_is_what_servers_expect(server: Any, opened: Any, prompts: list[OptionPrompt]) -> None:
    opened(top_logprobs=ALL, extra={"max_completion_tokens": 1, "top_p": None}).score(prompts[:1])
    assert server.bodies == [
        {
            "model": "tiny",
            "messages": json.loads(prompts[0].text),
            "max_tokens": 1,
            "temperature": 1.0,
            "logprobs": True,
            "top_logprobs": ALL,
            "max_completion_tokens": 1,
        }
    ]


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"base_url": "localhost:8000"}, "base_url must be an http"),
        ({"base_url": "https://me:secret@example.org/v1"}, "base_url must hold no key"),
        ({"concurrency": 0}, "concurrency must be at least 1"),
        ({"timeout": 0.0}, "timeout must be more than 0"),
        ({"top_logprobs": 0}, "top_logprobs must be at least 1"),
        ({"prices": {"input": 1}}, "prices must be null or like"),
    ],
)
def test_wrong_knobs_are_named(knobs: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        OpenAICompatible(**knobs)
    assert "secret" not in str(error.value)


def test_a_missing_key_and_a_missing_template_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    native, served = Asking(style="native"), ModelSpec("api:gpt")
    with pytest.raises(PermissionError, match="environment variable OPENAI_API_KEY is not set"):
        OpenAICompatible().check(served, native)
    OpenAICompatible(base_url="http://localhost:1/v1").check(served, native)
    with pytest.raises(ValueError, match="set prompt=native"):
        OpenAICompatible(base_url="http://localhost:1/v1").check(served, Asking())
    with pytest.raises(ValueError, match=r"model\.source must be api:NAME, got 'pypi:x'"):
        OpenAICompatible().check(ModelSpec("pypi:x"), native)
