"""The packed loss and its gradients against plain one-by-one computation, and micro batches against whole ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from data.mixture import Mixture
from data.models import load_model, load_tokenizer
from data.prompts import Asking, Renderer
from data.records import Survey, TrainingExample
from train import closed
from train.closed import option_log_probabilities
from train.closed_batch import ClosedBatch, Collator
from train.closed_batch import batch_of as to_batch
from train.divergences import kl_people_model
from train.recipes.dpo import Dpo
from train.recipes.match import Match


@pytest.fixture
def model(tiny_model: Path) -> Any:
    return load_model(tiny_model, torch.float32)


@pytest.fixture(scope="module")
def collator(tiny_model: Path) -> Collator:
    return Collator(Renderer(Asking(), load_tokenizer(tiny_model)), max_length=1024)


@pytest.fixture(scope="module")
def examples(tiny_survey: Survey) -> tuple[TrainingExample, ...]:
    return Mixture()(tiny_survey, 12, 0, 0)


def batch_of(collator: Collator, examples: tuple[TrainingExample, ...]) -> tuple[dict[str, Any], ClosedBatch]:
    inputs = collator([(example, None) for example in examples])
    return inputs, to_batch(inputs)


def plain_scores(model: Any, collator: Collator, example: TrainingExample) -> torch.Tensor:
    """By definition: one prompt through the model, log of the summed probabilities of each label's tokens."""
    prompt = collator.renderer.survey(example.item, example.order, example.group, example.condition)
    logits = model(input_ids=torch.tensor(collator.renderer.encode([prompt.text]))).logits[0, -1]
    probabilities = logits.softmax(-1)
    shown = [probabilities[list(ids)].sum().log() for ids in collator.tokens(prompt.text, prompt.labels)]
    return torch.stack([shown[example.order.index(option)] for option in range(len(shown))])


def gradients(model: Any, loss: torch.Tensor) -> dict[str, torch.Tensor]:
    model.zero_grad()
    loss.backward()
    return {name: parameter.grad.clone() for name, parameter in model.named_parameters()}


def assert_close(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor], tolerance: float = 1e-5) -> None:
    assert one.keys() == other.keys()
    for name, gradient in one.items():
        assert gradient.abs().max() > 0, name
        torch.testing.assert_close(gradient, other[name], atol=tolerance, rtol=1e-3, msg=lambda m, n=name: f"{n}: {m}")


def test_packed_loss_and_gradients_equal_one_by_one(
    model: Any, collator: Collator, examples: tuple[TrainingExample, ...]
) -> None:
    recipe = Match(mass_weight=0.3)
    inputs, batch = batch_of(collator, examples)
    scores, computed = option_log_probabilities(model, inputs["sequences"], inputs["label_ids"])
    assert computed < 0.7 * sum(map(len, inputs["sequences"]))
    packed = recipe.loss(scores, batch)
    packed_gradients = gradients(model, packed)

    losses = []
    for example in examples:
        own = plain_scores(model, collator, example)
        people = torch.tensor(example.people)
        kl = (people * (people.log() - own.log_softmax(-1))).sum()
        losses.append(kl - 0.3 * own.exp().sum().log())
    plain = torch.stack(losses).mean()
    torch.testing.assert_close(packed, plain, atol=1e-5, rtol=0)
    assert_close(packed_gradients, gradients(model, plain))


def test_several_trees_give_the_gradient_of_one(
    model: Any, collator: Collator, examples: tuple[TrainingExample, ...]
) -> None:
    def loss_of(part: tuple[TrainingExample, ...]) -> torch.Tensor:
        inputs, batch = batch_of(collator, part)
        return Match().loss(option_log_probabilities(model, inputs["sequences"], inputs["label_ids"])[0], batch)

    whole = gradients(model, loss_of(examples))
    parts = torch.stack([loss_of(examples[start : start + 4]) for start in (0, 4, 8)]).mean()
    assert_close(whole, gradients(model, parts))


def test_a_model_that_cannot_be_packed_is_asked_in_a_padded_batch(
    model: Any, collator: Collator, examples: tuple[TrainingExample, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs, batch = batch_of(collator, examples)
    packed, _ = option_log_probabilities(model, inputs["sequences"], inputs["label_ids"])
    packed_gradients = gradients(model, Match().loss(packed, batch))
    monkeypatch.setattr(closed, "why_not_packed", lambda model, longest: "a test says so")
    padded, _ = option_log_probabilities(model, inputs["sequences"], inputs["label_ids"])
    torch.testing.assert_close(padded, packed, atol=1e-5, rtol=0)
    assert_close(packed_gradients, gradients(model, Match().loss(padded, batch)))


def test_missing_options_are_minus_infinity_and_weigh_nothing(
    model: Any, collator: Collator, tiny_survey: Survey
) -> None:
    """A two-option and a three-option item in one batch: the third place of the first is no option."""
    two, three = (Mixture(items=(name,))(tiny_survey, 1, 0, 0)[0] for name in ("toy/poor", "toy/work"))
    inputs, batch = batch_of(collator, (two, three))
    scores, _ = option_log_probabilities(model, inputs["sequences"], inputs["label_ids"])
    assert torch.isinf(scores).tolist() == [[False, False, True], [False, False, False]]
    assert batch.options.tolist() == [[True, True, False], [True, True, True]]
    alone_inputs, alone = batch_of(collator, (two,))
    alone_scores, _ = option_log_probabilities(model, alone_inputs["sequences"], alone_inputs["label_ids"])
    torch.testing.assert_close(
        kl_people_model(scores, batch.people)[0], kl_people_model(alone_scores, alone.people)[0], atol=1e-5, rtol=0
    )


def test_match_with_mass_weight_one_is_expected_fine_tuning(
    model: Any, collator: Collator, examples: tuple[TrainingExample, ...]
) -> None:
    """KL - log mass = cross-entropy of answers sampled from the people - people's entropy."""
    inputs, batch = batch_of(collator, examples)
    scores, _ = option_log_probabilities(model, inputs["sequences"], inputs["label_ids"])
    cross = -(batch.people * scores.masked_fill(~batch.options, 0)).sum(-1)
    entropy = -torch.xlogy(batch.people, batch.people).sum(-1)
    torch.testing.assert_close(Match(mass_weight=1.0).loss(scores, batch), (cross - entropy).mean())


def test_a_prompt_that_is_too_long_is_refused(tiny_model: Path, examples: tuple[TrainingExample, ...]) -> None:
    short = Collator(Renderer(Asking(), load_tokenizer(tiny_model)), max_length=20)
    with pytest.raises(ValueError, match=r"'toy/.*more than budget.max_length = 20"):
        short([(examples[0], None)])


def test_dpo_without_a_reference_is_refused(
    model: Any, collator: Collator, examples: tuple[TrainingExample, ...]
) -> None:
    _, batch = batch_of(collator, examples)
    with pytest.raises(ValueError, match="needs the reference's"):
        Dpo().loss(torch.zeros(12, 3), batch)
