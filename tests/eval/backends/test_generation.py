"""Generated text against `model.generate`, the softmax and itself in other batches."""

from __future__ import annotations

import logging
import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare
from transformers import (
    PreTrainedTokenizerBase,
)

from data.models import load_model, load_tokenizer
from data.prompts import Asking, Renderer
from eval.answer_store import AnswerStore
from eval.answers import TextAnswer, TextRequest
from eval.backends import generation
from eval.backends.decoding import PackedDecoder
from eval.backends.generation import TextGenerator, end_tokens
from eval.backends.in_process import TransformersAnswerer
from eval.backends.sharing import Processes
from eval.backends.texts import text_share


@pytest.fixture(scope="module")
def tokenizer(tiny_model: Path) -> PreTrainedTokenizerBase:
    return load_tokenizer(tiny_model)


@pytest.fixture(scope="module")
def model(tiny_model: Path) -> Any:
    loaded: Any = load_model(tiny_model, torch.float32)
    with torch.no_grad():
        loaded.lm_head.weight.mul_(8)
    return loaded


TEXTS = [
    "Is it ever justified?",
    "Is it ever justified to accept a bribe?",
    "Is it right?",
    "More or less",
    "Is it ever justified to accept a bribe?",
    "Norway",
    "A. Yes\nB. No",
]


def requests(**decoding: Any) -> list[TextRequest]:
    return [TextRequest(text, max_tokens=9, **{"seed": 4, **decoding}, repeat=i) for i, text in enumerate(TEXTS)]


def encode(tokenizer: Any, asked: list[TextRequest]) -> list[list[int]]:
    found: list[list[int]] = tokenizer([request.text for request in asked], add_special_tokens=False)["input_ids"]
    return found


def run(model: Any, tokenizer: Any, asked: list[TextRequest], rows: int = 32) -> list[TextAnswer]:
    generator = TextGenerator(model, tokenizer, rows)
    prompts = encode(tokenizer, asked)
    answers: dict[int, TextAnswer] = {}
    for chunk in generator.chunks(prompts):
        found = generator.answer([prompts[i] for i in chunk], [asked[i] for i in chunk])
        answers |= dict(zip(chunk, found, strict=True))
    return [answers[i] for i in range(len(asked))]


def greedy(model: Any, prompt: list[int], new: int = 9) -> list[int]:
    """Greedy tokens by transformers itself."""
    ids = torch.tensor([prompt])
    out = model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=new)
    tokens: list[int] = out[0, len(prompt) :].tolist()
    return tokens


def test_greedy_text_equals_generate(model: Any, tokenizer: Any) -> None:
    asked = requests(temperature=0)
    for prompt, answer in zip(encode(tokenizer, asked), run(model, tokenizer, asked), strict=True):
        tokens = greedy(model, prompt)
        assert answer.text == tokenizer.decode(tokens, skip_special_tokens=True).rstrip("\ufffd")
        assert answer.tokens == len(tokens)
        assert (answer.finish == "stop") == (tokens[-1] == tokenizer.eos_token_id)


@pytest.mark.parametrize("decoding", [{}, {"temperature": 0.7, "top_p": 0.8}])
def test_a_text_does_not_depend_on_its_batch(model: Any, tokenizer: Any, decoding: dict[str, float]) -> None:
    asked = requests(**decoding)
    together = run(model, tokenizer, asked)
    assert len({answer.text for answer in together}) > 5
    assert run(model, tokenizer, asked, rows=1) == together
    assert run(model, tokenizer, asked, rows=3) == together
    assert [run(model, tokenizer, [one])[0] for one in asked] == together
    assert run(model, tokenizer, asked[::-1])[::-1] == together
    assert run(model, tokenizer, requests(**decoding, seed=5)) != together


def test_repeats_are_drawn_from_the_softmax_after_one_prefill(model: Any, tokenizer: Any) -> None:
    asked = [TextRequest("Is it right?", max_tokens=1, repeat=repeat) for repeat in range(6000)]
    prompts = encode(tokenizer, asked)
    generator = TextGenerator(model, tokenizer, rows=len(asked))
    (chunk,) = generator.chunks(prompts)
    assert chunk == list(range(len(asked)))
    expected = model(torch.tensor([prompts[0]])).logits[0, -1].detach().double().softmax(-1).numpy()
    seen_texts = Counter(answer.text for answer in generator.answer(prompts, asked))
    assert generator.computed == len(prompts[0])
    named: dict[str, float] = {}
    for token, share in enumerate(expected.tolist()):
        name = tokenizer.decode([token], skip_special_tokens=True).rstrip("\ufffd")
        named[name] = named.get(name, 0.0) + share
    expected, counts = np.array(list(named.values())), np.array([seen_texts[name] for name in named])
    common = expected * len(asked) >= 5
    assert common.sum() > 20
    seen = np.append(counts[common], counts[~common].sum())
    wanted = np.append(expected[common], expected[~common].sum()) * len(asked)
    assert chisquare(seen, wanted).pvalue > 0.001


