"""The pages of the documentation: links and anchors lead somewhere, what the configuration names has its page."""

from __future__ import annotations

import ast
import re
from collections import Counter
from functools import cache
from pathlib import Path

import pytest
import yaml

import conf
from eval.controls import BLIND, FAINTLY, SEES, UNKNOWN
from eval.validity import STATUSES
from launch.compose import INSTEAD

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
CONF = Path(str(conf.__file__)).parent
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
CODE = re.compile(r"^```.*?^```|`[^`]+`", re.DOTALL | re.MULTILINE)
FENCED = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
WORD = re.compile(r"[A-Z]{2,}(?: [A-Z]+)*")
IN_README = {"quickstart"}  # experiments that have no page of their own
STAMPS = {"NOT A RESULT", *STATUSES, SEES, FAINTLY, BLIND, UNKNOWN}  # beside the verdicts


def links(page: Path) -> list[tuple[Path, str]]:
    """(file, anchor) of every relative link; a link in code is none."""
    text = CODE.sub("", page.read_text("utf-8"))
    found = [target for target in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in target]
    split = [target.partition("#") for target in found]
    return [((page.parent / path).resolve() if path else page, anchor) for path, _, anchor in split]


@cache
def anchors(page: Path) -> frozenset[str]:
    """What GitHub calls a page's headings: small letters, hyphens for blanks, no other punctuation."""
    headings = re.findall(r"^#+ (.+)$", FENCED.sub("", page.read_text("utf-8")), re.MULTILINE)
    plain = [re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).strip().lower() for heading in headings]
    seen: Counter[str] = Counter()
    made = []
    for name in (re.sub(r"[^\w\- ]", "", heading).replace(" ", "-") for heading in plain):
        made.append(f"{name}-{seen[name]}" if seen[name] else name)
        seen[name] += 1
    return frozenset(made)


def members(part: str) -> set[str]:
    return {path.stem for path in (CONF / part).glob("*.yaml")}


def pages(folder: str) -> set[str]:
    return {path.stem for path in (DOCS / folder).glob("*.md")}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    lost = [path.name for path, _ in links(page) if not path.exists()]
    lost += [
        f"{path.name}#{anchor}"
        for path, anchor in links(page)
        if anchor and path.is_file() and anchor not in anchors(path)
    ]
    assert lost == []


def test_anchors_are_those_of_github(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# `a=b`: What, and How?\n## A [link](x.md) (β)\n## Twice\n## Twice\n```\n# no heading\n```\n")
    assert anchors(page) == {"ab-what-and-how", "a-link-β", "twice", "twice-1"}


def test_the_index_names_every_page() -> None:
    named = {path for path, _ in links(DOCS / "index.md")}
    assert {page for page in PAGES if page.name != "index.md"} <= named


def test_the_overview_of_interventions_names_every_member() -> None:
    overview = (DOCS / "recipes.md").read_text("utf-8")
    for part in ("recipe", "adapter", "mixture", "inference"):
        table = overview[overview.index(f"| `{part}=`") :].partition("\n\n")[0]
        named = {name for row in table.splitlines() for name in re.findall(r"`([\w]+)`", row.split("|")[1])}
        assert named == members(part), part


def test_every_recipe_audit_and_study_has_its_page() -> None:
    assert members("recipe") <= pages("recipes") <= members("recipe") | INSTEAD.keys()
    assert members("audit") <= pages("audits")
    assert members("experiment") - IN_README == pages("studies")


@pytest.mark.parametrize("recipe", sorted(members("recipe")))
def test_a_recipe_s_page_names_its_knobs_and_how_to_run_it(recipe: str) -> None:
    page = (DOCS / "recipes" / f"{recipe}.md").read_text("utf-8")
    assert page.startswith(f"# `recipe={recipe}`: ")
    assert re.search(rf"^polyphony run .*\b{recipe}\b", page, re.MULTILINE)
    knobs = yaml.safe_load((CONF / "recipe" / f"{recipe}.yaml").read_text("utf-8")).keys() - {"_target_"}
    assert [knob for knob in knobs if not re.search(rf"`(recipe\.)?{knob}`", page)] == []


def test_the_glossary_has_every_word_of_a_verdict() -> None:
    trees = [ast.parse((ROOT / "eval" / name).read_text("utf-8")) for name in ("inference.py", "census_words.py")]
    texts = {node.value for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    verdicts = {text for text in texts if isinstance(text, str) and WORD.fullmatch(text)}
    assert {"SUPPORTED", "CONTRADICTED", "EQUIVALENT", "INCONCLUSIVE", "NO VERDICT"} <= verdicts
    entries = re.findall(r"^- \*\*(.+?)\*\*", (DOCS / "glossary.md").read_text("utf-8"), re.MULTILINE)
    explained = {word.casefold() for entry in entries for word in entry.split(", ")}
    assert sorted(word for word in verdicts | STAMPS if word.casefold() not in explained) == []
