"""World Values Survey, items asked in many countries: one of wave 3, two over all waves, two published percentages."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd

from data.blocks.block import WVS_TERMS, Block, code, ends, fetch, label, scale, source
from data.countries import iso3
from data.records import AnswerDistribution, Group, Item, Survey
from data.table_of_people import TableOfPeople, make_table

MIN_WAVE = 200


# --- carData::WVS ----------------------------------------------------------------------------------------------------

_POVERTY = Item(
    id="wvs/poverty",
    question=(
        "Do you think that what the government is doing for people in poverty in this country is about the right "
        "amount, too much, or too little?"
    ),
    options=("Too little", "About the right amount", "Too much"),
    ordered=True,
    survey="wvs3",
    topic="poverty",
)


def _read_wave_3() -> TableOfPeople:
    frame = fetch("carData", "WVS")
    return make_table(
        ids=frame["rownames"],
        country=frame["country"].map({name: iso3(name) for name in frame["country"].unique()}),
        year="1995-1997",
        age=frame["age"],
        sex=label(frame["gender"], {"male": "male", "female": "female"}),
        education=label(frame["degree"], {"yes": "university degree", "no": "no university degree"}),
        features={
            "religion": label(frame["religion"], {"yes": "member of a religion", "no": "not a member of a religion"})
        },
        answers={"wvs/poverty": code(frame["poverty"], ("Too Little", "About Right", "Too Much"))},
    )


# --- stevedata::wvs_justifbribe and wvs_immig: the same people by `uid` ----------------------------------------------

_BRIBE = Item(
    id="wvs/bribe",
    question=(
        "Please say whether you think the following can always be justified, never be justified, or something in "
        "between: someone accepting a bribe in the course of their duties."
    ),
    options=ends(1, 10, "never justifiable", "always justifiable"),
    ordered=True,
    survey="wvs_countries",
    topic="honesty",
    paraphrased=True,
)
_IMMIGRATION = Item(
    id="wvs/immigration",
    question=(
        "How about people from other countries coming here to work: which one of the following do you think the "
        "government should do?"
    ),
    options=(
        "Let anyone come who wants to",
        "Let people come as long as there are jobs available",
        "Place strict limits on the number of foreigners who can come here",
        "Prohibit people coming here from other countries",
    ),
    ordered=True,
    survey="wvs_countries",
    topic="immigration",
    paraphrased=True,
)


def _read_countries() -> TableOfPeople:
    return _latest(*_all_waves())


def _read_countries_by_time(before: int) -> tuple[TableOfPeople, TableOfPeople]:
    """A country's wave is earlier where its last year is; each part keeps the latest of its waves."""
    frame, excluded = _all_waves()
    earlier = frame.groupby(["country", "s002"])["s020"].transform("max") < before
    return _latest(frame[~earlier], excluded), _latest(frame[earlier], Counter())


def _all_waves() -> tuple[pd.DataFrame, Counter[str]]:
    bribe, immigration = fetch("stevedata", "wvs_justifbribe"), fetch("stevedata", "wvs_immig")
    frame = bribe.merge(immigration[["uid", "e143"]], on="uid", how="left", validate="one_to_one")
    named = frame["country"].notna()  # 332 is Haiti, 101 is nowhere explained: the source names neither
    return frame[named], Counter({"people whose country the source does not name": int((~named).sum())})


def _latest(frame: pd.DataFrame, excluded: Counter[str]) -> TableOfPeople:
    """Each item keeps, per country, the latest wave in which at least MIN_WAVE people answered it."""
    answers = {
        "wvs/bribe": scale(frame["f117"], 1, 10),
        "wvs/immigration": scale(frame["e143"], 1, 4),
    }
    for item, index in answers.items():
        answered = index >= 0
        size = answered.groupby([frame["country"], frame["s002"]]).sum()
        latest = size[size >= MIN_WAVE].reset_index().groupby("country")["s002"].max()
        older = answered & (frame["s002"] != frame["country"].map(latest))
        answers[item] = index.mask(older, -1)
        excluded[f"answers to {item} of a wave before the country's latest"] = int(older.sum())
    used = np.logical_or.reduce([index >= 0 for index in answers.values()])
    frame = frame[used]
    return make_table(
        ids=frame["uid"],
        country=frame["country"].map({name: iso3(name) for name in frame["country"].unique()}),
        year=frame["s020"].map({year: str(year) for year in frame["s020"].unique()}),
        answers={item: index[used] for item, index in answers.items()},
        excluded=excluded,
    )


# --- stevedata::inglehart03: percentages, no number of people --------------------------------------------------------

_GOVERNMENT = "would you say it is a good way or a bad way of governing this country?"
_DEMOCRACY = Item(
    id="wvs/democracy",
    question=f"Having a democratic political system: {_GOVERNMENT}",
    options=("Very good or fairly good", "Fairly bad or very bad"),
    ordered=True,
    survey="inglehart03",
    topic="politics",
    paraphrased=True,
)
_STRONG_LEADER = Item(
    id="wvs/strong_leader",
    question=(
        "Having a strong leader who does not have to bother with parliament and elections: what do you think of that "
        "as a way of governing this country?"
    ),
    options=("Very good or fairly good", "Fairly bad or very bad"),
    ordered=True,
    survey="inglehart03",
    topic="politics",
    paraphrased=True,
)
_PARTS = ("Germany (E.)", "N. Ireland")  # West Germany and Britain stand for the country; without n there is no mean


def _read_inglehart() -> Survey:
    frame = fetch("stevedata", "inglehart03")
    made = []
    for row in frame.to_dict("records"):
        name, _, year = str(row["state_year"]).rpartition(" ")
        if name in _PARTS:
            continue
        for item, column in ((_DEMOCRACY, "havedem"), (_STRONG_LEADER, "strongleader")):
            good = float(row[column]) / 100
            century = "20" if int(year) < 50 else "19"
            made.append(AnswerDistribution(item.id, Group(iso3(name)), (good, 1 - good), 0, 0.0, century + year))
    left_out = {f"parts of a country ({', '.join(_PARTS)})": len(_PARTS)}
    return Survey((_DEMOCRACY, _STRONG_LEADER), tuple(made), excluded=left_out)


BLOCKS = (
    Block(
        source(
            "wvs3",
            "World Values Survey 3 (1995-97), Australia, Norway, Sweden, United States",
            "World Values Survey 1995-1997, as used by J. Fox and R. Andersen (2006), Effect displays for multinomial "
            "and proportional-odds logit models, Sociological Methodology 36, 225-255 (carData::WVS).",
            WVS_TERMS,
        ),
        (_POVERTY,),
        _read_wave_3,
    ),
    Block(
        source(
            "wvs_countries",
            "World Values Survey, latest wave of each of 97 countries (1995-2014), two items",
            "World Values Survey, waves 3-6, items F117 and E143, compiled by S. V. Miller "
            "(stevedata::wvs_justifbribe, stevedata::wvs_immig).",
            WVS_TERMS,
        ),
        (_BRIBE, _IMMIGRATION),
        _read_countries,
        _read_countries_by_time,
    ),
    Block(
        source(
            "inglehart03",
            "World and European Values Surveys (1995-2001), support for democracy in 75 countries",
            "R. Inglehart (2003), How Solid is Mass Support for Democracy - And How Can We Measure It?, "
            "PS: Political Science & Politics 36(1), 51-57 (stevedata::inglehart03).",
            "Published percentages, free to use with citation; the number of people behind them is not given.",
        ),
        (_DEMOCRACY, _STRONG_LEADER),
        _read_inglehart,
    ),
)
