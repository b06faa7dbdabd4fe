"""Servers that know nothing of our code: what they are, and what the suite makes of them."""

from __future__ import annotations

import shutil
import ssl
import time
from pathlib import Path

import httpx
import jsonschema_rs
import pytest

import specs
from tests.foreign import servers

CLAIV = specs.load("claiv")
EVENT = {"user_id": "u", "type": "message", "content": "kestrels like onyx"}
RECALL = {"user_id": "u", "task": "kestrels like onyx", "token_budget": 400}


def client(served: servers.Served, key: int = 0, timeout: float = 10.0) -> httpx.Client:
    """Return a client of a tenant that trusts the server's certificate."""
    return httpx.Client(
        base_url=served.url,
        headers={"Authorization": f"Bearer {served.keys[key]}"},
        verify=ssl.create_default_context(cafile=served.ca) if served.ca else False,
        timeout=timeout,
    )


def test_plain_keeps_what_it_is_told() -> None:
    """The application that was written from the document stores, finds and forgets."""
    with servers.plain() as served, client(served) as one, client(served, 1) as two:
        made = one.post("/v1/ingest", json=EVENT).json()
        found = one.post("/v1/recall", json=RECALL).json()["memory_blocks"]
        assert [block["source_ids"] for block in found] == [[made["event_id"]]]
        assert two.post("/v1/recall", json=RECALL).json()["memory_blocks"] == []
        gone = one.post("/v1/forget", json={"user_id": "u"}).json()
        assert gone["deleted_counts"]["events"] == 1
        assert one.post("/v1/recall", json=RECALL).json()["memory_blocks"] == []
        kept = one.get(f"/v1/deletion-receipts/{gone['receipt_id']}").json()
        assert kept["deleted_counts"] == gone["deleted_counts"]
        assert two.get(f"/v1/deletion-receipts/{gone['receipt_id']}").status_code == 404


@pytest.mark.parametrize(
    ("status", "code", "call"),
    [
        (401, "unauthorized", {"headers": {"Authorization": "Bearer wrong"}, "json": EVENT}),
        (400, "invalid_request", {"json": {**EVENT, "type": "rumour"}}),
        (400, "invalid_request", {"json": {**EVENT, "event_time": "yesterday"}}),
        (400, "invalid_request", {"json": {"user_id": "u"}}),
        (
            400,
            "invalid_request",
            {"content": b"{", "headers": {"Content-Type": "application/json"}},
        ),
        (
            415,
            "unsupported_media_type",
            {"content": b"{}", "headers": {"Content-Type": "text/csv"}},
        ),
        (413, "payload_too_large", {"json": {**EVENT, "content": "x" * 1_100_000}}),
    ],
)
def test_plain_refuses_as_documented(status: int, code: str, call: dict[str, object]) -> None:
    """Its refusals carry the documented envelope and code."""
    with servers.plain() as served, client(served) as one:
        answer = one.post("/v1/ingest", **call)  # type: ignore[arg-type]
        assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
        declared = CLAIV["ingest"].response(status)
        assert declared is not None
        assert jsonschema_rs.is_valid(dict(declared.schema or {}), answer.json())


def test_plain_answers_as_the_spec_declares() -> None:
    """Each operation that reads answers a body of the declared shape, so both readings agree."""
    with servers.plain() as served, client(served) as one:
        one.post("/v1/ingest", json=EVENT)
        one.post("/v1/forget", json={"user_id": "u"})
        for operation in CLAIV:
            if operation.verb == "GET" and "{" not in operation.path:
                answer = one.get(operation.path)
                assert (operation.id, answer.status_code) == (operation.id, 200)
                assert (
                    list(
                        jsonschema_rs.validator_for(
                            dict(operation.success.schema or {})
                        ).iter_errors(answer.json())
                    )
                    == []
                ), operation.id


