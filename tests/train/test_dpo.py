"""Our exact DPO against TRL's DPOTrainer on the same pairs: loss and the gradient of every parameter."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import datasets
import pytest
import torch
from trl import DPOConfig, DPOTrainer

import data.options
from data.mixture import Mixture
from data.models import load_model, load_tokenizer
from data.prompts import Asking, Renderer
from data.records import Survey
from train.closed import Collator, _batch, option_log_probabilities
from train.recipes.dpo import Dpo


@pytest.mark.parametrize("beta", [0.1, 1.0])
def test_loss_and_gradients_equal_trl(
    tiny_model: Path, tiny_survey: Survey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, beta: float
) -> None:
    """The reference has other weights, so that margins are not 0. One token form a label, as in TRL."""
    monkeypatch.setattr(data.options, "FORMS", ("{}",))
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
    scores, _ = option_log_probabilities(policy, inputs["sequences"], inputs["label_ids"])
    batch = replace(_batch(inputs), reference=known)
    recipe = Dpo(beta=beta)
    loss = recipe.loss(scores, batch)
    loss.backward()
    ours = {name: parameter.grad.clone() for name, parameter in policy.named_parameters()}

    rows = []
    for example in examples:
        prompt = renderer.survey(example.item, example.order, example.group, example.condition)
        labels = collator.tokens(prompt.text, prompt.labels)
        chosen, rejected = (labels[example.order.index(option)] for option in (example.chosen, example.rejected))
        (ids,) = renderer.encode([prompt.text])
        rows.append({"prompt_ids": ids, "chosen_ids": list(chosen), "rejected_ids": list(rejected)})
    trainer = DPOTrainer(
        model=policy,
        ref_model=reference,
        args=DPOConfig(
            output_dir=str(tmp_path),
            beta=beta,
            bf16=False,
            use_cpu=True,
            activation_checkpointing=False,
            report_to="none",
            max_length=1024,
        ),
        train_dataset=datasets.Dataset.from_list([{"prompt": "not used", "chosen": "A", "rejected": "B"}]),
        processing_class=tokenizer,
    )
    policy.train().zero_grad()
    theirs = trainer.compute_loss(policy, trainer.data_collator(rows))
    theirs.backward()
    assert loss.item() != pytest.approx(0.6931, abs=1e-4)
    torch.testing.assert_close(loss, theirs, atol=1e-6, rtol=1e-5)
    for name, parameter in policy.named_parameters():
        assert ours[name].abs().max() > 0, name
        torch.testing.assert_close(ours[name], parameter.grad, atol=1e-6, rtol=1e-3)
    (margin,) = trainer._metrics["train"]["rewards/margins"]
    assert recipe.metrics(scores, batch)["reward_margin"].item() == pytest.approx(margin, abs=1e-5)


def test_trl_is_not_imported_for_closed_questions() -> None:
    """Importing trl takes seconds; the recipes must not need it. Run in a fresh interpreter."""
    code = "import sys, train.recipes.dpo, train.variant; sys.exit('trl' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], check=False).returncode == 0
