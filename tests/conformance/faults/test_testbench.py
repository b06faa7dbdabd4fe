"""The testbench observed from outside, with a real client and raw sockets on loopback."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from email.utils import parsedate_to_datetime
from time import time
from urllib.parse import urlsplit

import httpx
import jsonschema_rs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import specs
from conformance.faults.classes import FAULTS, classes_for
from conformance.faults.script import Script
from conformance.faults.session import Session
from conformance.faults.testbench import Testbench
from conformance.history import header
from specs.examples import _own, arguments

CLAIV = specs.load("claiv")
EVENT = {"user_id": "u", "type": "message", "content": "hello"}


@pytest.fixture(scope="module")
def bench() -> Iterator[Testbench]:
    """One testbench for the module, as one serves a whole run; nothing fails unseen in its loop."""
    failed: list[object] = []
    with Testbench() as made:
        made._loop.set_exception_handler(lambda _, context: failed.append(context))
        yield made
    assert failed == []


def client(session: Session, timeout: float = 5.0) -> httpx.Client:
    """Return a client that does nothing on its own account."""
    return httpx.Client(base_url=session.base_url, timeout=timeout, trust_env=False, verify=False)


def ingest(session: Session, times: int = 1, timeout: float = 5.0) -> list[str]:
    """Post events one after the other on one client; return statuses or exception names."""
    seen = []
    with client(session, timeout) as http:
        for _ in range(times):
            try:
                seen.append(str(http.post("/v1/ingest", json=EVENT).status_code))
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                seen.append(type(error).__name__)
    return seen


def exchange_bytes(session: Session, sent: bytes, timeout: float = 5.0) -> bytes:
    """Send raw bytes to a session's port and return all that comes until the connection ends."""
    at = urlsplit(session.base_url)
    got = b""
    try:
        with socket.create_connection((at.hostname, at.port), timeout=timeout) as sock:
            sock.sendall(sent)
            while piece := sock.recv(65536):
                got += piece
    except TimeoutError:
        got += b"<silence>"
    except (ConnectionResetError, BrokenPipeError):
        got += b"<reset>"
    return got


def request_bytes(session: Session, body: bytes = b"{}", head: bytes = b"") -> bytes:
    """Return an ingest request as it stands on the wire; it asks for the connection to end."""
    path = urlsplit(session.base_url).path.encode() + b"/v1/ingest"
    return (
        b"POST " + path + b" HTTP/1.1\r\nhost: x\r\nconnection: close\r\n" + head
        + b"content-length: %d\r\n\r\n" % len(body) + body
    )  # fmt: skip


# --- each effect, seen by a client --------------------------------------------------------------

GZIP = "content-encoding=gzip body=base64:H4sI/w=="
CHUNKED = "framing=chunked"
SEEN = [
    # script, what the client sees, recorded failure, recorded status, committed
    ("ingest#1 503", "503", None, 503, False),
    ("ingest#1 418 body=\"\"", "418", None, 418, False),
    ("ingest#1 after-commit 500", "500", None, 500, True),
    ("ingest#1 103 link=x", "200", None, 200, True),
    ("ingest#1 before-accept reset", "ReadError", "reset", None, False),
    ("ingest#1 before-accept close", "RemoteProtocolError", "closed", None, False),
    ("ingest#1 before-accept stall", "ReadTimeout", "timeout", None, False),
    ("ingest#1 reset", "ReadError", "reset", None, False),
    ("ingest#1 close", "RemoteProtocolError", "closed", None, False),
    ("ingest#1 truncate after=9", "RemoteProtocolError", "truncated", None, False),
    ("ingest#1 garbage", "RemoteProtocolError", "garbage", None, False),
    ("ingest#1 garbage body=base64:SFRUUA==", "RemoteProtocolError", "garbage", None, False),
    ("ingest#1 stall", "ReadTimeout", "timeout", None, False),
    ("ingest#1 stall seconds=0.01", "200", None, 200, True),
    ("ingest#1 trickle seconds=0", "200", None, 200, True),
    ("ingest#1 after-commit reset", "ReadError", "reset", None, True),
    ("ingest#1 after-commit close", "RemoteProtocolError", "closed", None, True),
    ("ingest#1 after-commit stall", "ReadTimeout", "timeout", None, True),
    ("ingest#1 after-commit stall after=12", "ReadTimeout", "timeout", None, True),
    ("ingest#1 mid-response reset", "ReadError", "reset", 200, True),
    ("ingest#1 mid-response reset 500", "ReadError", "reset", 500, False),
    ("ingest#1 mid-response truncate", "RemoteProtocolError", "truncated", 200, True),
    ("ingest#1 mid-response truncate after=0", "RemoteProtocolError", "truncated", 200, True),
    (f"ingest#1 mid-response truncate {CHUNKED}", "RemoteProtocolError", "truncated", 200, True),
    ("ingest#1 mid-response garbage", "200", None, 200, True),
    ("ingest#1 mid-response garbage framing=chunked", "RemoteProtocolError", "garbage", 200, True),
    ("ingest#1 mid-response stall", "ReadTimeout", "timeout", 200, True),
    ("ingest#1 mid-response trickle seconds=0", "200", None, 200, True),
    ("ingest#1 503 after=3", "RemoteProtocolError", "truncated", 503, False),
    ("ingest#1 200 framing=chunked", "200", None, 200, False),
    ("ingest#1 200 framing=close", "200", None, 200, False),
    ("ingest#1 200 framing=none", "ReadTimeout", None, 200, False),
    ("ingest#1 200 content-length=5 content-length=7", "RemoteProtocolError", None, 200, False),
    (f"ingest#1 200 {GZIP}", "DecodingError", None, 200, False),
    ("* before-accept refuse", "ConnectError", None, None, False),
]  # fmt: skip