def test_a_stop_string_is_found_across_tokens_and_cut(model: Any, tokenizer: Any) -> None:
    tried = 0
    for request, answer in zip(requests(), run(model, tokenizer, requests()), strict=True):
        for start in range(len(answer.text) - 2):
            stop = answer.text[start : start + 3]
            if "\ufffd" in stop:
                continue
            tried += 1
            again = TextRequest(request.text, 9, seed=4, repeat=request.repeat, stop=("@@@", stop))
            (cut,) = run(model, tokenizer, [again])
            assert cut.finish == "stop"
            assert cut.text == answer.text[: answer.text.index(stop)].rstrip("\ufffd")
            assert cut.tokens <= answer.tokens
    assert tried > 20


def test_each_of_several_end_tokens_ends_a_text(model: Any, tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = requests(temperature=0)[1:2]
    (prompt,) = encode(tokenizer, asked)
    tokens = greedy(model, prompt)
    end = next(place for place in range(3, 9) if tokens[place] not in tokens[:place])
    monkeypatch.setattr(model.generation_config, "eos_token_id", [tokenizer.eos_token_id, tokens[end]])
    (answer,) = run(model, tokenizer, asked)
    assert answer == TextAnswer(tokenizer.decode(tokens[:end]).rstrip("\ufffd"), "stop", end + 1)


def test_the_token_that_closes_an_answer_in_the_chat_template_ends_a_text(model: Any, tiny_model: Path) -> None:
    tokenizer: Any = load_tokenizer(tiny_model)
    closing = tokenizer.convert_tokens_to_ids("<|im_end|>")
    tokenizer.eos_token = "<|endoftext|>"
    assert closing in end_tokens(model, tokenizer)
    assert tokenizer.eos_token_id in end_tokens(model, tokenizer)
    tokenizer.chat_template = tokenizer.chat_template.replace("<|im_end|>", "")
    assert tokenizer.convert_tokens_to_ids("<|im_start|>") not in end_tokens(model, tokenizer)


def test_characters_split_over_tokens_come_out_whole(tokenizer: Any) -> None:
    tokens = tokenizer.encode("é世", add_special_tokens=False)
    assert len(tokens) == 5
    texts = []
    for count in range(1, 6):
        row = generation._Row(TextRequest("", max_tokens=count), None)
        assert [row.take(token, frozenset(), tokenizer) for token in tokens[:count]][-1]
        texts.append(row.answer(tokenizer).text)
    assert texts == ["", "é", "é", "é", "é世"]
    row = generation._Row(TextRequest("", max_tokens=9, stop=("世",)), None)
    assert [row.take(token, frozenset(), tokenizer) for token in tokens] == [False] * 4 + [True]
    assert row.answer(tokenizer) == TextAnswer("é", "stop", 5)


@given(
    st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=6), max_size=30), st.integers(1, 8), st.integers(6, 20)
)
def test_chunks_hold_every_prompt_once_within_bounds(prompts: list[list[int]], rows: int, budget: int) -> None:
    generator = TextGenerator.__new__(TextGenerator)
    generator._rows, generator._token_budget = rows, budget
    chunks = generator.chunks(prompts)
    assert sorted(index for chunk in chunks for index in chunk) == list(range(len(prompts)))
    for chunk in chunks:
        assert 0 < len(chunk) <= rows
        distinct = {tuple(prompts[i][:depth]) for i in chunk for depth in range(1, len(prompts[i]) + 1)}
        assert len(distinct) <= budget
    if rows >= len(prompts) and sum(map(len, prompts)) <= budget:
        assert len(chunks) == min(1, len(prompts))


