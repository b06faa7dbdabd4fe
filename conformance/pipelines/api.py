"""Asking a platform's HTTP API: JSON in, JSON out, page by page. A refusal is said, not raised."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import httpx

SECONDS = 30.0


class Refused(Exception):
    """The platform did not do what it was asked; the message says what it answered."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class Api:
    """One platform, reached with one token."""

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        self._client = httpx.Client(
            base_url=url.rstrip("/") + "/", headers=dict(headers), timeout=SECONDS,
            transport=httpx.HTTPTransport(retries=2) if _loopback(url) else None,
        )  # fmt: skip

    def __enter__(self) -> Api:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """Return the JSON of an answer. Raises Refused."""
        return self._send(method, path, body).json()

    def pages(self, path: str) -> Iterator[Any]:
        """Yield every entry of a list that stands on several pages (RFC 8288 `rel=next`)."""
        following = path
        while following:
            answer = self._send("GET", following)
            yield from answer.json()
            following = answer.links.get("next", {}).get("url", "")

    def _send(self, method: str, path: str, body: Any = None) -> httpx.Response:
        try:
            answer = self._client.request(method, path, json=body)
        except httpx.HTTPError as error:
            raise Refused(f"{method} {path}: {type(error).__name__}: {error}") from error
        if answer.is_success:
            return answer
        try:
            said = str(answer.json().get("message", ""))
        except (ValueError, AttributeError):
            said = ""
        raise Refused(f"{method} {path}: {answer.status_code} {said}".rstrip(), answer.status_code)


def _loopback(url: str) -> bool:
    """Return True for this machine, which no proxy stands before."""
    return httpx.URL(url).host in ("127.0.0.1", "localhost", "::1")
