"""What a first walk through the product met, and meets no longer; the rest stands in the table.

`tests/NEWCOMER.md` has a row for each of the nineteen defects; it is held to tests that exist.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pytest

import specs
from conformance import subjects
from conformance.backend import words
from conformance.backend.recording import Recorder, read
from conformance.backend.registry import CASES, _again
from conformance.backend.subject import BackendSubject
from conformance.backend.test_rate_limit import EARLY, _confirmed
from conformance.clock import VirtualClock
from conformance.options import find
from conformance.oracles.limits import Quota
from conformance.plural import many
from conformance.subjects import Usage
from conformance.verdict import Finding, Inconclusive
from tests.scripted import ScriptedTransport, contract, response

TESTS = Path(__file__).parents[2]
KEY = "key-that-nobody-may-see"
ROW = re.compile(r"^\| (?P<row>\d+) \| [^|]+ \| [^|]+ \| (?P<tests>[^|]+) \|$", re.MULTILINE)


def made(
    handler: Any = None, keys: tuple[str, ...] = (KEY,), of: specs.Contract | None = None,
    **options: Any,
) -> tuple[BackendSubject, ScriptedTransport]:  # fmt: skip
    """Return a subject whose wire is a function, on a virtual clock."""
    clock = VirtualClock()
    wire = ScriptedTransport(handler or (lambda data: response(200, {"id": "1"})), clock)
    subject = BackendSubject(
        of or contract(), "http://things.test/base", keys, clock=clock, transport=wire,
        run_id="run1", **options,
    )  # fmt: skip
    return subject, wire


def test_every_defect_of_the_walk_has_its_tests() -> None:
    """Nineteen rows, and every test that a row names is there."""
    rows = {int(m["row"]): m["tests"] for m in ROW.finditer((TESTS / "NEWCOMER.md").read_text())}
    assert list(rows) == list(range(1, 20))
    lost = []
    for row, named in rows.items():
        pairs = re.findall(r"`(\S+?)::(test_\w+)`", named)
        lost += [] if pairs else [str(row)]
        for file, test in pairs:
            tree = (
                ast.parse((TESTS / file).read_text("utf-8")) if (TESTS / file).is_file() else None
            )
            there = (
                {n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)} if tree else ()
            )
            lost += [] if test in there else [f"{row}: {file}::{test}"]
    assert [] == lost


def test_no_case_begins_after_the_time_is_over() -> None:
    """A case that would prepare for minutes what it may not send is not begun."""
    begun = []

    @CASES.case("walk.never", "CT1")
    def _never(subject: BackendSubject) -> list[Finding]:
        """Note that it ran."""
        begun.append(subject)
        return []

    case = CASES.cases.pop("walk.never")
    subject, _ = made(max_seconds=5)
    subject.clock.sleep(6)
    with pytest.raises(Inconclusive, match="budget of 5 s"):
        case.function(subject)
    assert [] == begun


def test_a_command_that_repeats_names_every_key_and_option() -> None:
    """Tenants and kinds of keys stand by their names; quota and flags are there; no key is."""
    keys = (KEY, "second-key-of-all", "member=key-of-a-member")
    subject, _ = made(keys=keys, quota=Quota(10, 60), fast=True, seed=7)
    line = _again(subject, "auth.roles")
    for part in ('--api-key "$KEY"', '--api-key "$KEY_B"', '--api-key member="$KEY_MEMBER"',
                 "--quota 10/60", "--fast", "--case auth.roles", "--seed 7"):  # fmt: skip
        assert part in line
    assert not any(key.partition("=")[2] in line for key in keys if "=" in key)
    assert KEY not in line


def test_a_recording_keeps_what_was_sent(tmp_path: Path) -> None:
    """Headers and body of a request are in it, and the key is not."""
    subject, _ = made()
    recorder = Recorder(tmp_path / "run.jsonl", subject)
    subject.send("things.create", {"name": "Zoë"})
    recorder.close(whole=True)
    _, (kept,) = read(tmp_path / "run.jsonl")
    assert kept.exchange is not None
    assert kept.exchange.request.body == '{"name": "Zoë"}'.encode()
    assert kept.exchange.request.media_type == "application/json"
    assert KEY not in (tmp_path / "run.jsonl").read_text("utf-8")


def test_a_recording_is_never_replaced(tmp_path: Path) -> None:
    """A file that is there stays as it is; the message says what to do."""
    file = tmp_path / "run.jsonl"
    file.write_text("earlier\n")
    with pytest.raises(Usage, match=r"there already; give another file, or continue .* --resume"):
        subjects._recorded(made()[0], {"record": str(file)})
    assert file.read_text() == "earlier\n"


@pytest.mark.parametrize("name", ["admin", "owner", "key"])
def test_a_kind_of_key_that_there_is_not_is_no_key(name: str) -> None:
    """A typo is told with the kinds that there are; any other key may hold an equals sign."""
    with pytest.raises(Usage, match=f"'{name}' is no kind of key: there are member"):
        subjects._no_words({"api-key": [f"{name}=k"]})
    assert "" == words.mistaken("member=k") == words.mistaken("abc==") == words.mistaken("sk-1=x")


def test_a_header_that_carries_the_key_is_no_parameter() -> None:
    """What FastAPI writes of `x_api_key: Header()` is the credential, and asks for one."""
    listed = {"name": "x-api-key", "in": "header", "required": True, "schema": {"type": "string"}}
    query = {"name": "q", "in": "query", "schema": {"type": "string"}}
    document = {
        "openapi": "3.1.0", "info": {"title": "N", "version": "1"},
        "x-conformance": {"api": "notes", "documentVersion": "1", "document": "me",
                          "auth": [{"header": "X-API-Key", "basis": "documented"}]},
        "paths": {"/notes": {"get": {"operationId": "list", "parameters": [listed, query],
                                     "responses": {"200": {"description": "all"}}}}},
    }  # fmt: skip
    operation = specs.from_document(document)["list"]
    assert (["q"], True) == ([p.name for p in operation.parameters], operation.authenticated)


def test_a_broken_retry_after_stops_nothing() -> None:
    """A case waits by the quota's own fields, then by the quota that was named."""
    of, limited = next(
        (specs.load(api), o)
        for api in specs.names()
        for o in specs.load(api)
        if o.rate_limit and o.rate_limit.reset and o.safe and not o.parameters_in("path")
    )
    answers = [response(429, {}, (("retry-after", "soon"),)), response(200, {})]
    subject, wire = made(lambda data: answers.pop(0), of=of, quota=Quota(10, 5))
    assert subject.send(limited, {}).status == 200
    assert len(wire.sent) == 2
    assert subject.clock.monotonic() >= 5


