"""From overrides to cells."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from launch.arms import ask
from launch.compose import Composer


@pytest.fixture(scope="module")
def composer() -> Iterator[Composer]:
    with Composer() as made:
        yield made


def names(composer: Composer, *overrides: str, multirun: bool = False) -> list[tuple[str, int, int]]:
    return [(cell["arm"], cell["seed"], cell["draw"]) for cell in ask(composer, overrides, multirun).cells]


def test_quickstart_has_its_four_arms(composer: Composer) -> None:
    assert names(composer, "experiment=quickstart") == [
        ("base", 0, 0),
        ("match-full", 0, 0),
        ("match-lora", 0, 0),
        ("dpo-full", 0, 0),
    ]


def test_seeds_and_draws_multiply_but_the_base_is_one_cell(composer: Composer) -> None:
    found = names(composer, "experiment=quickstart", "seeds=[0,1]", "draws=[0,1]")
    assert len(found) == 1 + 3 * 4
    assert names(composer, "experiment=quickstart", "seed=3")[1] == ("match-full", 3, 0)


def test_a_sweep_is_the_product_with_one_base(composer: Composer) -> None:
    found = names(composer, "recipe=match,dpo", "seed=0,1", multirun=True)
    assert found == [
        ("base", 0, 0),
        ("match-full", 0, 0),
        ("match-full", 1, 0),
        ("dpo-full", 0, 0),
        ("dpo-full", 1, 0),
    ]


def test_other_swept_keys_name_the_arm(composer: Composer) -> None:
    assert names(composer, "mixture=diverse,monocultural", "base_arm=false", multirun=True) == [
        ("match-full-mixture-diverse", 0, 0),
        ("match-full-mixture-monocultural", 0, 0),
    ]
    models = names(composer, "model=smollm2-135m,qwen2.5-0.5b", multirun=True)
    assert [arm for arm, _, _ in models] == [
        "base-model-smollm2-135m",
        "match-full-model-smollm2-135m",
        "base-model-qwen2.5-0.5b",
        "match-full-model-qwen2.5-0.5b",
    ]


def test_without_training_there_is_one_cell(composer: Composer) -> None:
    assert names(composer, "recipe=none", "seed=5") == [("base", 0, 0)]


def test_a_knob_reaches_the_arms_that_have_it(composer: Composer) -> None:
    cells = {cell["arm"]: cell for cell in ask(composer, ["experiment=quickstart", "recipe.beta=0.5"], False).cells}
    assert cells["dpo-full"]["recipe"]["beta"] == 0.5
    assert "beta" not in cells["match-full"]["recipe"]


@pytest.mark.parametrize(
    ("overrides", "name"),
    [
        (["experiment=quickstart"], "quickstart"),
        (["experiment=quickstart", "limit=4", "tracker=off"], "quickstart-limit-4"),
        (["recipe=dpo", "adapter=lora"], "recipe-dpo-adapter-lora"),
        ([], "default"),
        (["name=mine", "recipe=dpo"], "mine"),
    ],
)
def test_the_run_folder_is_named_after_what_was_asked(composer: Composer, overrides: list[str], name: str) -> None:
    assert ask(composer, overrides, False).name == name


def test_paths_do_not_depend_on_where_the_command_was_typed(composer: Composer) -> None:
    cell = ask(composer, ["survey=file", "survey.blocks=['file:mine.jsonl', wvs3]"], False).cells[0]
    assert cell["survey"]["blocks"][0].startswith("file:/")
    assert cell["survey"]["blocks"][1] == "wvs3"
