"""An OpenAI-compatible server over a transformers model, with true log-probabilities and faults on demand.

As a script it stands in for the command `vllm`: `serving.py serve FOLDER --port N …`.
"""

from __future__ import annotations

import argparse
import json
import socket
import sys
import threading
import time
from collections import Counter
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

Listed = list[tuple[int, float]]


def decided(source: Path, folder: Path, letters: str = "ABCDE", mass: float = 0.9) -> Path:
    """A copy of a tiny model that puts about `mass` on option letters after a chat prompt, the first the most."""
    tokenizer: Any = AutoTokenizer.from_pretrained(source)
    model: Any = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32).eval()
    prompts = [[{"role": "user", "content": text}] for text in ("Is it justified?", "Who should decide?", "A. Yes")]
    ends = []
    for prompt in prompts:
        text = tokenizer.apply_chat_template(prompt, tokenize=False, add_generation_prompt=True)
        ids = torch.tensor([tokenizer(text, add_special_tokens=False)["input_ids"]])
        with torch.inference_mode():
            ends.append(model.model(ids).last_hidden_state[0, -1])
    mean = torch.stack(ends).mean(0)
    others = len(tokenizer) / len(letters)
    with torch.no_grad():
        for place, letter in enumerate(letters):
            logit = np.log(mass / (1 - mass) * others) + 0.5 - 0.3 * place
            model.lm_head.weight[tokenizer.convert_tokens_to_ids(letter)] += logit * mean / mean.dot(mean)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


