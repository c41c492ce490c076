"""What the numbers of a benchmark depend on: the clock, the arithmetic floor, the machine, the versions."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import linear

PACKAGES = ("torch", "transformers", "tokenizers", "numpy", "lm_eval", "vllm")
PASSES = 5
BUSY = 0.5  # load a core beyond which the numbers are doubtful


def clock(device: torch.device) -> float:
    """CPU seconds of this process with all its threads; on a GPU, wall seconds once all its work is done."""
    if device.type == "cpu":
        return time.process_time()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def layer_shapes(model: Any) -> tuple[Counter[tuple[int, int]], dict[tuple[int, int], torch.Tensor]]:
    """How many weight matrices of each shape a token passes through, and one of each: all but the embeddings."""
    outer = [model.get_input_embeddings(), model.get_output_embeddings()]
    embeddings = {id(module.weight) for module in outer if module is not None}
    found: Counter[tuple[int, int]] = Counter()
    example: dict[tuple[int, int], torch.Tensor] = {}
    for weight in model.parameters():
        if weight.ndim == 2 and id(weight) not in embeddings:
            shape = (weight.shape[0], weight.shape[1])
            found[shape] += 1
            example[shape] = weight
    return found, example


@torch.inference_mode()
def matmul_rate(model: Any, rows: int) -> float:
    """Floating-point operations a second (of `clock`) in matrix products of `rows` tokens with the model's weights."""
    counts, weights = layer_shapes(model)
    device = next(model.parameters()).device
    operations = seconds = 0.0
    for (outputs, inputs), count in counts.items():
        weight = weights[outputs, inputs]
        tokens = torch.randn(rows, inputs, device=device, dtype=weight.dtype)
        linear(tokens, weight)
        taken = []
        for _ in range(PASSES):
            started = clock(device)
            linear(tokens, weight)
            taken.append(clock(device) - started)
        seconds += count * sorted(taken)[PASSES // 2]
        operations += count * 2.0 * rows * outputs * inputs
    return operations / seconds


def parameters(model: Any) -> int:
    """Parameters of all weight matrices but the embeddings."""
    return sum(count * outputs * inputs for (outputs, inputs), count in layer_shapes(model)[0].items())


def machine(device: torch.device) -> str:
    """The machine in words."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    name = platform.processor() or platform.machine()
    with suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return f"{name}, {os.cpu_count()} logical cores, {torch.backends.cpu.get_cpu_capability()}"


def versions() -> dict[str, str]:
    """Versions of what answers, of the packages that are installed."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        with suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def busy(load: float) -> bool:
    """Whether a load average means that other work shares the cores."""
    return load > BUSY * (os.cpu_count() or 1)
