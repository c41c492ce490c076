"""What W&B is given: offline runs read back by W&B's own reader, and the tables and charts of a comparison by hand."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from data.files import read_json
from data.manifest import update_manifest
from launch.artifacts import LONGEST, _name
from launch.cells import read_cell
from launch.cli import main
from launch.tracked_tables import Chart, charts, tables
from launch.tracking import WandbCell, table

ARMS = """arms:
  base: [recipe=none]
  taught: [recipe=match]
  told: [recipe=none, parent=taught, inference=permutations]
"""
AUDIT = ("audit=[first_token]", "audit.first_token.draws=100", "audit.first_token.conditions=[country]")
SECRET = "hf_planted_and_never_to_be_seen"


@pytest.fixture(scope="module")
def toys(toys_of_module: Any) -> Any:
    toys = toys_of_module
    assert toys.run(toys.experiment("tracked", ARMS), *AUDIT) == 0
    return toys


@pytest.fixture(scope="module")
def published(toys: Any) -> dict[str, list[dict[str, Any]]]:
    """The records of each W&B run by its name, after `polyphony publish` with secrets in the environment."""
    with pytest.MonkeyPatch.context() as patched:
        for name in ("OPENAI_API_KEY", "HF_TOKEN", "WANDB_API_KEY"):
            patched.setenv(name, SECRET)
        patched.setenv("WANDB_MODE", "offline")
        assert main(["publish", str(toys.folder / "toy")]) == 0
    return {named(records): records for records in map(read, (toys.folder / "toy" / "wandb").glob("offline-*/*.wandb"))}


def read(path: Path) -> list[dict[str, Any]]:
    """The records of an offline run, by the reader that W&B documents."""
    assert SECRET.encode() not in path.read_bytes()
    command = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(path)]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return [json.loads(line) for line in shown.splitlines()]


def of(records: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [one[kind] for one in records if one["type"] == kind]


def named(records: list[dict[str, Any]]) -> str:
    return str(of(records, "run")[0]["display_name"]).partition("--")[0]


def artifacts(records: list[dict[str, Any]], used: bool) -> dict[str, dict[str, Any]]:
    """What a run used or logged of its own accord, by the artifact's type and name."""
    found = [one for one in of(records, "artifact") if one["type"] != "run_table"]
    return {f"{one['type']} {one['name']}": one for one in found if bool(one.get("use_after_commit")) == used}


def test_cells_are_grouped_and_tagged(published: Any, toys: Any) -> None:
    assert set(published) == {"base", "taught", "told", "comparison"}
    run = of(published["taught"], "run")[0]
    assert (run["run_group"], run["job_type"]) == ("toy", "cell")
    tags = {"arm:taught", "recipe:match", "adapter:full", "mixture:diverse", "seed:0", "draw:0", "model:local"}
    assert tags | {"experiment:toy"} <= set(run["tags"])
    assert run["config"]["update"]["recipe"]["learning_rate"] == 1e-3, "W&B groups by the key recipe.learning_rate"
    run = of(published["comparison"], "run")[0]
    assert (run["run_group"], run["job_type"]) == ("toy", "comparison")
    assert {"experiment:toy", "NOT A RESULT"} <= set(run["tags"])


def test_lineage_leads_from_the_base_to_the_comparison(published: Any, toys: Any) -> None:
    used = {name: artifacts(records, used=True) for name, records in published.items()}
    made = {name: artifacts(records, used=False) for name, records in published.items()}
    (base,) = used["base"]
    assert base.startswith("model base-local-")
    assert used["taught"].keys() == {base}
    variant = next(name for name in made["taught"] if name.startswith("model "))
    assert used["told"].keys() == {variant}
    assert used["told"][variant]["digest"] == made["taught"][variant]["digest"], "the very artifact that was made"
    audits = {name: one for cell in ("base", "taught", "told") for name, one in made[cell].items() if "audit " in name}
    assert len(audits) == 3
    assert {name: one["digest"] for name, one in used["comparison"].items()} == {
        name: one["digest"] for name, one in audits.items()
    }
    known = json.loads(made["taught"]["audit toy-" + toys.cells()["taught"].name + "-audit"]["metadata"])
    assert known["asked_digest"] == made["taught"][variant]["digest"]
    (compared,) = made["comparison"].values()
    assert {one["path"] for one in compared["manifest"]["contents"]} == {
        "summary.json", "report.html", "comparison.parquet",
    }  # fmt: skip


