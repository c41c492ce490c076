"""How the report says things: measures, audits, conditions, countries and every number.

A measure without words is still shown, under its own name and without a direction: nothing is left out because a word
is missing. One that means something else in one audit is listed as "audit/name".
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from data.countries import country_name
from eval.report.choices import CHOICES
from eval.report.measures import FAMILIES, SURVEY, Measure
from eval.report.takers import TAKERS

__all__ = [
    "AUDITS",
    "DASH",
    "FAMILIES",
    "MAIN_CONDITIONS",
    "REFERENCE",
    "STATUS",
    "STRATA",
    "TRAINING",
    "WITHOUT",
    "clipped",
    "condition",
    "count",
    "country",
    "interval",
    "listing",
    "measure",
    "number",
    "p_value",
    "plain_name",
    "tally",
]

DASH = "—"
_WORDS = {**SURVEY, **TAKERS, **CHOICES}

AUDITS: Mapping[str, tuple[str, str]] = {
    "first_token": (
        "First-token alignment",
        "Each survey question is put to the model with its options; the probabilities of the option labels as the next "
        "token are held against the shares of people who gave each answer. Every question is asked in several option "
        "orders and averaged.",
    ),
    "def": (
        "Simulated survey takers (DEF)",
        "Participants who differ in place, memory and option order fill in the questionnaire one after another; their "
        "answers are counted like people's.",
    ),
    "edc": (
        "Ethical dilemmas",
        "Two defensible actions, each serving another value. The same dilemma is asked again in other words, in "
        "another order and at another moment of a conversation. A stable model keeps its preference.",
    ),
    "mark": (
        "Decisions for individuals (MARK)",
        "For one respondent the model weighs stress from demographic features, a personality type and its functions, "
        "and votes on each answer. The prediction is held against what that person really answered.",
    ),
}

_CONDITIONS = {
    "none": "no persona",
    "": "no persona",
    "country": "country stated",
    "country+age": "country and age stated",
    "shuffled_persona": "a wrong country stated",
    "control:told": "told what most people answer",
    "control:remembered": "remembers having given that answer",
    "control:sharpened": "own answers sharpened",
    "reference:uniform": "uniform guess",
    "reference:other_countries_mean": "other countries' mean",
    "reference:people_again": "people asked again",
    "reference:people": "people",
    "reference:earlier_wave": "people in the earlier wave",
    "reference:asked_again": "same prompt asked again",
    "reference:chance": "by chance",
    "reference:no_person": "told nothing of the person",
    "reference:random": "random guess",
    "reference:majority_of_country": "majority of the country",
    "mark": "all four stages",
    "demographics_only": "demographics only, no stages",
    "participants:expected": "participants' probabilities",
    "participants": "participants counted",
    "participants:groups": "participants beside the groups of people",
    "no_location": "no place, the country alone",
    "no_memory": "no memory",
    "no_order": "options in their own order",
    "no_location:expected": "no place, probabilities",
    "no_memory:expected": "no memory, probabilities",
    "no_order:expected": "options in their own order, probabilities",
    "alone": "asked plainly",
    "wordings": "mean over wordings",
    "form:compare": "yes or no instead of A or B",
    "form:repeat": "the choice said in words",
    "question forms": "over the forms of the question",
    "question forms, texts too": "over the forms of the question, said in words too",
    "order:exchanged": "the two actions exchanged",
    "all conditions": "over all that was asked",
    "dialogue:neutral": "with the length of small talk",
    "dialogue:neutral:later": "with the length of small talk, once there is some",
    "dialogue:pressing": "after a pushback",
    "dialogue:agreeing": "after an agreement",
    "language:zh": "asked in Chinese",
    "language:en": "asked in English",
    "control:stated value": "one of the two values stated",
    "control:said before": "asked again after an answer drawn for it",
    "control:answer stated": "told the person's own answer",
    "control:answer stated, dominant function": "told the person's own answer, dominant function",
    "control:answered before": "asked again after the person's own answer",
    "feature: greatest": "without the fact named first",
    "feature: another": "without another fact",
    "feature: difference": "difference of the two (facts)",
    "feature: asked again": "asked again, nothing left out",
    "function: greatest": "without the function named first",
    "function: another": "without another function",
    "function: difference": "difference of the two (functions)",
    "reference:sampled_from_alone": "as many texts drawn from the plain answer",
}
_MANNERS = {
    "portrayal": "as a portrayal",
    "biography": "as a biography",
    "question_answer": "as questions and answers",
}
STRATA: Mapping[str, str] = {
    "all": "",
    "seen items": "items seen in training",
    "later wave": "items and countries seen in training, in a later wave",
}
"""Groups of estimates that are whole strata (`eval.panels.STRATUM_GROUPS`), and what a table's title adds for them."""
REFERENCE = "reference:"
TRAINING = "training:"
"""Conditions in which a trained arm is held against its base, each asked alike."""
MAIN_CONDITIONS = (
    "country",
    "country+age",
    "participants:expected",
    "participants",
    "mark",
    "dialogue:neutral:6",
    "wordings",
    "alone",
)
"""Which condition stands for a measure on the first screen: the first of these that was asked."""
WITHOUT = ("none", "demographics_only")
"""Conditions of the base that serve as references: no persona, no reasoning."""
STATUS = {
    "valid": "passes the validity gate",
    "warned": "usable, with a warning",
    "collapsed": "collapsed: not ranked",
    "incomplete": "incomplete: not averaged",
}


