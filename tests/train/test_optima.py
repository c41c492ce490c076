"""What each objective leads to, on a policy of four free logits, where it can be solved."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import permutations
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import logsigmoid

from train.closed_batch import ClosedBatch
from train.divergences import normalised
from train.preferences import pair_of
from train.recipes.dpo import Dpo
from train.recipes.match import Match
from train.recipes.reward import Reward
from train.recipes.rlhf import Rlhf
from train.recipes.sft import Sft
from train.recipes.simpo import Simpo
from train.recipes.spl import Spl
from train.rewards import coverage, optimum, rewards_of_people

PEOPLE = torch.tensor([0.5, 0.3, 0.15, 0.05], dtype=torch.float64)
REFERENCE = torch.tensor([0.1, 0.4, 0.2, 0.3], dtype=torch.float64)
PAIRS = list(permutations(range(4), 2))
CHANCES = torch.stack([PEOPLE[a] / (PEOPLE[a] + PEOPLE[b]) for a, b in PAIRS])


def batch(n: int) -> ClosedBatch:
    """The one question, n times; row i holds the i-th ordered pair as its preference."""
    chosen, rejected = torch.tensor([PAIRS[i % 12] for i in range(n)]).T
    return ClosedBatch(
        people=PEOPLE.expand(n, 4),
        options=torch.ones(n, 4, dtype=torch.bool),
        chosen=chosen,
        rejected=rejected,
        answered=torch.arange(n) % 4,
        gaps=torch.tensor([1 / 3, 1 / 3, 1 / 3, 0.0], dtype=torch.float64).expand(n, 4),
        reference=REFERENCE.log().expand(n, 4),
    )


def descend(objective: Callable[[torch.Tensor], torch.Tensor], rate: float, steps: int = 1500) -> torch.Tensor:
    """The policy, (4,), that gradient descent from the reference leads to, its rate falling to 0; no other token."""
    logits = REFERENCE.log().clone().requires_grad_()
    for step in range(steps):
        (gradient,) = torch.autograd.grad(objective(logits.log_softmax(-1)), logits)
        with torch.no_grad():
            logits -= rate * (1 - step / steps) * gradient
    return logits.detach().softmax(-1)


def expected(recipe: Any) -> Callable[[torch.Tensor], torch.Tensor]:
    """The pair loss's expectation: two options evenly, the first preferred with q(a) / (q(a) + q(b))."""
    pairs = batch(12)
    return lambda scores: (CHANCES * recipe.losses(scores.expand(12, 4), pairs)).sum() / 6


def tilted(reference_power: float, people_power: float) -> torch.Tensor:
    weights = REFERENCE**reference_power * PEOPLE**people_power
    return weights / weights.sum()


@pytest.mark.parametrize("beta", [0.25, 0.5, 1.0, 2.0])
def test_dpo_leads_to_the_reference_tilted_by_people(beta: float) -> None:
    """pi ~ reference * q^(1 / beta)."""
    found = descend(expected(Dpo(beta=beta)), rate=8 / beta**2)
    torch.testing.assert_close(found, tilted(1, 1 / beta), atol=1e-3, rtol=0)


@pytest.mark.parametrize("beta", [0.25, 0.5, 1.0, 2.0])
def test_rlhf_leads_to_the_same(beta: float) -> None:
    recipe = Rlhf(beta=beta)
    found = descend(lambda scores: recipe.loss(scores[None], batch(1)), rate=2 / beta)
    torch.testing.assert_close(found, tilted(1, 1 / beta), atol=1e-3, rtol=0)
    best = optimum(REFERENCE.log()[None], rewards_of_people(batch(1), 0.001), beta).exp()[0]
    torch.testing.assert_close(best, tilted(1, 1 / beta))
    metrics = recipe.metrics(found.log()[None], batch(1))
    assert metrics["kl_optimum"].item() == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize(("entropy_weight", "cross_entropy_weight"), [(1.0, 0.0), (1.0, 0.5), (0.5, 0.25), (0.5, 0.5)])