def test_syncing_offline_runs_makes_the_links(
    published: Any, toys: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """W&B's own `wandb sync` against a server that keeps who made an artifact and who used it."""
    monkeypatch.syspath_prepend(Path(__file__).parent)
    from wandb_server import serving

    ids = {name: of(records, "run")[0]["run_id"] for name, records in published.items()}
    folders = sorted((toys.folder / "toy" / "wandb").glob("offline-*"))
    with serving() as kept:
        away = {"WANDB_MODE": "online", "WANDB_BASE_URL": kept.url, "WANDB_API_KEY": "a" * 40, "HOME": str(tmp_path)}
        command = [sys.executable, "-m", "wandb", "sync", *map(str, folders)]
        subprocess.run(command, env={**os.environ, **away}, cwd=tmp_path, check=True, capture_output=True, timeout=120)
    made = {name: run for name, run in kept.made.items() if not name.startswith("run_table")}
    logged = {(kind, ids[cell]) for cell in ids for kind in artifacts(published[cell], used=False)}
    assert {(name, run) for name, run in made.items()} == logged
    assert kept.used == {(ids[cell], name) for cell in ids for name in artifacts(published[cell], used=True)}
    assert len(kept.used) == 3 + 3, "two of the base, one of the variant, three of the audits"


def test_weights_and_evidence_are_references_and_estimates_are_files(published: Any, toys: Any) -> None:
    cell = toys.cells()["taught"]
    made = artifacts(published["taught"], used=False)
    model = next(one for one in made.values() if one["type"] == "model")["manifest"]["contents"]
    weights = cell.folder.resolve() / "model"
    assert (weights / "README.md").exists()
    assert {one["ref"] for one in model} == {one.as_uri() for one in weights.iterdir() if one.name != "README.md"}
    assert not any(one.get("local_path") for one in model)
    audit = next(one for one in made.values() if one["type"] == "audit")["manifest"]["contents"]
    by_path = {one["path"]: one for one in audit}
    assert by_path["first_token/items.parquet"]["ref"].startswith("file://")
    copied = Path(by_path["first_token/estimates.json"]["local_path"])
    assert copied.read_bytes() == (cell.folder / "audits" / "first_token" / "estimates.json").read_bytes()


def test_the_comparison_has_tables_and_native_charts_with_intervals(published: Any, toys: Any) -> None:
    run = toys.folder / "toy"
    summary = read_json(run / "comparison" / "summary.json")
    shown = of(published["comparison"], "history")[-1]["item"]
    assert shown["estimates.nrows"] == len(summary["estimates"])
    assert shown["comparisons.nrows"] == len(summary["comparisons"])
    assert {"main.nrows", "arms.nrows", "training.nrows", "report._type"} <= set(shown)
    config = {key: one for update in of(published["comparison"], "config") for key, one in update["update"].items()}
    key = "charts/main/first_token/js_distance/country/all"
    panel = config[f"_wandb.visualize.{key}"]["panel_config"]
    assert panel["panelDefId"] == "wandb/bar/v0"
    assert panel["fieldSettings"] == {"label": "label", "value": "value"}
    behind = f"Custom Chart Tables/{key}_table"
    assert panel["userQuery"]["queryFields"][0]["fields"][3]["args"][0]["value"] == behind
    (file,) = run.glob(f"wandb/offline-*/files/{shown[f'{behind}.path']}")
    rows = pd.DataFrame(**{name: value for name, value in read_json(file).items() if name in ("columns", "data")})
    asked = {"name": "js_distance", "condition": "country", "group": "all", "audit": "first_token"}
    expected = {
        one["arm"]: (one["value"], one["low"])
        for one in summary["estimates"]
        if asked == {name: one[name] for name in asked}
    }
    found = {row.arm: (row.value, None if pd.isna(row.low) else row.low) for row in rows.itertuples()}
    assert found == expected
    assert set(found) == {"base", "taught", "told"}
    assert "_wandb.visualize.charts/loss/match" in config


def test_a_collapsed_cell_is_tagged(toys: Any, tmp_path: Path) -> None:
    folder = tmp_path / "run" / "cells" / toys.cells()["taught"].name
    shutil.copytree(toys.cells()["taught"].folder, folder)
    update_manifest(folder, collapsed={"reason": "entropy is gone", "step": 2})
    WandbCell(read_cell(folder), "offline").send()
    (path,) = (tmp_path / "run" / "wandb").glob("offline-*/*.wandb")
    assert "COLLAPSED" in of(read(path), "run")[-1]["tags"]
    entries = [one for each in of(read(path), "artifact") for one in each["manifest"].get("contents", [])]
    waiting = [one["local_path"] for one in entries if "local_path" in one]
    assert waiting
    assert all(one.startswith(str(tmp_path / "run" / "wandb")) for one in waiting), "each run keeps its own files"


def test_long_names_stay_apart() -> None:
    one, other = (_name(f"{'x' * 200}{end}") for end in "ab")
    assert len(one) == len(other) == LONGEST
    assert one != other
    assert _name("a/b:c é") == "a-b-c-é"


def test_numbers_that_are_not_there_stay_numbers() -> None:
    made = table(pd.DataFrame({"value": [None, None], "low": [0.5, None], "told": [["a"], None]}))
    assert pd.isna(made.get_column("value")).all()
    assert made.get_column("low")[0] == 0.5
    assert made.get_column("told") == ['["a"]', "null"]


def estimate(arm: str, value: float | None, **other: Any) -> dict[str, Any]:
    named = {"arm": arm, "audit": "first_token", "name": "js_distance", "condition": "country", "group": "all"}
    spread = {"low": None if value is None else value - 0.1, "high": None if value is None else value + 0.1}
    return named | {"value": value, **spread, "n": 9, "method": "by hand"} | other


def arm(name: str, status: str = "valid") -> dict[str, Any]:
    made = {"name": name, "recipe": "match", "validity": {"status": status, "reasons": []}}
    return made | {"cells": [{"folder": f"{name}--s0--d0--12345678"}]}


SUMMARY: dict[str, Any] = {
    "arms": [arm("few"), arm("many"), arm("wild", "collapsed")],
    "estimates": [
        *(estimate(name, value) for name, value in (("few", 0.3), ("many", 0.2), ("wild", 0.9))),
        *(estimate(name, value, name="within_ratio") for name, value in (("few", 0.5), ("many", 1.1), ("wild", 0.1))),
        estimate("few", None, group="seen items"),
        estimate("few", 0.4, group="country=NOR"),
        estimate("few", 0.6, name="emd"),
    ],
    "response_curves": {
        "over": "hill_1",
        "curves": [
            {
                "family": "match full", "arms": ["few", "many"], "diversity": [2.0, 8.0], "audit": "first_token",
                "name": "js_distance", "condition": "country", "group": "all", "cells": [{"arm": "few", "value": 0.3}],
                "trend": {"slope": -0.05, "low": -0.09, "high": -0.01},
            }
        ],
    },
    "collapse": {
        "curves": [
            {
                "knob": "beta", "pooled": True,
                "points": [estimate("few", 0.3) | {"at": 0.1}],
                "predicted": [{"at": at, "group": "all", "js_distance": at / 2} for at in (0.05, 0.1, 1.0)]
                + [{"at": 0.05, "group": "seen items", "js_distance": 0.9}],
            }
        ]
    },
    "leaderboard": {
        "arms": [{"arm": "few", "kind": "trained", "why": "", "costs": {"flops": 7.0}}],
        "boards": [{"group": "all", "scores": {"few": {"fit": {"value": 0.3, "rank_low": 1, "rank_high": 2}}}}],
    },
    "effects": {"rows": [{"audit": "first_token", "effect": "objective", "value": 0.1, "low": 0.0, "high": 0.2}]},
    "census": {"groups": [{"by": "tuning", "level": "chat", "value": 0.5, "low": 0.4, "high": 0.6}]},
    "verdicts": [{"hypothesis": "h", "verdict": "SUPPORTED", "value": 0.1, "contrast": {"warning": "differ"}}],
}  # fmt: skip


@pytest.fixture
def drawn(tmp_path: Path) -> tuple[dict[str, pd.DataFrame], dict[str, Chart]]:
    cell = tmp_path / "few--s0--d0--12345678"
    cell.mkdir()
    lines = [json.dumps({"step": step, "loss": 1 / step}) for step in range(1, 402)]
    (cell / "metrics.jsonl").write_text("\n".join([*lines, '{"step": 402, "kl": 1}', '{"step": 403, "lo']))
    shown = tables(SUMMARY, [cell])
    return shown, {one.name: one for one in charts(SUMMARY, shown)}


def test_every_part_of_a_summary_is_a_table(drawn: Any) -> None:
    shown, _ = drawn
    assert set(shown) == {
        "main", "arms", "verdicts", "estimates", "effects", "leaderboard", "response_curves", "census", "collapse",
        "training",
    }  # fmt: skip
    assert shown["verdicts"]["contrast.warning"].tolist() == ["differ"]
    assert shown["estimates"]["group"].tolist()[-1] == "country=NOR", "single countries are cut first"
    assert shown["response_curves"]["trend.slope"].tolist() == [-0.05]
    assert shown["leaderboard"].iloc[0].to_dict() == {
        "group": "all", "arm": "few", "measure": "fit", "value": 0.3, "rank_low": 1, "rank_high": 2,
        "kind": "trained", "why": "", "flops": 7.0,
    }  # fmt: skip
    assert [*shown["main"]["label"]] == ["few", "many", "wild (collapsed)"] * 2
    assert {"low", "high", "validity"} <= set(shown["main"])


def test_charts_show_the_summary_s_numbers_with_intervals_behind_them(drawn: Any) -> None:
    _, found = drawn
    assert set(found) == {
        "main/first_token/js_distance/country/all", "main/first_token/within_ratio/country/all",
        "pareto/within_ratio/all", "response/first_token/js_distance/country/all",
        "collapse/beta--raters-pooled/js_distance/all", "loss/match",
    }  # fmt: skip
    front = found["pareto/within_ratio/all"]
    assert front.rows["arm"].tolist() == ["few", "many"], "a collapsed arm has no place among the others"
    assert front.rows[[front.x, front.y]].to_numpy().tolist() == [[0.3, 0.5], [0.2, 1.1]]
    assert front.rows["js_distance_low"].tolist() == pytest.approx([0.2, 0.1])
    response = found["response/first_token/js_distance/country/all"]
    assert response.rows[["diversity", "value", "family"]].to_numpy().tolist() == [
        [2.0, 0.3, "match full"],
        [8.0, 0.2, "match full"],
    ]
    assert response.rows["high"].tolist() == pytest.approx([0.4, 0.3])
    law = found["collapse/beta--raters-pooled/js_distance/all"]
    lines = {line: rows[[law.x, law.y]].to_numpy().tolist() for line, rows in law.rows.groupby(law.line)}
    assert lines == {"measured": [[0.1, 0.3]], "predicted": [[0.05, 0.025], [0.1, 0.05], [1.0, 0.5]]}
    losses = found["loss/match"].rows
    assert len(losses) <= 200
    assert losses["loss"].tolist() == pytest.approx([1 / step for step in losses["step"]])
    assert losses["step"].tolist()[:2] == [1, 4]


def test_a_run_that_compared_nothing_more_has_fewer_tables() -> None:
    summary = {"arms": [arm("few")], "estimates": [estimate("few", 0.3)]}
    shown = tables(summary, [])
    assert set(shown) == {"main", "arms", "estimates"}
    assert [one.name for one in charts(summary, shown)] == ["main/first_token/js_distance/country/all"]
