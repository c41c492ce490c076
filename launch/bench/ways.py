"""The ways of asking that `polyphony bench answers` compares. Each gets the same rendered prompts and tokenises them.

A way is a function without arguments that answers all prompts: option probabilities, one array (options,) a prompt,
that sum to 1. Nothing is stored between calls.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from data.manifest import update_manifest
from data.models import ModelSpec
from data.options import OptionTokens
from data.packed_attention import padded_logits
from data.prompts import OptionPrompt, Renderer
from eval.answer_store import AnswerStore
from eval.backends.in_process import TransformersAnswerer
from eval.backends.served import ServedAnswerer
from eval.backends.vllm import Vllm

Shares = list[npt.NDArray[np.float64]]
Ask = Callable[[], Shares]
LM_EVAL = "0.4.13"
VLLM_GPU_SHARE = "0.5"  # of the GPU's memory: the other ways' processes have the model there too


@dataclass(frozen=True)
class Bench:
    """The model on its device, what renders and tokenises for it, and the prompts that are asked."""

    model: Any
    spec: ModelSpec
    renderer: Renderer
    prompts: Sequence[OptionPrompt]

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device  # type: ignore[no-any-return]

    def tokenised(self) -> tuple[list[list[int]], list[tuple[tuple[int, ...], ...]]]:
        """Token ids of every prompt, and of every label's one-token forms."""
        tokens = OptionTokens(self.renderer.tokenizer)
        labels = [tokens(prompt.text, prompt.labels) for prompt in self.prompts]
        return self.renderer.encode([prompt.text for prompt in self.prompts]), labels


def engine(bench: Bench) -> tuple[Shares, TransformersAnswerer]:
    """As the audits ask: sort, tokenise, prefix tree, attention plans, forward, log-softmax, option probabilities."""
    answerer = TransformersAnswerer(bench.model, bench.renderer, "bench")
    return [answer.probabilities for answer in answerer.score(bench.prompts)], answerer


@torch.inference_mode()
def one_by_one(bench: Bench) -> Shares:
    """One prompt a forward pass, logits of its last place."""
    sequences, labels = bench.tokenised()
    found = []
    for sequence, forms in zip(sequences, labels, strict=True):
        ids = torch.tensor([sequence], device=bench.device)
        logits = bench.model(input_ids=ids, use_cache=False, logits_to_keep=1).logits[0, -1]
        found.append(_shares(logits.float().log_softmax(-1).cpu(), forms))
    return found


@torch.inference_mode()
def loop(bench: Bench, batch: int = 16) -> Shares:
    """Left-padded batches of prompts of like length, logits of the last place alone."""
    sequences, labels = bench.tokenised()
    order = sorted(range(len(sequences)), key=lambda place: len(sequences[place]))
    found: dict[int, npt.NDArray[np.float64]] = {}
    for start in range(0, len(order), batch):
        places = order[start : start + batch]
        rows = padded_logits(bench.model, [sequences[place] for place in places], bench.device).log_softmax(-1).cpu()
        found |= {place: _shares(row, labels[place]) for place, row in zip(places, rows, strict=True)}
    return [found[place] for place in range(len(order))]


def lm_eval_missing() -> str:
    """How to install lm-evaluation-harness, "" where it is."""
    return "" if importlib.util.find_spec("lm_eval") else f"not installed: pip install lm_eval=={LM_EVAL}"


def lm_eval(bench: Bench) -> Callable[[int], Shares]:
    """lm-evaluation-harness over the same model, as a function of its batch size.

    It is given token ids, so that all labels of a prompt are one-token continuations of one context: it then computes
    a context once for all its options, which is its fastest way, and need not tokenise every option.
    """
    logging.getLogger("lm_eval").setLevel(logging.ERROR)  # it warns of being given a model that is loaded
    huggingface: Any = importlib.import_module("lm_eval.models.huggingface")
    harness = huggingface.HFLM(pretrained=bench.model, tokenizer=bench.renderer.tokenizer, batch_size=1)

    def ask(batch: int) -> Shares:
        harness.batch_size_per_gpu = batch
        sequences, labels = bench.tokenised()
        asked = [
            ((prompt.text, ""), sequence, [token])
            for prompt, sequence, forms in zip(bench.prompts, sequences, labels, strict=True)
            for label in forms
            for token in label
        ]
        said = iter(np.exp([one for one, _ in harness._loglikelihood_tokens(asked, disable_tqdm=True)]))
        raw = [np.array([sum(next(said) for _ in label) for label in forms]) for forms in labels]
        return [row / row.sum() for row in raw]

    return ask


def vllm_missing(device: torch.device) -> str:
    """Why vLLM cannot be asked, "" where it can."""
    if device.type != "cuda":
        return "needs a GPU"
    return "" if shutil.which("vllm") else "the command vllm is not found: install it into an environment of its own"


@contextmanager
def vllm(bench: Bench) -> Iterator[Ask]:
    """A vLLM server with prefix caching, asked as audits ask it. From the second call on its cache has every prompt."""
    backend = Vllm(arguments=("--gpu-memory-utilization", VLLM_GPU_SHARE))
    with TemporaryDirectory() as folder, closing(AnswerStore(Path(folder) / "opened.sqlite")) as store:
        update_manifest(Path(folder), state="trained")
        with backend.open(Path(folder), bench.spec, bench.renderer.asking, store) as opened:

            def ask() -> Shares:
                with TemporaryDirectory() as fresh, closing(AnswerStore(Path(fresh) / "answers.sqlite")) as nothing:
                    served = opened.answerer
                    if isinstance(served, ServedAnswerer):
                        served = replace(served, store=nothing)
                    return [answer.probabilities for answer in served.score(bench.prompts)]

            yield ask


def _shares(log_probabilities: torch.Tensor, forms: tuple[tuple[int, ...], ...]) -> npt.NDArray[np.float64]:
    raw = np.array([log_probabilities[list(ids)].double().exp().sum().item() for ids in forms])
    shares: npt.NDArray[np.float64] = raw / raw.sum()
    return shares
