"""The report in headless Chromium: no console message, every figure visible, no sideways scrolling; searching,
sorting, hiding arms, reading a mark's number with the pointer and by keyboard, the switch between light and dark.
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

import pytest

from eval.report import write_report

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine"),
]

PROBE = """
addEventListener("load", function probe() {
  const frame = document.querySelector("iframe"), page = frame.contentDocument, view = frame.contentWindow;
  if (!page.documentElement.dataset.ready) return setTimeout(probe, 50);
  const all = (selector, of = page) => [...of.querySelectorAll(selector)];
  const figures = all("figure svg").filter((svg) => svg.checkVisibility()).map((svg) => svg.getBoundingClientRect());
  const send = (id, value, kind) => {
    const field = page.getElementById(id);
    field.value = value;
    field.dispatchEvent(new view.Event(kind, { bubbles: true }));
  };
  const paper = () => view.getComputedStyle(page.documentElement).backgroundColor;
  send("search", "argentina", "input");
  send("query", "match-full js_distance country=NOR", "input");
  const table = page.querySelector("#audit-1 table.sortable"), before = table.tBodies[0].rows[0].cells[0].textContent;
  table.querySelectorAll("thead button")[1].click();
  const result = {
    ready: page.documentElement.dataset.ready,
    width: view.innerWidth,
    scroll: page.documentElement.scrollWidth,
    figures: figures.length,
    smallest: Math.min(...figures.map((box) => Math.min(box.width, box.height))),
    widest: Math.max(...figures.map((box) => box.right)),
    traces: all("details.trace").filter((node) => !node.hidden).length,
    found: page.getElementById("rows").rows.length,
    sorted: [...table.tBodies[0].rows].map((row) => row.cells[0].textContent.trim()),
    values: [...table.tBodies[0].rows].map((row) => parseFloat(row.cells[1].textContent.replace("−", "-"))),
    before: before.trim(),
    dark: view.matchMedia("(prefers-color-scheme: dark)").matches,
    paper: paper(),
    ink: view.getComputedStyle(page.querySelector("figure svg text")).fill,
    verdicts: page.querySelector("#finding article:last-of-type").getBoundingClientRect().bottom,
  };
  page.getElementById("theme").click();
  result.switched = paper();
  page.getElementById("theme").click();
  result.back = paper();

  const tip = page.getElementById("tip"), forest = page.querySelector("#glance svg[data-rows]");
  const key = (name) => {
    forest.dispatchEvent(new view.KeyboardEvent("keydown", { key: name, bubbles: true, cancelable: true }));
  };
  result.silent = tip.hidden;
  forest.focus();
  key("ArrowDown");
  result.first = tip.textContent;
  key("ArrowDown");
  result.second = tip.textContent;
  const second = forest.querySelector(".pointed use").getBoundingClientRect();
  page.dispatchEvent(new view.KeyboardEvent("keydown", { key: "Escape" }));
  result.escaped = tip.hidden;
  const near = { clientX: second.x + 9, clientY: second.y + 2, bubbles: true };
  forest.dispatchEvent(new view.PointerEvent("pointermove", near));
  result.pointed = tip.textContent;
  const cell = page.querySelector("#audit-1 td[data-e]");
  cell.dispatchEvent(new view.PointerEvent("pointerover", { bubbles: true }));
  result.cell = [cell.firstChild.textContent, tip.textContent];

  const seen = (selector, of) => all(selector, of).filter((one) => one.checkVisibility());
  const shown = () => ({
    count: page.getElementById("shown").textContent,
    rows: seen("tbody tr", table).map((row) => row.cells[0].textContent.trim()),
    marks: seen("use[class]", forest).filter((mark) => !mark.closest("defs")).length,
    height: forest.getBoundingClientRect().height,
    columns: all("table.sortable th[data-s='1']").filter((head) => !head.hidden).length,
    panels: seen("figure.s1").length,
    hits: page.getElementById("rows").rows.length,
  });
  result.whole = shown();
  all("input[data-of]").find((box) => box.parentElement.textContent.trim() === "match").click();
  result.without = shown();
  page.getElementById("all").click();
  result.again = shown();
  document.getElementById("result").textContent = JSON.stringify(result);
});
"""


def chromium(page: Path, profile: Path, *more: str) -> tuple[str, list[str]]:
    """The page's DOM after loading, and the lines its console wrote."""
    assert CHROMIUM is not None
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
    command += [
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--enable-logging=stderr",
    ]
    command += [
        f"--user-data-dir={profile}",
        "--window-size=1400,900",
        "--virtual-time-budget=9000",
        *more,
        "--dump-dom",
        page.as_uri(),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=True)
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = Path(__file__).parents[1] / "eval" / "report_fixture.py"
    spec = importlib.util.spec_from_file_location("report_fixture", path)
    assert spec is not None
    assert spec.loader is not None
    fixture = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fixture)
    return write_report(fixture.make_experiment(tmp_path_factory.mktemp("experiment"), respondents=60))


