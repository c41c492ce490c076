"""From a command line to cells: sweeps multiplied out, an experiment's arms, seeds and draws, and the untrained base.

An arm is an intervention; a cell is one arm × one seed × one draw. All cells are composed before the first one starts.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.types import Override

from data.files import digest
from launch import more_arms
from launch.asked import Asked, of_the_base, trains, untouched
from launch.chains import PARENT, REWARD_MODEL, check_words, parents_first, words
from launch.compose import Composer, dotted
from launch.heads import REWARD, head_of
from launch.kinds import EACH_SEEDS, check_kinds, check_snapshots
from launch.model_list import model_arms

CELL_KEYS = (
    "model",
    "recipe",
    "adapter",
    "mixture",
    "survey",
    "audit",
    "prompt",
    "backend",
    "engine",
    "tracker",
    "budget",
    "judge",
    "inference",
    "gate",
)
SNAPSHOT_KEYS = ("audit_every", "snapshot_audits", "keep_snapshots")
PARTS = ("recipe", "adapter", "mixture")
NOT_IN_NAME = (
    "runs",
    "name",
    "tracker",
    "engine",
    "backend",
    "keep_models",
    "keep_snapshots",
    "hydra",
    "response_curves",
    more_arms.GROUP,
)
FOLDER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")


def ask(composer: Composer, overrides: Sequence[str], multirun: bool) -> Asked:
    """All cells that the overrides ask for. Raises ValueError with one sentence for whatever is wrong with them."""
    parsed = composer.parse(overrides)
    dispatch = [one.input_line or "" for one in parsed if _key(one).startswith(("hydra/launcher", "hydra.launcher"))]
    parsed = [one for one in parsed if not _key(one).startswith(("hydra/launcher", "hydra.launcher"))]
    sweeps = [one for one in parsed if one.is_sweep_override()]
    if sweeps and not multirun:
        raise ValueError(f"{sweeps[0].input_line!r} names several values: add -m to run them all (polyphony run -m …)")
    cells: list[dict[str, Any]] = []
    heads: list[dict[str, Any]] = []
    for combination in itertools.product(*(_choices(one) for one in parsed)):
        swept = {_key(one): text for one, (text, is_sweep) in zip(parsed, combination, strict=True) if is_sweep}
        texts = [text for text, _ in combination]
        head, made = _expand(composer, texts, {key: text.partition("=")[2] for key, text in swept.items()})
        heads.append(head)
        cells += made
    name = heads[0]["name"] or _derived_name(parsed)
    if not FOLDER_NAME.fullmatch(str(name)):
        raise ValueError(f"name must be a folder name of letters, digits and . _ + -, got {name!r}")
    asked = Asked(
        name=str(name),
        runs=Path(heads[0]["runs"]).expanduser().absolute(),
        overrides=tuple(overrides),
        dispatch=tuple(dispatch),
        hypotheses=tuple(heads[0]["hypotheses"] or ()),
        cells=tuple(_distinct(cells)),
        questions=tuple(heads[0]["questions"] or ()),
        response_curves=heads[0]["response_curves"],
        keeps_rows=heads[0]["missing_models"] == "row",
    )
    parents_first(asked.cells)  # refuses what cannot be built on, before anything is loaded
    return asked


def _expand(
    composer: Composer, texts: Sequence[str], swept: Mapping[str, str]
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The cells of one combination of swept values: arms × seeds × draws, and the base of what is trained."""
    parsed = composer.parse(texts)
    knobs = [one.input_line or "" for one in parsed if _key(one).split(".")[0] in PARTS and "." in _key(one)]
    others = [text for text in texts if text not in knobs]
    head = composer(others)
    check_kinds(head)
    more_arms.check_more(composer, others, head)
    given = {_key(one) for one in parsed}
    arms: dict[str, list[str]] = {**model_arms(composer, head["models"] or ()), **(head["arms"] or {})}
    if arms:
        _refuse_conflicts(composer, arms, given)
    seeds = [head["seed"]] if "seed" in given or head["seeds"] is None else head["seeds"]
    draws = [head["draw"]] if "draw" in given or head["draws"] is None else head["draws"]
    levels = [(seed, seed) for seed in seeds] if draws == EACH_SEEDS else list(itertools.product(seeds, draws))
    unused = set(knobs)
    suffix = "".join(f"-{_slug(key)}-{_slug(value)}" for key, value in swept.items() if _names_data(key))
    made = []
    for arm, changes in (arms or {"": []}).items():
        mine = _replace(composer, others, changes)
        plain = composer(mine)
        keys = set(dotted(plain))
        fitting = [text for text in knobs if _key(composer.parse([text])[0]) in keys or text.startswith("+")]
        unused -= set(fitting)
        composed = composer([*mine, *fitting]) if fitting else plain
        changed = {_key(one) for one in composer.parse(changes)}
        if not trains(composed) and arms and PARENT not in changed:  # an experiment's base stays the base
            composed["parent"] = None
        name = arm or _arm_name(composed, head, swept)
        composed = _renamed(composed, {other: other + suffix for other in arms})
        made += [_cell(composed, name + (suffix if arm else ""), seed, draw) for seed, draw in levels]
    if unused:
        composer([*others, *sorted(unused)])
        raise ValueError(f"{sorted(unused)[0]!r} fits none of the arms {', '.join(arms) or '(one)'}")
    if head["base_arm"] and not any(map(untouched, made)):
        own = ("recipe", "adapter", "inference", PARENT)
        bare = [text for text in others if _key(composer.parse([text])[0]).partition(".")[0] not in own]
        bare += ["recipe=none", "adapter=full", "inference=none"]
        made.insert(0, _cell(composer(bare), "base" + suffix, 0, 0))
    return head, made


