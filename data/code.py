"""Which version of the code a result was made by: a hash of the sources that its stage imports, and of nothing else.

A change of the report does not make a trained model stale, and a change of a comment makes nothing stale: modules count
by their syntax tree without docstrings. YAML and JSON Lines files beside an imported package's `__init__.py` count by
what they say.
"""

from __future__ import annotations

import ast
import importlib.util
from functools import cache
from pathlib import Path

import yaml

from data.files import digest

OURS = ("conf", "data", "train", "eval", "launch")


def digest_code(*modules: str) -> str:
    """SHA-256 (hex) of the modules and of all that they import, transitively, of this project and of their own package.

    Raises ModuleNotFoundError for a module that cannot be found.
    """
    packages = {*OURS, *(module.partition(".")[0] for module in modules)}
    todo, seen = list(modules), dict[str, str]()
    while todo:
        name = todo.pop()
        if name in seen or name.partition(".")[0] not in packages:
            continue
        path = _source(name)
        if path is None:
            if name in modules:
                raise ModuleNotFoundError(f"no module {name!r} whose code could be hashed")
            continue
        seen[name], imported = _read(path)
        todo += [*imported, name.rpartition(".")[0]] if "." in name else imported
    return digest(seen)


def _source(name: str) -> Path | None:
    """The file of a module, found without importing it; None where there is none, as for "package.module.function"."""
    top, *rest = name.split(".")
    home = _home(top)
    if home is None:
        return None
    path = home.joinpath(top, *rest)
    return next((found for found in (path.with_name(f"{path.name}.py"), path / "__init__.py") if found.exists()), None)


@cache
def _home(top: str) -> Path | None:
    found = importlib.util.find_spec(top)
    if found is None or not found.origin:
        return None
    origin = Path(found.origin)
    return origin.parent.parent if origin.name == "__init__.py" else origin.parent


def _content(file: Path) -> object:
    text = file.read_text(encoding="utf-8")
    return yaml.safe_load(text) if file.suffix == ".yaml" else text


@cache
def _read(path: Path) -> tuple[str, tuple[str, ...]]:
    """The module's syntax tree as text, without docstrings, and the names that it imports."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imported: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            imported += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            del node.body[0]
    beside = [*path.parent.glob("*.yaml"), *path.parent.glob("*.jsonl")] if path.name == "__init__.py" else []
    content = {file.name: _content(file) for file in sorted(beside)}
    return ast.dump(tree) + (repr(content) if content else ""), tuple(imported)
