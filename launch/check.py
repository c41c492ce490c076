"""Build every object of a cell once in the parent, so that a wrong knob fails before anything is written or trained."""

from __future__ import annotations

from collections.abc import Sequence

from data.files import digest
from launch.asked import trains
from launch.build import build, build_as
from launch.cells import Cell
from launch.process import threads_for

ENGINE_KINDS = ("single", "ddp")


def check_cells(cells: Sequence[Cell]) -> None:
    """Raise ValueError naming the first knob that is unknown, missing or of the wrong kind."""
    if not cells:
        return
    from data.models import ModelSpec
    from data.prompts import Asking
    from train.run import Budget

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
        build_as(ModelSpec, config["model"], "model")
        build_as(Asking, config["prompt"], "prompt")
        budget = build_as(Budget, config["budget"], "budget")
        engine, backend = config["engine"], config["backend"]
        threads_for(engine["threads"], engine["processes"])
        if engine["kind"] not in ENGINE_KINDS or (engine["kind"] == "single") != (engine["processes"] == 1):
            raise ValueError(f"engine: kind single means one process and ddp several, got {engine}")
        if trains(config):
            budget.split(engine["processes"])
        if backend["name"] != "transformers" or not isinstance(backend["token_budget"], int):
            raise ValueError(f"backend: expected name transformers and a whole number as token_budget, got {backend}")
        if config["tracker"]["mode"] not in ("auto", "online", "offline", "off"):
            raise ValueError(f"tracker.mode must be auto, online, offline or off, got {config['tracker']['mode']!r}")
