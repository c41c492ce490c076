"""Whom first-token answers represent: a table a demographic, whose answers they are by themselves, what the country in
the prompt brings, and how much the manner of asking does.

Arms stand side by side; every number is an estimate of summary.json and is named by its `key`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from eval.report import evidence, wording
from eval.report.blocks import Block
from eval.report.summary import Summary
from eval.report.tables import Cell, Column, Row, Table, arm_cell, estimate_cell, words

AUDIT = "first_token"
DEMOGRAPHICS = ("age", "sex", "education")
_BESIDE = ("people_again", "other_countries_mean", "uniform")
PUBLISHED = ("one_minus_js_as_published", "accuracy_as_published", "emd_as_published")


def blocks(summary: Summary, cells: Sequence[evidence.Cell], svgs: dict[str, str]) -> list[Block]:
    """The first-token audit's own blocks; those that nothing was measured for are left out."""
    made = [_groups(summary), _home(summary), _knowledge(summary), _manners(summary), _published(summary)]
    return [block for block in made if block.tables]


def _cell(summary: Summary, arm: str, name: str, group: str, condition: str) -> Cell:
    key = (arm, AUDIT, name, group, condition)
    return estimate_cell(summary.estimates.get(key), key, wording.measure(name, AUDIT).share)


def _reference(summary: Summary, name: str, row: str, group: str, condition: str = "country") -> Cell:
    suffix = "" if condition == "country" else f" ({condition})"
    found = summary.reference(AUDIT, name, f"{wording.REFERENCE}{row}{suffix}", group)
    return estimate_cell(found, (), wording.measure(name, AUDIT).share)


def _levels(summary: Summary, kind: str, name: str, condition: str) -> list[str]:
    """Groups of a kind that have the measure under the condition: by their first number, else by name."""
    found = {
        key[3]
        for key in summary.estimates
        if key[1:3] == (AUDIT, name) and key[3].startswith(f"{kind}=") and key[4] == condition
    }
    return sorted(found, key=lambda group: (float((re.findall(r"\d+", group) or ["inf"])[0]), _named(group)))


def _named(group: str) -> str:
    kind, _, level = group.partition("=")
    return wording.country(level) if kind == "country" else level


def _groups(summary: Summary) -> Block:
    tables = []
    for kind in ("country", *DEMOGRAPHICS):
        condition = "country" if kind == "country" else f"country+{kind}"
        levels = _levels(summary, kind, "js_distance", condition)
        if not levels:
            continue
        columns = [Column(kind.capitalize(), numeric=False), Column("People", "", wording.measure("people").plain)]
        for arm in summary.drawn:
            columns += [Column(f"{title}, {arm}", series=summary.series(arm)) for title in ("JS distance", "Excess")]
        columns += [Column(wording.condition(f"{wording.REFERENCE}{row}").capitalize()) for row in _BESIDE]
        rows = []
        for group in levels:
            shown = [words(_named(group)), _whole(_reference(summary, "people", "people", group, condition))]
            for arm in summary.drawn:
                shown += [_cell(summary, arm, name, group, condition) for name in ("js_distance", "fidelity")]
            shown += [_reference(summary, "js_distance", row, group, condition) for row in _BESIDE]
            rows.append(Row(tuple(shown)))
        title = f"By {kind}: {wording.condition(condition)}, held-out questions"
        tables.append(Table(title, tuple(columns), tuple(rows)))
    return Block(
        "Country by country, group by group",
        "JS distance to a group's people, and the excess: the same with the noise of their finite number taken out "
        "(where the source gives one), by which groups of different size are compared. The last columns are the "
        "same distance for the same questions: of people asked again (so far away is a second survey of as many "
        "people; an exact copy of the population comes nearer, by up to a third), of the mean of the other countries, "
        "and of an even guess. Surveys put different questions to different groups: a row "
        "worse than another may have had harder questions, which the reference columns show. A heading sorts.",
        tuple(tables),
        folded=True,
    )


def _whole(cell: Cell) -> Cell:
    """A count of people needs no decimals and has no interval."""
    return cell if cell.sort is None else Cell(wording.count(round(cell.sort)), "", cell.sort, cell.key, cell.why)


def _home(summary: Summary) -> Block:
    names = ("us_centrism", "similarity_to_home", "similarity")
    pull = _by_condition(summary, names, "Pull of the home country, without and with a persona", _named_condition)
    groups = _levels(summary, "country", "similarity", "none")
    columns = (
        Column("Country", numeric=False),
        *(Column(f"Similarity, {arm}", series=summary.series(arm)) for arm in summary.drawn),
    )
    rows = [
        Row((words(_named(group)), *(_cell(summary, arm, "similarity", group, "none") for arm in summary.drawn)))
        for group in groups
    ]
    near = [Table("Similarity of the answers given for nobody to each country's people", columns, tuple(rows))]
    return Block(
        "Whose answers they are by themselves",
        "US-centrism: how much nearer an answer is to people in the United States than to the people it was given "
        "for. Answers near the middle of all countries score something too, so the rows below say what an even answer "
        "and the countries' own people score on the same questions: only what goes beyond them is a pull.",
        (*([pull] if pull else []), *(near if rows else [])),
        folded=True,
    )


