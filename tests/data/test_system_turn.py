"""Chat templates that know no system turn, as Gemma's: its text begins the first user's turn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from data.models import load_tokenizer
from data.prompts import Asking, Renderer
from data.records import Turn

REFUSING = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
ALTERNATING = (
    "{% for m in messages %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must alternate') }}{% endif %}{% endfor %}"
)
DIALOGUE = [Turn("system", "Answer."), Turn("user", "One?"), Turn("assistant", "A"), Turn("user", "Two?")]


@pytest.fixture
def tokenizer(tiny_model: Path) -> Any:
    found: Any = load_tokenizer(tiny_model)
    found.chat_template = REFUSING + found.chat_template
    return found


def test_its_text_begins_the_first_users(tokenizer: Any, tiny_model: Path) -> None:
    merged = [Turn("user", "Answer.\n\nOne?"), *DIALOGUE[2:]]
    assert Renderer(Asking(), tokenizer).dialogue(DIALOGUE) == Renderer(Asking(), tokenizer).dialogue(merged)
    plain = Renderer(Asking(), load_tokenizer(tiny_model))
    assert plain.dialogue(DIALOGUE) != plain.dialogue(merged)  # a template that takes one gets one


def test_what_is_refused_all_the_same_says_so(tokenizer: Any) -> None:
    tokenizer.chat_template = ALTERNATING + tokenizer.chat_template
    with pytest.raises(ValueError, match="chat template refuses the dialogue: roles must alternate"):
        Renderer(Asking(), tokenizer).dialogue([Turn("assistant", "A"), Turn("user", "One?")])
