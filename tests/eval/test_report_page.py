"""The page as a page: well-formed, readable in light and dark, and no wall where there are many arms."""

from __future__ import annotations

import importlib.util
import itertools
import math
import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from data.files import read_json, write_json
from eval.report import figures, sections, wording, write_report
from eval.report.blocks import Block, spoken
from eval.report.numbers import packed
from eval.report.page import factors
from eval.report.palette import ARMS, COLOURS, theme
from eval.report.strip import WIDTH, strip
from eval.report.summary import DRAWN, Summary
from eval.report.svg import arm_colour, arm_ink, inline, new_figure, style, to_svg
from eval.report.tables import ACROSS, MOST_NOTES, MOST_ROWS, Cell, Column, Row, Table, notes, readable, words

VOID = set(re.findall(r"\w+", "area base br col embed hr img input link meta source track wbr"))
NAN = float("nan")


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Strict(HTMLParser):
    """Every element closed where it was opened; what is nested, named and referred to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.wrong: list[str] = []
        self.ids: Counter[str] = Counter()
        self.refers: set[str] = set()
        self.headings: list[int] = []
        self.unnamed: list[str] = []
        self._labels = 0
        self.feed(text)
        self.close()

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        if len(set(names)) < len(names):
            self.wrong.append(f"<{tag}> has an attribute twice: {names}")
        given = dict(attrs)
        self.ids.update([name for name in (given.get("id"),) if name])
        for name in ("aria-labelledby", "aria-describedby", "for"):
            self.refers.update((given.get(name) or "").split())
        if re.fullmatch(r"h[1-6]", tag):
            self.headings.append(int(tag[1]))
        inside = set(self.open)
        if tag in ("p", "div", "ul", "dl", "table", "section", "details") and "p" in inside:
            self.wrong.append(f"<{tag}> inside <p>")
        if tag in ("button", "a", "input", "select", "summary") and inside & {"button", "a", "summary"}:
            self.wrong.append(f"<{tag}> inside {inside & {'button', 'a', 'summary'}}")
        if tag in ("input", "select") and "label" not in inside and "aria-label" not in given:
            self.unnamed.append(f"<{tag} {given}>")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(f"</{tag}> at {self.getpos()}")


@pytest.fixture(scope="module")
def html(tmp_path_factory: pytest.TempPathFactory) -> str:
    text: str = write_report(load("report_fixture").make_experiment(tmp_path_factory.mktemp("experiment"))).read_text()
    return text


def test_the_page_is_well_formed_and_names_what_it_shows(html: str) -> None:
    page = Strict(html)
    assert page.wrong == []
    assert page.open == []
    assert page.unnamed == []
    assert page.refers <= set(page.ids)
    assert max(page.ids.values()) == 1
    assert page.headings[0] == 1
    assert page.headings.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(page.headings))
    assert len(re.findall(r"<caption>[^<]", html)) == html.count("<table")


def test_the_parser_of_this_test_sees_what_is_wrong() -> None:
    page = Strict('<p><div id="a"></div></p><b><i></b></i><input id="a"><h1></h1><h3 aria-labelledby="no"></h3>')
    assert len(page.wrong) == 3
    assert page.unnamed
    assert page.ids["a"] == 2
    assert not page.refers <= set(page.ids)


def luminance(colour: str) -> float:
    """WCAG 2.2: relative luminance of an sRGB colour."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(first: str, second: str) -> float:
    high, low = sorted((luminance(first), luminance(second)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_contrast_is_that_of_wcag() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.005)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_every_text_colour_can_be_read_on_every_ground_it_stands_on(dark: bool) -> None:
    colour = {name: pair[dark] for name, pair in COLOURS.items()}
    for text in ("ink", "muted", "link", "good", "bad", "warn"):
        for ground in ("paper", "raised"):
            assert contrast(colour[text], colour[ground]) >= 4.5, (text, ground)
    assert contrast(colour["ink"], colour["stamp"]) >= 4.5
    for arm in ARMS:
        assert contrast(arm[dark], colour["paper"]) >= 4.5, arm


def test_the_theme_sets_every_colour_in_both_and_paper_is_light() -> None:
    light, dark, switched = theme().splitlines()
    for name, pair in COLOURS.items():
        assert f"--{name}:{pair[0]};" in light
        assert f"--{name}:{pair[1]};" in dark
        assert f"--{name}:{pair[1]};" in switched
    assert "@media" not in light
    assert dark.startswith("@media screen and (prefers-color-scheme:dark)")
    assert switched.startswith("@media screen{:root[data-theme=dark]")


def crowd(count: int, **more: Any) -> Summary:
    arms = [{"name": "base", "recipe": "none"}, *({"name": f"arm{i}", "recipe": "sft"} for i in range(count))]
    return Summary({"schema": 2, "experiment": "x", "arms": arms, "estimates": [], **more})


def test_of_many_arms_the_base_the_pre_registered_and_an_even_choice_are_drawn() -> None:
    assert crowd(DRAWN - 1).drawn == crowd(DRAWN - 1).arms
    primary = [{"family": "primary", "arm": "arm29", "against": "mean of arm1, arm2"}, {"family": "exploratory"}]
    drawn = crowd(30, comparisons=primary).drawn
    assert len(drawn) == DRAWN
    assert drawn[0] == "base"
    assert drawn[-1] == "arm29"
    places = [int(name[3:]) for name in drawn[1:-1]]
    assert all(2 <= after - before <= 3 for before, after in itertools.pairwise(places))


def wide(arms: int, rows: int = 3) -> Table:
    columns = (Column("Measure", numeric=False), Column("Asked with", numeric=False),
               *(Column(f"arm{i}", series=i) for i in range(arms)))  # fmt: skip
    lines = tuple(
        Row((Cell(f"m{r}", "lower is better"), words(f"c{r}"), *(Cell(f"{r}.{i}") for i in range(arms))))
        for r in range(rows)
    )
    return Table("All", columns, lines, ("a note",))


def test_a_table_of_many_arms_is_turned_and_keeps_every_cell() -> None:
    assert readable(wide(DRAWN)) == (wide(DRAWN),)
    table = wide(DRAWN + 1, ACROSS + 1)
    first, second = readable(table)
    assert [column.title for column in first.columns] == ["Arm", *(f"m{r}" for r in range(ACROSS))]
    assert first.columns[1].direction == "c0; lower is better"
    assert [row.series for row in first.rows] == list(range(DRAWN + 1))
    assert [cell.text for cell in first.rows[4].cells] == ["arm4", *(f"{r}.4" for r in range(ACROSS))]
    assert [cell.text for cell in second.rows[4].cells] == ["arm4", f"{ACROSS}.4"]
    assert (first.caption, second.caption) == ("All (1 of 2)", "All (2 of 2)")
    assert (first.notes, second.notes) == ((), ("a note",))


def test_two_columns_an_arm_are_not_turned_and_a_long_table_says_where_it_ends() -> None:
    table = wide(DRAWN + 1)
    pairs = Table("Pairs", (*table.columns, *table.columns[2:]),
                  tuple(Row((*row.cells, *row.cells[2:])) for row in table.rows))  # fmt: skip
    assert readable(pairs) == (pairs,)
    (cut,) = readable(wide(2, MOST_ROWS + 5))
    assert len(cut.rows) == MOST_ROWS
    assert cut.notes[0].startswith(f"The first {MOST_ROWS} of {MOST_ROWS + 5} rows")


def test_many_different_reasons_are_counted() -> None:
    rows = [Row((Cell("a"), Cell("1", "no interval", 1.0, why=f"n = 1; reason {i}"))) for i in range(MOST_NOTES + 3)]
    said = notes([Column("Arm"), Column("Value")], rows)
    assert len(said) == MOST_NOTES + 1
    assert said[-1].startswith("3 more reasons")


def test_what_is_drawn_in_an_arms_colour_belongs_to_the_arm() -> None:
    with style():
        figure = new_figure(2, 1)
        axes = figure.subplots()
        axes.plot([0, 1], [0, 1], color=arm_colour(17))
        axes.set_xlabel("x").set_color(arm_ink(300))
        svg = inline(to_svg(figure, "f", "t", "d"))
    assert re.search(r'<path class="s17"[^>]*stroke: var\(--arm-3, #147a56\)', svg)
    assert re.search(r'<text class="s300"[^>]*fill: var\(--ink, #1c1c1c\)', svg)
    assert not re.search(r"#0[123]\d{4}\b", svg)


def test_a_row_of_a_forest_can_be_hidden_and_the_gap_closed() -> None:
    dots = [figures.Dot(f"arm{i}", i, 0.1 * i, NAN, NAN, f"arm{i}: 0 (n = 3; why; so)") for i in (0, 4, 9)]
    svg = figures.dots("f", "t", spoken(one.tip for one in dots), dots, references={"floor": 0.1}, one_row_each=True)
    assert 'data-rows="0 4 9"' in svg
    found = re.search(r'data-pitch="([\d.]+)"', svg)
    assert found is not None
    places = [float(y) for y in re.findall(r'<text class="s\d+"[^>]* y="([\d.]+)"', svg)]
    assert [after - before for before, after in itertools.pairwise(places)] == pytest.approx(
        [float(found[1])] * 2, abs=0.02
    )
    assert ">arm0: 0; arm4: 0; arm9: 0</desc>" in svg


def test_a_long_training_is_drawn_by_means() -> None:
    steps = [float(step) for step in range(10 * figures.POINTS)]
    x, y = figures.thinned(steps, [2 * step for step in steps])
    assert len(x) == len(y) == figures.POINTS
    assert (x[0], y[0]) == (4.5, 9.0)
    assert figures.thinned([1, 2], [NAN, 3])[1][1] == 3
    hole = figures.thinned(steps, [NAN] * 10 + steps[10:])[1]
    assert math.isnan(hole[0])
    assert hole[1] == 14.5


def test_a_verdicts_strip_has_0_in_the_middle_and_its_numbers_in_proportion() -> None:
    svg = strip(0.1, 0.05, 0.2, 0.05)
    ends = re.search(r'x1="([\d.]+)" x2="([\d.]+)" y1="17" y2="17" stroke="currentColor"', svg)
    circle = re.search(r'cx="([\d.]+)"', svg)
    assert ends is not None
    assert circle is not None
    low, high, dot = float(ends[1]), float(ends[2]), float(circle[1])
    middle = WIDTH / 2
    assert (high - middle) / (low - middle) == pytest.approx(4, rel=0.01)
    assert (dot - middle) / (low - middle) == pytest.approx(2, rel=0.01)
    assert "aria-hidden" in svg
    assert strip(NAN, NAN, NAN, 0.1) == ""
    assert 'currentColor" stroke-width' not in strip(0.1, NAN, NAN, 0.1)


def test_verdicts_are_counted_decided_ones_first() -> None:
    verdicts = [{"verdict": word} for word in ("NO VERDICT", "INCONCLUSIVE", "SUPPORTED", "INCONCLUSIVE", "OTHER")]
    assert wording.tally(verdicts) == [("SUPPORTED", 1), ("INCONCLUSIVE", 2), ("NO VERDICT", 1), ("OTHER", 1)]


def test_a_long_reason_is_clipped_at_a_word() -> None:
    assert wording.clipped("short") == "short"
    assert wording.clipped("one, two, three", 10) == "one, two …"


def test_the_filter_offers_what_arms_differ_in() -> None:
    arms = [{"name": "a", "recipe": "sft", "adapter": "full", "tags": {"origin": "China", "parameters": 7}},
            {"name": "b", "recipe": "sft", "adapter": "lora", "tags": {"origin": None, "parameters": 7}}]  # fmt: skip
    found = factors(Summary({"arms": arms}))
    assert found == {"adapter": {"full": ["a"], "lora": ["b"]}, "origin": {"China": ["a"], "—": ["b"]}}


def test_how_much_was_run_in_a_few_words() -> None:
    arms = [{"name": "base", "recipe": "none"}, {"name": "a", "recipe": "sft", "seeds": [0, 1, 2], "draws": [0]}]
    split = {"held_out_items": ["q"] * 4, "held_out_countries": ["NOR"] * 9}
    said = Summary({"arms": arms, "split": split}).size
    assert said == "2 arms · 3 training seeds × 1 data draw · 4 questions and 9 countries held out"
    arms.append({"name": "b", "recipe": "sft", "seeds": [0], "draws": [0]})
    assert "up to 3 training seeds × 1 data draw" in Summary({"arms": arms}).size
    cells = [{"seed": seed, "draw": seed} for seed in (0, 1)]
    own = [{"name": "match", "recipe": "match", "seeds": [0, 1], "draws": [0, 1], "cells": cells}]
    assert "2 training seeds, each with its own data draw" in Summary({"arms": own}).size


def test_a_study_has_its_section_its_link_and_its_first_points_at_the_head(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def made(*_: Any) -> list[Block]:
        return [Block("How to read", "So."), Block("Numbers", "These.", points=tuple(f"point {i}" for i in range(9)))]

    studies = (
        sections.Study("one", "The first study", "First", made, leads=True),
        sections.Study("two", "The second study", "Second", made),
        sections.Study("none", "No study", "None", lambda *_: []),
    )
    monkeypatch.setattr(sections, "STUDIES", studies)
    write_json(tmp_path / "summary.json", {"schema": 2, "experiment": "x", "arms": [{"name": "a"}], "estimates": []})
    text = write_report(tmp_path).read_text(encoding="utf-8")
    for anchor, title, short in (("one", "The first study", "First"), ("two", "The second study", "Second")):
        assert f'<section id="{anchor}">\n<h2>{title}</h2>' in text
        assert f'<a href="#{anchor}">{short}</a>' in text
    assert "No study" not in text
    head = text[text.index('id="finding"') : text.index('id="glance"')]
    assert re.findall(r"point \d", head) == [f"point {i}" for i in range(sections.HEADLINES)]
    assert "No finding was written" not in head


def test_packing_is_the_same_every_time() -> None:
    assert packed({"a": [1.5, None, "ü"]}) == packed({"a": [1.5, None, "ü"]})


@pytest.mark.slow
def test_thirty_arms_of_three_seeds_and_two_draws_stay_under_eight_megabytes(tmp_path: Path) -> None:
    comparison: Path = load("crowded_report").make_experiment(tmp_path)
    report = write_report(comparison)
    text = report.read_text(encoding="utf-8")
    assert len(text.encode()) < 7_000_000
    assert Strict(text).wrong == []
    summary = read_json(comparison / "summary.json")
    assert len(summary["estimates"]) > 20_000
    assert f"Drawn: {DRAWN} of 31 arms" in text
    assert all(f">{arm['name']}</text>" in text for arm in summary["arms"])
    assert text.count("<figure") == text.count("<svg role")
    longest = max(len(re.findall("<tr", table)) for table in re.findall(r"<table.*?</table>", text, re.S))
    assert longest <= MOST_ROWS + 1
    widest = max(len(re.findall('<th scope="col"', head)) for head in re.findall(r"<thead>.*?</thead>", text, re.S))
    assert widest <= 2 * DRAWN + 6
