"""The choice of a token against a plain one."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from eval.backends import sampling
from eval.backends.sampling import choose


def slow_choice(logits: list[float], temperature: float, top_p: float, exponentials: list[float]) -> int:
    if temperature == 0:
        return int(np.argmax(logits))
    scaled = np.exp((np.array(logits) - max(logits)) / temperature)
    shares = scaled / scaled.sum()
    kept: list[int] = []
    for token in sorted(range(len(shares)), key=lambda token: -shares[token]):
        if kept and sum(shares[kept]) >= top_p and logits[token] < logits[kept[-1]]:
            break
        kept.append(token)
    return max(kept, key=lambda token: shares[token] / exponentials[token])


def f32(*rows: object) -> npt.NDArray[np.float32]:
    return np.array(rows, np.float32)


@given(
    st.lists(st.tuples(st.integers(-6, 6), st.integers(1, 10**6)), min_size=2, max_size=9, unique_by=lambda t: t[1]),
    st.sampled_from([0.0, 0.5, 1.0, 2.0]),
    st.sampled_from([0.3123, 0.6321, 0.9717, 1.0]),
    st.sampled_from([1, 3, 256]),
)
def test_choice_equals_a_plain_one(
    drawn: list[tuple[int, int]], temperature: float, top_p: float, first_look: int
) -> None:
    logits, noise = [value * 0.37 for value, _ in drawn], [math.sqrt(place) for _, place in drawn]
    warm = f32(*[noise] * (1 + (temperature > 0)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sampling, "NUCLEUS", first_look)
        chosen = choose(torch.tensor([logits, logits]), f32(temperature, 1), f32(top_p, 1), warm)
    assert chosen[0] == slow_choice(logits, temperature, top_p, noise)
    assert chosen[1] == slow_choice(logits, 1.0, 1.0, noise)


def test_the_lowest_id_wins_among_equals_at_temperature_0() -> None:
    assert choose(torch.tensor([[0.0, 2.0, 2.0]]), f32(0), f32(1), f32()).tolist() == [1]


def test_a_token_without_probability_is_never_chosen() -> None:
    logits = torch.tensor([[9.0, 0.0, 0.0, -torch.inf]])
    allowed = np.array([[False, True, True, True]])
    noise = f32([1e-9, 2e-9, 3e-9, 1e-9])
    assert choose(logits, f32(1), f32(1), noise, allowed).tolist() == [1]
    assert choose(logits, f32(0), f32(1), f32(), allowed).tolist() == [1]


def test_draws_follow_temperature_and_top_p() -> None:
    rng, count = np.random.default_rng(0), 40_000
    shares = np.array([0.1, 0.4, 0.3, 0.15, 0.05])
    noise = rng.standard_exponential((count, 5)).astype(np.float32)
    for temperature, top_p, kept in ((1.0, 1.0, [0, 1, 2, 3, 4]), (2.0, 1.0, [0, 1, 2, 3, 4]), (1.0, 0.8, [1, 2, 3])):
        logits = torch.from_numpy(np.log(shares).astype(np.float32)).expand(count, 5)
        drawn = choose(logits, np.full(count, temperature, np.float32), np.full(count, top_p, np.float32), noise)
        seen = np.bincount(drawn.numpy(), minlength=5)
        wanted = np.where(np.isin(range(5), kept), shares ** (1 / temperature), 0)
        assert not seen[wanted == 0].any()
        assert chisquare(seen[kept], wanted[kept] / wanted.sum() * count).pvalue > 0.001
