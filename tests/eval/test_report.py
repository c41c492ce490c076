"""The report against the summary it is made from: the same numbers, nothing from a network, nothing of a survey
executed.
"""

from __future__ import annotations

import base64
import gzip
import importlib.util
import json
import math
import re
import xml.etree.ElementTree as ET
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from data.files import read_json, write_json
from eval.report import wording, write_report
from eval.report.evidence import TRACES

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)> & 'quoted' \"twice\""


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


fixture = load(Path(__file__).with_name("report_fixture.py"))


class Page(HTMLParser):
    """Tags with their attributes, the texts of every table cell that shows an estimate by the estimate's place, and
    what is packed into the page, unpacked.
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.cells: list[tuple[int, list[str]]] = []
        self._inside = self._packed = False
        self._texts: list[str] = []
        self.packed: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "td" and (place := dict(attrs).get("data-e")):
            self._inside, self._texts = True, []
            self.cells.append((int(place), self._texts))
        self._packed = tag == "script" and ("id", "packed-numbers") in attrs

    def handle_data(self, data: str) -> None:
        if self._packed:
            self.packed.append(data)
        if self._inside and data.strip():
            self._texts.append(data.strip())

    def handle_endtag(self, tag: str) -> None:
        if tag == "script":
            self._packed = False
        if tag == "td":
            self._inside = False

    @property
    def embedded(self) -> dict[str, Any]:
        return unpacked("".join(self.packed))


def unpacked(text: str) -> dict[str, Any]:
    """What the page's script makes of a packed text."""
    found: dict[str, Any] = json.loads(gzip.decompress(base64.b64decode(text)))
    return found