def measure(name: str, audit: str = "") -> Measure:
    """The words for a measure of an audit; one that is not listed gets its own name, no direction and the family
    `other`.
    """
    known = _WORDS.get(f"{audit}/{name}") or _WORDS.get(name)
    return known or Measure(plain_name(name), "", "", "published" if name.endswith("_as_published") else "other")


def plain_name(name: str) -> str:
    """`"flip_rate"` → `"flip rate"`."""
    return name.replace("_", " ").strip()


def condition(name: str) -> str:
    """What was asked, in words: `"country+age"` → `"country and age stated"`, `"dialogue:neutral"` → `"dialogue:
    neutral"`.
    """
    if name.startswith(REFERENCE) and name.endswith(")") and " (" in name:
        row, asked = name[:-1].split(" (", 1)
        return f"{condition(row)} ({condition(asked)})"
    if name.startswith("wording:"):
        return f"in other words ({name.removeprefix('wording:')})"
    if name.startswith(TRAINING):
        return f"trained against base, {condition(name.removeprefix(TRAINING))}"
    if name.startswith(f"{REFERENCE}asked_again:"):
        return f"base asked again, {condition(name.removeprefix(f'{REFERENCE}asked_again:'))}"
    if name.endswith(")") and " (" in name:
        asked, manner = name[:-1].split(" (", 1)
        return f"{condition(asked)}, {_MANNERS.get(manner, f'in language {manner}')}"
    if name.startswith("country+") and name not in _CONDITIONS:
        return f"{listing(name.split('+'))} stated"
    if name not in _CONDITIONS and name.startswith("dialogue:neutral:"):
        return f"after {name.rpartition(':')[2]} exchanges of small talk"
    if name.startswith("dialogue:pressing:"):
        pushes = name.rpartition(":")[2]
        return _CONDITIONS["dialogue:pressing"] if pushes == "1" else f"after {pushes} pushbacks"
    known = _CONDITIONS.get(name)
    return known if known is not None else plain_name(name.removeprefix(REFERENCE)).replace(":", ": ")


def country(code: str) -> str:
    """English name of an ISO 3166 alpha-3 code; the code itself where it is none."""
    try:
        return country_name(code)
    except ValueError:
        return code


def number(value: Any, share: bool = False) -> str:
    """`0.3141` → `"0.314"`, `31.4%` as a share, `"—"` for what is undefined. Never 0 for a missing value."""
    if value is None or not isinstance(value, int | float) or not math.isfinite(value):
        return DASH
    if share:
        return f"{100 * value:.1f}%".replace("-", "−")
    digits = 3 if abs(value) < 100 else 1
    text = f"{value:.{digits}f}"
    return (text.lstrip("-") if float(text) == 0 else text).replace("-", "−")


def interval(low: Any, high: Any, share: bool = False) -> str:
    """`"[0.213, 0.287]"`, or an empty string where either bound is undefined."""
    first, second = number(low, share), number(high, share)
    return "" if DASH in (first, second) else f"[{first}, {second}]"


def count(value: Any) -> str:
    """A whole number with thin thousands; other numbers as `number` has them, text as it is."""
    if isinstance(value, bool) or value is None:
        return DASH if value is None else ("yes" if value else "no")
    if isinstance(value, int) or (isinstance(value, float) and value.is_integer() and abs(value) >= 1):
        return f"{int(value):,}".replace(",", "\u202f").replace("-", "−")
    if isinstance(value, float):
        return f"{value:.1e}" if 0 < abs(value) < 0.001 else number(value)
    return str(value)


def clipped(text: str, most: int = 150) -> str:
    """The text, or its beginning up to a word and "…" where it is longer."""
    return text if len(text) <= most else text[:most].rsplit(" ", 1)[0].rstrip(",;:") + " …"


def tally(verdicts: Iterable[Mapping[str, Any]]) -> list[tuple[str, int]]:
    """How many verdicts of each word there are, decided ones first; words that nobody got are left out."""
    order = ("SUPPORTED", "CONTRADICTED", "EQUIVALENT", "INCONCLUSIVE", "NO VERDICT")
    counts = Counter(str(verdict["verdict"]) for verdict in verdicts)
    return [(word, counts[word]) for word in (*order, *sorted(set(counts) - set(order))) if counts[word]]


def p_value(value: Any) -> str:
    """`"0.012"`, `"< 0.001"`, `"—"` for what is undefined."""
    if value is None or not math.isfinite(value):
        return DASH
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def listing(words: Iterable[str]) -> str:
    """`"a"`, `"a and b"`, `"a, b and c"`."""
    *rest, last = list(words) or [""]
    return f"{', '.join(rest)} and {last}" if rest else last
