"""The human data and the split that a configuration asks for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from data.records import Split, Survey
from data.splits import make_split
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


def people(survey: Mapping[str, Any]) -> tuple[Survey, Split]:
    """Survey and split of the config's `survey` node; the same node always gives the same people, read once a process.

    Raises ValueError naming an unknown or missing knob, and as `load_survey` and `make_split` do.
    """
    return _read(json.dumps(survey, sort_keys=True, default=str))


@lru_cache(maxsize=4)
def _read(node: str) -> tuple[Survey, Split]:
    survey = json.loads(node)
    _check("survey", survey, KNOBS)
    _check("survey.split", survey["split"], SPLIT_KNOBS)
    loaded = load_survey(
        survey["blocks"],
        groups=survey["groups"],
        min_n=survey["min_n"],
        respondents_per_country=survey["respondents_per_country"],
        rng=np.random.default_rng(survey["respondents_seed"]),
    )
    return loaded, make_split(loaded, **survey["split"])


def _check(where: str, node: Mapping[str, Any], known: tuple[str, ...]) -> None:
    for name in node:
        if name not in known:
            raise ValueError(f"{where}.{name} is not a knob{nearest(name, known)}")
    if missing := [name for name in known if name not in node]:
        raise ValueError(f"{where}.{missing[0]} is missing")