def test_spl_tilts_reference_and_people_apart(entropy_weight: float, cross_entropy_weight: float) -> None:
    """pi ~ reference^(b / a) * q^(1 / a): weights of 1 and 0 give the people themselves, whatever the reference."""
    recipe = Spl(entropy_weight=entropy_weight, cross_entropy_weight=cross_entropy_weight)
    found = descend(expected(recipe), rate=8 / entropy_weight**2)
    wanted = tilted(cross_entropy_weight / entropy_weight, 1 / entropy_weight)
    torch.testing.assert_close(found, wanted, atol=1e-3, rtol=0)


@pytest.mark.parametrize("beta", [0.5, 1.0, 2.0])
def test_simpo_without_a_margin_leads_to_tempered_people(beta: float) -> None:
    recipe = Simpo(beta=beta, gamma=0.0)
    chosen, rejected = torch.tensor(PAIRS).T
    found = descend(lambda scores: (CHANCES * recipe.losses(scores[chosen], scores[rejected])).sum() / 6, 8 / beta**2)
    torch.testing.assert_close(found, tilted(0, 1 / beta), atol=1e-3, rtol=0)
    sharper = Simpo(beta=beta, gamma=1.0)
    gained = descend(lambda scores: (CHANCES * sharper.losses(scores[chosen], scores[rejected])).sum() / 6, 8 / beta**2)
    assert gained.max() > found.max() + 0.01


@pytest.mark.parametrize("distance", ["kl", "emd", "normalised_as_published"])
def test_match_leads_to_the_people(distance: str) -> None:
    recipe = Match(distance=distance)
    found = descend(lambda scores: recipe.loss(scores[None], batch(1)), rate=0.2 if distance == "emd" else 4.0)
    torch.testing.assert_close(found, PEOPLE, atol=1e-3, rtol=0)


def test_a_small_beta_collapses_onto_the_mode_and_a_flat_reference_with_beta_one_recovers_people() -> None:
    flat = torch.full((1, 4), 0.25, dtype=torch.float64).log()
    rewards = rewards_of_people(batch(1), 0.001)
    torch.testing.assert_close(optimum(flat, rewards, 1.0).exp()[0], PEOPLE)
    assert optimum(flat, rewards, 0.05).exp()[0, 0] > 0.9999


def test_the_exact_objective_is_the_mean_of_the_sampled_one() -> None:
    """200,000 answers drawn from the policy: mean of reward - beta * log-ratio, and of REINFORCE's gradient."""
    recipe, beta = Rlhf(beta=0.3, mass_weight=0.0), 0.3
    logits = torch.tensor([0.2, -0.5, 0.1, 0.6], dtype=torch.float64, requires_grad=True)
    exact = recipe.loss(logits.log_softmax(-1)[None], batch(1))
    (exact_gradient,) = torch.autograd.grad(exact, logits)
    policy = logits.detach().softmax(-1)
    answers = torch.from_numpy(np.random.default_rng(0).choice(4, size=200_000, p=policy.numpy()))
    returns = (PEOPLE.log() - beta * (policy.log() - REFERENCE.log()))[answers]
    assert exact.item() == pytest.approx(-returns.mean().item(), abs=0.01)
    sampled = -(logits.log_softmax(-1)[answers] * (returns - returns.mean())).mean()
    (sampled_gradient,) = torch.autograd.grad(sampled, logits)
    torch.testing.assert_close(sampled_gradient, exact_gradient, atol=0.005, rtol=0)


def test_what_nobody_chose_has_a_finite_reward_and_a_missing_option_none() -> None:
    people = torch.tensor([[1.0, 0.0, 0.0]])
    options = torch.tensor([[True, True, False]])
    one = replace(batch(1), people=people, options=options)
    assert rewards_of_people(one, 0.01).tolist() == [[0.0, pytest.approx(np.log(0.01)), 0.0]]
    reference = torch.tensor([[0.5, 0.5, 0.0]]).log()
    assert optimum(reference, rewards_of_people(one, 0.01), 1.0).exp()[0, :2].tolist() == pytest.approx(
        [1 / 1.01, 0.01 / 1.01]
    )


