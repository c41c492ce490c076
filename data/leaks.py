"""Whether training text gives away what the audits ask: word n-grams of held-out questions, in all their languages.

    >>> find_leaks(["Tell me: is it ever right to take a bribe while on duty?"], items, n=8)
    [Leak(text=0, item='my/bribe', words='is it ever right to take a bribe')]

The usual contamination check by shared n-grams (Brown et al. 2020, arXiv:2005.14165, appendix C), with one difference:
questions of a survey share their frames ("Please say whether you think the following can always be justified …"), so
an n-gram counts only where no question or instruction that training may show has it too.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from data.languages import frame, languages
from data.records import NEUTRAL, Item, Split, TrainingExample

N = 8
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_TOKEN = re.compile(rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+")
_CHARACTER = re.compile(rf"[{_UNSPACED}]")
_MARKS = ("Mn", "Mc", "Me", "Cf")


class Leak(NamedTuple):
    """Text number `text` shares `words` with the item."""

    text: int
    item: str
    words: str


def tokens(text: str) -> list[str]:
    """Words without case, accents, vowel signs, invisible characters and punctuation; single characters of scripts that
    put no space between words (Chinese, Japanese, Thai, Lao, Khmer, Burmese).
    """
    if not text.isascii():
        text = "".join(c for c in unicodedata.normalize("NFKD", text) if not _is_mark(c))
    return _TOKEN.findall(text.casefold())


def _is_mark(c: str) -> bool:
    """Accents, vowel signs (of Devanagari, Tamil …) and soft hyphens, which are no letters and part no words."""
    return unicodedata.category(c) in _MARKS and (unicodedata.combining(c) > 0 or not _CHARACTER.match(c))


def find_leaks(texts: Sequence[str], items: Iterable[Item], n: int = N, known: Iterable[str] = ()) -> list[Leak]:
    """The first shared n-gram of every text and item that share one, in the order of the texts.

    Windows are `n` words, or 2 `n` characters where a question is mostly written without spaces (a Chinese word has
    about two). A question shorter than that is looked for as a whole; under half of it, it cannot be told from ordinary
    talk and is not looked for. N-grams that are in `known` texts do not count. Time grows with the length of the texts.
    Raises ValueError for n below 2.
    """
    if n < 2:
        raise ValueError(f"n must be at least 2 words, got {n}")
    owner: dict[tuple[str, ...], str] = {}
    for item in items:
        for question in questions(item):
            words = tokens(question)
            unspaced = sum(bool(_CHARACTER.match(word)) for word in words) > len(words) / 2
            width = min(len(words), 2 * n if unspaced else n)
            if 2 * width >= (2 * n if unspaced else n):
                for gram in _windows(words, width):
                    owner.setdefault(gram, item.id)
    widths = _widths(owner)
    for text in known:
        for gram in _shared(tokens(text), owner, widths):
            del owner[gram]
    widths = _widths(owner)
    found: dict[tuple[int, str], Leak] = {}
    for number, text in enumerate(texts):
        for gram in _shared(tokens(text), owner, widths):
            item_id = owner[gram]
            joint = "" if any(_CHARACTER.match(word) for word in gram) else " "
            found.setdefault((number, item_id), Leak(number, item_id, joint.join(gram)))
    return list(found.values())


def refuse_leaks(
    texts: Sequence[str], items: Iterable[Item], n: int = N, known: Iterable[str] = (), what: str = "training text"
) -> None:
    """Raise ValueError naming the first text (counted from 1, called `what`) and the item that `find_leaks` finds."""
    if leaks := find_leaks(texts, items, n, known):
        first = leaks[0]
        text = " ".join(texts[first.text].split())
        more = f"; {len(leaks) - 1} more such" if len(leaks) > 1 else ""
        raise ValueError(
            f"{what} {first.text + 1} shares {first.words!r} with the held-out item {first.item!r}, which the audits "
            f"ask: {text if len(text) <= 80 else text[:77] + '...'!r}{more}. Leave it out of training, or hold out "
            f"another item"
        )


@dataclass(frozen=True)
class Guard:
    """What training text must not give away: the questions of `held_out`, less the wording of `trained` items and of
    the prompts' own frames.
    """

    held_out: tuple[Item, ...] = ()
    trained: tuple[Item, ...] = ()

    def refuse(self, texts: Sequence[str], what: str) -> None:
        """As `refuse_leaks`."""
        frames = [words for language in languages() for words in _frame_texts(language)]
        refuse_leaks(texts, self.held_out, known=[*frames, *map(_whole, self.trained)], what=what)


def check_held_out(examples: Sequence[TrainingExample], split: Split) -> None:
    """Raise ValueError where an example's item or country is not one of the split's training ones.

    A neutral item is of no survey and belongs to neither side; one that is held out is refused whatever its name.
    """
    known = set(split.train_items)
    items = sorted(
        {e.item.id for e in examples if e.item.id not in known and not e.item.id.startswith(NEUTRAL)}
        | {e.item.id for e in examples}.intersection(split.held_out_items)
    )
    countries = sorted({example.group.country for example in examples} - set(split.train_countries))
    if items or countries:
        raise ValueError(f"the training mixture holds held-out items {items} or countries {countries}")


def questions(item: Item) -> tuple[str, ...]:
    """The item's question in every language that it has."""
    return (item.question, *(wording.question for wording in item.wordings))


def _whole(item: Item) -> str:
    return "\n".join([*questions(item), *item.options, *(option for w in item.wordings for option in w.options)])


def _frame_texts(language: str) -> list[str]:
    words = frame(language)
    return [words.instruction, *(fact.question for fact in words.facts.values())]


def _windows(words: Sequence[str], width: int) -> Iterator[tuple[str, ...]]:
    return (tuple(words[start : start + width]) for start in range(len(words) - width + 1))


def _widths(grams: Iterable[tuple[str, ...]]) -> dict[tuple[str, ...], set[int]]:
    """Lengths of the n-grams by their first two words, so that a text is read once."""
    found: dict[tuple[str, ...], set[int]] = {}
    for gram in grams:
        found.setdefault(gram[:2], set()).add(len(gram))
    return found


def _shared(
    words: Sequence[str], grams: dict[tuple[str, ...], str], widths: dict[tuple[str, ...], set[int]]
) -> list[tuple[str, ...]]:
    """The distinct n-grams that occur in `words`, in their order there."""
    there = (
        tuple(words[start : start + width])
        for start, head in enumerate(pairwise(words))
        for width in sorted(widths.get(head, ()))
    )
    return list(dict.fromkeys(gram for gram in there if gram in grams))
