"""The answerer against an independent computation with transformers, and its store across an interruption."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from data.models import load_model, load_tokenizer
from data.prompts import Asking, OptionPrompt, Renderer, orders
from data.records import Group, Survey
from eval.answer_store import AnswerStore
from eval.backends.in_process import TransformersAnswerer


@pytest.fixture
def prompts(tiny_model: Path, tiny_survey: Survey) -> list[OptionPrompt]:
    renderer = Renderer(Asking(), load_tokenizer(tiny_model))
    return [
        renderer.survey(item, order, Group(country), "country")
        for item in tiny_survey.items
        for order in orders(len(item.options), item.ordered)
        for country in ("NOR", "USA", "JPN")
    ]


def answerer(folder: Path, store: AnswerStore | None = None, budget: int = 2048) -> TransformersAnswerer:
    renderer = Renderer(Asking(), load_tokenizer(folder))
    return TransformersAnswerer(load_model(folder, torch.float32), renderer, "weights", store, budget)


def test_answers_equal_a_plain_computation(tiny_model: Path, prompts: list[OptionPrompt]) -> None:
    tokenizer, model = load_tokenizer(tiny_model), load_model(tiny_model, torch.float32)
    for prompt, answer in zip(prompts, answerer(tiny_model, budget=300).score(prompts), strict=True):
        ids = tokenizer(prompt.text, add_special_tokens=False, return_tensors="pt")["input_ids"]
        with torch.inference_mode():
            probabilities = model(ids).logits[0, -1].double().softmax(-1)
        raw = []
        for label in prompt.labels:
            forms = {tuple(tokenizer.encode(form + label, add_special_tokens=False)) for form in ("", " ", "(", " (")}
            raw.append(sum(float(probabilities[form[0]]) for form in forms if len(form) == 1))
        np.testing.assert_allclose(answer.probabilities, np.array(raw) / sum(raw), atol=1e-5)
        assert answer.option_mass == pytest.approx(sum(raw), abs=1e-5)


def test_an_interrupted_audit_resumes_with_the_same_numbers(
    tiny_model: Path, prompts: list[OptionPrompt], tmp_path: Path
) -> None:
    whole = answerer(tiny_model, budget=300).score(prompts)
    store = AnswerStore(tmp_path / "answers.sqlite")

    def stop(done: int, total: int) -> None:
        if done > total // 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        answerer(tiny_model, store, 300).score(prompts, stop)
    store.close()
    second = answerer(tiny_model, AnswerStore(tmp_path / "answers.sqlite"), 300)
    resumed = second.score(prompts)
    assert 0 < second.costs.computed_tokens < answerer_cost(tiny_model, prompts)
    for left, right in zip(whole, resumed, strict=True):
        assert left.probabilities.tolist() == right.probabilities.tolist()
        assert left.option_mass == right.option_mass


def answerer_cost(folder: Path, prompts: list[OptionPrompt]) -> int:
    fresh = answerer(folder, budget=300)
    fresh.score(prompts)
    return fresh.costs.computed_tokens


def test_the_store_never_answers_for_another_model(
    tiny_model: Path, prompts: list[OptionPrompt], tmp_path: Path
) -> None:
    first = answerer(tiny_model, AnswerStore(tmp_path / "a.sqlite"))
    first.score(prompts[:4])
    other = answerer(tiny_model, AnswerStore(tmp_path / "a.sqlite"))
    other.weights = "other weights"
    other.score(prompts[:4])
    assert other.costs.computed_tokens == first.costs.computed_tokens > 0
    again = answerer(tiny_model, AnswerStore(tmp_path / "a.sqlite"))
    again.score(prompts[:4])
    assert again.costs.computed_tokens == 0


def test_perplexity_is_exp_of_the_mean_loss(tiny_model: Path) -> None:
    text = "Should the government do more about poverty?"
    subject = answerer(tiny_model)
    ids = torch.tensor([subject.renderer.encode([text])[0]])
    loss = subject.model(input_ids=ids, labels=ids).loss.item()
    assert subject.perplexity([text]) == pytest.approx(np.exp(loss), rel=1e-5)


def test_no_prompts_no_answers(tiny_model: Path) -> None:
    assert answerer(tiny_model).score([]) == []
