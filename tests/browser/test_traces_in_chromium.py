"""MARK's traces of 400 people, two questions and four arms with reasons in words: the page stays small and quick,
people are found by words, country and right or wrong, and what they said is text and never markup.
"""

from __future__ import annotations

import html
import importlib.util
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from eval.report import write_report
from eval.report.traces import NEEDED

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine"),
]

PEOPLE = 400
HOSTILE = "<img src=x onerror=\"document.title='broken'\"></script><b>bold</b>"
PROBE = """
addEventListener("load", function probe() {
  const frame = document.querySelector("iframe"), page = frame.contentDocument, view = frame.contentWindow;
  if (!page.documentElement.dataset.ready) return setTimeout(probe, 50);
  const get = (id) => page.getElementById(id), result = {};
  const set = (id, value, kind) => { get(id).value = value; get(id).dispatchEvent(new view.Event(kind)); };
  const listed = () => get("people").children.length, found = () => get("found").textContent;
  const first = view.performance.getEntriesByName("first-contentful-paint")[0];
  result.ready = page.documentElement.dataset.ready;
  result.loaded = view.performance.timing.domContentLoadedEventEnd - view.performance.timing.responseEnd;
  result.start = [listed(), found()];
  result.countries = get("trace-country").options.length;
  result.arms = [...get("trace-arm").options].map((option) => option.textContent);
  const before = page.querySelectorAll("#people table").length;
  get("trace-more").click();
  result.more = listed();
  const began = view.performance.now();
  set("search", "needle hay", "input");
  result.search = view.performance.now() - began;
  result.needle = [listed(), get("people").textContent];
  const box = get("people").querySelector("details");
  box.open = true;
  set("search", "no such words", "input");
  result.none = [listed(), found()];
  set("search", "", "input");
  set("trace-country", "Norway", "change");
  result.norway = [...get("people").querySelectorAll("summary span:nth-of-type(1)")].map((one) => one.textContent);
  set("trace-country", "", "change");
  set("trace-right", "right", "change");
  result.right = found();
  set("trace-arm", "dpo-full", "change");
  result.dpo = found();
  set("trace-right", "wrong", "change");
  result.wrong = found();
  set("trace-right", "differ", "change");
  result.differ = found();
  set("trace-right", "", "change");
  set("trace-arm", "", "change");
  const one = get("people").querySelector("details");
  one.open = true;
  setTimeout(() => {
    result.opened = [before, one.querySelectorAll("table").length, one.textContent];
    result.images = page.querySelectorAll("#people img, #people b b").length;
    result.title = page.title;
    result.scroll = page.documentElement.scrollWidth - view.innerWidth;
    document.getElementById("result").textContent = JSON.stringify(result);
  }, 200);
});
"""


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Person 0 is hostile text; person 7 alone has the words needle and hay, in two reasons. In the first question
    everybody's own answer is 0: base is always right, dpo-full right for the first 100 people, the others never.
    """
    path = Path(__file__).parents[1] / "eval" / "report_fixture.py"
    spec = importlib.util.spec_from_file_location("report_fixture", path)
    assert spec is not None
    assert spec.loader is not None
    fixture = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fixture)
    comparison: Path = fixture.make_experiment(tmp_path_factory.mktemp("experiment"), respondents=PEOPLE)
    rng = np.random.default_rng(0)
    letters = np.array(list("abcdefgh ijklmn op"))
    for file in comparison.parent.glob("cells/*/audits/mark/items.parquet"):
        arm = file.parents[2].name.split("--")[0]
        table = pd.read_parquet(file)
        rows = []
        for number, row in enumerate(table.to_dict("records")):
            person = number // 2
            text = iter("".join(words) for words in rng.choice(letters, size=(20, 130)))
            functions, features = json.loads(row["functions"]), json.loads(row["features"])
            for place, voice in enumerate(functions):
                voice |= {"first_answer": "Often", "revised": place == 1}
                voice |= {"reason": next(text), "check_reason": next(text)} | (
                    {"revision_reason": next(text)} if place == 1 else {}
                )
            for feature in features:
                feature["reason"] = next(text)
            if person == 0:
                functions[0]["reason"] = HOSTILE
            if person == 7:
                functions[0]["reason"], functions[1]["check_reason"] = "a needle here", "much hay"
            right = arm == "base" or (arm == "dpo-full" and person < 100)
            rows.append(
                row
                | {
                    "functions": json.dumps(functions),
                    "features": json.dumps(features),
                    "human": 0,
                    "answer": 0 if right else 1,
                    "condition": "mark",
                    "type_reason": next(text),
                    "explanation": next(text) + next(text),
                    "concluded": "Never",
                    "cited_function": "Ni",
                    "cited_feature": "age",
                    "p_demographics_only": np.array([0.1, 0.2, 0.3, 0.4]),
                }
            )
        control = rows[0] | {"respondent": "control only", "condition": "control:answer stated"}
        pd.DataFrame([*rows, control]).to_parquet(file)
        assert set(NEEDED) <= set(rows[0])
    return write_report(comparison)


@pytest.fixture(scope="module")
def seen(report: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("browser")
    inner = html.escape(report.read_text(encoding="utf-8"), quote=True)
    frame = f'<iframe style="width:1200px;height:800px;border:0" srcdoc="{inner}"></iframe>'
    outer = folder / "outer.html"
    outer.write_text(f'<!doctype html><pre id="result"></pre><script>{PROBE}</script>{frame}', encoding="utf-8")
    assert CHROMIUM is not None
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--enable-logging=stderr"]
    command += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
    command += [f"--user-data-dir={folder / 'profile'}", "--virtual-time-budget=20000", "--dump-dom", outer.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=True)
    match = re.search(r'<pre id="result">(\{.*?\})</pre>', done.stdout, re.S)
    assert match is not None, done.stderr[-2000:]
    found: dict[str, Any] = json.loads(html.unescape(match[1]))
    return found | {"console": [line for line in done.stderr.splitlines() if "CONSOLE" in line]}


def test_the_page_is_small_and_quick(report: Path, seen: dict[str, Any]) -> None:
    assert report.stat().st_size < 8_000_000
    assert seen["console"] == []
    assert seen["ready"] == "yes"
    assert seen["loaded"] < 5_000  # milliseconds, on a machine that others use too
    assert seen["search"] < 2_000


def test_people_are_listed_in_parts_and_controls_are_nobodys_trace(seen: dict[str, Any]) -> None:
    count = int(seen["start"][1].split(" of ")[1].split(" ")[0])
    assert seen["start"][0] == 50
    assert 300 < count <= PEOPLE
    assert seen["start"][1].endswith("first 50 listed")
    assert seen["more"] == 100
    assert seen["arms"] == ["any arm", "base", "match-full", "match-lora", "dpo-full"]
    assert seen["countries"] == 31


def test_a_search_looks_into_reasons_that_are_not_on_the_page_yet(seen: dict[str, Any]) -> None:
    listed, text = seen["needle"]
    assert listed <= 1
    assert listed == 0 or "wvs-7" in text
    assert seen["none"][0] == 0
    assert seen["none"][1].startswith("0 of ")


def test_filters_by_country_arm_and_right_or_wrong(seen: dict[str, Any]) -> None:
    everybody = int(seen["right"].split(" ")[0])
    right_of_dpo, wrong_of_dpo = (int(seen[name].split(" ")[0]) for name in ("dpo", "wrong"))
    assert seen["norway"]
    assert all(one.startswith("Norway") for one in seen["norway"])
    assert right_of_dpo + wrong_of_dpo == everybody
    assert 0 < right_of_dpo < everybody / 2
    assert int(seen["differ"].split(" ")[0]) == everybody


def test_a_trace_is_made_when_it_is_opened_and_its_text_is_no_markup(seen: dict[str, Any]) -> None:
    before, tables, text = seen["opened"]
    assert before == 0
    assert tables == 2
    assert HOSTILE in text
    assert seen["images"] == 0
    assert seen["title"] != "broken"
    assert "The person answered “Never”." in text
    for part in ("Never ✓", "Seldom ✗", "without stages: Always ✗", "concluded itself: Never", "check: ", "revised: "):
        assert part in text
    assert "named first: Ni and age" in text
    assert seen["scroll"] <= 0
