"""Served models: names instead of weights."""

from __future__ import annotations

import pytest

from data.models import ModelSpec, fetch
from data.served import served_weights


def test_name_address_and_revision_stand_for_the_weights() -> None:
    assert served_weights("api:gpt", None, "https://x.org/v1/") == "api:gpt@https://x.org/v1"
    assert served_weights("api:gpt", "May 2026", "https://x.org/v1") == "api:gpt@https://x.org/v1 revision May 2026"


def test_a_served_model_cannot_be_fetched_and_needs_a_name() -> None:
    assert ModelSpec("api:gpt").served
    assert not ModelSpec("owner/api:gpt").served
    with pytest.raises(ValueError, match="'api:gpt' is served and has no weights here"):
        fetch(ModelSpec("api:gpt"))
    with pytest.raises(ValueError, match="lacks a name"):
        ModelSpec("api:")
