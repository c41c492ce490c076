"""Variants answered by a vLLM server that is started for each, with its prefix cache on, and ended with the audit.

vLLM pins a torch of its own, so it lives in an environment of its own and is run as a command. Prompts are tokenised
here and sent as token ids, and labels are found among the returned tokens by id, so nothing depends on how the server
would tokenise them. Which options `vllm serve` has is from vLLM's sources (0.2x: `--max-logprobs`, -1 for all;
`--logprobs-mode raw_logprobs` is its default; `return_tokens_as_token_ids` of its completions protocol). It has been
tested against a stand-in of the command alone, never against vLLM itself.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import httpx

from data.files import digest
from data.models import ModelSpec, load_tokenizer
from data.prompts import Asking, Renderer
from data.variant import Kept, locate
from eval.answer_store import AnswerStore
from eval.answers import Opened
from eval.backends.api_client import Client
from eval.backends.served import ServedAnswerer
from eval.backends.wire import Wire

LEASH = Path(__file__).with_name("leash.py")
LORA_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)  # those that --max-lora-rank takes
NOT_INHERITED = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "GROUP_RANK", "MASTER_ADDR", "MASTER_PORT")
NOT_INHERITED_PREFIXES = ("PYTHON", "VIRTUAL_ENV", "TORCHELASTIC_", "ACCELERATE_", "ROLE_", "POLYPHONY_")
POLL_SECONDS = 0.25
ENDING_SECONDS = 30.0
LOG_LINES = 15


@dataclass(frozen=True)
class Vllm:
    """`command` starts vLLM ("vllm", or its path in its own environment), `arguments` are added to `vllm serve`.
    `dtype` is what it computes in where model.dtype is auto. It has `start_timeout` seconds to load. The rest as in
    `eval.backends.api.OpenAICompatible`; `top_logprobs` -1 asks for the whole vocabulary: exact, and slow.
    """

    served: ClassVar[bool] = False

    name: str = "vllm"
    command: tuple[str, ...] = ("vllm",)
    arguments: tuple[str, ...] = ()
    dtype: Literal["bfloat16", "float16", "float32"] = "bfloat16"
    start_timeout: float = 900.0
    concurrency: int = 64
    timeout: float = 300.0
    retries: int = 3
    top_logprobs: int = 100
    extra: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        if not self.command:
            raise ValueError("command is empty: expected the command that starts vLLM, such as [vllm]")
        if self.top_logprobs < 1 and self.top_logprobs != -1:
            raise ValueError(f"top_logprobs must be at least 1, or -1 for all tokens, got {self.top_logprobs}")
        if not self.start_timeout > 0:
            raise ValueError(f"start_timeout must be more than 0 seconds, got {self.start_timeout}")

    def check(self, spec: ModelSpec, asking: Asking) -> None:
        """Raise ValueError or FileNotFoundError for what is known to fail before anything is loaded or trained."""
        if asking.style == "native":
            raise ValueError("prompt.style native leaves the template to the server; with backend=vllm set prompt=chat")
        if shutil.which(self.command[0]) is None:
            raise FileNotFoundError(
                f"backend.command: {self.command[0]!r} is not found; install vLLM into an environment of its own and "
                "set 'backend.command=[/path/to/that/bin/vllm]'"
            )

    @contextmanager
    def open(self, cell: Path, spec: ModelSpec, asking: Asking, store: AnswerStore) -> Iterator[Opened]:
        self.check(spec, asking)
        kept = locate(cell, spec)
        tokenizer = load_tokenizer(kept.folder, spec.trust_remote_code)
        renderer = Renderer(asking, tokenizer)
        dtype = self.dtype if spec.dtype == "auto" else spec.dtype
        top = self.top_logprobs if self.top_logprobs > 0 else len(tokenizer)
        with self._serving(cell / "vllm.txt", kept, spec, dtype, top) as (base_url, model):
            client = Client(base_url, "", self.concurrency, self.timeout, self.retries)
            wire = Wire(model, renderer, top, self.extra or {})
            weights = digest([kept.weights, self.name, dtype, list(self.arguments)])
            yield Opened(ServedAnswerer(client, wire, weights, store, "top"), renderer, kept.weights)

    @contextmanager
    def _serving(self, log: Path, kept: Kept, spec: ModelSpec, dtype: str, top: int) -> Iterator[tuple[str, str]]:
        """(base URL, name of the model) of a server that is ready, and is ended afterwards whatever happens."""
        port, model = _free_port(), f"variant-{kept.weights[:12]}"
        command = [*self.command, "serve", str(kept.folder), "--host", "127.0.0.1", "--port", str(port)]
        command += ["--served-model-name", model if not kept.adapter else "base", "--dtype", dtype]
        command += ["--enable-prefix-caching", "--max-logprobs", str(top), "--generation-config", "vllm"]
        command += ["--trust-remote-code"] if spec.trust_remote_code else []
        command += _lora(model, kept.adapter) if kept.adapter else []
        with log.open("w", encoding="utf-8") as written:
            process = subprocess.Popen(
                [sys.executable, "-I", str(LEASH), *command, *self.arguments],
                stdin=subprocess.PIPE,
                stdout=written,
                stderr=subprocess.STDOUT,
                env=_environment(),
                start_new_session=True,
            )
        try:
            self._wait(process, f"http://127.0.0.1:{port}/health", log)
            yield f"http://127.0.0.1:{port}/v1", model
        finally:
            if process.stdin:
                process.stdin.close()
            with suppress(subprocess.TimeoutExpired):
                process.wait(ENDING_SECONDS)
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, 9)
            process.wait()

    def _wait(self, process: subprocess.Popen[bytes], health: str, log: Path) -> None:
        deadline = time.monotonic() + self.start_timeout
        while process.poll() is None and time.monotonic() < deadline:
            with suppress(httpx.TransportError):
                if httpx.get(health, timeout=5.0, trust_env=False).is_success:
                    return
            time.sleep(POLL_SECONDS)
        what = (
            f"was not ready within {self.start_timeout:g} s" if process.poll() is None else "ended before it was ready"
        )
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_LINES:]
        raise RuntimeError(f"{self.command[0]} {what}; the end of {log}:\n" + "\n".join(lines))


def _lora(model: str, adapter: Path) -> Sequence[str]:
    """The options that serve an adapter under the name `model`. ValueError where its rank is more than vLLM takes."""
    rank = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))["r"]
    taken = next((one for one in LORA_RANKS if one >= rank), None)
    if taken is None:
        raise ValueError(f"{adapter} has rank {rank}, vLLM takes at most {LORA_RANKS[-1]}: use backend=transformers")
    return ["--enable-lora", "--max-lora-rank", str(taken), "--lora-modules", f"{model}={adapter}"]


def _environment() -> dict[str, str]:
    """Ours, without what belongs to this Python, its launcher and its number of threads."""
    return {
        name: value
        for name, value in os.environ.items()
        if name not in (*NOT_INHERITED, "OMP_NUM_THREADS", "MKL_NUM_THREADS")
        and not name.startswith(NOT_INHERITED_PREFIXES)
    }


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
