"""From resolved YAML to objects: `_target_` names a dataclass, the other keys are its fields.

Workers build what they need with this and never import Hydra. An unknown or missing field, or a value of the wrong
type, is refused with the nearest field named, so that a misspelt knob never runs with its default.
"""

from __future__ import annotations

import dataclasses
import difflib
import importlib
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

T = TypeVar("T")


def build(node: Mapping[str, Any], where: str) -> Any:
    """The object that `node["_target_"]` names; nested nodes with a target are built too.

    `where` is the node's place in the config and begins every message. Raises ValueError for a target that cannot be
    imported and as `build_as` does.
    """
    if "_target_" not in node:
        raise ValueError(
            f"{where} has no _target_: expected the dotted path of a dataclass, e.g. train.recipes.match.Match"
        )
    fields = {key: value for key, value in node.items() if key != "_target_"}
    return build_as(resolve(str(node["_target_"]), f"{where}._target_"), fields, where)


def build_as(kind: type[T], fields: Mapping[str, Any], where: str) -> T:
    """`kind(**fields)` with lists made tuples, after names and simple types were checked against the dataclass."""
    if not dataclasses.is_dataclass(kind):
        raise ValueError(f"{where} names {kind!r}, which is no dataclass")
    known = {field.name: field for field in dataclasses.fields(kind) if field.init}
    for name in fields:
        if name not in known:
            raise ValueError(f"{where}.{name} is not a knob of {kind.__name__}{nearest(name, known)}")
    for name, field in known.items():
        unset = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if unset and name not in fields:
            raise ValueError(f"{where}.{name} is missing: {kind.__name__} needs it")
    hints = typing.get_type_hints(kind)
    values = {}
    for name, value in fields.items():
        made = _value(value, f"{where}.{name}")
        if not fits(made, hints[name]):
            raise ValueError(f"{where}.{name} must be {_readable(hints[name])}, got {value!r}")
        values[name] = float(made) if hints[name] is float else made
    try:
        return typing.cast("T", kind(**values))
    except (ValueError, TypeError) as error:
        said = str(error)
        raise ValueError(said if said.startswith(f"{where}.") else f"{where}: {said}") from error


def resolve(path: str, where: str) -> Any:
    """The object at a dotted path. Raises ValueError where the module cannot be imported or lacks the name."""
    module, _, name = path.rpartition(".")
    if not module:
        raise ValueError(f"{where} must be a dotted path such as package.module.Name, got {path!r}")
    try:
        found = importlib.import_module(module)
    except (ImportError, SyntaxError) as error:
        hint = " (install its package, or put its folder on PYTHONPATH)" if _absent(error, module) else ""
        raise ValueError(f"{where}: cannot import {module!r}: {error}{hint}") from error
    if not hasattr(found, name):
        raise ValueError(f"{where}: {module} has no {name!r}{nearest(name, vars(found))}")
    return getattr(found, name)


def _absent(error: Exception, module: str) -> bool:
    """Whether the module itself, or a package that it is in, is what was not found."""
    return isinstance(error, ModuleNotFoundError) and f"{module}.".startswith(f"{error.name}.")


def nearest(word: str, known: Iterable[str]) -> str:
    """`"; did you mean 'x'?"` for the nearest known word, and the list of all while it is short."""
    words = [str(other) for other in known if not str(other).startswith("_")]
    close = difflib.get_close_matches(word, words, n=1, cutoff=0.5)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    return hint + (f"{'' if hint else '.'} Known: {', '.join(sorted(words))}" if 0 < len(words) <= 40 else "")


def fits(value: Any, hint: Any) -> bool:
    """Whether a YAML value may stand for an annotation; annotations that YAML cannot express are accepted."""
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        return any(fits(value, choice) for choice in typing.get_args(hint))
    if hint is type(None):
        return value is None
    if hint is bool:
        return isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint is str:
        return isinstance(value, str)
    if origin is typing.Literal:
        return value in typing.get_args(hint)
    if origin is tuple:
        inner = typing.get_args(hint)
        if not isinstance(value, tuple):
            return False
        if len(inner) == 2 and inner[1] is Ellipsis:
            return all(fits(child, inner[0]) for child in value)
        return len(inner) == len(value) and all(map(fits, value, inner))
    if origin in (dict, Mapping):
        return isinstance(value, dict)
    return True


def _value(value: Any, where: str) -> Any:
    if isinstance(value, Mapping):
        if "_target_" in value:
            return build(value, where)
        return {key: _value(child, f"{where}.{key}") for key, child in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return tuple(_value(child, f"{where}[{place}]") for place, child in enumerate(value))
    return value


def _readable(hint: Any) -> str:
    if hint is float:
        return "a number"
    if hint is int:
        return "a whole number"
    names = {str: "text", bool: "true or false"}
    return names.get(hint) or str(hint).replace("typing.", "")