def test_the_page_runs_without_a_console_message(report: Path, tmp_path: Path) -> None:
    dom, console = chromium(report, tmp_path / "profile")
    assert console == []
    assert 'data-ready="yes"' in dom


def test_the_console_is_really_read(tmp_path: Path) -> None:
    page = tmp_path / "broken.html"
    page.write_text("<script>throw new Error('seen')</script>")
    _, console = chromium(page, tmp_path / "profile")
    assert any("seen" in line for line in console)


@pytest.fixture(scope="module", params=[(390, True), (1280, False)], ids=["narrow-dark", "wide-light"])
def seen(request: pytest.FixtureRequest, report: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the probe saw of the page in a frame of this width, with the width and the theme that were asked for."""
    width, dark = request.param
    folder = tmp_path_factory.mktemp("browser")
    inner = html.escape(report.read_text(encoding="utf-8"), quote=True)
    outer = folder / "outer.html"
    frame = f'<iframe style="width:{width}px;height:800px;border:0" srcdoc="{inner}"></iframe>'
    outer.write_text(f'<!doctype html><pre id="result"></pre><script>{PROBE}</script>{frame}', encoding="utf-8")
    scheme = "--blink-settings=preferredColorScheme=" + ("0" if dark else "1")
    dom, console = chromium(outer, folder / "profile", scheme)
    match = re.search(r'<pre id="result">(\{.*?\})</pre>', dom)
    assert match is not None, console
    found: dict[str, Any] = json.loads(html.unescape(match[1]))
    return found | {"asked": width, "wanted": dark}


def test_figures_are_visible_and_nothing_scrolls_sideways(seen: dict[str, Any]) -> None:
    assert seen["ready"] == "yes"
    assert seen["width"] == seen["asked"]
    assert seen["scroll"] <= seen["asked"]
    assert seen["figures"] >= 20
    assert seen["smallest"] > 40
    assert seen["widest"] <= seen["asked"]


def test_the_verdicts_stand_on_the_first_screen(seen: dict[str, Any]) -> None:
    assert seen["asked"] < 1280 or seen["verdicts"] < 800


def test_search_and_sorting(seen: dict[str, Any]) -> None:
    assert 0 < seen["traces"] < 60
    assert seen["found"] > 0
    assert seen["values"] == sorted(seen["values"])
    assert seen["sorted"][0] != seen["before"]


def test_the_theme_is_the_systems_until_it_is_switched(seen: dict[str, Any]) -> None:
    assert seen["dark"] is seen["wanted"]
    light = [sum(map(int, re.findall(r"\d+", seen[name])[:3])) > 380 for name in ("paper", "switched", "back", "ink")]
    assert light == [not seen["wanted"], seen["wanted"], not seen["wanted"], seen["wanted"]]


def test_a_number_is_said_by_keyboard_and_near_the_pointer(seen: dict[str, Any]) -> None:
    assert seen["silent"] is True
    assert seen["first"].startswith("base: 0.480 [0.440, 0.524] (n = 120; ")
    assert seen["second"].startswith("match-full: 0.240 [")
    assert seen["escaped"] is True
    assert seen["pointed"] == seen["second"]
    value, said = seen["cell"]
    assert f": {value}" in said
    assert "95% interval [" in said
    assert "n = 120; bootstrap over 4 items" in said


def test_a_hidden_arm_is_hidden_in_figures_rows_columns_panels_and_the_list(seen: dict[str, Any]) -> None:
    whole, without = seen["whole"], seen["without"]
    assert (whole["count"], without["count"]) == ("all 4", "2 of 4")
    assert {"match-full", "match-lora"} == set(whole["rows"]) - set(without["rows"])
    assert whole["marks"] - without["marks"] == 2
    assert without["height"] < whole["height"] - 20
    assert whole["columns"] > 0
    assert whole["panels"] > 0
    assert whole["hits"] > 0
    assert without["columns"] == without["panels"] == without["hits"] == 0
    assert seen["again"] == whole
