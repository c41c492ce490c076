"""Diversity augmentation: what stands in the prompts, whose answers are the target, and what never appears."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from data.leaks import Guard
from data.mixture import Mixture
from data.places import PLACES
from data.prompts import LETTERS, Asking, lettered
from data.records import Split, Survey
from data.splits import training_part
from train.adapters import Lora
from train.closed_batch import Collator, ask_plainly
from train.loop import read_metrics
from train.recipes.augment import Augment, Situated, ask_situated
from train.recipes.match import Match
from train.run import Budget, RunContext

MANY = Budget(examples=64, batch_size=8, checkpoint_every=100)


def situated(run: RunContext, recipe: Augment) -> list[Situated]:
    return recipe.situate(run)[0]


def test_personas_live_in_places_of_their_countries(tiny_run: Callable[..., RunContext]) -> None:
    run = tiny_run(budget=MANY)
    examples, once = Augment(max_memory=0).situate(run)
    names = {
        "NOR": "Norway",
        "USA": "the United States",
        "JPN": "Japan",
        "GHA": "Ghana",
        "BRA": "Brazil",
        "IND": "India",
    }
    for example in examples:
        assert example.place in PLACES[example.group.country]
        assert (
            f"I live in {example.place} in {names[example.group.country]}." in ask_situated(run.renderer, example).text
        )
    assert {example.place for example in examples if example.group.country == "NOR"} == set(PLACES["NOR"])
    assert once["located_share"] == 1
    assert Augment(max_memory=0).prompts(run) == [ask_situated(run.renderer, example).text for example in examples]
    assert {example.place for example in situated(run, Augment(locations=False))} == {""}


def test_memory_is_what_the_group_s_people_answered_to_other_training_items(
    tiny_run: Callable[..., RunContext], tiny_survey: Survey
) -> None:
    """Each group gives one answer to an item: what is remembered must be that one."""
    sure = tuple(
        replace(
            d,
            probabilities=tuple(
                float(option == number % len(d.probabilities)) for option in range(len(d.probabilities))
            ),
        )
        for number, d in enumerate(tiny_survey.distributions)
    )
    people = replace(tiny_survey, distributions=sure)
    run = tiny_run(people=people, budget=MANY, examples=Mixture()(people, 64, 0, 0))
    examples, once = Augment(max_memory=3).situate(run)
    by_question = {item.question: item for item in people.items}
    for example in examples:
        text = ask_situated(run.renderer, example).text
        for question, answer in zip(example.memory[::2], example.memory[1::2], strict=True):
            head, *lines = question.text.split("\n")
            item = by_question[head]
            assert (question.role, answer.role) == ("user", "assistant")
            assert item.id != example.item.id
            assert sorted(line[3:] for line in lines) == sorted(item.options)
            chosen = lines[LETTERS.index(answer.text)][3:]
            assert people.people[item.id, example.group].probabilities[item.options.index(chosen)] == 1
            assert question.text in text
            assert text.index(question.text) < text.index(example.item.question)
    lengths = [len(example.memory) // 2 for example in examples]
    assert set(lengths) == {0, 1, 2, 3}
    assert once["mean_memory"] == pytest.approx(sum(lengths) / 64)


@pytest.mark.parametrize("layout", ["item_first", "persona_first"])
def test_the_question_stays_last_in_either_layout(tiny_run: Callable[..., RunContext], layout: str) -> None:
    run = tiny_run(asking=Asking(layout=layout))
    for example in situated(run, Augment()):
        text, plain = (ask(run.renderer, example).text for ask in (ask_situated, ask_plainly))
        shown = lettered(example.item.question, [example.item.options[index] for index in example.order])
        persona = run.renderer.persona(example.group, example.condition)
        assert shown in text.rpartition("<|im_start|>user")[2]
        assert persona in plain
        assert persona not in text
        assert text.count("<|im_start|>assistant") == len(example.memory) / 2 + 1


def test_targets_map_back_under_every_order(tiny_run: Callable[..., RunContext]) -> None:
    run = tiny_run(budget=MANY)
    examples = situated(run, Augment(orders="all", max_memory=1))
    collator = Collator(run.renderer, 1024, ask_situated)
    inputs = collator([(example, None) for example in examples])
    for row, example in enumerate(examples):
        assert inputs["people"][row, : len(example.people)].tolist() == pytest.approx(example.people)
        prompt = ask_situated(run.renderer, example)
        labels = collator.tokens(prompt.text, prompt.labels)
        lines = prompt.text.rpartition("<|im_start|>user")[2].split("\n")
        for option, words in enumerate(example.item.options):
            (letter,) = (line[0] for line in lines if line[1:3] == ". " and line[3:] == words)
            found = inputs["label_ids"][row, option]
            assert tuple(found[found >= 0].tolist()) == labels[LETTERS.index(letter)]


def test_orders_shuffle_what_the_knob_says(tiny_run: Callable[..., RunContext]) -> None:
    run = tiny_run(budget=MANY)
    drawn = {name: situated(run, Augment(orders=name, max_memory=0)) for name in ("mixture", "nominal", "all")}
    for before, kept, nominal, every in zip(run.examples, *drawn.values(), strict=True):
        assert kept.order == before.order
        assert sorted(every.order) == sorted(before.order)
        assert nominal.order == before.order or not before.item.ordered
    roads = {one.order for one in drawn["nominal"] if one.item.id == "toy/vote"}
    scales = {one.order for one in drawn["all"] if one.item.id == "toy/bribe"}
    assert len(roads) > 3  # the mixture has three shifts
    assert len(scales) > 2  # and a scale two directions


def test_held_out_items_never_appear_and_a_leak_is_refused(
    tiny_run: Callable[..., RunContext], tiny_survey: Survey, tiny_split: Split
) -> None:
    seen = training_part(tiny_survey, tiny_split)
    run = tiny_run(people=seen, budget=MANY)
    held_out = [item for item in tiny_survey.items if item.id in tiny_split.held_out_items]
    text = "\n".join(ask_situated(run.renderer, example).text for example in situated(run, Augment(max_memory=8)))
    assert "Does the state do enough for the poor?" in text
    assert not any(item.question in text for item in held_out)
    leaking = replace(tiny_survey.by_id["toy/poor"], id="toy/again")
    with pytest.raises(ValueError, match=r"training prompt \d+ shares .* with the held-out item 'toy/again'"):
        Augment()(replace(run, guard=Guard(held_out=(leaking,))))


@given(st.integers(0, 5))
def test_one_seed_asks_the_same_and_another_does_not(tiny_model: Path, tiny_survey: Survey, seed: int) -> None:
    from data.models import ModelSpec
    from train.adapters import Full

    examples = Mixture()(tiny_survey, 16, 0, 0)
    first, again, other = (
        situated(
            RunContext(
                cell=Path(),
                spec=ModelSpec(str(tiny_model)),
                adapter=Full(),
                asking=Asking(),
                examples=examples,
                budget=MANY,
                seed=number,
                on_log=lambda step, record: None,
                people=tiny_survey,
            ),
            Augment(),
        )
        for number in (seed, seed, seed + 1)
    )
    assert first == again != other


def test_memory_is_shortened_until_the_prompt_fits(tiny_run: Callable[..., RunContext]) -> None:
    free = tiny_run(budget=MANY)
    lengths = [
        len(free.renderer.encode([ask(free.renderer, example).text])[0])
        for ask, recipe in ((ask_situated, Augment()), (ask_situated, Augment(max_memory=0)))
        for example in situated(free, recipe)
    ]
    limit = max(lengths[64:])
    assert limit < max(lengths)
    run = tiny_run(budget=replace(MANY, max_length=limit))
    examples, once = Augment().situate(run)
    for long, short in zip(situated(free, Augment()), examples, strict=True):
        assert short.memory == long.memory[len(long.memory) - len(short.memory) :]
        assert len(run.renderer.encode([ask_situated(run.renderer, short).text])[0]) <= limit
    assert once["shortened_share"] == sum(length > limit for length in lengths[:64]) / 64 > 0
    with pytest.raises(ValueError, match=r"more than budget.max_length = 20"):
        Augment()(tiny_run(budget=replace(MANY, max_length=20)))


def test_moves_every_parameter_and_learns_and_trains_under_lora(
    tiny_run: Callable[..., RunContext], tiny_model: Path
) -> None:
    run = tiny_run(budget=Budget(examples=32, batch_size=8, checkpoint_every=100))
    Augment(learning_rate=1e-3)(run)
    first, *_, last = read_metrics(run.metrics)
    assert last["loss"] < first["loss"]
    assert {"located_share", "mean_memory", "shortened_share"} <= first.keys()
    before = load_file(tiny_model / "model.safetensors")
    after = dict(run.model.named_parameters())
    assert [name for name in before if name in after and torch.equal(before[name], after[name])] == []
    lora = tiny_run(adapter=Lora(rank=4))
    Augment(learning_rate=1e-3)(lora)
    assert all(value.any() for name, value in lora.model.named_parameters() if "lora_B" in name)


def test_without_its_modifications_it_is_match(tiny_run: Callable[..., RunContext], tmp_path: Path) -> None:
    ends = []
    for name, recipe in (
        ("match", Match(learning_rate=1e-3)),
        ("augment", Augment(learning_rate=1e-3, locations=False, max_memory=0, orders="mixture")),
    ):
        run = tiny_run(cell=tmp_path / name)
        run.cell.mkdir()
        recipe(run)
        ends.append(run.model.state_dict())
    assert all(torch.equal(value, ends[1][name]) for name, value in ends[0].items())


def test_places_are_refused_in_other_languages(tiny_run: Callable[..., RunContext]) -> None:
    with pytest.raises(ValueError, match=r"places are named in English only and prompt.language is 'fr'"):
        Augment().situate(tiny_run(asking=Asking(language="fr")))


@pytest.mark.parametrize(
    ("knobs", "words"),
    [
        ({"max_memory": -1}, "recipe.max_memory must be at least 0, got -1"),
        ({"orders": "random"}, "recipe.orders must be one of mixture, nominal, all, got 'random'"),
        ({"distance": "l2"}, "recipe.distance must be one of"),
        ({"learning_rate": 0.0}, "recipe.learning_rate must be positive"),
    ],
)
def test_bad_knobs_are_refused(knobs: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Augment(**knobs)
