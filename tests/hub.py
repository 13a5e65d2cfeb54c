"""A stand-in for the Hugging Face hub on this machine: repositories, commits of plain files, downloads by revision."""

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Files = dict[str, bytes]


class Hub:
    """What was committed, by repository, each commit a whole tree."""

    def __init__(self) -> None:
        self.commits: dict[str, list[Files]] = {}
        self.tokens: list[str | None] = []  # that came with downloads
        self.url = ""

    def files(self, repo: str, revision: str = "main") -> Files:
        """The files of a revision: main, or the hash that `sha` gives a commit."""
        commits = self.commits[repo]
        if revision == "main":
            return commits[-1]
        return next(files for number, files in enumerate(commits) if self.sha(repo, number) == revision)

    def sha(self, repo: str, number: int) -> str:
        """The name of a commit."""
        return hashlib.sha1(f"{repo} {number}".encode()).hexdigest()


@contextmanager
def serving() -> Iterator[Hub]:
    """A hub at `hub.url`."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    hub.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *args: Any) -> None:
        pass

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path = self.path.split("?")[0]
        if path == "/api/repos/create":
            told = json.loads(body)
            repo = f"{told.get('organization') or 'me'}/{told['name']}"
            self.hub.commits.setdefault(repo, [])
            self._json({"url": f"{self.hub.url}/{repo}", "name": repo})
        elif path == "/api/validate-yaml":
            self._json({"errors": [], "warnings": []})
        elif "/preupload/" in path:
            names = [file["path"] for file in json.loads(body)["files"]]
            self._json({"files": [{"path": n, "uploadMode": "regular", "shouldIgnore": False} for n in names]})
        elif "/commit/" in path:
            repo = path.removeprefix("/api/models/").split("/commit/")[0]
            commits = self.hub.commits[repo]
            commits.append(dict(commits[-1]) if commits else {})
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    commits[-1][line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            sha = self.hub.sha(repo, len(commits) - 1)
            self._json({"success": True, "commitOid": sha, "commitUrl": f"{self.hub.url}/{repo}/commit/{sha}"})
        else:
            self._answer(404, b"", {})

    def do_HEAD(self) -> None:
        self._file(with_body=False)

    def do_GET(self) -> None:
        self._file(with_body=True)

    def _file(self, *, with_body: bool) -> None:
        repo, _, rest = self.path.split("?")[0].strip("/").partition("/resolve/")
        revision, _, name = rest.partition("/")
        if rest:  # not the question whether anybody is there
            self.hub.tokens.append(self.headers.get("Authorization"))
        try:
            files = self.hub.files(repo, revision)
        except (KeyError, StopIteration, IndexError):
            return self._answer(404, b"", {"X-Error-Code": "RevisionNotFound" if rest else "RepoNotFound"})
        if name not in files:
            return self._answer(404, b"", {"X-Error-Code": "EntryNotFound"})
        sha = next(self.hub.sha(repo, i) for i, tree in enumerate(self.hub.commits[repo]) if tree is files)
        headers = {"ETag": f'"{hashlib.sha256(files[name]).hexdigest()}"', "X-Repo-Commit": sha}
        return self._answer(200, files[name], headers, with_body=with_body)

    def _json(self, value: Any) -> None:
        self._answer(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _answer(self, code: int, body: bytes, headers: dict[str, str], *, with_body: bool = True) -> None:
        self.send_response(code)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if with_body:
            self.wfile.write(body)