@pytest.mark.parametrize(("text", "seen", "failure", "status", "committed"), SEEN)
def test_each_effect_is_what_a_client_sees(
    bench: Testbench, text: str, seen: str, failure: str | None, status: int | None, committed: bool
) -> None:
    """The effect arrives at a real client, and the recording says the same."""
    with bench.session(CLAIV, Script.parse(text)) as session:
        assert ingest(session, timeout=0.2 if "Timeout" in seen else 5)[0] == seen
        assert session.unconsumed() == ()
        assert session.wait_for(lambda s: s.connections.open == 0)
        assert len(session.commits.get("ingest", ())) == committed
        if "refuse" in text:
            assert session.exchanges() == ()
            return
        (exchange,) = session.exchanges()
        assert (exchange.failure, exchange.status) == (failure, status)
        assert (exchange.committed, exchange.instruction) == (committed, 0)
        assert exchange.received is not None
        assert exchange.sent <= exchange.received


AFTER = [
    ("ingest#1 after-response close", ["200", "200"], 2),
    ("ingest#1 after-response reset", ["200", "200"], 2),
    ("ingest#2 503", ["200", "503"], 1),
    ("*#2+ before-accept refuse", ["200", "ConnectError"], 1),
]


@pytest.mark.parametrize(("text", "seen", "connections"), AFTER)
def test_effects_on_a_kept_connection(
    bench: Testbench, text: str, seen: list[str], connections: int
) -> None:
    """What is done to a connection after its answer meets the client's second request."""
    with bench.session(CLAIV, Script.parse(text)) as session:
        with client(session) as http:
            first = http.post("/v1/ingest", json=EVENT)
            if "after-response" in text:
                assert session.wait_for(lambda s: s.connections.open == 0)
            try:
                second = str(http.post("/v1/ingest", json=EVENT).status_code)
            except httpx.HTTPError as error:
                second = type(error).__name__
        assert [str(first.status_code), second] == seen
        assert session.connections.opened == connections


def test_garbage_follows_a_whole_answer(bench: Testbench) -> None:
    """What is sent behind an answer comes after its last byte, on a connection that stays."""
    with bench.session(CLAIV, Script.parse('* after-response garbage body="junk"')) as session:
        raw = request_bytes(session).replace(b"connection: close\r\n", b"")
        head, _, rest = exchange_bytes(session, raw, timeout=0.1).partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
    assert rest[length:] == b"junk<silence>"


def test_every_fault_class_can_be_played(bench: Testbench) -> None:
    """Each class that applies to an operation reaches a client, and is then consumed."""
    operation = CLAIV["ingest"]
    for fault in classes_for(CLAIV, operation):
        with bench.session(CLAIV, fault.build(CLAIV, operation)) as session:
            seen = ingest(session, fault.calls, timeout=0.05 if fault.timeout else 10)
            assert (fault.id, session.unconsumed()) == (fault.id, ())
            assert fault.timeout or "ReadTimeout" not in seen, fault.id


