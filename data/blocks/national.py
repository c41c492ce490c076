"""Surveys of one country, one item each: BEPS (Great Britain), FLACSO (Chile), Gallup (Denmark).

Left out, because the help pages do not say what the answers mean or because they are no opinions: BEPS's leader and
economy ratings (ends unnamed), Chile's `statusquo` (a computed scale).
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from data.blocks.block import Block, code, ends, fetch, label, scale, source
from data.records import Item
from data.table_of_people import TableOfPeople, make_table

# --- carData::BEPS ---------------------------------------------------------------------------------------------------

_BEPS_ITEMS = (
    Item(
        "beps/europe",
        "What is your attitude toward European integration?",
        ends(1, 11, "most in favour of integration", "most Eurosceptic"),
        True,
        "beps",
        "politics",
        paraphrased=True,
    ),
)


def _read_beps() -> TableOfPeople:
    frame = fetch("carData", "BEPS")
    return make_table(
        ids=frame["rownames"],
        country="GBR",
        year="1997-2001",
        age=frame["age"],
        sex=label(frame["gender"], {"male": "male", "female": "female"}),
        features={"party": frame["vote"] + " voter"},
        answers={"beps/europe": scale(frame["Europe"], 1, 11)},
    )


# --- carData::Chile: the undecided gave no answer --------------------------------------------------------------------

_CHILE_ITEMS = (
    Item(
        "chile/plebiscite",
        "How do you intend to vote in the 1988 plebiscite on whether General Pinochet should stay in power?",
        ("Vote yes (for Pinochet)", "Vote no (against Pinochet)", "Abstain"),
        False,
        "chile88",
        "politics",
        paraphrased=True,
    ),
)


def _read_chile() -> TableOfPeople:
    frame = fetch("carData", "Chile")
    schooling = {"P": "primary education", "S": "secondary education", "PS": "post-secondary education"}
    regions = {
        "C": "central Chile",
        "M": "the metropolitan area around Santiago",
        "N": "northern Chile",
        "S": "southern Chile",
        "SA": "the city of Santiago",
    }
    return make_table(
        ids=frame["rownames"],
        country="CHL",
        year="1988",
        age=frame["age"],
        sex=label(frame["sex"], {"M": "male", "F": "female"}),
        education=label(frame["education"], schooling),
        features={"region": label(frame["region"], regions)},
        answers={"chile/plebiscite": code(frame["vote"], ("Y", "N", "A"))},
        excluded={"people undecided": int((frame["vote"] == "U").sum())},
    )


# --- vcd::Punishment: a table with frequencies; its age bands are not ours, so age is a feature only -----------------

_PUNISHMENT_ITEMS = (
    Item(
        "punishment/children",
        "What is your attitude towards the corporal punishment of children?",
        ("No punishment of children", "Moderate punishment of children"),
        True,
        "punishment79",
        "family",
        paraphrased=True,
    ),
)


def _read_punishment() -> TableOfPeople:
    cells = fetch("vcd", "Punishment")
    frame = cells.loc[np.repeat(cells.index.to_numpy(), cells["Freq"])].reset_index(drop=True)
    schooling = {"elementary": "elementary school", "secondary": "secondary school", "high": "higher education"}
    return make_table(
        ids=pd.Series(frame.index + 1),
        country="DNK",
        year="1979",
        education=label(frame["education"], schooling),
        features={
            "age": label(frame["age"], {"15-24": "15 to 24", "25-39": "25 to 39", "40-": "40 or older"}),
            "childhood": label(
                frame["memory"],
                {"yes": "remembers corporal punishment", "no": "does not remember corporal punishment"},
            ),
        },
        answers={"punishment/children": code(frame["attitude"], ("no", "moderate"))},
    )


_FOX = "as distributed with J. Fox and S. Weisberg, An R Companion to Applied Regression"
BLOCKS = (
    Block(
        source(
            "beps",
            "British Election Panel Study 1997-2001",
            f"British Election Panel Study 1997-2001, {_FOX} (carData::BEPS).",
            "Published in the R package carData (GPL); cite the study.",
        ),
        _BEPS_ITEMS,
        _read_beps,
    ),
    Block(
        source(
            "chile88",
            "FLACSO survey before the 1988 plebiscite, Chile",
            f"FLACSO/Chile (1988), {_FOX} (carData::Chile).",
            "Published in the R package carData (GPL); cite the study.",
        ),
        _CHILE_ITEMS,
        _read_chile,
    ),
    Block(
        source(
            "punishment79",
            "Gallup survey on corporal punishment 1979, Denmark",
            "E. B. Andersen (1991), The Statistical Analysis of Categorical Data, 2nd ed., Springer, 207-208 "
            "(vcd::Punishment).",
            "A published table, free to use with citation.",
        ),
        _PUNISHMENT_ITEMS,
        _read_punishment,
    ),
)
