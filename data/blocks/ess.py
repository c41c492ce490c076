"""European Social Survey: Norway (round 10), Great Britain (round 9), Belgium (round 5).

The same item asked in two countries is one item; wording is after the help pages, which do not quote the questionnaire.
Only the Norwegian data set carries weights (`pspwght`, post-stratification including the design weight).
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from data.blocks.block import Block, ends, fetch, label, scale, source
from data.records import Item
from data.table_of_people import TableOfPeople, make_table


def _item(key: str, question: str, first: str, last: str, topic: str) -> Item:
    return Item(f"ess/{key}", question, ends(0, 10, first, last), True, "ess", topic, paraphrased=True)


_ITEMS = (
    _item(
        "imbgeco",
        "Would you say it is generally bad or good for this country's economy that people come to live here from "
        "other countries?",
        "bad for the economy",
        "good for the economy",
        "immigration",
    ),
    _item(
        "imueclt",
        "Would you say that this country's cultural life is generally undermined or enriched by people coming to live "
        "here from other countries?",
        "cultural life undermined",
        "cultural life enriched",
        "immigration",
    ),
    _item(
        "imwbcnt",
        "Is this country made a worse or a better place to live by immigrants?",
        "worse place to live",
        "better place to live",
        "immigration",
    ),
    _item(
        "lrscale",
        "In politics people sometimes talk of left and right. Where would you place yourself on this scale?",
        "left",
        "right",
        "politics",
    ),
    _item("trstplc", "How much do you personally trust the police?", "no trust at all", "complete trust", "trust"),
    _item(
        "plcpvcr",
        "How successful do you think the police are at preventing crimes in this country?",
        "extremely unsuccessful",
        "extremely successful",
        "trust",
    ),
)

# data set, country, years, weight column, where the person lives
_ROUNDS = (
    ("ESS10NO", "NOR", "2021-2022", "pspwght"),
    ("ESS9GB", "GBR", "2018-2019", None),
    ("ESSBE5", "BEL", "2010-2011", None),
)
_INCOME_FEELING = {
    1: "living comfortably on present income",
    2: "coping on present income",
    3: "finding it difficult on present income",
    4: "finding it very difficult on present income",
}


def _read() -> TableOfPeople:
    parts = []
    for name, country, years, weight in _ROUNDS:
        part = fetch("stevedata", name)
        parts.append(part.assign(country=country, years=years, weight=part[weight] if weight else 1.0))
    frame = pd.concat(parts, ignore_index=True)
    schooling = frame["eduyrs"].to_numpy(float)
    level = np.select(
        [schooling <= 9, schooling <= 12, schooling > 12],
        ["at most 9 years of education", "10 to 12 years of education", "13 or more years of education"],
        default="",
    )
    return make_table(
        ids=frame["country"] + "-" + frame["idno"].astype(str),
        country=frame["country"],
        year=frame["years"],
        weight=frame["weight"],
        age=frame["agea"],
        sex=label(frame["female"], {0: "male", 1: "female"}),
        education=pd.Series(level, dtype=object),
        features={
            "region": frame["region"],
            "work": label(frame["uempla"], {1: "unemployed and looking for work"}),
            "income": label(frame["hincfel"], _INCOME_FEELING),
        },
        answers={item.id: scale(frame[item.id.removeprefix("ess/")], 0, 10) for item in _ITEMS},
    )


BLOCKS = (
    Block(
        source(
            "ess",
            "European Social Survey: Norway 2021-22, Great Britain 2018-19, Belgium 2010-11",
            "European Social Survey, rounds 10 (ed. 2.2), 9 (ed. 1.2) and 5 (ed. 3.4), ESS ERIC, compiled by "
            "S. V. Miller (stevedata::ESS10NO, ESS9GB, ESSBE5).",
            "CC BY-NC-SA 4.0.",
        ),
        _ITEMS,
        _read,
    ),
)
