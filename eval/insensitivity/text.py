"""A survey taker's reply as the rules of `eval.insensitivity.rules` read it: its words and the options that it names.

>>> options = ("Too much", "Too little")
>>> Reply(country="NOR", options=options, reply="A. Too little", letter="A", explanation="Too little").quoted
(1,)
"""

from __future__ import annotations

import json
import re
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

from data.prompts import LETTERS

CHOICE = re.compile(
    r"\b(?:choose|chose|choosing|select|selected|pick|picked|prefer|go for|go with|answer|choice|preference)"
    r"(?: to this question)?(?: would be| is| was)?:?\s+(?:option\s+[\"'(]{0,2}([A-Z])|[\"'(]{0,2}([A-HJ-Z]))\b(?!['’])"
)
LINE = re.compile(r"^\s*\(?([A-Z])[.):]\s*(.*)$", re.MULTILINE)
_DENIED = re.compile(r"(?:\bnot|\bnever|n't)\s+$", re.IGNORECASE)
EMPTY = 3
"""A reply with fewer words than this beside the options that it names says nothing of its own."""


@dataclass(frozen=True)
class Reply:
    """One reply with what was asked. `options` in the order shown; `letter` "" where no option could be read off.

    `memory` are the questions that the participant remembers, as they were shown, and its answers to them.
    """

    country: str
    options: tuple[str, ...]
    reply: str
    letter: str
    explanation: str
    question: str = ""
    place: str = ""
    memory: tuple[tuple[str, str], ...] = ()
    language: str = "en"

    @classmethod
    def of(cls, row: Mapping[Hashable, Any], language: str = "en") -> Reply:
        """From a row of the evidence of DEF's `explain` mode. Raises ValueError where a column is missing or `memory`
        is no JSON list of question and answer.
        """
        needed = ("country", "place", "question", "options", "memory", "reply", "letter", "explanation")
        if missing := [name for name in needed if name not in row]:
            raise ValueError(f"the replies lack the column {missing[0]!r}; expected {', '.join(needed)}")
        try:
            memory = json.loads(row["memory"]) if isinstance(row["memory"], str) else list(row["memory"])
            pairs = tuple((str(pair["question"]), str(pair["answer"])) for pair in memory)
        except (TypeError, KeyError, ValueError) as error:
            wanted = 'a JSON list of {"question": …, "answer": …}'
            raise ValueError(f"column 'memory' holds {row['memory']!r}, expected {wanted}") from error
        texts = {name: str(row[name]) for name in ("country", "place", "question", "reply", "letter", "explanation")}
        return cls(options=tuple(str(option) for option in row["options"]), memory=pairs, language=language, **texts)

    @cached_property
    def text(self) -> str:
        """The reply with single blanks and straight quotes, line by line."""
        lines = (" ".join(line.split()) for line in straight(self.reply).splitlines())
        return "\n".join(lines)

    @cached_property
    def chosen(self) -> int | None:
        """The place of the chosen option among those shown: by `letter`, else by the one letter that the reply declares
        (a reply that contradicts itself has no `letter`). None where there is no such option.
        """
        letter = self.letter or (self.declared[0] if len(self.declared) == 1 else "")
        place = LETTERS.find(letter) if letter else -1
        return place if 0 <= place < len(self.options) else None

    @cached_property
    def lines(self) -> tuple[tuple[str, str], ...]:
        """Lettered lines of the reply, (letter, text): what looks like a list of options."""
        return tuple((match[1], match[2].strip()) for match in LINE.finditer(self.text))

    @cached_property
    def declared(self) -> tuple[str, ...]:
        """Letters that the reply says it chooses, each once: at its very beginning, or after "I choose", "answer"."""
        first = re.match(r"\s*\(?([A-Z])(?:[.):]|\s*$)", self.text)
        said = [match for match in CHOICE.finditer(self.text) if not _DENIED.search(self.text[: match.start()])]
        found = ([first[1]] if first else []) + [match[1] or match[2] for match in said]
        return tuple(dict.fromkeys(letter for letter in found if letter in LETTERS[: len(self.options)]))

    @cached_property
    def quoted(self) -> tuple[int, ...]:
        """Places of the options whose words stand in the reply, in the order in which they first do."""
        return quoted(self.text, self.options)

    @cached_property
    def own_words(self) -> tuple[str, ...]:
        """The words of the reply beside lettered or announced options: what is left to be an explanation."""
        text = CHOICE.sub(" ", LINE.sub(r" \2 ", self.text))
        text = re.sub(r"\b[Oo]ption\s+[A-Z]\b|\bI(?:'d| would| will)?(?= *$)", " ", plain(text))
        for option in sorted(self.options, key=len, reverse=True):
            for form in forms(option):
                text = re.sub(rf"(?<!\w){re.escape(form)}(?!\w)", " ", text)
        return tuple(word for word in words(text) if word not in ("i", "would", "option", "d", "the", "my"))

    @property
    def bare(self) -> bool:
        """Whether the reply names options and says nothing else."""
        return len(self.own_words) < EMPTY and bool(self.declared or self.quoted)

    @property
    def only_choice(self) -> bool:
        """Whether the reply is one of the options, by letter or words, and nothing else."""
        one = len(self.declared) <= 1 and len(self.lines) <= 1 and len(self.quoted) <= 1
        return one and self.bare and (not self.own_words or bool(self.quoted))

    @property
    def english(self) -> bool:
        return self.language == "en"


