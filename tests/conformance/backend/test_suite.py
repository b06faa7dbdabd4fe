"""The backend suite on the embedded backend: clean where it is perfect, awake where it is not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import specs
from conformance.backend import damages, recording, sensitivity, suite, teeth
from conformance.backend.subject import BackendSubject, SubjectError
from conformance.backend.test_contract import follow
from conformance.backend.transport import Answer
from conformance.cases import CaseResult
from conformance.history import Exchange, Request, Response
from conformance.reference.defects import Defect, Defects
from conformance.verdict import Inconclusive, Verdict
from specs.catalogue import requirements
from tests.scripted import exchange

FAST = ("contract.", "auth.", "errors.", "robustness.", "pagination.", "idempotency.", "state.",
        "isolation.", "usage.")  # fmt: skip
"""Everything but what waits for a quota."""


def odd(results: list[CaseResult]) -> list[str]:
    """Return what did not pass, in words."""
    return [
        f"{r.verdict} {r.name}: {r.reason or [f.message for f in r.findings][:2]}"
        for r in results if r.verdict.rank > Verdict.PASS.rank
    ]  # fmt: skip


@pytest.mark.parametrize("api", specs.names())
def test_the_perfect_backend_is_clean(api: str) -> None:
    """Every case that applies passes, and enough of them do."""
    with teeth.judged(api, seed=3) as subject:
        results = suite.run(subject, select=FAST)
        assert [] == odd(results)
        assert 30 <= sum(r.verdict is Verdict.PASS for r in results)
        assert {e.operation for e in subject.exchanges} >= set(subject.contract.operations)


def test_workers_on_one_file_are_one_server() -> None:
    """Quotas, idempotency keys and what is not another tenant's hold over four processes."""
    with teeth.judged("claiv", workers=4) as subject:
        results = suite.run(subject, select=["idempotency.", "isolation.", "limits.burst"])
        assert [] == odd(results)
        assert 8 <= sum(r.verdict is Verdict.PASS for r in results)


SAMPLE = (
    "error.stack-trace-leaked", "accept.wrong-type", "answer.required-missing",
    "auth.any-key-accepted", "limit.over-admits", "page.gap", "idempotency.ignored",
    "update.drops-others", "delete.still-listed", "forget.leaves-one", "isolation.read",
    "batch.failure-hidden", "usage.shrinks", "state.kept-in-memory", "update.lost",
)  # fmt: skip


@pytest.mark.parametrize("defect", [d for d in teeth.DEFECTS if d.id in SAMPLE], ids=lambda d: d.id)
def test_a_seeded_defect_dies_by_the_case_that_it_names(defect: Defect) -> None:
    """One defect of each kind here; all of them by `memconform teeth --suite backend`."""
    killed = teeth.kill(defect)
    assert killed.exercised
    assert defect.case in killed.killed_by, killed.detail


def test_every_defect_names_a_case_that_there_is() -> None:
    """A defect that nothing could kill would look like a survivor."""
    known = {case.id: case for case in suite.cases()}
    assert [] == [d.id for d in teeth.DEFECTS if d.case not in known]


@pytest.mark.parametrize(
    ("link", "expected"),
    [
        ({"parameters": {"path.id": "$response.body#/id"}}, {"id": "t1"}),
        ({"parameters": {"id": "$request.path.thing", "limit": 3}}, {"id": "t0", "limit": 3}),
        ({"requestBody": {"query": "$request.body#/text"}}, {"query": "words"}),
        ({"parameters": {"id": "$response.body#/items/0/id"}}, None),
    ],
)
def test_a_link_takes_values_of_call_and_answer(link: Any, expected: Any) -> None:
    """Runtime expressions are evaluated; a link whose value is lacking leads nowhere."""
    arguments = {"thing": "t0", "text": "words"}
    assert expected == follow(link, arguments, exchange(200, {"id": "t1", "items": []}))


def test_every_case_is_proven_by_a_defect_that_names_it() -> None:
    """A case that kills nothing could be one that cannot fail."""
    named = {defect.case for defect in teeth.DEFECTS}
    assert [] == [case.id for case in suite.cases() if case.id not in named]


def test_every_requirement_of_backends_is_tested_and_seeded() -> None:
    """What the catalogue asks of backends has a case and a defect, or a reason why nothing can."""
    tested = {r for case in suite.cases() for r in case.requirements}
    tested &= {d.requirement for d in teeth.DEFECTS}
    asked = [r for r in requirements().values() if "backend" in r.subject and not r.retired]
    assert [r.id for r in asked if (r.id in tested) == bool(r.untestable)] == []


