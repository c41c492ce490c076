"""The report in headless Chromium: no console message, every figure visible, no sideways scrolling, search and
sorting.
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
addEventListener("load", () => {
  const frame = document.querySelector("iframe"), page = frame.contentDocument, view = frame.contentWindow;
  const figures = [...page.querySelectorAll("figure svg")].map((svg) => svg.getBoundingClientRect());
  const type = (id, text) => {
    const input = page.getElementById(id);
    input.value = text;
    input.dispatchEvent(new view.Event("input"));
  };
  type("search", "argentina");
  type("query", "match-full js_distance country=NOR");
  const table = page.querySelector("#audit-1 table.sortable"), before = table.tBodies[0].rows[0].cells[0].textContent;
  table.querySelectorAll("thead button")[1].click();
  const result = {
    ready: page.documentElement.dataset.ready,
    width: view.innerWidth,
    scroll: page.documentElement.scrollWidth,
    figures: figures.length,
    smallest: Math.min(...figures.map((box) => Math.min(box.width, box.height))),
    widest: Math.max(...figures.map((box) => box.right)),
    traces: [...page.querySelectorAll("details.trace")].filter((node) => !node.hidden).length,
    found: page.getElementById("rows").rows.length,
    sorted: [...table.tBodies[0].rows].map((row) => row.cells[0].textContent.trim()),
    values: [...table.tBodies[0].rows].map((row) => Number(row.cells[1].dataset.sort)),
    before: before.trim(),
    dark: view.matchMedia("(prefers-color-scheme: dark)").matches,
    paper: view.getComputedStyle(page.documentElement).backgroundColor,
    ink: view.getComputedStyle(page.querySelector("figure svg text")).fill,
  };
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
    command += [f"--user-data-dir={profile}", "--window-size=1400,900", *more, "--dump-dom", page.as_uri()]
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


@pytest.mark.parametrize(("width", "dark"), [(390, True), (1280, False)])
def test_figures_are_visible_and_nothing_scrolls_sideways(report: Path, tmp_path: Path, width: int, dark: bool) -> None:
    inner = html.escape(report.read_text(encoding="utf-8"), quote=True)
    outer = tmp_path / "outer.html"
    frame = f'<iframe style="width:{width}px;height:800px;border:0" srcdoc="{inner}"></iframe>'
    outer.write_text(f'<!doctype html><pre id="result"></pre><script>{PROBE}</script>{frame}', encoding="utf-8")
    scheme = "--blink-settings=preferredColorScheme=" + ("0" if dark else "1")
    dom, _ = chromium(outer, tmp_path / "profile", scheme)
    match = re.search(r'<pre id="result">(\{.*?\})</pre>', dom)
    assert match is not None
    found: dict[str, Any] = json.loads(html.unescape(match[1]))
    assert found["ready"] == "yes"
    assert found["width"] == width
    assert found["scroll"] <= width
    assert found["figures"] >= 20
    assert found["smallest"] > 40
    assert found["widest"] <= width
    assert 0 < found["traces"] < 60
    assert found["found"] > 0
    assert found["values"] == sorted(found["values"])
    assert found["sorted"][0] != found["before"]
    assert found["dark"] is dark
    light = [sum(map(int, re.findall(r"\d+", found[name])[:3])) > 380 for name in ("paper", "ink")]
    assert light == [not dark, dark]
