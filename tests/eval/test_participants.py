from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest

from data.places import PLACES
from data.prompts import Asking, Renderer
from data.records import Item
from eval.diversity_enhanced.participants import ABLATIONS, PARTICIPANTS, Participant, draw_participants, shuffled

ITEM = Item("i", "Question?", ("a", "b", "c"), False, "toy")
PLAIN = Renderer(Asking(style="completion", persona="portrayal"))


def test_memory_is_resampled_without_replacement_and_in_order() -> None:
    who = Participant("NOR", 0, "", 2, 0)
    kept: list[list[str]] = []
    for step in range(6):
        who.remember(f"Question {step}?", "A", step)
        kept.append([pair.question for pair in who.memory])
    assert [len(memory) for memory in kept] == [1, 2, 2, 2, 2, 2]
    for before, after in pairwise(kept):
        assert len(set(after)) == len(after)
        assert after == sorted(after)
        assert len(set(after) - set(before)) <= 1
    assert any("Question 5?" not in memory or "Question 4?" not in memory for memory in kept[5:])


def test_sampled_answers_follow_the_distribution_and_greedy_ones_take_the_most_probable() -> None:
    who = Participant("NOR", 0, "", 0, 0)
    drawn = [who.choose(np.array([0.2, 0.0, 0.8]), step) for step in range(2000)]
    assert np.bincount(drawn, minlength=3) / 2000 == pytest.approx([0.2, 0, 0.8], abs=0.03)
    greedy = Participant("NOR", 0, "", 0, 0, greedy=True)
    assert {greedy.choose(np.array([0.2, 0.0, 0.8]), step) for step in range(50)} == {2}


def test_participants_are_spread_evenly_and_memory_lengths_over_the_whole_range() -> None:
    everyone = draw_participants(("NOR", "XKX"), 200, 3, 0)
    assert [who.country for who in everyone[:4]] == ["NOR", "XKX", "NOR", "XKX"]
    assert {who.place for who in everyone if who.country == "XKX"} == {""}
    assert {who.place for who in everyone if who.country == "NOR"} == set(PLACES["NOR"])
    counts = np.bincount([who.memory_length for who in everyone if who.country == "NOR"])
    assert len(counts) == 4
    assert counts.min() > 30
    assert not any(who.greedy for who in everyone)


def test_four_of_five_drawn_participants_have_several_beams() -> None:
    everyone = draw_participants(("NOR", "GHA"), 1000, 3, 0, drawn_decoding=True)
    assert np.mean([who.greedy for who in everyone]) == pytest.approx(0.8, abs=0.04)
    by_number = [{who.greedy for who in everyone if who.number == number} for number in range(20)]
    assert all(len(same) == 1 for same in by_number)
    sampled = draw_participants(("NOR", "GHA"), 1000, 3, 0)
    assert [who.memory_length for who in sampled] == [who.memory_length for who in everyone]


@pytest.mark.parametrize(("options", "participants"), [(4, 12), (3, 6), (10, 5), (5, 5)])
def test_each_option_stands_at_each_place_equally_often(options: int, participants: int) -> None:
    orders = [shuffled(options, n, participants, np.random.default_rng(3)) for n in range(participants)]
    for place in range(options):
        shown = np.bincount([order[place] for order in orders], minlength=options)
        assert shown.max() == math.ceil(participants / options)


def test_an_ablation_takes_one_thing_away_and_leaves_the_luck() -> None:
    who = Participant("NOR", 3, "Hamar", 5, 7)
    who.remember("Question?", "A", 0)
    bare = {name: who.without(name) for name in ABLATIONS}
    assert bare["no_location"].persona(PLAIN) == "Answer as a person who lives in Norway would."
    assert bare["no_memory"].persona(PLAIN) == "Answer as a person who lives in Hamar in Norway would."
    assert [bare[name].memory_length for name in ABLATIONS] == [5, 0, 5]
    assert all(not one.memory and one.id == who.id and one.condition == name for name, one in bare.items())
    p = np.full(3, 1 / 3)
    for one in bare.values():
        assert [one.choose(p, step) for step in range(20)] == [who.choose(p, step) for step in range(20)]
    assert who.condition == PARTICIPANTS
    with pytest.raises(ValueError, match=r"an ablation must be among .*, got 'no_beams'"):
        who.without("no_beams")


def test_the_persona_follows_the_instruction_and_the_memory_comes_between() -> None:
    who = Participant("NOR", 0, "Hamar", 5, 0)
    who.remember("Earlier?\nA. a", "A", 0)
    asked = who.ask(ITEM, (2, 0, 1), PLAIN, "Do answer.", who.persona(PLAIN))
    assert asked.text == (
        "Do answer. Answer as a person who lives in Hamar in Norway would.\n\nQuestion: Earlier?\nA. a\n\nAnswer: A\n\n"
        "Question: Question?\nA. c\nB. a\nC. b\n\nAnswer:"
    )
    assert asked.labels == ("A", "B", "C")


def test_what_is_told_is_drawn_evenly() -> None:
    drawn = [Participant("NOR", number, "", 0, 0).told(3, 1) for number in range(900)]
    assert np.bincount(drawn) / 900 == pytest.approx(1 / 3, abs=0.05)
