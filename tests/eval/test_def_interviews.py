"""Whole audits of scripted participants: ablations, the positive control, written answers, going on after a kill."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from survey_takers import Fake, Question, find, first_place, make_context, own_first, people_of, uniform

from data.records import Split, Survey
from eval.answer_store import AnswerStore
from eval.answers import OptionAnswer, Progress, option_key
from eval.diversity_enhanced.audit import DiversityEnhanced
from eval.diversity_enhanced.interview import EXPLAIN, REMEMBERED, TOLD
from eval.diversity_enhanced.participants import ABLATIONS, PARTICIPANTS
from eval.records import AuditResult, Estimate

PEOPLE, EXPECTED = PARTICIPANTS, f"{PARTICIPANTS}:expected"
ABLATED = DiversityEnhanced(4, 12, 2, 3, ablations=ABLATIONS, draws=100)
WRITTEN = DiversityEnhanced(4, 6, 2, 3, answering="explain", draws=100)


def effect(result: AuditResult, ablation: str, measure: str = "js_distance") -> Estimate:
    return find(result.estimates, f"effect_on_{measure}", ablation)


def test_who_ignores_everything_has_no_effects(tiny_survey: Survey, tiny_split: Split) -> None:
    context, fake = make_context(tiny_survey, tiny_split, people_of(tiny_survey))
    result = ABLATED(context)
    for name in ABLATIONS:
        assert effect(result, name).value == pytest.approx(0, abs=1e-9)
        assert find(result.estimates, "js_distance", f"{name}:expected").value == pytest.approx(0, abs=1e-6)
    # The same luck, and an answer that depends on nothing but the country: the same answers.
    for name in ("no_location", "no_memory"):
        assert effect(result, name, "response_diversity").value == 0
    assert [len(batch) for batch in fake.batches] == [48 * 4, 48 * 4]
    assert set(result.items["condition"]) == {PARTICIPANTS, *ABLATIONS}


def test_a_place_bound_model_is_saved_by_shuffled_orders_alone(tiny_survey: Survey, tiny_split: Split) -> None:
    context, _ = make_context(tiny_survey, tiny_split, first_place)
    result = ABLATED(context)
    full = find(result.estimates, "js_distance", EXPECTED).value
    bare = find(result.estimates, "js_distance", "no_order:expected").value
    assert bare > full
    assert effect(result, "no_order").value == pytest.approx(full - bare)
    assert find(result.estimates, "response_diversity", "no_order").value == 1
    assert effect(result, "no_order", "response_diversity").value == pytest.approx((4 + 3) / 2 - 1)
    assert effect(result, "no_memory").value == pytest.approx(0)


def test_a_model_that_lives_on_its_memory(tiny_survey: Survey, tiny_split: Split) -> None:
    people = people_of(tiny_survey)

    def rule(question: Question) -> Sequence[float]:
        return people(question) if question.earlier else own_first(question)

    context, _ = make_context(tiny_survey, tiny_split, rule)
    result = ABLATED(context)
    assert effect(result, "no_memory").value < -0.05
    for name in ("no_location", "no_order"):
        assert effect(result, name).value == pytest.approx(0, abs=1e-9)
    first = result.items[result.items["step"] == 0]
    assert (first["remembered"] == 0).all()
    bare = result.items[(result.items["condition"] == "no_memory") & (result.items["step"] == 1)]
    assert (bare["remembered"] == 0).all()


def test_a_model_that_knows_places(tiny_survey: Survey, tiny_split: Split) -> None:
    people = people_of(tiny_survey)

    def rule(question: Question) -> Sequence[float]:
        named = " in " in question.system.partition("lives in ")[2]  # "lives in Hamar in Norway"
        return people(question) if named else uniform(question)

    context, _ = make_context(tiny_survey, tiny_split, rule)
    result = ABLATED(context)
    assert effect(result, "no_location").value < -0.1
    assert effect(result, "no_memory").value == pytest.approx(0, abs=1e-9)


def follower(question: Question) -> list[float]:
    """Gives what all people there are said to answer; else every option is equally likely."""
    told = [f"answer: {option}." in question.system for option in question.shown]
    return [float(one) for one in told] if any(told) else uniform(question)


def test_the_control_finds_who_follows_and_who_ignores(tiny_survey: Survey, tiny_split: Split) -> None:
    audit = DiversityEnhanced(4, 6, 2, 3, draws=200, control_participants=3)
    context, fake = make_context(tiny_survey, tiny_split, follower, controls=True)
    result = audit(context)
    found = find(result.estimates, "control_effect", TOLD)
    assert found.value == pytest.approx((3 / 4 + 2 / 3) / 2)  # a bribe has four options, the vote three
    assert found.low > 0
    assert [len(batch) for batch in fake.batches] == [24 + 2 * 12, 24 + 2 * 12]
    told = result.items[result.items["condition"] == TOLD]
    for row in told.to_dict("records"):
        said = tiny_survey.by_id[row["item"]].options[row["told"]]
        assert row["persona"].endswith(f"would. All people there answer: {said}.")
    assert not result.scores["condition"].str.startswith("control").any()
    plain = audit(make_context(tiny_survey, tiny_split, follower)[0])
    first, second = ({(e.name, e.group, e.condition): e.value for e in one.estimates} for one in (result, plain))
    first.pop(("control_effect", "all", TOLD))
    assert first.pop(("control_effect", "all", REMEMBERED)) == pytest.approx(0)  # it hears of people, not of itself
    assert first == pytest.approx(second, nan_ok=True)
    ignored = audit(make_context(tiny_survey, tiny_split, people_of(tiny_survey), controls=True)[0])
    for control in (TOLD, REMEMBERED):
        blind = find(ignored.estimates, "control_effect", control)
        assert blind.value == pytest.approx(0)
        assert blind.low <= 0


def repeater(question: Question) -> list[float]:
    """Gives the letter that it remembers last; who remembers none is as likely to take any option."""
    letters = re.findall(r"\nAnswer: ([A-Z])\n", question.text)
    if not letters:
        return uniform(question)
    return [float(letter == letters[-1]) for letter in "ABCDEFGH"[: len(question.shown)]]


def test_the_control_finds_who_repeats_what_it_remembers(tiny_survey: Survey, tiny_split: Split) -> None:
    audit = DiversityEnhanced(4, 6, 2, 0, draws=200, control_participants=3)  # max_memory=0: nothing else is remembered
    context, _ = make_context(tiny_survey, tiny_split, repeater, controls=True)
    result = audit(context)
    found = find(result.estimates, "control_effect", REMEMBERED)
    assert found.value == pytest.approx((3 / 4 + 2 / 3) / 2)
    assert found.low > 0
    assert find(result.estimates, "control_effect", TOLD).value == pytest.approx(0)
    rows = result.items[result.items["condition"] == REMEMBERED]
    assert len(rows) == 2 * 12
    plain = result.items[result.items["condition"] == PARTICIPANTS].set_index(["participant", "item"])
    for row in rows.to_dict("records"):
        (pair,) = json.loads(row["memory"])
        first = plain.loc[(row["participant"], row["item"])]
        assert pair == {"question": pair["question"], "answer": "ABCDEFGH"[list(row["order"]).index(row["told"])]}
        assert pair["question"].startswith(row["question"])
        assert row["persona"] == first["persona"]
        assert list(row["order"]) == list(first["order"])
        assert first["remembered"] == 0
    assert not result.scores["condition"].str.startswith("control").any()


def test_drawn_participants_answer_most_probably(tiny_survey: Survey, tiny_split: Split) -> None:
    people = people_of(tiny_survey)
    context, _ = make_context(tiny_survey, tiny_split, people)
    items = DiversityEnhanced(4, 12, 2, 3, decoding="drawn").ask(context).items
    best = items["p"].map(np.argmax)
    assert (items["answer"] == best)[items["greedy"]].all()
    assert not (items["answer"] == best)[~items["greedy"]].all()
    assert 0 < items["greedy"].mean() < 1


def writer(question: Question) -> str:
    """Participants 0 and 1 name the item's first option by its letter, 2 by its text, 3 gives several, 4 is a machine
    that answers, 5 says nothing.
    """
    option = question.item.options[0]
    letter = "ABCDEFGH"[question.shown.index(option)]
    return (
        f"{letter}. {option}. We all think so. Number {question.repeat}.",
        f"{letter}. {option}. We all think so. Number {question.repeat}.",
        f"{option}, since we all think so.",
        "A or B, who knows?",
        f"{letter}. As an AI I think so.",
        "",
    )[question.repeat]


def test_written_answers(tiny_survey: Survey, tiny_split: Split) -> None:
    context, fake = make_context(tiny_survey, tiny_split, writer=writer)
    result = WRITTEN(context)
    items, estimates = result.items, result.estimates
    assert [len(batch) for batch in fake.requests] == [24, 24]
    assert fake.batches == []
    assert find(estimates, "unparsed_rate", PEOPLE).value == pytest.approx(2 / 6)
    assert find(estimates, "disclaimer_rate", PEOPLE).value == pytest.approx(1 / 6)
    assert find(estimates, "option_mass", PEOPLE).value == pytest.approx(4 / 6)
    assert find(estimates, "response_diversity", PEOPLE).value == 1
    assert find(estimates, "wording_diversity", PEOPLE).value == 1
    assert find(estimates, "wording_distance", PEOPLE).value > 0
    assert result.excluded["replies that name no option or several (not in the distances)"] == 16
    people = [tiny_survey.people[row.item, row.group] for row in tiny_survey.distributions]
    held = [d for d in people if d.item in tiny_split.held_out_items and d.group.label in tiny_split.held_out_countries]
    by_hand = np.mean([1 - d.probabilities[0] for d in held])
    assert find(estimates, "total_variation", PEOPLE).value == pytest.approx(by_hand)
    assert not {e.name for e in estimates} & {"between_ratio", "within_ratio"}  # six participants are too few
    assert not any("expected" in e.condition for e in estimates)
    assert find(estimates, "undecided_rate", "by rule", "axis=role_play").n == 48
    assert (items.loc[items["letter"] == "", "instruction"] == 1).all()
    assert items["reasons"].map(json.loads).map(len).eq(6).all()
    for column, kind in (
        ("question", str),
        ("options", list),
        ("order", list),
        ("persona", str),
        ("memory", str),
        ("reply", str),
        ("letter", str),
        ("explanation", str),
        ("finish", str),
    ):
        assert items[column].map(type).eq(kind).all(), column


def test_what_is_remembered_of_written_answers(tiny_survey: Survey, tiny_split: Split) -> None:
    context, fake = make_context(tiny_survey, tiny_split, writer=writer)
    items = DiversityEnhanced(4, 6, 2, 15, answering="explain").ask(context).items
    second = items[(items["step"] == 1) & (items["memory_length"] > 0) & (items["country"] == "NOR")]
    by_number = {row["participant"][-1]: row for row in second.to_dict("records")}
    assert {"3", "4", "5"} & set(by_number)
    for number, row in by_number.items():
        memory = json.loads(row["memory"])
        assert len(memory) == row["remembered"] == (1 if number in "012" else 0)
        if memory:
            first = items[(items["participant"] == row["participant"]) & (items["step"] == 0)].iloc[0]
            said = f"{first['letter']}. Never." if number in "01" else "Never, since we all think so."
            assert memory[0]["answer"] == said
            assert memory[0]["question"].startswith(first["question"])
            assert f"Answer: {said}\n\nQuestion:" in row["prompt"]
    request = fake.requests[0][0]
    assert request.text.startswith(EXPLAIN)
    assert request.stop == ("\n\nQuestion:",)
    assert (request.temperature, request.top_p, request.max_tokens) == (1.0, 1.0, 64)


def test_all_replies_unreadable_is_no_crash(tiny_survey: Survey, tiny_split: Split) -> None:
    context, _ = make_context(tiny_survey, tiny_split, writer=lambda question: "Who knows?")
    result = WRITTEN(context)
    assert find(result.estimates, "unparsed_rate", PEOPLE).value == 1
    assert not [e for e in result.estimates if e.name == "js_distance"]


def test_written_followers_are_seen(tiny_survey: Survey, tiny_split: Split) -> None:
    def obedient(question: Question) -> str:
        chosen = int(np.argmax(follower(question))) if "All people there" in question.system else 0
        return f"{'ABCDEFGH'[chosen]}. {question.shown[chosen]}."

    context, _ = make_context(tiny_survey, tiny_split, writer=obedient, controls=True)
    found = find(WRITTEN(context).estimates, "control_effect", TOLD)
    assert found.value > 0.3
    assert found.n == 8


def test_twenty_writers_carry_variation(tiny_survey: Survey, tiny_split: Split) -> None:
    people = people_of(tiny_survey)

    def honest(question: Question) -> str:
        luck = np.random.default_rng(
            [question.repeat, len(question.country), ord(question.country[0]), question.earlier]
        )
        return f"{'ABCDEFGH'[int(luck.choice(len(question.shown), p=people(question)))]}."

    context, _ = make_context(tiny_survey, tiny_split, writer=honest)
    estimates = DiversityEnhanced(4, 200, 2, 0, answering="explain", draws=50)(context).estimates
    assert find(estimates, "js_distance", PEOPLE).value < 0.12
    assert find(estimates, "between_ratio", PEOPLE).value == pytest.approx(1, abs=0.2)
    assert find(estimates, "within_ratio", PEOPLE).value == pytest.approx(1, abs=0.05)


def test_another_language_is_refused_in_writing(tiny_survey: Survey, tiny_split: Split) -> None:
    context, _ = make_context(tiny_survey, tiny_split)
    with pytest.raises(ValueError, match=r"audit.def.answering=explain .* English only, got language 'de'"):
        DiversityEnhanced(answering="explain", language="de").ask(context)


class Stored:
    """Answers through a store, as the backends do, and is killed after so many new answers."""

    def __init__(self, fake: Fake, store: AnswerStore, killed_after: int) -> None:
        self.fake, self.store, self.left = fake, store, killed_after
        self.identity, self.costs, self.generate, self.perplexity = "fake", fake.costs, fake.generate, fake.perplexity
        self.computed = 0

    def score(self, prompts: Sequence[object], progress: Progress | None = None) -> list[OptionAnswer]:
        keys = [option_key("fake", prompt) for prompt in prompts]  # type: ignore[arg-type]
        known = self.store.get(keys)
        for key, prompt in zip(keys, prompts, strict=True):
            if key in known:
                continue
            if self.left == 0:
                raise KeyboardInterrupt
            (answer,) = self.fake.score([prompt])  # type: ignore[list-item]
            known[key] = {"p": answer.probabilities.tolist()}
            self.store.put({key: known[key]})
            self.left, self.computed = self.left - 1, self.computed + 1
        return [OptionAnswer(np.array(known[key]["p"]), 0.8) for key in keys]


def test_killed_in_the_middle_and_started_again(tiny_survey: Survey, tiny_split: Split, tmp_path: Path) -> None:
    def interviewed(store: AnswerStore, killed_after: int) -> tuple[pd.DataFrame, int]:
        context, fake = make_context(tiny_survey, tiny_split, uniform)
        stored = Stored(fake, store, killed_after)
        audit = DiversityEnhanced(4, 6, 2, 3, ablations=("no_memory",), draws=20)
        seen = dataclasses.replace(context, answerer=stored)  # type: ignore[arg-type]
        return audit.ask(seen).items, stored.computed

    whole, asked = interviewed(AnswerStore(tmp_path / "whole.sqlite"), 10**6)
    store = AnswerStore(tmp_path / "killed.sqlite")
    with pytest.raises(KeyboardInterrupt):
        interviewed(store, 30)
    again, rest = interviewed(store, 10**6)
    pd.testing.assert_frame_equal(whole, again)
    assert rest == asked - 30
