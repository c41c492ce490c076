"""Which parameters train: all of the base model's (`Full`), or a low-rank adapter beside them (`Lora`)."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, Protocol

from train.knobs import positive


class Adapter(Protocol):
    """Prepares a loaded model for training. `folder` is where the cell keeps what was trained."""

    @property
    def folder(self) -> str: ...
    @property
    def trains_base(self) -> bool: ...
    @property
    def learning_rate_scale(self) -> float: ...
    def __call__(self, model: Any) -> Any: ...


@dataclass(frozen=True)
class Full:
    """Every parameter of the base model trains."""

    learning_rate_scale: float = 1.0
    folder = "model"
    trains_base = True

    def __post_init__(self) -> None:
        positive("adapter", learning_rate_scale=self.learning_rate_scale)

    def __call__(self, model: Any) -> Any:
        return model.requires_grad_(True)


@dataclass(frozen=True)
class Lora:
    """Low-rank adaptation (Hu et al. 2022, arXiv:2106.09685): W + alpha / rank * B A, the base frozen.

    `learning_rate_scale` multiplies the recipe's learning rate: ten times that of full training is the optimum found in
    practice (Schulman et al. 2025, "LoRA Without Regret"). `target_modules`: "all-linear" or names of modules.
    """

    rank: int = 16
    alpha: float = 32.0
    dropout: float = 0.0
    target_modules: str | tuple[str, ...] = "all-linear"
    learning_rate_scale: float = 10.0
    folder = "adapter"
    trains_base = False

    def __post_init__(self) -> None:
        positive("adapter", rank=self.rank, alpha=self.alpha, learning_rate_scale=self.learning_rate_scale)
        if not 0 <= self.dropout < 1:
            raise ValueError(f"adapter.dropout must lie in [0, 1), got {self.dropout}")

    def __call__(self, model: Any) -> Any:
        from peft import LoraConfig, get_peft_model

        modules = self.target_modules if isinstance(self.target_modules, str) else list(self.target_modules)
        config = LoraConfig(
            r=self.rank,
            lora_alpha=self.alpha,  # type: ignore[arg-type]  # peft divides by rank: a float is as good
            lora_dropout=self.dropout,
            target_modules=modules,
            task_type="CAUSAL_LM",
        )
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing", category=FutureWarning)
            return get_peft_model(model, config)
