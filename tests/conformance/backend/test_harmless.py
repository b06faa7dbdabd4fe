"""A run harms nobody: what it did not create is there after it, whatever the server does."""

from __future__ import annotations

import json
from typing import Any

import pytest

from conformance import subjects
from conformance.backend import suite
from conformance.backend.ownership import SAFE, Belongings, Withheld
from conformance.backend.plain import hostile
from conformance.backend.subject import BackendSubject
from conformance.clock import VirtualClock
from conformance.history import Request, Response
from conformance.report.notes import notes
from conformance.report.results import SubjectEntry
from conformance.verdict import Verdict
from tests.miniatures.grudge import OWNERS, Grudge, contract
from tests.scripted import ScriptedTransport

THINGS = contract()
KEYS = ("first-key-of-a-tenant", "second-key-of-another")


def against(server: Any, **options: Any) -> BackendSubject:
    """Return a subject whose server is a function, on a virtual clock."""
    clock = VirtualClock()

    def answered(data: bytes) -> Response:
        clock.sleep(0.01)
        made: Response = server(data)
        return made

    options = {"keys": KEYS, "run_id": "feedbeef", "fast": True, **options}
    return BackendSubject(
        THINGS, "http://things.test/base", clock=clock,
        transport=ScriptedTransport(answered, clock), **options,
    )  # fmt: skip


HOSTILE = [
    ("logs",),
    ("obeys",),
    ("reuses",),
    ("forgiving",),
    ("counts", "busy"),
    ("fills", "logs"),
    ("obeys", "logs", "reuses", "forgiving", "counts"),
]


@pytest.mark.parametrize("faults", HOSTILE, ids="-".join)
def test_a_run_leaves_the_records_of_others(faults: tuple[str, ...]) -> None:
    """Marks in foreign records, obeyed methods, ids given twice: the owner loses nothing."""
    server = Grudge(*faults)
    subject = against(server)
    suite.run(subject)
    assert len(server.asked) > 150
    subject.close()
    assert list(OWNERS) == server.kept()
    assert subject.proof is not None
    assert [] == subject.proof.gone


def test_generated_calls_leave_the_records_of_others() -> None:
    """Fuzzed ids and walks along links that lead to foreign records change none of them."""
    server = Grudge("obeys", "logs", "forgiving")
    subject = against(server, fast=False)
    suite.run(subject, select=["contract."])
    subject.close()
    assert any(method in ("DELETE", "PATCH") for method, _ in server.asked)
    assert list(OWNERS) == server.kept()


def test_a_record_of_another_client_survives_under_a_number_that_was_used() -> None:
    """A number that the server gives again is another record: it is deleted once and not again."""
    server = Grudge("counts", "busy")
    subject = against(server)
    suite.run(subject, select=["state."])
    subject.close()
    theirs = [t for t in server.things.values() if t.get("owner") == "they"]
    deletions = [path for method, path in server.asked if method == "DELETE"]
    assert theirs
    assert len(deletions) == len(set(deletions))


@pytest.mark.parametrize(
    ("operation", "arguments", "shape"),
    [
        ("things.delete", {"id": "2"}, {}),
        ("things.update", {"id": "2", "name": "x"}, {}),
        ("things.update", {"id": ["2"], "name": "x"}, {}),
        ("things.archive", {"id": "2"}, {}),
        ("things.get", {"id": "2"}, {"method": "DELETE"}),
        ("things.list", {}, {"method": "DELETE"}),
        ("things.list", {}, {"method": "PUT"}),
        ("things.forget", {"owner": "me"}, {}),
        ("things.forget", {}, {}),
        ("things.forget", {"owner": "memconform-feedbeef"}, {"body": b""}),
        ("things.forget", {"owner": "memconform-feedbeef"}, {"body": b"{"}),
    ],
)
def test_what_is_not_the_runs_is_not_touched(
    operation: str, arguments: dict[str, Any], shape: dict[str, Any]
) -> None:
    """Whichever case asks for it, a change of what the run did not create never leaves."""
    server = Grudge("obeys")
    subject = against(server)
    with pytest.raises(Withheld, match="not sent"):
        subject.send(operation, arguments, **shape)
    assert [] == server.asked


