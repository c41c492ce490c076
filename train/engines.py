"""How a training is spread over processes: DDP, DeepSpeed's ZeRO and PyTorch's FSDP2, and what each makes of weights.

The launcher starts the processes; what each engine needs is handed to transformers' `TrainingArguments` here. Three
wrong starts of these libraries train something else and end well, so `check_wrapped` looks at what was really made.
"""

from __future__ import annotations

import importlib.util
import shutil
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout
from dataclasses import dataclass
from typing import Any

KINDS = ("single", "ddp", "zero2", "zero3", "fsdp2")
BUCKET = 50_000_000  # elements that ZeRO sends at once: 0.2 GB in float32


@dataclass(frozen=True)
class Engine:
    """`kind`: single (one process), ddp (a whole model in each), zero2 (gradients and optimiser states in shares),
    zero3 and fsdp2 (weights in shares as well). `threads`: of the CPU, a process; "auto" is decided by the launcher.

    `gradient_checkpointing` computes each layer again in the backward pass instead of keeping its activations.
    `offload_optimizer` (zero2, zero3) keeps optimiser states, `offload_parameters` (zero3, fsdp2) weights in the
    memory of the CPU; with fsdp2 the second means both. With one of them a single process can train what one GPU
    cannot hold.
    """

    kind: str = "single"
    processes: int = 1
    threads: int | str = "auto"
    gradient_checkpointing: bool = False
    offload_optimizer: bool = False
    offload_parameters: bool = False

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"engine.kind must be one of {', '.join(KINDS)}, got {self.kind!r}")
        offloads = self.stage is not None and (self.offload_optimizer or self.offload_parameters)
        alone, several = self.kind == "single" or offloads, self.kind != "single"
        if self.processes < 1 or not (alone if self.processes == 1 else several):
            raise ValueError(
                f"engine: kind single means one process and {', '.join(KINDS[1:])} several (one will do for zero2 and "
                f"zero3 that offload something), got kind {self.kind} and {self.processes} processes"
            )
        if self.offload_optimizer and self.stage is None:
            raise ValueError(f"engine.offload_optimizer needs kind zero2 or zero3, got {self.kind}")
        if self.offload_parameters and self.kind not in ("zero3", "fsdp2"):
            raise ValueError(f"engine.offload_parameters needs kind zero3 or fsdp2, got {self.kind}")

    @property
    def stage(self) -> int | None:
        """ZeRO's stage (Rajbhandari et al. 2020, arXiv:1910.02054); None with another engine."""
        return {"zero2": 2, "zero3": 3}.get(self.kind)

    @property
    def shards(self) -> bool:
        """Whether a process holds only a share of the weights while it trains."""
        return self.kind in ("zero3", "fsdp2")

    @property
    def trains_apart(self) -> bool:
        """Whether training gets processes of its own: what these libraries set up stays until a process ends."""
        return self.kind in ("zero2", "zero3", "fsdp2")

    def check_machine(self) -> None:
        """Raise ValueError where this machine cannot run the engine, with what to install or to choose instead."""
        import torch

        gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if self.kind == "fsdp2" and not gpus:
            raise ValueError(
                "engine fsdp2 needs GPUs: on CPUs accelerate runs plain DDP in its place; use zero3 or ddp"
            )
        if 0 < gpus < self.processes:
            raise ValueError(f"engine.processes is {self.processes}, and there are {gpus} GPUs: one process a GPU")
        if self.stage is None:
            return
        if importlib.util.find_spec("deepspeed") is None:
            raise ValueError(f"engine {self.kind} needs DeepSpeed: pip install 'deepspeed>=0.19.8,<0.20'")
        lacking = [name for name in ("ninja", "g++") if shutil.which(name) is None]
        if lacking and not gpus:
            raise ValueError(
                f"engine {self.kind} compiles its communication on CPUs and found no {' and no '.join(lacking)}: "
                "pip install ninja, and install g++ (Debian: apt-get install g++); or use ddp"
            )

    def arguments(self, bf16: bool) -> dict[str, Any]:
        """What `TrainingArguments` are told. `bf16`: whether forward passes compute in bfloat16."""
        if self.stage is not None:
            _join_deepspeed()
            return {"deepspeed": self.deepspeed(bf16), "bf16": False}  # DeepSpeed has the autocast, see there
        if self.kind == "fsdp2":
            return {"fsdp": True, "fsdp_config": self.fsdp(), "bf16": bf16}
        return {"bf16": bf16}

    def deepspeed(self, bf16: bool) -> dict[str, Any]:
        """DeepSpeed's configuration. Without an optimizer block the optimiser is that of the other engines.

        Weights stay float32 and are cast while computing (`torch_autocast`), as without DeepSpeed: its own bfloat16
        mode would store bfloat16, and a reference computed before training would differ from the model.
        """
        zero: dict[str, Any] = {
            "stage": self.stage,
            "contiguous_gradients": True,
            "reduce_bucket_size": BUCKET,
            "allgather_bucket_size": BUCKET,
        }
        if self.stage == 3:
            zero["stage3_prefetch_bucket_size"] = "auto"
            zero["stage3_param_persistence_threshold"] = "auto"
            zero["stage3_max_live_parameters"] = 2 * BUCKET
            zero["stage3_gather_16bit_weights_on_model_save"] = True  # gathers them in the type that they have
        for name, on in (("offload_optimizer", self.offload_optimizer), ("offload_param", self.offload_parameters)):
            if on:
                zero[name] = {"device": "cpu", "pin_memory": True}
        return {
            "train_batch_size": "auto",
            "train_micro_batch_size_per_gpu": "auto",
            "gradient_accumulation_steps": "auto",
            "gradient_clipping": "auto",
            "zero_allow_untested_optimizer": True,
            "zero_force_ds_cpu_optimizer": False,
            "zero_optimization": zero,
            "torch_autocast": {"enabled": bf16, "dtype": "bfloat16"},
        }

    def fsdp(self) -> dict[str, Any]:
        """The configuration of PyTorch's fully sharded data parallel 2 (Zhao et al. 2023, arXiv:2304.11277)."""
        return {
            "version": 2,
            "auto_wrap_policy": "TRANSFORMER_BASED_WRAP",
            "reshard_after_forward": True,
            "cpu_offload": self.offload_parameters,
            "state_dict_type": "FULL_STATE_DICT",
        }