def test_expected_fine_tuning_is_match_with_the_whole_mass() -> None:
    """Sum over answers of q(answer) * sft loss = match with mass_weight 1 + people's entropy; so are the gradients."""
    raw = torch.tensor([[0.1, 0.2, 0.05, 0.15]], dtype=torch.float64).log().requires_grad_()
    each = torch.stack([Sft().loss(raw, replace(batch(1), answered=torch.tensor([a]))) for a in range(4)])
    sft, match = (PEOPLE * each).sum(), Match(mass_weight=1.0).loss(raw, batch(1))
    assert sft.item() - match.item() == pytest.approx(-(PEOPLE * PEOPLE.log()).sum().item())
    torch.testing.assert_close(torch.autograd.grad(sft, raw), torch.autograd.grad(match, raw))


def test_published_normalisation_is_that_of_torch() -> None:
    """Cao et al. call kl_div with "batchmean" on one question's options: the divergence over their number."""
    raw = torch.tensor([[0.1, 0.2, 0.05, 0.15]], dtype=torch.float64).log()
    published = torch.nn.functional.kl_div(normalised(raw)[0], PEOPLE, reduction="batchmean")
    ours = Match(distance="normalised_as_published", mass_weight=0.0).loss(raw, batch(1))
    torch.testing.assert_close(ours, published)
    assert ours.item() == pytest.approx(Match(mass_weight=0.0).loss(raw, batch(1)).item() / 4)


def test_nominal_items_keep_kl_and_are_counted() -> None:
    one = batch(2)
    mixed = replace(one, gaps=torch.stack([one.gaps[0], torch.full((4,), torch.nan, dtype=torch.float64)]))
    raw = torch.tensor([[0.1, 0.2, 0.05, 0.15]], dtype=torch.float64).log().expand(2, 4).clone().requires_grad_()
    recipe = Match(distance="emd", mass_weight=0.0)
    ordered, nominal = recipe.distances(raw, mixed)
    assert nominal.item() == pytest.approx(Match().distances(raw, one)[1].item())
    cumulative = (torch.tensor([0.2, 0.6, 0.7]) - torch.tensor([0.5, 0.8, 0.95])).abs()
    assert ordered.item() == pytest.approx(cumulative.mean().item())
    assert recipe.metrics(raw, mixed)["nominal_share"].item() == 0.5
    (gradient,) = torch.autograd.grad(recipe.loss(raw, mixed), raw)
    assert torch.isfinite(gradient).all()


@pytest.mark.parametrize(("beta", "entropy_weight"), [(0.5, 0.5), (1.0, 0.25), (0.25, 1.0)])
def test_entropy_tempers_reference_and_reward_alike(beta: float, entropy_weight: float) -> None:
    """pi ~ (reference^beta * exp(reward))^(1 / (beta + entropy weight)), by a reward model that knows log q."""
    recipe = Rlhf(beta=beta, entropy_weight=entropy_weight, reward="model", reward_model="a cell")
    one = replace(batch(1), columns={"reward": PEOPLE.log()[None] + 3.0})
    found = descend(lambda scores: recipe.loss(scores[None], one), rate=2 / (beta + entropy_weight))
    total = beta + entropy_weight
    torch.testing.assert_close(found, tilted(beta / total, 1 / total), atol=1e-3, rtol=0)
    assert recipe.metrics(found.log()[None], one)["kl_optimum"].item() == pytest.approx(0, abs=1e-3)
    assert recipe.metrics(REFERENCE.log()[None], one)["kl_optimum"].item() > 0.02


