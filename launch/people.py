"""The human data and the split that a configuration asks for."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from data.importers.stored import named_splits
from data.records import Split, Survey
from data.splits import make_split, named_split
from data.surveys import load_survey
from launch.build import nearest

KNOBS = ("blocks", "groups", "min_n", "respondents_per_country", "respondents_seed", "split")
SPLIT_KNOBS = (
    "seed",
    "held_out_items",
    "train_items",
    "held_out_item_share",
    "held_out_countries",
    "train_countries",
    "held_out_country_share",
)
LATER_KNOBS = ("train_before", "named")  # absent from configurations of the first version: null
PINS = ("held_out_items", "train_items", "held_out_countries", "train_countries")


def people(survey: Mapping[str, Any]) -> tuple[Survey, Split]:
    """Survey and split of the config's `survey` node; the same node always gives the same people, read once a process.

    Raises ValueError naming an unknown or missing knob, and as `load_survey`, `make_split` and `named_split` do.
    """
    return _read(json.dumps(survey, sort_keys=True, default=str))


@lru_cache(maxsize=4)
def _read(node: str) -> tuple[Survey, Split]:
    survey = json.loads(node)
    _check("survey", survey, KNOBS)
    _check("survey.split", survey["split"], SPLIT_KNOBS, LATER_KNOBS)
    knobs = dict(survey["split"])
    before, named = (knobs.pop(name, None) for name in LATER_KNOBS)
    if before is not None and (not isinstance(before, int) or isinstance(before, bool) or not 1000 <= before <= 9999):
        raise ValueError(f"survey.split.train_before must be null or a year such as 2010, got {before!r}")
    if named is not None and (pinned := [name for name in PINS if knobs[name]]):
        raise ValueError(
            f"survey.split.named={named} says itself what is held out: survey.split.{pinned[0]} must be empty, "
            f"got {knobs[pinned[0]]}"
        )
    loaded = load_survey(
        survey["blocks"],
        groups=survey["groups"],
        min_n=survey["min_n"],
        respondents_per_country=survey["respondents_per_country"],
        rng=np.random.default_rng(survey["respondents_seed"]),
        train_before=before,
    )
    try:
        if named is None:
            return loaded, make_split(loaded, **knobs, train_before=before)
        return named_split(loaded, str(named), _named_splits(survey["blocks"]), knobs["seed"], before)
    except ValueError as error:
        if before is None:
            raise
        kept = ", ".join(list(loaded.by_id)[:5]) or "none"
        raise ValueError(
            f"{error} (survey.split.train_before={before} keeps what was asked both before and from that year: "
            f"{len(loaded.items)} items, {kept})"
        ) from error


def _named_splits(blocks: Sequence[str]) -> dict[str, Mapping[str, Sequence[str]]]:
    """The named splits of all blocks. ValueError where two blocks have one name for different splits."""
    found: dict[str, Mapping[str, Sequence[str]]] = {}
    for block in blocks:
        for name, sides in named_splits(block).items():
            if found.setdefault(name, sides) != sides:
                raise ValueError(f"survey.split.named: {block} and another survey both name a split {name!r}")
    return found


def _check(where: str, node: Mapping[str, Any], known: tuple[str, ...], optional: tuple[str, ...] = ()) -> None:
    for name in node:
        if name not in (*known, *optional):
            raise ValueError(f"{where}.{name} is not a knob{nearest(name, (*known, *optional))}")
    if missing := [name for name in known if name not in node]:
        raise ValueError(f"{where}.{missing[0]} is missing")
