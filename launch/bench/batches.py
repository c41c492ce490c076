"""The training batches that `polyphony bench train` times: those of a real training, or some that share as asked.

How much a batch shares is prompt tokens over tokens of its prefix tree. It depends on how many of its examples put one
question in one order of the options, so batches for a factor asked for are made of clusters of such examples: of one
(a plain shuffle) shares least, of the whole batch most. No prompt stands twice in a batch then.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from data.packing import pack
from data.prompts import Renderer
from data.records import TrainingExample
from data.splits import training_part
from launch.build import build
from launch.people import people
from train.batches import arrange

UNLIMITED = 2**62
POOL = 200  # draws of the mixture a batch is chosen from


@dataclass(frozen=True)
class Batches:
    """Examples in training order, `size` a batch; `tokens` of their prompts, `unique` of the batches' prefix trees;
    `distinct` prompts, `padded` tokens where every batch is padded to its longest; `cluster` examples stand together.
    """

    examples: tuple[TrainingExample, ...]
    size: int
    cluster: int
    tokens: int
    unique: int
    padded: int
    distinct: int

    @property
    def sharing(self) -> float:
        return self.tokens / self.unique


def training_batches(
    config: Mapping[str, Any], renderer: Renderer, sharing: float | None, size: int, count: int
) -> Batches:
    """`count` batches. `sharing` None: the first of the training that `config` asks for, else the factor to come near.

    Raises ValueError where the mixture has too few distinct prompts.
    """
    survey, split = people(config["survey"])
    seen = training_part(survey, split, renderer.asking.language)
    mixture, draw = build(config["mixture"], "mixture"), config["draw"]
    rng = np.random.default_rng([config["seed"], draw])
    if sharing is None:
        examples = arrange(mixture(seen, max(config["budget"]["examples"], size * count), split.seed, draw), rng)
        return _counted(examples[: size * count], size, 0, renderer)
    pool = mixture(seen, POOL * size, split.seed, draw)
    found = [
        _counted(examples, size, cluster, renderer)
        for cluster in range(1, size + 1)
        if size % cluster == 0 and len(examples := _clustered(pool, size, cluster, count, rng)) == size * count
    ]
    if not found:
        raise ValueError(
            f"the mixture has too few distinct prompts for {count} batches of {size}: take a smaller --batch"
        )
    return min(found, key=lambda batches: abs(np.log(batches.sharing / sharing)))


def _clustered(
    pool: Sequence[TrainingExample], size: int, cluster: int, count: int, rng: np.random.Generator
) -> tuple[TrainingExample, ...]:
    """At most `count` batches of whole clusters, each cluster of a batch on another question or order."""
    distinct = {(e.item.id, e.order, e.group, e.condition): e for e in pool}
    kinds: dict[tuple[str, tuple[int, ...]], list[TrainingExample]] = {}
    for example in distinct.values():
        kinds.setdefault((example.item.id, example.order), []).append(example)
    whole = {kind: found for kind, found in kinds.items() if len(found) >= cluster}
    batches: list[TrainingExample] = []
    for _ in range(count):
        if len(whole) < size // cluster:
            break
        names = list(whole)
        for pick in rng.choice(len(names), size=size // cluster, replace=False):
            examples = whole[names[pick]]
            batches += [examples[place] for place in rng.choice(len(examples), size=cluster, replace=False)]
    return tuple(batches)


def _counted(examples: Sequence[TrainingExample], size: int, cluster: int, renderer: Renderer) -> Batches:
    tokens = unique = padded = 0
    texts = [renderer.survey(e.item, e.order, e.group, e.condition).text for e in examples]
    sequences = renderer.encode(texts)
    for start in range(0, len(sequences), size):
        batch = sequences[start : start + size]
        tokens += sum(map(len, batch))
        unique += sum(len(tree.tokens) for tree in pack(batch, UNLIMITED))
        padded += len(batch) * max(map(len, batch))
    return Batches(tuple(examples), size, cluster, tokens, unique, padded, len(set(texts)))
