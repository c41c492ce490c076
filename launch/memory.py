"""What a cell's training will hold in memory, said before it starts (`train.memory_estimate`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.splits import training_part
from launch.asked import trains
from launch.build import build, build_as
from launch.cells import Cell
from launch.check import check_machine
from launch.people import people

if TYPE_CHECKING:
    import torch

    from train.memory_estimate import Estimate


def memory_lines(cells: Sequence[Cell]) -> list[str]:
    """One line for each way in which the cells train: what a process will hold, and what this machine lacks for it; by
    the first cell of each arm, as seeds and draws change little.

    The types are those that the configuration names, wherever it will run; `model.dtype` auto is what this machine has.
    """
    found: dict[str, list[str]] = {}
    firsts: dict[str, Cell] = {}
    for cell in cells:
        firsts.setdefault(cell.arm, cell)
    for cell in firsts.values():
        if trains(cell.config) and not cell.missing:
            lacking = ""
            try:
                check_machine(cell.config)
            except ValueError as error:
                lacking = f". NOT on this machine: {error}"
            found.setdefault(memory_line(cell.config, here=False) + lacking, []).append(cell.arm)
    return [f"memory of {', '.join(arms)}: {line}" for line, arms in found.items()]


def memory_line(config: Mapping[str, Any], here: bool = True) -> str:
    """What training this cell will hold, "about 3.4 GiB a process (…)", or why that cannot be said.

    `here`: it is trained on this machine, in the type in which it will compute, and is compared with what there is.
    """
    import torch

    from data.memory import room_bytes
    from data.models import device_for
    from train.engines import Engine

    engine = build_as(Engine, config["engine"], "engine")
    device = device_for()
    try:
        estimate = estimate_cell(config, engine, torch.float32 if here and device.type != "cuda" else None)
    except NotImplementedError as error:
        return f"no estimate for this kind of training ({error})"
    said = str(estimate)
    room = room_bytes(device) // (1 if device.type == "cuda" else engine.processes)
    if not here or (estimate.total if device.type == "cuda" else estimate.total_on_cpu) <= room:
        return said
    micro, _ = _budget(config).split(engine.processes)
    return (
        f"{said}: MORE than the {room / 2**30:.1f} GiB that a process has here. Set budget.micro_batch below {micro}, "
        "engine.gradient_checkpointing=true, adapter=lora, or an engine that shares weights out (zero3)"
    )


def estimate_cell(config: Mapping[str, Any], engine: Any, dtype: torch.dtype | None) -> Estimate:
    """The estimate for a cell on the prompts that its recipe asks. `dtype`: in which it computes; None: the model's.

    Raises NotImplementedError where a model of this kind cannot be estimated and for a recipe whose texts are known
    only in training, ValueError where the adapter does not fit the model.
    """
    from transformers import AutoConfig

    from data.models import ModelSpec, device_for, dtype_for
    from data.prompts import Asking
    from train.activations import heaviest
    from train.matching import drawn, other_texts, texts_of
    from train.memory_estimate import estimate
    from train.run import RunContext

    recipe = build(config["recipe"], "recipe")
    if what := other_texts(recipe):
        raise NotImplementedError(f"recipe {type(recipe).__name__} {what}")
    spec = build_as(ModelSpec, config["model"], "model")
    survey, split = people(config["survey"])
    asking = build_as(Asking, config["prompt"], "prompt")
    budget = _budget(config)
    seen = training_part(survey, split, asking.language)
    mixture = build(config["mixture"], "mixture")
    run = RunContext(
        cell=Path(),
        spec=spec,
        adapter=build(config["adapter"], "adapter"),
        asking=asking,
        examples=drawn(mixture, seen, split, config["seed"], config["draw"])(budget.examples),
        budget=budget,
        seed=config["seed"],
        on_log=lambda step, record: None,
        people=mixture.taught(seen, split.seed, config["draw"]) if hasattr(mixture, "taught") else seen,
    )
    micro, accumulated = budget.split(engine.processes)
    return estimate(
        AutoConfig.from_pretrained(run.base, trust_remote_code=spec.trust_remote_code),
        run.adapter,
        engine,
        dtype or dtype_for(spec, device_for()),
        heaviest(run.renderer, texts_of(run, recipe), micro),
        accumulated,
    )


def _budget(config: Mapping[str, Any]) -> Any:
    from train.run import Budget

    return build_as(Budget, config["budget"], "budget")
