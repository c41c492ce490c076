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

    Raises ModuleNotFoundError for a module that cannot be found, and ValueError for one that is no Python.
    """
    packages = {*OURS, *(module.partition(".")[0] for module in modules)}
    todo, seen = list(modules), dict[str, str]()
    while todo:
        name = todo.pop()
        if name in seen or name.partition(".")[0] not in packages:
            continue
        path = source_of(name)
        if path is None:
            if name in modules:
                raise ModuleNotFoundError(
                    f"no module {name!r} is found, and a _target_ names it: install its package, or put its folder on "
                    "PYTHONPATH"
                )
            continue
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        seen[name], imported = _read(path, package)
        todo += [*imported, name.rpartition(".")[0]] if "." in name else imported
    return digest(seen)


def source_of(name: str) -> Path | None:
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
    if found is None:
        return None
    if found.submodule_search_locations:
        return Path(next(iter(found.submodule_search_locations))).parent
    return Path(found.origin).parent if found.origin else None


def _content(file: Path) -> object:
    text = file.read_text(encoding="utf-8")
    return yaml.safe_load(text) if file.suffix == ".yaml" else text


@cache
def _read(path: Path, package: str) -> tuple[str, tuple[str, ...]]:
    """The syntax tree of a module in `package` as text, without docstrings, and the names that it imports."""
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except SyntaxError as error:
        raise ValueError(f"{path}, line {error.lineno}: {error.msg}") from error
    imported: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: package.count(".") + 2 - node.level] if node.level else []
            module = ".".join(filter(None, [*above, node.module]))
            imported += [module, *(f"{module}.{alias.name}" for alias in node.names)]
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            del node.body[0]
    beside = [*path.parent.glob("*.yaml"), *path.parent.glob("*.jsonl")] if path.name == "__init__.py" else []
    content = {file.name: _content(file) for file in sorted(beside)}
    return ast.dump(tree) + (repr(content) if content else ""), tuple(imported)