def test_classes_are_told_apart_by_id_and_script() -> None:
    """No two fault classes have one id, and none of an operation's is the other's twin."""
    assert len({fault.id for fault in FAULTS}) == len(FAULTS)
    memsy = specs.load("memsy")
    for operation in memsy:
        scripts = [f.build(memsy, operation).short() for f in FAULTS if f.applies(memsy, operation)]
        twins = {s for s in scripts if scripts.count(s) > 1}
        known = {f"{operation.id}#1 before-handler {status}" for status in (429, 503, 500, 413)}
        assert twins <= known


# --- what is answered when nothing is harmed ----------------------------------------------------


@pytest.mark.parametrize("api", specs.names())
def test_unharmed_answers_keep_the_contract(bench: Testbench, api: str) -> None:
    """Each operation is answered with its declared success, headers and schema included."""
    contract = specs.load(api)
    with bench.session(contract) as session, client(session) as http:
        for operation in contract:
            given = arguments(operation)
            path = operation.path.format(**{k: v for k, v in given.items() if k in operation.path})
            response = http.request(operation.verb, path, json=given if operation.body else None)
            declared = operation.response(response.status_code)
            assert (operation.id, response.is_success) == (operation.id, True)
            assert declared is not None
            missing = set(declared.headers) - {"retry-after"} - set(response.headers)
            assert (operation.id, missing) == (operation.id, set())
            if declared.schema is not None and "stream" not in given:
                jsonschema_rs.validate(_own(declared.schema), response.json())
        assert [e.operation for e in session.exchanges()] == [o.id for o in contract]


def test_streams_arrive_event_by_event(bench: Testbench) -> None:
    """Where a stream is asked for, each event is sent on its own, and the last says so."""
    contract = specs.load("sovant")
    operation = next(o for o in contract if o.stream is not None)
    assert operation.stream is not None
    given = {**arguments(operation), operation.stream.parameter: True}
    path = operation.path.format(**given)
    with bench.session(contract) as session, client(session) as http:
        with http.stream(operation.verb, path, json=given) as response:
            lines = [line for line in response.iter_lines() if line]
        events = [json.loads(line.removeprefix("data: ")) for line in lines]
        types = [specs.pointer(event, operation.stream.type) for event in events]
        assert response.headers["content-type"].startswith("text/event-stream")
        assert types == [operation.stream.delta] * 3 + [operation.stream.done]


def test_a_path_nobody_declared_is_404_in_the_declared_envelope(bench: Testbench) -> None:
    """An undeclared path is recorded without an operation and answered as errors are declared."""
    with bench.session(CLAIV) as session, client(session) as http:
        response = http.post("/v9/ingest", json=EVENT)
        (exchange,) = session.exchanges()
    assert response.status_code == 404
    assert response.json()["error"]["code"] == "not_found"
    assert (exchange.operation, exchange.request.target) == (None, "/v9/ingest")


def test_an_expected_call_is_judged_on_an_undeclared_path(bench: Testbench) -> None:
    """Where the driver says what it calls, an undeclared path counts as that operation."""
    with bench.session(CLAIV, Script.parse("ingest#1 503")) as session, client(session) as http:
        session.expect("ingest")
        seen = [http.post("/v9/ingest?a=1", json=EVENT).status_code for _ in range(2)]
        assert seen == [503, 200]
        assert [e.operation for e in session.exchanges()] == ["ingest", "ingest"]
        assert session.commits == {"ingest": [EVENT]}
        session.expect(None)
        assert http.post("/v9/ingest", json=EVENT).status_code == 404
        with pytest.raises(KeyError):
            session.expect("nonsense")


def test_a_session_may_answer_in_its_own_way(bench: Testbench) -> None:
    """A default answer takes the place of the example, and None leaves it to the example."""

    def answer(operation: specs.Operation | None, request: object) -> object:
        return (201, {"x-own": "1"}, {"a": "é"}) if operation and operation.id == "health" else None

    with bench.session(CLAIV, default=answer) as session, client(session) as http:
        own, example = http.get("/healthz"), http.post("/v1/ingest", json=EVENT)
    assert (own.status_code, own.json(), own.headers["x-own"]) == (201, {"a": "é"}, "1")
    assert example.status_code == 200


def test_a_default_answer_that_raises_is_our_error(bench: Testbench) -> None:
    """A crash of the harness is never hidden in a history."""

    def answer(operation: object, request: object) -> object:
        raise ZeroDivisionError

    with bench.session(CLAIV, default=answer) as session:
        assert ingest(session) == ["500"]
        with pytest.raises(RuntimeError, match="raised"):
            session.exchanges()