class ModelServer:
    """Serves the model in `folder` while the context is open.

    `script` names what happens to the next requests, one each: "ok", "429 SECONDS", "429 date", "500", "400", "401",
    "quota", "html", "slow" (answers after `slow` seconds) and "cut" (the connection ends in the middle of the body).
    `answered` counts the replies that were sent in full, by request body; `busiest` is how many were under way at once.
    """

    def __init__(self, folder: Path, port: int = 0, script: tuple[str, ...] = (), name: str = "tiny") -> None:
        self.tokenizer: Any = AutoTokenizer.from_pretrained(folder)
        self.model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        self.name, self.script = name, list(script)
        self.gives_logprobs, self.echoes, self.says_usage = True, True, True
        self.cap = 10**9
        self.delay, self.slow = 0.0, 1.0
        self.answered: Counter[str] = Counter()
        self.bodies: list[dict[str, Any]] = []
        self.authorizations: set[str] = set()
        self.requests = self.under_way = self.busiest = 0
        self.lock = threading.Lock()
        self._known: dict[tuple[int, ...], torch.Tensor] = {}
        handler = type("Bound", (Handler,), {"owner": self})
        self.http = Listening(("127.0.0.1", port), handler)

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.http.server_address[1]}/v1"

    def __enter__(self) -> ModelServer:
        self.thread = threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()

    def logprobs(self, ids: list[int]) -> torch.Tensor:
        """Log-softmax after each token, float64, (tokens, vocabulary)."""
        with self.lock:
            if tuple(ids) not in self._known:
                with torch.inference_mode():
                    self._known[tuple(ids)] = self.model(torch.tensor([ids])).logits[0].double().log_softmax(-1)
            return self._known[tuple(ids)]

    def ids(self, path: str, body: dict[str, Any]) -> list[int]:
        if path.endswith("/chat/completions"):
            text = self.tokenizer.apply_chat_template(body["messages"], tokenize=False, add_generation_prompt=True)
            return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])
        prompt = body["prompt"]
        return list(prompt) if isinstance(prompt, list) else list(self.tokenizer(prompt)["input_ids"])

    def complete(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        ids, made = self.ids(path, body), []
        rng = np.random.default_rng(body.get("seed"))
        chat = path.endswith("/chat/completions")
        wanted = min(int((body.get("top_logprobs") if chat else body.get("logprobs")) or 0), self.cap)
        places: list[tuple[int, float, Listed]] = []
        text, finish = "", "length"
        for _ in range(int(body.get("max_tokens", 16))):
            values = self.logprobs(ids + made)[-1]
            token = self.draw(values, body, rng)
            order = values.argsort(descending=True)[:wanted].tolist()
            places.append((token, float(values[token]), [(one, float(values[one])) for one in order]))
            made.append(token)
            text = self.tokenizer.decode(made)
            stops = [text.index(stop) for stop in body.get("stop") or [] if stop in text]
            if token == self.tokenizer.eos_token_id or stops:
                text, finish = text[: min(stops)] if stops else self.tokenizer.decode(made[:-1]), "stop"
                break
        if "response_format" in body:
            text, finish = '{"choice": 1}', "stop"
        choice: dict[str, Any] = {"index": 0, "finish_reason": finish, "logprobs": None}
        choice |= {"message": {"role": "assistant", "content": text}} if chat else {"text": text}
        if self.gives_logprobs and (body.get("logprobs") not in (None, False)):
            choice["logprobs"] = self.as_chat(places) if chat else self.as_completion(ids, places, body)
        usage = {"prompt_tokens": len(ids), "completion_tokens": len(made), "total_tokens": len(ids) + len(made)}
        said = {"id": "x", "object": "completion", "model": self.name, "choices": [choice]}
        return said | ({"usage": usage} if self.says_usage else {})

    def draw(self, values: torch.Tensor, body: dict[str, Any], rng: np.random.Generator) -> int:
        temperature = float(body.get("temperature", 1.0))
        if temperature == 0:
            return int(values.argmax())
        p = np.exp((values / temperature).log_softmax(-1).numpy())
        order = np.argsort(-p)
        kept = order[: int(np.searchsorted(np.cumsum(p[order]), float(body.get("top_p", 1.0)))) + 1]
        return int(rng.choice(kept, p=p[kept] / p[kept].sum()))

    def as_chat(self, places: list[tuple[int, float, Listed]]) -> dict[str, Any]:
        def entry(token: int, value: float) -> dict[str, Any]:
            return {"token": self.tokenizer.decode([token]), "logprob": value, "bytes": None}

        return {"content": [{**entry(t, v), "top_logprobs": [entry(*one) for one in top]} for t, v, top in places]}

    def as_completion(
        self, ids: list[int], places: list[tuple[int, float, Listed]], body: dict[str, Any]
    ) -> dict[str, Any]:
        def name(token: int) -> str:
            return f"token_id:{token}" if body.get("return_tokens_as_token_ids") else self.tokenizer.decode([token])

        tokens, values = [name(t) for t, _, _ in places], [v for _, v, _ in places]
        if body.get("echo") and self.echoes:
            echoed = self.logprobs(ids)[:-1].gather(1, torch.tensor(ids[1:])[:, None])[:, 0].tolist()
            tokens, values = [*map(name, ids), *tokens], [None, *echoed, *values]
        lists = [{name(one): p for one, p in top} | {name(t): v} for t, v, top in places]
        return {"tokens": tokens, "token_logprobs": values, "top_logprobs": lists, "text_offset": []}


class Listening(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


class Handler(BaseHTTPRequestHandler):
    owner: ModelServer
    protocol_version = "HTTP/1.1"
    wbufsize = -1

    def handle(self) -> None:
        with suppress(ConnectionError):  # a client that was killed
            super().handle()

    def log_message(self, *arguments: Any) -> None:
        pass

    def do_GET(self) -> None:
        if self.path == "/health":
            self.reply(200, {})
        elif self.path == "/v1/models":
            self.reply(200, {"object": "list", "data": [{"id": self.owner.name, "object": "model"}]})
        else:
            self.reply(404, {"error": {"message": f"no {self.path}"}})

    def do_POST(self) -> None:
        server = self.owner
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with server.lock:
            server.requests += 1
            server.under_way += 1
            server.busiest = max(server.busiest, server.under_way)
            server.authorizations.add(self.headers.get("Authorization", ""))
            server.bodies.append(body)
            fault = server.script.pop(0) if server.script else "ok"
        try:
            time.sleep(server.delay)
            self.answer(fault, body)
        finally:
            with server.lock:
                server.under_way -= 1

    def answer(self, fault: str, body: dict[str, Any]) -> None:
        kind, _, wait = fault.partition(" ")
        key = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if kind == "429":
            after = self.date_time_string(int(time.time()) + 1) if wait == "date" else wait
            self.reply(429, {"error": {"message": "too many requests"}}, {"Retry-After": after} if after else {})
        elif kind == "quota":
            self.reply(429, {"error": {"message": "no money left", "code": "insufficient_quota"}})
        elif kind == "500":
            self.reply(500, {"error": {"message": "something broke"}})
        elif kind in ("400", "401"):
            self.reply(int(kind), {"error": {"message": f"no: {wait or 'wrong key'} {key}"}})
        elif kind == "html":
            self.reply(200, "<html>a proxy's page</html>")
        elif body.get("max_tokens") == 0:
            self.reply(400, {"error": {"message": "max_tokens is 0"}})
        elif body.get("model") != self.owner.name:
            self.reply(404, {"error": {"message": f"The model {body.get('model')!r} does not exist"}})
        else:
            if kind == "slow":
                time.sleep(self.owner.slow)
            self.reply(200, self.owner.complete(self.path, body), cut=kind == "cut")
            if kind == "ok":
                with self.owner.lock:
                    self.owner.answered[json.dumps([self.path, body], sort_keys=True)] += 1

    def reply(self, status: int, said: Any, headers: dict[str, str] | None = None, cut: bool = False) -> None:
        content = said.encode() if isinstance(said, str) else json.dumps(said).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content[: len(content) // 2] if cut else content)
        self.wfile.flush()
        if cut:
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True


def stand_in(arguments: list[str]) -> None:
    """`vllm serve FOLDER --host H --port N --served-model-name NAME …`: serves the folder; an adapter is merged in."""
    parser = argparse.ArgumentParser(prog="vllm")
    parser.add_argument("command", choices=["serve"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--served-model-name", required=True)
    parser.add_argument("--dtype", choices=["bfloat16", "float16", "float32"], required=True)
    parser.add_argument("--max-logprobs", type=int, required=True)
    parser.add_argument("--generation-config", choices=["vllm"], required=True)
    parser.add_argument("--enable-prefix-caching", action="store_true", required=True)
    parser.add_argument("--enable-lora", action="store_true")
    parser.add_argument("--max-lora-rank", type=int, choices=[8, 16, 32, 64])
    parser.add_argument("--lora-modules")
    asked = parser.parse_args(arguments)
    print("loading", asked.folder, flush=True)
    name, _, adapter = (asked.lora_modules or f"{asked.served_model_name}=").partition("=")
    server = ModelServer(asked.folder, asked.port, name=name)
    server.cap = asked.max_logprobs
    if adapter:
        from peft import PeftModel

        server.model = PeftModel.from_pretrained(server.model, adapter).merge_and_unload().eval()
    with server:
        server.thread.join()


if __name__ == "__main__":
    stand_in(sys.argv[1:])