def straight(text: str) -> str:
    """The text with straight quotes."""
    return text.replace("’", "'").replace("‘", "'").replace("“", '"').replace("”", '"')


def plain(text: str) -> str:
    """Lower case, straight quotes, single blanks: what does not change what is said."""
    return " ".join(straight(text).casefold().split())


def words(text: str) -> list[str]:
    """The words of a text in lower case, numbers included."""
    return re.findall(r"[^\W_]+(?:'[^\W_]+)*", plain(text))


def content(text: str) -> set[str]:
    """The stems (first six letters) of its words that carry meaning in English."""
    return {word[:6] for word in words(text) if len(word) > 3 and word not in ENGLISH_STOP_WORDS}


def forms(option: str) -> tuple[str, ...]:
    """How an option may be quoted: whole; and of a labelled point such as "1 (never justifiable)" the number alone."""
    whole = plain(option)
    number = re.fullmatch(r"(\d+) \((.*)\)", whole)
    return (whole, number[2], number[1]) if number else (whole,)


def quoted(text: str, options: tuple[str, ...]) -> tuple[int, ...]:
    """Places of the options whose words stand in `text`, in the order in which they first do. A longer option hides a
    shorter one within it, and a bare number counts only right after a letter or as the whole text.
    """
    text = plain(text)
    spans: list[tuple[int, int, int]] = []
    every = [(form, place) for place, option in enumerate(options) for form in forms(option)]
    for form, place in sorted(every, key=lambda pair: -len(pair[0])):
        before = r"(?:^|(?<=^[a-z][.):] ))" if form.isdigit() else r"(?<!\w)"
        after = r"(?![\w.,]*\d)(?=\W*$)" if form.isdigit() else r"(?!\w)"
        for match in re.finditer(before + re.escape(form) + after, text):
            if all(match.end() <= start or match.start() >= end for start, end, _ in spans):
                spans.append((match.start(), match.end(), place))
    return tuple(dict.fromkeys(place for _, _, place in sorted(spans)))


def begins_with(text: str, options: tuple[str, ...]) -> int | None:
    """The option whose words `text` begins with, whole or its first two words and more; None if none or several."""
    said = words(text)
    best: dict[int, int] = {}
    for place, option in enumerate(options):
        for form in forms(option):
            own = words(form)
            shared = next(
                (i for i, (a, b) in enumerate(zip(said, own, strict=False)) if a != b), min(len(said), len(own))
            )
            if shared and (shared == len(own) or shared >= 2):
                best[place] = max(best.get(place, 0), shared)
    top = [place for place, shared in best.items() if shared == max(best.values())]
    return top[0] if len(top) == 1 else None
