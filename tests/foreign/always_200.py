"""A server that answers every request with 200 and the same cheerful body."""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler


class Always200(BaseHTTPRequestHandler):
    """Reads what it is sent, does nothing with it, and says that all went well."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body leave together
    body = json.dumps({"ok": True}).encode()

    def answer(self) -> None:
        """Send the one answer there is."""
        length = self.headers.get("content-length", "0")
        self.rfile.read(min(int(length), 20_000_000) if length.isdigit() else 0)
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(self.body)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_OPTIONS = do_TRACE = answer

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""
