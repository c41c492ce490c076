"""Who is sampled for MARK, and the baseline that needs no model. The sample as a whole is tested in test_mark.py."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from data.records import Group, Respondent
from eval.mark.sample import allocate, features_of, majority_accuracy


@given(
    st.dictionaries(st.tuples(st.sampled_from("ABC"), st.sampled_from("123")), st.integers(1, 9), min_size=1),
    st.integers(1, 60),
)
def test_places_are_dealt_evenly(sizes: dict[tuple[str, str], int], places: int) -> None:
    dealt = allocate(sizes, places, np.random.default_rng(0))
    assert sum(dealt.values()) == min(places, sum(sizes.values()))
    assert all(count <= sizes[key] for key, count in dealt.items())
    with_room = [dealt.get(key, 0) for key, size in sizes.items() if dealt.get(key, 0) < size]
    if with_room:
        assert max(dealt.values()) - min(with_room) <= 1


def test_the_majority_leaves_the_person_out() -> None:
    def person(name: str, answer: int, country: str = "NOR", weight: float = 1.0) -> Respondent:
        return Respondent(name, Group(country), {}, {"q": answer}, weight)

    people = [person("a", 0), person("b", 0), person("c", 1), person("x", 1, "USA"), person("y", 1, "USA")]
    assert majority_accuracy(people, people[0], "q") == 0.5  # b and c are left: a tie
    assert majority_accuracy(people, people[2], "q") == 0
    assert majority_accuracy([*people, person("d", 1, weight=5.0)], people[2], "q") == 1
    assert np.isnan(majority_accuracy([people[0]], people[0], "q"))


def test_features_begin_with_the_country_by_name() -> None:
    person = Respondent("a", Group("USA"), {"country": "US", "age": "30", "home_town": "Ames", "sex": ""}, {})
    assert features_of(person) == (("country", "the United States"), ("age", "30"), ("home town", "Ames"))
