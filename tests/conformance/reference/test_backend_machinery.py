"""The machinery behind the embedded backend: paging styles, repeated requests, processes."""

from __future__ import annotations

import ast
import json
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from io import StringIO
from pathlib import Path
from sqlite3 import IntegrityError
from typing import Any

import httpx
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

import specs
from conformance.reference.backend import demo, serve
from conformance.reference.backend.calls import iso, moment
from conformance.reference.backend.defects import DEFECTS
from conformance.reference.backend.server import Embedded
from conformance.reference.backend.store import Store, words
from specs.catalogue import requirements
from tests.local_backend import FIRST, SECOND, Local
from tests.paged_notes import STYLES, notes

SOURCES = Path(serve.__file__).parent


def filled(style: str, number: int = 7) -> Local:
    """Return a backend that holds notes and lists them in a style."""
    declared = {"items": "/items", "total": "/total", "itemKey": "/id", **STYLES[style]}
    local = Local(contracts=[notes(declared)])
    for n in range(number):
        body = {"text": str(n), "kind": "even" if n % 2 == 0 else "odd"}
        assert 201 == local.ask("notes", "POST", "/notes", body).status_code
    return local


def following(style: str, answer: httpx.Response, asked: int) -> str | None:
    """Return the query of the page after an answer; None at the end."""
    declared, body = STYLES[style], answer.json()
    if declared["style"] == "link":
        link = answer.headers.get("link")
        return link and link.partition("?")[2].partition(">")[0]
    if style == "offset":
        return f"limit={asked}&offset={_next_offset(answer)}" if body["more"] else None
    onward = specs.pointer(body, declared["next"]) if "next" in declared else None
    name = declared.get("page") or declared["cursor"]
    return f"{declared['limit']}={asked}&{name}={onward}" if onward else None


def _next_offset(answer: httpx.Response) -> int:
    query = dict(answer.request.url.params)
    return int(query.get("offset", 0)) + int(query["limit"])


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("size", [1, 2, 3, 6, 7, 8])
def test_every_page_size_walks_the_same_list(style: str, size: int) -> None:
    """In each style all pages together are the list, without repeats, and the walk ends."""
    local, texts = filled(style), []
    query: str | None = f"{STYLES[style]['limit']}={size}"
    for _ in range(20):
        answer = local.ask("notes", "GET", f"/notes?{query}")
        assert 7 == answer.json()["total"]
        texts += [item["text"] for item in answer.json()["items"]]
        query = following(style, answer, size)
        if query is None:
            break
    assert [str(n) for n in range(7)] == texts


@pytest.mark.parametrize("style", ["cursor", "token", "link-cursor"])
def test_a_cursor_that_is_not_ones_own_is_refused(style: str) -> None:
    """A forged cursor, a stranger's, and one made for other filters are the client's error."""
    local, name = filled(style), STYLES[style]["cursor"]
    answer = local.ask("notes", "GET", "/notes?limit=2")
    query = following(style, answer, 2) or ""
    cursor = query.partition(f"{name}=")[2].partition("&")[0]
    forged = ("A" if cursor[0] != "A" else "B") + cursor[1:]
    asked = {
        "its own": local.ask("notes", "GET", f"/notes?limit=3&{name}={cursor}"),
        "forged": local.ask("notes", "GET", f"/notes?limit=2&{name}={forged}"),
        "nonsense": local.ask("notes", "GET", f"/notes?limit=2&{name}=%00%F0%9F%98%80!"),
        "a stranger's": local.ask("notes", "GET", f"/notes?limit=2&{name}={cursor}", key=SECOND),
        "other filters": local.ask("notes", "GET", f"/notes?limit=2&kind=odd&{name}={cursor}"),
    }
    assert [200, 400, 400, 400, 400] == [a.status_code for a in asked.values()]


def test_a_cursor_is_not_moved_by_insertions() -> None:
    """What comes in during a walk by cursor neither repeats nor hides what was there."""
    local = filled("cursor", 4)
    answer = local.ask("notes", "GET", "/notes?limit=2")
    local.ask("notes", "POST", "/notes", {"text": "late"})
    rest = local.ask("notes", "GET", f"/notes?{following('cursor', answer, 9)}").json()["items"]
    assert ["2", "3", "late"] == [item["text"] for item in rest]