def test_what_is_the_runs_may_be_changed() -> None:
    """Ids that its own creations gave, names that it made up, and ids that nothing has."""
    subject = against(Grudge())
    made = subject.world.make("thing")
    assert subject.send("things.update", {"id": made.id, "name": "x"}).status == 200
    assert subject.send("things.delete", {"id": made.id}).status == 200
    assert subject.send("things.delete", {"id": subject.name("unknown")}).status == 404
    assert subject.send("things.forget", {"owner": subject.name("owner")}).status == 200


def test_an_id_that_was_shown_before_is_not_made_by_us() -> None:
    """A creation that names a record which was there is no licence to delete it."""
    mine = Belongings()
    mine.shown("a", "thing", ["7"], at=1.0)
    assert not mine.created("a", "thing", "7", sent=2.0)
    assert mine.created("a", "thing", "8", sent=2.0)
    mine.shown("a", "thing", ["9"], at=3.0)
    assert mine.created("a", "thing", "9", sent=2.5)  # shown while the creation was on its way
    assert [False, True, True] == [mine.owns(each, "thing", "a") for each in ("7", "8", "9")]
    assert not mine.owns("8", "other", "a")
    assert not mine.owns("8", "thing", "b")  # its eighth thing is not ours
    assert not mine.owns(["8", "7"], "thing", "a")


def test_what_resists_is_listed_and_nothing_else() -> None:
    """Each record that could not be deleted is named once, with or without keys."""

    class Stubborn(Grudge):
        def _one(self, method: str, id: str, asked: Any) -> Any:
            if method == "DELETE" and id.endswith(("5", "6")):
                from tests.miniatures.grudge import _refused

                return _refused(404 if id.endswith("5") else 500, "not_found")
            return super()._one(method, id, asked)

    for keys in (KEYS, ()):
        server = Stubborn("logs")
        subject = against(server, keys=keys)
        subject.stand()
        made = [subject.world.make("thing").id for _ in range(5)]
        left = subject.close()
        resisting = [id for id in made if id.endswith(("5", "6"))]
        assert [f"thing {id}" for id in resisting] == sorted(
            line.partition(":")[0] for line in left
        )
        assert {*OWNERS, *resisting} == set(server.things)


def test_a_creation_whose_answer_never_came_is_named() -> None:
    """It carries the run's mark and no answer gave its id: named for a person, not deleted."""
    server = Grudge()
    subject = against(server)
    subject.stand()
    name = subject.name("lost")
    server.things["lost"] = {"id": "lost", "name": name}
    left = subject.close()
    assert 1 == len(left)
    assert left[0].startswith("thing lost: it carries the mark of this run")
    assert "lost" in server.things


def test_a_run_says_what_became_of_the_records_that_were_there() -> None:
    """Records that are gone or changed at the end stand in the result and in what is shown."""
    server = Grudge()
    subject = against(server)
    subject.stand()
    del server.things["1"]
    server.things["2"]["name"] = "changed by somebody"
    subject.close()
    assert subject.proof is not None
    details = subject.proof.details()
    assert {"before": 3, "same": 1, "changed": ["thing 2"], "gone": ["thing 1"]} == details
    entry = SubjectEntry(
        kind="backend", api="things", name="x", verdict=Verdict.PASS, details={"foreign": details}
    )
    said = list(notes(entry))
    assert said[0].startswith("GONE: thing 1")
    assert said[1].startswith("changed: thing 2")
    json.dumps(details)


def _request(data: bytes) -> Request:
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    method, target, *_ = first.split(" ")
    headers = tuple((n, v.strip()) for n, _, v in (line.partition(":") for line in lines))
    return Request(method, target, headers, body)


