from __future__ import annotations

import pytest

from data.models import ModelSpec
from data.tags import TAGS, check_tags


def test_tags_may_be_unknown_and_of_ones_own() -> None:
    check_tags({**dict.fromkeys(TAGS), "license": "MIT", "tokens": 3.0})
    assert ModelSpec("/a", tags={"origin": "China", "parameters": 0.5}).tags == {"origin": "China", "parameters": 0.5}


@pytest.mark.parametrize(
    ("tags", "said"),
    [
        ({"parameters": "7B"}, "model.tags.parameters must be a number of billions above 0, or null, got '7B'"),
        ({"parameters": 0}, "above 0"),
        ({"parameters": True}, "above 0"),
        ({"origin": ["China"]}, "model.tags.origin must be text, a number or null"),
    ],
)
def test_wrong_tags_are_refused(tags: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        ModelSpec("/a", tags=tags)