@pytest.mark.parametrize(
    ("on_mismatch", "status"), [("conflict", 409), ("unprocessable", 422), ("replay", 201)]
)
def test_an_idempotency_key_in_a_header_is_kept_as_declared(on_mismatch: str, status: int) -> None:
    """Same key and payload: one effect, one answer. Another payload: as the contract says."""
    rule = {"basis": "documented", "source": "ours", "location": "header", "required": True,
            "name": "Idempotency-Key", "onMismatch": on_mismatch, "ttl": 60}  # fmt: skip
    paging = {"items": "/items", "total": "/total", "itemKey": "/id", **STYLES["offset"]}
    local = Local(contracts=[notes(paging, idempotency=rule)])
    key = {"idempotency-key": "k"}

    def post(text: str, **more: Any) -> httpx.Response:
        return local.ask("notes", "POST", "/notes", {"text": text}, **more)

    def total() -> int:
        held: int = local.ask("notes", "GET", "/notes").json()["total"]
        return held

    assert 400 == post("a").status_code
    first = post("a", headers=key)
    assert first.json() == post("a", headers=key).json()
    assert status == post("b", headers=key).status_code
    assert 1 == total()
    assert 201 == post("a", headers=key, key=SECOND).status_code
    assert 1 == total()
    local.clock.sleep(61)
    assert first.json() != post("a", headers=key).json()
    assert 2 == total()


def ingest(url: str, key: str, name: str) -> dict[str, Any]:
    """Send one event under an idempotency key and return the answer."""
    body = {"user_id": "u", "type": "message", "content": "zebra", "idempotency_key": name}
    answer = httpx.post(
        f"{url}/v1/ingest", json=body, headers={"authorization": f"Bearer {key}"}, timeout=30
    )
    answer.raise_for_status()
    found: dict[str, Any] = answer.json()
    return found


def test_workers_share_data_keys_quotas_and_repeated_requests() -> None:
    """Two processes on one file act as one: one effect per key, one quota, one figure of use."""
    with Embedded(process=True, workers=2, rate_limit="20/600") as backend:
        url, key = backend.url_for("claiv"), backend.keys[0]
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _: ingest(url, key, "same"), range(16)))
        assert 1 == len({a["event_id"] for a in answers})
        assert Counter({True: 15, False: 1}) == Counter(a["deduped"] for a in answers)
        path, auth = f"{url}/v1/usage/limits", {"authorization": f"Bearer {key}"}
        told = [httpx.get(path, headers=auth).status_code for _ in range(6)]
        assert [200, 200, 200, 200, 429, 429] == told
        memsy = backend.url_for("memsy")
        used = [
            int(httpx.get(f"{memsy}/health", headers=auth).headers["x-usage-apicall"])
            for _ in range(5)
        ]
        assert [1, 2, 3, 4, 5] == used


def test_concurrent_updates_lose_nothing() -> None:
    """Partial updates at the same time each change what they name."""
    with Embedded() as backend:
        url, headers = backend.url_for("sovant"), {"x-sovant-api-key": backend.keys[0]}
        made = httpx.post(f"{url}/api/v1/memory", json={"content": "a"}, headers=headers).json()
        path, barrier = f"{url}/api/v1/memories/{made['id']}", threading.Barrier(2)

        def change(part: dict[str, Any]) -> int:
            barrier.wait()
            return httpx.patch(path, json=part, headers=headers).status_code

        with ThreadPoolExecutor(2) as pool:
            told = list(pool.map(change, [{"tags": ["x"]}, {"is_archived": True}]))
        after = httpx.get(path, headers=headers).json()
        assert ([200, 200], ["x"], True) == (told, after["tags"], after["is_archived"])


# -- the command ---------------------------------------------------------------------------------


