"""Text under a JSON schema: whatever the model prefers, a finished text parses and fulfils the schema."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from data.models import load_model, load_tokenizer
from eval.answers import TextRequest
from eval.backends.constraints import Constraints
from eval.backends.generation import TextGenerator

TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=5)


def objects(inner: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    names = st.dictionaries(st.text("abcé", min_size=1, max_size=3), inner, min_size=1, max_size=3)
    return names.map(
        lambda properties: {
            "type": "object",
            "properties": properties,
            "required": list(properties),
            "additionalProperties": False,
        }
    )


def arrays(inner: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return st.builds(
        lambda items, least, more: {"type": "array", "items": items, "minItems": least, "maxItems": least + more},
        inner,
        st.integers(0, 2),
        st.integers(0, 2),
    )


SIMPLE = st.one_of(
    st.lists(st.one_of(TEXT, st.integers(-99, 99), st.booleans(), st.none()), min_size=1, max_size=4).map(
        lambda values: {"enum": values}
    ),
    st.builds(
        lambda low, more: {"type": "integer", "minimum": low, "maximum": low + more},
        st.integers(-200, 200),
        st.integers(0, 300),
    ),
    st.integers(0, 6).map(lambda most: {"type": "string", "maxLength": most}),
    st.just({"type": "boolean"}),
)
SCHEMAS = st.recursive(SIMPLE, lambda inner: st.one_of(objects(inner), arrays(inner)), max_leaves=5)


def fulfils(value: Any, schema: dict[str, Any]) -> bool:
    if "enum" in schema:
        return any(value == option and isinstance(value, bool) == isinstance(option, bool) for option in schema["enum"])
    if schema["type"] == "integer":
        return isinstance(value, int) and schema["minimum"] <= value <= schema["maximum"]
    if schema["type"] == "string":
        return isinstance(value, str) and len(value) <= schema["maxLength"]
    if schema["type"] == "boolean":
        return isinstance(value, bool)
    if schema["type"] == "array":
        fits = isinstance(value, list) and schema["minItems"] <= len(value) <= schema["maxItems"]
        return fits and all(fulfils(item, schema["items"]) for item in value)
    known = schema["properties"]
    return isinstance(value, dict) and set(value) == set(known) and all(fulfils(value[k], known[k]) for k in known)


@pytest.fixture(scope="module")
def generator(tiny_model: Path) -> TextGenerator:
    return TextGenerator(load_model(tiny_model, torch.float32), load_tokenizer(tiny_model))


def ask(generator: TextGenerator, schema: dict[str, Any], count: int = 4, **decoding: Any) -> list[Any]:
    request = {"text": "", "max_tokens": 300, "schema": json.dumps(schema), **decoding}
    return generator.answer([[1, 30, 31]] * count, [TextRequest(**request, repeat=i) for i in range(count)])


@settings(max_examples=60)
@given(SCHEMAS, st.sampled_from([0.0, 1.0, 3.0]))
def test_a_finished_text_parses_and_fulfils_its_schema(
    generator: TextGenerator, schema: dict[str, Any], temperature: float
) -> None:
    for answer in ask(generator, schema, temperature=temperature):
        assert answer.finish == "stop"
        assert fulfils(json.loads(answer.text), schema), (answer, schema)


def test_all_values_of_a_closed_schema_occur(generator: TextGenerator) -> None:
    schema = {"type": "integer", "minimum": 8, "maximum": 12}
    found = {json.loads(answer.text) for answer in ask(generator, schema, 200)}
    assert found == {8, 9, 10, 11, 12}


def test_a_text_cut_by_its_limit_is_not_finished(generator: TextGenerator) -> None:
    (answer,) = ask(generator, {"type": "string", "minLength": 50}, 1, max_tokens=5)
    assert (answer.finish, answer.tokens) == ("length", 5)


def test_free_and_constrained_texts_share_a_batch(generator: TextGenerator) -> None:
    schema = json.dumps({"enum": ["yes", "no"]})
    asked = [TextRequest("", 6), TextRequest("", 60, schema=schema), TextRequest("", 6, seed=1)]
    prompts = [[5, 6], [5, 6, 7], [5, 6]]
    together = generator.answer(prompts, asked)
    assert json.loads(together[1].text) in ("yes", "no")
    assert together == [generator.answer([prompt], [one])[0] for prompt, one in zip(prompts, asked, strict=True)]


@pytest.mark.parametrize(
    ("schema", "named"),
    [
        ('{"type": "array", "items": {"type": "integer"}, "uniqueItems": true}', "uniqueItems"),
        ('{"type": "object", "properties": {"a": {"not": {"type": "string"}}}}', "not"),
        ('{"type": "integer", "minimum": 5, "maximum": 3}', "minimum .5. is greater than maximum .3."),
        ('{"type": "number!"}', "number!"),
        ('{"$ref": "https://example.org/schema"}', "example.org"),
        ('{"enum": []}', "Unsatisfiable"),
        ('["integer"]', "must be a JSON object, got list"),
        ('{"type": ', "is not JSON"),
    ],
)
def test_what_cannot_be_enforced_is_refused_by_name(generator: TextGenerator, schema: str, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        generator.answer([[1, 2]], [TextRequest("", schema=schema)])


def test_a_schema_is_compiled_once(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    constraints = Constraints(load_tokenizer(tiny_model), 422, [2])
    compiled: list[str] = []
    compile_schema = constraints._compile
    monkeypatch.setattr(constraints, "_compile", lambda schema: (compiled.append(schema), compile_schema(schema))[1])
    first, second = constraints.start('{"type": "boolean"}'), constraints.start('{"type": "boolean"}')
    assert compiled == ['{"type": "boolean"}']
    token = int(first.allowed().nonzero()[0][0])
    before = second.allowed().tolist()
    first.take(token)
    assert second.allowed().tolist() == before


def test_the_end_is_allowed_exactly_where_the_text_is_complete(tiny_model: Path) -> None:
    tokenizer: Any = load_tokenizer(tiny_model)
    constraint = Constraints(tokenizer, len(tokenizer) + 3, [0, 2]).start('{"type": "integer"}')
    allowed = constraint.allowed()
    assert len(allowed) == len(tokenizer) + 3
    assert not allowed[[0, 2]].any()
    assert not allowed[-3:].any()
    assert not constraint.take(tokenizer.convert_tokens_to_ids("7"))
    assert constraint.allowed()[[0, 2]].all()


def test_a_slow_tokenizer_is_refused() -> None:
    with pytest.raises(ValueError, match="fast tokenizer, got object"):
        Constraints(object(), 10, [1])
