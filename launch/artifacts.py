"""Base models, variants, audits and comparisons as Weights & Biases artifacts, and what was made from what.

Weights and evidence are references to files, never copied; estimates, summary and report are small and are sent. The
same cell makes the same artifact (name and digest) in every run, so that a child's run uses the very one that its
parent's logged, and the comparison the very ones that it compares:

    base ─► variant ─► (variant of a child) ─► audit ─► comparison
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from data.files import digest
from data.snapshots import weights_of
from launch.asked import trains
from launch.cells import Cell
from launch.chains import cells_built_on, variant_cell

LONGEST = 128
"""Characters that W&B allows in an artifact's name."""
COMPARED = ("summary.json", "report.html", "comparison.parquet")


def variant_artifact(cell: Cell, manifest: Mapping[str, Any]) -> Any:
    """What a cell trained, but for its card, which says what became of it later; its metadata says from what. Without
    files where the weights were removed.
    """
    made = {"parent": manifest.get("parent") or {}, "hashes": manifest.get("hashes"), "cell": cell.name}
    artifact = _artifact(cell, "", "model", made | {"collapsed": manifest.get("collapsed")})
    if (folder := weights_of(cell.folder)) is not None:
        for path in sorted(folder.resolve().iterdir()):
            if path.suffix != ".md":
                artifact.add_reference(path.as_uri(), checksum=False)
    return artifact


def made_from(cell: Cell, manifest: Mapping[str, Any]) -> list[Any]:
    """What a cell was trained from: its base or the variant of its parent, and the reward model where there is one."""
    parent = manifest.get("parent") or {}
    found = [variant_artifact(other, other.manifest) for other in cells_built_on(cell).values()]
    return [*([base_artifact(parent)] if parent and "cell" not in parent else []), *found]


def asked_of(cell: Cell) -> Any:
    """The model that a cell's audits asked: its own variant, that of the cell it asks again, or the base."""
    made = variant_cell(cell)
    if trains(made.config):
        return variant_artifact(made, made.manifest)
    return base_artifact(cell.manifest.get("parent") or cell.config["parent"])


def base_artifact(parent: Mapping[str, Any]) -> Any:
    """A base model, by what a manifest says of it: name, source and hash of its weights. It holds no files."""
    import wandb

    known = f"-{parent['weights'][:8]}" if parent.get("weights") else ""
    return wandb.Artifact(_name(f"base-{parent['name']}{known}"), "model", metadata=dict(parent))


def audit_artifact(cell: Cell) -> Any | None:
    """What the audits found in a cell: each one's estimates, and its evidence by reference; None before the first."""
    paths = sorted((cell.folder / "audits").glob("*/estimates.json"))
    if not paths:
        return None
    asked = asked_of(cell)
    known = {"cell": cell.name, "arm": cell.arm, "seed": cell.config["seed"], "draw": cell.config["draw"]}
    known |= {"audits": [path.parent.name for path in paths], "asked": asked.name, "asked_digest": asked.digest}
    artifact = _artifact(cell, "-audit", "audit", known)
    for path in paths:
        artifact.add_file(str(path), name=f"{path.parent.name}/estimates.json")
        if (items := path.with_name("items.parquet")).exists():
            artifact.add_reference(items.resolve().as_uri(), name=f"{path.parent.name}/items.parquet")
    return artifact


def comparison_artifact(run: Path, experiment: str) -> Any:
    """summary.json, report.html and comparison.parquet, those that are there."""
    import wandb

    artifact = wandb.Artifact(_name(f"{experiment}-{run.name}-comparison"), "comparison")
    for name in COMPARED:
        if (path := run / "comparison" / name).exists():
            artifact.add_file(str(path), name=name)
    return artifact


def use(run: Any, artifact: Any) -> None:
    """Say that a W&B run used an artifact, online and offline alike.

    `Run.use_artifact` refuses offline runs, though the record that it makes of an artifact that is not sent yet needs
    no server: the same is written here, and `wandb sync` makes the link of it.
    """
    if run.offline:
        run._log_artifact(artifact, is_user_created=True, use_after_commit=True)
    else:
        run.use_artifact(artifact)


def _artifact(cell: Cell, ending: str, kind: str, metadata: Mapping[str, Any]) -> Any:
    import wandb

    return wandb.Artifact(_name(f"{cell.config['experiment']}-{cell.name}{ending}"), kind, metadata=dict(metadata))


def _name(text: str) -> str:
    """A name that W&B takes; a long one ends in its hash."""
    name = "".join(char if char.isalnum() or char in "._-" else "-" for char in text)
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 9]}-{digest(name)[:8]}"
