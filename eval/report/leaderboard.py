"""The leaderboard on the page: values and costs, the ranks that each arm may have, and fit against variation."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from eval.leaderboard import CONTROL
from eval.report import evidence, wording
from eval.report.blocks import Block, Panel, slugged, spoken
from eval.report.pareto import Spot, pareto
from eval.report.summary import Summary, as_float
from eval.report.tables import NOT_COMPUTED, Cell, Column, Row, Table, words
from eval.report.wording import DASH, listing, number

PARTS = {
    "all": "New questions, new countries",
    "seen items": "Trained questions, new countries",
    "later wave": "Trained questions and countries, asked again in a later wave",
}
BOARD = (
    "Every arm beside every other, a measure a column; click a heading to sort, the best come first. There is no "
    "total: how much fit an hour of training is worth is the reader's to say. Brackets under a value are its own 95% "
    "interval. A rank is given as the places that an arm may hold: behind the arms that are better and before those "
    "that are worse, as far as differences on the same questions can tell. All of an arm's comparisons hold together "
    "with {confidence:.0%} confidence; arms that nothing tells apart share their places. Below stands in how many "
    "resamples the arm leads, which describes this sample and is not the chance that it leads in the next."
)
LATER = "The same for this part of the questions, to be read as above."
ONCE = (
    " Trained arms have one training seed here: neither intervals nor places cover what another training would bring, "
    "and arms may change places."
)
FRONTS = (
    "Left is closer to people, and the line is the variation that people have: an arm is better the nearer it comes to "
    "the line, from above or from below. Hollow: dominated, another arm is better in both, by differences that hold as "
    "those of the ranks do. Filled: none is shown to be better in both, which is not to say that none is. Lines are "
    "95% intervals of an arm's own values."
)
COST = "What training and asking took. Not ranked: an arm that trains nothing is cheap, and may be good for nothing."
APART = "These arms take no part in ranks and pictures; what could be measured of them stands in the audits' sections."
COSTS = {
    "flops": ("Training FLOPs", "Floating point operations of training, counted from tokens and parameters."),
    "seconds": ("Training seconds", "On the machine that trained it; what else ran there is in it."),
    "examples": ("Training examples", "Those that were seen, each once."),
    "asked_tokens": ("Tokens asked", "Distinct prompt tokens of all audits: what asking in another way costs."),
}
TITLES = {"fit": "Fit", "home_bias": "Home bias", "stability": "Stability"}


def blocks(summary: Summary, cells: Sequence[evidence.Cell], svgs: dict[str, str]) -> list[Block]:
    """From summary.json's "leaderboard": a board a part of the questions, what each arm cost, and who is not ranked;
    nothing where there is none.
    """
    found = summary.raw.get("leaderboard") or {}
    if not found:
        return []
    arms = {row["arm"]: row for row in found["arms"]}
    made = []
    for place, board in enumerate(found["boards"]):
        where = PARTS.get(board["group"], board["group"])
        standing = tuple(_may_be_best(column, board, arms) for column in board["columns"])
        once = any("one training seed" in column["method"] for column in board["columns"])
        intro = (LATER if place else BOARD.format(confidence=found["confidence"])) + ONCE * once
        both = (_values(summary, board, arms), _ranks(summary, board, arms))
        made.append(Block(where, intro, both, points=standing))
        if board["fronts"]:
            panels = tuple(_front(summary, board, front, svgs) for front in board["fronts"])
            points = tuple(_dominated(board, front) for front in board["fronts"])
            told = LATER if place else FRONTS
            made.append(Block(f"{where}: fit against variation", told, (), panels, points=points))
    made.append(Block("What each arm cost", COST, (_costs(summary, found["arms"]),)))
    if apart := [row for row in found["arms"] if row["why"]]:
        columns = (Column("Arm", numeric=False), Column("Kind", numeric=False), Column("Why", numeric=False))
        rows = (Row((words(row["arm"]), words(row["kind"]), words(row["why"])), _series(summary, row)) for row in apart)
        made.append(Block("Not ranked", APART, (Table("Not ranked", columns, tuple(rows)),)))
    return made


def _title(column: Mapping[str, Any]) -> str:
    """Measure in the words of the rest of the page, after what it stands for here."""
    title = wording.measure(column["name"], column["audit"]).title
    plain = TITLES.get(column["key"])
    return f"{plain}: {title[:1].lower() if title[1:2].islower() else title[:1]}{title[1:]}" if plain else title


def _direction(column: Mapping[str, Any]) -> str:
    return "lower is better" if column["target"] is None else f"nearer to {column['target']:g} is better"


def _series(summary: Summary, row: Mapping[str, Any]) -> int:
    return summary.series(row["arm"])


def _heads(board: Mapping[str, Any], ranks: bool) -> tuple[Column, ...]:
    named = [Column("Arm", numeric=False), Column("Kind", numeric=False)]
    for one in board["columns"]:
        said = f"of {len(one['entrants'])}" if ranks else _direction(one)
        named.append(Column(_title(one), said, wording.condition(one["condition"])))
    return tuple(named)


def _rows(
    summary: Summary, board: Mapping[str, Any], arms: Mapping[str, Any], cell: Callable[[str, Mapping[str, Any]], Cell]
) -> tuple[Row, ...]:
    return tuple(
        Row((words(arm), words(arms[arm]["kind"]), *(cell(arm, one) for one in board["columns"])), summary.series(arm))
        for arm in board["scores"]
    )


def _values(summary: Summary, board: Mapping[str, Any], arms: Mapping[str, Any]) -> Table:
    def cell(arm: str, column: Mapping[str, Any]) -> Cell:
        """The value with its interval; sorted by the score, so that the nearest to a target comes first."""
        score = board["scores"][arm].get(column["key"])
        if score is None:
            return Cell(DASH, why=NOT_COMPUTED)
        share = wording.measure(column["name"], column["audit"]).share
        estimate = summary.get(arm, column["audit"], column["name"], board["group"], column["condition"])
        why = f"n = {wording.count(estimate.n)}; {estimate.method}" if estimate else ""
        bounds = wording.interval(as_float(score["low"]), as_float(score["high"]), share) or "no interval"
        return Cell(number(score["value"], share), bounds, as_float(score["score"]), why=why)

    asked = tuple(f"{_title(one)}: {wording.condition(one['condition'])}." for one in board["columns"])
    return Table("Values, by fit", _heads(board, False), _rows(summary, board, arms, cell), asked)


def _ranks(summary: Summary, board: Mapping[str, Any], arms: Mapping[str, Any]) -> Table:
    def cell(arm: str, column: Mapping[str, Any]) -> Cell:
        score = board["scores"][arm].get(column["key"])
        if score is None or score["rank_low"] is None:
            return Cell(DASH, why=NOT_COMPUTED if score is None else column["method"])
        low, high = score["rank_low"], score["rank_high"]
        places = f"{low}" if low == high else f"{low}–{high}"
        return Cell(places, f"leads in {number(score['best'], True)}", low + high / 1000)

    covered = tuple(
        f"{_title(one)}: {one['method']}; n = {wording.count(one['n'])} that all its arms share."
        for one in board["columns"]
    )
    return Table("Places that each arm may hold", _heads(board, True), _rows(summary, board, arms, cell), covered)


def _costs(summary: Summary, rows: Sequence[Mapping[str, Any]]) -> Table:
    def cell(name: str, value: float) -> Cell:
        if not math.isfinite(value):
            return Cell(DASH, why="not recorded")
        return Cell(f"{value:.2e}" if name == "flops" and value else wording.count(round(value)), sort=value)

    columns = [Column("Arm", numeric=False), Column("Kind", numeric=False)]
    columns += [Column(title, "", plain) for title, plain in COSTS.values()]
    made = tuple(
        Row(
            (words(row["arm"]), words(row["kind"]), *(cell(name, as_float(row["costs"][name])) for name in COSTS)),
            _series(summary, row),
        )
        for row in rows
    )
    return Table(
        "Cost, the mean of an arm's cells", tuple(columns), made, tuple(f"{a}: {b}" for a, b in COSTS.values())
    )


def _may_be_best(column: Mapping[str, Any], board: Mapping[str, Any], arms: Mapping[str, Any]) -> str:
    """One sentence: which arms the measure leaves as candidates for the best, controls named as such."""
    scores = {arm: found[column["key"]] for arm, found in board["scores"].items() if column["key"] in found}
    if any(score["rank_low"] is None for score in scores.values()):
        return f"{_title(column)}: no ranks ({column['method']})."
    first = [arm for arm, score in scores.items() if score["rank_low"] == 1]
    named = listing(f"{arm} (a control)" if arms[arm]["kind"] == CONTROL else arm for arm in first)
    if len(first) == len(scores):
        return f"{_title(column)}: no arm of {len(scores)} can be told from the best."
    if len(first) == 1:
        return f"{_title(column)}: {named} alone may be the best of {len(scores)}."
    return f"{_title(column)}: {len(first)} of {len(scores)} may be the best: {named}."


def _front(summary: Summary, board: Mapping[str, Any], front: Mapping[str, Any], svgs: dict[str, str]) -> Panel:
    columns = {column["key"]: column for column in board["columns"]}
    across, up = columns[front["of"]], columns[front["against"]]
    spots = [_spot(summary, board, arm, across, up, by) for arm, by in front["dominated_by"].items()]
    title = f"Fit and variation {_words(up).lower()}"
    slug = slugged("front", front["of"], front["against"], board["group"])
    svgs[slug] = pareto(
        slug,
        title,
        spoken(spot.tip for spot in spots),
        spots,
        axes_named=(f"{_words(across)} to people: left is closer", f"{_words(up)} (people = 1)"),
        target=up["target"],
    )
    filled = sum(not spot.dominated for spot in spots)
    told = f"{filled} of {len(spots)} arms are not shown to be dominated. Rest the pointer on a mark for its numbers."
    return Panel(slug, title, told)


def _words(column: Mapping[str, Any]) -> str:
    return wording.measure(column["name"], column["audit"]).title


def _spot(
    summary: Summary,
    board: Mapping[str, Any],
    arm: str,
    across: Mapping[str, Any],
    up: Mapping[str, Any],
    by: Sequence[str],
) -> Spot:
    places, told = [], []
    for column in (across, up):
        score = board["scores"][arm][column["key"]]
        value, low, high = (as_float(score[name]) for name in ("value", "low", "high"))
        places.append((value, (low, high)))
        told.append(f"{_words(column)} {number(value)} {wording.interval(low, high)}".strip())
    tip = f"{arm}: {', '.join(told)}{f'; dominated by {listing(by)}' if by else ''}"
    (x, x_bounds), (y, y_bounds) = places
    return Spot(arm, summary.series(arm), x, y, x_bounds, y_bounds, bool(by), tip)


def _dominated(board: Mapping[str, Any], front: Mapping[str, Any]) -> str:
    titles = {column["key"]: _words(column) for column in board["columns"]}
    what = f"Fit and variation {titles[front['against']].lower()}"
    by = {arm: others for arm, others in front["dominated_by"].items() if others}
    if not by:
        return f"{what}: no arm is shown to be dominated by another."
    return f"{what}: dominated are {'; '.join(f'{arm} by {listing(others)}' for arm, others in by.items())}."
