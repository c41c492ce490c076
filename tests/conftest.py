"""Shared fixtures: a tiny model with a small vocabulary and a tiny survey, both made here; nothing is downloaded."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")
os.environ.setdefault("WANDB_MODE", "offline")
os.environ.setdefault("MPLBACKEND", "Agg")

from pathlib import Path

import hypothesis
import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from tokenizers.decoders import ByteLevel
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from data.records import AnswerDistribution, Group, Item, Respondent, Source, Split, Survey

hypothesis.settings.register_profile("steady", deadline=None)  # a busy machine is no failure
hypothesis.settings.load_profile("steady")

CHATML = (
    "{% for m in messages %}{{'<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
TEXTS = [
    "You answer survey questions. Reply with the letter of one option only.",
    "Answer as a person who lives in Norway and is 18 to 29 years old would.",
    "Is it ever justified to accept a bribe? Should the government do more or less about poverty?",
    "A. Yes\nB. No\nC. Perhaps\nD. Never justifiable\nE. Always\nF. Too little\nG. About right\nH. Too much",
]


def make_tokenizer() -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = ByteLevel()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<|im_start|>",
        eos_token="<|im_end|>",
        pad_token="<|im_end|>",
        chat_template=CHATML,
    )


def make_model(folder: Path, seed: int = 0) -> Path:
    """A random 2-layer Llama (grouped-query heads, 64 dimensions) with its tokenizer, saved as safetensors."""
    tokenizer = make_tokenizer()
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=4096,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny random chat model. Read only: copy it before changing anything."""
    return make_model(tmp_path_factory.mktemp("tiny_model"))


COUNTRIES = ("NOR", "USA", "JPN", "GHA", "BRA", "IND")
SCALE = ("Never", "Seldom", "Often", "Always")


def make_survey() -> Survey:
    """Four items (two ordered, two nominal) × six countries, three age bands for two of them, and 120 respondents."""
    rng = np.random.default_rng(7)
    items = (
        Item("toy/bribe", "Is it justified to accept a bribe?", SCALE, True, "toy", "honesty", (1.0, 2.0, 3.0, 4.0)),
        Item("toy/work", "How often should people work at night?", SCALE[:3], True, "toy", "work"),
        Item("toy/vote", "Who should decide about the road?", ("The mayor", "The people", "Experts"), False, "toy"),
        Item("toy/poor", "Does the state do enough for the poor?", ("Yes", "No"), False, "toy", "poverty"),
    )
    distributions = []
    respondents = []
    for item in items:
        for country in COUNTRIES:
            groups = [Group(country)]
            if country in ("NOR", "USA"):
                groups += [Group(country, age=age) for age in ("18-29", "30-49", "50+")]
            for group in groups:
                shares = rng.dirichlet(np.full(len(item.options), 1.5))
                people = 200 if not group.age else 70
                distributions.append(AnswerDistribution(item.id, group, tuple(shares.tolist()), people, float(people)))
    for number in range(120):
        country = COUNTRIES[number % len(COUNTRIES)]
        group = Group(country, age=("18-29", "30-49", "50+")[number % 3], sex=("female", "male")[number % 2])
        features = {"age": str(20 + number % 60), "sex": group.sex, "education": ("primary", "university")[number % 2]}
        answers = {item.id: int(rng.integers(len(item.options))) for item in items}
        respondents.append(Respondent(f"toy-{number}", group, features, answers))
    source = Source("toy", "A made-up survey", "Nobody (2026)", "made for tests")
    return Survey(items, tuple(distributions), tuple(respondents), (source,))


@pytest.fixture(scope="session")
def tiny_survey() -> Survey:
    return make_survey()


@pytest.fixture(scope="session")
def tiny_split() -> Split:
    return Split(
        train_items=("toy/work", "toy/poor"),
        train_countries=("USA", "JPN"),
        held_out_items=("toy/bribe", "toy/vote"),
        held_out_countries=("NOR", "GHA", "BRA", "IND"),
        seed=0,
    )
