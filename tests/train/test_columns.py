"""What a recipe may bring to closed training beside a loss: numbers of its own, examples, and a way of asking."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import Trainer

from data.leaks import Guard
from data.mixture import Mixture
from data.models import load_tokenizer
from data.prompts import Asking, OptionPrompt, Renderer
from data.records import Survey, TrainingExample
from train.closed import train_closed
from train.closed_batch import ClosedBatch, Collator, ask_plainly, batch_of
from train.loop import read_metrics
from train.recipes.match import Match
from train.run import RunContext

RATE = 1e-3


@pytest.fixture
def run(tiny_run: Callable[..., RunContext]) -> RunContext:
    return tiny_run()


def briefly(renderer: Renderer, example: TrainingExample) -> OptionPrompt:
    return renderer.closed([], example.item.question, [example.item.options[index] for index in example.order])


def test_a_loss_sees_each_example_s_own_numbers_in_order(run: RunContext) -> None:
    seen: list[dict[str, torch.Tensor]] = []

    def loss(scores: torch.Tensor, batch: ClosedBatch) -> torch.Tensor:
        seen.append({"people": batch.people, **batch.columns})
        return Match().loss(scores, batch)

    columns = {
        "weight": [torch.tensor(float(place)) for place in range(8)],
        "target": [torch.tensor(example.people) for example in run.examples],
    }
    train_closed(run, loss, RATE, columns=columns)
    assert torch.cat([part["weight"] for part in seen]).tolist() == [0, 1, 2, 3, 4, 5, 6, 7]
    for part in seen:
        torch.testing.assert_close(part["target"], part["people"])


def test_what_is_logged_is_a_mean_over_micro_batches_and_processes_and_tokens_are_a_sum(
    run: RunContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    masses: list[float] = []

    def loss(scores: torch.Tensor, batch: ClosedBatch) -> torch.Tensor:
        masses.append(scores.detach().exp().sum(-1).mean().item())
        return Match().loss(scores, batch)

    trainer: Any = train_closed(run, loss, RATE)
    steps = read_metrics(run.metrics)
    assert [step["option_mass"] for step in steps] == pytest.approx([sum(masses[:2]) / 2, sum(masses[2:]) / 2])
    tokens = list(map(len, run.renderer.encode([ask_plainly(run.renderer, one).text for one in run.examples])))
    assert [step["tokens"] for step in steps] == [sum(tokens[:4]), sum(tokens[4:])]
    logged: dict[str, float] = {}
    monkeypatch.setattr(Trainer, "log", lambda self, logs, start: logged.update(logs))
    trainer.accelerator = SimpleNamespace(num_processes=2, reduce=lambda sums, how: sums + torch.tensor([0.2, 30.0]))
    trainer._sums.update(option_mass=1.4, tokens=50)  # of two micro batches here; in the other process 0.2 and 30
    trainer._micro_batches = 2
    trainer.log({})
    assert logged == pytest.approx({"option_mass": 0.4, "tokens": 80})


def test_short_columns_are_padded_with_nothing_and_the_reference_with_impossibility(
    tiny_model: Path, tiny_survey: Survey
) -> None:
    two, three = (Mixture(items=(name,))(tiny_survey, 1, 0, 0)[0] for name in ("toy/poor", "toy/work"))
    collator = Collator(Renderer(Asking(), load_tokenizer(tiny_model)), 1024)
    known = {name: torch.tensor([-1.0, -2.0]) for name in ("own", "reference")}
    batch = batch_of(collator([(two, known), (three, {name: -torch.ones(3) for name in known})]))
    assert batch.columns["own"].tolist() == [[-1, -2, 0], [-1, -1, -1]]
    assert batch.reference is not None
    assert batch.reference.tolist() == [[-1, -2, -torch.inf], [-1, -1, -1]]
    assert list(batch.columns) == ["own"]


def test_the_reference_is_exact_for_examples_and_a_way_of_asking_of_its_own(
    run: RunContext, tiny_survey: Survey
) -> None:
    examples = Mixture()(tiny_survey, 8, 1, 0)
    asked: list[TrainingExample] = []

    def ask(renderer: Renderer, example: TrainingExample) -> OptionPrompt:
        asked.append(example)
        return briefly(renderer, example)

    train_closed(run, Match().loss, RATE, reference=True, examples=examples, ask=ask)
    assert set(map(id, asked)) == set(map(id, examples))
    first, last = read_metrics(run.metrics)
    assert first["kl_reference"] == 0
    assert last["kl_reference"] > 0
    prompts = [briefly(run.renderer, example).text for example in examples]
    assert first["tokens"] + last["tokens"] == sum(map(len, run.renderer.encode(prompts)))


def test_prompts_of_a_recipe_s_own_must_not_leak(run: RunContext, tiny_survey: Survey) -> None:
    held_out = replace(tiny_survey.items[3], question="Should people who are poor get more money from the state?")
    guarded = replace(run, guard=Guard(held_out=(held_out,)))

    def ask(renderer: Renderer, example: TrainingExample) -> OptionPrompt:
        return renderer.closed([], held_out.question, example.item.options)

    with pytest.raises(ValueError, match=r"training prompt 1 shares .* with the held-out item 'toy/poor'"):
        train_closed(guarded, Match().loss, RATE, ask=ask)


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"weight": [torch.tensor(1.0)]}, "column 'weight' has 1 values for 8 examples"),
        ({"reference": [torch.zeros(2)] * 8}, "a column cannot be named 'reference'"),
    ],
)
def test_columns_that_do_not_fit_are_refused(run: RunContext, columns: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        train_closed(run, Match().loss, RATE, columns=columns)
