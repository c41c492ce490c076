"""Score so many short prompts with the model in a folder and print the peak memory in GiB: `many_prompts.py DIR N`."""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from data.models import load_model, load_tokenizer
from data.prompts import Asking, OptionPrompt, Renderer
from eval.backends.in_process import TransformersAnswerer

folder, count = Path(sys.argv[1]), int(sys.argv[2])
renderer = Renderer(Asking(), load_tokenizer(folder))
subject = TransformersAnswerer(load_model(folder, torch.float32), renderer, "weights")
asked = [OptionPrompt(f"{number:06d} Yes or no?\nA. Yes\nB. No\nAnswer:", ("A", "B")) for number in range(count)]
assert len(subject.score(asked)) == subject.costs.prompts == count
print(subject.costs.seconds, subject.costs.prompt_tokens, subject.costs.computed_tokens, subject.costs.peak_memory_gib)
