"""How many examples a training sees, so that arms are the same in what `budget.match` names.

examples and steps are counted. tokens and flops are measured before training: a pool of examples is drawn and put in
training order once, and an arm is trained on as many whole batches from its beginning as come nearest to the amount.
The pool's size depends on what is asked for and not on the arm (it would last the cheapest one), so arms that differ in
adapter or objective see the same batches in the same order, the dearer arm fewer of them.

A recipe says what it costs by attributes of its class, where they are not these: `prompts_per_example` = 1, how many
prompts are computed for one example; `reference_passes` = 0, how often a reference computes each; and one that asks in
other words than the audits do has `prompts(run)`, the rendered prompts of `run.examples` in the order of training.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from data.packed_attention import why_not_packed
from data.packing import pack
from data.records import Split, Survey, TrainingExample
from train.adapters import Full
from train.batches import arrange
from train.budget import Budget
from train.closed_batch import ask_plainly
from train.costs import Size, empty_model, size_of
from train.run import RunContext, processes

UNLIMITED = 2**62
FloatArray = npt.NDArray[np.float64]
Draw = Callable[[int], tuple[TrainingExample, ...]]
"""So many examples, in the order in which they are trained on."""


def drawn(
    mixture: Callable[..., tuple[TrainingExample, ...]], people: Survey, split: Split, seed: int, draw: int
) -> Draw:
    """Draw from a mixture of these people: which examples depends on the split and `draw`, their order on `seed`."""
    return lambda size: arrange(mixture(people, size, split.seed, draw), np.random.default_rng([seed, draw]))


def matched(run: RunContext, recipe: Any, draw: Draw) -> tuple[tuple[TrainingExample, ...], Budget]:
    """The examples that the arm is trained on, and its budget in examples.

    Raises ValueError where the number of examples is no multiple of the recipe's prompts, where budget.amount is
    missing (it says what budget.examples of this arm would cost), and for a recipe whose cost is known only afterwards.
    """
    budget = run.budget
    if not budget.measured:
        number = _counted(budget, _prompts_of(recipe))
        return draw(number), replace(budget, examples=number, match="examples", amount=None)
    _check_known(run, recipe)
    if budget.amount is None:
        raise ValueError(_proposal(run, recipe, draw))
    price, cheapest = _price(run, recipe), _price(run, None)
    size = budget.examples
    while True:
        pool = draw(size)
        spent = price(_costs(run, pool, recipe))
        if min(spent.sum(), cheapest(_costs(run, pool)).sum()) >= budget.amount:
            break
        size *= 2
    spent = spent.reshape(-1, budget.batch_size // budget.split(processes())[0]).sum(1).cumsum()
    number = (int(np.abs(spent - budget.amount).argmin()) + 1) * budget.batch_size
    return pool[:number], replace(budget, examples=number, match="examples", amount=None)


def check_amount(run: RunContext, recipe: Any, draw: Draw) -> None:
    """Raise what `matched` would, without measuring where an amount is given."""
    if not run.budget.measured:
        _counted(run.budget, _prompts_of(recipe))
        return
    _check_known(run, recipe)
    if run.budget.amount is None:
        raise ValueError(_proposal(run, recipe, draw))


def _counted(budget: Budget, prompts: int) -> int:
    if budget.match == "steps":
        return budget.steps * budget.batch_size
    if budget.examples % (prompts * budget.batch_size):
        raise ValueError(
            f"budget.examples {budget.examples} is no multiple of batch_size x prompts an example = "
            f"{budget.batch_size} x {prompts}: this recipe computes {prompts} prompts for one example, and they are "
            "counted so that arms see the same number; change budget.examples, or set budget.match=steps"
        )
    return budget.examples // prompts


def other_texts(recipe: Any) -> str:
    """What a recipe does that computes more than prompts of closed questions, as the end of a sentence; "" of others.

    `pairs`, where it is text, is the preference set that is read; recipes may have a method of that name.
    """
    if getattr(recipe, "estimator", "exact") != "exact":
        return "draws replies"
    pairs = getattr(recipe, "pairs", None)
    return "trains on other texts than closed questions" if isinstance(pairs, str) else ""


def _check_known(run: RunContext, recipe: Any) -> None:
    """Refuse a recipe that draws replies, reads texts of a file or trains a scorer: its prompts are not those drawn."""
    name, kind = type(recipe).__name__, run.budget.match
    if what := other_texts(recipe) or ("trains a reward model" if run.head != "language" else ""):
        raise ValueError(
            f"budget.match={kind} measures closed questions before training, and recipe {name} {what}: set "
            "budget.match=examples or steps for all arms that are compared with it"
        )


def _proposal(run: RunContext, recipe: Any, draw: Draw) -> str:
    budget = run.budget
    cost = _price(run, recipe)(_costs(run, draw(budget.examples), recipe)).sum()
    unit = "prompt tokens" if budget.match == "tokens" else "FLOPs"
    shown = f"{cost:.0f}" if budget.match == "tokens" else f"{cost:.3g}"
    return (
        f"budget.match={budget.match} needs budget.amount; budget.examples={budget.examples} of this arm would cost "
        f"{shown} {unit}: set budget.amount={shown} for all arms, or another number"
    )


def _price(run: RunContext, recipe: Any) -> Callable[[FloatArray], FloatArray]:
    """What micro batches cost in the budget's currency, from their (tokens, computed tokens). None stands for a recipe
    and an adapter that nothing is cheaper than.
    """
    prompts = _prompts_of(recipe)
    if run.budget.match == "tokens":
        return lambda costs: costs[:, 0] * prompts
    model = empty_model(run.base, run.adapter, run.spec.trust_remote_code)
    size = size_of(model)
    if recipe is None:
        size = Size(size_of(_bare(run)).layers)
    passes = getattr(recipe, "reference_passes", 0)
    return lambda costs: costs[:, 1] * prompts * size.flops(1.0, passes)


def _costs(run: RunContext, examples: tuple[TrainingExample, ...], recipe: Any = None) -> FloatArray:
    """(tokens of all prompts in full, tokens computed) of every micro batch, (micro batches, 2)."""
    micro, _ = run.budget.split(processes())
    sequences = run.renderer.encode(texts_of(replace(run, examples=examples), recipe))
    fits = why_not_packed(_bare(run), max(map(len, sequences))) == ""
    rows = []
    for start in range(0, len(sequences), micro):
        part = sequences[start : start + micro]
        computed = len(pack(part, UNLIMITED)[0].tokens) if fits else len(part) * max(map(len, part))
        rows.append((sum(map(len, part)), computed))
    return np.array(rows, dtype=np.float64)


def texts_of(run: RunContext, recipe: Any) -> list[str]:
    """The prompts that the recipe asks of the run's examples, in the order of training."""
    if hasattr(recipe, "prompts"):
        return list(recipe.prompts(run))
    return [ask_plainly(run.renderer, example).text for example in run.examples]


def _bare(run: RunContext) -> Any:
    """The base model without an adapter and without weights."""
    return empty_model(run.base, Full(), run.spec.trust_remote_code)


def _prompts_of(recipe: Any) -> int:
    return int(getattr(recipe, "prompts_per_example", 1))
