"""MARK by generation with a scripted writer: reasons, weights, retries, failures that are counted and nothing made up,
faithfulness to what is cited, and what the stages make of it by hand.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from data.models import load_model, load_tokenizer
from data.prompts import Asking, Renderer
from data.records import Split, Survey
from eval.answer_store import AnswerStore
from eval.answers import Answerer, Costs, OptionAnswer, Progress, TextAnswer, TextRequest
from eval.backends.in_process import TransformersAnswerer
from eval.context import AuditContext
from eval.forecast import rehearse
from eval.mark.audit import Mark
from eval.mark.generation import PAIRS
from eval.mark.writing import fulfilled, number, one_of, record, room, words
from eval.records import AuditResult

OPTIONS = ("Yes, always", "Sometimes", "No, never")
SPLIT = Split(("toy/seen",), ("USA",), ("toy/held",), ("NOR", "JPN"), 0)
REASON = "A plain reason in words."
Rule = Callable[[str, Mapping[str, Any]], dict[str, Any]]


def letter(text: str, option: str) -> str:
    found = re.search(rf"^([A-Z])\. {re.escape(option)}$", text, flags=re.MULTILINE)
    assert found is not None
    return found[1]


def stage(schema: Mapping[str, Any]) -> str:
    fields = set(schema["properties"])
    for name, of in (("weight", "answer"), ("fits", "check"), ("fact", "conclusion"), ("functions", "type")):
        if name in fields:
            return of
    return "short" if "option" in fields else "stress"


@dataclass
class Writer:
    """Writes by rules by stage; `broken` gives the text instead, by (stage, prompt, attempt), where it is not None."""

    rules: Mapping[str, Rule]
    broken: Callable[[str, str, int], str | None] = lambda stage, text, attempt: None
    identity: str = "scripted"
    costs: Costs = field(default_factory=Costs)
    asked: list[TextRequest] = field(default_factory=list)

    def score(self, prompts: Any, progress: Progress | None = None) -> list[OptionAnswer]:
        raise AssertionError("nothing is scored where answers are written")

    def generate(self, requests: Sequence[TextRequest], progress: Progress | None = None) -> list[TextAnswer]:
        answers = []
        for request in requests:
            self.asked.append(request)
            schema = json.loads(request.schema)
            of = stage(schema)
            text = self.broken(of, request.text, request.repeat)
            if text is None:
                text = json.dumps(self.rules[of](request.text, schema))
            answers.append(TextAnswer(text, "stop", 9))
        return answers

    def perplexity(self, texts: Sequence[str]) -> float:
        return float("nan")


def written(choose: Callable[[str], str], cites: str = "age", **others: Rule) -> Writer:
    """Stress 90 from age, else 10; Ni with Te; weights 80, 60, 40, 20; no harm; every answer fits; the conclusion is
    the vote's and cites Ni and `cites`. `choose` gives the option to a prompt.
    """
    weight = {"dominant": 80, "auxiliary": 60, "tertiary": 40, "inferior": 20}

    def answer(text: str, schema: Mapping[str, Any]) -> dict[str, Any]:
        rank = re.search(r"The person's (\w+) way", text)
        assert rank is not None
        said = {"reason": REASON, "impact": "positive", "option": letter(text, choose(text))}
        return said | {"weight": weight[rank[1]]}

    rules: dict[str, Rule] = {
        "stress": lambda t, s: {k: {"reason": REASON, "stress": 90 if k == "age" else 10} for k in s["properties"]},
        "type": lambda t, s: {"reason": REASON, "functions": "Ni-Te"},
        "answer": answer,
        "check": lambda t, s: {"reason": REASON, "fits": "yes"},
        "short": lambda t, s: {"reason": REASON, "option": letter(t, choose(t))},
        "conclusion": lambda t, s: {
            "explanation": "Ni counts 0.40 and Te 0.30.",
            "option": letter(t, choose(t)),
            "function": "Ni",
            "fact": cites,
        },
    }
    return Writer(rules | others)


def by_sex(text: str) -> str:
    return OPTIONS[0] if "sex: female" in text else OPTIONS[2]


def context(answerer: Answerer, survey: Survey, controls: bool = False) -> AuditContext:
    renderer = Renderer(Asking(style="completion"))
    silent = lambda what: lambda done, total: None  # noqa: E731
    return AuditContext(answerer, renderer, survey, SPLIT, (), 0, None, silent, controls)


def run(answerer: Answerer, survey: Survey, controls: bool = False, **knobs: Any) -> AuditResult:
    settings = {"answering": "generation", "respondents": 12, "items": 1, "draws": 200, "least_people": 1} | knobs
    return Mark(**settings)(context(answerer, survey, controls))


def value(result: AuditResult, name: str, condition: str) -> float:
    found = [e.value for e in result.estimates if (e.name, e.condition) == (name, condition)]
    assert len(found) == 1, f"{name} {condition}: {found}"
    return found[0]


def test_a_perfect_writer_scores_perfectly_and_its_reasons_are_kept(sexes: Survey) -> None:
    result = run(written(by_sex), sexes)
    for name in ("accuracy", "cohen_kappa", "probability_of_answer", "accuracy_weighted"):
        if name != "cohen_kappa":
            assert value(result, name, "demographics_only") == pytest.approx(1)
        assert value(result, name, "mark") == pytest.approx(1)
    assert value(result, "vote_agreement", "mark") == 1
    assert value(result, "stage_validity", "S3 weights") == 1
    assert value(result, "stage_failed", "S3 answer") == 0
    assert result.settings["failed_texts"] == []
    row = result.items.iloc[0]
    assert row["explanation"] == "Ni counts 0.40 and Te 0.30."
    assert (row["type"], row["type_reason"], row["cited_function"], row["cited_feature"]) == (
        "INTJ",
        REASON,
        "Ni",
        "age",
    )
    assert [f["reason"] for f in json.loads(row["features"])] == [REASON] * 4
    voices = json.loads(row["functions"])
    assert [voice["weight"] for voice in voices] == [0.4, 0.3, 0.2, 0.1]
    assert {voice["reason"] for voice in voices} | {voice["check_reason"] for voice in voices} == {REASON}
    assert not [e for e in result.estimates if e.name in ("option_mass", "decisiveness", "position_effect")]


def test_options_stand_in_both_orders_and_are_mapped_back(sexes: Survey) -> None:
    """A writer that always takes A: its answer is the first option or the last, by the order that the person saw."""
    lazy = written(by_sex)
    first = dict(lazy.rules) | {
        name: lambda t, s, rule=lazy.rules[name]: rule(t, s) | {"option": "A"}  # type: ignore[misc]
        for name in ("answer", "short", "conclusion")
    }
    result = run(Writer(first), sexes, respondents=24)
    assert set(result.items["answer"]) == {0, 2}
    for row in result.items.to_dict("records"):
        assert row["p"][row["answer"]] == 1
        assert row["p_demographics_only"][row["answer"]] == 1


def test_a_text_that_fails_twice_is_asked_again_with_other_seeds(sexes: Survey) -> None:
    model = written(by_sex)
    model.broken = lambda of, text, attempt: '{"reason": "cut' if of == "type" and attempt < 2 else None
    result = run(model, sexes, retries=2)
    assert len(result.items) == 12
    assert value(result, "stage_failed", "S2 type") == 0
    assert value(result, "stage_retried", "S2 type") == 1
    assert value(result, "stage_retried", "S3 answer") == 0
    asked = [request for request in model.asked if stage(json.loads(request.schema)) == "type"]
    assert [request.repeat for request in asked] == [0] * 24 + [1] * 24 + [2] * 24
    cold = run(model, sexes, retries=2, temperature=0.0)
    assert cold.items.empty  # the most probable text would be the same again


@pytest.mark.parametrize(
    ("of", "named"),
    [
        ("stress", "S1 stress"),
        ("type", "S2 type"),
        ("answer", "S3 answer, S4 check or S4 revision"),
        ("check", "S3 answer, S4 check or S4 revision"),
        ("conclusion", "S4 conclusion"),
        ("short", "baseline"),
    ],
)
def test_a_stage_that_always_fails_is_counted_and_nothing_is_made_up(sexes: Survey, of: str, named: str) -> None:
    """The women's texts of this stage are never right; the men's decisions stand."""
    female = {p.id for p in sexes.respondents if p.group.sex == "female"}
    model = written(by_sex)

    def of_a_woman(text: str) -> bool:
        return OPTIONS[0] in text.split("Answer:")[1] if of == "check" else "sex: female" in text

    model.broken = lambda found, text, attempt: "I would say B." if found == of and of_a_woman(text) else None
    result = run(model, sexes, respondents=24, retries=1)
    lost = result.excluded[f"decisions without a text that fulfils its schema: {named}"]
    assert lost == len(female & {p.id for p in sexes.respondents if p.group.country != "USA"}) == 12
    assert set(result.items["sex"]) == {"male"}
    assert value(result, "accuracy", "mark") == 1
    failures = [e for e in result.estimates if e.name == "stage_failed" and e.value > 0]
    assert failures
    assert all(text["text"] == "I would say B." for text in result.settings["failed_texts"])


def test_where_all_fails_there_are_failures_and_no_decision(sexes: Survey) -> None:
    model = written(by_sex)
    model.broken = lambda of, text, attempt: "{}"
    result = run(model, sexes)
    assert result.items.empty
    assert result.scores.empty
    assert {(e.name, e.condition, e.value) for e in result.estimates} == {
        ("stage_failed", "S1 stress", 1.0),
        ("stage_retried", "S1 stress", 1.0),
    }
    assert len(model.asked) == 12 * 3


def test_faithful_to_what_it_cites_or_not(sexes: Survey) -> None:
    """Both cite age. One looks at age alone, the other at sex alone."""
    looks_at_age = run(written(lambda text: OPTIONS[0] if "age: " in text else OPTIONS[1]), sexes)
    assert value(looks_at_age, "faithfulness", "feature: greatest") == 1
    assert value(looks_at_age, "faithfulness", "feature: another") == 0
    assert value(looks_at_age, "faithfulness", "feature: asked again") == 0
    elsewhere = run(written(lambda text: OPTIONS[0] if "sex: " in text else OPTIONS[1]), sexes)
    assert value(elsewhere, "faithfulness", "feature: greatest") == 0
    assert value(elsewhere, "faithfulness", "feature: difference") <= 0
    everything = run(written(lambda text: OPTIONS[0] if "age: " in text else OPTIONS[1]), sexes, removal="all")
    assert value(everything, "faithfulness", "feature: greatest") == 1
    assert value(everything, "faithfulness", "feature: another") == 0


def test_a_contradicted_answer_is_revised_and_its_reason_kept(sexes: Survey) -> None:
    def fits(text: str, schema: Mapping[str, Any]) -> dict[str, Any]:
        return {"reason": "This is not like the person.", "fits": "no" if "one inner vision" in text else "yes"}

    model = written(lambda text: OPTIONS[1] if "Think again" in text else OPTIONS[0], check=fits)
    result = run(model, sexes)
    assert value(result, "consistency_rate", "S4 consistency") == pytest.approx(3 / 4)
    assert value(result, "revision_changed_rate", "S4 consistency") == 1
    np.testing.assert_allclose(result.items["p"].iloc[0], [0.6, 0.4, 0])
    voice = json.loads(result.items["functions"].iloc[0])[0]
    assert (voice["first_answer"], voice["answer"], voice["revision_reason"]) == (OPTIONS[0], OPTIONS[1], REASON)
    assert any("does not fit this: This is not like the person." in request.text for request in model.asked)


def test_the_writers_own_conclusion_may_leave_the_vote(sexes: Survey) -> None:
    def other(text: str, schema: Mapping[str, Any]) -> dict[str, Any]:
        said = {"explanation": "Te counts 0.30, so it is that.", "option": letter(text, OPTIONS[1])}
        return said | {"function": "Te", "fact": "sex"}

    result = run(written(by_sex, conclusion=other), sexes)
    assert value(result, "vote_agreement", "mark") == 0
    assert value(result, "accuracy", "mark") == 1  # the vote decides
    assert set(result.items["concluded"]) == {OPTIONS[1]}
    assert set(result.items["cited_function"]) == {"Te"}


def test_told_its_answer_a_follower_follows_and_an_ignorer_does_not(sexes: Survey) -> None:
    def follows(text: str) -> str:
        told = re.search(r'answered this question before with: "([^"]+)"', text)
        return told[1] if told else OPTIONS[1]

    follower = run(written(follows), sexes, controls=True)
    ignorer = run(written(lambda text: OPTIONS[1]), sexes, controls=True)
    for condition in ("control:answer stated", "control:answer stated, dominant function"):
        assert value(follower, "control_effect", condition) == 1
        assert value(ignorer, "control_effect", condition) == 0


def test_a_copier_is_seen_by_the_answer_given_before_alone(sexes: Survey) -> None:
    def short(text: str, schema: Mapping[str, Any]) -> dict[str, Any]:
        said = re.search(r'"option": "([A-Z])"', text)
        return {"reason": REASON, "option": said[1] if said else letter(text, OPTIONS[1])}

    copier = run(written(lambda text: OPTIONS[1], short=short), sexes, controls=True)
    ignorer = run(written(lambda text: OPTIONS[1]), sexes, controls=True)
    assert value(copier, "control_effect", "control:answered before") == 1
    assert value(copier, "control_effect", "control:answer stated") == 0
    assert value(ignorer, "control_effect", "control:answered before") == 0
    schema = record(reason=words(160), option=one_of("ABC"))
    asked = copier.items[copier.items["condition"] == "control:answered before"]
    for prompts in asked["prompts"]:
        earlier = re.search(r"^Answer: (\{.*\})$", json.loads(prompts)[0]["text"], flags=re.MULTILINE)
        assert earlier is not None
        assert fulfilled(earlier[1], schema) is not None


def test_killed_in_ask_and_run_again_gives_the_same_decisions(
    tiny_model: Path, tiny_survey: Survey, tiny_split: Split, tmp_path: Path
) -> None:
    """Texts of a random model under the schema: cut off after some texts, the next run takes them from disk."""
    model, tokenizer = load_model(tiny_model, torch.float32), load_tokenizer(tiny_model)
    renderer = Renderer(Asking(), tokenizer)
    audit = Mark(respondents=1, items=1, answering="generation", reason_letters=20, draws=50, temperature=1.0)

    def asked(name: str, stop_after: int | None = None) -> tuple[AuditResult, Costs]:
        answerer = TransformersAnswerer(model, renderer, "tiny", AnswerStore(tmp_path / f"{name}.sqlite"))
        calls = 0

        def progress(what: str) -> Progress:
            nonlocal calls
            calls += 1
            if stop_after is not None and calls > stop_after:
                raise KeyboardInterrupt
            return lambda done, total: None

        found = AuditContext(answerer, renderer, tiny_survey, tiny_split, (), 0, None, progress, True)
        return audit(found), answerer.costs

    whole, _ = asked("whole")
    with pytest.raises(KeyboardInterrupt):
        asked("cut", stop_after=3)
    resumed, costs = asked("cut")
    assert costs.stored > 0
    assert whole.items.to_json() == resumed.items.to_json()
    assert [e.value for e in whole.estimates if e.n] == pytest.approx(
        [e.value for e in resumed.estimates if e.n], nan_ok=True
    )


@pytest.mark.parametrize("answering", ["choice", "generation"])
def test_a_rehearsal_counts_what_will_be_asked(sexes: Survey, answering: str) -> None:
    audit = Mark(respondents=4, items=1, answering=answering, control_respondents=2)
    rehearsal = rehearse(audit, context(written(by_sex), sexes, controls=True))
    assert rehearsal is not None
    forecast = rehearsal.forecast
    if answering == "choice":
        assert forecast.texts == 0
        assert forecast.prompts > 4 * 30
        return
    assert forecast.prompts == 0
    a_person = 1 + 2 + 4 + 4 + 1 + 2 + 3 + 1  # S1, S2 twice, S3, check, conclusion, baselines, removal and its before
    assert forecast.texts == 4 * a_person + 2 * 4  # the control: two told, the dominant function as it is, one before
    model = written(by_sex)
    audit.ask(context(model, sexes, controls=True))
    assert len(model.asked) == forecast.texts


def test_what_fulfils_a_schema() -> None:
    schema = record(reason=words(40), stress=number(0, 100), option=one_of("AB"))
    good = {"reason": "A reason of some length.", "stress": 100, "option": "B"}
    assert fulfilled(json.dumps(good), schema) == good
    wrong: list[dict[str, Any]] = [
        good | {"stress": 101},
        good | {"stress": 1.5},
        good | {"option": "C"},
        good | {"more": 1},
        good | {"reason": "{reason} and so on, long"},
        good | {"reason": "x" * 41},
        {"reason": good["reason"], "stress": 1},
    ]
    assert all(fulfilled(json.dumps(one), schema) is None for one in wrong)
    assert fulfilled("not JSON", schema) is None
    assert fulfilled("[]", schema) is None
    assert room(schema) == 16 + (16 + 20) + 16 + 16
    assert len(PAIRS) == len(set(PAIRS)) == 16


def test_a_broken_person_of_the_sample_does_not_change_the_others(sexes: Survey) -> None:
    """The same texts are asked of the others, so their answers and their randomness are the same."""
    whole, some = written(by_sex), written(by_sex)
    some.broken = lambda of, text, attempt: "-" if of == "stress" and "age: 2" in text else None
    first, second = run(whole, sexes), run(some, sexes)
    kept = first.items[first.items["respondent"].isin(set(second.items["respondent"]))]
    assert 0 < len(kept) < len(first.items)
    texts = {(r.text, r.seed) for r in whole.asked if stage(json.loads(r.schema)) == "answer"}
    assert {(r.text, r.seed) for r in some.asked if stage(json.loads(r.schema)) == "answer"} < texts


@pytest.mark.parametrize(
    ("knobs", "named"),
    [
        ({"answering": "guess"}, "answering must be one of"),
        ({"removal": "none"}, "removal must be one of"),
        ({"temperature": -1.0}, "temperature must be"),
        ({"retries": -1}, "retries must be"),
    ],
)
def test_bad_knobs_of_generation_are_refused(knobs: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=f"audit.mark.{named}"):
        Mark(**knobs)


def test_questions_of_people_without_any_held_out_item_are_not_written(sexes: Survey) -> None:
    model = written(by_sex)
    result = run(model, replace(sexes, respondents=()))
    assert result.items.empty
    assert model.asked == []
