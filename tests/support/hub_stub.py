"""A stand-in for the Hugging Face Hub: as much of its HTTP interface as memcli makes huggingface_hub use."""

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import unquote, urlsplit

import yaml


class Hub:
    """Repositories by name, each with its files; and what was asked for."""

    def __init__(self) -> None:
        self.files: dict[str, dict[str, bytes]] = {}
        self.private: dict[str, bool] = {}
        self.large: set[str] = set()  # files that are sent to a store of their own, as the Hub does with safetensors
        self.stored: dict[str, bytes] = {}  # what that store was sent, by checksum
        self.token: str | None = None  # that must be given, where there is one
        self.failure: tuple[int, str] | None = None  # status and code of error that all is answered with
        self.claimed: int | None = None  # the size that is told, where it is a lie
        self.asked: list[str] = []
        self.address = ""

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, Any]:
        """Status and answer: bytes, or what becomes JSON."""
        self.asked.append(f"{method} {path}")
        if path == "/api/repos/create":
            told = json.loads(body)
            name = f"{told['organization']}/{told['name']}"
            if name not in self.files:
                self.files[name] = {}
                self.private[name] = told.get("private", told.get("visibility") == "private")
            return 200, {"url": f"{self.address}/{name}"}
        if path == "/api/validate-yaml":
            told = yaml.safe_load(json.loads(body)["content"].split("---\n")[1])
            return (
                (200, {"errors": [], "warnings": []}) if "license" in told else (400, {"errors": [{"message": "no"}]})
            )
        if parts := re.fullmatch(r"/api/(?:models|datasets)/([\w.-]+/[\w.-]+)(/.*)?", path):
            return self._model(parts[1], unquote(parts[2] or ""), body)
        if parts := re.fullmatch(r"/(?:datasets/)?([\w.-]+/[\w.-]+)/resolve/(\w+)/(.+)", path):
            found = self.files.get(parts[1], {}).get(parts[3])
            return (404, {"error": "not found"}) if found is None else (200, found)
        if parts := re.fullmatch(r"/([\w.-]+/[\w.-]+)\.git/info/lfs/objects/batch", path):
            return 200, {"transfer": "basic", "objects": [self._place(each) for each in json.loads(body)["objects"]]}
        if parts := re.fullmatch(r"/store/(\w+)", path):
            assert hashlib.sha256(body).hexdigest() == parts[1]
            self.stored[parts[1]] = body
            return 200, {}
        return 404, {"error": "not found"}

    def _model(self, name: str, rest: str, body: bytes) -> tuple[int, Any]:
        if name not in self.files:
            return 404, {"error": "Repository not found"}
        files = self.files[name]
        if rest == "" or rest in ("/revision/main", "/revision/refs/pr/1"):
            told = [{"rfilename": file, "size": self.claimed or len(data)} for file, data in files.items()]
            return 200, {"id": name, "modelId": name, "sha": "c" * 40, "siblings": told, "tags": [], "private": True}
        if rest == "/tree/" + "c" * 40:
            return 200, [{"type": "file", "path": p, "size": len(d), "oid": "0" * 40} for p, d in files.items()]
        if rest.startswith("/preupload/"):
            asked = [each["path"] for each in json.loads(body)["files"]]
            modes = {path: "lfs" if path in self.large else "regular" for path in asked}
            return 200, {"files": [{"path": p, "uploadMode": m, "shouldIgnore": False} for p, m in modes.items()]}
        if rest.startswith("/commit/"):
            for line in map(json.loads, body.splitlines()):
                value = line["value"]
                if line["key"] == "file":
                    files[value["path"]] = base64.b64decode(value["content"])
                elif line["key"] == "lfsFile":
                    files[value["path"]] = self.stored[value["oid"]]
            return 200, {"commitUrl": f"{self.address}/{name}/commit/{'c' * 40}", "commitOid": "c" * 40}
        return 404, {"error": "Revision not found"}

    def _place(self, wanted: dict[str, Any]) -> dict[str, Any]:
        where = {"href": f"{self.address}/store/{wanted['oid']}", "header": {}}
        return {"oid": wanted["oid"], "size": wanted["size"], "actions": {"upload": where}}


@contextmanager
def serving() -> Iterator[Hub]:
    """A hub on this machine, while the block runs."""
    hub = Hub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            path = urlsplit(self.path).path
            code = {"Repository not found": "RepoNotFound", "Revision not found": "RevisionNotFound"}
            if hub.failure is not None:
                status, answer = hub.failure[0], {"error": hub.failure[1]}
                code[hub.failure[1]] = hub.failure[1]
            elif hub.token is not None and self.headers.get("Authorization") != f"Bearer {hub.token}":
                status, answer = 401, {"error": "Invalid credentials"}
            else:
                status, answer = hub.answer(self.command, path, body)
            sent = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            self.send_response(status)
            if status == 404 or hub.failure is not None:
                self.send_header("X-Error-Code", code.get(answer["error"], "EntryNotFound"))
            if status == 401:
                self.send_header("X-Error-Message", "Invalid credentials")
            self.send_header("ETag", hashlib.sha256(sent).hexdigest())
            self.send_header("X-Repo-Commit", "c" * 40)
            self.send_header("Content-Length", str(len(sent)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(sent)

        do_POST = do_PUT = do_HEAD = do_GET

        def log_message(self, *_: Any) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        hub.address = f"http://127.0.0.1:{server.server_port}"
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield hub
        finally:
            server.shutdown()
            thread.join()
