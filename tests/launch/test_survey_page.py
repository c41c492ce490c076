"""The survey page: whole, escaped, small, and drawn by its own script in a browser."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pycountry
import pytest
from typer.testing import CliRunner

from data.records import AGE_BANDS, AnswerDistribution, Group, Item, ItemWording, Source, Survey
from eval.references import people_again
from launch.survey_command import app
from launch.survey_page import FLOOR_DRAWS, render, sampling_floors, write_survey_page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
NASTY = '</script><script>alert("x")</script> & <b>"bold"</b>'


@pytest.fixture
def survey(tiny_survey: Survey) -> Survey:
    nasty = Item(
        "toy/nasty", NASTY, ("<i>", "&amp;"), False, "toy", wordings=(ItemWording("ar", "هل هذا صحيح؟", ("نعم", "لا")),)
    )
    made = (
        AnswerDistribution("toy/nasty", Group("NOR"), (0.25, 0.75), 0, 0.0, "2001"),
        AnswerDistribution("toy/nasty", Group("USA"), (0.5, 0.5), 1234, 1000.4, "1999-2002"),
    )
    return replace(
        tiny_survey,
        items=(*tiny_survey.items, nasty),
        distributions=(*tiny_survey.distributions, *made),
        excluded={"toy: <people> too few": 17},
    )


def data_of(page: str) -> dict[str, Any]:
    match = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)
    assert match is not None
    found: dict[str, Any] = json.loads(match[1])
    return found


def test_it_holds_every_answer_floor_and_source(survey: Survey) -> None:
    page = render(survey, "toy", np.random.default_rng(0))
    found = data_of(page)
    assert found["ages"] == ["", *AGE_BANDS]
    rows = [row for rows in found["items"] for row in rows]
    assert len(rows) == len(survey.distributions)
    norway, usa = found["items"][-1]
    assert norway == [found["countries"].index("Norway"), 0, found["years"].index("2001"), 0, 0, None, 250, 750]
    assert usa[2:5] == [found["years"].index("1999-2002"), 1234, 1000]
    assert usa[5] == pytest.approx(float(people_again([0.5, 0.5], 1000, rng=np.random.default_rng(1))), abs=0.003)
    for words in ("Nobody (2026)", "made for tests", "17", "1999–2002"):
        assert words in page
    assert page.count("<article") == 5
    assert 'dir="rtl">هل هذا صحيح؟' not in page, "wording in a block of its own"
    assert '<div class="wording" lang="ar" dir="rtl"><p>هل هذا صحيح؟</p><ol><li>نعم</li>' in page


def test_survey_text_is_escaped_and_nothing_is_loaded(survey: Survey) -> None:
    page = render(survey, NASTY, np.random.default_rng(0))
    assert "<script>alert" not in page
    assert "<b>" not in page.replace("<b>A made-up survey</b>", "")
    assert html.escape(NASTY, quote=False).replace('"', "&#34;") in page
    assert page.count("<script") == 2
    assert not re.search(r'(src|href)="(?!#|data:)', page)
    assert "default-src 'none'" in page


def test_floors_shrink_with_people_and_are_nan_without(survey: Survey) -> None:
    floors = sampling_floors(survey, np.random.default_rng(0))
    sizes = np.array([d.n_effective for d in survey.distributions])
    assert np.isnan(floors[sizes == 0]).all()
    assert np.nanmean(floors[sizes == 70]) > 1.3 * np.nanmean(floors[sizes == 200])
    assert FLOOR_DRAWS >= 100


def test_an_item_asked_by_age_only_has_no_empty_chart_and_its_bands_in_order(survey: Survey) -> None:
    ages = ("100+", "18-29", "9-17", "65+")
    made = tuple(AnswerDistribution("toy/nasty", Group("NOR", age), (0.25, 0.75), 80, 80.0) for age in ages)
    page = render(replace(survey, items=survey.items[-1:], distributions=made), "toy", np.random.default_rng(0))
    assert data_of(page)["ages"] == ["", "9-17", "18-29", "30-49", "50+", "65+", "100+"]
    assert 'data-kind="age"' in page
    assert 'data-kind="country"' not in page
    assert "not published" not in page


def test_an_empty_survey_is_refused() -> None:
    with pytest.raises(ValueError, match="'none' holds no item"):
        render(Survey((), ()), "none", np.random.default_rng(0))


def test_the_command_writes_where_it_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["show", "wvs3", "--html"])
    assert done.exit_code == 0, done.output
    assert "wvs/poverty" in (tmp_path / "wvs3.html").read_text(encoding="utf-8")
    assert CliRunner().invoke(app, ["show", "wvs3", "--html", "--out", "there.html"]).exit_code == 0
    assert (tmp_path / "there.html").exists()
    assert CliRunner().invoke(app, ["export", "wvs3", "mine.jsonl"]).exit_code == 0
    assert CliRunner().invoke(app, ["show", "file:mine.jsonl", "--html"]).exit_code == 0
    assert (tmp_path / "mine.html").exists()
    refused = CliRunner().invoke(app, ["show", "wvs3", "--out", "there.html"])
    assert "add --html" in str(refused.exception)


@pytest.mark.slow
def test_250_questions_in_60_countries_stay_below_8_megabytes(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    codes = sorted(country.alpha_3 for country in pycountry.countries)[:60]
    items, made = [], []
    for number in range(250):
        options = tuple(f"answer {place} to question {number}" for place in range((3, 4, 10, 5)[number % 4]))
        asked = f"How much do you agree with statement {number}, which is about something that many people care for?"
        items.append(Item(f"big/{number}", asked, options, bool(number % 2), "big"))
        for country in codes:
            for age in ("", *AGE_BANDS):
                shares = tuple(rng.dirichlet(np.ones(len(options))).tolist())
                made.append(AnswerDistribution(f"big/{number}", Group(country, age), shares, 500, 400.0, "2017-2022"))
    survey = Survey(tuple(items), tuple(made), sources=(Source("big", "Big", "c", "t"),))
    assert write_survey_page(survey, "big", tmp_path / "big.html").stat().st_size < 8e6


PROBE = """
addEventListener("load", () => setTimeout(() => {
  const frame = document.querySelector("iframe"), page = frame.contentDocument, view = frame.contentWindow;
  const type = (text) => {
    const input = page.getElementById("search");
    input.value = text;
    input.dispatchEvent(new view.Event("input"));
  };
  page.querySelectorAll("details").forEach((one) => { one.open = true; });
  view.dispatchEvent(new view.Event("beforeprint"));
  const bars = [...page.querySelectorAll(".chart svg")].map((svg) => svg.getBoundingClientRect());
  const select = page.getElementById("sort");
  const first = () => [...page.querySelectorAll("#q0 .chart tbody tr:not(.all) th")].slice(0, 6)
    .map((th) => th.textContent);
  const before = first();
  select.value = "answer";
  select.dispatchEvent(new view.Event("change"));
  const result = {
    ready: page.documentElement.dataset.ready, scroll: page.documentElement.scrollWidth, width: view.innerWidth,
    bars: bars.length, thinnest: Math.min(...bars.map((box) => Math.min(box.width, box.height))),
    widest: Math.max(...bars.map((box) => box.right)), before, after: first(),
    label: page.querySelector("#q4 .chart svg").getAttribute("aria-label"),
    fill: view.getComputedStyle(page.querySelector("#q0 rect")).fill,
  };
  type("POVERTY");
  result.found = [...page.querySelectorAll(".question")].filter((node) => !node.hidden).map((node) => node.id);
  document.getElementById("result").textContent = JSON.stringify(result);
}, 300));
"""


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")
@pytest.mark.parametrize(("width", "dark"), [(390, True), (1280, False)])
def test_a_browser_draws_searches_and_sorts(survey: Survey, tmp_path: Path, width: int, dark: bool) -> None:
    page = render(survey, "toy", np.random.default_rng(0))
    outer = tmp_path / "outer.html"
    frame = f'<iframe style="width:{width}px;height:800px;border:0" srcdoc="{html.escape(page, quote=True)}"></iframe>'
    outer.write_text(f'<!doctype html><pre id="result"></pre><script>{PROBE}</script>{frame}', encoding="utf-8")
    command = [
        str(CHROMIUM),
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--no-first-run",
        "--enable-logging=stderr",
    ]
    command += [f"--user-data-dir={tmp_path / 'profile'}", "--window-size=1400,900", "--virtual-time-budget=3000"]
    command += [f"--blink-settings=preferredColorScheme={0 if dark else 1}", "--dump-dom", outer.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=True)
    assert not [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    match = re.search(r'<pre id="result">(\{.*?\})</pre>', done.stdout)
    assert match is not None
    found: dict[str, Any] = json.loads(html.unescape(match[1]))
    assert found["ready"] == "yes"
    assert found["scroll"] <= found["width"]
    assert found["widest"] <= found["width"]
    by_country, by_age, means = 4 * 6 + 2, 4 * 2 * 3, 5
    assert found["bars"] == by_country + by_age + means
    assert found["thinnest"] >= 10
    assert found["before"] == sorted(found["before"])
    assert sorted(found["after"]) == sorted(found["before"]) != found["after"]
    assert found["label"] == "Mean of countries: <i> 37.5%, &amp; 62.5%"
    assert found["found"] == ["q3"], "by its topic"
    assert found["fill"] != "rgb(0, 0, 0)"