def _named_condition(condition: str) -> bool:
    return "+" not in condition and not condition.startswith("shuffled")


def _knowledge(summary: Summary) -> Block:
    columns = (
        Column("Arm", numeric=False),
        Column("Asked with", numeric=False),
        Column("JS distance, wrong country"),
        Column("Country knowledge", wording.measure("country_knowledge").direction),
        Column("Between countries", wording.measure("between_ratio").direction),
    )
    rows = []
    for arm in summary.arms:
        for condition in summary.conditions(AUDIT, "country_knowledge"):
            shown = [
                _cell(summary, arm, "js_distance", "all", "shuffled_persona") if condition == "country" else words("—"),
                _cell(summary, arm, "country_knowledge", "all", condition),
                _cell(summary, arm, "between_ratio", "all", condition),
            ]
            if (arm, AUDIT, "country_knowledge", "all", condition) in summary.estimates:
                rows.append(
                    Row((arm_cell(summary, arm), words(wording.condition(condition)), *shown), summary.series(arm))
                )
    table = Table("The right country against a wrong one", columns, tuple(rows))
    return Block(
        "Does it know the country, or only the question?",
        "Each country's people are also held against the answers given for every other country. Country knowledge is "
        "how much nearer the right country's answers are: at 0 (within its interval) the persona could as well name "
        "another country. Both are taken on the questions that two countries or more were asked.",
        (table,) if rows else (),
    )


def _manners(summary: Summary) -> Block:
    moved = _by_condition(summary, ("persona_distance", "language_distance"), "How far the manner moves the answer")
    asked = [c for c in summary.conditions(AUDIT, "js_distance") if " (" in c]
    names = ("js_distance", "between_ratio", "option_mass")
    bases = {c.partition(" (")[0] for c in asked}
    fit = _by_condition(summary, names, "Manner by manner", lambda c: c in asked or c in bases) if asked else None
    return Block(
        "How much depends on the manner of asking",
        "The same question for the same group with the persona in another style, or all of it in another language. A "
        "difference between arms that is smaller than what another wording does should not be built on. The condition "
        "without a manner is the mean over all pairs of them; a manner by name is held against the main one.",
        tuple(table for table in (moved, fit) if table),
        folded=True,
    )


def _published(summary: Summary) -> Block:
    columns = [Column("Country", numeric=False)]
    names = [name for name in PUBLISHED if summary.conditions(AUDIT, name)]
    columns += [
        Column(f"{wording.measure(name).title}, {arm}", series=summary.series(arm))
        for arm in summary.drawn
        for name in names
    ]
    rows = [
        Row((words(_named(g)), *(_cell(summary, arm, n, g, "country") for arm in summary.drawn for n in names)))
        for g in (_levels(summary, "country", names[0], "country") if names else [])
    ]
    table = Table("By country, in the measures of published tables", tuple(columns), tuple(rows))
    return Block(
        "As published elsewhere",
        "For putting rows beside those of published tables, and for nothing else: 1 − JS runs from 0.167 to 1, the EMD "
        "does not see where the answers are, and prompts, surveys and option orders are not those of the papers. No "
        "verdict rests on these.",
        (table,) if rows else (),
        folded=True,
    )


def _by_condition(
    summary: Summary, names: Sequence[str], title: str, wanted: Callable[[str], bool] = lambda condition: True
) -> Table | None:
    """Arms × conditions in rows, measures in columns, then the reference rows of the first measure's condition."""
    names = [name for name in names if summary.conditions(AUDIT, name)]
    asked = list(dict.fromkeys(c for name in names for c in summary.conditions(AUDIT, name) if wanted(c)))
    rows = []
    for arm in summary.arms:
        for condition in sorted(asked, key=lambda c: (c.partition(" (")[0] != "none", c)):
            cells = [_cell(summary, arm, name, "all", condition) for name in names]
            if any(cell.sort is not None for cell in cells):
                rows.append(
                    Row((arm_cell(summary, arm), words(wording.condition(condition)), *cells), summary.series(arm))
                )
    if not rows:
        return None
    for reference in (r for r in ("uniform", "people") if "us_centrism" in names):
        shown = [_reference(summary, name, reference, "all") for name in names]
        rows.append(Row((words(wording.condition(f"{wording.REFERENCE}{reference}")), words(""), *shown), None, True))
    columns = [Column("Arm", numeric=False), Column("Asked with", numeric=False)]
    columns += [Column(m.title, m.direction, m.plain) for m in (wording.measure(name, AUDIT) for name in names)]
    return Table(title, tuple(columns), tuple(rows))