def test_out_of_memory_halves_the_batch_and_changes_nothing(
    model: Any, tokenizer: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    asked = requests()
    expected = run(model, tokenizer, asked)

    class Small(PackedDecoder):
        def __init__(self, model: Any, prompts: Any, room: int, device: torch.device) -> None:
            if len(prompts) > 2:
                raise torch.OutOfMemoryError("CUDA out of memory")
            super().__init__(model, prompts, room, device)

    monkeypatch.setattr(generation, "PackedDecoder", Small)
    with caplog.at_level(logging.WARNING):
        assert run(model, tokenizer, asked) == expected
    assert [record.getMessage() for record in caplog.records] == [
        "out of memory with 7 texts at once: at most 3 from now on",
        "out of memory with 3 texts at once: at most 1 from now on",
    ]


def test_an_error_that_is_not_about_memory_is_raised(
    model: Any, tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*unused: Any) -> None:
        raise RuntimeError("shape mismatch")

    monkeypatch.setattr(generation, "PackedDecoder", broken)
    with pytest.raises(RuntimeError, match="shape mismatch"):
        run(model, tokenizer, requests())


def test_a_model_that_gives_no_numbers_is_an_error_and_no_text(tiny_model: Path, tokenizer: Any) -> None:
    broken: Any = load_model(tiny_model, torch.float32)
    with torch.no_grad():
        broken.model.norm.weight.fill_(torch.nan)
    request = TextRequest("Is it", max_tokens=3)
    with pytest.raises(ValueError, match="logits are not numbers"):
        TextGenerator(broken, tokenizer).answer([tokenizer.encode("Is it")], [request])


@pytest.mark.parametrize(
    "wrong", [{"temperature": math.nan}, {"temperature": math.inf}, {"top_p": math.nan}, {"seed": -1}, {"repeat": -1}]
)
def test_a_request_that_means_nothing_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        TextRequest("Is it", **wrong)


def test_bad_arguments_are_named(model: Any, tokenizer: Any) -> None:
    with pytest.raises(ValueError, match="rows must be at least 1, got 0"):
        TextGenerator(model, tokenizer, rows=0)
    with pytest.raises(ValueError, match="empty prompt"):
        TextGenerator(model, tokenizer).chunks([[1], []])
    asked = [TextRequest("x", schema='{"type": "integer"}', stop=("a",))]
    with pytest.raises(ValueError, match="takes no stop strings"):
        run(model, tokenizer, asked)


def answerer(folder: Path, store: AnswerStore | None = None, rows: int = 3) -> TransformersAnswerer:
    renderer = Renderer(Asking(style="completion"), load_tokenizer(folder))
    return TransformersAnswerer(load_model(folder, torch.float32), renderer, "weights", store, rows=rows)


def test_the_answerer_gives_texts_in_order_and_counts_them(tiny_model: Path, tokenizer: Any) -> None:
    subject, asked, heard = answerer(tiny_model), requests(), []
    answers = subject.generate(asked, lambda done, total: heard.append((done, total)))
    assert answers == run(subject.model, tokenizer, asked)
    assert heard == [(3, 7), (6, 7), (7, 7)]
    assert subject.costs.texts == len(asked)
    assert subject.costs.generated_tokens == sum(answer.tokens for answer in answers)
    assert subject.costs.prompt_tokens == sum(map(len, encode(tokenizer, asked))) > subject.costs.computed_tokens > 0
    assert subject.costs.seconds > 0
    assert subject.generate([]) == []


def test_interrupted_texts_go_on_where_they_were(tiny_model: Path, tmp_path: Path) -> None:
    whole = answerer(tiny_model).generate(requests())

    def stop(done: int, total: int) -> None:
        if done > total // 2:
            raise KeyboardInterrupt

    store = AnswerStore(tmp_path / "answers.sqlite")
    with pytest.raises(KeyboardInterrupt):
        answerer(tiny_model, store).generate(requests(), stop)
    second = answerer(tiny_model, store)
    assert second.generate(requests()) == whole
    assert second.costs.stored == 6
    assert second.costs.generated_tokens < sum(answer.tokens for answer in whole)
    third = answerer(tiny_model, store)
    assert third.generate(requests()[::-1]) == whole[::-1]
    assert third.costs.generated_tokens == third.costs.computed_tokens == 0
    assert third.generate(requests(seed=9)) != whole
    assert third.costs.stored == len(whole)


def test_two_processes_share_the_batches_and_write_the_texts_of_one(tiny_model: Path, tokenizer: Any) -> None:
    asked, passed = requests(), []
    generator = TextGenerator(load_model(tiny_model, torch.float32), tokenizer, rows=2)
    shares = [
        text_share(generator, asked, encode(tokenizer, asked), "x", None, Processes(rank, 2), passed.append)
        for rank in range(2)
    ]
    assert [len(share.answers) for share in shares] == [4, 3]
    together = shares[0].answers | shares[1].answers
    assert [together[place] for place in range(len(asked))] == run(generator._model, tokenizer, asked)
    assert passed == [2, 4, 6, 7] * 2