# --- bookkeeping --------------------------------------------------------------------------------


def test_attempts_are_counted_by_operation_and_over_all(bench: Testbench) -> None:
    """Each operation has its own count, `*` has one over all, and leftovers are known."""
    script = Script.parse("ingest#2 503; health#2 500; *#4 418; recall#1 400")
    with bench.session(CLAIV, script) as session, client(session) as http:
        seen = [
            http.post("/v1/ingest", json=EVENT).status_code,
            http.get("/healthz").status_code,
            http.get("/healthz").status_code,
            http.post("/v1/ingest", json=EVENT).status_code,
            http.post("/v1/ingest", json=EVENT).status_code,
        ]
        assert seen == [200, 200, 500, 503, 200]
        assert session.unconsumed() == (2, 3)
        assert [e.instruction for e in session.exchanges()] == [None, None, 1, 0, None]
        assert [e.number for e in session.exchanges()] == [1, 2, 3, 4, 5]


def test_effects_are_stored_before_the_fault_is_played(bench: Testbench) -> None:
    """A write that was done and not acknowledged stands in the commits; its repeat does too."""
    script = Script.parse("ingest#1 after-commit reset; ingest#2 503")
    with bench.session(CLAIV, script) as session:
        assert ingest(session, 3) == ["ReadError", "503", "200"]
        assert session.commits == {"ingest": [EVENT, EVENT]}
        assert [e.committed for e in session.exchanges()] == [True, False, True]


def test_a_repeated_idempotency_key_has_one_effect(bench: Testbench) -> None:
    """The handler honours the declared key: one effect, and the declared flag on the repeat."""
    keyed = {**EVENT, "idempotency_key": "k1"}
    with bench.session(CLAIV, Script.parse("ingest#1 after-commit reset")) as session:
        with client(session) as http:
            with pytest.raises(httpx.ReadError):
                http.post("/v1/ingest", json=keyed)
            repeat = http.post("/v1/ingest", json=keyed)
            fresh = http.post("/v1/ingest", json={**EVENT, "idempotency_key": "k2"})
        assert (repeat.json()["deduped"], fresh.json()["deduped"]) == (True, False)
        assert [body["idempotency_key"] for body in session.commits["ingest"]] == ["k1", "k2"]


def test_requests_are_recorded_as_they_stood_on_the_wire(bench: Testbench) -> None:
    """Target, header names, repeated headers and body are kept unchanged."""
    body = json.dumps({"content": "né\u2603"}, ensure_ascii=False).encode()
    with bench.session(CLAIV) as session:
        raw = request_bytes(session, body, b"X-Odd: 1\r\nx-odd: 2\r\n").replace(
            b"/v1/ingest", b"/v1/ingest?a=%20b&a="
        )
        assert exchange_bytes(session, raw).startswith(b"HTTP/1.1 200 OK\r\n")
        (exchange,) = session.exchanges()
    assert exchange.request.target == "/v1/ingest?a=%20b&a="
    assert exchange.request.query == (("a", " b"), ("a", ""))
    assert [h for h in exchange.request.headers if h[0].lower() == "x-odd"] == [
        ("X-Odd", "1"), ("x-odd", "2"),
    ]  # fmt: skip
    assert exchange.request.body == body


def test_dates_and_places_are_filled_in_when_played(bench: Testbench) -> None:
    """Dates refer to the moment, moved by the client's clock; places to the session's URLs."""
    text = "* 429 retry-after={imf+30} x-a={asctime+30} x-r={rfc850+30} x-e={epoch+30} x-b={base}"
    with bench.session(CLAIV, Script.parse(text)) as session, client(session) as http:
        before = time()
        headers = http.get("/healthz").headers
        for name in ("retry-after", "x-a", "x-r"):
            date = parsedate_to_datetime(headers[name])
            assert before + 28 < date.replace(tzinfo=date.tzinfo or None).timestamp() < before + 35
        assert before + 28 < int(headers["x-e"]) < before + 35
        assert headers["x-b"] == session.base_url
        session.skew = 7200
        moved = parsedate_to_datetime(http.get("/healthz").headers["retry-after"])
        assert moved.timestamp() > before + 7200


