"""DEF's own part of the page: what the participants answered beside people, what each modification does, whose people
they resemble, and written answers as they came.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from eval.diversity_enhanced.answers import preference_answers
from eval.diversity_enhanced.participants import ABLATIONS, PARTICIPANTS
from eval.diversity_enhanced.replies import UNPARSED
from eval.report import wording
from eval.report.blocks import Block
from eval.report.evidence import Cell as Folder
from eval.report.evidence import read_items
from eval.report.summary import Summary
from eval.report.tables import Cell, Column, Row, Table, arm_cell, arm_columns, estimate_cell, words

AUDIT = "def"
GROUPS = "participants:groups"
EXAMPLES = 10
LONGEST = 400
PEOPLE = "People"
DIVERSITY = ("response_diversity", "response_diversity_ratio", "wording_diversity", "wording_distance")
RESEMBLE = ("preferred_share", "fidelity", "profile_match_as_published")
READING = {
    True: "the mean of the probabilities that each answer was drawn from",
    False: "shares of the written answers that could be read",
}


def blocks(summary: Summary, cells: Sequence[Folder], svgs: dict[str, str]) -> list[Block]:
    """The blocks of DEF's section for which there is something to show; nothing is drawn, `svgs` stays as it is."""
    items = _items(cells)
    found = [*_preferences(summary, items), _diversity(summary), _ablations(summary), _groups(summary), _written(items)]
    return [block for block in found if block is not None]


def _items(cells: Sequence[Folder]) -> dict[str, pd.DataFrame]:
    """The evidence of the first cell of each arm; that of another form is left out."""
    found: dict[str, pd.DataFrame] = {}
    for cell in cells:
        table = None if cell.arm in found else read_items(cell, AUDIT)
        if table is not None and {"condition", "options", "order", "greedy", "answer", "q"} <= set(table):
            found[cell.arm] = table
    return found


def _preferences(summary: Summary, items: dict[str, pd.DataFrame]) -> list[Block]:
    answers = {arm: _one_reading(preference_answers(table)) for arm, table in items.items()}
    answers = {arm: table for arm, table in answers.items() if len(table)}
    if not answers:
        return []
    together, apart = [], []
    for item in sorted({name for table in answers.values() for name in table["item"]}):
        question, options = _question(items, item)
        tables = {arm: table[table["item"] == item] for arm, table in answers.items()}
        columns = (
            Column("Whose", numeric=False),
            *map(Column, options),
            Column("Answers", "", "Participants' answers."),
        )
        units = pd.concat(tables.values()).drop_duplicates("country").sort_values("country")
        caption = f"{question} ({item}; {len(units)} {'country' if len(units) == 1 else 'countries'})"
        rows = [_shares(PEOPLE, units)]
        rows += [_shares(arm, table, summary, arm) for arm, table in tables.items() if len(table)]
        together.append(Table(caption, columns, tuple(rows)))
        each = []
        for country in units["country"]:
            named = wording.country(country)
            each.append(_shares(f"{named}: people", units[units["country"] == country]))
            owns = {arm: table[table["country"] == country] for arm, table in tables.items()}
            each += [_shares(f"{named}: {arm}", own, summary, arm) for arm, own in owns.items() if len(own)]
        apart.append(Table(caption, columns, tuple(each)))
    reading = READING[any("p" in table for table in items.values())]
    intro = f"Of each question, the mean over countries: people's answers, and participants' ({reading}). In per cent."
    same = "The same, a country at a time."
    return [
        Block("What the participants answered", intro, tuple(together)),
        Block("What they answered, country by country", same, tuple(apart), folded=True),
    ]


def _one_reading(answers: pd.DataFrame) -> pd.DataFrame:
    """The expected reading where there is one, with `answers`, how many answers were read."""
    counted = answers[answers["condition"] == PARTICIPANTS].set_index(["item", "country"])["n_model"]
    expected = answers[answers["condition"] != PARTICIPANTS]
    kept = expected if len(expected) else answers
    return kept.join(counted.rename("answers"), on=["item", "country"])


def _question(items: dict[str, pd.DataFrame], item: str) -> tuple[str, list[str]]:
    """The wording of an item and its options in their own order."""
    row = next(table[table["item"] == item].iloc[0] for table in items.values() if (table["item"] == item).any())
    options = [""] * len(row["order"])
    for place, index in enumerate(row["order"]):
        options[int(index)] = str(row["options"][place])
    return str(row["question"]), options


def _shares(whose: str, rows: pd.DataFrame, summary: Summary | None = None, arm: str = "") -> Row:
    """The mean of an arm's distributions, with the number of answers; of people's where there is no summary."""
    mean = np.stack(rows["q" if summary is None else "p"].to_list()).astype(np.float64).mean(axis=0)
    cells = [Cell(f"{100 * share:.0f}", sort=float(share)) for share in mean]
    if summary is None:
        return Row((words(whose), *cells, Cell(wording.DASH)), reference=True)
    answers = float(rows["answers"].sum())
    return Row((words(whose), *cells, Cell(wording.count(answers), sort=answers)), summary.series(arm))


