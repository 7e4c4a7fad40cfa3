"""A test double of a model hub: it accepts commits and serves files over HTTP on this machine."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit


class Hub:
    """The state of the hub: files by repository and commit, and received requests.

    Attributes: commits: files of each commit, by (repository, commit). newest: latest commit of each repository.
                private: whether each repository is private. asked: method and path of each request.
                sizes: wrong file sizes to report.
    """

    def __init__(self) -> None:
        self.commits: dict[tuple[str, str], dict[str, bytes]] = {}
        self.newest: dict[str, str] = {}
        self.private: dict[str, bool] = {}
        self.asked: list[str] = []
        self.sizes: dict[str, int] = {}
        self.url = ""

    def commit(self, name: str, files: dict[str, bytes]) -> str:
        total = hashlib.sha1(usedforsecurity=False)
        for file, content in sorted(files.items()):
            total.update(file.encode() + content)
        self.newest[name] = total.hexdigest()
        self.commits[name, self.newest[name]] = files
        return self.newest[name]

    def files(self, name: str, revision: str) -> dict[str, bytes] | None:
        revision = self.newest.get(name, "") if revision == "main" else revision
        return self.commits.get((name, revision))


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, format: str, *args: Any) -> None:
        """Prints nothing."""

    def _answer(
        self, code: int, value: Any = None, headers: dict[str, str] | None = None, content: bytes = b""
    ) -> None:
        content = json.dumps(value).encode() if value is not None else content
        self.send_response(code)
        for name, text in (headers or {}).items():
            self.send_header(name, text)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _missing(self, code: str) -> None:
        self._answer(404, {"error": "not found"}, {"X-Error-Code": code})

    def do_POST(self) -> None:
        path = urlsplit(self.path).path
        self.hub.asked.append(f"POST {path}")
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = path.strip("/").split("/")
        if path == "/api/repos/create":
            asked = json.loads(body)
            name = "/".join(filter(None, (asked.get("organization"), asked["name"])))
            self.hub.private.setdefault(name, bool(asked.get("private")) or asked.get("visibility") == "private")
            self._answer(200, {"url": f"{self.hub.url}/{name}", "id": name})
        elif path == "/api/validate-yaml":
            self._answer(200, {"errors": [], "warnings": []})
        elif parts[-2] == "preupload":
            found = [
                {"path": f["path"], "uploadMode": "regular", "shouldIgnore": False} for f in json.loads(body)["files"]
            ]
            self._answer(200, {"files": found})
        elif parts[-2] == "commit":
            lines = [json.loads(line) for line in body.decode().splitlines()]
            new = {
                line["value"]["path"]: base64.b64decode(line["value"]["content"])
                for line in lines
                if line["key"] == "file"
            }
            name = "/".join(parts[2:-2])
            commit = self.hub.commit(name, {**(self.hub.files(name, "main") or {}), **new})
            self._answer(200, {"commitUrl": f"{self.hub.url}/{name}/commit/{commit}", "commitOid": commit})
        else:
            self._missing("RepoNotFound")

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.asked.append(f"{self.command} {path}")
        if path.startswith("/api/models/"):
            name, _, revision = path.removeprefix("/api/models/").partition("/revision/")
            files = self.hub.files(name, revision or "main")
            if name not in self.hub.newest:
                return self._missing("RepoNotFound")
            if files is None:
                return self._missing("RevisionNotFound")
            commit = next(c for (n, c), held in self.hub.commits.items() if n == name and held is files)
            siblings = [
                {"rfilename": file, "size": self.hub.sizes.get(file, len(content)), "blobId": "0" * 40}
                for file, content in files.items()
            ]
            return self._answer(200, {"id": name, "modelId": name, "sha": commit, "siblings": siblings})
        name, _, rest = path.strip("/").partition("/resolve/")
        revision, _, file = rest.partition("/")
        files = self.hub.files(name, revision)
        if files is None or file not in files:
            return self._missing("EntryNotFound")
        content = files[file]
        tag = hashlib.sha256(content).hexdigest()
        return self._answer(200, None, {"ETag": f'"{tag}"', "X-Repo-Commit": revision}, content)


@contextmanager
def hub_server() -> Iterator[Hub]:
    """A hub that runs inside the context; `url` is its address."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
