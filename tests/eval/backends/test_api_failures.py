"""The API backend against a server that breaks, refuses and lies: nothing is asked twice and no key is shown."""

from __future__ import annotations

import logging
from typing import Any

import httpx
import numpy as np
import pytest

from data.prompts import OptionPrompt
from eval.answers import TextRequest
from eval.backends.api import OpenAICompatible
from eval.backends.api_client import RefusedError

ALL = 100_000  # more than the whole vocabulary


FAULTS = ("429 1", "500", "slow", "cut", "ok", "429 date", "html", "429", "cut", "500", "ok", "slow", "429 0")


def test_faults_are_survived_and_nothing_is_asked_twice(
    server: Any, opened: Any, prompts: list[OptionPrompt], exact: list[Any]
) -> None:
    server.script = list(FAULTS)
    server.slow = 0.5
    subject = opened(top_logprobs=ALL, timeout=0.4, concurrency=4)
    seen: list[tuple[int, int]] = []
    answers = subject.score(prompts, lambda done, total: seen.append((done, total)))
    for mine, true in zip(answers, exact, strict=True):
        np.testing.assert_allclose(mine.probabilities, true.probabilities, atol=1e-4)
    assert set(server.answered.values()) == {1}
    assert len(server.answered) == len(prompts)
    failed = len([fault for fault in FAULTS if fault != "ok"])
    assert subject.costs.retries == failed
    assert subject.costs.requests == server.requests == len(prompts) + failed
    assert seen == [(done, len(prompts)) for done in range(1, len(prompts) + 1)]
    again = opened(top_logprobs=ALL)
    second = again.score(prompts)
    assert server.requests == len(prompts) + failed
    assert (again.costs.requests, again.costs.stored) == (0, len(prompts))
    assert [one.probabilities.tolist() for one in second] == [one.probabilities.tolist() for one in answers]


def test_an_interruption_costs_only_what_is_under_way(server: Any, opened: Any, prompts: list[OptionPrompt]) -> None:
    def stop(done: int, total: int) -> None:
        if done == total // 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        opened(top_logprobs=ALL, concurrency=3).score(prompts, stop)
    resumed = opened(top_logprobs=ALL, concurrency=3)
    assert len(resumed.score(prompts)) == len(prompts)
    assert resumed.costs.stored == len(prompts) // 2
    assert resumed.costs.requests == len(prompts) - len(prompts) // 2
    assert server.requests <= len(prompts) + 3


def test_the_concurrency_limit_is_kept_and_used(server: Any, opened: Any, prompts: list[OptionPrompt]) -> None:
    server.delay = 0.02
    opened(top_logprobs=ALL, concurrency=3).score(prompts)
    assert server.busiest == 3


def test_the_same_prompt_twice_is_one_request(server: Any, opened: Any, prompts: list[OptionPrompt]) -> None:
    first, second = opened(top_logprobs=ALL).score([prompts[0], prompts[0]])
    assert server.requests == 1
    assert first.probabilities.tolist() == second.probabilities.tolist()


def test_tries_end(server: Any, opened: Any, prompts: list[OptionPrompt]) -> None:
    server.script = ["500"] * 3
    subject = opened(retries=2)
    with pytest.raises(TimeoutError, match=r"did not answer in 3 tries; last: 500 .*something broke"):
        subject.score(prompts[:1])
    assert server.requests == 3


@pytest.mark.parametrize(
    ("fault", "said"),
    [("401", "401 Unauthorized: no: wrong key …"), ("400 too long", "no: too long"), ("quota", "no money left")],
)
def test_what_cannot_succeed_fails_at_once_without_the_key(
    server: Any,
    opened: Any,
    prompts: list[OptionPrompt],
    fault: str,
    said: str,
    caplog: pytest.LogCaptureFixture,
    key: str,
) -> None:
    caplog.set_level(logging.DEBUG)
    server.script = [fault]
    with pytest.raises(RefusedError) as refused:
        opened().score(prompts)
    assert said in str(refused.value)
    assert key not in repr(refused.value)
    assert key not in caplog.text
    assert server.requests == 1
    assert server.authorizations == {f"Bearer {key}"}


ANSWER = {"message": {"content": "yes"}, "finish_reason": "stop"}


@pytest.mark.parametrize(
    "reply",
    [
        {"error": {"message": "the provider broke"}, "choices": [ANSWER]},
        {"choices": [{"message": {"content": ""}, "finish_reason": "error", "error": {"message": "broke"}}]},
        {"choices": [{"message": {"content": ""}, "finish_reason": "error"}]},
        {"choices": [{"message": None, "finish_reason": "stop"}]},
        {"choices": [{}]},
        {"choices": [None]},
        {"choices": {}},
        {"choices": []},
        [],
    ],
)
def test_an_error_that_comes_as_a_success_is_no_answer(
    server: Any, opened: Any, reply: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eval.backends.api_client.FIRST_WAIT_SECONDS", 0.01)
    whole, said = server.complete, [reply]
    server.complete = lambda path, body: said.pop() if said else whole(path, body)
    subject = opened()
    (answer,) = subject.generate([TextRequest('[{"role": "user", "content": "Is it?"}]', max_tokens=3)])
    assert answer.tokens == 3
    assert subject.costs.retries == 1


def test_a_reply_that_cannot_be_unpacked_is_tried_again(
    server: Any, opened: Any, prompts: list[OptionPrompt], monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = []
    post = httpx.AsyncClient.post

    async def broken(self: httpx.AsyncClient, *given: Any, **more: Any) -> httpx.Response:
        tries.append(given)
        if len(tries) == 1:
            raise httpx.DecodingError("incorrect header check")
        return await post(self, *given, **more)

    monkeypatch.setattr(httpx.AsyncClient, "post", broken)
    assert len(opened().score(prompts[:1])) == 1
    assert len(tries) == 2


def test_a_server_on_this_machine_is_asked_past_a_proxy(
    server: Any, opened: Any, prompts: list[OptionPrompt], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    assert len(opened(retries=0).score(prompts[:1])) == 1


def test_a_key_from_a_file_with_windows_line_ends_is_used(
    server: Any, opened: Any, prompts: list[OptionPrompt], monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setenv("B_KEY", f"{key}\r\n")
    opened(api_key_env="B_KEY").score(prompts[:1])
    assert server.authorizations == {f"Bearer {key}"}


def test_a_key_in_place_of_its_variable_is_refused_without_showing_it(key: str) -> None:
    with pytest.raises(ValueError, match="api_key_env must be the name of an environment variable") as refused:
        OpenAICompatible(api_key_env=key)
    assert key not in str(refused.value)


def test_a_server_that_asks_for_a_long_wait_is_given_up(server: Any, opened: Any, prompts: list[OptionPrompt]) -> None:
    server.script = ["429 3600"]
    with pytest.raises(RefusedError, match=r"wants us to wait 3600 s \(backend.longest_wait is 1 s\)"):
        opened().score(prompts[:1])
