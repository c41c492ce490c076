"""The vLLM backend against a stand-in of the command `vllm`: vLLM itself cannot be installed beside this torch."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from peft import LoraConfig, get_peft_model

from data.manifest import update_manifest
from data.models import ModelSpec, load_model, load_tokenizer
from data.prompts import Asking, OptionPrompt, Renderer
from data.records import Group, Survey
from data.variant import load_variant
from eval.answer_store import AnswerStore
from eval.answers import TextRequest
from eval.backends.in_process import TransformersAnswerer
from eval.backends.vllm import Vllm

SERVING = Path(__file__).with_name("serving.py")
ROOT = Path(__file__).parents[3]
_spec = importlib.util.spec_from_file_location("serving", SERVING)
assert _spec
assert _spec.loader
serving = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(serving)
CHAT = Asking()


@pytest.fixture(scope="module")
def model(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = serving.decided(tiny_model, tmp_path_factory.mktemp("decided"))
    return folder


@pytest.fixture(scope="module")
def vllm(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An executable `vllm` that serves with transformers."""
    path = tmp_path_factory.mktemp("bin") / "vllm"
    path.write_text(f'#!/bin/sh\nexec {sys.executable} {SERVING} "$@"\n')
    path.chmod(0o755)
    return str(path)


@pytest.fixture
def cell(tmp_path: Path) -> Path:
    update_manifest(tmp_path, state="trained")
    return tmp_path


def prompts(survey: Survey, folder: Path) -> list[OptionPrompt]:
    renderer = Renderer(CHAT, load_tokenizer(folder))
    return [
        renderer.survey(item, range(len(item.options)), Group(country), "country")
        for item in survey.items
        for country in ("NOR", "JPN")
    ]


def processes(marker: str) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if process.status() != psutil.STATUS_ZOMBIE and marker in " ".join(process.cmdline()):
                found.append(process)
        except psutil.Error:
            continue
    return found


