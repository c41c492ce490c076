"""Does the fast scoring say what a plain forward pass says, on the model that is configured?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from data.models import ModelSpec, device_for, dtype_for, fetch, load_model, load_tokenizer
from data.options import OptionTokens
from data.packed_attention import why_not_packed
from data.prompts import Asking, Renderer, orders
from data.records import Group
from eval.backends.in_process import TransformersAnswerer
from launch.build import build_as
from launch.people import people


def largest_difference(config: Mapping[str, Any], prompts: int = 10) -> tuple[float, str]:
    """Largest difference of an option's probability over some prompts, and why packing is not used ("" if it is)."""
    spec = build_as(ModelSpec, config["model"], "model")
    folder, device = fetch(spec), device_for()
    model: Any = load_model(folder, dtype_for(spec, device), spec.trust_remote_code)
    model = model.to(device)
    renderer = Renderer(build_as(Asking, config["prompt"], "prompt"), load_tokenizer(folder, spec.trust_remote_code))
    survey, _ = people(config["survey"])
    countries = [Group(country) for country in survey.countries[:2]]
    asked = [
        renderer.survey(item, orders(len(item.options), item.ordered)[-1], group, "country")
        for item in survey.items
        for group in countries
    ][:prompts]
    fast = TransformersAnswerer(model, renderer, "self-test").score(asked)
    tokens = OptionTokens(renderer.tokenizer)
    largest = 0.0
    for prompt, answer in zip(asked, fast, strict=True):
        ids = torch.tensor(renderer.encode([prompt.text]), device=device)
        with torch.inference_mode():
            probabilities = (
                torch.softmax(model(input_ids=ids, use_cache=False).logits[0, -1].double(), -1).cpu().numpy()
            )
        raw = np.array([probabilities[list(forms)].sum() for forms in tokens(prompt.text, prompt.labels)])
        largest = max(largest, float(np.abs(raw / raw.sum() - answer.probabilities).max()))
    return largest, why_not_packed(model, max(map(len, renderer.encode([prompt.text for prompt in asked]))))
