"""Who judges written replies, in the cells whose DEF audit lets participants explain their answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from launch.build import build
from launch.identities import served_identity

if TYPE_CHECKING:
    from eval.answers import Opened
    from eval.backends.sharing import Processes
    from eval.insensitivity.judge import JudgeSource, OpenJudge

JUDGED = "def"


def judge_of(config: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The judge's node of a cell's config; None where no reply is written that it could judge."""
    explained = (config["audit"].get(JUDGED) or {}).get("answering") == "explain"
    node: Mapping[str, Any] = config["judge"]
    return node if explained else None


def judge_model(config: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The `model` node of a judge with weights of its own on this machine; None without one."""
    judge = judge_of(config)
    if judge is None or "model" not in judge or served_identity(judge):
        return None
    return {key: value for key, value in judge["model"].items() if key != "_target_"}


@contextmanager
def open_judge(
    config: Mapping[str, Any], folder: Path, opened: Opened, processes: Processes
) -> Iterator[OpenJudge | None]:
    """The judge of the cell in `folder`, or None. Its answers are kept for the whole run: every cell's judge is held
    against the same labelled replies.
    """
    from eval.answer_store import AnswerStore

    judge = judge_of(config)
    if judge is None:
        yield None
        return
    source: JudgeSource = build(judge, "judge")
    run = next((above.parent for above in folder.parents if above.name == "cells"), folder) / "judge"
    with (
        closing(processes.main_first("judge's store", lambda: AnswerStore(run / "answers.sqlite"))) as store,
        source.open(run, store, opened) as found,
    ):
        yield found
