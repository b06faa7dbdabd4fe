"""The driver protocol: shapes, lines, and the published schema."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from conformance.drivers import protocol as p

SCHEMA = Path(p.__file__).with_name("protocol.schema.json")


def test_the_published_schema_is_current() -> None:
    """`protocol.schema.json` is what the models say (write it with `python -m … protocol`)."""
    assert json.loads(SCHEMA.read_text(encoding="utf-8")) == p.schema()


@pytest.mark.parametrize(
    "message",
    [
        p.AskHello(id=1),
        p.AskOpen(id=2, client="c", base_url="http://127.0.0.1:1", api_key=None, mode="async"),
        p.AskCall(id=3, client="c", operation="x", arguments={"a": [1, None, "é", "\ud800"]}),
        p.AskCalls(id=4, client="c", calls=(p.OneCall(operation="x"),), concurrency=3),
        p.AskCancel(id=5, client="c", operation="x", at_sleep=2),
        p.AskClose(id=6, client="c"),
        p.AskStop(id=7),
    ],
    ids=lambda m: m.do,
)
def test_a_request_survives_its_line(message: p.Ask) -> None:
    """A request that is written and read again is the same request, whatever its arguments."""
    line = p.encode(message)
    assert (line.count(b"\n"), p.decode_request(line)) == (1, message)


def test_a_reply_survives_its_line() -> None:
    """A reply that is written and read again is the same reply."""
    error = p.ErrorInfo(name="E", module="m", bases=("Exception",), message="no", attributes={})
    reply = p.ReplyCall(
        id=9,
        outcome=p.OutcomeInfo(kind="error", error=error),
        started=1.5,
        ended=2,
        sleeps=(p.SleepInfo(at=1.6, seconds=30.0),),
    )
    assert p.decode_reply(p.encode(reply)) == reply


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b"not json\n", "json"),
        (b"[1,2]\n", "valid"),
        (b'{"id":1,"reply":"stop","extra":1}\n', "extra"),
        (b'{"id":"1","reply":"stop"}\n', "int"),
        (b'{"id":1,"reply":"nonsense"}\n', "nonsense"),
        (b'{"id":1,"reply":"problem"}\n', "problem"),
        (b'{"id":1,"reply":"stop","x":' + b"[" * 5000 + b"]" * 5000 + b"}\n", "recursion"),
        (b" " * (p.MAX_LINE + 1), "16777216"),
    ],
)
def test_a_wrong_reply_is_refused_in_words(line: bytes, says: str) -> None:
    """A line that is no reply raises ValueError, and the text says what is wrong."""
    with pytest.raises(ValueError, match=f"(?i){says}"):
        p.decode_reply(line)


def test_every_request_has_its_reply() -> None:
    """The table of replies covers each request, and names only replies that exist."""
    asks = {m.model_fields["do"].default for m in p.Ask.__subclasses__()}
    replies = {m.model_fields["reply"].default for m in p.Reply.__subclasses__()}
    assert set(p.EXPECTED) == asks
    assert set(p.EXPECTED.values()) | {"problem"} == replies


def test_the_historys_outcome_keeps_everything() -> None:
    """An outcome handed to the oracles has all that the driver said of the exception."""
    error = p.ErrorInfo(
        name="E", module="m", message="no", text="t", representation="r", cause="C",
        picklable=False, copyable=True, fault="why", where="m:3", attributes={"status": 4},
    )  # fmt: skip
    raised = p.OutcomeInfo(kind="error", error=error).as_outcome().error
    assert raised is not None
    shared = {k: v for k, v in error.model_dump().items() if k != "causes"}
    assert {k: getattr(raised, k) for k in shared} == shared


def _conversation() -> list[tuple[str, str]]:
    """The lines of the document's example: (arrow, JSON)."""
    text = SCHEMA.with_name("PROTOCOL.md").read_text(encoding="utf-8")
    found: list[tuple[str, str]] = []
    for line in text.splitlines():
        if line.startswith(("    → ", "    ← ")):
            found.append((line[4], line[6:]))
        elif line.startswith("       ") and found:
            found[-1] = (found[-1][0], found[-1][1] + line.strip())
    return found


def test_the_documents_conversation_is_of_the_protocol() -> None:
    """Each request in the document is one, each answer is its reply, and all kinds are shown."""
    lines = _conversation()
    asked = [p.decode_request(text.encode()) for arrow, text in lines if arrow == "→"]
    answered = [p.decode_reply(text.encode()) for arrow, text in lines if arrow == "←"]
    assert [a.id for a in asked] == [a.id for a in answered] == list(range(1, 9))
    assert {a.do for a in asked} == set(p.EXPECTED)
    for ask, answer in zip(asked, answered, strict=True):
        assert answer.reply in (p.EXPECTED[ask.do], "problem")


HALVES = [
    (r"a\ud800b", "a\ufffdb"),
    (r"\udc00x", "\ufffdx"),
    (r"\ud83d\ude00", "\U0001f600"),
    (r"\\ud800", "\\ud800"),
    (r"\\\ud800", "\\\ufffd"),
    (r"\ud800\ud83d\ude00", "\ufffd\U0001f600"),
    (r"\ud83d\ude00\ude00", "\U0001f600\ufffd"),
]


@pytest.mark.parametrize(("written", "read"), HALVES)
def test_half_of_a_surrogate_pair_is_read_as_a_replacement_character(
    written: str, read: str
) -> None:
    """Languages whose strings may hold one half of a pair do not break the protocol by it."""
    line = f'{{"id": 1, "reply": "problem", "problem": "{written}"}}'.encode()
    assert p.decode_reply(line) == p.ReplyProblem(id=1, problem=read)
