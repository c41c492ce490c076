"""Our exact preference losses against TRL's trainers on the same pairs: value and the gradient of every parameter."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import datasets
import pytest
import torch
from trl import DPOConfig, DPOTrainer, KTOConfig, KTOTrainer
from trl.experimental.cpo import CPOTrainer
from trl.experimental.orpo import ORPOTrainer

from train.preferences import LOSSES, pair_of, pairs_of
from train.recipes.dpo import Dpo
from train.recipes.kto import Kto
from train.recipes.orpo import Orpo
from train.recipes.simpo import Simpo
from train.recipes.spl import Spl

CPU: dict[str, Any] = {
    "bf16": False,
    "use_cpu": True,
    "activation_checkpointing": False,
    "report_to": "none",
    "max_length": 1024,
}
KNOBS: dict[str, dict[str, float]] = {
    "robust": {"label_smoothing": 0.1},
    "exo_pair": {"label_smoothing": 0.001},
    "aot": {"label_smoothing": 0.2},
    "aot_unpaired": {"label_smoothing": 0.2},
    "discopop": {"discopop_tau": 0.3},
}


def trainer_of(case: Any, kind: Any, config: Any, folder: Path, row: dict[str, Any], **knobs: Any) -> Any:
    """TRL's trainer around the case's models; its data set is never used."""
    made = kind(
        model=case.policy,
        ref_model=case.reference,
        args=config(output_dir=str(folder), **CPU, **knobs),
        train_dataset=datasets.Dataset.from_list([row]),
        processing_class=case.tokenizer,
    )
    case.policy.train()
    return made


@pytest.mark.parametrize("beta", [0.1, 1.0])
@pytest.mark.parametrize("loss_type", list(LOSSES))
def test_losses_and_gradients_equal_trl(preferences: Any, tmp_path: Path, loss_type: str, beta: float) -> None:
    knobs = KNOBS.get(loss_type, {})
    recipe = Dpo(beta=beta, loss_type=loss_type, **knobs)  # type: ignore[arg-type]
    row = {"prompt": "not used", "chosen": "A", "rejected": "B"}
    trainer = trainer_of(preferences, DPOTrainer, DPOConfig, tmp_path, row, beta=beta, loss_type=[loss_type], **knobs)
    theirs = trainer.compute_loss(preferences.policy, trainer.data_collator(preferences.rows))
    scores = preferences.scores()
    preferences.check_equal(recipe.loss(scores, preferences.batch), theirs)
    (margin,) = trainer._metrics["train"]["rewards/margins"]
    assert recipe.metrics(scores, preferences.batch)["reward_margin"].item() == pytest.approx(margin, abs=1e-5)


def test_normalised_by_length_is_the_same_for_one_token(preferences: Any, tmp_path: Path) -> None:
    """Why there is no `sigmoid_norm`."""
    row = {"prompt": "not used", "chosen": "A", "rejected": "B"}
    trainer = trainer_of(preferences, DPOTrainer, DPOConfig, tmp_path, row, beta=0.5, loss_type=["sigmoid_norm"])
    theirs = trainer.compute_loss(preferences.policy, trainer.data_collator(preferences.rows))
    preferences.check_equal(Dpo(beta=0.5).loss(preferences.scores(), preferences.batch), theirs)


def test_loss_types_differ_and_none_is_at_its_start(preferences: Any) -> None:
    """Thirteen values, no two alike: no loss type is another under a second name."""
    scores = preferences.scores()
    values = {
        name: Dpo(loss_type=name, **KNOBS.get(name, {})).loss(scores, preferences.batch).item()  # type: ignore[arg-type]
        for name in LOSSES
    }
    assert len({round(value, 6) for value in values.values()}) == len(LOSSES) == 13
    assert values["sigmoid"] != pytest.approx(0.6931, abs=1e-4)


@pytest.mark.parametrize("beta", [0.1, 1.0])
def test_spl_with_equal_weights_is_dpo_to_the_last_bit(preferences: Any, beta: float) -> None:
    spl, dpo = Spl(entropy_weight=beta, cross_entropy_weight=beta), Dpo(beta=beta)
    ours, theirs = (recipe.loss(preferences.scores(), preferences.batch) for recipe in (spl, dpo))
    assert ours.item() == theirs.item()
    mine, other = preferences.gradients(ours), preferences.gradients(theirs)
    assert all(torch.equal(gradient, other[name]) for name, gradient in mine.items())


def test_spl_by_hand(preferences: Any) -> None:
    """Weights of 1 and 0 leave the reference out: the margin is the model's own log-odds."""
    scores = preferences.scores()
    chosen, rejected = pair_of(scores, preferences.batch)
    margin = Spl(entropy_weight=1.0, cross_entropy_weight=0.0).margin(scores, preferences.batch)
    torch.testing.assert_close(margin, chosen - rejected)
    reference_chosen, reference_rejected = pair_of(preferences.batch.reference, preferences.batch)
    margin = Spl(entropy_weight=0.5, cross_entropy_weight=2.0).margin(scores, preferences.batch)
    torch.testing.assert_close(margin, 0.5 * (chosen - rejected) - 2 * (reference_chosen - reference_rejected))


