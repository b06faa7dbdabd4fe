"""What `serve` refuses before anything is looked up: two keys in one request, endless headers."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from conformance.reference.backend.server import Embedded

ONE, TWO = "a-key-of-the-first", "a-key-of-the-second"


@pytest.fixture(scope="module")
def backend() -> Iterator[Embedded]:
    """One backend with two keys."""
    with Embedded([ONE, TWO]) as made:
        yield made


def status(backend: Embedded, *headers: str) -> int:
    """Return the status of an answer to a request with these headers."""
    path = backend.url_for("claiv").removeprefix(backend.url) + "/v1/usage/limits"
    lines = (f"GET {path} HTTP/1.1", "Host: x", "Connection: close", *headers, "", "")
    with socket.create_connection(("127.0.0.1", int(backend.url.rpartition(":")[2]))) as sock:
        sock.sendall("\r\n".join(lines).encode())
        return int(sock.makefile("rb").readline().split()[1])


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ((f"Authorization: Bearer {ONE}",), 200),
        ((f"Authorization: Bearer {ONE}", "X-Other: 1", "X-Other: 2"), 200),
        ((f"Authorization: Bearer {ONE}", f"Authorization: Bearer {TWO}"), 401),
        ((f"Authorization: Bearer {ONE}", f"authorization: Bearer {ONE}"), 401),
        (("Authorization: Bearer nobody", f"Authorization: Bearer {ONE}"), 401),
        ((f"Authorization: Bearer {ONE}", "X-Long: " + "x" * 3_000_000), 431),
    ],
    ids=["one", "others repeat", "two", "the same twice", "a wrong one first", "3 MB"],
)
def test_two_keys_are_none_and_headers_have_an_end(
    backend: Embedded, headers: tuple[str, ...], expected: int
) -> None:
    """A field that stands for one key may not stand there twice; headers are bounded."""
    assert expected == status(backend, *headers)
