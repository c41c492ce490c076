"""What a model card says of a variant: the values that `card.md.j2` puts into sentences and tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.files import read_json
from eval.cells import UNCHANGED
from eval.curve_families import OVER
from eval.inference import Hypothesis
from eval.report import wording
from eval.response_curves import MEASURES
from launch.asked import trains
from launch.build import build_as
from launch.cells import Cell, read_experiment
from launch.chains import PARENT, REWARD_MODEL, cells_built_on

REFERENCES = (("uniform", "random"), ("other_countries_mean",), ("people_again",))
"""The reference rows that stand beside an estimate, the first of each that there is."""
SPENT = ("examples", "steps", "batch_size", "tokens", "learning_rate", "trained_parameters", "flops", "seconds")
ON = {"all": "new questions, new countries", "seen items": "trained questions, new countries"}
OF_ITS_OWN = {"edc": "dilemmas", "mark": "respondents"}
HASHED = {"base": "what training started from", "model": "the trained weights", "adapter": "the trained weights"}
"""What the hashes of a manifest are of."""
Key = tuple[str, ...]
Found = Mapping[Key, Mapping[str, Any]]
"""Estimates or comparisons by (audit, name, condition, group)."""


@dataclass(frozen=True)
class Told:
    """What the cards of a run are made from: its name, its cells, its summary ({} where nothing was compared), and the
    arms that each hypothesis names.
    """

    run: str
    cells: Sequence[Cell]
    summary: Mapping[str, Any]
    named: Mapping[str, Mapping[str, float]]

    @classmethod
    def of(cls, run: Path) -> Told:
        (experiment, cells), path = read_experiment(run), run / "comparison" / "summary.json"
        asked = [
            build_as(Hypothesis, one, f"hypotheses[{place}]") for place, one in enumerate(experiment["hypotheses"])
        ]
        named = {one.name: one.weights for one in asked}
        return cls(run.name, cells, read_json(path) if path.exists() else {}, named)

    def arm(self, name: str) -> Mapping[str, Any]:
        """The arm's row in the summary; {} where it is not in it (a reward model, or nothing was compared)."""
        found: Mapping[str, Any] = next((one for one in self.summary.get("arms", []) if one["name"] == name), {})
        return found

    def base_of(self, cell: Cell) -> Cell | None:
        """The cell of the run that asked the base model of this one as it is."""
        weights = (cell.manifest.get("parent") or {}).get("weights")
        for one in self.cells:
            asked_as_it_is = not trains(one.config) and one.config["chosen"].get("inference", UNCHANGED) == UNCHANGED
            if asked_as_it_is and not cells_built_on(one) and one.config["parent"].get("weights") == weights:
                return one
        return None

    def collapse(self, cell: Cell) -> str:
        """Why a variant counts as collapsed: its training was stopped, or its arm fails the gate; "" where neither."""
        if stopped := cell.manifest.get("collapsed"):
            return f"training was stopped at step {stopped['step']}: {stopped['reason']}"
        validity = self.arm(cell.arm).get("validity") or {}
        return "; ".join(validity["reasons"]) if validity.get("status") == "collapsed" else ""


def shown(cell: Cell, told: Told) -> dict[str, Any]:
    """All that the template shows but how to load the variant."""
    own, base, against = estimates(cell), told.base_of(cell), str(told.summary.get("base") or "")
    before = estimates(base) if base else {}
    paired: Found = {
        key_of(one): one
        for one in told.summary.get("comparisons", [])
        if base and base.arm == against and (one["arm"], one["against"]) == (cell.arm, against)
    }
    keys = [key for key in MEASURES if key in own]
    references = any(_reference(own, key, name) for key in keys for name in REFERENCES)
    words = {key: wording.measure(key[1], key[0]) for key in keys}
    methods: dict[str, list[str]] = {}
    for key in keys:
        named = f"{key[0]} {words[key].title} ({asked_on(key)})"
        methods.setdefault(own[key]["method"], []).append(named)
        if key in paired:
            methods.setdefault(paired[key]["method"], []).append(f"{named}, arm − base")
    return {
        "title": f"{cell.config['model']['name']}, {trained_as(cell)}",
        "run": told.run,
        "collapsed": told.collapse(cell),
        "not_a_result": told.summary.get("not_a_result", []),
        "trained": list(_trained(cell, told.summary)),
        "rows": [list(_row(key, own, before, paired, references)) for key in keys],
        "references": references,
        "differs": bool(paired),
        "measures": list(dict.fromkeys((one.title, one.plain) for one in words.values())),
        "methods": [(method, wording.listing(dict.fromkeys(names))) for method, names in methods.items()],
        "verdicts": [
            one for one in told.summary.get("verdicts", []) if cell.arm in told.named.get(one["hypothesis"], {})
        ],
        "validity": _validity(told.arm(cell.arm)),
        "surveys": told.summary.get("surveys", []),
        "made_by": list(_made_by(cell, told.summary)),
    }


def trained_as(cell: Cell) -> str:
    """`"sft → dpo lora on diverse (seed 0, draw 1)"`."""
    chosen = cell.config["chosen"]
    seeds = f"seed {cell.config['seed']}, draw {cell.config['draw']}"
    return f"{cell.config.get('lineage', chosen['recipe'])} {chosen['adapter']} on {chosen['mixture']} ({seeds})"


