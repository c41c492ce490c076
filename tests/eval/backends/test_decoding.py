"""Each step of a batch against `model.generate`, one prompt at a time, on every family and on what cannot be packed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import (
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    Lfm2Config,
    Lfm2ForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from data.models import load_tokenizer
from data.packed_attention import why_not_packed
from eval.answers import TextRequest
from eval.backends import generation
from eval.backends.decoding import Decoder, PackedDecoder, PaddedDecoder
from eval.backends.generation import TextGenerator

SIZES: dict[str, Any] = {
    "vocab_size": 300,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
FAMILIES: dict[str, Callable[[], Any]] = {
    "llama": lambda: LlamaForCausalLM(LlamaConfig(**SIZES)),
    "qwen2": lambda: Qwen2ForCausalLM(Qwen2Config(**SIZES)),
    "qwen3": lambda: Qwen3ForCausalLM(Qwen3Config(**SIZES, head_dim=8)),
    "mistral": lambda: MistralForCausalLM(MistralConfig(**SIZES)),
    "gemma3": lambda: Gemma3ForCausalLM(Gemma3TextConfig(**SIZES, head_dim=8, sliding_window=64)),
    "mistral, window 8": lambda: MistralForCausalLM(MistralConfig(**SIZES, sliding_window=8)),
    "gemma3, window 8": lambda: Gemma3ForCausalLM(
        Gemma3TextConfig(**SIZES, head_dim=8, sliding_window=8, layer_types=["sliding_attention", "full_attention"])
    ),
    "lfm2, recurrent": lambda: Lfm2ForCausalLM(Lfm2Config(**SIZES, layer_types=["conv", "full_attention"])),
    "lora": lambda: lora(LlamaForCausalLM(LlamaConfig(**SIZES))),
}
UNPACKED = {"mistral, window 8", "gemma3, window 8", "lfm2, recurrent"}
NEW = 12
BEGINNING = list(range(20, 31))
PROMPTS = [
    [*BEGINNING, 40, 41],
    [*BEGINNING, 40, 42, 43, 44, 45],
    [*BEGINNING],
    [*BEGINNING, 40, 41],
    [*BEGINNING, 50],
]


def lora(model: Any) -> Any:
    adapted = get_peft_model(model, LoraConfig(r=4, target_modules=["q_proj", "v_proj"]))
    for name, parameter in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.5)
    return adapted


def make(family: str) -> Any:
    torch.manual_seed(3)
    model = FAMILIES[family]()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(4 if parameter.ndim > 1 else 1)  # away from the uniform distribution
    return model.eval()


def reference(model: Any, prompt: list[int], new: int = NEW) -> tuple[list[int], torch.Tensor]:
    """Greedy tokens and the logits (tokens, vocabulary) they were chosen from, by transformers itself."""
    ids = torch.tensor([prompt])
    out = model.generate(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        do_sample=False,
        max_new_tokens=new,
        output_logits=True,
        return_dict_in_generate=True,
    )
    return out.sequences[0, len(prompt) :].tolist(), torch.cat(out.logits)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_step_equals_generate_one_prompt_at_a_time(family: str) -> None:
    model, device = make(family), torch.device("cpu")
    packed = not why_not_packed(model, max(map(len, PROMPTS)) + NEW)
    assert packed == (family not in UNPACKED)
    groups = [[index] for index in range(len(PROMPTS))] if "recurrent" in family else [list(range(len(PROMPTS)))]
    for group in groups:
        prompts = [PROMPTS[index] for index in group]
        expected = [reference(model, prompt) for prompt in prompts]
        with torch.inference_mode():
            decoders: list[Decoder] = [PaddedDecoder(model, prompts, device)]
            if packed:
                decoders.append(PackedDecoder(model, prompts, NEW, device))
            for decoder in decoders:
                follow(decoder, expected)


def follow(decoder: Decoder, expected: list[tuple[list[int], torch.Tensor]]) -> None:
    """Feed the expected tokens, row 0 only half of the time, and compare log-probabilities at every step."""
    alive = list(range(len(expected)))
    for step in range(NEW):
        wanted = torch.stack([expected[row][1][step] for row in alive])
        torch.testing.assert_close(decoder.logits.log_softmax(-1), wanted.log_softmax(-1), atol=1e-4, rtol=0)
        kept = [row for row in alive if step + 1 < len(expected[row][0]) and not (row == 0 and step == NEW // 2)]
        if not kept:
            return
        tokens = torch.tensor([expected[row][0][step] for row in kept])
        decoder.step(tokens, torch.tensor([alive.index(row) for row in kept]))
        alive = kept


def test_a_prompt_that_is_repeated_is_computed_once() -> None:
    model, device = make("llama"), torch.device("cpu")
    with torch.inference_mode():
        assert PackedDecoder(model, PROMPTS, NEW, device).computed == len(BEGINNING) + 2 + 4 + 1
        assert PaddedDecoder(model, PROMPTS, device).computed == sum(map(len, PROMPTS)) - len(PROMPTS[0])


@pytest.mark.parametrize("family", FAMILIES)
def test_greedy_texts_of_a_mixed_batch_equal_generate(family: str, tiny_model: Path) -> None:
    tokenizer: Any = load_tokenizer(tiny_model)
    model = make(family)
    requests = [TextRequest("", max_tokens=NEW, temperature=0)] * len(PROMPTS)
    for prompt, answer in zip(PROMPTS, TextGenerator(model, tokenizer).answer(PROMPTS, requests), strict=True):
        tokens, _ = reference(model, prompt)
        ended = tokens[-1] == tokenizer.eos_token_id
        text = tokenizer.decode(tokens[:-1] if ended else tokens, skip_special_tokens=True)
        assert answer.text == text.rstrip("\ufffd")
        assert (answer.finish, answer.tokens) == ("stop" if ended else "length", len(tokens))


def test_prompts_of_different_lengths_are_never_padded_for_a_recurrent_model(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches: list[set[int]] = []

    class Watched(PaddedDecoder):
        def __init__(self, model: Any, prompts: Any, device: torch.device) -> None:
            batches.append({len(prompt) for prompt in prompts})
            super().__init__(model, prompts, device)

    monkeypatch.setattr(generation, "PaddedDecoder", Watched)
    requests = [TextRequest("", max_tokens=1)] * len(PROMPTS)
    for family, expected in (("lfm2, recurrent", [{11}, {12}, {13}, {16}]), ("mistral, window 8", [{11, 12, 13, 16}])):
        batches.clear()
        TextGenerator(make(family), load_tokenizer(tiny_model)).answer(PROMPTS, requests)
        assert batches == expected
