"""HTTP to an OpenAI-compatible server: many requests at once, retries that wait as the server asks, no key in sight.

What passes (408, 409, 429, 5xx, time-outs, cut connections, bodies that are no answer) is tried again after an
exponentially growing random wait, and not before the server's own Retry-After. Anything else fails at once with the
server's words. Replies are handed over one by one as they arrive, so that the caller can store each before the next.
"""

from __future__ import annotations

import asyncio
import email.utils
import errno
import ipaddress
import itertools
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpx
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from eval.answers import Costs

Reply = Mapping[str, Any]
PASSING = (408, 409, 425, 429)
FIRST_WAIT_SECONDS = 0.5
SHOWN = 400
log = logging.getLogger(__name__)


class RefusedError(ValueError):
    """The server said no in a way that asking again does not change. `status` is the HTTP status."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class PassingError(Exception):
    """Worth another try, after `wait` seconds where the server said so."""

    def __init__(self, message: str, wait: float | None = None) -> None:
        super().__init__(message)
        self.wait = wait


@dataclass(frozen=True)
class Job:
    """A POST of `body` to `path` below the base URL; `tag` comes back with the reply."""

    tag: Any
    path: str
    body: Mapping[str, Any]


@dataclass(frozen=True)
class Client:
    """A server and how it is treated. `concurrency` requests are under way at once, each takes at most `timeout`
    seconds and is tried at most 1 + `retries` times; a server that asks for a longer wait than `longest_wait` seconds
    is not waited for. `key` goes into the Authorization header and nowhere else. A server on this machine is asked
    directly, whatever proxy the environment names.
    """

    base_url: str
    key: str = field(default="", repr=False)
    concurrency: int = 16
    timeout: float = 120.0
    retries: int = 6
    longest_wait: float = 60.0

    def __post_init__(self) -> None:
        parts = urlsplit(self.base_url)
        if parts.username or parts.password or parts.query:
            raise ValueError("base_url must hold no key, name or password: it is written into the results")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            wanted = "an http(s) address such as http://localhost:8000/v1"
            raise ValueError(f"base_url must be {wanted}, got {self.base_url!r}")
        if not (self.key.isascii() and self.key.isprintable()):  # the HTTP library would say it with the key
            raise ValueError("the key holds a character that no HTTP header may hold, such as a line break")
        for name, value, least in (("concurrency", self.concurrency, 1), ("retries", self.retries, 0)):
            if value < least:
                raise ValueError(f"{name} must be at least {least}, got {value}")
        for name, seconds in (("timeout", self.timeout), ("longest_wait", self.longest_wait)):
            if not seconds > 0:
                raise ValueError(f"{name} must be more than 0 seconds, got {seconds}")

    def ask(self, jobs: Iterable[Job], costs: Costs, take: Callable[[Any, Reply], None]) -> None:
        """Send all jobs and call `take(tag, reply)` for each reply as it arrives, in any order, on this thread.

        Counts requests and retries in `costs`. Raises `RefusedError` where a request cannot succeed and TimeoutError
        where it did not within its tries; what is under way then is dropped, what was taken stays taken.
        """
        asyncio.run(self._ask(iter(jobs), costs, take))

    async def _ask(self, jobs: Iterator[Job], costs: Costs, take: Callable[[Any, Reply], None]) -> None:
        running: set[asyncio.Task[tuple[Any, Reply]]] = set()
        async with self._connected() as connection:
            try:
                while True:
                    more = itertools.islice(jobs, self.concurrency - len(running))
                    running |= {asyncio.create_task(self._one(connection, job, costs)) for job in more}
                    if not running:
                        return
                    done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                    for task in sorted(done, key=lambda task: task.exception() is not None):  # keep what came
                        take(*task.result())
            finally:
                for task in running:
                    task.cancel()
                await asyncio.gather(*running, return_exceptions=True)

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[httpx.AsyncClient]:
        headers = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        limits = httpx.Limits(max_connections=self.concurrency)
        direct = is_here(self.base_url)
        async with httpx.AsyncClient(
            headers=headers, timeout=self.timeout, limits=limits, trust_env=not direct
        ) as connection:
            yield connection

    async def _one(self, connection: httpx.AsyncClient, job: Job, costs: Costs) -> tuple[Any, Reply]:
        def count(state: RetryCallState) -> None:
            costs.retries += 1
            error = state.outcome.exception() if state.outcome else None
            log.info("try %d failed (%s); next in %.1f s", state.attempt_number, error, state.upcoming_sleep)

        tries = AsyncRetrying(
            retry=retry_if_exception_type(PassingError),
            stop=stop_after_attempt(1 + self.retries),
            wait=self._wait,
            before_sleep=count,
            reraise=True,
        )
        try:
            async for attempt in tries:
                with attempt:
                    costs.requests += 1
                    return job.tag, await self._try(connection, job)
        except PassingError as error:
            away = TimeoutError(f"{self.base_url} did not answer in {1 + self.retries} tries; last: {error}")
            away.errno = errno.ETIMEDOUT  # the network's fault and not the request's: the same command may go on
            raise away from None
        raise RuntimeError("a retry loop ended without an answer")

    async def _try(self, connection: httpx.AsyncClient, job: Job) -> Reply:
        try:
            async with asyncio.timeout(self.timeout):
                response = await connection.post(f"{self.base_url.rstrip('/')}{job.path}", json=job.body)
        except TimeoutError as error:
            raise PassingError(f"no answer within {self.timeout:g} s") from error
        except httpx.RequestError as error:
            raise PassingError(f"{type(error).__name__}: {error}") from error
        if response.is_success:
            try:
                reply = response.json()
            except ValueError as error:
                raise PassingError(f"a body that is no JSON: {self._shown(response)!r}") from error
            if fault := _fault(reply):
                raise PassingError(f"{fault}: {self._shown(response)!r}")
            return reply  # type: ignore[no-any-return]
        said = f"{response.status_code} {response.reason_phrase}: {self._shown(response)}"
        used_up = response.status_code == 429 and "insufficient_quota" in response.text
        if used_up or not (response.status_code in PASSING or response.status_code >= 500):
            raise RefusedError(f"{self.base_url}{job.path} answered {said}", response.status_code)
        wait = retry_after(response.headers.get("Retry-After", ""))
        if wait is not None and wait > self.longest_wait:
            longest = f"backend.longest_wait is {self.longest_wait:g} s"
            raise RefusedError(
                f"{self.base_url} wants us to wait {wait:.0f} s ({longest}): {said}", response.status_code
            )
        raise PassingError(said, wait)

    def _wait(self, state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        least = (error.wait or 0.0) if isinstance(error, PassingError) else 0.0
        return max(least, wait_random_exponential(FIRST_WAIT_SECONDS, self.longest_wait)(state))

    def _shown(self, response: httpx.Response) -> str:
        """The server's words, short and without the key, which some servers repeat."""
        text = response.text
        try:
            error = response.json()["error"]
            text = error["message"] if isinstance(error, dict) else str(error)
        except (ValueError, KeyError, TypeError):
            pass
        text = " ".join(str(text).split())
        return (text.replace(self.key, "…") if self.key else text)[:SHOWN]


def is_here(base_url: str) -> bool:
    """Whether an address is on this machine."""
    host = urlsplit(base_url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _fault(reply: Any) -> str:
    """What is wrong with the JSON of a reply that claims success; "" where it answers. Gateways report errors of the
    servers behind them so, at the top or inside of the choice.
    """
    choices = reply.get("choices") if isinstance(reply, dict) else None
    choice = choices[0] if isinstance(choices, list) and choices else None
    if not isinstance(choice, dict):
        return "a reply without choices"
    if reply.get("error") or choice.get("error") or choice.get("finish_reason") == "error":
        return "an error in a reply"
    answers = isinstance(choice["message"], dict) if "message" in choice else "text" in choice
    return "" if answers else "a choice without text"


def retry_after(header: str, now: float | None = None) -> float | None:
    """Seconds to wait by a Retry-After header (RFC 9110, 10.2.3: seconds or an HTTP date); None where it says
    nothing readable.
    """
    if header.isascii() and header.strip().replace(".", "", 1).isdigit():
        return float(header)
    try:
        then = email.utils.parsedate_to_datetime(header).timestamp()
    except (TypeError, ValueError):
        return None
    return max(0.0, then - (time.time() if now is None else now))