def _cell(composed: Mapping[str, Any], arm: str, seed: Any, draw: Any) -> dict[str, Any]:
    for key, value in (("seed", seed), ("draw", draw)):
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise ValueError(f"{key} must be a whole number of at least 0, got {value!r}")
    limit = composed["limit"]
    if limit is not None and (not isinstance(limit, int) or isinstance(limit, bool) or limit < 1):
        raise ValueError(f"limit must be null or a whole number of at least 1, got {composed['limit']!r}")
    parts = {key: composed[key] for key in CELL_KEYS}
    parts["model"] = {**parts["model"], "source": _absolute(parts["model"]["source"])}
    blocks = [_absolute(name) for name in parts["survey"]["blocks"]]
    parts["survey"] = {**parts["survey"], "blocks": blocks}
    for part in PARTS:
        parts[part] = {key: _file_absolute(value) for key, value in parts[part].items()}
    if parts["recipe"].get("pairs"):
        parts["recipe"]["pairs"] = _absolute(parts["recipe"]["pairs"])
    parts["audit"] = {
        name: {key: _file_absolute(value) for key, value in node.items()} for name, node in parts["audit"].items()
    }
    asked = {key: composed[key] for key in ("audit_seed", "limit", "controls", "keep_models", *SNAPSHOT_KEYS)}
    check_snapshots(asked, parts["audit"])
    cell = {"arm": arm, "seed": seed, "draw": draw, **asked}
    head = head_of(parts["recipe"])
    if head == REWARD:  # it answers nothing that an audit could ask
        parts["audit"] = {}
    if not trains(parts) or head == REWARD:
        cell |= dict.fromkeys(SNAPSHOT_KEYS)
    cell |= {"head": head, "parent": composed["parent"]}
    if of_the_base(cell | parts):
        cell |= {"seed": 0, "draw": 0}
    check_words(cell | parts)
    return (
        cell
        | {"chosen": {part: composed["chosen"].get(part) for part in CELL_KEYS if part not in ("budget", "gate")}}
        | parts
    )


def _renamed(composed: dict[str, Any], arms: Mapping[str, str]) -> dict[str, Any]:
    """The configuration with the arms that it is built on under the names that they have in this run."""
    named = {knob: arms.get(word, word) if isinstance(word, str) else word for knob, word in words(composed).items()}
    recipe = composed["recipe"]
    if REWARD_MODEL in named:
        recipe = {**recipe, "reward_model": named[REWARD_MODEL]}
    return {**composed, "recipe": recipe, "parent": named.get(PARENT)}


def _absolute(source: str) -> str:
    """A path that does not depend on where the command was typed; names of blocks, packages and Hub ids stay."""
    prefix = "file:" if source.startswith("file:") else ""
    path = Path(source.removeprefix("file:")).expanduser()
    return f"{prefix}{path.absolute()}" if prefix or path.is_dir() else source


