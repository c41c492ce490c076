"""From asked cells to planned ones: the folder that each has, and what its name promises.

The folder's hash covers everything that training depends on, so a cell is found again only when it is the same cell: a
cell that is built on another covers that one's hash, and so its whole line. Each audit has a key of its own.

A training that several cells ask for is made once: cells that differ in how they are asked alone (an intervention at
inference time, a backend …) are one variant, which the first of them trains, one that is asked plainly where there is
one. The others train nothing and start from it, exactly as `recipe=none parent=` would have them: there is one way to
ask a variant otherwise, no folder has two owners, and a failed or collapsed training is told once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from data.code import digest_code
from data.dilemmas.corpus import corpus_hash, load_dilemmas
from data.files import digest, digest_files
from data.preferences import files_of
from launch.asked import UNTRAINED, Asked, plainly, trains
from launch.cells import MISSING, Cell, library_versions
from launch.chains import (
    PARENT,
    PLACES,
    REWARD_MODEL,
    Link,
    check_base,
    key,
    lineage,
    linked,
    parents_first,
    place_of,
    trained_cell,
    words,
)
from launch.heads import REWARD
from launch.identities import served_identity
from launch.judging import JUDGED, judge_model, judge_of
from launch.weights import kept

TRAINED_BY = ("recipe", "adapter", "mixture", "survey", "prompt", "budget", "gate", "seed", "draw")


def plan(
    asked: Asked, surveys: Mapping[str, str], weights: Mapping[str, str], missing: Mapping[str, str] | None = None
) -> list[Cell]:
    """The cells with their folders. `surveys` maps the digest of a survey node to the hash of its people, `weights`
    that of a model node, a judge's too, to the hash of its files (a served model has none: its name and address stand
    there), `missing` that of a model that cannot be had to the reason: nothing is known of its weights, and the folders
    of its cells are no cells of any other model. Raises ValueError or FileNotFoundError where a cell cannot be built on
    what it names.
    """
    versions, corpus = library_versions(), corpus_hash(load_dilemmas())
    folder = asked.runs / asked.name / "cells"
    planned: dict[Any, Cell] = {}
    made: dict[str, Link] = {}  # by the hash of a training: the cell that makes it
    asked_again: dict[Any, Link] = {}  # by the key of a cell that trains nothing: whose variant it asks
    for asked_for in parents_first(sorted(asked.cells, key=lambda cell: not plainly(cell))):
        config, model = asked_for, asked_for["model"]
        absent = (missing or {}).get(digest(model), "")
        known = f"missing {model['source']}" if absent else served_identity(config) or weights[digest(model)]
        links = _links(config, known, asked.cells, planned, asked_again)
        facts: list[Any] = [known, model["dtype"], model.get("attention"), versions]
        training = [*facts, *_training(config, links, surveys[digest(config["survey"])])] if trains(config) else []
        if link := made.get(digest(training)):
            nothing = {"recipe": {"_target_": UNTRAINED}, "chosen": {**config["chosen"], "recipe": "none"}}
            config, links = {**config, **nothing}, {PARENT: link}
        if trains(config):
            facts = training
        elif PARENT in links:
            facts += [{"variant": links[PARENT].identity}]
            config = {**config, **{level: links[PARENT].cell.config[level] for level in ("seed", "draw")}}
            asked_again[key(asked_for)] = links[PARENT]
        else:
            config = {**config, "seed": 0, "draw": 0}
        identity = digest(facts)
        judge, own = judge_of(config) or {}, judge_model(config)
        judging = weights[digest(own)] if own else served_identity(judge) if "model" in judge else ""
        shared = [identity, surveys[digest(config["survey"])], corpus, config["audit_seed"], config["limit"]]
        shared += [config["survey"], config["prompt"], config["backend"], config["inference"]]
        keys = _keys(config, [*shared, config["controls"]], judging)
        name = f"{config['arm']}--s{config['seed']}--d{config['draw']}--{MISSING if absent else identity[:8]}"
        places = {PLACES[knob]: place_of(link.cell, folder) for knob, link in links.items()}
        for link in links.values():
            if link.cell.folder.parent == folder and not kept(link.cell.config):
                raise ValueError(
                    f"keep_models=false removes the weights of arm {link.cell.arm} once it is audited, and arm "
                    f"{config['arm']} is built on it: set keep_models=true"
                )
        start = links[PARENT].cell if PARENT in links else None
        parent = {"name": model["name"], "source": model["source"], "weights": known}
        parent |= {"cell": places[PLACES[PARENT]]} if start else {}
        whole: dict[str, Any] = {"experiment": asked.name, **config, **places, "lineage": lineage(config, start)}
        whole |= {"parent": parent, "identity": identity, "keys": keys} | ({MISSING: absent} if absent else {})
        if trains(config) and config.get("audit_every"):
            asked_along = config["snapshot_audits"] or list(config["audit"])
            whole["snapshot_keys"] = {name: _keys(config, [*shared, False], judging)[name] for name in asked_along}
        planned[key(asked_for)] = Cell(folder / name, whole)
        if trains(config) and config["head"] != REWARD and not config.get("audit_every"):  # snapshots are its own
            made[identity] = Link(planned[key(asked_for)], identity)
    return list({(cell := planned[key(config)]).folder: cell for config in asked.cells}.values())


def _links(
    config: Mapping[str, Any],
    known: str,
    cells: Sequence[dict[str, Any]],
    planned: Mapping[Any, Cell],
    asked_again: Mapping[Any, Link],
) -> dict[str, Link]:
    """What the cell is built on, by knob. An untrained parent is the base itself, and so no parent, or the variant that
    is `asked_again` there.
    """
    found = {}
    for knob, word in words(config).items():
        where = f"{knob} of arm {config['arm']}"
        other = linked(config, knob, word, cells)
        if isinstance(other, Path):
            link = trained_cell(other, where, knob)
        else:
            cell = planned[key(other)]
            link = asked_again.get(key(other)) or Link(cell, str(cell.config["identity"]))
        if knob == PARENT:
            check_base(where, config, known, link.cell)
        if trains(link.cell.config):
            found[knob] = link
    return found


def _training(config: Mapping[str, Any], links: Mapping[str, Link], people: str) -> list[Any]:
    """What training depends on beside the base model. What the cell is built on counts by what it is, not by name."""
    used = {part: config[part] for part in TRAINED_BY}
    used["budget"] = {knob: value for knob, value in used["budget"].items() if knob != "checkpoint_every"}
    if REWARD_MODEL in links:
        used["recipe"] = {**used["recipe"], "reward_model": links[REWARD_MODEL].identity}
    engine = {knob: value for knob, value in config["engine"].items() if knob != "threads"}
    code = digest_code("train.variant", *_modules(*(config[part] for part in ("recipe", "adapter", "mixture"))))
    facts = [used, people, code, engine, *_contents(config["recipe"], config["adapter"], config["mixture"])]
    if (pairs := config["recipe"].get("pairs")) and (folder := Path(pairs)).is_dir():
        facts.append(digest_files(files_of(folder), folder))
    facts += [{"audit_every": config["audit_every"]}] if config.get("audit_every") else []
    if PARENT in links:
        facts += [{"parent": links[PARENT].identity}, digest_code("data.merging")]
    return facts


def _keys(config: Mapping[str, Any], shared: Sequence[Any], judging: str) -> dict[str, str]:
    """The key of each audit: `shared`, its settings, who judges (known as `judging`), and the code behind it."""
    keys = {}
    for name, settings in config["audit"].items():
        judge = (judge_of(config) or {}) if name == JUDGED else {}
        used = (config["backend"], config["inference"], settings, judge, judge.get("backend"))
        parts = [part for part in used if part]
        facts = [*shared, settings, *_contents(settings), *([judge, judging] if judge else [])]
        keys[name] = digest([*facts, digest_code("data.variant", *_modules(*parts))])
    return keys


def _modules(*nodes: Mapping[str, Any]) -> list[str]:
    """The modules whose code the nodes' targets are."""
    return [str(node["_target_"]).rpartition(".")[0] for node in nodes]


def _contents(*parts: Mapping[str, Any]) -> list[str]:
    """Hashes of the files that knobs name, so that a changed file is another cell."""
    files = [Path(value) for part in parts for value in part.values() if isinstance(value, str)]
    return [digest_files([path], path.parent) for path in files if path.is_absolute() and path.is_file()]
