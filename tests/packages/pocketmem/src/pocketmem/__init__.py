"""A small memory SDK that no table knows: for `driver init`, and for driving it."""

from __future__ import annotations

import asyncio
import http.client
import json
import time
import urllib.parse
from typing import Any

__version__ = "0.7.0"


class PocketError(Exception):
    """Base of all errors."""


class PocketApiError(PocketError):
    """The server refused."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class _Usage:
    def __init__(self, client: Any) -> None:
        self._client = client

    def get_summary(self, range: str = "7d") -> Any:
        """Show what was used."""
        return self._client._send("GET", "/v1/usage/summary", query={"range": range})

    def limits(self) -> Any:
        """Show what may be used."""
        return self._client._send("GET", "/v1/usage/limits")


class Pocket:
    """The blocking client."""

    def __init__(
        self,
        token: str,
        *,
        endpoint: str = "https://x.invalid",
        timeout: float = 5.0,
        retries: int = 2,
    ) -> None:
        self._token, self._endpoint, self._timeout = token, endpoint, timeout
        self._retries = retries
        self.usage = _Usage(self)

    def close(self) -> None:
        """Close nothing."""

    def ingest_event(self, user_id: str, type: str, content: str, **extra: Any) -> Any:
        """Store something."""
        body = {"user_id": user_id, "type": type, "content": content, **extra}
        return self._send("POST", "/v1/ingest", body)

    def recall(
        self, user_id: str, task: str, token_budget: int = 2000, thread_id: str | None = None
    ) -> Any:
        """Find something again."""
        body = {"user_id": user_id, "task": task, "token_budget": token_budget}
        if thread_id is not None:
            body["thread_id"] = thread_id
        return self._send("POST", "/v1/recall", body)

    def forget(self, params: dict[str, Any]) -> Any:
        """Drop something."""
        return self._send("POST", "/v1/forget", params)

    def health(self) -> Any:
        """Ask whether it lives."""
        return self._send("GET", "/healthz")

    def get_deletion_receipt(self, receipt_id: str) -> Any:
        """Show one receipt."""
        return self._send("GET", f"/v1/deletion-receipts/{urllib.parse.quote(receipt_id)}")

    def _send(self, method: str, path: str, body: Any = None, query: Any = None) -> Any:
        for attempt in range(self._retries + 1):
            status, raw = self._once(method, path, body, query)
            if status < 400:
                return json.loads(raw)
            if (status != 429 and status < 500) or attempt == self._retries:
                raise PocketApiError(status, raw.decode("utf-8", "replace")[:200])
            time.sleep(2.0**attempt)
        raise AssertionError

    def _once(self, method: str, path: str, body: Any, query: Any) -> tuple[int, bytes]:
        parts = urllib.parse.urlsplit(self._endpoint)
        link = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=self._timeout)
        target = parts.path + path + (f"?{urllib.parse.urlencode(query)}" if query else "")
        headers = {"authorization": f"Bearer {self._token}", "content-type": "application/json"}
        try:
            link.request(method, target, json.dumps(body) if body is not None else None, headers)
            answer = link.getresponse()
            return answer.status, answer.read()
        finally:
            link.close()


class AsyncPocket:
    """The same in threads."""

    def __init__(self, token: str, *, endpoint: str = "https://x.invalid") -> None:
        self._sync = Pocket(token, endpoint=endpoint)

    async def recall(self, user_id: str, task: str, token_budget: int = 2000) -> Any:
        """Find something again."""
        return await asyncio.to_thread(self._sync.recall, user_id, task, token_budget)

    async def health(self) -> Any:
        """Ask whether it lives."""
        return await asyncio.to_thread(self._sync.health)