def test_another_origin_leads_to_the_same_session(bench: Testbench) -> None:
    """A redirect to the other origin is followed there, and the recording tells the two apart."""
    script = Script.parse("ingest#1 307 location={other}{target}")
    with bench.session(CLAIV, script) as session, client(session) as http:
        response = http.post("/v1/ingest", json=EVENT, follow_redirects=True)
        first, second = session.exchanges()
    assert (response.status_code, len(response.history)) == (200, 1)
    assert (first.principal, second.principal) == ("a", "other")
    assert header(first.request.headers, "host") != header(second.request.headers, "host")


def test_own_ports_need_no_prefix(bench: Testbench) -> None:
    """A session with a port of its own has a bare base URL, and sees whatever path comes."""
    with bench.session(CLAIV, own_port=True) as session:
        assert urlsplit(session.base_url).path == ""
        assert ingest(session) == ["200"]
        assert httpx.get(session.base_url + "/else", trust_env=False).status_code == 404
        assert [e.operation for e in session.exchanges()] == ["ingest", None]


def test_before_accept_on_an_own_port_needs_no_request(bench: Testbench) -> None:
    """On an own port the connection is reset although the client never sent a byte."""
    with bench.session(CLAIV, Script.parse("*#1 before-accept reset"), own_port=True) as session:
        assert exchange_bytes(session, b"") == b"<reset>"
        (exchange,) = session.exchanges()
        assert (exchange.request.method, exchange.failure) == ("", "reset")


def test_requests_without_a_session_are_strays(bench: Testbench) -> None:
    """What belongs to no session is answered 404 and remembered apart."""
    at = urlsplit(bench.session(CLAIV).base_url)
    response = httpx.get(f"http://{at.netloc}/c/nobody/health", trust_env=False)
    assert response.status_code == 404
    assert bench.strays[-1] == ("GET", "/c/nobody/health")


def test_big_answers_are_streamed_and_recorded_in_part(bench: Testbench) -> None:
    """A 50 MB answer arrives whole, is still JSON, and costs 1 MiB of memory."""
    with bench.session(CLAIV, Script.parse("ingest#1 200 size=50000000")) as session:
        with client(session) as http:
            response = http.post("/v1/ingest", json=EVENT)
        assert len(response.content) == 50_000_000
        assert set(response.json()) == {"event_id", "deduped"}
        (exchange,) = session.exchanges()
        assert exchange.response is not None
        assert len(exchange.response.body) == 1 << 20


def test_a_client_that_reads_slowly_loses_nothing_to_a_reset(bench: Testbench) -> None:
    """A reset after a whole answer comes after the answer, however long that is."""
    script = Script.parse("ingest#1 after-response reset 200 size=3000000")
    with bench.session(CLAIV, script) as session:
        got = exchange_bytes(session, request_bytes(session, json.dumps(EVENT).encode()))
    assert got.endswith(b"<reset>")
    assert len(got.partition(b"\r\n\r\n")[2]) == 3_000_000 + len(b"<reset>")


def test_head_requests_get_no_body(bench: Testbench) -> None:
    """An answer to HEAD has the length of a body and none of its bytes."""
    with bench.session(CLAIV, Script.parse("* 503")) as session:
        raw = request_bytes(session, b"").replace(b"POST", b"HEAD")
        head, _, body = exchange_bytes(session, raw).partition(b"\r\n\r\n")
    assert b"content-length: " in head
    assert body == b""


# --- hostile clients ----------------------------------------------------------------------------


def _endless_headers(session: Session) -> bytes:
    return request_bytes(session).split(b"\r\n\r\n")[0] + b"\r\n" + b"x-a: 1\r\n" * 200_000


