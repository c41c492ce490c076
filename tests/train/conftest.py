"""Preferences that our exact losses and TRL's trainers are both given: a tiny model, and another as its reference."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch

import data.options
from data.mixture import Mixture
from data.models import ModelSpec, load_model, load_tokenizer
from data.prompts import Asking, Renderer
from data.records import Survey
from train.adapters import Full
from train.closed import option_log_probabilities
from train.closed_batch import ClosedBatch, Collator, batch_of
from train.run import Budget, RunContext


@dataclass(frozen=True)
class PreferenceCase:
    """Eight questions. `rows`: the same as TRL takes them, token ids of prompt, chosen and rejected reply."""

    folder: Path
    tokenizer: Any
    policy: Any
    reference: Any
    inputs: dict[str, Any]
    batch: ClosedBatch
    rows: list[dict[str, list[int]]]

    def scores(self) -> torch.Tensor:
        """Option log-probabilities by the policy, with gradients."""
        return option_log_probabilities(self.policy, self.inputs["sequences"], self.inputs["label_ids"])[0]

    def gradients(self, loss: torch.Tensor) -> dict[str, torch.Tensor]:
        """Of every parameter of the policy; all of them move."""
        self.policy.zero_grad()
        loss.backward()
        found = {name: parameter.grad.clone() for name, parameter in self.policy.named_parameters()}
        assert [name for name, gradient in found.items() if not gradient.abs().max() > 0] == []
        return found

    def check_equal(self, ours: torch.Tensor, theirs: torch.Tensor) -> None:
        """The same loss, and the same gradient of every parameter."""
        torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-5)
        mine, other = self.gradients(ours), self.gradients(theirs)
        for name, gradient in mine.items():
            torch.testing.assert_close(gradient, other[name], atol=1e-6, rtol=2e-3, msg=lambda m, n=name: f"{n}: {m}")


@pytest.fixture(scope="module")
def preferences(tiny_model: Path, tiny_survey: Survey) -> Iterator[PreferenceCase]:
    """The reference has other weights, so that margins are not 0. One token form a label, as in TRL."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(data.options, "FORMS", ("{}",))
        tokenizer = load_tokenizer(tiny_model)
        policy: Any = load_model(tiny_model, torch.float32)
        reference: Any = load_model(tiny_model, torch.float32)
        generator = torch.Generator().manual_seed(1)
        with torch.no_grad():
            for parameter in reference.parameters():
                parameter.add_(0.02 * torch.randn(parameter.shape, generator=generator))
        renderer = Renderer(Asking(), tokenizer)
        collator = Collator(renderer, 1024)
        examples = Mixture()(tiny_survey, 8, 0, 0)
        inputs = collator([(example, None) for example in examples])
        with torch.no_grad():
            known, _ = option_log_probabilities(reference, inputs["sequences"], inputs["label_ids"])
        rows = []
        for example in examples:
            prompt = renderer.survey(example.item, example.order, example.group, example.condition)
            labels = collator.tokens(prompt.text, prompt.labels)
            chosen, rejected = (labels[example.order.index(option)] for option in (example.chosen, example.rejected))
            (ids,) = renderer.encode([prompt.text])
            rows.append({"prompt_ids": ids, "chosen_ids": list(chosen), "rejected_ids": list(rejected)})
        batch = replace(batch_of(inputs), reference=known)
        yield PreferenceCase(tiny_model, tokenizer, policy.train(), reference, inputs, batch, rows)


@pytest.fixture
def tiny_run(tiny_model: Path, tiny_survey: Survey, tmp_path: Path) -> Callable[..., RunContext]:
    """Makes a run on the tiny survey, all of which may be trained on: 8 examples in 2 steps, other fields as asked."""

    def make(**changes: Any) -> RunContext:
        settings: dict[str, Any] = {
            "cell": tmp_path,
            "spec": ModelSpec(str(tiny_model)),
            "adapter": Full(),
            "asking": Asking(),
            "people": tiny_survey,
            "budget": Budget(examples=8, batch_size=4, micro_batch=2, checkpoint_every=100, warmup=0.0),
            "seed": 0,
            "on_log": lambda step, record: None,
        }
        settings |= changes
        if "examples" not in settings:
            settings["examples"] = Mixture()(settings["people"], settings["budget"].examples, 0, 0)
        return RunContext(**settings)

    return make
