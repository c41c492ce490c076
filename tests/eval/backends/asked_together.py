"""What `test_sharing` runs in several processes: `asked_together.py MODEL FOLDER [die]` writes FOLDER/RANK.json."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from data.models import load_model, load_tokenizer
from data.prompts import Asking, OptionPrompt, Renderer
from eval.answer_store import AnswerStore
from eval.answers import Costs
from eval.backends.in_process import TransformersAnswerer
from eval.backends.sharing import join, leave


def main(model: Path, folder: Path, die: bool = False) -> None:
    processes = join()
    store = processes.main_first("store", lambda: AnswerStore(folder / "answers.sqlite"))
    renderer = Renderer(Asking(), load_tokenizer(model))
    loaded = load_model(model, torch.float32)
    subject = TransformersAnswerer(loaded, renderer, "weights", store, token_budget=120, slab=30)
    texts = [
        f"{'Is it right?' * (number % 5)} Number {number}, yes or no?\nA. Yes\nB. No\nAnswer:" for number in range(80)
    ]
    asked = [OptionPrompt(text, ("A", "B")) for text in texts]
    mine: list[str] = []
    compute = subject._score._compute

    def watched(tree: Any, sequences: Any, prompts: Any) -> Any:
        if die and processes.rank == 1 and len(mine) > 10:
            os.kill(os.getpid(), signal.SIGKILL)
        mine.extend(prompts[member].text for member in tree.members.tolist())
        return compute(tree, sequences, prompts)

    subject._score._compute = watched  # type: ignore[method-assign]
    answers = subject.score(asked)
    costs, subject.costs = dataclasses.asdict(subject.costs), Costs()
    subject.score(asked)

    def fail() -> None:
        if processes.rank:
            raise ValueError("only here")

    record = {
        "answers": [[*answer.probabilities.tolist(), answer.option_mass] for answer in answers],
        "costs": {name: value for name, value in costs.items() if name != "seconds"},
        "again": dataclasses.asdict(subject.costs),
        "mine": mine,
        "failure": said(lambda: processes.gather("fail", fail)),
        "from_main": said(lambda: processes.from_main("said", lambda: f"process {processes.rank}")),
        "apart": said(lambda: subject.score(asked[processes.rank :])),
    }
    (folder / f"{processes.rank}.json").write_text(json.dumps(record))
    processes.wait("end")
    leave()


def said(work: Callable[[], Any]) -> str:
    try:
        return str(work())
    except Exception as error:
        return f"{type(error).__name__}: {error}"


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:] == ["die"])
