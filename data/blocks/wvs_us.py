"""World Values Survey, United States, wave 6 (2011): seven items with ids `wvs_us/…`.

The post-materialism and child autonomy columns are indices made of several questions, so they are no items.
"""

from __future__ import annotations

from data.blocks.block import WVS_TERMS, Block, code, ends, fetch, label, scale, source
from data.records import Item
from data.table_of_people import TableOfPeople, make_table


def _us(key: str, question: str, options: tuple[str, ...], topic: str, *, ordered: bool = True) -> Item:
    return Item(f"wvs_us/{key}", question, options, ordered, "wvs_us", topic, paraphrased=True)


_US_ITEMS = (
    _us(
        "abortion",
        "On a scale from 1 to 10, how justifiable do you think abortion is?",
        ends(1, 10, "never justifiable", "always justifiable"),
        "family",
    ),
    _us(
        "ideology",
        "In political matters, people talk of the left and the right. Where would you place your own views?",
        ends(1, 10, "furthest to the left", "furthest to the right"),
        "politics",
    ),
    _us(
        "financial_satisfaction",
        "How satisfied are you with the financial situation of your household?",
        ends(1, 10, "most dissatisfied", "most satisfied"),
        "wellbeing",
    ),
    _us(
        "god_important",
        "How important is God in your life?",
        ends(1, 10, "not at all important", "most important"),
        "religion",
    ),
    _us(
        "trust",
        "Generally speaking, would you say that most people can be trusted, or that you can never be too careful in "
        "dealing with people?",
        ("Most people can be trusted", "You can never be too careful"),
        "trust",
        ordered=False,
    ),
    _us(
        "respect_authority",
        "If there were greater respect for authority in the future, would that be a good thing, a bad thing, or would "
        "you not mind?",
        ("A good thing", "I would not mind", "A bad thing"),
        "authority",
    ),
    _us(
        "national_pride",
        "Are you very proud to be an American?",
        ("Yes, very proud", "No, less than very proud"),
        "nation",
        ordered=False,
    ),
)


def _read_us() -> TableOfPeople:
    every = fetch("stevedata", "wvs_usa_abortion")
    frame = every[every["wave"] == 6]
    return make_table(
        ids=frame["rownames"],
        country="USA",
        year="2011",
        age=frame["age"],
        sex=label(frame["female"], {0: "male", 1: "female"}),
        education=label(frame["collegeed"], {1: "university degree", 0: "no university degree"}),
        features={"work": label(frame["unemployed"], {1: "unemployed"})},
        answers={
            "wvs_us/abortion": scale(frame["aj"], 1, 10),
            "wvs_us/ideology": scale(frame["ideology"], 1, 10),
            "wvs_us/financial_satisfaction": scale(frame["satisfinancial"], 1, 10),
            "wvs_us/god_important": scale(frame["godimportant"], 1, 10),
            "wvs_us/trust": code(frame["trustmostpeople"], (1, 0)),
            "wvs_us/respect_authority": scale(frame["respectauthority"], -1, 1, reverse=True),
            "wvs_us/national_pride": code(frame["nationalpride"], (1, 0)),
        },
        excluded={"people of a wave before the latest": len(every) - len(frame)},
    )


BLOCKS = (
    Block(
        source(
            "wvs_us",
            "World Values Survey 6 (2011), United States",
            "World Values Survey, wave 6, United States, compiled by S. V. Miller (stevedata::wvs_usa_abortion).",
            WVS_TERMS,
        ),
        _US_ITEMS,
        _read_us,
    ),
)
