"""The scorer of the audits beside other ways of asking, on the same prompts in one run.

Ways are asked in turn, `repeats` times over, so that a machine that slows down slows all of them. Seconds are CPU
seconds of the process (on a GPU: wall seconds until its work is done), from rendered text to option probabilities.
The arithmetic floor is what the matrix products alone of every distinct token take: 2 × parameters outside the
embeddings × unique tokens / the rate of those products, measured in the same run between the ways.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from statistics import median
from typing import Any

import numpy as np
import torch

from data.models import ModelSpec, device_for, dtype_for, fetch, load_model, load_tokenizer
from data.packing import pack
from data.prompts import Asking, Renderer
from launch import bench_machine as machine
from launch import bench_ways as ways
from launch.bench_prompts import bench_prompts
from launch.build import build_as
from launch.compose import Composer
from launch.process import threads_for

AGAINST = ("lm-eval", "loop", "one-by-one", "vllm")
ENGINE, LM_EVAL, ONE_BY_ONE = "polyphony", "lm-eval, batch 16", "one by one"
BATCH = 16
OTHER_BATCHES = (4, 8, 32)
TRIAL = 32  # prompts on which lm-evaluation-harness's best batch size is sought
CHUNK = 2048  # rows of the measured matrix products: the scorer's chunk


@dataclass
class Row:
    """One way: seconds of each repeat and what it answered, or why it was not asked."""

    way: str
    ask: ways.Ask | None = None
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
    `rendering` in seconds; `load` averages of a minute before and after; `asked_as` how the scorer asked.
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
    load: tuple[float, float]


def compare(
    source: str, which: str, limit: int | None, threads: int | None, repeats: int, against: Sequence[str]
) -> tuple[list[Row], Facts]:
    """Load the model, ask in every way, measure the floor. Raises as loading the model and making the prompts do."""
    before = os.getloadavg()[0]
    torch.set_num_threads(threads or threads_for("auto", 1))
    with Composer() as composer:
        config = composer([])
    spec = ModelSpec(source) if source else build_as(ModelSpec, config["model"], "model")
    device, folder = device_for(), fetch(spec)
    tokenizer = load_tokenizer(folder, spec.trust_remote_code)
    prompts, rendering = _rendered(which, config, tokenizer, limit)
    model: Any = load_model(folder, dtype_for(spec, device), spec.trust_remote_code)
    style = "chat" if getattr(tokenizer, "chat_template", None) else "completion"
    bench = ways.Bench(model.to(device), spec, Renderer(Asking(style), tokenizer), prompts)
    sequences, _ = bench.tokenised()
    unique = sum(len(tree.tokens) for tree in pack(sequences, 2**62))
    matmul_rows = min(CHUNK, unique)
    rates = []
    with ExitStack() as stack:
        rows = _rows(bench, against, stack)
        for _ in range(repeats):
            for row in rows:
                if row.ask is not None:
                    started = machine.clock(device)
                    row.shares = row.ask()
                    row.seconds.append(machine.clock(device) - started)
                    rates.append(machine.matmul_rate(model, matmul_rows))
    _, answerer = ways.engine(bench)
    facts = Facts(
        model=spec.name or spec.source,
        prompt_set=which,
        prompts=len(prompts),
        tokens=sum(map(len, sequences)),
        unique=unique,
        computed=answerer.costs.computed_tokens,
        asked_as=answerer.ways,
        parameters=machine.parameters(model),
        matmul_rows=matmul_rows,
        rate=median(rates),
        floor=2 * machine.parameters(model) * unique / median(rates),
        rendering=rendering,
        device=device.type,
        dtype=str(model.dtype).removeprefix("torch."),
        threads=torch.get_num_threads(),
        machine=machine.machine(device),
        versions=machine.versions(),
        load=(before, os.getloadavg()[0]),
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


def _rows(bench: ways.Bench, against: Sequence[str], stack: ExitStack) -> list[Row]:
    """The ways in the order they are asked, each tried on a few prompts before anything is timed."""
    few = replace(bench, prompts=bench.prompts[:4])
    rows = [Row(ENGINE, lambda: ways.engine(bench)[0])]
    ways.engine(few)
    if "lm-eval" in against and (missing := ways.lm_eval_missing()):
        rows.append(Row(LM_EVAL, missing=missing))
    elif "lm-eval" in against:
        ask = ways.lm_eval(bench)
        best = _best_batch(bench)
        rows.append(Row(LM_EVAL, partial(ask, BATCH)))
        if best != BATCH:
            rows.append(Row(f"lm-eval, batch {best} (its best)", partial(ask, best)))
    if "loop" in against:
        rows.append(Row(f"left-padded batches of {BATCH}", lambda: ways.loop(bench, BATCH)))
        ways.loop(few)
    if "one-by-one" in against:
        rows.append(Row(ONE_BY_ONE, lambda: ways.one_by_one(bench)))
        ways.one_by_one(few)
    if "vllm" in against:
        missing = ways.vllm_missing(bench.device)
        rows.append(Row("vLLM, prefix caching", None if missing else stack.enter_context(ways.vllm(bench)), missing))
    return rows


def _best_batch(bench: ways.Bench) -> int:
    """The fastest of a few batch sizes of lm-evaluation-harness on some of the prompts."""
    some = replace(bench, prompts=bench.prompts[:: -(-len(bench.prompts) // TRIAL)])
    ask = ways.lm_eval(some)
    ask(BATCH)
    taken = {}
    for batch in (BATCH, *OTHER_BATCHES):
        started = machine.clock(bench.device)
        ask(batch)
        taken[batch] = machine.clock(bench.device) - started
    return min(taken, key=taken.__getitem__)