def _diversity(summary: Summary) -> Block | None:
    names = [name for name in DIVERSITY if summary.conditions(AUDIT, name)]
    if not names:
        return None
    rows = []
    for arm in summary.arms:
        keys = [(arm, AUDIT, name, "all", PARTICIPANTS) for name in names]
        found = [summary.estimates.get(key) for key in keys]
        if any(found):
            shares = [wording.measure(name, AUDIT).share for name in names]
            cells = [estimate_cell(one, key, share) for one, key, share in zip(found, keys, shares, strict=True)]
            rows.append(Row((arm_cell(summary, arm), *cells), summary.series(arm)))
    again = summary.reference(AUDIT, "response_diversity", "reference:people_again")
    if again is not None:
        rest = [Cell(wording.DASH, why="not computed for this row") for _ in names[1:]]
        rows.append(Row((words("people, as many"), estimate_cell(again), *rest), reference=True))
    columns = (Column("Arm", numeric=False), *_columns(names))
    intro = (
        "Opinions and wordings apart: how many different answers the participants of a country give to a question, "
        "and, where they explain, how different the explanations of one answer are."
    )
    return Block("How diverse the participants are", intro, (Table("Response diversity", columns, tuple(rows)),))


def _ablations(summary: Summary) -> Block | None:
    there = summary.conditions(AUDIT, "effect_on_js_distance")
    asked = [name for name in ABLATIONS if name in there]
    if not asked:
        return None
    columns = (Column("Without", numeric=False), Column("Measure", numeric=False), *arm_columns(summary))
    rows = []
    for ablation in asked:
        for name in ("js_distance", "response_diversity"):
            for measure, conditions in (
                (name, (f"{ablation}:expected", ablation) if name == "js_distance" else (ablation,)),
                (f"effect_on_{name}", (ablation,)),
            ):
                cells = [_first(summary, arm, measure, conditions) for arm in summary.arms]
                title = wording.measure(measure, AUDIT)
                rows.append(Row((words(wording.condition(ablation)), Cell(title.title, title.direction), *cells)))
    intro = (
        "The same participants, asked again with one of the three diversity modifications switched off. An effect is "
        "the full design less that without, paired by question and country; an interval that reaches 0 shows none. "
        "Options in their own order flatter a model that takes the first one, where people take it too: compare with "
        "the place of the option."
    )
    return Block("What the diversity modifications do", intro, (Table("Ablations", columns, tuple(rows)),))


def _first(summary: Summary, arm: str, measure: str, conditions: Sequence[str]) -> Cell:
    for condition in conditions:
        key = (arm, AUDIT, measure, "all", condition)
        if key in summary.estimates:
            return estimate_cell(summary.estimates[key], key)
    return estimate_cell(None)


def _groups(summary: Summary) -> Block | None:
    levels = [group for group in summary.values(AUDIT, "group", name="preferred_share") if "=" in group]
    if not levels:
        return None
    columns = (Column("Group", numeric=False), Column("Arm", numeric=False), *_columns(RESEMBLE))
    rows = []
    for level in sorted(levels):
        for arm in summary.arms:
            keys = [(arm, AUDIT, name, level, GROUPS) for name in RESEMBLE]
            found = [summary.estimates.get(key) for key in keys]
            if any(found):
                shares = [wording.measure(name, AUDIT).share for name in RESEMBLE]
                cells = [estimate_cell(one, key, share) for one, key, share in zip(found, keys, shares, strict=True)]
                rows.append(Row((words(level.replace("=", " ")), arm_cell(summary, arm), *cells), summary.series(arm)))
    gaps = [f"{axis}_gap" for axis in ("age", "sex", "education")]
    gaps = [name for name in gaps if summary.conditions(AUDIT, name)]
    paired = [
        Row((arm_cell(summary, arm), *(_first(summary, arm, name, (GROUPS,)) for name in gaps)), summary.series(arm))
        for arm in summary.arms
    ]
    tables = [Table("Groups of people", columns, tuple(rows))]
    if gaps:
        tables.append(Table("Gaps", (Column("Arm", numeric=False), *_columns(gaps)), tuple(paired)))
    intro = (
        "Of a participant only the place is said; the answers of a country are held against each age band, sex and "
        "level of education of its people. Read the rates: the published profile match asks which group has "
        "the most heads with the preferred answer, so that the largest group wins whatever the model answers. It is "
        "shown beside them for comparison with the published tables only."
    )
    return Block("Whose people the participants resemble", intro, tuple(tables))


def _columns(names: Sequence[str]) -> tuple[Column, ...]:
    found = [wording.measure(name, AUDIT) for name in names]
    return tuple(Column(one.title, one.direction, one.plain) for one in found)


def _written(items: dict[str, pd.DataFrame]) -> Block | None:
    """Written answers as they came, evenly over arms, read or not."""
    written = {arm: table[table["condition"] == PARTICIPANTS] for arm, table in items.items() if "reply" in table}
    written = {arm: table for arm, table in written.items() if len(table)}
    if not written:
        return None
    rows = []
    for arm, table in written.items():
        places = np.linspace(0, len(table) - 1, math.ceil(EXAMPLES / len(written))).round().astype(int)
        for row in table.iloc[sorted(set(places.tolist()))].to_dict("records"):
            reply = str(row["reply"])
            shown = reply if len(reply) <= LONGEST else f"{reply[:LONGEST]}…"
            who = (
                f"{row['place']}, {wording.country(row['country'])}"
                if row["place"]
                else wording.country(row["country"])
            )
            _, options = _question({arm: table}, str(row["item"]))
            answer = "unreadable" if row["answer"] == UNPARSED else f"{row['letter']}: {options[int(row['answer'])]}"
            rows.append(
                Row((words(arm), words(who), words(row["question"]), words(shown or "(nothing)"), words(answer)))
            )
    titles = ("Arm", "Participant", "Question", "Reply", "Read as")
    table = Table(
        "Replies, evenly spaced", tuple(Column(title, numeric=False) for title in titles), tuple(rows[:EXAMPLES])
    )
    intro = "What participants wrote, and how it was read: one option named by its letter or text, or unreadable."
    return Block("Written answers", intro, (table,))
