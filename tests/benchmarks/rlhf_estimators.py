"""The exact objective of RLHF and its two sampled estimators, trained on the same prompts: `python
tests/benchmarks/rlhf_estimators.py --examples 16 --noise 4`.

A row an estimator, on the prompts that were trained on, computed exactly: `reward` is the expected reward among the
options, `reply_reward` that of a whole reply (what names no option gets log(least_share)), `mass` the probability of
all options, `kl` KL(policy || base) of the next token over the whole vocabulary in nats, `cpu` the seconds of CPU.
The noise: cosine of an RLOO gradient, at the base, to the gradient that it estimates. Replies are one token long, so
that both are sums over next tokens: an RLOO loss is -mean of advantage * log policy (`train.sampled`).
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from data.models import ModelSpec, device_for, fetch, load_model
from data.options import OptionTokens
from data.packed_attention import padded_logits
from data.prompts import Asking
from data.variant import load_variant
from launch.bench.training import bench_config
from launch.build import build, build_as
from launch.people import people
from train.budget import Budget
from train.closed_batch import ask_plainly
from train.recipes.rlhf import Rlhf
from train.rewards import people_rewards
from train.run import RunContext
from train.variant import train_variant

ESTIMATORS = {"exact": {"estimator": "exact"}} | {
    name: {"estimator": "sampled", "algorithm": name} for name in ("rloo", "grpo")
}


class Prompts:
    """Prompts in tokens with the reward of every next token, (n, vocabulary), and which tokens name an option."""

    def __init__(self, run: RunContext, least_share: float) -> None:
        tokens = OptionTokens(run.tokenizer)
        prompts = [ask_plainly(run.renderer, example) for example in run.examples]
        self.sequences = run.renderer.encode([prompt.text for prompt in prompts])
        size = run.model.get_input_embeddings().num_embeddings
        self.rewards = people_rewards(torch.zeros(len(prompts), size), least_share)
        self.named = torch.zeros(len(prompts), size, dtype=torch.bool)
        for row, (example, prompt) in enumerate(zip(run.examples, prompts, strict=True)):
            values = people_rewards(torch.tensor(example.people), least_share)
            for option, ids in zip(example.order, tokens(prompt.text, prompt.labels), strict=True):
                self.rewards[row, list(ids)], self.named[row, list(ids)] = values[option], True

    def scores(self, model: Any, count: int | None = None) -> torch.Tensor:
        """Next-token log-probabilities of the first `count` prompts (of all: None), (n, vocabulary)."""
        return padded_logits(model, self.sequences[:count], torch.device("cpu")).log_softmax(-1)

    @torch.no_grad()
    def row(self, model: Any, base: torch.Tensor) -> dict[str, float]:
        scores = self.scores(model.cpu())
        policy = scores.exp()
        mass = (policy * self.named).sum(-1)
        return {
            "reward": float(((policy * self.rewards * self.named).sum(-1) / mass).mean()),
            "reply_reward": float((policy * self.rewards).sum(-1).mean()),
            "mass": float(mass.mean()),
            "kl": float((policy * (scores - base)).sum(-1).mean()),
        }


def cosines(prompts: Prompts, model: Any, generations: int, count: int, draws: int) -> list[float]:
    """Cosines of `draws` RLOO gradients of the first `count` prompts to the gradient of the expected reward."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    scores, rewards = prompts.scores(model, count), prompts.rewards[:count]

    def gradient(objective: torch.Tensor) -> torch.Tensor:
        found = torch.autograd.grad(objective, parameters, retain_graph=True)
        return torch.cat([one.flatten() for one in found])

    exact = gradient((scores.exp() * rewards).sum(-1).mean())
    found = []
    for _ in range(draws):
        replies = torch.multinomial(scores.detach().exp(), generations, replacement=True)
        values = rewards.gather(1, replies)
        others = (values.sum(1, keepdim=True) - values) / (generations - 1)
        sampled = gradient(((values - others) * scores.gather(1, replies)).mean())
        found.append(float(torch.cosine_similarity(exact, sampled, dim=0)))
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    for name, value in (("examples", 16), ("batch-size", 4), ("generations", 4), ("noise", 4), ("threads", 1)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--learning-rate", type=float, default=5e-5)
    parser.add_argument("--estimators", default=",".join(ESTIMATORS))
    parser.add_argument("overrides", nargs="*", default=["adapter=lora"])
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    config = bench_config([*asked.overrides, "recipe=rlhf"], "")
    survey, split = people(config["survey"])
    spec = build_as(ModelSpec, config["model"], "model")
    asking = build_as(Asking, config["prompt"], "prompt")
    seen: dict[str, Any] = {}

    class Watched(Rlhf):
        def __call__(self, run: RunContext) -> Any:
            if not seen:
                prompts = Prompts(run, self.least_share)
                with torch.no_grad():
                    base = prompts.scores(run.model)
                seen.update(prompts=prompts, base=base)
                print(json.dumps({"estimator": "base", **prompts.row(run.model, base)}), flush=True)
            seen["started"] = time.process_time()
            trainer = super().__call__(run)
            seen["cpu"] = time.process_time() - seen["started"]
            return trainer

    with tempfile.TemporaryDirectory() as folder:
        for name in asked.estimators.split(","):
            recipe = Watched(learning_rate=asked.learning_rate, generations=asked.generations, **ESTIMATORS[name])
            train_variant(
                cell=Path(folder) / name,
                spec=spec,
                recipe=recipe,
                adapter=build(config["adapter"], "adapter"),
                mixture=build(config["mixture"], "mixture"),
                asking=asking,
                survey=survey,
                split=split,
                seed=0,
                draw=0,
                budget=Budget(
                    examples=asked.examples, batch_size=asked.batch_size, checkpoint_every=asked.examples, warmup=0.0
                ),
                on_log=lambda step, record: print(step, record, file=sys.stderr),
            )
            trained = load_variant(Path(folder) / name, spec, device_for())[0]
            found = seen["prompts"].row(trained, seen["base"])
            print(json.dumps({"estimator": name, **found, "cpu": seen["cpu"]}), flush=True)
    if asked.noise:
        model = load_model(fetch(spec), torch.float32, spec.trust_remote_code).requires_grad_(True)
        torch.manual_seed(0)
        for generations in (2, 4, 16):
            found = torch.tensor(cosines(seen["prompts"], model, generations, asked.batch_size, asked.noise))
            print(json.dumps({"generations": generations, "cosine": float(found.mean()), "sd": float(found.std())}))


if __name__ == "__main__":
    main()
