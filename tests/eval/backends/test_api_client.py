"""The HTTP client where no server is needed; `test_api` has the rest, over real HTTP."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from eval.answers import Costs
from eval.backends.api_client import Client, Job, PassingError, is_here, retry_after

KEY = "sk-a-secret-that-must-not-be-seen"


def test_retry_after_in_both_forms() -> None:
    assert retry_after("7") == 7
    assert retry_after("0.5") == 0.5
    assert retry_after("Sun, 06 Nov 1994 08:49:37 GMT", now=784111767.0) == 10
    assert retry_after("Sun, 06 Nov 1994 08:49:37 GMT") == 0
    assert retry_after("soon") is None
    assert retry_after("") is None
    assert retry_after("-5") is None
    assert retry_after("\xb2") is None  # a digit to str.isdigit, and to nobody else
    assert retry_after("9" * 400) == float("inf")


@pytest.mark.parametrize(("said", "least"), [(None, 0.0), (0.0, 0.0), (3.0, 3.0)])
def test_waits_grow_and_are_never_shorter_than_the_server_asks(said: float | None, least: float) -> None:
    """A Retry-After of 0, or of a date that has passed, would otherwise use up all tries within milliseconds."""

    class Outcome:
        def exception(self) -> PassingError:
            return PassingError("busy", said)

    client = Client("http://localhost:1", longest_wait=60.0)
    waits: dict[int, list[float]] = {}
    for attempt in (1, 6):
        state: Any = SimpleNamespace(outcome=Outcome(), attempt_number=attempt)
        waits[attempt] = [client._wait(state) for _ in range(200)]
        assert min(waits[attempt]) >= least
    assert max(waits[1]) <= max(least, 0.5)
    assert max(waits[6]) > 10


@pytest.mark.parametrize("ending", ["\r", "\n", "é", "\x00"])
def test_a_key_that_no_header_may_hold_is_refused_without_showing_it(ending: str) -> None:
    with pytest.raises(ValueError, match="no HTTP header may hold") as refused:
        Client("http://localhost:1", KEY + ending)
    assert KEY not in str(refused.value)


def test_addresses_of_this_machine() -> None:
    assert [is_here(f"http://{host}/v1") for host in ("localhost:80", "127.0.0.2", "[::1]:8", "10.0.0.1", "a.b")] == [
        True, True, True, False, False,
    ]  # fmt: skip


def test_the_key_is_not_in_the_clients_text() -> None:
    assert KEY not in repr(Client("http://localhost:1", KEY))


def test_a_server_that_is_not_there_is_named() -> None:
    client = Client("http://127.0.0.1:9/v1", retries=1, longest_wait=0.1)
    with pytest.raises(TimeoutError, match=r"127\.0\.0\.1:9/v1 did not answer in 2 tries; last: Connect"):
        client.ask([Job(0, "/completions", {})], Costs(), lambda tag, reply: None)
