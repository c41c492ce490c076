"""Build every object of a cell once in the parent, so that a wrong knob fails before anything is written or trained."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.files import digest
from data.preferences import check_source
from data.served import is_served
from data.splits import training_part
from launch.asked import trains
from launch.build import build, build_as, nearest
from launch.cells import Cell
from launch.people import people
from launch.process import threads_for

if TYPE_CHECKING:
    from data.models import ModelSpec
    from data.prompts import Asking
    from train.budget import Budget

NEED_PEOPLE = {"first_token", "def", "mark"}
PLAIN_PARTS = {
    "tracker": ("mode", "project", "entity"),
}


def check_cells(cells: Sequence[Cell], elsewhere: bool = False) -> None:
    """Raise ValueError naming the first knob that is unknown, missing or of the wrong kind, and what this machine lacks
    for the engine or the adapter; with `elsewhere` the cells are trained on others, which find out themselves.
    """
    if not cells:
        return
    from data.models import ModelSpec
    from data.prompts import Asking
    from train.adapters import check_together
    from train.engines import Engine
    from train.run import Budget

    for cell in cells:  # first of all: beside what is trained stands a base that would be refused for something else
        if is_served(source := str(cell.config["model"]["source"])) and trains(cell.config):
            raise ValueError(
                f"model.source {source!r} is served: its weights are not here and cannot be trained; set recipe=none"
            )
    seen: set[str] = set()
    for cell in cells:
        config = cell.config
        parts = [(part, config[part]) for part in ("recipe", "adapter", "mixture")]
        parts += [(f"audit.{name}", node) for name, node in config["audit"].items()]
        for where, node in parts:
            if digest(node) not in seen:
                seen.add(digest(node))
                if not callable(build(node, where)):
                    raise ValueError(f"{where}: {node['_target_']} cannot be called")
        spec = build_as(ModelSpec, config["model"], "model")
        recipe = build(config["recipe"], "recipe")
        asking = build_as(Asking, config["prompt"], "prompt")
        _check_answering(config, spec, asking)
        build(config["judge"], "judge")
        build(config["inference"], "inference")
        build(config["gate"], "gate")
        budget = build_as(Budget, config["budget"], "budget")
        for part, known in PLAIN_PARTS.items():
            if unknown := sorted(set(config[part]) - set(known)):
                raise ValueError(f"{part}.{unknown[0]} is not a knob{nearest(unknown[0], known)}")
        engine = build_as(Engine, config["engine"], "engine")
        threads_for(engine.threads, engine.processes)
        if trains(config):
            budget.split(engine.processes)
            check_together(engine, build(config["adapter"], "adapter"), getattr(recipe, "head", "language"))
            _check_amount(config, spec, asking, recipe, budget)
            if (config.get("audit_every") or 0) >= (math.inf if budget.measured else budget.steps):
                raise ValueError(
                    f"audit_every must be less than the steps of the training, {budget.steps}, whose last is the "
                    f"variant itself; got {config['audit_every']}"
                )
        if config["tracker"]["mode"] not in ("auto", "online", "offline", "off"):
            raise ValueError(f"tracker.mode must be auto, online, offline or off, got {config['tracker']['mode']!r}")
        if not elsewhere:
            check_machine(config)
        _check_people(config, seen)


def check_machine(config: Mapping[str, Any]) -> None:
    """Raise ValueError naming what this machine lacks for the cell's engine, adapter or attention."""
    from data.models import ModelSpec, attention_for, device_for, dtype_for
    from train.engines import Engine

    spec = build_as(ModelSpec, config["model"], "model")
    if not spec.served:
        attention_for(spec, dtype_for(spec, device_for()), device_for())
    if trains(config):
        build_as(Engine, config["engine"], "engine").check_machine()
        getattr(build(config["adapter"], "adapter"), "check_machine", lambda: None)()


def _check_amount(config: Mapping[str, Any], spec: ModelSpec, asking: Asking, recipe: Any, budget: Budget) -> None:
    """Whether the budget says how much: if not, budget.examples of this arm are measured as a proposal."""
    from train.matching import check_amount, drawn
    from train.run import RunContext

    if budget.measured and config.get("audit_every"):
        raise ValueError(
            f"audit_every needs a number of steps, and that of budget.match={budget.match} is known only when training "
            "starts: use budget.match=examples or steps, or audit_every=null"
        )
    survey, split = people(config["survey"])
    part = training_part(survey, split, asking.language)
    mixture = build(config["mixture"], "mixture")
    run = RunContext(
        cell=Path(),
        spec=spec,
        adapter=build(config["adapter"], "adapter"),
        asking=asking,
        examples=(),
        budget=budget,
        seed=config["seed"],
        on_log=lambda step, record: None,
        people=mixture.taught(part, split.seed, config["draw"]) if hasattr(mixture, "taught") else part,
        head=getattr(recipe, "head", "language"),
    )
    check_amount(run, recipe, drawn(mixture, part, split, config["seed"], config["draw"]))


def _check_answering(config: Mapping[str, Any], spec: ModelSpec, asking: Asking) -> None:
    """A served model is asked by a backend that asks servers, and by no other."""
    backend = build(config["backend"], "backend")
    if spec.served and not getattr(backend, "served", False):
        raise ValueError(
            f"model.source {spec.source!r} is served, and backend={config['backend']['name']} needs a model with "
            "weights; set backend=api"
        )
    if hasattr(backend, "check"):
        backend.check(spec, asking)


def _check_people(config: Mapping[str, Any], seen: set[str]) -> None:
    """Draw one training example and look for something to audit, which takes no time; training and audits take long."""
    wanted = {name: config[name] for name in ("survey", "mixture", "recipe", "draw", "prompt", "audit")}
    if digest(wanted) in seen:
        return
    seen.add(digest(wanted))
    survey, split = people(config["survey"])
    if trains(config):
        part = training_part(survey, split, config["prompt"].get("language", "en"))
        build(config["mixture"], "mixture")(part, 1, split.seed, config["draw"])
        if pairs := config["recipe"].get("pairs"):
            check_source(pairs)
    held_items, held_countries = set(split.held_out_items), set(split.held_out_countries)
    if config["audit"].keys() & NEED_PEOPLE and not any(
        d.item in held_items and d.group.country in held_countries for d in survey.distributions
    ):
        raise ValueError(
            f"nothing is held out to audit on: {len(held_items)} held-out items have no people in the "
            f"{len(held_countries)} held-out countries; set survey.split, or audit=[edc]"
        )
    for name in sorted(config["audit"].keys() & NEED_PEOPLE):
        knobs = config["audit"][name]
        main = knobs.get("language") or config["prompt"].get("language", "en")
        spoken = sorted({found for item in held_items for found in survey.by_id[item].languages})
        for language in (main, *(knobs.get("languages") or ())):
            if language not in spoken:
                named = f"audit.{name}.language or prompt.language" if language == main else f"audit.{name}.languages"
                raise ValueError(
                    f"audit.{name}: no held-out item has a wording in {language!r}; there is wording in "
                    f"{', '.join(spoken)}: set {named}"
                )
