"""All four audits on scripted models whose right value of every measure is known: what is found is what is right.

The right values are worked out by plain formula from the made-up people (`known_survey_values`, `known_def_values`,
`known_choice_values`),
never by the code under test; each has its tolerance. `PYTHONPATH=. python tests/eval/test_known_models.py` writes the
tables of docs/known_models.md anew.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import known_choice_values as choices
import known_def_values as defs
import known_survey_values as surveys
from known_formulas import Right, Table
from known_models import MODELS, Model, context, mode
from known_world import PERSONS, SAMPLE_SIZE, STRENGTHS

from eval.answers import TextRequest
from eval.dilemmas.audit import EthicalDilemmas
from eval.diversity_enhanced.audit import DiversityEnhanced
from eval.first_token.audit import FirstToken
from eval.mark.audit import Mark
from eval.records import AuditResult

DOC = Path(__file__).parents[2] / "docs" / "known_models.md"
DRAWS = 20
FURTHER = ("portrayal", "question_answer", "fr")
DIALOGUES = ("wording", "form:compare", "dialogue:neutral", "dialogue:pressing", "dialogue:agreeing")
SURVEYED = ("perfect people", "uniform", "people's mode", "US everywhere", "first place", "0.7 first place", "follower")
CHOOSERS = (*SURVEYED[:3], *SURVEYED[4:], "drifting", "second thoughts")
PERSONAL = (*SURVEYED, "second thoughts")
WHOLLY = ("0.7 first place",)
"""Of whom the items of training and the published measures are asked for too: they cost most of the time."""
WITH_AGES = ("perfect people", "people's mode", "US everywhere", "0.7 first place")
ABLATED = {
    "perfect people": ("no_location", "no_memory", "no_order"),
    "first place": ("no_order",),
    "0.7 first place": ("no_memory", "no_order"),
    "place reader": ("no_location", "no_order"),
    "rememberer": ("no_memory",),
}
WRITERS = ("perfect people", "people's mode", "first place")
CASES = [
    *(("first_token", model) for model in (*SURVEYED, "parochial")),
    *(("def", model) for model in (*SURVEYED, "place reader", "rememberer")),
    *(("def, written", model) for model in ("people's mode", "machine")),
    *(("edc", model) for model in CHOOSERS),
    *(("mark", model) for model in PERSONAL),
    ("mark, written", "perfect people"),
]
NOT_HERE: Mapping[tuple[str, str], str] = {
    (
        "attained",
        "participants",
    ): "of people's mode in writing: its floor is drawn, by choice it is held to a simulation",
}
"""Estimates of everybody that no table has, by (name, condition), and why."""


class Machine(Model):
    """Writes that it is a machine, whatever it is asked."""

    def writes(self, request: TextRequest) -> str:
        return "I am an AI language model."


@cache
def found(audit: str, model: str) -> AuditResult:
    """The audit of the model, as it is run by users but for fewer bootstrap draws."""
    if audit == "first_token":
        more = model in WHOLLY
        manners = (FURTHER[:2], FURTHER[2:]) if model == "parochial" else (None, None)
        asked = FirstToken(_stated(model), *manners, seen_items=more, as_published=more, draws=DRAWS)
        return asked(context(model))
    if audit == "def":
        cut = ABLATED.get(model, ())
        asked_too = DiversityEnhanced(draws=DRAWS, participants=defs.PARTICIPANTS, ablations=cut)
        return asked_too(context(model))
    if audit == "def, written":
        speaker = Machine(model, mode) if model == "machine" else Model(model, mode, speech="I think that it is right.")
        in_words = DiversityEnhanced(draws=DRAWS, participants=defs.WRITERS, answering="explain")
        return in_words(context(speaker))
    if audit == "edc":
        conditions = (*DIALOGUES, "form:repeat") if model in WRITERS else DIALOGUES
        return EthicalDilemmas(draws=DRAWS, conditions=conditions, pressing_turns=2)(context(model))
    answering = "generation" if audit == "mark, written" else "choice"
    return Mark(draws=DRAWS, respondents=SAMPLE_SIZE, least_people=6, answering=answering)(context(model, PERSONS))


def _stated(model: str) -> tuple[str, ...]:
    return ("none", "country", "country+age") if model in WITH_AGES else ("none", "country")


@cache
def right(audit: str, model: str) -> Table:
    """What is right, by (measure, condition, group)."""
    if audit == "def" and model in ("place reader", "rememberer"):
        items = found(audit, model).items
        asked = items[items["condition"] == "participants"]
        remembering = (asked["remembered"] > 0).groupby(asked["item"]).mean().to_dict()
        return defs.def_partly(model, remembering, ABLATED[model])
    tables: dict[str, Callable[[], Table]] = {
        "first_token": lambda: surveys.first_token(
            model, _stated(model), FURTHER if model == "parochial" else (), model in WHOLLY
        ),
        "def": lambda: defs.def_choice(model, ABLATED.get(model, ())),
        "def, written": defs.def_machine if model == "machine" else defs.def_written,
        "edc": lambda: choices.dilemmas(model, written=model in WRITERS),
        "mark": lambda: choices.mark(model),
        "mark, written": lambda: choices.mark(model, written=True),
    }
    return tables[audit]()


def values(audit: str, model: str) -> dict[tuple[str, str, str], float]:
    return {(one.name, one.condition, one.group): one.value for one in found(audit, model).estimates}


def holds(value: float, wanted: Right) -> bool:
    if math.isnan(wanted.value) or math.isinf(wanted.value):
        return str(value) == str(wanted.value)
    return abs(value - wanted.value) <= wanted.tolerance


@pytest.mark.parametrize(("audit", "model"), CASES)
def test_what_is_found_is_what_is_right(audit: str, model: str) -> None:
    there = values(audit, model)
    wrong = {
        key: (there.get(key), wanted)
        for key, wanted in right(audit, model).items()
        if key not in there or not holds(there[key], wanted)
    }
    assert not wrong


def test_every_measure_of_everybody_has_its_right_value() -> None:
    """No audit reports an estimate at group "all" that no table here knows."""
    known = {(audit, *key[:2]) for audit, model in CASES for key in right(audit, model)}
    told = {(audit, *key[:2]) for audit, model in CASES for key in values(audit, model) if key[2] == "all"}
    unknown = {row for row in told - known if row[1:] not in NOT_HERE}
    unknown = {row for row in unknown if (row[0].removesuffix(", written"), *row[1:]) not in known}
    assert not unknown
    assert set(NOT_HERE) <= {row[1:] for row in told - known}


def test_values_stand_in_the_order_in_which_a_stable_chooser_holds_them() -> None:
    there = values("edc", "perfect people")
    for condition in ("alone", "wordings", "dialogue:pressing:1", "form:compare"):
        found_first = sorted(STRENGTHS, key=lambda value: -there["value_priority", condition, f"value={value}"])
        assert found_first == sorted(STRENGTHS, key=lambda value: -STRENGTHS[value])


@pytest.mark.parametrize("audit", ["first_token", "def", "edc", "mark"])
def test_an_audit_sees_the_follower_and_is_blind_on_the_one_who_ignores(audit: str) -> None:
    for model, sees in (("follower", True), ("uniform", False)):
        controls = [one for one in found(audit, model).estimates if one.name == "control_effect"]
        told = [one for one in controls if one.condition != "control:sharpened"]
        assert told
        assert all((one.low > 0) is sees for one in told)


SHOWN: Mapping[str, tuple[tuple[str, str, str, str], ...]] = {
    "Surveys": (
        ("distance to people", "first_token", "js_distance", "country"),
        ("skill", "first_token", "skill", "country"),
        ("spread between countries", "first_token", "between_ratio", "country"),
        ("dispersion within", "first_token", "within_ratio", "country"),
        ("on one option", "first_token", "mode_share", "country"),
        ("US-centrism", "first_token", "us_centrism", "country"),
        ("knows the country", "first_token", "country_knowledge", "country"),
        ("looks at places", "first_token", "position_effect", "country"),
        ("told an answer", "first_token", "control_effect", "control:told"),
        ("DEF: distance to people", "def", "js_distance", "participants:expected"),
        ("DEF: looks at places", "def", "order_effect", "participants:expected"),
        ("DEF: what shuffling does", "def", "effect_on_js_distance", "no_order"),
    ),
    "Dilemmas and persons": (
        ("turns after small talk", "edc", "flip_rate", "dialogue:neutral:6"),
        ("drift per turn", "edc", "drift_per_turn", "dialogue:neutral"),
        ("same values first", "edc", "kendall_tau", "dialogue:neutral:6"),
        ("alpha of all conditions", "edc", "krippendorff_alpha", "all conditions"),
        ("yields to a pushback", "edc", "yields", "dialogue:pressing:1"),
        ("effect of pressure", "edc", "pressure_effect", "dialogue:pressing:1"),
        ("looks at places", "edc", "position_effect", "alone"),
        ("MARK: accuracy", "mark", "accuracy", "mark"),
        ("MARK: kappa", "mark", "cohen_kappa", "mark"),
        ("MARK: faithful to features", "mark", "faithfulness", "feature: greatest"),
        ("MARK: revisions", "mark", "consistency_rate", "S4 consistency"),
        ("MARK: looks at places", "mark", "position_effect", "S3 answer"),
    ),
}
"""The measures that the document shows, as (title, audit, measure, condition)."""


def document() -> str:
    """The tables of docs/known_models.md: a row a measure, a column a model, "right / found"."""
    lines = []
    for title, measures in SHOWN.items():
        names = [name for name in MODELS if name in (SURVEYED if title == "Surveys" else (*CHOOSERS, *PERSONAL))]
        lines += [f"### {title}", "", "| measure | " + " | ".join(names) + " |", "| --- |" + " --- |" * len(names)]
        for said, audit, name, condition in measures:
            cells = [_cell(audit, model, (name, condition, "all")) for model in names]
            lines.append(f"| {said} (`{name}`) | " + " | ".join(cells) + " |")
        lines.append("")
    return "\n".join(lines)


def _cell(audit: str, model: str, key: tuple[str, str, str]) -> str:
    if (audit, model) not in CASES:
        return ""
    wanted, there = right(audit, model).get(key), values(audit, model).get(key)
    return f"{_number(wanted.value if wanted else None)} / {_number(there)}"


def _number(value: float | None) -> str:
    if value is None or math.isnan(value):
        return "–"
    return f"{round(value, 3) + 0.0:.3f}".rstrip("0").rstrip(".").replace("-", "−")


def test_the_document_shows_what_is_found() -> None:
    assert document() in DOC.read_text(encoding="utf-8")


if __name__ == "__main__":
    text = DOC.read_text(encoding="utf-8")
    DOC.write_text(text[: text.index("### Surveys")] + document(), encoding="utf-8")
