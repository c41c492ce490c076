"""Whoever looks for PPO is told where it went and what there is."""

from __future__ import annotations

import pytest

from launch.compose import Composer


@pytest.mark.parametrize(
    ("name", "words"), [("ppo", r"trl removed PPO in 1\.13.*recipe=rlhf.*RLOO or GRPO"), ("rloo", "algorithm=rloo")]
)
def test_recipes_of_another_name(name: str, words: str) -> None:
    with Composer() as composer, pytest.raises(ValueError, match=words):
        composer([f"recipe={name}"])