def test_a_spec_without_auth_is_judged() -> None:
    """An API that declares no credentials gets requests without any."""
    document = {
        "openapi": "3.1.0", "info": {"title": "N", "version": "1"},
        "x-conformance": {"api": "notes", "documentVersion": "1", "document": "me"},
        "paths": {"/notes": {"get": {"operationId": "list",
                                     "responses": {"200": {"description": "all"}}}}},
    }  # fmt: skip
    subject, wire = made(of=specs.from_document(document))
    assert subject.send("list").status == 200
    assert KEY.encode() not in wire.sent[0]


@pytest.mark.parametrize("place", ["backend", "sdk", "load", "judge", "run"])
def test_a_report_is_written_without_being_asked_for(place: str) -> None:
    """A command that judges writes its reports to a default folder."""
    assert find(place, "out").default_at(place) == Path("memconform-out")


@pytest.mark.parametrize(("shown", "found"), [((1, 0), 0), ((1, 1), 1)])
def test_one_early_refusal_at_once_is_no_finding(shown: tuple[int, ...], found: int) -> None:
    """On a busy machine one attempt may meet two windows: a second attempt must show the same."""
    attempts = [[Finding("RL16", "refused early", cause=EARLY)] * each for each in shown]
    _, findings = _confirmed(Quota(20, 1.0), lambda: ([], attempts.pop(0)))
    assert found == len(findings)


@pytest.mark.parametrize(
    ("count", "said"), [(0, "0 items come"), (1, "1 item comes"), (2, "2 items come")]
)
def test_nouns_and_verbs_follow_their_number(count: int, said: str) -> None:
    """One is singular, every other number is plural."""
    assert said == many(count, "item", "comes", "come")
