"""Does the fast scoring say what a plain forward pass says, on the model, survey and device that are configured?

Of a served model: does it answer at all, and how?
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from data.models import ModelSpec, device_for, dtype_for, fetch, load_model, load_tokenizer
from data.options import OptionTokens
from data.prompts import Asking, OptionPrompt, Renderer, orders
from data.records import Group
from eval.answer_store import AnswerStore
from eval.answers import Backend, Costs, OptionAnswer
from eval.backends.in_process import TransformersAnswerer
from eval.backends.ways import tolerance
from launch.build import build, build_as
from launch.people import people


@dataclass(frozen=True)
class Scoring:
    """What the self-test found. `difference` is the largest of an option's probability to one plain pass a prompt,
    `batches` that between the usual chunks and chunks of a prompt or two; both must stay below `tolerance`. `ways` says
    how prompts were asked and why not faster.
    """

    prompts: int
    difference: float
    batches: float
    tolerance: float
    ways: Mapping[str, str]
    precision: str

    @property
    def exact(self) -> bool:
        return self.difference < self.tolerance and self.batches < self.tolerance


def check_scoring(config: Mapping[str, Any], prompts: int = 12) -> Scoring:
    """Ask the configured model the first questions of the configured survey, in all ways that must agree."""
    spec = build_as(ModelSpec, config["model"], "model")
    folder, device = fetch(spec), device_for()
    dtype = dtype_for(spec, device)
    model: Any = load_model(folder, dtype, spec.trust_remote_code)
    model = model.to(device)
    renderer = Renderer(build_as(Asking, config["prompt"], "prompt"), load_tokenizer(folder, spec.trust_remote_code))
    asked = _questions(config, renderer, prompts)
    answerer = TransformersAnswerer(model, renderer, "self-test")
    fast = answerer.score(asked)
    longest = max(map(len, renderer.encode([prompt.text for prompt in asked])))
    pieces = TransformersAnswerer(model, renderer, "self-test", token_budget=longest).score(asked)
    return Scoring(
        prompts=len(asked),
        difference=_largest([answer.probabilities for answer in fast], _plain(model, renderer, asked, device)),
        batches=_largest([answer.probabilities for answer in fast], [answer.probabilities for answer in pieces]),
        tolerance=tolerance(dtype),
        ways=answerer.ways,
        precision=f"{str(dtype).removeprefix('torch.')} on {device.type}",
    )


def check_serving(config: Mapping[str, Any]) -> tuple[OptionAnswer, Costs]:
    """What the configured server answers to the first question of the configured survey, and what that cost. Nothing
    is kept. Raises ValueError or OSError where it does not answer, or with none of the question's labels.
    """
    backend: Backend = build(config["backend"], "backend")
    spec, asking = build_as(ModelSpec, config["model"], "model"), build_as(Asking, config["prompt"], "prompt")
    with (
        TemporaryDirectory() as folder,
        closing(AnswerStore(Path(folder) / "answers.sqlite")) as store,
        backend.open(Path(folder), spec, asking, store) as opened,
    ):
        (answer,) = opened.answerer.score(_questions(config, opened.renderer, 1))
        return answer, opened.answerer.costs


def _questions(config: Mapping[str, Any], renderer: Renderer, prompts: int) -> list[OptionPrompt]:
    survey, _ = people(config["survey"])
    groups = [Group(country) for country in survey.countries[:2]]
    every = (
        renderer.survey(item, order, group, "country")
        for item in survey.items
        for order in orders(len(item.options), item.ordered)[:2]
        for group in groups
    )
    return list(islice(every, prompts))


@torch.inference_mode()
def _plain(
    model: Any, renderer: Renderer, asked: Sequence[OptionPrompt], device: torch.device
) -> list[np.ndarray[Any, np.dtype[np.float64]]]:
    tokens = OptionTokens(renderer.tokenizer)
    found = []
    for prompt in asked:
        ids = torch.tensor(renderer.encode([prompt.text]), device=device)
        logits = model(input_ids=ids, use_cache=False).logits[0, -1]
        probabilities = torch.softmax(logits.cpu().double(), -1).numpy()
        raw = np.array([probabilities[list(forms)].sum() for forms in tokens(prompt.text, prompt.labels)])
        found.append(raw / raw.sum())
    return found


def _largest(left: Sequence[Any], right: Sequence[Any]) -> float:
    return max(float(np.abs(one - other).max()) for one, other in zip(left, right, strict=True))