def test_a_read_only_run_sends_safe_methods_and_plain_values() -> None:
    """Generated requests included: no NUL, no half character, no huge number, no broken JSON."""
    server = Grudge()
    suite.run(against(server, read_only=True, fast=False))
    sent = [_request(data) for data in server.raw]
    assert len(sent) > 20
    assert {each.method for each in sent} <= set(SAFE)
    assert [""] == list({hostile(each) for each in sent})


def test_a_read_only_run_may_be_told_to_be_hostile() -> None:
    """A NUL in a path stays at home with --read-only, and leaves with --allow-hostile too."""
    server = Grudge()
    with pytest.raises(Withheld, match="--allow-hostile"):
        against(server, read_only=True).send("things.get", {"id": "a\x00b"})
    assert [] == server.asked
    against(server, read_only=True, hostile=True).send("things.get", {"id": "a\x00b"})
    against(server).send("things.get", {"id": "a\x00b"})
    assert 2 == len(server.asked)


JSON = (("content-type", "application/json"),)


@pytest.mark.parametrize(
    ("request_", "odd"),
    [
        (Request("GET", "/things?q=caf%C3%A9%20%F0%9F%A7%A0"), False),
        (Request("POST", "/find", JSON, '{"text": "Ελλάδα\\n", "limit": 5}'.encode()), False),
        (Request("GET", "/things/a%00b"), True),
        (Request("GET", "/things/%ED%A0%80"), True),
        (Request("GET", "/things?limit=99999999999999999999"), True),
        (Request("GET", "/things?q=" + "x" * 9000), True),
        (Request("POST", "/find", JSON, b'{"text": "\\ud800"}'), True),
        (Request("POST", "/find", JSON, b'{"text": "a\\u0000b"}'), True),
        (Request("POST", "/find", JSON, b'{"days": 1242336831712680000}'), True),
        (Request("POST", "/find", JSON, b'{"text": NaN'), True),
        (Request("POST", "/find", JSON, b'{"a":' * 60 + b"1" + b"}" * 60), True),
        (Request("POST", "/find", JSON, b"caf\xff"), True),
    ],
)
def test_hostile_values_are_told_from_plain_ones(request_: Request, odd: bool) -> None:
    """Text of any script is plain; what a server may choke on is not."""
    assert odd is bool(hostile(request_))


def test_operations_with_alarming_names_are_not_called() -> None:
    """Restart, reindex and what the contract skips are left out with the reason; an update is not.

    A run may name them, and may exclude others.
    """
    server = Grudge()
    subject = against(server)
    results = suite.run(subject, select=["contract.examples", "errors.", "auth."])
    admin = [path for _, path in server.asked if path.startswith("/admin")]
    assert [] == admin
    assert {"admin.restart", "admin.reindex", "admin.refresh"} == set(subject.excluded)
    told = {r.reason for r in results if r.operation == "admin.refresh"}
    assert {"left out: it sends mail"} == told
    assert any(method == "PATCH" for method, _ in server.asked)


@pytest.mark.parametrize(
    ("given", "left"),
    [
        ({"only": ["admin.restart"]}, {"admin.restart"}),
        ({"exclude": ["things.delete"]}, None),
    ],
)
def test_a_person_chooses_the_operations(given: dict[str, Any], left: set[str] | None) -> None:
    """--only sends what it names and nothing else, --exclude all but what it names."""
    out = subjects._left_out(THINGS, given)
    server = Grudge()
    subject = against(server, exclude=out)
    suite.run(subject, select=["contract.examples", "state.", "errors."])
    subject.close()
    if left is not None:
        assert {"/admin/restart"} == {path for _, path in server.asked}
    else:
        assert not any(
            method == "DELETE" and not path.endswith("/archive") and "unknown" not in path
            for method, path in server.asked
        )
        assert any(method == "PATCH" for method, _ in server.asked)


@pytest.mark.parametrize("option", ["only", "exclude"])
def test_an_operation_that_there_is_not_is_told(option: str) -> None:
    """A typo must not look like an exclusion."""
    with pytest.raises(subjects.Usage, match=f"--{option} 'things.delet'"):
        subjects._left_out(THINGS, {option: ["things.delet"]})