@pytest.fixture(scope="module")
def comparison(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = fixture.make_experiment(tmp_path_factory.mktemp("experiment"))
    write_report(folder)
    return folder


@pytest.fixture(scope="module")
def html(comparison: Path) -> str:
    return (comparison / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(html: str) -> Page:
    return Page(html)


def report(folder: Path, summary: dict[str, Any]) -> str:
    write_json(folder / "comparison" / "summary.json", summary)
    return write_report(folder / "comparison").read_text(encoding="utf-8")


def small(**changes: Any) -> dict[str, Any]:
    """A summary with little in it, so that a test of one thing draws few figures."""
    summary: dict[str, Any] = fixture.make_summary()
    kept = [e for e in summary["estimates"] if e["audit"] == "first_token" and e["name"] == "js_distance"]
    kept = [e for e in kept if e["group"] == "all"]
    return summary | {"estimates": kept, "culture_maps": {"first_token": {"stress": None, "points": []}}} | changes


def test_nothing_is_fetched_from_anywhere(html: str, page: Page) -> None:
    policy = next(a["content"] for t, a in page.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert "default-src 'none'" in policy
    for tag, attributes in page.tags:
        for name in ("src", "href", "srcset", "data", "action", "poster", "xlink:href"):
            target = attributes.get(name)
            assert target is None or target.startswith(("#", "data:")), (tag, attributes)
    assert not re.search(r"url\((?!#)|@import|xmlns", html)
    assert not {"link", "iframe", "object", "embed", "img"} & {t for t, a in page.tags if a.get("href") != "data:,"}


def test_every_number_in_a_table_is_the_summarys(comparison: Path, page: Page) -> None:
    estimates = read_json(comparison / "summary.json")["estimates"]
    assert len(page.cells) > 400
    for place, texts in page.cells:
        estimate = estimates[place]
        share = wording.measure(estimate["name"], estimate["audit"]).share
        assert texts[0] == wording.number(estimate["value"], share)
        if estimate["value"] is None:
            assert texts[1:] == []
        else:
            assert texts[1] == (wording.interval(estimate["low"], estimate["high"], share) or "no interval")


def test_every_estimate_over_all_units_stands_in_a_table(comparison: Path, page: Page) -> None:
    shown = {place for place, _ in page.cells}
    for place, e in enumerate(read_json(comparison / "summary.json")["estimates"]):
        if e["group"] in ("all", "seen items") and not e["condition"].startswith("reference:"):
            assert place in shown, e


def test_what_a_reader_must_know_stands_where_it_is_shown(html: str) -> None:
    tables = [part for part in html.split('<div class="box">') if ">Same neighbours</button>" in part]
    assert tables
    assert all("Same neighbours: biased towards 0 by noise" in part for part in tables)
    assert "tests that it lies within): 1.000" in html
    assert "cannot be told apart: no arm has recipe=dpo, adapter=lora." in html


def test_all_numbers_are_embedded_to_six_digits(comparison: Path, page: Page) -> None:
    summary, embedded = read_json(comparison / "summary.json"), page.embedded
    names = ("name", "group", "condition", "value", "low", "high", "n", "method")
    expected = [(0, e["arm"], e["audit"], *(e[name] for name in names)) for e in summary["estimates"]]
    expected += [
        (1, f"{row['arm']} − {row['against']}", row["audit"], *(row[name] for name in names))
        for row in summary["comparisons"]
    ]
    assert len(embedded["rows"]) == len(expected)
    for row, wanted in zip(embedded["rows"], expected, strict=True):
        texts = [embedded["strings"][place] for place in (*row[1:6], row[10])]
        assert (row[0], *texts) == (*wanted[:6], wanted[10])
        for value, exact in zip(row[6:10], wanted[6:10], strict=True):
            assert (value is None and exact is None) or value == pytest.approx(exact, rel=1e-5)


def test_undefined_is_a_dash_with_its_reason_and_never_zero(comparison: Path, html: str, page: Page) -> None:
    estimates = read_json(comparison / "summary.json")["estimates"]
    dashes = [estimates[place] for place, texts in page.cells if texts[0] == "—"]
    assert any((e["name"], e["group"], e["condition"]) == ("between_structure", "all", "none") for e in dashes)
    assert "undefined here: it needs four countries or more, and answers that vary between them" in html
    assert not re.search(r">\s*(nan|NaN|None|null)\s*<", html)


def test_survey_text_is_escaped_wherever_it_comes_from(tmp_path: Path) -> None:
    summary = fixture.make_summary()
    summary["finding"] = [HOSTILE]
    summary["not_a_result"] = [HOSTILE]
    summary["experiment"] = HOSTILE
    summary["command"] = HOSTILE
    summary["surveys"][0] |= {"citation": HOSTILE, "title": HOSTILE}
    summary["split"]["held_out_items"] = [HOSTILE]
    summary["split"]["held_out_countries"] = [HOSTILE]
    summary["estimates"] = [e for e in summary["estimates"] if e["group"] in ("all", "value=power")]
    for estimate in summary["estimates"]:
        estimate["method"] += HOSTILE
        estimate["group"] = estimate["group"].replace("power", HOSTILE)
    for point in summary["culture_maps"]["first_token"]["points"]:
        point["country"] = HOSTILE
    arm = summary["arms"][0]
    fixture.make_evidence(tmp_path / "cells" / arm["cells"][0]["folder"], "base", 3, HOSTILE)
    html = report(tmp_path, summary)
    tags = Page(html).tags
    assert Counter(tag for tag, _ in tags)["script"] == 3
    assert "img" not in {tag for tag, _ in tags}
    assert not [attributes for _, attributes in tags if any(name.startswith("on") for name in attributes)]
    assert html.count("&lt;img src=x") > 10
    for svg in (tmp_path / "comparison" / "figures").glob("*.svg"):
        ET.parse(svg)


@pytest.mark.parametrize("missing", ["first_token", "def", "edc", "mark"])
def test_a_missing_audit_leaves_its_section_out_with_a_sentence(tmp_path: Path, missing: str) -> None:
    summary = fixture.make_summary()
    names = ("js_distance", "flip_rate", "accuracy")
    kept = [e for e in summary["estimates"] if e["audit"] != missing and e["name"] in names and e["group"] == "all"]
    html = report(tmp_path, summary | {"estimates": kept, "culture_maps": {}})
    title = wording.AUDITS[missing][0]
    assert f"no arm was audited with it: {title}" in html
    assert f"<h2>{title}</h2>" not in html
    assert html.count("<h2>") == 12
    assert html.count("<figure") == html.count("<svg role")


def test_a_summary_with_next_to_nothing_still_makes_a_page(tmp_path: Path) -> None:
    html = report(tmp_path, {"schema": 2, "experiment": "bare", "arms": [{"name": "base"}], "estimates": []})
    assert "None of the main measures was computed" in html
    assert "<svg" not in html


def test_the_same_summary_gives_the_same_page_and_no_stale_figure(tmp_path: Path) -> None:
    first = report(tmp_path, small())
    stale = tmp_path / "comparison" / "figures" / "overview-gone.svg"
    stale.write_text("<svg/>")
    assert report(tmp_path, small()) == first
    assert not stale.exists()


def test_figures_are_named_described_and_share_no_id(comparison: Path, html: str, page: Page) -> None:
    files = sorted((comparison / "figures").glob("*.svg"))
    assert len(files) == html.count("<svg role") >= 20
    for path in files:
        root = ET.parse(path).getroot()
        words = [root.find(f"{{http://www.w3.org/2000/svg}}{name}") for name in ("title", "desc")]
        assert all(word is not None and word.text for word in words), path
        assert "var(--" in path.read_text()
    ids = Counter(attributes["id"] for _, attributes in page.tags if attributes.get("id"))
    assert not [name for name, count in ids.items() if count > 1]
    targets = {a["href"] for _, a in page.tags if (a.get("href") or "").startswith("#")}
    assert {str(target)[1:] for target in targets} <= set(ids)


def test_the_overview_draws_references_and_the_value_of_people(comparison: Path) -> None:
    text = (comparison / "figures" / "overview-first-token-js-distance.svg").read_text()
    for words in (
        "uniform guess",
        "other countries' mean",
        "people asked again",
        "base, no persona",
        "match-full: 0.240",
    ):
        assert words in text
    assert "by country" in (comparison / "figures" / "countries-first-token-match-full.svg").read_text()


def test_a_collapsed_arm_is_named_as_such(tmp_path: Path) -> None:
    summary = small()
    summary["arms"][3]["validity"] |= {
        "status": "collapsed",
        "reasons": ["only 0.11 of the probability is on the answers"],
    }
    html = report(tmp_path, summary)
    assert "COLLAPSED" in html
    assert ">dpo-full (collapsed)</text>" in html
    assert '<span class="tone collapsed">dpo-full</span><small>collapsed: not ranked</small>' in html


@pytest.mark.parametrize(
    ("seeds", "draws", "words"), [([0], [0], "do not cover training seeds or draws"), ([0, 1], [0, 1], "")]
)
def test_the_page_says_which_noise_its_intervals_cover(
    tmp_path: Path, seeds: list[int], draws: list[int], words: str
) -> None:
    summary = small()
    for arm in summary["arms"]:
        arm |= {"seeds": seeds, "draws": draws}
    html = report(tmp_path, summary)
    assert words in html
    assert ("do not cover" in html) == bool(words)


def test_many_traces_stay_within_a_bound_and_the_rest_is_named(tmp_path: Path) -> None:
    summary = small()
    summary["estimates"] += [e for e in fixture.make_summary()["estimates"] if e["name"] == "accuracy"]
    for arm in summary["arms"]:
        fixture.make_evidence(tmp_path / "cells" / arm["cells"][0]["folder"], arm["name"], 2 * TRACES)
    html = report(tmp_path, summary)
    data = re.search(r'id="packed-traces">(.*?)</script>', html, re.S)
    assert data is not None
    shown = len(unpacked(data[1])["people"])
    assert 100 < shown <= TRACES
    assert f"{shown} of {2 * TRACES} respondents" in html
    assert len(html.encode()) < 8_000_000


def test_one_question_is_shown_as_it_was_asked_with_people_beside_it(html: str) -> None:
    assert "You live in Norway.\nIs accepting a bribe ever justified?\nAnswer:" in html
    row = re.search(r'<th scope="row">A</th>(.*?)</tr>', html, re.S)
    assert row is not None
    assert re.findall(r"[\d.]+%", row[1])[:2] == ["15.0%", "20.0%"]  # first shown is option 1: people .15, model .20


@pytest.mark.parametrize(
    ("value", "share", "text"),
    [
        (0.31415, False, "0.314"),
        (-0.0001, False, "0.000"),
        (-1.5, False, "−1.500"),
        (0.5, True, "50.0%"),
        (1234.56, False, "1234.6"),
        (math.nan, False, "—"),
        (math.inf, False, "—"),
        (None, True, "—"),
    ],
)
def test_numbers_in_words(value: Any, share: bool, text: str) -> None:
    assert wording.number(value, share) == text


def test_reference_conditions_in_words() -> None:
    assert wording.condition("reference:uniform (country+age)") == "uniform guess (country and age stated)"
    assert wording.measure("never_heard_of").title == "never heard of"


def test_a_missing_or_foreign_summary_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"summary\.json"):
        write_report(tmp_path)
    write_json(tmp_path / "summary.json", {"schema": 7})
    with pytest.raises(ValueError, match="schema 7"):
        write_report(tmp_path)
    write_json(tmp_path / "summary.json", {"schema": 2, "experiment": "x", "arms": []})
    with pytest.raises(ValueError, match="estimates"):
        write_report(tmp_path)
    assert not (tmp_path / "report.html").exists()


def test_what_else_differs_stands_beside_the_verdict(comparison: Path) -> None:
    text = (comparison / "report.html").read_text(encoding="utf-8")
    verdicts = re.findall(r"<article class=\"verdict.*?</article>", text, flags=re.DOTALL)
    with_warning = [one for one in verdicts if "Not matched." in one]
    assert len(with_warning) == 1
    assert "also in the budget (FLOPs 5.71e+12 against 7.61e+12)" in with_warning[0]
    assert "meant to differ in the objective (recipe match against dpo)" in with_warning[0]