@pytest.mark.parametrize("weights", [(1.0, 1.0), (0.5, 1.5)])
def test_kto_equals_trl_given_its_point_of_reference(
    preferences: Any, tmp_path: Path, weights: tuple[float, float]
) -> None:
    """TRL estimates one z0 a batch from answers to other questions; here its value goes into our losses."""
    recipe = Kto(beta=0.5, desirable_weight=weights[0], undesirable_weight=weights[1])
    row = {"prompt": "not used", "completion": "A", "label": True}
    trainer = trainer_of(
        preferences,
        KTOTrainer,
        KTOConfig,
        tmp_path,
        row,
        beta=recipe.beta,
        desirable_weight=weights[0],
        undesirable_weight=weights[1],
        per_device_train_batch_size=2,
    )
    rows = [
        {"prompt_ids": one["prompt_ids"], "completion_ids": one[kind], "label": kind == "chosen_ids"}
        for kind in ("chosen_ids", "rejected_ids")
        for one in preferences.rows
    ]
    for place, one in enumerate(rows):
        one["KL_completion_ids"] = rows[place - 1]["completion_ids"]
    theirs = trainer.compute_loss(preferences.policy, trainer.data_collator(rows))
    (z0,) = trainer._metrics["train"]["kl"]
    ratios = pairs_of(preferences.scores(), preferences.batch).ratios
    preferences.check_equal(recipe.losses(*ratios, torch.full((8,), z0)).mean(), theirs)


def test_kto_by_hand() -> None:
    """At the reference, with z0 = 0, every option loses 1/2; no gradient goes through z0."""
    recipe = Kto(beta=1.0, desirable_weight=3.0)
    zero = torch.zeros(2)
    assert recipe.losses(zero, zero, zero).tolist() == [1.5, 1.5, 0.5, 0.5]
    up = torch.tensor([0.75]).logit()
    assert recipe.losses(up, up, torch.zeros(1)).tolist() == pytest.approx([3 * 0.25, 0.75])


def test_the_point_of_reference_of_kto_is_that_of_its_own_question(preferences: Any) -> None:
    """The loss of eight questions is the mean of those of each alone: micro batches change nothing."""
    recipe = Kto()
    whole = recipe.loss(preferences.scores(), preferences.batch)
    scores, batch = preferences.scores(), preferences.batch
    fields = batch.__dataclass_fields__.keys() - {"columns"}
    alone = [
        recipe.loss(
            scores[n : n + 1],
            replace(batch, **{f: one[n : n + 1] for f in fields if (one := getattr(batch, f)) is not None}),
        )
        for n in range(8)
    ]
    preferences.check_equal(whole, torch.stack(alone).mean())


@pytest.mark.parametrize("beta", [0.1, 1.0])
def test_orpo_equals_trl(preferences: Any, beta: float) -> None:
    """The odds-ratio term by TRL's own function; beside it the cross-entropy of the answer."""
    trainer = SimpleNamespace(beta=beta, accelerator=SimpleNamespace(device=torch.device("cpu")))
    chosen, rejected = pair_of(preferences.scores(), preferences.batch)
    term, *_ = ORPOTrainer.odds_ratio_loss(trainer, chosen, rejected)
    theirs = -chosen.mean() - term.mean()
    preferences.check_equal(Orpo(beta=beta).loss(preferences.scores(), preferences.batch), theirs)


def test_orpo_by_hand() -> None:
    """P = 0.5 against 0.2: odds of 1 and 1/4, so -ln 0.5 - 0.5 * ln sigmoid(ln 4) = ln 2 - 0.5 ln 0.8."""
    chosen, rejected = torch.tensor([0.5]).log(), torch.tensor([0.2]).log()
    assert Orpo(beta=0.5).losses(chosen, rejected).item() == pytest.approx(0.693147 + 0.5 * 0.223144, abs=1e-5)


@pytest.mark.parametrize(("gamma", "weight"), [(0.0, 0.0), (1.0, 0.0), (0.5, 0.3)])
def test_simpo_equals_trl(preferences: Any, gamma: float, weight: float) -> None:
    beta = 2.0
    trainer: Any = SimpleNamespace(
        beta=beta,
        simpo_gamma=gamma,
        alpha=0.0,
        loss_type="simpo",
        label_smoothing=0.0,
        accelerator=SimpleNamespace(device=torch.device("cpu")),
    )
    chosen, rejected = pair_of(preferences.scores(), preferences.batch)
    losses, *_ = CPOTrainer.cpo_loss(trainer, chosen, rejected)
    theirs = losses.mean() - weight * chosen.mean()
    recipe = Simpo(beta=beta, gamma=gamma, likelihood_weight=weight)
    preferences.check_equal(recipe.loss(preferences.scores(), preferences.batch), theirs)


def test_trl_is_not_imported_for_closed_questions() -> None:
    """Importing trl takes seconds; the recipes must not need it. Run in a fresh interpreter."""
    names = ("dpo", "kto", "match", "orpo", "rlhf", "sft", "simpo", "spl")
    modules = ", ".join(f"train.recipes.{name}" for name in names)
    code = f"import sys, {modules}, train.variant; sys.exit('trl' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], check=False).returncode == 0
