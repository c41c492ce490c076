"""What a recipe trains: a language model, which is audited, or a reward model, which other recipes are rewarded by.

A recipe says so in the body of its class: `head = "reward"`. That line is read from the source, without importing it:
the class itself would bring torch into every command that has nothing left to train. A recipe that is built is asked
itself, and refused where its source said something else.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from data.code import source_of

if TYPE_CHECKING:
    from launch.cells import Cell

LANGUAGE, REWARD = "language", "reward"


def head_of(recipe: Mapping[str, Any]) -> str:
    """What the config's `recipe` node trains, "language" or "reward". Raises ValueError for another head."""
    head = recipe.get("head", _declared(str(recipe.get("_target_"))) or LANGUAGE)
    if head not in (LANGUAGE, REWARD):
        raise ValueError(f"recipe: {recipe['_target_']} has head {head!r}; expected {LANGUAGE!r} or {REWARD!r}")
    return str(head)


def check_heads(cells: Sequence[Cell]) -> None:
    """Raise ValueError where a built recipe has another head than its source says."""
    if not cells:
        return
    from launch.build import build

    for cell in cells:
        node = cell.config["recipe"]
        if (head := getattr(build(node, "recipe"), "head", LANGUAGE)) != cell.config["head"]:
            raise ValueError(
                f"recipe: {node['_target_']} has head {head!r}, but its source does not show it: write "
                f"`head = {head!r}` in the body of its class"
            )


@cache
def _declared(target: str) -> str | None:
    """The `head` that the class at a dotted path declares or inherits; None where its source shows none."""
    module, _, name = target.rpartition(".")
    path = source_of(module) if module and module.partition(".")[0] not in sys.stdlib_module_names else None
    if path is None:
        return None
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imported = {
        alias.asname or alias.name: f"{node.module}.{alias.name}"
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and node.module and not node.level
        for alias in node.names
    }
    if name in imported:
        return _declared(imported[name])
    found = next((node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name), None)
    if found is None:
        return None
    inherited = (
        _declared(imported.get(base.id, f"{module}.{base.id}")) for base in found.bases if isinstance(base, ast.Name)
    )
    return next(_assigned(found), None) or next(filter(None, inherited), None)


def _assigned(found: ast.ClassDef) -> Iterator[str]:
    for line in found.body:
        if not isinstance(line, ast.Assign | ast.AnnAssign) or not isinstance(line.value, ast.Constant):
            continue
        targets = line.targets if isinstance(line, ast.Assign) else [line.target]
        if any(isinstance(target, ast.Name) and target.id == "head" for target in targets):
            yield str(line.value.value)
