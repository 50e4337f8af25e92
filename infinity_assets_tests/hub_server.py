"""A server with the part of the Hugging Face Hub's HTTP API that its client uses to read a dataset."""

import hashlib
import json
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from unittest.mock import patch
from urllib.parse import unquote, urlsplit


@dataclass
class Dataset:
    """A dataset and its history."""

    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    """Files of each commit, by path."""
    branches: dict[str, str] = field(default_factory=dict)
    card: dict[str, Any] = field(default_factory=dict)
    token: str | None = None
    """Token of a gated dataset: without it, the dataset can be seen but its files cannot be read."""

    def commit(self, files: Mapping[str, str | bytes], branch: str = "main") -> str:
        """Make files the state of a branch."""
        content = {path: text.encode() if isinstance(text, str) else text for path, text in files.items()}
        sha = hashlib.sha1(repr((sorted(content.items()), len(self.commits))).encode()).hexdigest()
        self.commits[sha] = content
        self.branches[branch] = sha
        return sha


@dataclass
class Hub:
    """The datasets of the server and the requests to it."""

    endpoint: str
    datasets: dict[str, Dataset] = field(default_factory=dict)
    downloads: list[str] = field(default_factory=list)
    """Paths of the files sent, in order."""
    requests: int = 0
    broken: set[str] = field(default_factory=set)
    """Paths of files for which the server fails."""

    def dataset(self, files: Mapping[str, str | bytes], repo: str = "someone/some_data", **fields: Any) -> Dataset:
        """Add a dataset with one commit on `main`, and return it."""
        dataset = self.datasets[repo] = Dataset(**fields)
        dataset.commit(files)
        return dataset


def _blob(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def _handler(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: Any) -> None:
            """Log nothing."""

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            hub.requests += 1
            parts = [unquote(part) for part in urlsplit(self.path).path.strip("/").split("/")]
            api = parts[0] == "api"
            _, owner, name, *rest = parts[api:]
            dataset = hub.datasets.get(f"{owner}/{name}")
            if dataset is None:
                return self._send(401, {"error": "Invalid username or password."}, {"X-Error-Code": "RepoNotFound"})
            if rest == ["refs"]:
                heads = dataset.branches.items()
                named = [{"name": name, "ref": f"refs/heads/{name}", "targetCommit": sha} for name, sha in heads]
                return self._send(200, {"branches": named, "converts": [], "tags": []})
            what, revision, *path = rest or ["revision", "main"]
            sha = dataset.branches.get(revision, revision)
            if sha not in dataset.commits:
                return self._send(404, {"error": "Invalid rev id"}, {"X-Error-Code": "RevisionNotFound"})
            files = dataset.commits[sha]
            if what == "revision":
                gated = "auto" if dataset.token else False
                facts = {"id": f"{owner}/{name}", "sha": sha, "cardData": dataset.card, "private": False}
                return self._send(200, {**facts, "gated": gated})
            if what == "tree":
                folders = {path.rpartition("/")[0] for path in files if "/" in path}
                listed: list[dict[str, Any]] = [
                    {"type": "directory", "path": path, "oid": _blob(path.encode())} for path in folders
                ]
                for path, content in files.items():
                    listed.append({"type": "file", "path": path, "size": len(content), "oid": _blob(content)})
                return self._send(200, listed)
            return self._file(dataset, sha, "/".join(path))

        def _file(self, dataset: Dataset, sha: str, path: str) -> None:
            if dataset.token and self.headers.get("Authorization") != f"Bearer {dataset.token}":
                status = 403 if "Authorization" in self.headers else 401
                return self._send(status, {"error": "gated"}, {"X-Error-Code": "GatedRepo"})
            content = dataset.commits[sha].get(path)
            if content is None:
                return self._send(404, {"error": "no such file"}, {"X-Error-Code": "EntryNotFound"})
            if path in hub.broken:
                # The client does not retry this status for half a minute.
                return self._send(501, {"error": "not today"})
            if self.command == "GET":
                hub.downloads.append(path)
            return self._send(200, content, {"ETag": f'"{_blob(content)}"', "X-Repo-Commit": sha})

        def _send(self, status: int, body: object, headers: dict[str, str] | None = None) -> None:
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            for key, value in {"Content-Length": str(len(content)), **(headers or {})}.items():
                self.send_header(key, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(content)

    return Handler


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore errors: clients that hang up early must not print to the terminal of a test."""


@contextmanager
def serving() -> Iterator[Hub]:
    """Run a Hub on a free port of this machine, and make it the Hub of this process.

    An engine that ran in this process before may have set it offline.
    """
    from huggingface_hub import constants

    hub = Hub("")
    with _Server(("127.0.0.1", 0), _handler(hub)) as server:
        hub.endpoint = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        environment = {name: value for name, value in os.environ.items() if name != "HF_HUB_OFFLINE"}
        try:
            with (
                patch.dict(os.environ, {**environment, "HF_ENDPOINT": hub.endpoint}, clear=True),
                patch.object(constants, "HF_HUB_OFFLINE", False),
            ):
                yield hub
        finally:
            server.shutdown()
            thread.join()
