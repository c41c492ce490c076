"""As much of W&B's server as `wandb sync` needs to send a run: it keeps the artifacts and who used them."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Kept:
    """`made`: the run that logged an artifact, by type and name; `used`: (run, type and name)."""

    url: str
    made: dict[str, str] = field(default_factory=dict)
    used: set[tuple[str, str]] = field(default_factory=set)
    ids: dict[str, str] = field(default_factory=dict)

    def answer(self, operation: str, variables: dict[str, Any]) -> dict[str, Any]:
        given = variables.get("input", variables)
        upload = {"uploadUrl": f"{self.url}/file", "uploadHeaders": []}
        if operation == "UpsertBucket":
            project = {"id": "P", "name": "polyphony", "entity": {"id": "E", "name": "me"}}
            bucket = {"id": given["name"], "name": given["name"], "config": "{}", "project": project}
            return {"upsertBucket": {"bucket": bucket | {"historyLineCount": 0}, "inserted": True}}
        if operation == "CreateArtifact":
            named = f"{given['artifactTypeName']} {given['artifactCollectionName']}"
            if given.get("runName"):
                self.made[named] = given["runName"]
            state = "COMMITTED" if named in self.ids.values() else "PENDING"
            at = f"{named} {given['digest']}"
            self.ids[at] = named
            sequence = {"id": "S", "latestArtifact": None}
            return {"createArtifact": {"artifact": {"id": at, "state": state, "artifactSequence": sequence}}}
        if operation == "CreateArtifactManifest":
            file = {"id": "F", "name": "m", "displayName": "m", **upload}
            return {"createArtifactManifest": {"artifactManifest": {"id": "M", "file": file}}}
        if operation == "CreateArtifactFiles":
            nodes = [
                {"id": "F", "name": one["name"], "displayName": one["name"], "artifact": {"id": "A"}, **upload}
                for one in given["artifactFiles"]
            ]
            return {"createArtifactFiles": {"files": {"edges": [{"node": node} for node in nodes]}}}
        if operation == "CommitArtifact":
            return {"commitArtifact": {"artifact": {"id": "A", "digest": "d"}}}
        if operation == "UseArtifact":
            self.used.add((given["runName"], self.ids[given["artifactID"]]))
            return {"useArtifact": {"artifact": {"id": given["artifactID"], "digest": "d", "state": "COMMITTED"}}}
        if operation == "CreateRunFiles":
            files = [{"name": name, "uploadUrl": f"{self.url}/file"} for name in given["files"]]
            return {"createRunFiles": {"runID": "R", "uploadHeaders": [], "files": files}}
        return {}


@contextmanager
def serving() -> Iterator[Kept]:
    kept = Kept("")

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *args: Any) -> None: ...

        def _answer(self, value: Any) -> None:
            body = json.dumps(value).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_PUT(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self._answer({})

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if not self.path.endswith("/graphql"):
                return self._answer({"exitcode": None, "limits": {}})
            asked = json.loads(body)
            self._answer({"data": kept.answer(asked["operationName"], asked.get("variables") or {})})

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    kept.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield kept
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
