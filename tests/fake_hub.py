"""A model hub of this machine alone, which serves folders as repositories and notes what is asked of it.

>>> with serving({("org/model", "main"): folder}) as hub:
...     run(env={"HF_ENDPOINT": hub.address})
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread


@dataclass
class Hub:
    """What it serves, and what was fetched of it: names of files, each time that their content was sent."""

    address: str
    repos: Mapping[tuple[str, str], Path]
    """Repository and revision -> folder."""
    sent: list[str] = field(default_factory=list)

    def folder(self, repo: str, revision: str) -> Path | None:
        """The folder of a revision, by its name or its commit."""
        for (name, known), folder in self.repos.items():
            if name == repo and revision in (known, commit(name, known)):
                return folder
        return None


def commit(repo: str, revision: str) -> str:
    """A commit's hash, made up of names."""
    return hashlib.sha1(f"{repo}@{revision}".encode()).hexdigest()


@contextmanager
def serving(repos: Mapping[tuple[str, str], Path]) -> Iterator[Hub]:
    """The hub, on a port of its own on the loopback."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Answers)
    hub = Hub(f"http://127.0.0.1:{server.server_port}", repos)
    server.hub = hub  # type: ignore[attr-defined]
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()


class _Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def log_message(self, *args: object) -> None:
        pass

    def _answer(self, body: bool) -> None:
        hub: Hub = self.server.hub  # type: ignore[attr-defined]
        path = self.path.partition("?")[0]
        if match := re.fullmatch(r"/api/models/(?P<repo>[^/]+/[^/]+)(/revision/(?P<revision>.+))?", path):
            self._tell(hub, match["repo"], match["revision"] or "main")
        elif match := re.fullmatch(r"/(?P<repo>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<file>.+)", path):
            self._file(hub, match["repo"], match["revision"], match["file"], body)
        elif match := re.fullmatch(r"/api/models/(?P<repo>[^/]+/[^/]+)/tree/(?P<revision>[^/]+)", path):
            self._list(hub, match["repo"], match["revision"])
        else:
            self._send(404, b"{}", {})

    def _tell(self, hub: Hub, repo: str, revision: str) -> None:
        known = {name for name, _ in hub.repos}
        folder = hub.folder(repo, revision)
        if folder is None:
            code = "RevisionNotFound" if repo in known else "RepoNotFound"
            self._send(404, b"{}", {"X-Error-Code": code, "X-Error-Message": "not found"})
            return
        names = [name for (of, name), there in hub.repos.items() if of == repo and there == folder]
        files = [
            {"rfilename": path.name, "size": path.stat().st_size, "blobId": _etag(path)}
            for path in sorted(folder.iterdir())
        ]
        said = {"_id": "1", "id": repo, "sha": commit(repo, names[0]), "siblings": files, "private": False}
        said |= {"downloads": 0, "likes": 0, "tags": []}
        self._send(200, json.dumps(said).encode(), {"Content-Type": "application/json"})

    def _list(self, hub: Hub, repo: str, revision: str) -> None:
        folder = hub.folder(repo, revision)
        assert folder is not None
        entries = [
            {"type": "file", "path": path.name, "size": path.stat().st_size, "oid": _etag(path)}
            for path in sorted(folder.iterdir())
        ]
        self._send(200, json.dumps(entries).encode(), {"Content-Type": "application/json"})

    def _file(self, hub: Hub, repo: str, revision: str, file: str, body: bool) -> None:
        folder = hub.folder(repo, revision)
        if folder is None or not (folder / file).is_file():
            self._send(404, b"", {"X-Error-Code": "EntryNotFound", "X-Error-Message": "not found"})
            return
        path = folder / file
        if body:
            hub.sent.append(file)
        sha = next(commit(name, known) for (name, known), there in hub.repos.items() if there == folder)
        content = path.read_bytes()
        self._send(200, content, {"X-Repo-Commit": sha, "ETag": f'"{_etag(path)}"'}, body)

    def _send(self, code: int, content: bytes, headers: Mapping[str, str], body: bool = True) -> None:
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if body and self.command != "HEAD":
            self.wfile.write(content)


def _etag(path: Path) -> str:
    return hashlib.sha1(path.read_bytes()).hexdigest()
