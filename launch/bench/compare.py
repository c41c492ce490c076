"""The scorer of the audits beside other ways of asking, on the same prompts in one run.

Every way has a process of its own: the scorer with the environment of the worker, in which audits run, the others with
the one that the benchmark was called in. They are warmed by a pass that is not measured and then asked in turn,
`repeats` times over, so that a machine that slows down slows all of them. Seconds are CPU seconds of the way's process
(on a GPU: wall seconds until its work is done), from rendered text to option probabilities. The arithmetic floor is
what the matrix products alone of every distinct token take: 2 × parameters outside the embeddings × unique tokens / the
rate of those products, measured in the scorer's process between the ways.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

import numpy as np
import torch

from data.models import ModelSpec, device_for, fetch, load_tokenizer
from data.packing import pack
from data.prompts import Asking, Renderer
from launch.bench import machine, ways
from launch.bench.answers_child import ENGINE, LM_EVAL, LOOP, ONE_BY_ONE, VLLM
from launch.bench.process import Child
from launch.bench.prompts import bench_prompts
from launch.build import build_as
from launch.compose import Composer
from launch.process import ALLOCATOR, threads_for, worker_environment

AGAINST = (LM_EVAL, LOOP, ONE_BY_ONE, VLLM)
SETTINGS = (*ALLOCATOR, "GOMP_SPINCOUNT")  # what of the worker's environment changes seconds
CHILD = "launch.bench.answers_child"
CHUNK = 2048  # rows of the measured matrix products: the scorer's chunk


@dataclass
class Row:
    """One way: seconds of each repeat and what it answered, or why it was not asked. `process` is the `against` name of
    the process that asks it, `way` what the table calls it.
    """

    process: str
    way: str
    missing: str = ""
    seconds: list[float] = field(default_factory=list)
    shares: ways.Shares | None = None

    @property
    def median(self) -> float:
        return median(self.seconds) if self.seconds else float("nan")


@dataclass(frozen=True)
class Facts:
    """What the rows stand on. `unique` tokens of one prefix tree of all prompts; `computed` tokens of the chunks that
    the scorer cuts it into; `rate` of matrix products of `matmul_rows` tokens, operations a second; `floor` and
    `rendering` in seconds; `load` averages of a minute before and after; `asked_as` how the scorer asked; `settings` in
    the environment of its process.
    """

    model: str
    prompt_set: str
    prompts: int
    tokens: int
    unique: int
    computed: int
    asked_as: Mapping[str, str]
    parameters: int
    matmul_rows: int
    rate: float
    floor: float
    rendering: float
    device: str
    dtype: str
    threads: int
    machine: str
    versions: Mapping[str, str]
    settings: Mapping[str, str]
    load: tuple[float, float]


def compare(
    source: str, which: str, limit: int | None, threads: int | None, repeats: int, against: Sequence[str]
) -> tuple[list[Row], Facts]:
    """Ask in every way, measure the floor. Raises as making the prompts does, and ChildProcessError for a process that
    ended, with its last lines.
    """
    before = os.getloadavg()[0]
    threads = threads or threads_for("auto", 1)
    with Composer() as composer:
        config = composer([])
    spec = ModelSpec(source) if source else build_as(ModelSpec, config["model"], "model")
    device, tokenizer = device_for(), load_tokenizer(fetch(spec), spec.trust_remote_code)
    prompts, rendering = _rendered(which, config, tokenizer, limit)
    style = "chat" if getattr(tokenizer, "chat_template", None) else "completion"
    sequences = Renderer(Asking(style), tokenizer).encode([prompt.text for prompt in prompts])
    unique = sum(len(tree.tokens) for tree in pack(sequences, 2**62))
    order = {"spec": asdict(spec), "style": style, "threads": threads}
    order["prompts"] = [[prompt.text, prompt.labels] for prompt in prompts]
    worker, matmul_rows = worker_environment(threads), min(CHUNK, unique)
    missing = _missing(against, device)
    rows, rates = [], []
    with ExitStack() as stack:
        children = {
            name: stack.enter_context(Child(CHILD, name, worker if name == ENGINE else os.environ, order))
            for name in (ENGINE, *AGAINST)
            if name == ENGINE or (name in against and name not in missing)
        }
        engine = children[ENGINE]
        for child in children.values():
            child.call("ready")
        for name in (ENGINE, *AGAINST):
            if name in missing:
                rows.append(Row(name, name, missing[name]))
            elif name in children:
                rows += [Row(name, way) for way in children[name].call("warm")]
        for _ in range(repeats):
            for row in rows:
                if not row.missing:
                    answer = children[row.process].call("ask", row.way)
                    row.seconds.append(answer["seconds"])
                    row.shares = [np.array(shares) for shares in answer["shares"]]
                    rates.append(engine.call("rate", matmul_rows))
        known = engine.call("facts")
    facts = Facts(
        model=spec.name or spec.source,
        prompt_set=which,
        prompts=len(prompts),
        tokens=sum(map(len, sequences)),
        unique=unique,
        matmul_rows=matmul_rows,
        rate=median(rates),
        floor=2 * known["parameters"] * unique / median(rates),
        rendering=rendering,
        device=device.type,
        machine=machine.machine(device),
        versions=machine.versions(),
        settings={name: worker[name] for name in SETTINGS if name in worker},
        load=(before, os.getloadavg()[0]),
        **known,
    )
    return rows, facts


def largest_difference(row: Row, other: Row) -> float:
    """Largest difference of an option's probability between two ways; NaN where one was not asked."""
    if row.shares is None or other.shares is None:
        return float("nan")
    return max(float(np.abs(a - b).max()) for a, b in zip(row.shares, other.shares, strict=True))


def _rendered(which: str, config: Mapping[str, Any], tokenizer: Any, limit: int | None) -> tuple[list[Any], float]:
    """The prompts and the CPU seconds of rendering them, with the survey already read."""
    bench_prompts(which, config, tokenizer, limit)
    cpu = torch.device("cpu")
    started = machine.clock(cpu)
    prompts = bench_prompts(which, config, tokenizer, limit)
    return prompts, machine.clock(cpu) - started


def _missing(against: Sequence[str], device: torch.device) -> dict[str, str]:
    """Why some of the ways asked for cannot be asked here."""
    reasons = {LM_EVAL: ways.lm_eval_missing(), VLLM: ways.vllm_missing(device)}
    return {name: reason for name, reason in reasons.items() if reason and name in against}
