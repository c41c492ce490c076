"""Type dynamics against a table of all sixteen types written by hand, not derived."""

from __future__ import annotations

import pytest

from eval.mark.functions import FUNCTIONS, auxiliaries, stack, type_name

SIXTEEN = {
    "ISTJ": "Si Te Fi Ne", "ISFJ": "Si Fe Ti Ne", "INFJ": "Ni Fe Ti Se", "INTJ": "Ni Te Fi Se",
    "ISTP": "Ti Se Ni Fe", "ISFP": "Fi Se Ni Te", "INFP": "Fi Ne Si Te", "INTP": "Ti Ne Si Fe",
    "ESTP": "Se Ti Fe Ni", "ESFP": "Se Fi Te Ni", "ENFP": "Ne Fi Te Si", "ENTP": "Ne Ti Fe Si",
    "ESTJ": "Te Si Ne Fi", "ESFJ": "Fe Si Ne Ti", "ENFJ": "Fe Ni Se Ti", "ENTJ": "Te Ni Se Fi",
}  # fmt: skip


@pytest.mark.parametrize(("name", "functions"), SIXTEEN.items())
def test_type_dynamics_give_the_stack_and_name_of_each_type(name: str, functions: str) -> None:
    dominant, auxiliary, *_ = functions.split()
    assert " ".join(stack(dominant, auxiliary)) == functions
    assert type_name(dominant, auxiliary) == name


def test_valid_pairs_are_exactly_the_sixteen_types() -> None:
    pairs = {(dominant, auxiliary) for dominant in FUNCTIONS for auxiliary in auxiliaries(dominant)}
    assert pairs == {tuple(functions.split()[:2]) for functions in SIXTEEN.values()}


@pytest.mark.parametrize("pair", [("Te", "Ti"), ("Te", "Ne"), ("Te", "Fi"), ("Te", "Te"), ("Si", "Ne"), ("Si", "Fi")])
def test_a_pair_outside_type_dynamics_is_refused_with_the_valid_ones(pair: tuple[str, str]) -> None:
    with pytest.raises(ValueError, match="cannot support") as refused:
        stack(*pair)
    assert all(name in str(refused.value) for name in auxiliaries(pair[0]))
    with pytest.raises(ValueError, match="cannot support"):
        type_name(*pair)


def test_an_unknown_function_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown cognitive function 'Xe'"):
        auxiliaries("Xe")


def test_each_function_is_described_differently_in_calm_and_under_stress() -> None:
    texts = [text for function in FUNCTIONS.values() for text in (function.normal, function.stressed)]
    assert len(set(texts)) == 16
