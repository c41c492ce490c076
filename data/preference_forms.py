r"""The forms in which preference sets are published, told apart by their columns, and their rows as pairs.

| form | columns |
| --- | --- |
| pairs | `prompt`, `chosen`, `rejected`, all text; `country` if known |
| messages (UltraFeedback binarized) | `chosen`, `rejected`: lists of {role, content}; `prompt` is not needed |
| transcripts (HH-RLHF) | `chosen`, `rejected`: "\n\nHuman: …\n\nAssistant: …" |
| utterances (PRISM), one a reply | `conversation_id`, `turn`, `user_prompt`, `model_response`, `if_chosen`, `user_id` |

Sources: Bai et al. 2022 (arXiv:2204.05862), Cui et al. 2023 (arXiv:2310.01377), Kirk et al. 2024 (arXiv:2404.16019).
"""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from data.countries import iso3
from data.records import PreferencePair, Turn

Row = tuple[str, Mapping[str, Any]]
"""Where a row stands ("pairs.jsonl line 3"), and its columns."""

UTTERANCES = ("conversation_id", "turn", "user_prompt", "model_response", "if_chosen", "user_id")
ROLES = ("system", "user", "assistant")
SAME, EMPTY = "pairs whose two replies are the same", "pairs with an empty reply"
DIFFERENT = "pairs whose dialogues differ before the last reply"
NO_REPLY = "pairs that do not end with a reply of the assistant to the user"
UNCHOSEN = "turns without one chosen reply and another"
_SPEAKER = re.compile(r"\n\n(Human|Assistant):")


@dataclass
class Reading:
    """What was read so far: pairs, what was left out and why, and names of countries that nobody knows (of pairs that
    are kept without a country).
    """

    pairs: list[PreferencePair] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    unknown_countries: Counter[str] = field(default_factory=Counter)

    def add(self, turns: Sequence[Turn], chosen: str, rejected: str, country: str | None) -> None:
        """One pair; `turns` end with the user's."""
        if chosen == rejected:
            self.left_out[SAME] += 1
        elif not chosen.strip() or not rejected.strip():
            self.left_out[EMPTY] += 1
        else:
            known = self._known(country or "")
            self.pairs.append(PreferencePair(turns[-1].text, chosen, rejected, known, tuple(turns[:-1])))

    def _known(self, country: str) -> str:
        if not country:
            return ""
        try:
            return iso3(country)
        except ValueError:
            self.unknown_countries[country] += 1
            return ""


def form_of(row: Mapping[str, Any]) -> str | None:
    """pairs, messages, transcripts, utterances, people (who wrote the utterances), or None."""
    names = set(row)
    if set(UTTERANCES) <= names:
        return "utterances"
    if {"chosen", "rejected"} <= names:
        if isinstance(row["chosen"], list):
            return "messages"
        return "pairs" if "prompt" in names else "transcripts"
    if "user_id" in names and names & {"location", "country"}:
        return "people"
    return None


def read_pairs(rows: Iterable[Row], reading: Reading) -> None:
    """Rows of the form `pairs`. Other columns are passed over, unless one is nearly called `country`."""
    for place, row in rows:
        _need(place, row, ("prompt", "chosen", "rejected"), str)
        if "country" not in row and (near := difflib.get_close_matches("country", map(str.lower, row), cutoff=0.8)):
            raise ValueError(f"{place} has a column {near[0]!r}; did you mean 'country'?")
        if not isinstance(row.get("country") or "", str):
            raise ValueError(f"{place}: country must be text, got {row['country']!r}")
        reading.add([Turn("user", row["prompt"])], row["chosen"], row["rejected"], row.get("country"))


def read_messages(rows: Iterable[Row], reading: Reading) -> None:
    """Rows of the form `messages`; where `prompt` is a list too, it comes before both."""
    for place, row in rows:
        _need(place, row, ("chosen", "rejected"), list)
        before = row["prompt"] if isinstance(row.get("prompt"), list) else []
        chosen, rejected = (_turns(place, [*before, *row[name]]) for name in ("chosen", "rejected"))
        _add(chosen, rejected, row, reading)


