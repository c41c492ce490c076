"""Whoever asks for what is not there is told what there is: PPO under its other names, and keys that nobody reads."""

from __future__ import annotations

from pathlib import Path

import pytest

from launch.compose import Composer


@pytest.mark.parametrize(
    ("name", "words"), [("ppo", r"trl removed PPO in 1\.13.*recipe=rlhf.*RLOO or GRPO"), ("rloo", "algorithm=rloo")]
)
def test_recipes_of_another_name(name: str, words: str) -> None:
    with Composer() as composer, pytest.raises(ValueError, match=words):
        composer([f"recipe={name}"])


@pytest.mark.parametrize(
    ("added", "words"),
    [
        ("+recip=match", r"unknown key 'recip' in '\+recip=match'; did you mean 'recipe'\?"),
        ("++sed=3", r"unknown key 'sed' in '\+\+sed=3'; did you mean 'seed'\?"),
        ("+recip.learning_rate=1", r"unknown key 'recip' .*did you mean 'recipe'"),
    ],
)
def test_an_added_key_that_nobody_reads_is_refused(added: str, words: str) -> None:
    with Composer() as composer, pytest.raises(ValueError, match=words):
        composer(["recipe=sft", added])


def test_what_may_be_added(tmp_path: Path) -> None:
    """A knob of a part, an arm, a group of a plug-in and what its experiment brings, and Hydra's own."""
    for name, text in (
        ("recipes/mine", "knob: 3\n"),
        ("experiment/brings", "# @package _global_\nextra: {knob: 1}\n"),
    ):
        path = tmp_path / f"{name}.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    with Composer([tmp_path]) as composer:
        assert composer(["+recipes=mine"])["recipes"] == {"knob": 3}
        assert composer(["++recipe.learning_rate=3e-5"])["recipe"]["learning_rate"] == 3e-5
        assert composer(["+arms.mine=['recipe=none']"])["arms"] == {"mine": ["recipe=none"]}
        assert composer(["experiment=brings", "+extra.other=2"])["extra"] == {"knob": 1, "other": 2}
        with pytest.raises(ValueError, match="unknown key 'extra'"):
            composer(["+extra.other=2"])
