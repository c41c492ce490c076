"""The report's blocks of insensitive replies, from a summary made of real estimates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from data.labelled import AXES, load_labelled
from data.prompts import Asking, OptionPrompt, Renderer
from eval.answers import Costs, OptionAnswer
from eval.insensitivity.judge import OpenJudge
from eval.insensitivity.rates import insensitivity_estimates
from eval.report.evidence import Cell
from eval.report.insensitivity import blocks
from eval.report.summary import Summary


class Coin:
    """Judges by the length of the prompt: what is right only by chance."""

    identity = "coin"

    def __init__(self) -> None:
        self.costs = Costs()

    def score(self, prompts: Sequence[OptionPrompt], progress: object = None) -> list[OptionAnswer]:
        p = [0.4 + 0.2 * (len(prompt.text) % 2) for prompt in prompts]
        return [OptionAnswer(np.array([one, 1 - one]), 1.0) for one in p]


@pytest.fixture(scope="module")
def items() -> pd.DataFrame:
    return pd.DataFrame([one.row for one in load_labelled()[:60]])


def summary_of(items: pd.DataFrame, judge: OpenJudge | None) -> tuple[Summary, pd.DataFrame]:
    estimates, flags = insensitivity_estimates(items, judge, np.random.default_rng(0), 100)
    rows: list[dict[str, Any]] = [{"arm": "base", "audit": "def", **asdict(one)} for one in estimates]
    raw = {"experiment": "x", "arms": [{"name": "base", "recipe": "none"}], "estimates": rows}
    return Summary(raw), pd.concat([items, flags], axis=1)


def test_rates_and_trust_without_a_judge(items: pd.DataFrame, tmp_path: Path) -> None:
    summary, evidence = summary_of(items, None)
    folder = tmp_path / "audits" / "def"
    folder.mkdir(parents=True)
    evidence.to_parquet(folder / "items.parquet")
    rates, trust, examples = blocks(summary, [Cell("base", tmp_path)], {})
    (table,) = rates.tables
    assert [column.title for column in table.columns] == ["Axis", "Arm", "Found", "Undecided", "Of the decided"]
    assert len(table.rows) == len(AXES)
    estimate = summary.get("base", "def", "insensitivity_rate", "axis=instruction", "by rule")
    assert estimate is not None
    assert table.rows[0].cells[4].text == f"{100 * estimate.value:.1f}%"
    assert "No judge was asked" in trust.intro
    assert len(trust.tables) == 1
    assert examples.folded
    assert all(row.cells[3].text for row in examples.tables[0].rows)


def test_a_judge_that_guesses_is_called_so(items: pd.DataFrame) -> None:
    coin = OpenJudge(Coin(), Renderer(Asking(style="completion")), "coin")  # type: ignore[arg-type]
    summary, _ = summary_of(items, coin)
    rates, trust = blocks(summary, [], {})
    assert "Of the decided, by rule alone" in [column.title for column in rates.tables[0].columns]
    assert "NO BETTER THAN GUESSING" in trust.intro
    kappas = [row.cells[3] for row in trust.tables[1].rows]
    assert any(cell.tone == "warned" for cell in kappas)


def test_no_written_replies_no_blocks() -> None:
    assert blocks(Summary({"experiment": "x", "arms": [{"name": "base"}], "estimates": []}), [], {}) == []