def until(reached: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def backend(vllm: str, **knobs: Any) -> Vllm:
    return Vllm(**{"command": (vllm,), "dtype": "float32", "top_logprobs": -1, **knobs})


def test_answers_and_perplexity_equal_the_engines_and_the_server_ends(
    vllm: str, model: Path, cell: Path, tiny_survey: Survey
) -> None:
    engine = TransformersAnswerer(load_model(model, torch.float32), Renderer(CHAT, load_tokenizer(model)), "weights")
    asked, store = prompts(tiny_survey, model), AnswerStore(cell / "answers.sqlite")
    with backend(vllm).open(cell, ModelSpec(str(model)), CHAT, store) as opened:
        server = processes(f"--served-model-name variant-{opened.weights[:12]}")
        assert server
        answers = opened.answerer.score(asked)
        texts = opened.answerer.generate([TextRequest(asked[0].text, max_tokens=3, repeat=r) for r in range(2)])
        plain = ["Should the government do more about poverty?"]
        assert opened.answerer.perplexity(plain) == pytest.approx(engine.perplexity(plain), rel=1e-4)
        assert opened.answerer.costs.truncated == 0
    for mine, true in zip(answers, engine.score(asked), strict=True):
        np.testing.assert_allclose(mine.probabilities, true.probabilities, atol=1e-4)
        assert mine.option_mass == pytest.approx(true.option_mass, abs=1e-4)
    assert texts[0] != texts[1]
    assert not [process for process in server if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]
    with backend(vllm).open(cell, ModelSpec(str(model)), CHAT, store) as again:
        again.answerer.score(asked)
        assert again.answerer.costs.requests == 0


@pytest.mark.slow
def test_an_adapter_is_served_as_one(vllm: str, model: Path, cell: Path, tiny_survey: Survey) -> None:
    adapted = get_peft_model(load_model(model, torch.float32), LoraConfig(r=2, target_modules=["q_proj", "v_proj"]))
    generator = torch.Generator().manual_seed(1)
    for name, value in adapted.named_parameters():
        if "lora_B" in name:
            value.data = torch.randn(value.shape, generator=generator) / 5
    adapted.save_pretrained(cell / "adapter")
    loaded, tokenizer, weights = load_variant(cell, ModelSpec(str(model)), torch.device("cpu"))
    true = TransformersAnswerer(loaded, Renderer(CHAT, tokenizer), weights).score(prompts(tiny_survey, model))
    plain = TransformersAnswerer(load_model(model, torch.float32), Renderer(CHAT, tokenizer), "base")
    store = AnswerStore(cell / "answers.sqlite")
    with backend(vllm).open(cell, ModelSpec(str(model)), CHAT, store) as opened:
        assert opened.weights == weights
        answers = opened.answerer.score(prompts(tiny_survey, model))
    moved = 0.0
    for mine, same, other in zip(answers, true, plain.score(prompts(tiny_survey, model)), strict=True):
        np.testing.assert_allclose(mine.probabilities, same.probabilities, atol=1e-4)
        moved = max(moved, float(np.abs(same.probabilities - other.probabilities).max()))
    assert moved > 1e-3


def test_a_server_that_does_not_start_says_why(model: Path, cell: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\necho CUDA out of memory >&2\nexit 3\n")
    broken.chmod(0o755)
    opening = backend(str(broken)).open(cell, ModelSpec(str(model)), CHAT, AnswerStore(cell / "a.sqlite"))
    with pytest.raises(RuntimeError, match=r"ended before it was ready; the end of .*vllm.txt:\nCUDA out of memory"):
        opening.__enter__()


def test_a_server_that_hangs_is_ended_with_its_children(model: Path, cell: Path, tmp_path: Path) -> None:
    hanging = tmp_path / "hanging"
    hanging.write_text("#!/bin/sh\necho still loading\nsleep 7654.25 &\nsleep 7654.5\n")
    hanging.chmod(0o755)
    late = backend(str(hanging), start_timeout=1.0)
    with pytest.raises(RuntimeError, match=r"was not ready within 1 s; .*\nstill loading"):
        late.open(cell, ModelSpec(str(model)), CHAT, AnswerStore(cell / "a.sqlite")).__enter__()
    until = time.monotonic() + 10  # a process that was killed is gone when the kernel comes to it
    while (left := processes("sleep 7654")) and time.monotonic() < until:
        time.sleep(0.1)
    assert not left


def test_the_server_ends_when_its_owner_is_killed(model: Path, cell: Path, tmp_path: Path) -> None:
    healthy = tmp_path / "healthy"
    healthy.write_text(
        f"#!{sys.executable}\n"
        "import sys\n"
        "from http.server import BaseHTTPRequestHandler, HTTPServer\n"
        "class Health(BaseHTTPRequestHandler):\n"
        "    def do_GET(self):\n"
        "        self.send_response(200)\n"
        "        self.end_headers()\n"
        "HTTPServer(('127.0.0.1', int(sys.argv[sys.argv.index('--port') + 1])), Health).serve_forever()\n"
    )
    healthy.chmod(0o755)
    code = textwrap.dedent(f"""
        import sys, time
        from pathlib import Path
        from data.models import ModelSpec
        from data.prompts import Asking
        from eval.answer_store import AnswerStore
        from eval.backends.vllm import Vllm
        cell = Path({str(cell)!r})
        store = AnswerStore(cell / "a.sqlite")
        with Vllm(command=({str(healthy)!r},)).open(cell, ModelSpec({str(model)!r}), Asking(), store):
            print("ready", flush=True)
            time.sleep(600)
    """)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, env=environment, text=True) as owner:
        assert owner.stdout
        assert owner.stdout.readline() == "ready\n"
        assert processes(f"serve {model}")
        owner.send_signal(signal.SIGKILL)
    until(lambda: not processes(f"serve {model}"))


def test_wrong_knobs_are_named(model: Path) -> None:
    with pytest.raises(ValueError, match=r"prompt\.style native leaves the template to the server"):
        Vllm(command=("sh",)).check(ModelSpec(str(model)), Asking(style="native"))
    with pytest.raises(FileNotFoundError, match=r"'no-such-vllm' is not found; install vLLM into an environment"):
        Vllm(command=("no-such-vllm",)).check(ModelSpec(str(model)), CHAT)
    for knobs in ({"command": ()}, {"top_logprobs": 0}, {"start_timeout": 0.0}):
        with pytest.raises(ValueError, match=next(iter(knobs))):
            Vllm(**knobs)
