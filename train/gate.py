"""When a training has collapsed: it is stopped there, and the variant is kept as it stood.

Two kinds of sign. A loss or a gradient that is not finite is seen before it reaches the weights, so what is kept is
finite. The slow signs are read from the logged steps: answers that have become one option, a policy that has left its
reference, probability that has left the options. A metric that a recipe does not log is not judged: recipes without a
reference (match, sft, orpo, simpo …) have no KL, reward models and open-ended pairs no option mass.
Our design: borders are conventions, wide enough that a policy may still go where its objective leads. Logged entropies
and divergences are means over a batch; `patience` keeps one odd batch from deciding.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from data.records import TrainingExample
from train.knobs import not_negative, positive

if TYPE_CHECKING:
    from train.run import RunContext

Record = Mapping[str, float]


@dataclass(frozen=True)
class Gate:
    """Knobs of the validity gate during training; each slow sign has to last for `patience` steps.

    `min_entropy_share`: mean entropy of the answers below this share of the people's own, or of what it was at the
    first step where that is less. `max_kl`: KL(model || reference) above so many nats. `min_option_mass`: probability
    on the options below this share of what it was at the first step. A knob of 0 (`max_kl`: null) judges nothing.
    """

    enabled: bool = True
    patience: int = 3
    min_entropy_share: float = 0.1
    max_kl: float | None = 10.0
    min_option_mass: float = 0.05

    def __post_init__(self) -> None:
        not_negative("gate", min_entropy_share=self.min_entropy_share, min_option_mass=self.min_option_mass)
        if self.max_kl is not None:
            positive("gate", max_kl=self.max_kl)
        if self.patience < 1:
            raise ValueError(f"gate.patience must be at least 1 step, got {self.patience}")
        for name in ("min_entropy_share", "min_option_mass"):
            if getattr(self, name) >= 1:
                raise ValueError(f"gate.{name} is a share and must be below 1, got {getattr(self, name)}")

    def reason(self, steps: Sequence[Record], entropy_of_people: float = math.nan) -> str:
        """Why the training of which these steps were logged has collapsed, in words; "" where it has not.

        `entropy_of_people`: nats, mean over the training examples; NaN where there are none.
        """
        if not self.enabled or not steps:
            return ""
        if not math.isfinite(steps[-1].get("loss", 0.0)):
            return "the loss is not finite"
        first, last = steps[0], steps[-self.patience :]
        if len(last) < self.patience:
            return ""
        least = self.min_entropy_share * _smaller(entropy_of_people, first.get("entropy", math.nan))
        tokens = self.min_entropy_share * first.get("token_entropy", math.nan)
        mass = self.min_option_mass * first.get("option_mass", math.nan)
        most = math.nan if self.max_kl is None else self.max_kl
        for name, border, sign, words in (
            ("entropy", least, -1, "the entropy of the answers has collapsed: {value:.3g} nats"),
            ("token_entropy", tokens, -1, "the entropy of the replies has collapsed: {value:.3g} nats a token"),
            ("option_mass", mass, -1, "the options have lost their probability: {value:.3g} is on them"),
            ("kl_reference", most, 1, "the model has run away from its reference: KL {value:.3g} nats"),
        ):
            values = [step.get(name, math.nan) for step in last]
            if all(sign * value > sign * border for value in values):  # NaN on either side: not judged
                side = "at most" if sign > 0 else "at least"
                held = f"{side} {border:.3g} is allowed, for {self.patience} steps"
                return f"{words.format(value=values[-1])}; {held}"
        return ""


@dataclass(frozen=True)
class Collapse:
    """Why a training was stopped, and after which optimiser step (the first whose loss was not finite: before it)."""

    reason: str
    step: int


class NotFiniteError(ArithmeticError):
    """Raised out of a training step, in all processes alike, before the optimiser has seen it."""


class Watch(TrainerCallback):
    """Reads the logged steps and ends the training in all processes where the main one finds that it has collapsed."""

    def __init__(self, trainer: Trainer, gate: Gate, people: float, before: Sequence[Record]) -> None:
        self._trainer = trainer
        self._gate = gate
        self._people = people
        self._steps = [dict(step) for step in before]
        self.collapse: Collapse | None = None

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        if not logs or "loss" not in logs:
            return
        self._steps.append(logs)
        found = _from_main(self._trainer, self._gate.reason(self._steps, self._people))
        if found:
            self.collapse = Collapse(found, state.global_step)
            control.should_training_stop = True


def train_watched(trainer: Trainer, run: RunContext, before: Sequence[Record], checkpoint: str | None) -> None:
    """`trainer.train`, ended early where `run.gate` says so (`collapse_of`). `before`: the steps logged earlier."""
    if not run.gate.enabled:
        trainer.train(resume_from_checkpoint=checkpoint)
        return
    watch = Watch(trainer, run.gate, entropy_of(run.examples), before)
    trainer.add_callback(watch)
    _refuse_what_is_not_finite(trainer)
    try:
        trainer.train(resume_from_checkpoint=checkpoint)
    except NotFiniteError as error:
        watch.collapse = Collapse(str(error), trainer.state.global_step + 1)
        trainer.callback_handler.on_train_end(trainer.args, trainer.state, trainer.control)


def collapse_of(trainer: Trainer) -> dict[str, Any] | None:
    """The manifest's `collapsed`: {"reason", "step"} of a training that was stopped, None of one that ended well."""
    watches = (one for one in trainer.callback_handler.callbacks if isinstance(one, Watch))
    return next((asdict(one.collapse) for one in watches if one.collapse), None)


def entropy_of(examples: Sequence[TrainingExample]) -> float:
    """Mean entropy of the people's answers in nats; NaN of no examples."""
    if not examples:
        return math.nan
    people = torch.nn.utils.rnn.pad_sequence([torch.tensor(e.people, dtype=torch.float64) for e in examples], True)
    return float(-torch.xlogy(people, people).sum(-1).mean())


def _refuse_what_is_not_finite(trainer: Trainer) -> None:
    """Let `trainer` raise NotFiniteError in place of a backward pass or an optimiser step that would spoil the weights.

    Every trainer goes through its accelerator for both. DeepSpeed steps inside the backward pass: there a gradient that
    is not finite under a finite loss is found too late, and the check of what was saved refuses the variant.
    """
    accelerator = trainer.accelerator
    backward, clip = accelerator.backward, accelerator.clip_grad_norm_

    def checked_backward(loss: torch.Tensor, **kwargs: Any) -> None:
        broken = (~torch.isfinite(loss.detach()).all()).float()
        if accelerator.num_processes > 1:
            broken = accelerator.reduce(broken, "sum")
        if broken:
            raise NotFiniteError("the loss is not finite")
        backward(loss, **kwargs)

    def checked_clip(*args: Any, **kwargs: Any) -> Any:
        norm = clip(*args, **kwargs)
        whole = norm.full_tensor() if hasattr(norm, "full_tensor") else norm
        if whole is not None and not math.isfinite(float(whole)):
            raise NotFiniteError("the gradient is not finite")
        return norm

    accelerator.backward = checked_backward
    accelerator.clip_grad_norm_ = checked_clip


def _from_main(trainer: Trainer, words: str) -> str:
    """What the main process found, in every process."""
    if trainer.accelerator.num_processes == 1:
        return words
    from accelerate.utils import broadcast_object_list

    shared = [words]
    broadcast_object_list(shared)
    return shared[0]


def _smaller(*values: float) -> float:
    """The least of those that are known; NaN where none is."""
    return min((value for value in values if not math.isnan(value)), default=math.nan)