def test_memsy_by_somebody_else() -> None:
    """The FastAPI application processes events later, keeps records and counts in headers."""
    event = {"actor_id": "u", "session_id": "s", "kind": "user_message", "content": "onyx"}
    with servers.memsy() as served, client(served) as one, client(served, 1) as two:
        made = one.post("/ingest", json={"events": [event]}).json()["event_ids"]
        end = time.monotonic() + 10
        while one.post("/status", json={"event_ids": made}).json()["completedIds"] != made:
            assert time.monotonic() < end
        found = one.post("/search", json={"query": "onyx"}).json()["results"]
        assert [r["metadata"]["source_event_ids"] for r in found] == [made]
        assert two.post("/search", json={"query": "onyx"}).json()["results"] == []
        org = one.post("/orgs", json={"org_id": "o", "name": "n", "focus": "f"})
        assert (org.status_code, org.headers["x-plan"]) == (201, "pro")
        assert one.patch("/orgs/o", json={"name": "m"}).json()["focus"] == "f"
        assert (one.delete("/orgs/o").status_code, one.get("/orgs/o").status_code) == (204, 404)


def test_memsy_by_somebody_else_limits() -> None:
    """Its window admits exactly the limit, and says when the next one begins."""
    with servers.memsy(limit=3, window=3600.0) as served, client(served) as one:
        answers = [one.get("/health") for _ in range(4)]
        assert [a.status_code for a in answers] == [200, 200, 200, 429]
        assert [a.headers["x-ratelimit-remaining"] for a in answers] == ["2", "1", "0", "0"]
        assert int(answers[-1].headers["retry-after"]) > 0


def test_always_200() -> None:
    """The cheerful server says yes to anything, key or no key."""
    with servers.always_200() as served:
        for verb in ("GET", "POST", "DELETE", "PATCH"):
            assert httpx.request(verb, f"{served.url}/nowhere", json={}).status_code == 200


def test_nginx_answers_for_the_backend() -> None:
    """Behind nginx, a large body and a dead upstream are answered by nginx's own pages."""
    with servers.plain() as near, _nginx(near) as served, client(served) as one:
        assert one.get("/healthz").json() == {"ok": True}
        large = one.post("/v1/ingest", json={**EVENT, "content": "x" * 300_000})
        assert (large.status_code, large.headers["content-type"]) == (413, "text/html")
    with _nginx(servers.Served("http://127.0.0.1:9")) as served, client(served) as one:
        assert one.get("/healthz").status_code == 502


def test_nginx_gives_up_on_a_slow_backend() -> None:
    """An upstream that is slower than nginx's patience is answered with 504."""
    with servers.slow(3.0) as near, _nginx(near, patience=1) as served, client(served) as one:
        assert one.get("/healthz").status_code == 504


def test_tls_with_a_certificate_of_its_own() -> None:
    """The TLS server is refused without its certificate and served with it."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed: apt-get install openssl")
    with servers.plain() as near, servers.tls(near) as served:
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{served.url}/healthz")
        with client(served) as one:
            assert one.get("/healthz").json() == {"ok": True}


def test_slow_is_slow() -> None:
    """Each answer of the slow server comes no earlier than asked for."""
    with servers.slow(0.2) as served, client(served) as one:
        answer = one.get("/healthz")
        assert answer.json() == {"ok": True}
        assert answer.elapsed.total_seconds() >= 0.2


def test_dying_dies_in_the_middle() -> None:
    """After its last whole answer the dying server cuts the next one and is gone."""
    with servers.dying(2) as served:
        for _ in range(2):
            assert httpx.get(f"{served.url}/healthz").json() == {"ok": True}
        with pytest.raises(httpx.TransportError):
            httpx.get(f"{served.url}/healthz")
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{served.url}/healthz")


def test_prism_mocks_our_spec() -> None:
    """A mock server of the field reads our spec and answers every documented read from it."""
    try:
        with servers.prism(CLAIV.path) as served, client(served) as one:
            limits = one.get("/v1/usage/limits")
            assert limits.status_code == 200
            assert one.post("/v1/ingest", json=EVENT).status_code == 200
            assert one.post("/v1/ingest", json={}).status_code in (400, 422)
    except servers.Missing as missing:
        pytest.skip(str(missing))


def _nginx(upstream: servers.Served, patience: int = 10):  # type: ignore[no-untyped-def]
    if shutil.which("nginx") is None and not Path("/usr/sbin/nginx").exists():
        pytest.skip("nginx is not installed: apt-get install nginx-light")
    return servers.nginx(upstream, patience)


def test_no_server_is_left_running() -> None:
    """A process that a context manager started ends with its block."""
    with servers.plain() as near, _nginx(near) as served:
        assert httpx.get(f"{served.url}/healthz").status_code == 200
        pattern = served.url
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{pattern}/healthz")
