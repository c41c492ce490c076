"""What is beside the point whatever was asked: repetition, foreign scripts, markup, words without grammar."""

from __future__ import annotations

import re
import unicodedata

from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

from eval.insensitivity.text import Reply, words

REPEATED = 0.25
"""Share of three-word runs that occurred before; in 500-character English prose it is under 0.05."""
GRAMMAR = 0.28
"""Share of English function words below which a text is no prose; in prose about half of all words are."""
FEWEST_WORDS = 12
_MARKUP = re.compile(r"https?://|www\.|</?\w+[^>]*>|```|\{\{|\w+\(\)|_{4,}|={4,}|\*{3,}", re.IGNORECASE)
_JOINED = re.compile(r"\b[a-z]{3,}[A-Z][a-z]{2,}")


def noise(reply: Reply) -> str:
    """What makes the reply noise, in words; "" where nothing does. Repetition counts in every language, the rest in
    English.
    """
    text = reply.text
    share = repeated(text)
    if share > REPEATED:
        return f"repeats itself ({share:.0%} of its three-word runs)"
    if not reply.english:
        return ""
    if found := _MARKUP.search(text):
        return f'markup or code: "{found[0]}"'
    if foreign := other_script(text):
        return f'letters of another script: "{foreign[:8]}"'
    if len(_JOINED.findall(text)) >= 2:
        return f'words run together: "{", ".join(_JOINED.findall(text)[:2])}"'
    grammar = function_words(text)
    if len(words(text)) >= FEWEST_WORDS and grammar < GRAMMAR:
        return f"strings of words without grammar ({grammar:.0%} function words)"
    return ""


def other_script(text: str) -> str:
    """Its letters that are not Latin ones."""
    return "".join(c for c in text if c.isalpha() and not unicodedata.name(c, "").startswith("LATIN"))


def repeated(text: str) -> float:
    """Share of its three-word runs that occurred before, in [0, 1]; 0 for a text of fewer than 12 words."""
    said = words(text)
    runs = list(zip(said, said[1:], said[2:], strict=False))
    return 1 - len(set(runs)) / len(runs) if len(said) >= FEWEST_WORDS else 0.0


def function_words(text: str) -> float:
    """Share of English function words among its words, in [0, 1]; 1 for no words."""
    said = words(text)
    return sum(word.split("'")[0] in ENGLISH_STOP_WORDS for word in said) / len(said) if said else 1.0
