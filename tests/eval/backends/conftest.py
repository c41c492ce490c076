"""A model that is served on loopback, the API backend opened on it, and what the engine answers itself."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from data.models import ModelSpec, load_model, load_tokenizer
from data.prompts import Asking, OptionPrompt, Renderer, orders
from data.records import Group, Survey
from eval.answer_store import AnswerStore
from eval.backends.api import OpenAICompatible
from eval.backends.in_process import TransformersAnswerer
from eval.backends.served import ServedAnswerer

_spec = importlib.util.spec_from_file_location("serving", Path(__file__).with_name("serving.py"))
assert _spec
assert _spec.loader
serving = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(serving)

KEY = "sk-a-secret-that-must-not-be-seen"


@pytest.fixture(scope="module")
def model(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = serving.decided(tiny_model, tmp_path_factory.mktemp("decided"))
    return folder


@pytest.fixture
def server(model: Path) -> Iterator[Any]:
    with serving.ModelServer(model) as running:
        yield running


@pytest.fixture
def opened(server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Opens the backend on the server with its knobs, each time on the same store."""
    monkeypatch.setenv("A_KEY", KEY)

    def make(style: str = "native", store: str = "answers", **knobs: Any) -> ServedAnswerer:
        knobs = {"base_url": server.base_url, "api_key_env": "A_KEY", "retries": 8, "longest_wait": 1.0, **knobs}
        backend = OpenAICompatible(**knobs)
        spec = ModelSpec("api:tiny")
        opening = backend.open(tmp_path, spec, Asking(style=style), AnswerStore(tmp_path / f"{store}.sqlite"))
        with opening as made:
            assert made.weights == f"api:tiny@{server.base_url}"
            assert isinstance(made.answerer, ServedAnswerer)
            return made.answerer

    return make


@pytest.fixture
def key() -> str:
    return KEY


def survey_prompts(survey: Survey, style: str, folder: Path) -> list[OptionPrompt]:
    renderer = Renderer(Asking(style=style), None if style == "native" else load_tokenizer(folder))
    return [
        renderer.survey(item, order, Group(country), "country")
        for item in survey.items
        for order in orders(len(item.options), item.ordered)
        for country in ("NOR", "USA", "JPN")
    ]


@pytest.fixture
def asked() -> Callable[[Survey, str, Path], list[OptionPrompt]]:
    return survey_prompts


@pytest.fixture
def prompts(tiny_survey: Survey, model: Path) -> list[OptionPrompt]:
    return survey_prompts(tiny_survey, "native", model)


@pytest.fixture
def exact(tiny_survey: Survey, model: Path) -> list[Any]:
    """What the engine in this process answers to the same questions."""
    renderer = Renderer(Asking(), load_tokenizer(model))
    return TransformersAnswerer(load_model(model, torch.float32), renderer, "weights").score(
        survey_prompts(tiny_survey, "chat", model)
    )