def estimates(cell: Cell) -> Found:
    """The defined estimates of a cell's audits."""
    return {
        (path.parent.name, *key_of({"audit": "", **one})[1:]): one
        for path in sorted((cell.folder / "audits").glob("*/estimates.json"))
        for one in read_json(path)["estimates"]
        if one["value"] is not None
    }


def key_of(one: Mapping[str, Any]) -> Key:
    return tuple(one[name] for name in ("audit", "name", "condition", "group"))


def asked_on(key: Key) -> str:
    """Of which questions and countries, dilemmas or persons an estimate is."""
    return OF_ITS_OWN.get(key[0]) or ON.get(key[3], key[3])


def _row(key: Key, own: Found, before: Found, paired: Found, references: bool) -> Iterator[str]:
    audit, name, condition, _ = key
    words = wording.measure(name, audit)

    def told(one: Mapping[str, Any] | None) -> str:
        if one is None:
            return wording.DASH
        spread = wording.interval(one["low"], one["high"], words.share)
        return f"{wording.number(one['value'], words.share)} {spread or '(no interval)'}"

    aimed = f" (people: {words.target:g})" if words.target is not None else ""
    yield from (audit, f"{words.title}{aimed}", wording.condition(condition), asked_on(key))
    yield from (told(own[key]), told(before.get(key)), wording.count(own[key]["n"]))
    if references:
        for reference in REFERENCES:
            found = _reference(own, key, reference)
            yield wording.number(found["value"], words.share) if found else wording.DASH
    if paired:
        yield told(paired.get(key))


def _reference(own: Found, key: Key, references: Sequence[str]) -> Mapping[str, Any] | None:
    """The reference row of an estimate: that of its condition, or the audit's for its main condition."""
    audit, name, condition, group = key
    rows = [f"reference:{one}{of}" for one in references for of in (f" ({condition})", "")]
    return next((own[found] for row in rows if (found := (audit, name, row, group)) in own), None)


def _trained(cell: Cell, summary: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    config, manifest, chosen = cell.config, cell.manifest, cell.config["chosen"]
    parent, members, others = manifest.get("parent") or {}, summary.get("members", {}), cells_built_on(cell)
    source = parent.get("source", "")
    known = hub_id(source) or (source if source.startswith("pypi:") else "a folder of whoever trained it")
    revision = f", revision {config['model']['revision']}" if config["model"].get("revision") else ""
    yield "Base model", f"{parent.get('name')} from {known}{revision}; SHA-256 {parent.get('weights')}"
    if PARENT in others:
        yield "Started from", f"{others[PARENT].name}: {trained_as(others[PARENT])}"
    if REWARD_MODEL in others:
        yield "Rewarded by", others[REWARD_MODEL].name
    for part in ("recipe", "adapter", "mixture"):
        said = members.get(part, {}).get(chosen[part], "")
        set_to = {name: value for name, value in config[part].items() if name not in ("_target_", "name")}
        knobs = ", ".join(f"{name}={_public(value)}" for name, value in set_to.items() if value not in (None, [], {}))
        yield part.capitalize(), f"{chosen[part]}. {said}{' ' if said else ''}Knobs: {knobs or 'none'}"
    spent = {**(manifest.get("budget") or {}), **(manifest.get("training") or {})}
    told = {name.replace("_", " "): spent[name] for name in SPENT if spent.get(name)}
    yield "Budget", ", ".join(f"{name} {value:,g}" for name, value in told.items())
    for key, (what, _) in OVER.items():
        if key.endswith("hill_1") and (value := (manifest.get("mixture") or {}).get(key)):
            yield what.capitalize(), f"{value:.3g} in the training data (Hill number of order 1)"
    for name, value in (manifest.get("hashes") or {}).items():
        yield f"SHA-256 of {HASHED.get(name, name)}", value


def hub_id(source: str) -> str:
    """The Hub repository that a model's source names; "" of a folder, a package or a served model."""
    named = source.count("/") == 1 and ":" not in source and not source.startswith((".", "/", "~"))
    return source if named and not Path(source).exists() else ""


def _public(value: Any) -> str:
    """A knob's value, but of a path on the machine that trained it the last part alone."""
    text = str(value)
    return Path(text).name if text.startswith(("/", "~", "file:")) else text


def _validity(arm: Mapping[str, Any]) -> str:
    if not arm:
        return "Not examined: the run has no comparison of it."
    status, reasons = arm["validity"]["status"], arm["validity"]["reasons"]
    cells = ", all cells of the arm taken together" if len(arm["cells"]) > 1 else ""
    said = reasons if status == "valid" and reasons else [f"{wording.STATUS[status]}{cells}", *reasons]
    return ". ".join(one[:1].upper() + one[1:] for one in said) + "."


def _made_by(cell: Cell, summary: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    provenance, survey = summary.get("provenance", {}), cell.config["chosen"]["survey"]
    versions = {**provenance.get("versions", {}), **cell.manifest.get("versions", {})}
    yield "experiment", f"{cell.config['experiment']}, arm {cell.arm}, cell {cell.name}, survey {survey}"
    yield "versions", ", ".join(f"{name} {version}" for name, version in versions.items())
    if commit := provenance.get("git"):
        yield "code of the comparison", commit
