"""What a server answers one attempt with, as a value: the common input of the SDK oracles.

An `Answer` is what a fault script says will come, or what an exchange shows to have come. Only
this value and the reading of it belong here; what an SDK should make of it is in the oracles.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any, Literal

from conformance.history import Exchange, Headers, header
from specs import pointer
from specs.dates import http_date
from specs.vocabulary import Errors

Network = Literal["connect", "reset", "timeout", "truncated"]

_NETWORK: dict[str, Network] = {
    "refused": "connect",
    "tls": "connect",
    "reset": "reset",
    "closed": "reset",
    "garbage": "reset",
    "timeout": "timeout",
    "truncated": "truncated",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer: a status with headers and body, or a network fault in its place."""

    status: int | None = None
    headers: Headers = ()
    body: bytes = b""
    network: Network | None = None

    @property
    def ok(self) -> bool:
        """True for a whole 2xx answer."""
        return self.network is None and self.status is not None and 200 <= self.status < 300

    @property
    def name(self) -> str:
        """`503`, or `reset`: how causes and messages call it."""
        return self.network or str(self.status)

    @property
    def range(self) -> str:
        """`5XX`, or `network`: how causes call all answers of one kind."""
        return "network" if self.network else f"{(self.status or 0) // 100}XX"

    def header(self, name: str) -> str | None:
        """Return the first value of a header."""
        return header(self.headers, name)

    def json(self) -> Any:
        """Return the decoded body, or None where it is not JSON."""
        try:
            return json.loads(self.body.decode("utf-8"))
        except (ValueError, RecursionError):
            return None


def answer_of(exchange: Exchange) -> Answer:
    """Return what an exchange shows to have come."""
    response = exchange.response
    if response is None:
        found = _NETWORK.get(exchange.failure or "reset", "reset")
        return Answer(network="reset" if found == "truncated" else found)
    network: Network | None = None
    if exchange.failure is not None or not response.complete:
        network = _NETWORK.get(exchange.failure or "truncated", "truncated")
        network = "truncated" if network == "reset" else network
    return Answer(response.status, response.headers, response.body, network)


def envelope_value(errors: Errors, source: str, answer: Answer) -> Any:
    """Return the value that an error attribute should have, or None where the answer lacks it.

    `source` is one of `status`, `code`, `message`, `requestId`, `details`, `body`, `any`,
    `header:NAME`, `value:JSON`, or a JSON Pointer into the body.
    """
    if source == "status":
        return answer.status
    if source.startswith("header:"):
        return answer.header(source.removeprefix("header:"))
    if source.startswith("value:"):
        return _constant(source.removeprefix("value:"))
    if source == "body":
        return answer.json()
    path: str | None = source
    if not source.startswith("/"):
        path = {
            "code": errors.envelope.code,
            "message": errors.envelope.message,
            "requestId": errors.envelope.request_id,
            "details": errors.envelope.details,
        }.get(source)
        if source == "requestId" and path is None and errors.request_id_header:
            return answer.header(errors.request_id_header)
    if path is None:
        return None
    try:
        return pointer(answer.json(), path)
    except LookupError:
        return None


def _constant(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def error_code(errors: Errors, answer: Answer) -> str | None:
    """Return the code that an error body carries, None where it has none."""
    value = envelope_value(errors, "code", answer)
    return value if isinstance(value, str) else None


def retry_after(value: str | None, now: float) -> float | None:
    """Return the seconds that a Retry-After value asks for (RFC 9110 §10.2.3).

    `now` is seconds since the epoch on the reader's clock. None where there is no valid value;
    a date in the past gives 0. Digits beyond what a float holds give infinity.
    """
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        return float(text) if len(text) < 300 else math.inf
    when = http_date(text)
    return None if when is None else max(0.0, when - now)


def date_forms(seconds: float) -> dict[str, str]:
    """Return one instant (seconds since the epoch) in each of the three HTTP date forms."""
    at = datetime.fromtimestamp(int(seconds), UTC)
    return {
        "imf-fixdate": format_datetime(at, usegmt=True),
        "rfc850": at.strftime("%A, %d-%b-%y %H:%M:%S GMT"),
        "asctime": at.strftime("%a %b ") + f"{at.day:2d}" + at.strftime(" %H:%M:%S %Y"),
    }