OK, BAD = b"HTTP/1.1 200 ", b"HTTP/1.1 400 "
HOSTILE = [
    ("never-ending headers", _endless_headers, b"HTTP/1.1 431 "),
    ("one endless header", lambda s: b"GET / HTTP/1.1\r\nx: " + b"a" * 2_000_000, b"HTTP/1.1 431 "),
    ("a TLS hello", lambda s: b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", BAD),
    ("junk", lambda s: b"\x00\xff" * 500 + b"\r\n\r\n", BAD),
    ("a bad chunk", lambda s: request_bytes(s, b"").replace(
        b"content-length: 0\r\n\r\n", b"transfer-encoding: chunked\r\n\r\nzz\r\nx\r\n"
    ), BAD),
    ("two lengths", lambda s: request_bytes(s, b"{}", b"content-length: 9\r\n"), BAD),
    ("a length that is no number", lambda s: request_bytes(s).replace(b": 2\r\n", b": two\r\n"),
     BAD),
    ("a method nobody knows", lambda s: request_bytes(s).replace(b"POST", b"FROB"), BAD),
    ("an old version", lambda s: request_bytes(s).replace(b"HTTP/1.1", b"HTTP/1.0"), OK),
    ("an upgrade", lambda s: request_bytes(s, b"{}", b"upgrade: h2c\r\n"), OK),
    ("20 MB of body", lambda s: request_bytes(s, b"x" * 20_000_000), OK),
    ("an expectation", lambda s: request_bytes(s, b"{}", b"expect: 100-continue\r\n"),
     b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 "),
    ("an absolute target", lambda s: request_bytes(s).replace(
        b"POST ", b"POST " + s.base_url.rpartition("/c/")[0].encode()), OK),
]  # fmt: skip


@pytest.mark.parametrize(("build", "answer"), [h[1:] for h in HOSTILE], ids=[h[0] for h in HOSTILE])
def test_hostile_requests_are_answered_and_harm_nobody(
    bench: Testbench, build: object, answer: bytes
) -> None:
    """Whatever is sent gets its answer, and the server goes on serving."""
    with bench.session(CLAIV) as session:
        assert exchange_bytes(session, build(session)).startswith(answer)  # type: ignore[operator]
        assert ingest(session) == ["200"]


@settings(max_examples=150, deadline=None)
@given(
    cuts=st.lists(
        st.tuples(st.integers(0, 400), st.integers(0, 9), st.binary(max_size=9)), max_size=4
    ),
    times=st.integers(1, 3),
)
def test_no_bytes_break_it(
    bench: Testbench, cuts: list[tuple[int, int, bytes]], times: int
) -> None:
    """Requests that are damaged in any way, sent ahead of answers or cut short, are survived."""
    with bench.session(CLAIV, Script.parse("ingest#2 mid-response truncate")) as session:
        sent = request_bytes(session, json.dumps(EVENT).encode()) * times
        for place, length, put in cuts:
            sent = sent[:place] + put + sent[place + length :]
        at = urlsplit(session.base_url)
        sock = socket.create_connection((at.hostname, at.port), timeout=5)
        with sock, contextlib.suppress(OSError):
            sock.sendall(sent)
            sock.shutdown(socket.SHUT_WR)
            while sock.recv(65536):
                pass
        assert session.wait_for(lambda s: s.connections.open == 0)
        assert all(e.received is not None for e in session.exchanges())


@pytest.mark.parametrize("text", ["ingest#1 after-response close", "ingest#1 after-response reset",
                                  "ingest#1 mid-response truncate", "ingest#1 503"])  # fmt: skip
def test_a_session_at_rest_has_ended_what_ends_with_an_answer(bench: Testbench, text: str) -> None:
    """Whoever waits for rest before the next call meets a connection that is closed by then."""
    with bench.session(CLAIV, Script.parse(text)) as session, client(session) as http:
        with contextlib.suppress(httpx.HTTPError):
            http.post("/v1/ingest", json=EVENT)
        assert session.wait_for(lambda s: s.at_rest, 30)
        assert session.connections.open == ("503" in text)


def test_what_was_sent_is_read_once_the_bench_has_caught_up(bench: Testbench) -> None:
    """A request whose client has left at once is recorded before anybody looks."""
    with bench.session(CLAIV) as session:
        at = urlsplit(session.base_url)
        for number in range(1, 21):
            with socket.create_connection((at.hostname, at.port), timeout=30) as sock:
                sock.sendall(b"GET %b/health HTTP/1.1\r\nhost: x\r\n\r\n" % at.path.encode())
            bench.catch_up()
            assert len(session.exchanges()) == number


def test_junk_behind_a_small_answer_is_one_piece_with_it(bench: Testbench) -> None:
    """Whether a client reads junk together with its answer does not hang on who is faster."""
    script = Script.parse('* after-response garbage body="junk"')
    with bench.session(CLAIV, script) as session:
        at = urlsplit(session.base_url)
        with socket.create_connection((at.hostname, at.port), timeout=30) as sock:
            sock.sendall(b"GET %b/health HTTP/1.1\r\nhost: x\r\n\r\n" % at.path.encode())
            assert session.wait_for(lambda s: len(s.exchanges()) == 1 and s.at_rest, 30)
            assert sock.recv(65536).endswith(b"junk")


def test_pipelined_requests_are_answered_in_order(bench: Testbench) -> None:
    """Requests sent ahead wait for the slow one before them."""
    with bench.session(CLAIV, Script.parse("ingest#1 stall seconds=0.02; ingest#3 503")) as session:
        one = request_bytes(session).replace(b"connection: close\r\n", b"")
        got = exchange_bytes(session, one + one + request_bytes(session))
        statuses = [part[:3] for part in got.split(b"HTTP/1.1 ")[1:]]
        assert statuses == [b"200", b"200", b"503"]


def test_a_client_that_leaves_inside_its_request_is_recorded(bench: Testbench) -> None:
    """A request whose body never came whole stands in the history as closed."""
    with bench.session(CLAIV) as session:
        at = urlsplit(session.base_url)
        with socket.create_connection((at.hostname, at.port)) as sock:
            sock.sendall(request_bytes(session, b"x" * 1000)[:-500])
            assert session.wait_for(lambda s: s.connections.opened == 1)
        assert session.wait_for(lambda s: s.connections.open == 0)
        (exchange,) = session.exchanges()
        assert (exchange.failure, exchange.response) == ("closed", None)


def test_a_client_that_leaves_inside_the_answer_is_recorded(bench: Testbench) -> None:
    """An answer that its client did not wait for is recorded as far as it got."""
    script = Script.parse("ingest#1 mid-response trickle 200 seconds=0.01 size=100000")
    with bench.session(CLAIV, script) as session:
        at = urlsplit(session.base_url)
        with socket.create_connection((at.hostname, at.port)) as sock:
            sock.sendall(request_bytes(session))
            assert sock.recv(20).startswith(b"HTTP/1.1 200")
        assert session.wait_for(lambda s: s.connections.open == 0)
        assert session.wait_for(lambda s: s.exchanges()[0].received is not None)
        (exchange,) = session.exchanges()
    assert exchange.failure == "timeout"
    assert exchange.response is not None
    assert exchange.response.complete is False


# --- life and death -----------------------------------------------------------------------------


def test_hundreds_of_sessions_at_once_keep_apart(bench: Testbench) -> None:
    """300 sessions used from 16 threads have each their own script, count and history."""
    texts = [f"ingest#{1 + n % 3} {500 + n % 10}" for n in range(300)]
    sessions = [bench.session(CLAIV, Script.parse(text)) for text in texts]
    with ThreadPoolExecutor(16) as pool:
        seen = list(pool.map(lambda s: ingest(s, 3), sessions))
    wanted = [["200"] * (n % 3) + [str(500 + n % 10)] + ["200"] * (2 - n % 3) for n in range(300)]
    assert seen == wanted
    assert [len(s.exchanges()) for s in sessions] == [3] * 300
    assert {s.unconsumed() for s in sessions} == {()}
    for session in sessions:
        session.close()


def test_nothing_is_left_behind() -> None:
    """After closing there are as many threads and open files as before."""

    def footprint() -> tuple[int, int]:
        return threading.active_count(), len(os.listdir("/proc/self/fd"))

    httpx.Client(trust_env=False).close()
    before = footprint()
    with Testbench() as bench:
        silent = socket.create_connection(("127.0.0.1", bench._port))
        for text in ("", "ingest#1 stall", "ingest#1 503", "*#2+ before-accept refuse"):
            session = bench.session(CLAIV, Script.parse(text), own_port=text == "")
            ingest(session, timeout=0.05 if "stall" in text else 5)
        waiting = bench.session(CLAIV, Script.parse("ingest stall"))
        hung = socket.create_connection(("127.0.0.1", bench._port))
        hung.sendall(request_bytes(waiting))
        assert waiting.wait_for(lambda s: s.connections.open == 1)
        with ThreadPoolExecutor(1) as pool:
            pool.submit(waiting.close).result(5)
    assert hung.recv(1) == b""
    silent.close()
    hung.close()
    bench.close()
    assert footprint() == before
    with pytest.raises(RuntimeError, match="closed"):
        bench.session(CLAIV)


def test_histories_outlive_their_session(bench: Testbench) -> None:
    """A closed session still tells what happened, and its URL is dead."""
    with bench.session(CLAIV) as session:
        assert ingest(session) == ["200"]
    assert [e.status for e in session.exchanges()] == [200]
    assert ingest(session) == ["404"]
    assert len(session.exchanges()) == 1
