"""Six ways in which a simulated survey taker's reply can be insensitive, decided by rule where a rule can decide.

Each rule returns a `Finding`: insensitive or sensitive with the words that decided it, undecided where the rule cannot
tell (a judge may), or not applicable where the axis asks nothing of such a reply (no conflict without a choice).

    >>> RULES["role_play"](reply("B. As an AI language model I have no opinion."))
    Finding(verdict='insensitive', reason='speaks as a machine: "as an ai language model"')

The axes are those of Liu et al., IP&M 62(4) 2025, 104099 (DEF), where they are judged by people; the rules are our
design, written to be right where they decide, not to decide everything. All but the structural ones read English.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from data.prompts import LETTERS
from eval.insensitivity.claims import claims, wrong_place
from eval.insensitivity.noise import noise, other_script
from eval.insensitivity.text import Reply, begins_with, content, plain, quoted, words

Verdict = Literal["insensitive", "sensitive", "undecided", "not applicable"]

_MACHINE = re.compile(
    r"\b(?:as|i am|i'm|being) (?:just |only |merely )?an? (?:[\w-]+ ){0,2}?"
    r"(?:ai|artificial intelligence|language model|chat ?bot|(?:virtual|digital|ai) assistant|computer program)\b"
    r"|\b(?:do not|don't|cannot|can't) have (?:any )?(?:personal|my own) (?:opinion|belief|feeling|preference|view)s?\b"
    r"|\b(?:i'm|i am) here to (?:assist|help) you\b|\bmy purpose is to assist\b|\bmy training data\b"
)
_TESTER = re.compile(
    r"\bcorrect (?:answer|option|choice)\b|\bnot a definite answer\b|\bthe respondent(?:'s)?\b|\bthe original option\b"
    r"|\bthis (?:answer|sentence|phrase|statement) (?:is often used|contains|conveys|emphasi[sz]es)\b"
    r"|\bthe answer (?:for|to) option [a-k]\b|\bwhich option do you choose\b"
)
_REASON = re.compile(
    r"\b(?:because|since|so that|therefore|in my (?:view|opinion|experience)|should|must|it is|it's|they are"
    r"|to protect|as (?:it|they|this|we|i|people|the)|we (?:need|have)"
    r"|i (?:think|believe|feel|trust|want|know|see|agree|disagree))\b"
)
_EARLIER = re.compile(
    r"\b(?:as|like|how) (?:i )?(?:\w+ )?(?:said|mentioned|answered|stated|explained)(?: \w+)? "
    r"(?:earlier|before|above)\b"
    r"|\b(?:my|the) (?:earlier|previous|last|former) (?:answer|reply|response|comment)s?\b"
)
_COUNTED = re.compile(
    r"\b(?:there are(?: only)?|all(?: of)?(?: the)?|of the|down to) (\w+) (?:options|choices|possible answers)\b"
)
_COUNTS = ("two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
_NUMBERS = {word: n for n, word in enumerate(_COUNTS, 2)}


@dataclass(frozen=True, slots=True)
class Finding:
    """What a rule says of one reply on one axis, and the words that it found."""

    verdict: Verdict
    reason: str


def instruction(reply: Reply) -> Finding:
    """Does it do what was asked: name one of the options, and say why?"""
    if not reply.text.strip():
        return Finding("insensitive", "says nothing")
    if len(reply.declared) > 1:
        return Finding("insensitive", f"chooses {' and '.join(reply.declared)}")
    if reply.chosen is None and not reply.declared and not reply.quoted:
        return Finding("insensitive", "names no option")
    if reply.bare:
        return Finding("insensitive", "gives no explanation")
    listed = dict.fromkeys([*reply.declared, *(letter for letter, _ in reply.lines)])
    if len(listed) > 1:
        return Finding("insensitive", f"lists {', '.join(listed)} instead of one")
    if not reply.english or reply.chosen is None:
        return Finding("undecided", "")
    found = _REASON.search(plain(reply.explanation))
    if found and len(reply.own_words) >= 5 and not noise(reply):
        return Finding("sensitive", f'one option, and a reason: "{found[0]}"')
    return Finding("undecided", "")


def question_capture(reply: Reply) -> Finding:
    """Does it speak to the question that was asked, and not to another one?"""
    if not reply.text.strip():
        return Finding("insensitive", "says nothing")
    if reply.quoted and reply.only_choice:
        return Finding("sensitive", f'names an option of this question: "{reply.options[reply.quoted[0]]}"')
    if not reply.quoted and begins_with(reply.explanation, reply.options) is None:
        for question, _ in reply.memory:
            earlier = tuple(line[3:] for line in question.splitlines() if re.match(r"[A-Z]\. ", line))
            if (there := quoted(reply.text, earlier)) and len(words(earlier[there[0]])) > 1:
                return Finding("insensitive", f'answers an earlier question: "{earlier[there[0]]}"')
        number = re.fullmatch(r"\W*(\d+(?:\.\d+)?)\W*", reply.explanation)
        if number and not any(re.match(rf"{re.escape(number[1])}\b", option) for option in reply.options):
            return Finding("insensitive", f'answers with a number that was not offered: "{number[1]}"')
    shared = content(reply.question) & content(" ".join(reply.own_words))
    if not reply.english:
        return Finding("undecided", "")
    named = reply.quoted or begins_with(_after_letter(reply), reply.options) is not None
    if noise(reply) and not named and not shared and not other_script(reply.text):
        return Finding("insensitive", "no option and no word of the question in it")
    if len(shared) >= 2 and not noise(reply):
        return Finding("sensitive", f"speaks of {', '.join(sorted(_whole(shared, reply.text)))}")
    return Finding("undecided", "")


def role_play(reply: Reply) -> Finding:
    """Does it stay the person of that country?"""
    text = plain(reply.text)
    if reply.only_choice:
        return Finding("sensitive", "nothing but an option")
    if found := _MACHINE.search(text):
        return Finding("insensitive", f'speaks as a machine: "{found[0]}"')
    claimed = claims(reply.text)
    for codes, span in claimed:
        if reply.country not in codes:
            return Finding("insensitive", f'is from elsewhere: "{span}"')
    if found := _TESTER.search(text):
        return Finding("insensitive", f'speaks about the question, as nobody asked would: "{found[0]}"')
    for codes, span in claimed:
        if reply.country in codes and not noise(reply):
            return Finding("sensitive", f'is from there: "{span}"')
    return Finding("undecided", "")


def value_conflict(reply: Reply) -> Finding:
    """Does the explanation argue for another option than the one chosen?"""
    chosen = list(dict.fromkeys([*reply.letter, *reply.declared]))
    if len(chosen) > 1:
        return Finding("insensitive", f"chooses {chosen[0]}, then {chosen[-1]}")
    if reply.chosen is None:
        return Finding("not applicable", "no choice to be in conflict with")
    letter, own, after = LETTERS[reply.chosen], reply.options[reply.chosen], _after_letter(reply)
    begun = begins_with(after, reply.options)
    if begun is None and reply.bare and len(reply.quoted) == 1:
        begun = reply.quoted[0]
    if begun is not None and begun != reply.chosen:
        said = reply.options[begun]
        return Finding("insensitive", f'{letter} is "{own}", the reply says "{said}"')
    if reply.bare and len(reply.lines) <= 1:
        if begun == reply.chosen:
            return Finding("sensitive", f'{letter} is "{own}", and the reply says so')
        return Finding("not applicable", "no explanation to be in conflict with")
    return Finding("undecided", "")


def false_facts(reply: Reply) -> Finding:
    """Does it state something wrong about the country, the place, the options, the question or earlier answers?"""
    text = plain(reply.text)
    k = len(reply.options)
    for letter, said in reply.lines:
        place = LETTERS.index(letter)
        if place >= k:
            return Finding("insensitive", f"there is no option {letter}")
        begun = begins_with(said, reply.options)
        if (
            place != reply.chosen
            and begun is not None
            and plain(said) == plain(reply.options[begun])
            and begun != place
        ):
            return Finding("insensitive", f'{letter} is "{reply.options[place]}", not "{said}"')
    for letter in re.findall(r"\b[Oo]ption ([A-HJ-Z])\b", reply.text):
        if LETTERS.index(letter) >= k:
            return Finding("insensitive", f"there is no option {letter}")
    if reply.only_choice:
        return Finding("sensitive", "nothing but an option")
    if found := wrong_place(reply):
        return Finding("insensitive", found)
    if not reply.memory and (earlier := _EARLIER.search(text)):
        return Finding("insensitive", f'nothing was answered before: "{earlier[0]}"')
    for counted in _COUNTED.finditer(text):
        n = _NUMBERS.get(counted[1]) or (int(counted[1]) if counted[1].isdigit() else None)
        if n is not None and n != k:
            return Finding("insensitive", f'there are {k} options: "{counted[0]}"')
    return Finding("undecided", "")


def irrelevance(reply: Reply) -> Finding:
    """Is there text beyond the point: repetition, other languages, more options, what is no language at all?"""
    if found := noise(reply):
        return Finding("insensitive", found)
    if len(reply.lines) > 1:
        return Finding("insensitive", f"goes on to {', '.join(letter for letter, _ in reply.lines[1:])}")
    if reply.only_choice:
        return Finding("sensitive", "nothing but an option")
    shared = content(f"{reply.question} {' '.join(reply.options)}") & content(" ".join(reply.own_words))
    if reply.english and len(shared) >= 2 and len(reply.own_words) <= 40 and reply.chosen is not None:
        return Finding("sensitive", f"short, and speaks of {', '.join(sorted(_whole(shared, reply.text)))}")
    return Finding("undecided", "")


RULES: Mapping[str, Callable[[Reply], Finding]] = {
    "instruction": instruction,
    "question_capture": question_capture,
    "role_play": role_play,
    "value_conflict": value_conflict,
    "false_facts": false_facts,
    "irrelevance": irrelevance,
}
"""Axis → rule, in the order of Liu et al. 2025."""


def _after_letter(reply: Reply) -> str:
    """What follows the choice, where an option's words may stand: behind the letter, or behind "I choose option A"."""
    letter = LETTERS[reply.chosen] if reply.chosen is not None else ""
    found = re.match(r"\s*\(?[A-Z][.):]\s*(.*)", reply.text) or re.search(
        rf"\b(?:option|answer is|answer|choice)\W+{letter}\b[,.:;\s)]*(?:which is |because it's |as it's )?(.*)",
        reply.text,
    )
    return found[1] if found else reply.explanation


def _whole(stems: set[str], text: str) -> set[str]:
    return {word for word in words(text) if word[:6] in stems}
