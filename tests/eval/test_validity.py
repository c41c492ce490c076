from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from eval.validity import Validity, gate, position_effect, worst

CYCLIC = ([0, 1, 2], [1, 2, 0], [2, 0, 1])


def asked(
    p_of_order: dict[tuple[int, ...], list[float]], mass: float = 0.9, item: str = "i", as_json: bool = False
) -> list[dict]:
    return [
        {
            "item": item, "country": "NOR", "age": "", "sex": "", "education": "", "condition": "country",
            "order": json.dumps(order) if as_json else list(order), "p": np.array(p), "option_mass": mass,
        }
        for order, p in p_of_order.items()
    ]  # fmt: skip


def always_place(place: int, orders: tuple[list[int], ...]) -> dict[tuple[int, ...], list[float]]:
    return {tuple(order): np.eye(len(order))[order[place]].tolist() for order in orders}


@pytest.mark.parametrize("as_json", [False, True])
def test_position_effect_is_one_for_a_place_and_zero_for_content(as_json: bool) -> None:
    for place in range(3):
        items = pd.DataFrame(asked(always_place(place, CYCLIC), as_json=as_json))
        assert position_effect(items) == pytest.approx(1.0)
    constant = pd.DataFrame(asked({tuple(order): [0.7, 0.2, 0.1] for order in CYCLIC}))
    assert position_effect(constant) == pytest.approx(0.0)


def test_position_effect_by_hand() -> None:
    # Two options, both orders: (.8, .2) and (.4, .6); mean (.6, .4), TV .2 each, over 1 - 1/2.
    items = asked({(0, 1): [0.8, 0.2], (1, 0): [0.4, 0.6]})
    assert position_effect(pd.DataFrame(items)) == pytest.approx(0.4)
    both = items + asked({(0, 1): [0.5, 0.5], (1, 0): [0.5, 0.5]}, item="j")
    assert position_effect(pd.DataFrame(both)) == pytest.approx(0.2)


def test_position_effect_with_reversed_orders_only() -> None:
    orders = ([0, 1, 2, 3], [3, 2, 1, 0])
    assert position_effect(pd.DataFrame(asked(always_place(0, orders)))) == pytest.approx(1.0)


def test_position_effect_needs_two_orders() -> None:
    assert np.isnan(position_effect(pd.DataFrame(asked({(0, 1): [0.8, 0.2]}))))


def content(mass: float = 0.9) -> pd.DataFrame:
    return pd.DataFrame(asked({tuple(order): [0.7, 0.2, 0.1] for order in CYCLIC}, mass))


def answers(p: float, q: float) -> pd.DataFrame:
    return pd.DataFrame({"p": [np.array([p, 1 - p])] * 4, "q": [np.array([q, 1 - q])] * 4})


@pytest.mark.parametrize(
    ("found", "status", "reason"),
    [
        (gate(content()), "valid", ""),
        (gate(content(0.4)), "collapsed", "only 0.40 of the probability"),
        (gate(content(), perplexity=20, base_perplexity=10), "valid", ""),
        (gate(content(), perplexity=40, base_perplexity=10), "warned", "4.0 times the base's"),
        (gate(content(), perplexity=200, base_perplexity=10), "collapsed", "20.0 times the base's"),
        (gate(content(), answers(0.99, 0.6)), "warned", "100% of answers put over 0.9 on one option, of people's 0%"),
        (gate(content(), answers(0.99, 0.99)), "valid", ""),
        (gate(pd.DataFrame(asked(always_place(0, CYCLIC)))), "warned", "position effect 1.00"),
    ],
)
def test_gate(found: Validity, status: str, reason: str) -> None:
    assert found.status == status
    assert reason in " ".join(found.reasons)
    assert bool(found.reasons) == (status != "valid")


def test_an_arm_is_as_valid_as_its_worst_cell() -> None:
    good, bad = gate(content()), gate(content(0.4))
    arm = worst([("seed 0", good), ("seed 1", bad)])
    assert arm.status == "collapsed"
    assert arm.reasons[0].startswith("seed 1: only 0.40")
    assert arm.figures["option_mass"] == pytest.approx(0.65)
    assert worst([("seed 0", bad)]).reasons[0].startswith("only")
    assert worst([]).status == "incomplete"