def test_the_same_seed_sends_the_same_requests() -> None:
    """Two runs with one seed and one run id send the same bytes and tell the same, case by case."""

    def ran(*defects: str) -> tuple[list[str], list[tuple[str, str, list[tuple[str, str]]]]]:
        with teeth.judged("octamem", seed=5, defects=Defects.of(defects)) as subject:
            subject.run_id = "fixed"
            results = suite.run(subject, select=["contract.", "errors.", "state."])
            return (
                [f"{c} {e.request.method} {e.request.target} {e.request.body!r}"
                 for c, e in zip(subject.cases, subject.exchanges, strict=True)],
                [(r.name, r.verdict.value, [(f.requirement, f.cause) for f in r.findings])
                 for r in results],
            )  # fmt: skip

    assert ran() == ran()
    once = ran("accept.empty-text")
    assert any(found for _, _, found in once[1])
    assert once == ran("accept.empty-text")


def test_a_case_sends_the_same_alone_as_among_others() -> None:
    """Cases do not depend on each other: one that is selected alone sends what it always sends."""

    def sent(*select: str) -> list[bytes]:
        with teeth.judged("sovant", seed=5) as subject:
            subject.run_id = "fixed"
            suite.run(subject, select=select)
            wanted = "errors.invalid[memory.create]"
            return [e.request.body for c, e in zip(subject.cases, subject.exchanges, strict=True)
                    if c == wanted]  # fmt: skip

    assert sent("errors.invalid") == sent("auth.missing", "errors.")


def test_a_backend_that_is_not_there_is_no_verdict() -> None:
    """A dead base URL ends the run before any case, in words."""
    subject = BackendSubject(specs.load("claiv"), "http://127.0.0.1:9/claiv", ["k"])
    with pytest.raises(SubjectError, match="nothing answers"):
        suite.run(subject)


def test_a_refused_key_is_no_verdict() -> None:
    """Where every answer is 401 nothing was tested."""
    with teeth.judged("claiv") as subject:
        wrong = BackendSubject(subject.contract, subject.base_url, ["no-key-of-theirs"])
        with pytest.raises(SubjectError, match="the key was refused"):
            suite.run(wrong)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[CaseResult]]:
    """A recorded run and what its cases came to."""
    path = tmp_path_factory.mktemp("recorded") / "claiv.jsonl"
    with teeth.judged("claiv", seed=2) as subject:
        recorder = recording.Recorder(path, subject)
        results = suite.run(subject)
        keys = list(subject.keys.values())
        recorder.close()
    text = path.read_text(encoding="utf-8")
    assert not [key for key in keys if key in text]
    return path, results


def test_a_recording_is_judged_as_the_run_was(recorded: tuple[Path, list[CaseResult]]) -> None:
    """Without a server the same cases come to the same verdicts."""
    path, results = recorded
    again = suite.run(recording.judge(path))
    assert [(r.name, r.verdict) for r in results] == [(r.name, r.verdict) for r in again]


