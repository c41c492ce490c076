"""Kakadu conservation zone survey (Australia, 1990): nine statements on parks, jobs and mining.

The answers run from 1 to 5, which the help page leaves unnamed; 82 % chose 5 on the importance of places for wildlife,
so 5 is agreement. `gov` and `tvenv` are left out: their scales are not explained.
"""

from __future__ import annotations

from data.blocks.block import AGREEMENT, STATEMENT, Block, fetch, label, scale, source
from data.records import Item
from data.table_of_people import TableOfPeople, make_table

_KAKADU = {
    "recparks": "The greatest value of national parks and nature reserves is in recreation activities.",
    "jobs": "Jobs are the most important thing in deciding how to use our natural resources.",
    "lowrisk": (
        "Development should be allowed to proceed where environmental damage from activities such as mining is "
        "possible but very unlikely."
    ),
    "wildlife": "It is important to have places where wildlife is preserved.",
    "future": "It is important to consider future generations.",
    "aboriginal": (
        "In deciding how to use areas such as Kakadu National Park, their importance to the local Aboriginal people "
        "should be a major factor."
    ),
    "finben": (
        "In deciding how to use our natural resources such as mineral deposits and forests, the most important thing "
        "is the financial benefits for Australia."
    ),
    "mineparks": (
        "If areas within national parks are set aside for development projects such as mining, the value of the parks "
        "is greatly reduced."
    ),
    "moreparks": "There should be more national parks created from state forests.",
}
_KAKADU_ITEMS = tuple(
    Item(
        f"kakadu/{key}",
        STATEMENT.format(text),
        AGREEMENT,
        True,
        "kakadu",
        "nature",
        paraphrased=True,
    )
    for key, text in _KAKADU.items()
)


def _read_kakadu() -> TableOfPeople:
    frame = fetch("Ecdat", "Kakadu")
    return make_table(
        ids=frame["rownames"],
        country="AUS",
        year="1990",
        age=frame["age"],  # midpoints of age bands, 21 to 70
        sex=label(frame["sex"], {"male": "male", "female": "female"}),
        features={
            "income": frame["income"].map("about {} thousand Australian dollars a year".format),
            "membership": label(frame["conservation"], {"yes": "member of a conservation organization"}),
        },
        answers={
            f"kakadu/{key}": scale(frame[key], 1, 5, reverse=True, stray=(9,) if key == "future" else ())
            for key in _KAKADU
        },
        excluded={"answers off the scale (future = 9)": int((frame["future"] == 9).sum())},
    )


BLOCKS = (
    Block(
        source(
            "kakadu",
            "Kakadu conservation zone survey 1990, Australia",
            "M. Werner (1999), Allowing for zeros in dichotomous-choice contingent-valuation models, Journal of "
            "Business and Economic Statistics 17(4), 479-486 (Ecdat::Kakadu).",
            "Published with the article and in the R package Ecdat (GPL); cite the article.",
        ),
        _KAKADU_ITEMS,
        _read_kakadu,
    ),
)
