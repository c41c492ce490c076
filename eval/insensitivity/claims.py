"""What a reply claims of countries: whose people the speaker is of, and where the participant's place lies."""

from __future__ import annotations

import re
from functools import cache

from data.countries import country_name, iso3
from data.demonyms import NATIONALITIES, nationality
from eval.insensitivity.text import Reply, straight

_NAME = r"[A-Z][\w.]+(?: [A-Z]\w+)*"
_AFTER = r"(?=\s*(?:[.,;!]|$)|\s+(?:and|who|citizen|person|man|woman|resident|voter|can|living|i|my|we)\b)"
_NEGATED = re.compile(r"\b(?:not|never|no longer|isn't|unlike|than)\W+(?:\w+\W+){0,2}$", re.IGNORECASE)


def claims(text: str) -> list[tuple[tuple[str, ...], str]]:
    """(countries, words) for each claim to be of a country or to live there; what is denied is no claim."""
    text = " ".join(straight(text).split())
    found = []
    for match in _claimed().finditer(text):
        codes = nationality(match["people"]) if match["people"] else _country(match["country"])
        if codes and not _NEGATED.search(text[: match.start()]):
            found.append((codes, match[0].strip()))
    return found


def wrong_place(reply: Reply) -> str:
    """The words that put the participant's own place into another country; "" where there are none."""
    if not reply.place:
        return ""
    where = rf"\b{re.escape(reply.place)}(?:,| in| is in| is a (?:city|town|place) in)\s+(?:the )?({_NAME})"
    for match in re.finditer(where, reply.text):
        codes = _country(match[1])
        if codes and reply.country not in codes:
            return f'{reply.place} is in {country_name(reply.country)}: "{match[0]}"'
    return ""


@cache
def _claimed() -> re.Pattern[str]:
    """What claims a nation ("I am a Norwegian", "as an American") or a country ("I live in Peru", "we in Japan")."""
    people = "|".join(sorted(map(re.escape, NATIONALITIES), key=len, reverse=True))
    nation = rf"(?i:\b(?:i am|i'm|as|we are|an)\s+(?:an?\s+|proud\s+){{0,2}}(?P<people>(?:{people})s?)\b(?!-){_AFTER})"
    living = r"(?i:\bi(?: am|'m| live| come| reside)(?: \w+)? (?:in|from)|\bhere in|\bwe in)"
    return re.compile(
        rf"{nation}|{living}\s+(?:{_NAME},? (?:in )?)??(?:the )?(?P<country>{_NAME})(?!\w|,? (?:in )?[A-Z])"
    )


def _country(name: str) -> tuple[str, ...]:
    """The country that a name of four letters or more is of (or UK, USA); shorter words are too often something
    else.
    """
    if len(name) < 4 and name not in ("UK", "US", "USA", "UAE"):
        return ()
    try:
        return (iso3(name.rstrip(".")),)
    except ValueError:
        return ()