def test_coverage_spreads_answers_and_has_no_known_optimum() -> None:
    """With one draw its maximum is the mode alone, with many draws rare answers are given too."""
    found = {}
    for draws in (1, 16):
        recipe = Rlhf(beta=1e-3, coverage_weight=1.0, coverage_draws=draws, reward="model", reward_model="a cell")
        one = replace(batch(1), columns={"reward": torch.zeros(1, 4, dtype=torch.float64)})
        found[draws] = descend(lambda scores, r=recipe, b=one: r.loss(scores[None], b), rate=4.0)  # type: ignore[misc]
        assert "kl_optimum" not in recipe.metrics(found[draws].log()[None], one)
    assert found[1][0] > 0.95
    assert found[16].min() > 0.1
    assert coverage(found[16][None], PEOPLE[None], 16) > coverage(found[1][None], PEOPLE[None], 16) + 0.3


@given(st.lists(st.floats(-3, 3), min_size=4, max_size=4), st.integers(1, 20))
def test_coverage_is_a_share_that_grows_with_the_draws_and_its_gradient_is_right(
    logits: list[float], draws: int
) -> None:
    scores = torch.tensor(logits, dtype=torch.float64, requires_grad=True)

    def value(at: torch.Tensor, n: int = draws) -> torch.Tensor:
        return coverage(at.softmax(-1)[None], PEOPLE[None], n)[0]

    assert 0 <= value(scores).item() <= value(scores, draws + 1).item() <= 1
    assert value(scores, 1).item() == pytest.approx((scores.softmax(-1) * PEOPLE).sum().item())
    assert torch.autograd.gradcheck(value, scores)


def test_expected_is_the_mean_of_sampled() -> None:
    rewards = torch.tensor([0.3, -1.0, 0.7, 0.1], dtype=torch.float64)
    pairs = batch(12)
    chosen, rejected = pair_of(rewards.expand(12, 4), pairs)
    recipe = Reward(preferences="expected", center_weight=0.1)
    each = -logsigmoid(chosen - rejected) + 0.1 * (chosen + rejected) ** 2
    assert recipe.loss(rewards[None], batch(1)).item() == pytest.approx((CHANCES * each).sum().item() / 6)
    assert len(PAIRS) == 12


def test_pairs_that_nobody_chose_do_not_count_and_missing_options_neither() -> None:
    rewards = torch.tensor([[0.5, -0.5, 9.0, 0.0]], requires_grad=True)
    options = torch.tensor([[True, True, True, False]])
    one = replace(batch(1), people=torch.tensor([[1.0, 0.0, 0.0, 0.0]]), options=options)
    loss = Reward(preferences="expected").loss(rewards, one)
    margins = torch.tensor([1.0, -8.5])  # of the first against the second and the third; never these two
    wanted = -logsigmoid(margins).mean()
    assert loss.item() == pytest.approx(wanted.item())
    (gradient,) = torch.autograd.grad(loss, rewards)
    assert gradient[0, 3] == 0


def test_the_best_rewards_are_log_shares_and_a_centre_gives_them_a_level() -> None:
    """Gradient descent on four free rewards."""
    found = {}
    for weight in (0.0, 0.01):
        recipe = Reward(preferences="expected", center_weight=weight)
        rewards = torch.tensor([2.0, 1.0, 1.5, 1.0], dtype=torch.float64, requires_grad=True)
        for _ in range(600):
            (gradient,) = torch.autograd.grad(recipe.loss(rewards[None], batch(1)), rewards)
            with torch.no_grad():
                rewards -= 8 * gradient
        found[weight] = rewards.detach()
    torch.testing.assert_close(found[0.0] - found[0.0].mean(), PEOPLE.log() - PEOPLE.log().mean(), atol=0.01, rtol=0)
    assert found[0.0].mean().item() == pytest.approx(1.375)
    assert found[0.01].mean().item() == pytest.approx(0, abs=0.02)
    metrics = Reward().metrics(found[0.0][None], batch(1))
    assert metrics["reward_distance"].item() == pytest.approx(0, abs=0.01)
    assert metrics["reward_correlation"].item() == pytest.approx(1, abs=1e-4)
