"""Knobs that shape a run, of the right kind: what is wrong with one is said before anything is composed from it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from launch.build import nearest

EACH_SEEDS = "seeds"
"""The value of `draws` with which every training seed has a data draw of its own, of the same number."""
KINDS: Mapping[str, tuple[type, ...]] = {
    "runs": (str,),
    "name": (str, type(None)),
    "seeds": (list, type(None)),
    "draws": (list, str, type(None)),
    "audit_seed": (int,),
    "controls": (bool,),
    "audit_every": (int, type(None)),
    "snapshot_audits": (list, type(None)),
    "keep_snapshots": (bool,),
    "keep_models": (bool,),
    "base_arm": (bool,),
    "parent": (str, type(None)),
    "arms": (dict, type(None)),
    "models": (list, type(None)),
    "missing_models": (str,),
    "hypotheses": (list, type(None)),
    "questions": (list, type(None)),
    "response_curves": (dict,),
    **dict.fromkeys(("budget", "model", "survey", "audit", "recipe", "adapter", "mixture", "prompt"), (dict,)),
}
MISSING_MODELS = ("error", "row")
SURVEY_KINDS: Mapping[str, tuple[type, ...]] = {
    "blocks": (list,),
    "groups": (list,),
    "min_n": (int,),
    "respondents_per_country": (int,),
    "respondents_seed": (int,),
    "split": (dict,),
}
WORDS = {
    str: "text",
    int: "a whole number",
    bool: "true or false",
    list: "a list",
    dict: "a mapping",
    type(None): "null",
}


def check_kinds(head: Mapping[str, Any]) -> None:
    """Raise ValueError where a knob that shapes the run is of the wrong kind."""
    audits = {f"audit.{name}": node for name, node in head["audit"].items()} if isinstance(head["audit"], dict) else {}
    for name, value, kinds in (
        *((name, head[name], kinds) for name, kinds in KINDS.items()),
        *((name, node, (dict,)) for name, node in audits.items()),
    ):
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            raise ValueError(f"{name} must be {' or '.join(WORDS[kind] for kind in kinds)}, got {value!r}")
    for name, kinds in SURVEY_KINDS.items():
        value = head["survey"].get(name, kinds[0]())
        if not isinstance(value, kinds) or isinstance(value, bool):
            raise ValueError(f"survey.{name} must be {WORDS[kinds[0]]}, got {value!r}")
    if head["missing_models"] not in MISSING_MODELS:
        raise ValueError(f"missing_models must be {' or '.join(MISSING_MODELS)}, got {head['missing_models']!r}")
    if isinstance(head["draws"], str) and head["draws"] != EACH_SEEDS:
        raise ValueError(f"draws must be a list, null or {EACH_SEEDS}, got {head['draws']!r}")
    for name in ("seeds", "draws"):
        if head[name] == []:
            raise ValueError(f"{name} is empty: expected at least one number, or null")
    if not isinstance(head["model"].get("source"), str):
        raise ValueError(f"model.source must be text, got {head['model'].get('source')!r}")


def check_snapshots(asked: Mapping[str, Any], audits: Mapping[str, Any]) -> None:
    every, names = asked["audit_every"], asked["snapshot_audits"]
    if every is not None and every < 1:
        raise ValueError(f"audit_every must be null or a number of steps of at least 1, got {every}")
    if names == []:
        raise ValueError(
            "snapshot_audits is empty: expected names of audits, or null for all; audit_every=null for none"
        )
    for name in names or ():
        if name not in audits:
            raise ValueError(f"snapshot_audits names {name!r}, which is none of the audits{nearest(str(name), audits)}")
