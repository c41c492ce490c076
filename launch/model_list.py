"""The short way to several models, `models=[qwen2.5-0.5b, /a/folder, owner/name, api:NAME backend=api]`: an arm each.

An entry is a member of `model/`, a local folder, a Hub id, `pypi:NAME` or `api:NAME`, and after a space overrides of
its own, as an arm of an experiment has them.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from data.served import SERVED, is_served
from launch.build import nearest
from launch.compose import Composer

PACKAGE = "pypi:"


def model_arms(composer: Composer, entries: Sequence[Any]) -> dict[str, list[str]]:
    """The arms by name: that of the member, the folder, or the model itself.

    Raises ValueError for an entry that is neither a member, nor looks like a model's place, and for two of one name.
    """
    members, arms = composer.groups()["model"], dict[str, list[str]]()
    for entry in entries:
        if not isinstance(entry, str) or not entry.strip():
            raise ValueError(f"models must be a list of texts such as [qwen2.5-0.5b, /a/folder], got {entry!r}")
        word, *more = shlex.split(entry)
        name, chosen = (word, [f"model={word}"]) if word in members else _placed(word, members)
        if name in arms:
            raise ValueError(f"models names two {name!r}: give one an arm of its own, arms: {{NAME: [model=…]}}")
        arms[name] = [*chosen, *more]
    return arms


def _placed(word: str, members: Sequence[str]) -> tuple[str, list[str]]:
    """Name and overrides of a model that is no member of `model/`."""
    plain = word.removeprefix(SERVED).removeprefix(PACKAGE)
    place = plain != word or "/" in word or Path(word).is_dir()
    name = re.sub(r"[^A-Za-z0-9._+]+", "-", plain.rstrip("/").rpartition("/")[2]).strip("-._+")
    if not place or not name:
        raise ValueError(f"models: {word!r} is no member of model/ and no folder here{nearest(word, members)}")
    member = "served" if is_served(word) else "local"
    return name, [f"model={member}", f"model.source={_quoted(word)}", f"model.name={_quoted(name)}"]


def _quoted(text: str) -> str:
    """As a value of an override: a path may hold spaces or commas."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
