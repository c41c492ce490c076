"""The HTTP client where no server is needed; `test_api` has the rest, over real HTTP."""

from __future__ import annotations

import pytest

from eval.answers import Costs
from eval.backends.api_client import Client, Job, retry_after

KEY = "sk-a-secret-that-must-not-be-seen"


def test_retry_after_in_both_forms() -> None:
    assert retry_after("7") == 7
    assert retry_after("0.5") == 0.5
    assert retry_after("Sun, 06 Nov 1994 08:49:37 GMT", now=784111767.0) == 10
    assert retry_after("Sun, 06 Nov 1994 08:49:37 GMT") == 0
    assert retry_after("soon") is None
    assert retry_after("") is None


def test_the_key_is_not_in_the_clients_text() -> None:
    assert KEY not in repr(Client("http://localhost:1", KEY))


def test_a_server_that_is_not_there_is_named() -> None:
    client = Client("http://127.0.0.1:9/v1", retries=1, longest_wait=0.1)
    with pytest.raises(TimeoutError, match=r"127\.0\.0\.1:9/v1 did not answer in 2 tries; last: Connect"):
        client.ask([Job(0, "/completions", {})], Costs(), lambda tag, reply: None)
