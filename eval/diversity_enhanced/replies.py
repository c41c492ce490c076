"""What a written reply says: the option that it names, its explanation, and whether it speaks as a machine.

    >>> read_reply("B. Seldom. People here do not like it.", ("Never", "Seldom"))
    Reply(answer=1, letter='B', explanation='People here do not like it.')

Strict by design: a reply counts as an answer only where it names exactly one option, by its letter or by its whole
text, at its beginning or after a phrase such as "my answer is" or "I chose". Anything else (no option, several, a
letter and the text of another option, a letter that was not offered) is unparsed, a category of its own.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from data.prompts import LETTERS

UNPARSED = -1
_MACHINE = (
    r"an? (?:helpful )?(?:ai|artificial intelligence|(?:large )?language model|chat ?bot|virtual assistant"
    r"|computer program|machine)\b"
    r"(?! (?:engineer|researcher|operator|developer|expert|specialist|worker|scientist)s?\b)"
)
_NO_MIND = r"(?:opinion|belief|feeling|emotion|preference|view)s?\b"
DISCLAIMERS = (
    rf"\bas {_MACHINE}",
    rf"\bi(?: a|['’])m (?:just |only )?{_MACHINE}",
    r"\bi (?:do not|don['’]t|cannot|can['’]t) (?:have|hold|possess|express) (?:any |an? )?"
    rf"(?:(?:personal|my own) {_NO_MIND}|personal experiences?\b(?! (?:with|of|in|about|on|at|as)\b)"
    r"|(?:opinions|beliefs|feelings|emotions)\b(?!\s+(?!or\b|and\b|like\b|as\b)\w))",
    r"\bi(?: am|['’]m| was| have been) (?:(?:an?|the) [\w -]{1,30}? )?(?:developed|created|trained|made|built) by "
    r"(?:openai|anthropic|google|meta|hugging ?face)\b",
)
"""How a model says that it is none of the people it was asked to be (our list; the published code has four phrases)."""

_DISCLAIMER = re.compile("|".join(DISCLAIMERS), re.IGNORECASE)
_LEAD = r"""[\s"'“”‘’*_#>-]*"""
_CUE = re.compile(
    r"(?:\b(?:my|the|correct|final|best|our) (?:answer|choice|option)(?: (?:is|would be|to this question is))?"
    r"|\b(?:i|we)(?: would| will| have| am| are|['’](?:d|ll|ve|m|re))? (?:cho(?:ose|osing|sen|se)|pick(?:ed|ing)?"
    r"|select(?:ed|ing)?|answer(?:ed)?|prefer|(?:go|went|going) (?:with|for))"
    r"|\A\W*answer)(?:\s*[:=-])?\s*(?:the )?(?:option |answer |letter )?",
    re.IGNORECASE,
)
_WORD = re.compile(r"\A\s*(?:option|answer|choice)(?:\s*[:=-]\s*|\s+)", re.IGNORECASE)
_LETTER = re.compile(
    r"""[(\["'“*]*([A-Z])(?:[)\]"'”*]*\s*(?:[.):\]]|[-–—](?=\s)|$|\n)|[)\]"'”*]+\s*,?|,(?=\s)"""
    r"|(?=\s+(?:because|since|over|instead of|rather than|is (?:my|our|the))\b))"
)
_JOINED = re.compile(r"\A\s*(?:and/or|and|or|nor|/|&|,|;)\s*(.*)", re.IGNORECASE | re.DOTALL)
_LISTED = re.compile(r"^\s*\(?([A-Z])[.)]", re.MULTILINE)
_EDGE = " \t\r\n.,:;!-–—*_\"'“”‘’)]"
_SENTENCE = re.compile(r".+?(?:[.!?。！？؟](?=\s|$|[\"'”’)])|[。！？]|\n|$)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Reply:
    """`answer` indexes the options in the order shown, UNPARSED (-1) where none or several are named, then without
    letter; `explanation` is the rest of the reply, "" where there is none.
    """

    answer: int
    letter: str
    explanation: str


def read_reply(text: str, options: Sequence[str]) -> Reply:
    """The reply to a question whose `options` were shown in this order under the letters A, B, …"""
    body = re.sub(rf"\A{_LEAD}", "", text)
    unparsed = Reply(UNPARSED, "", text.strip())
    if len(set(_LISTED.findall(text))) > 1:
        return unparsed
    found = _named(_WORD.sub("", body), options) or _named(body, options)
    if found is None:
        found = _cued(body, options)
    if found is None or _joined(found[1], options):
        return unparsed
    answer, rest = found
    again = _cued(rest, options)
    if again is not None and again[0] != answer:
        return unparsed
    return Reply(answer, LETTERS[answer], rest.strip().lstrip(_EDGE).strip())


def first_sentence(text: str) -> str:
    """The reply up to the end of its first sentence; a letter with its full stop ("B.") is no sentence of its own."""
    text = text.strip()
    head = re.match(r"\A\W*(?:[A-Z]|\d+)[.)]\s+", text)
    start = head.end() if head else 0
    found = _SENTENCE.match(text, start)
    return (text[:start] + (found.group() if found else "")).strip()


def disclaims(text: str) -> bool:
    """Whether the reply says that a machine speaks (DISCLAIMERS), in any letter case. English only."""
    return _DISCLAIMER.search(text) is not None


def _named(text: str, options: Sequence[str]) -> tuple[int, str] | None:
    """The one option that `text` begins with, and what follows; None where there is none or it contradicts itself."""
    text = re.sub(rf"\A{_LEAD}", "", text)
    by_text = _by_text(text, options)
    letter = _LETTER.match(text) or re.match(r"([A-Z])(?=\s)", text)
    if letter is None or (by_text is not None and len(options[by_text[0]]) > 1 and letter.end() <= 1):
        return by_text
    place, rest = LETTERS.index(letter.group(1)), text[letter.end() :]
    said = _by_text(rest.lstrip(_EDGE), options)
    sure = _LETTER.match(text) is not None and not (letter.group(1) == "I" and text[1:2] == ",")
    if place >= len(options) or (said is None and not sure):
        return by_text
    if said is None:
        return place, rest
    return (place, said[1]) if said[0] == place else None


def _cued(text: str, options: Sequence[str]) -> tuple[int, str] | None:
    """The one option named after the first "my answer is", "I chose" … of the first paragraph, and what follows."""
    cue = _CUE.search(_first_line(text))
    return _named(text[cue.end() :], options) if cue else None


def _by_text(text: str, options: Sequence[str]) -> tuple[int, str] | None:
    """The option whose whole text begins `text` (the longest one), or the number that begins an option such as
    "10 (always)", where no other option begins with it.
    """
    folded, best = text.casefold(), None
    for index, option in enumerate(options):
        for name in {option, *_number(option, options)}:
            begins = folded.startswith(name.casefold()) and not _goes_on(name, folded[len(name) :])
            if begins and (best is None or len(name) > best[1]):
                best = (index, len(name))
    return None if best is None else (best[0], text[best[1] :])


def _goes_on(name: str, rest: str) -> bool:
    """Whether the words of the option are only the beginning of something else: "1.5", "2-3", "no one"."""
    if name[-1].isdigit() and re.match(r"[.,:/]\d|\s*[-–—]\s*\d|\s*%", rest):
        return True
    if name.casefold() == "no" and re.match(r"\s+\w", rest):
        return not re.match(r"\s+(?:because|since|as|i|it|they|we|he|she|you|there|the|this|that|my|people)\b", rest)
    return re.match(r"\w", rest) is not None


def _number(option: str, options: Sequence[str]) -> tuple[str, ...]:
    found = re.match(r"(\d+)\s*\(", option)
    number = found.group(1) if found else ""
    alone = sum(re.match(rf"{number}\b", other) is not None for other in options) == 1 if number else False
    return (number,) if alone else ()


def _joined(rest: str, options: Sequence[str]) -> bool:
    """Whether another option is named right after: "A or B", "A, B", "yes and no"."""
    if re.match(r"\s*\(?[A-Z]\)?\s*(?:[.,:;)]|$)", rest):
        return True
    found = _JOINED.match(rest)
    if found is None:
        return False
    lettered = re.match(r"(?:option |answer )?\(?(?:[A-Z](?:[.):,]|\s*$)|[B-HJ-Z]\b)", found.group(1))
    return lettered is not None or _by_text(found.group(1), options) is not None


def _first_line(text: str) -> str:
    return text.split("\n\n", 1)[0]
