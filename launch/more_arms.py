"""`+recipes=mine`: arms that a user adds to an experiment from a folder of their own, beside its own arms.

    # @package _global_
    # my-conf/recipes/mine.yaml: the same budget, people and seeds as every other arm of the experiment
    arms:
      mine: [recipe=mine]

The run keeps its name, so that what the experiment has trained already stays and only the new arms are trained.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from launch.compose import Composer

GROUP = "recipes"


def check_more(composer: Composer, overrides: Sequence[str], head: Mapping[str, Any]) -> None:
    """Raise ValueError where a `+recipes=NAME` among the overrides, of which `head` is composed, adds no arm, or one
    that the experiment has already.
    """
    parsed = zip(overrides, composer.parse(overrides), strict=True)
    more = [text for text, one in parsed if one.key_or_group == GROUP]
    if not more:
        return
    arms, before = head["arms"] or {}, composer([text for text in overrides if text not in more])["arms"] or {}
    if GROUP in head or arms == before:
        raise ValueError(
            f"{more[0]!r} adds no arm: its file must begin with `# @package _global_` and name arms, such as "
            "arms: {mine: [recipe=mine]}"
        )
    if twice := [name for name in before if arms.get(name) != before[name]]:
        raise ValueError(f"{more[0]!r} names the arm {twice[0]!r}, which the experiment has already: rename it")