def read_transcripts(rows: Iterable[Row], reading: Reading) -> None:
    """Rows of the form `transcripts`."""
    for place, row in rows:
        _need(place, row, ("chosen", "rejected"), str)
        _add(_spoken(place, row["chosen"]), _spoken(place, row["rejected"]), row, reading)


def read_utterances(rows: Iterable[Row], people: Iterable[Row], reading: Reading) -> None:
    """Rows of the form `utterances`: the chosen reply over each other one of its turn.

    The prompts and chosen replies of the conversation's earlier turns come before. The country is where the person
    lives (`location.reside_country`, or `country`).
    """
    countries: dict[str, str] = {}
    for place, row in people:
        home = row.get("location")
        found = home.get("reside_country") if isinstance(home, Mapping) else row.get("country", home)
        if found is not None and not isinstance(found, str):
            raise ValueError(f"{place}: the person's country must be text, got {found!r}")
        countries[row["user_id"]] = found or ""
    checked = [_checked(place, row) for place, row in rows]
    checked.sort(key=lambda row: (str(row["conversation_id"]), row["turn"]))
    for _, conversation in groupby(checked, key=lambda row: str(row["conversation_id"])):
        before: list[Turn] | None = []
        for _, turn in groupby(conversation, key=lambda row: row["turn"]):
            replies = list(turn)
            chosen = [row for row in replies if row["if_chosen"]]
            others = [row for row in replies if not row["if_chosen"]]
            if len(chosen) != 1 or not others or before is None:
                reading.left_out[UNCHOSEN] += 1
            else:
                asked = [*before, Turn("user", chosen[0]["user_prompt"])]
                for other in others:
                    country = countries.get(chosen[0]["user_id"])
                    reading.add(asked, chosen[0]["model_response"], other["model_response"], country)
            if before is not None and len(chosen) == 1:
                said = Turn("assistant", chosen[0]["model_response"])
                before = [*before, Turn("user", chosen[0]["user_prompt"]), said]
            else:  # nobody knows how the dialogue went on
                before = None


def _checked(place: str, row: Mapping[str, Any]) -> Mapping[str, Any]:
    _need(place, row, ("user_prompt", "model_response"), str)
    _need(place, row, ("turn",), int)
    _need(place, row, ("if_chosen",), bool)
    _need(place, row, ("conversation_id", "user_id"), object)
    return row


def _add(chosen: list[Turn], rejected: list[Turn], row: Mapping[str, Any], reading: Reading) -> None:
    if any([turn.role for turn in turns[-2:]] != ["user", "assistant"] for turns in (chosen, rejected)):
        reading.left_out[NO_REPLY] += 1
    elif chosen[:-1] != rejected[:-1]:
        reading.left_out[DIFFERENT] += 1
    else:
        reading.add(chosen[:-1], chosen[-1].text, rejected[-1].text, row.get("country"))


def _turns(place: str, messages: Sequence[Any]) -> list[Turn]:
    turns = []
    for message in messages:
        told = message if isinstance(message, Mapping) else {}
        role, text = told.get("role"), told.get("content")
        if role not in ROLES or not isinstance(text, str):
            raise ValueError(
                f"{place}: a message must be {{role: {' | '.join(ROLES)}, content: text}}, got {message!r}"
            )
        turns.append(Turn(role, text))
    return turns


def _spoken(place: str, transcript: str) -> list[Turn]:
    first, *parts = _SPEAKER.split(transcript if transcript.startswith("\n\n") else f"\n\n{transcript}")
    if first.strip() or not parts:
        raise ValueError(f"{place}: a transcript must begin with 'Human:' or 'Assistant:', got {transcript[:60]!r}")
    said = zip(parts[::2], parts[1::2], strict=True)
    return [Turn("user" if speaker == "Human" else "assistant", text.strip()) for speaker, text in said]


def _need(place: str, row: Mapping[str, Any], names: Iterable[str], kind: type) -> None:
    for name in names:
        if name not in row:
            raise ValueError(f"{place} lacks {name!r}, which the rows before it have: it holds {', '.join(row)}")
        if not isinstance(row[name], kind):
            raise ValueError(f"{place}: {name} must be {_KINDS[kind]}, got {str(row[name])[:80]!r}")


_KINDS = {str: "text", list: "a list of messages", int: "a whole number", bool: "true or false", object: "there"}
