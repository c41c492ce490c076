"""The order of training: a permutation, the same for the same seed, with sharing neighbours."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from data.mixture import Mixture
from data.records import Survey, TrainingExample
from train.batches import arrange


def neighbours(examples: tuple[TrainingExample, ...]) -> float:
    kinds = [(example.item.id, example.order) for example in examples]
    return float(np.mean([a == b for a, b in pairwise(kinds)]))


def test_arrange_is_a_seeded_permutation_that_brings_sharing_examples_together(tiny_survey: Survey) -> None:
    examples = Mixture()(tiny_survey, 128, 0, 0)
    arranged = arrange(examples, np.random.default_rng(3))
    assert Counter(map(str, arranged)) == Counter(map(str, examples))
    assert arranged == arrange(examples, np.random.default_rng(3))
    assert arranged != arrange(examples, np.random.default_rng(4))
    assert neighbours(arranged) > 3 * neighbours(arrange(examples, np.random.default_rng(3), cluster=1))


def test_no_cluster_is_longer_than_asked(tiny_survey: Survey) -> None:
    """A hundred examples of one kind and a hundred of another: runs of one kind are whole clusters of 5."""
    first, second = (Mixture(items=(name,))(tiny_survey, 1, 0, 0)[0] for name in ("toy/poor", "toy/work"))
    arranged = arrange([first] * 100 + [second] * 100, np.random.default_rng(0), cluster=5)
    ids = [example.item.id for example in arranged]
    assert all(len(set(ids[start : start + 5])) == 1 for start in range(0, 200, 5))
    assert len(set(ids[:40])) == 2


def test_a_cluster_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1 example, got 0"):
        arrange((), np.random.default_rng(0), cluster=0)
