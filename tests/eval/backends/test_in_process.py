"""The answerer against an independent computation with transformers, and its store across an interruption."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from data.models import load_model, load_tokenizer
from data.prompts import Asking, OptionPrompt, Renderer, orders
from data.records import Group, Survey
from eval.answer_store import AnswerStore
from eval.backends.in_process import TransformersAnswerer
from eval.backends.ways import tolerance


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


def test_neither_slabs_nor_chunks_change_the_numbers(tiny_model: Path, prompts: list[OptionPrompt]) -> None:
    whole = answerer(tiny_model, budget=300).score(prompts)
    again = answerer(tiny_model, budget=300).score(prompts)
    for changed in (dict(slab=1), dict(slab=7), dict(token_budget=40), dict(slab=10, token_budget=10_000)):
        cut = replace(answerer(tiny_model, budget=300), **changed).score(prompts)
        for left, right, same in zip(whole, cut, again, strict=True):
            np.testing.assert_allclose(left.probabilities, right.probabilities, atol=1e-6)
            assert left.option_mass == pytest.approx(right.option_mass, abs=1e-6)
            assert same.probabilities.tolist() == left.probabilities.tolist()


def test_costs_say_what_was_done(tiny_model: Path, prompts: list[OptionPrompt], tmp_path: Path) -> None:
    subject = answerer(tiny_model, AnswerStore(tmp_path / "a.sqlite"), 300)
    seen: list[tuple[int, int]] = []
    subject.score(prompts, lambda done, total: seen.append((done, total)))
    lengths = [len(ids) for ids in subject.renderer.encode([prompt.text for prompt in prompts])]
    assert subject.costs.prompts == len(prompts)
    assert subject.costs.prompt_tokens == sum(lengths)
    assert max(lengths) < subject.costs.computed_tokens < sum(lengths)
    assert subject.costs.stored == 0
    assert 0.1 < (subject.costs.peak_memory_gib or 0) < 64
    assert seen[-1] == (len(prompts), len(prompts))
    assert [done for done, _ in seen] == sorted({done for done, _ in seen})
    again = answerer(tiny_model, AnswerStore(tmp_path / "a.sqlite"), 300)
    again.score([*prompts, prompts[0]])
    assert again.costs.stored > len(prompts) / 2
    assert again.ways == {"packed trees": ""} if again.costs.computed_tokens else True


class Short:
    """A model with memory for so many tokens at once."""

    def __init__(self, model: Any, tokens: int, error: type[RuntimeError] = torch.OutOfMemoryError) -> None:
        self._forward, self.tokens, self.error = model.forward, tokens, error
        self.sizes: list[int] = []
        model.forward = self

    def __call__(self, **given: Any) -> Any:
        self.sizes.append(given["input_ids"].numel())
        if self.sizes[-1] > self.tokens:
            raise self.error("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes.")
        return self._forward(**given)


@pytest.mark.parametrize("error", [torch.OutOfMemoryError, RuntimeError])
def test_out_of_memory_halves_the_budget_and_goes_on(
    error: type[RuntimeError], tiny_model: Path, prompts: list[OptionPrompt], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    whole = answerer(tiny_model, budget=800).score(prompts)
    subject = answerer(tiny_model, budget=800)
    short = Short(subject.model, 250, error)
    found = subject.score(prompts)
    assert [record.getMessage() for record in caplog.records] == [
        "out of memory: token_budget goes from 800 to 395 for the rest",
        "out of memory: token_budget goes from 395 to 196 for the rest",
    ]
    assert sum(size > 250 for size in short.sizes) == 2
    for left, right in zip(whole, found, strict=True):
        np.testing.assert_allclose(left.probabilities, right.probabilities, atol=1e-6)


def test_a_prompt_too_long_for_the_memory_is_named(tiny_model: Path, prompts: list[OptionPrompt]) -> None:
    subject = answerer(tiny_model)
    Short(subject.model, 20)
    with pytest.raises(RuntimeError, match=r"out of memory on a single prompt, of \d+ tokens: '<\|im_start\|>system"):
        subject.score(prompts)


def test_another_error_is_not_taken_for_want_of_memory(tiny_model: Path, prompts: list[OptionPrompt]) -> None:
    subject = answerer(tiny_model)

    def broken(**given: Any) -> Any:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    subject.model.forward = broken
    with pytest.raises(RuntimeError, match="mat1"):
        subject.score(prompts)


def test_half_precision_stays_within_its_tolerance(tiny_model: Path, prompts: list[OptionPrompt]) -> None:
    renderer = Renderer(Asking(), load_tokenizer(tiny_model))
    for dtype in (torch.bfloat16, torch.float16):
        model = load_model(tiny_model, dtype)
        with torch.no_grad():  # a random model of this size hardly attends, and prefers no token
            for name, value in model.named_parameters():
                value.mul_(20 if "lm_head" in name else 8 if "_proj" in name else 1)
        packed = TransformersAnswerer(model, renderer, "weights").score(prompts)
        alone = TransformersAnswerer(model, renderer, "weights", token_budget=1).score(prompts)
        differences = [np.abs(a.probabilities - b.probabilities).max() for a, b in zip(packed, alone, strict=True)]
        assert 0 < max(differences) < tolerance(dtype)


@pytest.mark.slow
def test_a_hundred_thousand_prompts_stream_through(tiny_model: Path) -> None:
    """The texts and answers of the longer list take memory; what is computed on the way does not."""
    script = Path(__file__).with_name("many_prompts.py")
    peaks = {}
    for count in (10_000, 100_000):
        command = [sys.executable, str(script), str(tiny_model), str(count)]
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        peaks[count] = float(done.stdout.split()[-1])
    print({count: f"{peak:.3f} GiB" for count, peak in peaks.items()})
    assert peaks[100_000] - peaks[10_000] < 0.15


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