def test_serve_says_where_it_listens_and_ends_when_told(tmp_path: Path) -> None:
    """One line of JSON on standard output, given keys not in it; an interrupt ends it with 0."""
    code = (
        "import sys; from conformance.reference.backend.serve import main; "
        f"sys.exit(main(api_keys=['secret-key-of-tests'], db={str(tmp_path / 'd.sqlite')!r}))"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    line = child.stdout.readline()
    ready = json.loads(line)
    assert "secret-key-of-tests" not in line
    assert "ready" == ready["event"]
    assert set(specs.names()) == set(ready["apis"])
    health = httpx.get(ready["apis"]["claiv"] + "/healthz")
    assert {"ok": True} == health.json()
    child.send_signal(signal.SIGINT)
    rest, errors = child.communicate(timeout=20)
    assert (0, "", "") == (child.returncode, rest, errors)


def test_serve_shows_the_keys_that_it_made_up() -> None:
    """Without keys a set is made, and the ready line is the only way to learn it.

    A person at a terminal is shown the command that judges the server, with these keys.
    """
    terminal, theirs = os.openpty()
    child = subprocess.Popen(
        [sys.executable, "-c",
         "from conformance.reference.backend.serve import main; main(workers=2)"],
        stdout=subprocess.PIPE, stderr=theirs, text=True,
    )  # fmt: skip
    os.close(theirs)
    assert child.stdout is not None
    ready = json.loads(child.stdout.readline())
    shown = ""
    while "memconform backend --base-url" not in shown or not shown.endswith("\r\n\r\n"):
        shown += os.read(terminal, 4096).decode()
    assert all(key in shown for key in (ready["url"], *ready["keys"], *ready["limited_keys"]))
    told = [
        httpx.get(ready["apis"]["claiv"] + "/v1/usage/limits",
                  headers={"authorization": f"Bearer {key}"}).status_code
        for key in (*ready["keys"], *ready["member_keys"], *ready["expired_keys"])
    ]  # fmt: skip
    child.send_signal(signal.SIGTERM)
    assert ([200, 200, 200, 401], 0) == (told, child.wait(20))
    os.close(terminal)


@pytest.mark.parametrize(
    "wrong",
    [{"defects": ["no.such"]}, {"rate_limit": "lots"}, {"host": "203.0.113.1"}],
)
def test_serve_refuses_what_makes_no_sense(
    wrong: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """What cannot be served is said on standard error, with exit code 2 and no ready line."""
    out = StringIO()
    assert 2 == serve.main(output=out, **wrong)
    assert "" == out.getvalue()
    assert capsys.readouterr().err.startswith("memconform serve: ")


def test_serve_lists_its_defects() -> None:
    """Each defect is one line that starts with its id."""
    out = StringIO()
    assert 0 == serve.main(list_defects=True, output=out)
    assert [d.id for d in DEFECTS] == [row.split("\t")[0] for row in out.getvalue().splitlines()]


def test_embedded_leaves_nothing_behind() -> None:
    """Once closed, neither a thread, a process nor a file of the backend is left."""
    with Embedded(process=True) as backend:
        child, folder = backend._child, Path(backend.db).parent
        assert child is not None
        assert folder.exists()
    assert child.poll() is not None
    assert not folder.exists()
    with Embedded() as backend:
        thread = backend._thread
        assert thread is not None
    assert not thread.is_alive()


# -- defects -------------------------------------------------------------------------------------


def consulted() -> set[str]:
    """Return every id that the backend's code asks `defects` about, read from its source."""
    found = set()
    for path in SOURCES.rglob("*.py"):
        if path.name == "defects.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.add(node.value)
            if isinstance(node, ast.JoinedStr):
                found.add("".join(_filled(part) for part in node.values))
    found |= {f"auth.{role}-not-checked" for role in ("admin", "seat")}
    return found


def _filled(part: ast.expr) -> str:
    return str(part.value) if isinstance(part, ast.Constant) else "*"


def test_every_defect_has_a_place_in_the_code() -> None:
    """A row of the table that no code asks about could never be noticed."""
    assert set() == {d.id for d in DEFECTS} - consulted()


def test_every_place_of_a_defect_has_its_row() -> None:
    """What the code can do wrong on purpose is in the table, so that a case must notice it."""
    rows = {d.id for d in DEFECTS}
    groups = {id.split(".")[0] for id in rows}
    operations = {o.id for name in specs.names() for o in specs.load(name)}
    asked = {
        text
        for text in consulted() - operations
        if text.split(".")[0] in groups and text.count(".") == 1 and text.isascii()
        and text.replace("-", "").replace(".", "").isalnum() and "-" in text.split(".")[1]
    }  # fmt: skip
    assert set() == asked - rows


def test_defects_name_what_exists() -> None:
    """Ids are unique, and APIs and requirements are those that there are."""
    assert [] == [id for id, n in Counter(d.id for d in DEFECTS).items() if n > 1]
    assert set() == {d.api for d in DEFECTS} - set(specs.names()) - set(demo.names())
    assert set() == {d.requirement for d in DEFECTS} - set(requirements())
    assert len(DEFECTS) >= 100
    assert set() == {*specs.names(), *demo.names()} - {d.api for d in DEFECTS}


@pytest.mark.parametrize("name", demo.names())
def test_demonstration_contracts_are_openapi(name: str) -> None:
    """Our own contracts are valid OpenAPI documents and are served by what they say alone."""
    contract = demo.load(name)
    OpenAPIV31SpecValidator(dict(contract.document)).validate()
    local = Local(contracts=[contract])
    lister = next(o for o in contract if o.effect and o.effect.kind == "list")
    needed = [p for p in lister.parameters if p.required]
    given = {p.name: (p.location, str(p.schema["enum"][0])) for p in needed}
    path = lister.path
    for parameter, (_, value) in given.items():
        path = path.replace(f"{{{parameter}}}", value)
    headers = {n: value for n, (location, value) in given.items() if location == "header"}
    assert 200 == local.ask(name, "GET", path, headers=headers).status_code


# -- small parts ---------------------------------------------------------------------------------


def test_texts_without_words_can_be_found() -> None:
    """A text of signs alone is indexed by its signs."""
    assert ["🦓", "!"] == words("🦓 ! 🦓")
    assert ["dark", "mode", "är"] == words("Dark MODE, är dark")


def test_search_scores_by_shared_words_and_prefers_the_new() -> None:
    """The score is the share of the query's words; equal scores put the newest first."""
    store = Store(":memory:")
    space = store.space("api", "tenant", "things")
    for n, text in enumerate(["red apple", "red pear", "green pear"]):
        store.insert(space, str(n), {"text": text}, 0, text)
    found = [(round(score, 2), d.id) for score, d in store.search(space, 1, "red pear")]
    assert [(1.0, "1"), (0.5, "2"), (0.5, "0")] == found
    assert [(1.0, "1")] == [(s, d.id) for s, d in store.search(space, 1, "red pear", minimum=0.6)]


def _lost(store: Store, space: int) -> None:
    with store.part():
        store.insert(space, "lost", {}, 0)
        store.insert(space, "kept", {}, 0)


def test_a_failed_part_takes_back_only_itself() -> None:
    """Inside one transaction a part can fail while the rest is kept."""
    store = Store(":memory:")
    space = store.space("api", "tenant", "things")
    with store.writing():
        store.insert(space, "kept", {}, 0)
        with pytest.raises(IntegrityError):
            _lost(store, space)
    assert ["kept"] == [d.id for d in store.find(space, 1)]


def test_plain_dates_end_with_their_day() -> None:
    """The end of a range that is a plain date covers the whole day."""
    assert 86_399.999 == moment("1970-01-01", end=True)
    assert 0 == moment("1970-01-01T01:00:00+01:00")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("2016-12-31T23:59:60Z", "2016-12-31T23:59:59.000Z"),
        ("2025-01-01t00:00:00z", "2025-01-01T00:00:00.000Z"),
        ("2025-01-01T00:00:00.123456789Z", "2025-01-01T00:00:00.123Z"),
        ("0001-01-01T00:00:00+14:00", "0001-01-01T00:00:00.000Z"),
        ("9999-12-31T23:59:59-12:00", "9999-12-31T23:59:59.000Z"),
        ("0000-01-01T00:00:00Z", "0001-01-01T00:00:00.000Z"),
    ],
)
def test_every_valid_time_can_be_kept(text: str, shown: str) -> None:
    """What RFC 3339 allows is understood, however odd, so that no valid request is refused."""
    assert shown == iso(moment(text))


def test_keys_do_not_reach_the_file(tmp_path: Path) -> None:
    """Neither a given key nor a made one is written to disk."""
    db = tmp_path / "data.sqlite"
    local = Local(db=str(db))
    made = local.ask("sovant", "POST", "/api/v1/keys", {"name": "k"}).json()["key"]
    held = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert os.path.getsize(db) > 0
    assert made.encode() not in held
    assert FIRST.encode() not in held
