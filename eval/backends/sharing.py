"""Several processes that ask as one: each computes its share, all get all answers.

Every process walks the same audit and calls the same things in the same order. `gather` runs a piece of work in each
and gives all results to all. Its tag says what the step is: processes that have come apart (an order that differs
from process to process, a failure in one alone) raise instead of mixing answers. A process that is alone does its
work and waits for nobody.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist

T = TypeVar("T")
PATIENCE = timedelta(days=7)  # a process that dies is noticed by the launcher, so one that is slow may be slow


class ProcessError(RuntimeError):
    """Something failed in another process, or the processes no longer do the same."""


@dataclass(frozen=True)
class Processes:
    """A process and its place among `world`."""

    rank: int = 0
    world: int = 1

    @property
    def main(self) -> bool:
        """Whether this is the one that writes and speaks."""
        return self.rank == 0

    def gather(self, tag: str, work: Callable[[], T]) -> list[T]:
        """The results of `work` in all processes, by rank, in every process.

        What it raises is raised here; in the others a ProcessError that says so. Also raises ProcessError where
        another process is at a step with another tag.
        """
        if self.world == 1:
            return [work()]
        mine, failure = self._attempt(work)
        told: list[Any] = [None] * self.world
        dist.all_gather_object(told, (tag, failure and _told(failure), mine))
        return self._agreed(tag, failure, told)

    def from_main(self, tag: str, work: Callable[[], T]) -> T:
        """The result of `work`, which is done by the main process alone. Raises as `gather`."""
        return self.gather(tag, lambda: work() if self.main else None)[0]  # type: ignore[return-value]

    def main_first(self, tag: str, work: Callable[[], T]) -> T:
        """`work` in every process, in the others once the main process has done it."""
        made: list[T] = []
        self.gather(tag, lambda: made.append(work()) if self.main else None)
        return made[0] if made else work()

    def wait(self, tag: str) -> None:
        """Until all are here."""
        self.gather(tag, lambda: None)

    def _attempt(self, work: Callable[[], T]) -> tuple[T | None, Exception | None]:
        try:
            return work(), None
        except Exception as error:
            return None, error

    def _agreed(self, tag: str, failure: Exception | None, told: list[Any]) -> list[Any]:
        if failure is not None:
            raise failure
        for rank, (step, failed, _) in enumerate(told):
            if failed is not None:
                raise ProcessError(f"process {rank}: {failed}")
            if step != tag:
                raise ProcessError(f"process {rank} is at step {step!r} and process {self.rank} at {tag!r}")
        return [result for _, _, result in told]


def current() -> Processes:
    """The place of this process in the group that it has joined; alone where it has joined none."""
    if dist.is_available() and dist.is_initialized():
        return Processes(dist.get_rank(), dist.get_world_size())
    return Processes()


def join() -> Processes:
    """Join the processes that the launcher started with this one (nothing to do where it started no group)."""
    if "WORLD_SIZE" in os.environ:
        from accelerate import PartialState

        PartialState(cpu=not torch.cuda.is_available(), timeout=PATIENCE)
    return current()


def leave() -> None:
    """Let go of the group: a process that ends while it is joined may be aborted by its threads."""
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()


def _told(error: Exception) -> str:
    return str(error) or type(error).__name__
