"""A process that asks in one way, for `polyphony bench answers`; it holds the model, its parent holds none.

Every way has a process of its own, as its users run it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from typing import Any

import torch

from data.models import ModelSpec, device_for, dtype_for, fetch, load_model, load_tokenizer
from data.prompts import Asking, OptionPrompt, Renderer
from eval.backends.in_process import TransformersAnswerer
from launch.bench import machine, ways
from launch.bench.process import serve

ENGINE, LM_EVAL, LOOP, ONE_BY_ONE, VLLM = "polyphony", "lm-eval", "loop", "one-by-one", "vllm"
BATCH = 16
OTHER_BATCHES = (4, 8, 32)
TRIAL = 32  # prompts on which lm-evaluation-harness's best batch size is sought


class Way:
    """One way of asking, its model loaded. `spec`: the fields of a `ModelSpec`; `prompts`: pairs of text and labels."""

    def __init__(
        self, name: str, spec: Mapping[str, Any], style: str, prompts: Sequence[Any], threads: int, stack: ExitStack
    ) -> None:
        torch.set_num_threads(threads)
        loaded = ModelSpec(**spec)
        self._device, folder = device_for(), fetch(loaded)
        model: Any = None
        if name != VLLM:  # its server loads the model
            model = load_model(folder, dtype_for(loaded, self._device), loaded.trust_remote_code)
            model = model.to(self._device)
        renderer = Renderer(Asking(style), load_tokenizer(folder, loaded.trust_remote_code))
        asked = [OptionPrompt(text, tuple(labels)) for text, labels in prompts]
        self._bench = ways.Bench(model, loaded, renderer, asked)
        self._name, self._stack = name, stack
        self._asks: dict[str, ways.Ask] = {}
        self._answerer: TransformersAnswerer | None = None

    def ready(self) -> bool:
        return True

    def warm(self) -> list[str]:
        """Ask once in each of this process's ways. Returns what they are called."""
        self._asks = self._named()
        for ask in self._asks.values():
            ask()
        return list(self._asks)

    def ask(self, way: str) -> dict[str, Any]:
        """`seconds` from rendered text to option probabilities, and these: `shares`, one list a prompt."""
        started = machine.clock(self._device)
        shares = self._asks[way]()
        seconds = machine.clock(self._device) - started
        return {"seconds": seconds, "shares": [row.tolist() for row in shares]}

    def rate(self, rows: int) -> float:
        return machine.matmul_rate(self._bench.model, rows)

    def facts(self) -> dict[str, Any]:
        """Those of `compare.Facts` that need the model, or (of the scorer) that it has asked."""
        facts = {
            "parameters": machine.parameters(self._bench.model),
            "dtype": str(self._bench.model.dtype).removeprefix("torch."),
            "threads": torch.get_num_threads(),
        }
        if self._answerer is not None:
            facts |= {"computed": self._answerer.costs.computed_tokens, "asked_as": self._answerer.ways}
        return facts

    def _named(self) -> dict[str, ways.Ask]:
        bench = self._bench
        if self._name == ENGINE:
            return {ENGINE: self._engine}
        if self._name == LM_EVAL:
            ask, best = ways.lm_eval(bench), self._best_batch()
            found: dict[str, ways.Ask] = {f"lm-eval, batch {BATCH}": partial(ask, BATCH)}
            return found if best == BATCH else found | {f"lm-eval, batch {best} (its best)": partial(ask, best)}
        if self._name == LOOP:
            return {f"left-padded batches of {BATCH}": partial(ways.loop, bench, BATCH)}
        if self._name == ONE_BY_ONE:
            return {"one by one": partial(ways.one_by_one, bench)}
        return {"vLLM, prefixes cached before": self._stack.enter_context(ways.vllm(bench))}

    def _engine(self) -> ways.Shares:
        shares, self._answerer = ways.engine(self._bench)
        return shares

    def _best_batch(self) -> int:
        """The fastest of a few batch sizes of lm-evaluation-harness on some of the prompts."""
        prompts = self._bench.prompts
        ask = ways.lm_eval(replace(self._bench, prompts=prompts[:: -(-len(prompts) // TRIAL)]))
        ask(BATCH)
        taken = {}
        for batch in (BATCH, *OTHER_BATCHES):
            started = machine.clock(self._device)
            ask(batch)
            taken[batch] = machine.clock(self._device) - started
        return min(taken, key=taken.__getitem__)


if __name__ == "__main__":
    serve(Way)