def test_a_recording_that_was_cut_off_is_still_judged(
    recorded: tuple[Path, list[CaseResult]], tmp_path: Path
) -> None:
    """What an interrupted run wrote is judged as far as it goes; the rest is inconclusive."""
    whole = recorded[0].read_text(encoding="utf-8")
    cut = tmp_path / "cut.jsonl"
    cut.write_text(whole[: len(whole) // 2], encoding="utf-8")
    verdicts = {r.verdict for r in suite.run(recording.judge(cut))}
    assert Verdict.INCONCLUSIVE in verdicts
    assert Verdict.PASS in verdicts
    assert not {Verdict.FAIL, Verdict.ERROR} & verdicts


@pytest.mark.parametrize(
    ("text", "words"),
    [(b"", "empty"), (b"{}", "not a recording"), (b"no json", "not JSON"),
     (b"\xff", "not UTF-8"), (b"[" * 100_000, "not JSON"),
     (b'{"format": "memconform.recording/1"}', "api: Field required")],
    ids=["empty", "object", "text", "bytes", "deep", "head"],
)  # fmt: skip
def test_what_is_no_recording_is_refused(text: bytes, words: str, tmp_path: Path) -> None:
    """A file of another kind is told, with the line and what is wrong."""
    path = tmp_path / "x.jsonl"
    path.write_bytes(text)
    with pytest.raises(recording.RecordingError, match=words):
        recording.judge(path)


def test_a_broken_line_in_the_middle_is_told(
    recorded: tuple[Path, list[CaseResult]], tmp_path: Path
) -> None:
    """Only the last line may be cut; damage before it names its line."""
    lines = recorded[0].read_text(encoding="utf-8").split("\n")[:-1]
    path = tmp_path / "x.jsonl"
    path.write_text("\n".join([*lines[:4], "{", *lines[4:8]]), encoding="utf-8")
    with pytest.raises(recording.RecordingError, match=":5: "):
        recording.judge(path)


def test_the_run_would_have_noticed_most_damage(
    recorded: tuple[Path, list[CaseResult]],
) -> None:
    """Of at least forty kinds that apply, nearly all are noticed; the rest are named."""
    subject = recording.judge(recorded[0])
    suite.run(subject)
    measured = sensitivity.measure(subject)
    assert 40 <= len(measured.noticed) + len(measured.missed)
    assert 2 >= len(measured.missed), measured.missed
    assert measured.line().startswith("would have noticed ")


def test_what_is_not_damaged_is_not_noticed(recorded: tuple[Path, list[CaseResult]]) -> None:
    """A change that changes nothing is noticed nowhere: what is noticed is the damage."""
    subject = recording.judge(recorded[0])
    suite.run(subject)
    measured = sensitivity.measure(subject, {"nothing": lambda scene: list(scene.kept)})
    assert measured.missed == ("nothing",)
    assert measured.places == {"nothing": (0, sensitivity.TRIES)}


@pytest.mark.parametrize(
    ("kind", "api", "operation", "status", "body"),
    [
        ("another error code", "octamem", "search", 400, {"error": "No query.", "code": "X"}),
        ("an item twice on a page", "octamem", "search", 200, {"results": [{"content": "a b"}]}),
        ("a page turned round", "octamem", "search", 200,
         {"results": [{"content": "a"}, {"content": "b"}]}),
        ("a page turned round", "sovant", "memory.search", 200,
         {"results": [{"id": "1"}, {"id": "2"}]}),
    ],
)  # fmt: skip
def test_what_breaks_no_promise_is_no_damage(
    kind: str, api: str, operation: str, status: int, body: dict[str, Any]
) -> None:
    """Codes that nobody states, order that nobody promises and items without ids may be any."""
    made = Response(status, (("content-type", "application/json"),), json.dumps(body).encode())
    exchange = Exchange(0, Request("POST", "/"), made, 0.0, 1.0, operation)
    kept = recording.Kept("case", Answer(made, None, 0.0, 1.0), 0.0, exchange)
    assert damages.KINDS[kind](damages.Scene(specs.load(api), [kept], 0)) is None


def test_sensitivity_is_about_what_the_run_did(recorded: tuple[Path, list[CaseResult]]) -> None:
    """A run of one group notices less than a whole one: the figure cannot flatter."""
    subject = recording.judge(recorded[0])
    suite.run(subject, select=["auth."])
    measured = sensitivity.measure(subject)
    assert "forgotten count wrong" not in measured.noticed
    assert "401 becomes 403" in measured.noticed


def test_a_recording_holds_one_line_for_each_exchange(
    recorded: tuple[Path, list[CaseResult]],
) -> None:
    """Every line is JSON and says whose exchange it was."""
    lines = [json.loads(line) for line in recorded[0].read_text("utf-8").split("\n") if line]
    assert recording.FORMAT == lines[0]["format"]
    assert all({"case", "method", "target", "response"} <= set(line) for line in lines[1:])


def test_a_replay_that_asks_for_more_than_there_is_gives_up() -> None:
    """The end of a recording is inconclusive, never a finding."""
    clock = recording.RecordedClock()
    with pytest.raises(Inconclusive, match="recording ends"):
        recording.ReplayTransport({}, clock).exchange(b"GET / HTTP/1.1\r\n\r\n", 1)


def left_behind(subject: BackendSubject) -> dict[str, int]:
    """Return how many records lists without a scope still show to the first tenant."""
    counts = {}
    for operation in subject.contract:
        paging = operation.pagination
        if paging is not None and paging.total and operation.effect is not None:
            exchange = subject.send(operation, {})
            assert exchange.response is not None
            counts[operation.id] = exchange.response.json()[paging.total[1:]]
    return counts


def test_a_run_leaves_nothing_behind() -> None:
    """What can be deleted is gone after a run, what a batch made included."""
    with teeth.judged("sovant", seed=1) as subject:
        suite.run(subject, select=["contract.", "errors.", "robustness.", "state."])
        subject.close()
        assert {"memory.list": 0, "threads.list": 0} == left_behind(subject)


def test_an_interrupted_run_leaves_nothing_behind() -> None:
    """Ctrl-C in the middle of a case: closing the subject removes what there is."""

    def stop(exchange: object, case: str, at: float) -> None:
        if subject.exchanged > 90:
            subject.recorder = None
            raise KeyboardInterrupt

    with teeth.judged("sovant", seed=1) as subject:
        subject.recorder = stop
        with pytest.raises(KeyboardInterrupt):
            suite.run(subject, select=["errors."])
        subject.close()
        assert {"memory.list": 0, "threads.list": 0} == left_behind(subject)
