"""Replay: its optimum on a table of four answers, which examples are replayed, and its effect on a tiny model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from train.adapters import Lora
from train.closed_batch import ClosedBatch
from train.loop import read_metrics
from train.recipes.match import Match
from train.recipes.replay import Replay, drawn
from train.run import Budget, RunContext

PEOPLE = torch.tensor([0.5, 0.3, 0.15, 0.05], dtype=torch.float64)
BASE = torch.tensor([0.1, 0.4, 0.2, 0.3], dtype=torch.float64)


def table(replayed: torch.Tensor) -> ClosedBatch:
    """One question, n times; the base puts half of its probability on other tokens."""
    n = len(replayed)
    none = torch.zeros(n, dtype=torch.long)
    return ClosedBatch(
        people=PEOPLE.expand(n, 4),
        options=torch.ones(n, 4, dtype=torch.bool),
        chosen=none,
        rejected=none,
        answered=none,
        gaps=torch.zeros(n, 4),
        reference=(BASE / 2).log().expand(n, 4),
        columns={"replayed": replayed},
    )


@pytest.mark.parametrize("mix", ["examples", "targets"])
@pytest.mark.parametrize(("share", "weight"), [(0.0, 1.0), (0.25, 1.0), (0.5, 1.0), (0.25, 3.0)])
def test_training_leads_to_people_and_base_in_proportion(mix: str, share: float, weight: float) -> None:
    recipe = Replay(share=share, replay_weight=weight, mix=mix, mass_weight=0.0)
    examples = drawn(share, 1, 8, np.random.default_rng(0)) if mix == "examples" else np.full(8, share)
    batch = table(torch.tensor(examples))
    logits = BASE.log().clone().requires_grad_()
    for step in range(500):
        loss = recipe.loss(logits.log_softmax(-1).expand(8, 4), batch)
        (gradient,) = torch.autograd.grad(loss, logits)
        with torch.no_grad():
            logits -= 4 * (1 - step / 500) * gradient
    wanted = ((1 - share) * PEOPLE + share * weight * BASE) / (1 - share + share * weight)
    torch.testing.assert_close(logits.detach().softmax(-1), wanted, atol=1e-4, rtol=0)


def test_mixed_targets_have_the_gradient_of_mixed_examples() -> None:
    scores = (torch.tensor([0.1, 0.2, 0.05, 0.15], dtype=torch.float64).log()).expand(8, 4).clone().requires_grad_()
    recipe = Replay(share=0.25, mass_weight=0.2)
    examples = torch.tensor(drawn(0.25, 1, 8, np.random.default_rng(3)))
    targets = torch.full((8,), 0.25, dtype=torch.float64)
    one, other = (torch.autograd.grad(recipe.loss(scores, table(r)), scores)[0].sum(0) for r in (examples, targets))
    torch.testing.assert_close(one, other)


def test_without_replay_it_is_match() -> None:
    batch = table(torch.zeros(2, dtype=torch.float64))
    scores = torch.tensor([[0.1, 0.2, 0.05, 0.15]], dtype=torch.float64).log().expand(2, 4)
    torch.testing.assert_close(Replay(share=0.0).loss(scores, batch), Match().loss(scores, batch))


@given(st.floats(0, 0.99), st.integers(1, 20), st.integers(1, 16), st.integers(0, 100))
def test_a_share_of_every_batch_is_replayed(share: float, steps: int, size: int, seed: int) -> None:
    found = drawn(share, steps, size, np.random.default_rng(seed)).reshape(steps, size)
    assert set(found.ravel()) <= {0.0, 1.0}
    assert abs(found.sum() - share * steps * size) < 1
    assert (abs(found.sum(-1) - share * size) <= 1).all()
    np.testing.assert_array_equal(found, drawn(share, steps, size, np.random.default_rng(seed)).reshape(steps, size))


def test_more_replay_stays_nearer_to_the_base(tiny_run: Callable[..., RunContext], tmp_path: Path) -> None:
    budget = Budget(examples=64, batch_size=8, micro_batch=4, checkpoint_every=100, warmup=0.0)
    last = {}
    for share in (0.0, 0.75):
        run = tiny_run(cell=tmp_path / str(share), budget=budget)
        run.cell.mkdir()
        Replay(learning_rate=1e-3, share=share)(run)
        first, *_, last[share] = read_metrics(run.metrics)
        assert first["kl_reference"] == 0
        assert first["kl_base"] == pytest.approx(0, abs=1e-6)
        assert first["replayed_share"] == share
    assert last[0.75]["kl_base"] < 0.5 * last[0.0]["kl_base"]
    assert last[0.0]["kl_people_model"] < last[0.75]["kl_people_model"]


def test_moves_every_parameter_and_trains_under_lora(tiny_run: Callable[..., RunContext], tiny_model: Path) -> None:
    recipe = Replay(learning_rate=1e-3)
    run = tiny_run()
    recipe(run)
    before = load_file(tiny_model / "model.safetensors")
    after = dict(run.model.named_parameters())
    assert [name for name in before if name in after and torch.equal(before[name], after[name])] == []
    lora = tiny_run(adapter=Lora(rank=4))
    recipe(lora)
    assert read_metrics(lora.metrics)[0]["kl_reference"] == 0
    assert all(value.any() for name, value in lora.model.named_parameters() if "lora_B" in name)


@pytest.mark.parametrize(
    ("knobs", "words"),
    [
        ({"share": 1.0}, r"recipe.share must lie in \[0, 1\), got 1.0: at 1 nothing is learned of people"),
        ({"mix": "logits"}, "recipe.mix must be one of examples, targets, got 'logits'"),
        ({"replay_weight": 0.0}, "recipe.replay_weight must be positive"),
        ({"learning_rate": -1.0}, "recipe.learning_rate must be positive"),
    ],
)
def test_bad_knobs_are_refused(knobs: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Replay(**knobs)