def check_wrapped(model: Any, engine: Engine) -> None:
    """Raise ValueError where the processes or what wraps the model are not those of the engine."""
    import torch.distributed as dist

    world = dist.get_world_size() if dist.is_initialized() else 1
    found = type(model).__name__
    if engine.stage is not None:
        right = found == "DeepSpeedEngine" and model.zero_optimization_stage() == engine.stage
    elif engine.kind == "fsdp2":
        right = any(kind.__name__ == "FSDPModule" for kind in type(model).__mro__)
    else:
        right = (found == "DistributedDataParallel") == (engine.kind == "ddp") and found != "DeepSpeedEngine"
    if world != engine.processes or not right:
        raise ValueError(
            f"engine {engine.kind} with {engine.processes} processes was asked for, and {found} in {world} was started"
        )


def _join_deepspeed() -> None:
    """DeepSpeed on the group that the processes have joined: weights are dealt out as soon as a model is loaded."""
    import logging

    import deepspeed
    import torch

    said = logging.getLogger("DeepSpeed")  # writes to stdout by itself; log.txt is the place
    said.handlers.clear()
    said.propagate = True
    with redirect_stdout(sys.stderr):  # what it compiles
        deepspeed.init_distributed(dist_backend="nccl" if torch.cuda.is_available() else "gloo", verbose=False)


def leave_deepspeed() -> None:
    """Models loaded from now on are whole again."""
    from transformers.integrations.deepspeed import unset_hf_deepspeed_config

    unset_hf_deepspeed_config()  # type: ignore[no-untyped-call]


@contextmanager
def whole(parameter: Any) -> Iterator[Any]:
    """A parameter of which each process may hold a share, whole and on its device. All processes have to ask."""
    if hasattr(parameter, "ds_id"):
        from deepspeed.runtime.zero import GatheredParameters

        with GatheredParameters([parameter]):
            yield parameter.data
    else:
        yield parameter.full_tensor() if hasattr(parameter, "full_tensor") else parameter


def elements(parameter: Any) -> int:
    """How many numbers a parameter has, whichever share of it is here."""
    packed = 2 if type(parameter).__name__ == "Params4bit" else 1  # bitsandbytes keeps two numbers a byte
    return packed * int(getattr(parameter, "ds_numel", parameter.numel()))


@contextmanager
def gathered_by_module(model: Any) -> Iterator[None]:
    """Forward passes of a model that ZeRO-3 has dealt out but not wrapped yet: each module's own weights are gathered
    while it computes, so that no more than a module's are here at once. All processes have to compute the same.
    """
    open_now: dict[Any, Any] = {}

    def gather(module: Any, *_: Any) -> None:
        from deepspeed.runtime.zero import GatheredParameters

        open_now[module] = GatheredParameters(list(module.parameters(recurse=False)))
        open_now[module].__enter__()

    def release(module: Any, *_: Any) -> None:
        open_now.pop(module).__exit__(None, None, None)

    with ExitStack() as handles:
        for module in model.modules():
            if any(hasattr(parameter, "ds_id") for parameter in module.parameters(recurse=False)):
                handles.callback(module.register_forward_pre_hook(gather).remove)
                handles.callback(module.register_forward_hook(release).remove)
        yield
