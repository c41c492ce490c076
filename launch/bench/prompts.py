"""The prompts that `polyphony bench answers` asks: a fixed set that shares little, the audit's own, or a file."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path
from typing import Any

from data.prompts import LETTERS, Asking, OptionPrompt, Renderer, orders
from data.records import Group, Item, Survey
from eval.context import AuditContext
from eval.forecast import Rehearsal
from launch.build import build, build_as
from launch.people import people

PERSONAS = (
    Group("NOR", age="30-49", sex="female", education="university"),
    Group("GHA", age="18-29", sex="male", education="secondary school"),
)
ITEMS, FEWEST, MOST = 10, 3, 10


def bench_prompts(which: str, config: Mapping[str, Any], tokenizer: Any, limit: int | None) -> list[OptionPrompt]:
    """`which` is "shared", "audit" or the path of a file. A tokenizer without chat template is asked in plain text.

    Raises ValueError and FileNotFoundError for a set that cannot be made.
    """
    asking = build_as(Asking, config["prompt"], "prompt")
    if getattr(tokenizer, "chat_template", None) is None:
        asking = replace(asking, style="completion")
    if which == "shared":
        survey, _ = people(config["survey"])
        return shared(survey, Renderer(replace(asking, layout="persona_first"), tokenizer))
    if which == "audit":
        return of_audit(config, Renderer(asking, tokenizer), limit)
    return from_file(Path(which))[:limit]


def shared(survey: Survey, renderer: Renderer) -> list[OptionPrompt]:
    """80 prompts: two personas in the system turn × ten items of 3 to 10 options × four orders of the options.

    The items are the survey's first of every number of options in turn, so that long and short ones are mixed. Raises
    ValueError where it has fewer than ten.
    """
    by_options: dict[int, list[Item]] = defaultdict(list)
    for item in survey.items:
        if FEWEST <= len(item.options) <= MOST:
            by_options[len(item.options)].append(item)
    rounds = zip_longest(*(by_options[count] for count in sorted(by_options, reverse=True)))
    items = [item for row in rounds for item in row if item is not None][:ITEMS]
    if len(items) < ITEMS:
        raise ValueError(
            f"the shared prompts need {ITEMS} items of {FEWEST} to {MOST} options, this survey has {len(items)}"
        )
    return [
        renderer.survey(item, order, group, "country+age+sex+education")
        for group in PERSONAS
        for item in items
        for order in orders(len(item.options), True, exhaustive=2, beyond=4, rotate_scales=True)
    ]


def of_audit(config: Mapping[str, Any], renderer: Renderer, limit: int | None) -> list[OptionPrompt]:
    """What the first-token audit of this configuration asks; `limit` bounds its items."""
    survey, split = people(config["survey"])
    audit = build(config["audit"]["first_token"], "audit.first_token")
    rehearsal = Rehearsal(renderer, "")
    audit.ask(AuditContext(rehearsal, renderer, survey, split, (), config["audit_seed"], limit, lambda _: _silent))
    return rehearsal.prompts


def from_file(path: Path) -> list[OptionPrompt]:
    """JSON Lines of {"text": rendered prompt, "labels": ["A", "B", …]}; labels may be left out for A, B, C, D.

    Raises FileNotFoundError, and ValueError naming the line.
    """
    if not path.is_file():
        raise FileNotFoundError(f"--prompts {path} is no file; expected shared, audit or a JSON Lines file")
    found = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise ValueError(f"{path} line {number} is not JSON: {error}") from error
        text, labels = (row.get("text"), row.get("labels", list(LETTERS[:4]))) if isinstance(row, dict) else ("", [])
        wanted = isinstance(labels, list) and len(labels) > 1 and all(isinstance(label, str) for label in labels)
        if not (isinstance(text, str) and text and wanted):
            raise ValueError(
                f'{path} line {number}: expected {{"text": "…", "labels": ["A", "B", …]}} with at least two labels, '
                f"got {line[:80]!r}"
            )
        found.append(OptionPrompt(text, tuple(labels)))
    if not found:
        raise ValueError(f"{path} holds no prompts")
    return found


def _silent(done: int, total: int) -> None:
    return None
