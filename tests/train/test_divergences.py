"""Divergences on cases worked by hand, against the audits' own distances, and without NaN in any gradient."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from eval.distances import emd as audited_emd
from train.divergences import emd, entropy, kl_next_token, kl_people_model, kl_reference, log_mass, log_rest

MISSING = -torch.inf


def test_kl_by_hand() -> None:
    """People (1/2, 1/2), model 3:1 among the options at any mass: KL = ln 2 - ln(3)/2 ... = 0.1438 nats."""
    scores = torch.tensor([[0.3, 0.1]]).log()
    assert kl_people_model(scores, torch.tensor([[0.5, 0.5]])).item() == pytest.approx(0.1438, abs=1e-4)
    assert kl_people_model(scores, torch.tensor([[0.75, 0.25]])).item() == pytest.approx(0, abs=1e-6)


def test_mass_entropy_and_rest_by_hand() -> None:
    scores = torch.tensor([[0.2, 0.2, 0.0], [0.1, 0.1, 0.1]]).log()
    assert log_mass(scores).exp().tolist() == pytest.approx([0.4, 0.3])
    assert entropy(scores).tolist() == pytest.approx([np.log(2), np.log(3)])
    assert log_rest(log_mass(scores)).exp().tolist() == pytest.approx([0.6, 0.7])
    assert torch.isfinite(log_rest(torch.zeros(1))).all()


def test_divergence_from_the_reference_by_hand() -> None:
    """(0.3, 0.1, rest 0.6) from (0.2, 0.2, rest 0.6): 0.3 ln 1.5 + 0.1 ln 0.5 of all tokens, over 0.4 of options."""
    model, reference = torch.tensor([[0.3, 0.1]]).log(), torch.tensor([[0.2, 0.2]]).log()
    expected = 0.3 * np.log(1.5) + 0.1 * np.log(0.5)
    assert kl_next_token(model, reference).item() == pytest.approx(expected, abs=1e-6)
    assert kl_reference(model, reference).item() == pytest.approx(expected / 0.4, abs=1e-6)
    lighter = model - np.log(2)  # the same answers with half the mass: only the next token's divergence sees it
    assert kl_reference(lighter, model).item() == pytest.approx(0, abs=1e-6)
    assert kl_next_token(lighter, model).item() == pytest.approx(0.2 * np.log(0.5) + 0.8 * np.log(0.8 / 0.6), abs=1e-6)


@given(st.lists(st.floats(-6, 6), min_size=8, max_size=8))
def test_next_token_divergence_is_bounded_by_that_of_the_vocabulary(logits: list[float]) -> None:
    """Four tokens of which two are options: 0 <= KL over the partition <= KL over all tokens (data processing)."""
    model, reference = torch.tensor([logits], dtype=torch.float64).view(2, 1, 4).log_softmax(-1)
    whole = (model.exp() * (model - reference)).sum()
    part = kl_next_token(model[:, :2], reference[:, :2])
    assert -1e-5 <= part.item() <= whole.item() + 1e-5


@given(st.lists(st.floats(-6, 6), min_size=4, max_size=4), st.lists(st.floats(0.01, 1), min_size=4, max_size=4))
def test_emd_is_the_audits_own(logits: list[float], weights: list[float]) -> None:
    positions = (1.0, 2.0, 5.0, 9.0)
    scores = torch.tensor([logits], dtype=torch.float64)
    people = np.array(weights) / np.sum(weights)
    gaps = torch.tensor([[1 / 8, 3 / 8, 4 / 8, 0.0]], dtype=torch.float64)
    ours = emd(scores, torch.tensor(people)[None], gaps)
    assert ours.item() == pytest.approx(audited_emd(scores.softmax(-1).numpy()[0], people, positions), abs=1e-9)


def test_a_missing_option_leaves_every_gradient_finite() -> None:
    scores = torch.tensor([[0.3, 0.1], [0.2, 0.3]]).log().requires_grad_()
    padded = torch.cat([scores, torch.full((2, 1), MISSING)], dim=1)
    reference = torch.tensor([[0.2, 0.2, 0.0], [0.3, 0.1, 0.0]]).log()
    people, gaps = torch.tensor([[0.5, 0.5, 0.0]]), torch.tensor([[1.0, 0.0, 0.0]])
    total = sum(
        value.sum()
        for value in (
            kl_people_model(padded, people),
            kl_reference(padded, reference),
            kl_next_token(padded, reference),
            emd(padded, people, gaps),
            entropy(padded),
            log_mass(padded),
        )
    )
    total.backward()
    assert torch.isfinite(scores.grad).all()
    assert (scores.grad != 0).all()
