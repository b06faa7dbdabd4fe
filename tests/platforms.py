"""Doubles of GitHub's and GitLab's HTTP APIs: real servers on loopback that keep and record."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

PAGE = 2
"""Comments on one page: few, so that clients must turn pages."""


@dataclass
class Platform:
    """What a platform holds, and every request that it was sent."""

    token: str
    """The only token that it takes."""
    header: str
    """The request header that carries it."""
    url: str = ""
    asked: list[tuple[str, str]] = field(default_factory=list)
    """(method, path) of each request."""
    comments: dict[int, str] = field(default_factory=dict)
    branches: dict[str, dict[str, str]] = field(default_factory=dict)
    """Branch -> path -> content, base64 or plain as it was sent."""
    trees: dict[str, dict[str, str]] = field(default_factory=dict)

    def answer(self, method: str, target: str, sent: Any) -> tuple[int, Any, dict[str, str]]:
        """Return status, body and headers of an answer."""
        parts = urlsplit(target)
        query = {k: v[0] for k, v in parse_qs(parts.query).items()}
        for pattern, verb, reply in self._routes():
            found = re.fullmatch(pattern, unquote(parts.path))
            if found and verb == method:
                made: tuple[int, Any, dict[str, str]] = reply(found, query, sent)
                return made
        return 404, {"message": "Not Found"}, {}

    def _routes(self) -> list[tuple[str, str, Any]]:
        comments = r"/repos/o/r/issues/7/comments|/projects/9/merge_requests/7/notes"
        one = r"/(?:repos/o/r/issues/comments|projects/9/merge_requests/7/notes)/(\d+)"
        return [
            (comments, "GET", self._list),
            (comments, "POST", self._create),
            (one, "PATCH", self._update),
            (one, "PUT", self._update),
            (r"/repos/o/r/git/ref/heads/(.+)", "GET", self._branch),
            (r"/repos/o/r/git/trees", "POST", self._tree),
            (r"/repos/o/r/git/commits", "POST", lambda f, q, s: (201, {"sha": s["tree"]}, {})),
            (r"/repos/o/r/git/refs", "POST", self._new_branch),
            (r"/repos/o/r/contents/(.+)", "GET", self._read),
            (r"/repos/o/r/contents/(.+)", "PUT", self._write),
        ]

    def _list(self, _: Any, query: dict[str, str], __: Any) -> tuple[int, Any, dict[str, str]]:
        page = int(query.get("page", "1"))
        every = [{"id": id, "body": body} for id, body in sorted(self.comments.items())]
        shown = every[(page - 1) * PAGE : page * PAGE]
        path = self.asked[-1][1].partition("?")[0]
        more = {"Link": f'<{self.url}{path}?page={page + 1}>; rel="next"'}
        return 200, shown, more if page * PAGE < len(every) else {}

    def _create(self, _: Any, __: Any, sent: Any) -> tuple[int, Any, dict[str, str]]:
        id = max(self.comments, default=0) + 1
        self.comments[id] = sent["body"]
        return 201, {"id": id}, {}

    def _update(self, found: Any, _: Any, sent: Any) -> tuple[int, Any, dict[str, str]]:
        if int(found[1]) not in self.comments:
            return 404, {"message": "Not Found"}, {}
        self.comments[int(found[1])] = sent["body"]
        return 200, {"id": int(found[1])}, {}

    def _branch(self, found: Any, _: Any, __: Any) -> tuple[int, Any, dict[str, str]]:
        known = found[1] in self.branches
        return (200, {}, {}) if known else (404, {"message": "Not Found"}, {})

    def _tree(self, _: Any, __: Any, sent: Any) -> tuple[int, Any, dict[str, str]]:
        sha = f"tree{len(self.trees)}"
        self.trees[sha] = {entry["path"]: entry["content"] for entry in sent["tree"]}
        return 201, {"sha": sha}, {}

    def _new_branch(self, _: Any, __: Any, sent: Any) -> tuple[int, Any, dict[str, str]]:
        self.branches[sent["ref"].removeprefix("refs/heads/")] = self.trees[sent["sha"]]
        return 201, {}, {}

    def _read(self, found: Any, query: dict[str, str], _: Any) -> tuple[int, Any, dict[str, str]]:
        held = self.branches.get(query.get("ref", ""), {})
        known = found[1] in held
        return (200, {"sha": "old"}, {}) if known else (404, {"message": "Not Found"}, {})

    def _write(self, found: Any, _: Any, sent: Any) -> tuple[int, Any, dict[str, str]]:
        held = self.branches[sent["branch"]]
        if found[1] in held and sent.get("sha") != "old":
            return 409, {"message": "sha does not match"}, {}
        held[found[1]] = sent["content"]
        return 200, {}, {}


@contextmanager
def served(platform: Platform) -> Iterator[Platform]:
    """Serve a platform for as long as the block runs."""

    class Handler(BaseHTTPRequestHandler):
        def handle_one(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            sent = json.loads(self.rfile.read(length)) if length else None
            platform.asked.append((self.command, self.path))
            if self.headers.get(platform.header) != platform.token:
                made = (403, {"message": "Resource not accessible by integration"}, {})
            else:
                made = platform.answer(self.command, self.path, sent)
            status, body, headers = made
            raw = json.dumps(body).encode()
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(raw))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(raw)

        do_GET = do_POST = do_PUT = do_PATCH = handle_one

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    platform.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield platform
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
