from __future__ import annotations

from dataclasses import dataclass

import pytest

from launch.build import build, build_as, fits


@dataclass(frozen=True)
class Knobs:
    rate: float
    names: tuple[str, ...] = ()
    size: int | None = None
    inner: Knobs | None = None

    def __post_init__(self) -> None:
        if self.rate <= 0:
            raise ValueError(f"rate must be positive, got {self.rate}")


def test_lists_become_tuples_and_nodes_objects() -> None:
    here = f"{__name__}.Knobs"
    made = build({"_target_": here, "rate": 1, "names": ["a"], "inner": {"_target_": here, "rate": 0.5}}, "recipe")
    assert (made.rate, made.names, made.inner.rate) == (1.0, ("a",), 0.5)
    assert isinstance(made.rate, float)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"rate": 1.0, "sizes": 3}, r"recipe\.sizes is not a knob of Knobs; did you mean 'size'\?"),
        ({"size": 3}, r"recipe\.rate is missing"),
        ({"rate": "much"}, r"recipe\.rate must be a number, got 'much'"),
        ({"rate": True}, r"recipe\.rate must be a number"),
        ({"rate": 1.0, "size": 1.5}, r"recipe\.size must be"),
        ({"rate": 1.0, "names": "a"}, r"recipe\.names must be"),
        ({"rate": -1.0}, r"recipe: rate must be positive, got -1"),
    ],
)
def test_wrong_fields_are_named(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_as(Knobs, fields, "recipe")


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (None, "has no _target_"),
        ("Match", "must be a dotted path"),
        ("train.recipes.mach.Match", r"cannot import 'train\.recipes\.mach'"),
        ("data.mixture.Mixtures", "did you mean 'Mixture'"),
        ("data.leaks.check_held_out", "is no dataclass"),
    ],
)
def test_wrong_targets_are_named(target: str | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build({} if target is None else {"_target_": target}, "recipe")


@pytest.mark.parametrize(
    ("value", "hint", "expected"),
    [
        (1, float, True),
        (True, int, False),
        (None, int | None, True),
        (("a", 1), tuple[str, int], True),
        (("a",), tuple[str, int], False),
        ({"a": 1}, dict[str, int], True),
        (3, list[int], True),
    ],
)
def test_fits(value: object, hint: object, expected: bool) -> None:
    assert fits(value, hint) is expected
