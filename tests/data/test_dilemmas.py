"""The dilemma corpus that ships with the project, and the functions that load, weigh and sample it."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.dilemmas.corpus import (
    DEFINITIONS,
    VALUES,
    balance,
    corpus_hash,
    load_dilemmas,
    near_duplicates,
    sample_balanced,
)
from data.records import Dilemma, Wording

CORPUS = load_dilemmas()
HAN = re.compile(r"[\u4e00-\u9fff]")


def record(**changes: Any) -> dict[str, Any]:
    wording = {"scenarios": ["You find a purse.", "A purse lies before you."], "actions": ["Keep it", "Return it"]}
    return {"id": "a", "values": ["power", "security"], "context": "US", "wordings": {"en": wording}} | changes


def write(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_ten_values_are_defined_in_the_order_of_the_circle() -> None:
    assert VALUES == (
        "self_direction", "stimulation", "hedonism", "achievement", "power",
        "security", "conformity", "tradition", "benevolence", "universalism",
    )  # fmt: skip
    assert all(DEFINITIONS[value] for value in VALUES)


def test_every_pair_of_values_collides_and_ids_say_which() -> None:
    assert {frozenset(d.values) for d in CORPUS} == {frozenset(pair) for pair in combinations(VALUES, 2)}
    assert len({d.id for d in CORPUS}) == len(CORPUS)
    for dilemma in CORPUS:
        assert re.fullmatch("-".join(dilemma.values) + r"-\d\d", dilemma.id)
    wanted = {(frozenset(pair), number) for pair in combinations(VALUES, 2) for number in ("01", "02", "03")}
    assert {(frozenset(d.values), d.id[-2:]) for d in CORPUS} == wanted
    for pair in combinations(VALUES, 2):
        contexts = [d.context for d in CORPUS if set(d.values) == set(pair)]
        assert len(set(contexts)) == 3
        assert contexts.count("unspecified") == 1


def test_values_and_contexts_are_balanced() -> None:
    table = balance(CORPUS)
    assert list(table.index) == list(VALUES)
    assert (table["first"] - table["second"]).abs().max() <= 1
    assert table["total"].max() - table["total"].min() <= 1
    assert (table["total"] == table["first"] + table["second"]).all()
    assert table["unspecified"].max() - table["unspecified"].min() <= 1

    contexts = Counter(d.context for d in CORPUS)
    assert 0.25 <= contexts["unspecified"] / len(CORPUS) <= 0.4
    assert {"US", "China"} < set(contexts)
    assert len(contexts) >= 7
    assert table.drop(columns=["first", "second", "total"]).sum().to_dict() == {c: 2 * n for c, n in contexts.items()}


@pytest.mark.parametrize("dilemma", CORPUS, ids=lambda d: d.id)
def test_wordings_keep_to_the_corpus_rules(dilemma: Dilemma) -> None:
    english, chinese = dilemma.wordings["en"], dilemma.wordings["zh"]
    assert len(english.scenarios) >= 3
    assert len(chinese.scenarios) >= 3
    for scenario in english.scenarios:
        assert 30 <= len(scenario.split()) <= 60, scenario
        assert re.search(r"\byour?\b", scenario, re.IGNORECASE), scenario
    for action in english.actions:
        assert 6 <= len(action.split()) <= 16, action
        assert not action.endswith("."), action
    for text in (*chinese.scenarios, *chinese.actions):
        assert len(HAN.findall(text)) >= 0.75 * len(text), text
        assert not re.search(r"[,;:?!a-zA-Z]", text), text
    assert all("你" in scenario for scenario in chinese.scenarios)
    for wording in dilemma.wordings.values():
        shorter, longer = sorted(map(len, wording.actions))
        assert longer <= 1.3 * shorter, wording.actions


def test_neither_place_nor_length_favours_an_action() -> None:
    for language in ("en", "zh"):
        first, second = zip(*(map(len, d.wordings[language].actions) for d in CORPUS), strict=True)
        assert abs(sum(first) / sum(second) - 1) < 0.05


def test_no_two_dilemmas_are_near_duplicates() -> None:
    assert near_duplicates(CORPUS) == []


def test_a_paraphrase_under_another_id_is_found() -> None:
    first = [replace(d, wordings={"en": Wording(d.wordings["en"].scenarios[:1], ("Yes", "No"))}) for d in CORPUS]
    second = [
        replace(d, id=f"copy of {d.id}", wordings={"en": Wording(d.wordings["en"].scenarios[1:2], ("Yes", "No"))})
        for d in CORPUS
    ]
    pairs = near_duplicates([*first, *second])
    assert all(copy == f"copy of {original}" for original, copy, _ in pairs)
    assert len(pairs) >= 0.95 * len(CORPUS)
    similarities = [similarity for *_, similarity in pairs]
    assert similarities == sorted(similarities, reverse=True)


def test_similarity_is_one_for_the_same_words_and_nothing_across_languages() -> None:
    english = Dilemma("a", ("power", "security"), "US", {"en": Wording(("You find a purse.",), ("x", "y"))})
    same = replace(english, id="b", wordings={"en": Wording(("A purse you find!",), ("x", "y"))})
    chinese = replace(english, id="c", wordings={"zh": Wording(("你捡到一个钱包。",), ("x", "y"))})
    again = replace(chinese, id="d")
    assert near_duplicates([english, same, chinese, again], 0.5) == [("a", "b", 1.0), ("c", "d", 1.0)]


def test_hash_sees_every_change_but_not_the_order() -> None:
    one = CORPUS[0]
    english = one.wordings["en"]
    changed = [
        replace(one, id="other"),
        replace(one, values=(one.values[1], one.values[0])),
        replace(one, context="Peru"),
        replace(one, wordings={**one.wordings, "en": replace(english, actions=english.actions[::-1])}),
        replace(one, wordings={**one.wordings, "en": replace(english, scenarios=english.scenarios[:2])}),
    ]
    assert corpus_hash(CORPUS[::-1]) == corpus_hash(CORPUS)
    assert len({corpus_hash(CORPUS), *(corpus_hash([new, *CORPUS[1:]]) for new in changed)}) == 1 + len(changed)


@given(n=st.integers(1, len(CORPUS)), seed=st.integers(0, 2**32 - 1))
def test_sample_covers_values_evenly_and_depends_on_the_seed_alone(n: int, seed: int) -> None:
    sample = sample_balanced(CORPUS, n, np.random.default_rng(seed))
    assert len({d.id for d in sample}) == n
    covered = Counter(value for d in sample for value in d.values)
    assert max(covered.values()) - min(covered[value] for value in VALUES) <= 1
    assert sample == sample_balanced(CORPUS[::-1], n, np.random.default_rng(seed))


def test_sample_differs_between_seeds_and_refuses_an_impossible_size() -> None:
    assert len({sample_balanced(CORPUS, 10, np.random.default_rng(seed))[0].id for seed in range(20)}) > 1
    for n in (0, len(CORPUS) + 1):
        with pytest.raises(ValueError, match=f"between 1 and the {len(CORPUS)} dilemmas given, got {n}"):
            sample_balanced(CORPUS, n, np.random.default_rng(0))


def test_a_file_of_ones_own_is_read_in_its_order(tmp_path: Path) -> None:
    path = write(tmp_path / "own.jsonl", json.dumps(record(id="b")), "", json.dumps(record()))
    dilemmas = load_dilemmas(path)
    assert [d.id for d in dilemmas] == ["b", "a"]
    assert dilemmas[1] == Dilemma(
        "a",
        ("power", "security"),
        "US",
        {"en": Wording(("You find a purse.", "A purse lies before you."), ("Keep it", "Return it"))},
    )


def without(field: str) -> dict[str, Any]:
    return {key: value for key, value in record().items() if key != field}


def wording(**changes: Any) -> dict[str, Any]:
    return record(wordings={"en": record()["wordings"]["en"] | changes})


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "not valid JSON"),
        ([], "expected an object with the fields .* found list"),
        (without("context"), r"expected an object with the fields .*'context'.* found \['id', 'values', 'wordings'\]"),
        (record(note="x"), r"found .*'note'"),
        (record(id=""), "id: expected a text"),
        (record(id=7), "id: expected a text .* found 7"),
        (record(context=" US"), "context: expected a text without blanks"),
        (record(values=["power"]), r"values: expected a list of 2 texts, found \['power'\]"),
        (record(values=["power", "power"]), "values: expected different texts"),
        (record(values=["power", "glory"]), r"values: found \['glory'\], expected names among \['self_direction'"),
        (record(wordings={}), "wordings: expected an object by language"),
        (record(wordings={"en": ["x"]}), r"wordings\.en: expected an object with scenarios and actions"),
        (wording(scenarios=[]), r"wordings\.en\.scenarios: expected a list of one or more texts"),
        (wording(scenarios="You"), r"wordings\.en\.scenarios: expected a list"),
        (wording(scenarios=["You", ""]), r"wordings\.en\.scenarios\[1\]: expected a text .* found ''"),
        (wording(actions=["a", "b", "c"]), r"wordings\.en\.actions: expected a list of 2 texts"),
        (wording(actions=["a", "a"]), r"wordings\.en\.actions: expected different texts"),
    ],
)
def test_a_broken_line_is_named_with_file_line_and_field(tmp_path: Path, line: Any, message: str) -> None:
    broken = line if isinstance(line, str) else json.dumps(line)
    path = write(tmp_path / "own.jsonl", json.dumps(record(id="fine")), broken)
    with pytest.raises(ValueError, match=rf"{re.escape(str(path))}, line 2: .*{message}"):
        load_dilemmas(path)


@pytest.mark.parametrize(
    ("spoil", "error", "message"),
    [
        (lambda path: write(path, json.dumps(record()), json.dumps(record())), ValueError, "line 2: id: 'a' is taken"),
        (lambda path: write(path, ""), ValueError, "holds no dilemma"),
        (lambda path: path.write_bytes(b"\xff\xfe"), ValueError, "expected UTF-8 text"),
        (lambda path: None, FileNotFoundError, "no such dilemma corpus"),
    ],
)
def test_a_broken_file_is_named(
    tmp_path: Path, spoil: Callable[[Path], object], error: type[Exception], message: str
) -> None:
    path = tmp_path / "own.jsonl"
    spoil(path)
    with pytest.raises(error, match=rf"{re.escape(str(path))}.*{message}"):
        load_dilemmas(path)