def _file_absolute(value: Any) -> Any:
    """A knob that names an existing file (training pairs, say) as an absolute path; everything else as it is."""
    return str(Path(value).absolute()) if isinstance(value, str) and Path(value).is_file() else value


def _arm_name(composed: Mapping[str, Any], head: Mapping[str, Any], swept: Mapping[str, str]) -> str:
    chosen = {part: composed["chosen"][part] for part in ("recipe", "adapter")}
    names = [chosen["recipe"], chosen["adapter"]] if trains(composed) else []
    named = ["recipe", "adapter", "inference", "seed", "draw"]
    if not trains(composed) and composed["parent"]:
        names, named = [_slug(Path(str(composed["parent"])).name)], [*named, PARENT]
    names += [] if composed["chosen"]["inference"] == "none" else [composed["chosen"]["inference"]]
    name = "-".join(names) or "base"
    more = {key: value for key, value in swept.items() if key not in named}
    more |= {key: Path(value).name for key, value in more.items() if key == PARENT}
    return name + "".join(f"-{_slug(key)}-{_slug(value)}" for key, value in more.items())


def _names_data(key: str) -> bool:
    """Whether a swept key makes other base models or other questions, so that even the base needs an arm for each."""
    others = (*PARTS, *SNAPSHOT_KEYS, PARENT, more_arms.GROUP, "inference", "seed", "draw", "budget")
    return key.split(".")[0] not in others


def _refuse_conflicts(composer: Composer, arms: Mapping[str, list[str]], given: set[str]) -> None:
    for arm, changes in arms.items():
        if not FOLDER_NAME.fullmatch(arm) or "--" in arm:
            raise ValueError(f"arms: {arm!r} must be letters, digits and . _ + - (without --): it names folders")
        if not isinstance(changes, list) or not all(isinstance(change, str) for change in changes):
            raise ValueError(
                f"arms.{arm} must be a list of overrides such as [recipe=match, adapter=lora], got {changes!r}"
            )
    sets = [{_key(one) for one in composer.parse(changes)} for changes in arms.values()]
    if both := sorted(set.intersection(*sets) & given):
        raise ValueError(
            f"{both[0]} is set by every arm of the experiment ({', '.join(arms)}): "
            "leave it out here, or run without experiment="
        )


def _replace(composer: Composer, overrides: Sequence[str], changes: Sequence[str]) -> list[str]:
    keys = {_key(one) for one in composer.parse(changes)}
    return [text for text in overrides if _key(composer.parse([text])[0]) not in keys] + list(changes)


def _choices(override: Override) -> list[tuple[str, bool]]:
    if not override.is_sweep_override():
        return [(override.input_line or "", False)]
    if not override.is_discrete_sweep():
        raise ValueError(f"{override.input_line!r} has no finite list of values")
    return [(f"{override.get_key_element()}={value}", True) for value in override.sweep_string_iterator()]


def _key(override: Override) -> str:
    return str(override.key_or_group)


def _distinct(cells: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each cell once (a base is the same for all seeds). Raises ValueError where two different cells share a name."""
    seen: dict[tuple[Any, ...], dict[str, Any]] = {}
    for cell in cells:
        key = (cell["arm"], cell["seed"], cell["draw"])
        if key in seen and not untouched(cell) and seen[key] != cell:
            raise ValueError(f"two different cells are called {key}: give the arms names of their own")
        seen.setdefault(key, cell)
    return list(seen.values())


def _derived_name(parsed: Sequence[Override]) -> str:
    """`quickstart`, `quickstart-limit-4`, `recipe-match-dpo`: what was asked, except what changes no result."""
    parts = []
    for one in parsed:
        key, text = _key(one), (one.input_line or "").lstrip("+~")
        if key.split(".")[0].split("/")[0] in NOT_IN_NAME:
            continue
        parts.append(_slug(text.partition("=")[2] if key == "experiment" else text))
    name = "-".join(part for part in parts if part) or "default"
    return name if len(name) <= 80 else f"{name[:70].rstrip('-')}-{digest(name)[:8]}"


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9.]+", "-", text).strip("-.")
