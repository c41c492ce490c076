"""How much is trained, and what makes two arms' budgets the same."""

from __future__ import annotations

from dataclasses import dataclass

SCHEDULES = ("linear", "cosine", "constant_with_warmup")
MATCHES = ("examples", "steps", "tokens", "flops")
MEASURED = ("tokens", "flops")
"""The matches whose number of steps is found by measuring the examples (`train.matching`)."""


@dataclass(frozen=True)
class Budget:
    """How much is trained; the same for all arms that are compared.

    `examples` are seen once each, `batch_size` of them an optimiser step over all processes together. `micro_batch`:
    how many of them one device computes at once (None = its whole share); bounds memory and changes no gradient.
    `checkpoint_every`: steps. `warmup`: share of the steps. `max_length`: tokens a prompt may have.

    `match`: what is the same for all arms. examples: that many; of a recipe that computes k prompts for one of them
    (`prompts_per_example`), `examples` / k. steps: `amount` of them, or examples / batch_size. tokens: whole batches
    until `amount` prompt tokens, each prompt counted in full. flops: until `amount` FLOPs (`train.matching`). With both
    `examples` is only what a proposal is made from, where `amount` is missing.
    """

    examples: int = 320
    batch_size: int = 16
    checkpoint_every: int = 5
    micro_batch: int | None = None
    schedule: str = "linear"
    warmup: float = 0.1
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    max_length: int = 1024
    match: str = "examples"
    amount: float | None = None

    def __post_init__(self) -> None:
        for name in ("examples", "batch_size", "checkpoint_every", "max_length"):
            if getattr(self, name) < 1:
                raise ValueError(f"budget.{name} must be at least 1, got {getattr(self, name)}")
        if self.examples % self.batch_size:
            raise ValueError(
                f"budget.examples must be a multiple of budget.batch_size, got {self.examples} and {self.batch_size}"
            )
        if self.schedule not in SCHEDULES:
            raise ValueError(f"budget.schedule must be one of {list(SCHEDULES)}, got {self.schedule!r}")
        if not 0 <= self.warmup < 1:
            raise ValueError(f"budget.warmup must lie in [0, 1), got {self.warmup}")
        if self.weight_decay < 0 or self.max_grad_norm <= 0:
            raise ValueError(
                "budget.weight_decay must be >= 0 and budget.max_grad_norm > 0, "
                f"got {self.weight_decay} and {self.max_grad_norm}"
            )
        self._check_match()

    def _check_match(self) -> None:
        if self.match not in MATCHES:
            raise ValueError(f"budget.match must be one of {list(MATCHES)}, got {self.match!r}")
        if self.amount is None:
            return
        if self.match == "examples":
            raise ValueError(
                f"budget.amount {self.amount:g} belongs to budget.match=steps, tokens or flops; "
                "with match=examples set budget.examples"
            )
        if not 0 < self.amount < float("inf") or (self.match == "steps" and self.amount % 1):
            kind = "a whole number of at least 1" if self.match == "steps" else "above 0 and finite"
            raise ValueError(f"budget.amount must be {kind} with budget.match={self.match}, got {self.amount:g}")

    @property
    def measured(self) -> bool:
        """Whether the number of steps is known only once the training examples were measured."""
        return self.match in MEASURED

    @property
    def steps(self) -> int:
        """Optimiser steps. Raises ValueError where they are not known yet (`measured`)."""
        if self.measured:
            raise ValueError(f"how many steps budget.match={self.match} takes is known once the examples were measured")
        return int(self.amount) if self.amount else self.examples // self.batch_size

    @property
    def told(self) -> str:
        """Until when it trains, in words."""
        unit = {"tokens": "prompt tokens", "flops": "FLOPs"}.get(self.match)
        return f"until {self.amount:.4g} {unit}" if unit else f"{self.steps} steps"

    def split(self, processes: int) -> tuple[int, int]:
        """Examples a device computes at once, and how often it does so in a step. Raises ValueError if uneven."""
        micro = self.micro_batch or self.batch_size // processes
        if micro < 1 or self.batch_size % (micro * processes):
            raise ValueError(
                f"budget.batch_size {self.batch_size} is no multiple of micro_batch x processes = {micro} x {processes}"
            )
        return micro, self.batch_size // (micro * processes)
