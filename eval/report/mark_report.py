"""What MARK adds to its tables: how far the stages can be believed, stage by stage, what its accuracy says about the
people beyond the sample, and the types that each arm gives.
"""

from __future__ import annotations

from collections.abc import Sequence

from eval.report import evidence, wording
from eval.report.blocks import Block
from eval.report.summary import Summary
from eval.report.tables import Cell, Column, Row, Table, arm_columns, estimate_cell

_CHECKS = (
    ("Stress: some fact stands out", "stage_validity", "S1 stress", "share of people; 100% is best"),
    ("Type: one function leads clearly", "decisiveness", "S2 type", "0 a toss, 1 certain"),
    ("Type: found again with the facts in another order", "type_stability", "features shuffled", "100% is best"),
    ("… where types are given by chance, as often", "type_stability", "reference:chance", ""),
    ("Functions: stress harms some and not others", "stage_validity", "S3 impact", "share of people"),
    ("Functions: harm or no harm is clear", "decisiveness", "S3 impact", "0 a toss, 1 certain"),
    ("Functions: weights fall with the rank, as asked", "stage_validity", "S3 weights", "100% is best"),
    ("Functions: the answer moves with the order of options", "position_effect", "S3 answer", "0 is best"),
    ("Check: the answer fits the function at once", "consistency_rate", "S4 consistency", "neither end is better"),
    ("Check: fit or no fit is clear", "decisiveness", "S4 consistency", "0 a toss, 1 certain"),
    ("Check: a revision changed the answer", "revision_changed_rate", "S4 consistency", ""),
    ("End: the final answer is the vote's", "vote_agreement", "mark", "100% is best"),
)
_REASONS = (
    ("Without the fact that the explanation names first", "feature: greatest", ""),
    ("Without another fact", "feature: another", ""),
    ("Difference", "feature: difference", "over 0: the fact named is one that counts"),
    ("Asked again with nothing taken away", "feature: asked again", "what sampling alone moves"),
    ("Without the function that the explanation names first", "function: greatest", ""),
    ("Without another function", "function: another", ""),
    ("Difference", "function: difference", "partly arithmetic: a heavier function moves the vote more"),
)
_ACCURACY = ("mark", "demographics_only", "reference:no_person", "reference:majority_of_country", "reference:random")


def blocks(summary: Summary, cells: Sequence[evidence.Cell], svgs: dict[str, str]) -> list[Block]:
    """None where no arm was audited with MARK."""
    made = [
        Block(
            "Do the stages decide anything?",
            "Each stage is checked by itself. Where verdicts hang on a hair, types, stress and weights are noise with "
            "names, whatever the traces below say.",
            _tables(summary, [("Stage by stage", _CHECKS)], "stage"),
        ),
        Block(
            "Texts that did not fulfil their form",
            "Of all texts that a stage had written. One that fails is asked again with other seeds; what still fails "
            "is counted here, and the decisions that need it are left out. Nothing is made up.",
            _tables(summary, [("Failed after all attempts", _failures(summary, "stage_failed"))], "text"),
            folded=True,
        ),
        Block(
            "Are the reasons the ones that count?",
            "What an explanation names is taken away, and something else. If the answer moves no more without the "
            "reason given than without another, the reason is decoration.",
            _tables(
                summary, [("How far the answer moves", [(t, "faithfulness", c, h) for t, c, h in _REASONS])], "taken"
            ),
        ),
        Block(
            "For the sample and for the people",
            "The sample takes about as many people from every country and age band. Weighted by how many each stands "
            "for (survey weight over the probability of being drawn), accuracy speaks for the survey's people in the "
            "held-out countries.",
            _tables(
                summary,
                [
                    ("In the sample", [(wording.condition(c), "accuracy", c, "") for c in _ACCURACY]),
                    ("Weighted to the people", [(wording.condition(c), "accuracy_weighted", c, "") for c in _ACCURACY]),
                ],
                "prediction",
            ),
        ),
        Block("Types given", "Share of people, by arm.", _types(summary), folded=True),
    ]
    return [block for block in made if block.tables]


def _failures(summary: Summary, name: str) -> list[tuple[str, str, str, str]]:
    return [(stage, name, stage, "") for stage in summary.conditions("mark", name, "all")]


def _tables(
    summary: Summary, parts: Sequence[tuple[str, Sequence[tuple[str, str, str, str]]]], head: str
) -> tuple[Table, ...]:
    """Rows of (title, measure, condition, hint) under each caption, a column an arm."""
    found = []
    for caption, rows in parts:
        made = [row for title, name, condition, hint in rows if (row := _row(summary, title, name, condition, hint))]
        if made:
            columns = (Column(head.capitalize(), numeric=False), *arm_columns(summary))
            found.append(Table(caption, columns, tuple(made)))
    return tuple(found)


def _row(summary: Summary, title: str, name: str, condition: str, hint: str, group: str = "all") -> Row | None:
    keys = [(arm, "mark", name, group, condition) for arm in summary.arms]
    estimates = [summary.estimates.get(key) for key in keys]
    if not any(estimates):
        return None
    share = wording.measure(name, "mark").share
    cells = [estimate_cell(one, key, share) for one, key in zip(estimates, keys, strict=True)]
    return Row((Cell(title, hint), *cells), None, condition.startswith(wording.REFERENCE))


def _types(summary: Summary) -> tuple[Table, ...]:
    groups = sorted(group for group in summary.values("mark", "group", name="type_share") if group.startswith("type="))
    rows = [_row(summary, group.removeprefix("type="), "type_share", "S2 type", "", group) for group in groups]
    columns = (Column("Type", numeric=False), *arm_columns(summary))
    made = tuple(row for row in rows if row)
    return (Table("Types", columns, made),) if made else ()
