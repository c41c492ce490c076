"""Which parameters train: all of the base model's (`Full`), some of them (`train.partial`), or a low-rank adapter
beside them (`Lora`, `Dora`, and `QLora` on a base in 4 bits).
"""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from train.engines import Engine
from train.knobs import positive


class Adapter(Protocol):
    """Prepares a loaded model for training. `folder` is where the cell keeps what was trained.

    Optional: `quantization`, what `data.models.load_model` is told of the base; `check_machine()`, which raises
    ValueError where this machine cannot train the adapter.
    """

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
    decomposes = False

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
            use_dora=self.decomposes,
            **task_of(model),
        )
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing", category=FutureWarning)
            return get_peft_model(model, config)


@dataclass(frozen=True)
class Dora(Lora):
    """Weight-decomposed low-rank adaptation (Liu et al. 2024, arXiv:2402.09353, equation 5): the direction of W is
    adapted as with `Lora`, and the length of each of its rows trains as well.
    """

    decomposes = True


@dataclass(frozen=True)
class QLora(Lora):
    """`Lora` on a frozen base in 4-bit NormalFloat (Dettmers et al. 2023, arXiv:2305.14314), by bitsandbytes, on a GPU.

    `double_quantization` quantises the scales of the 4-bit blocks too: 0.4 bit a parameter less. Audits see the base in
    4 bits as well, as training did; the base arm beside it is not quantised.
    """

    double_quantization: bool = True

    @property
    def quantization(self) -> Mapping[str, Any]:
        return {
            "load_in_4bit": True,
            "bnb_4bit_quant_type": "nf4",
            "bnb_4bit_use_double_quant": self.double_quantization,
            "bnb_4bit_compute_dtype": "bfloat16",
        }

    def check_machine(self) -> None:
        import torch

        if not torch.cuda.is_available():
            raise ValueError("adapter qlora needs a GPU: 4-bit weights are computed there; use lora or dora on a CPU")
        if importlib.util.find_spec("bitsandbytes") is None:
            raise ValueError("adapter qlora needs bitsandbytes: pip install bitsandbytes")


def check_together(engine: Engine, adapter: Adapter, head: str) -> None:
    """Raise ValueError where an engine cannot train an adapter, or a recipe's head ("language" or "reward")."""
    if engine.shards and isinstance(adapter, QLora):
        raise ValueError(
            f"adapter qlora cannot be trained by engine {engine.kind}: 4-bit weights are not dealt out; use ddp"
        )
    if engine.kind == "fsdp2" and isinstance(adapter, Lora):
        raise ValueError(
            "engine fsdp2 shards weights of one type, and an adapter is float32 beside bfloat16: use zero3 or ddp"
        )
    if head == "reward" and isinstance(adapter, QLora):
        raise ValueError("a reward model cannot be trained with adapter qlora here: use lora")
    if engine.shards and head == "reward":
        raise ValueError(f"a reward model cannot be trained by engine {engine.kind} here: use zero2 or ddp")


def task_of(model: Any) -> dict[str, Any]:
    """What PEFT is told of the model's task. A reward model's head is trained and saved whole, beside the adapter."""
    if hasattr(model, "score"):
        return {"task_type": "SEQ_CLS", "modules_to_save": ["score"]}
    return {"task_type": "CAUSAL_LM"}
