"""Fault scripts as values and as text: what they mean, what they refuse, and their round trip."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conformance.faults.script import (
    FRAMINGS,
    KINDS,
    Effect,
    Instruction,
    Playback,
    Script,
    ScriptError,
    Stage,
    close,
    garbage,
    refuse,
    reset,
    respond,
    stall,
    trickle,
    truncate,
)

latin = st.text([chr(n) for n in range(256)], max_size=12)


@st.composite
def effects(draw: st.DrawFn) -> Effect:
    """Any effect that can be made at all."""
    try:
        return Effect(
            kind=draw(st.sampled_from(KINDS)),
            status=draw(st.none() | st.integers(100, 999)),
            headers=tuple(draw(st.lists(st.tuples(latin, latin), max_size=3))),
            body=draw(st.none() | st.binary(max_size=20) | st.text(max_size=9).map(str.encode)),
            after=draw(st.none() | st.integers(0, 10**6)),
            seconds=draw(st.none() | st.floats(0, 1e9)),
            size=draw(st.none() | st.integers(0, 10**8)),
            framing=draw(st.sampled_from(FRAMINGS)),
        )
    except ScriptError:
        return Effect("respond", draw(st.integers(100, 999)))


@st.composite
def instructions(draw: st.DrawFn) -> Instruction:
    """Any instruction that makes sense."""
    name = st.text("az_.-09", max_size=6).map("x".__add__)
    try:
        return Instruction(
            draw(st.none() | name),
            draw(st.none() | st.integers(1, 99)),
            draw(st.none() | st.integers(1, 9)),
            draw(st.sampled_from(Stage)),
            draw(effects()),
        )
    except ScriptError:
        return Instruction.of(respond(503), draw(st.none() | name))


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(instructions(), max_size=5).map(tuple).map(Script))
def test_text_form_round_trips(script: Script) -> None:
    """What a script prints is read back as the same script; cut nowhere, it is the same text."""
    assert script.brief(10**9) == script.short()
    assert Script.parse(script.short()) == script


@given(st.text(max_size=60) | st.lists(st.sampled_from(
    ["a#1", "*", "503", "reset", "after=1", 'x="', ";", "before-accept", "body=base64:%", "=", "#"]
), max_size=6).map(" ".join))  # fmt: skip
def test_any_text_is_a_script_or_an_error_in_words(text: str) -> None:
    """Text that is no script raises ScriptError with a sentence, and nothing else."""
    try:
        script = Script.parse(text)
    except ScriptError as error:
        words = len(str(error).split())
    else:
        words = 3 if Script.parse(script.short()) == script else 0
    assert words > 2


BEFORE, AFTER = Stage.BEFORE_HANDLER, Stage.AFTER_COMMIT
READABLE = [
    (
        "ingest#1 before-handler 503 retry-after=2; ingest#2 after-commit reset",
        Instruction("ingest", 1, 1, BEFORE, respond(503, None, {"retry-after": "2"})),
        Instruction("ingest", 2, 1, AFTER, reset()),
    ),
    (
        "*#2+ before-accept refuse",
        Instruction(None, 2, None, Stage.BEFORE_ACCEPT, refuse()),
    ),
    (
        "recall#1x3 mid-response truncate 200 after=5",
        Instruction("recall", 1, 3, Stage.MID_RESPONSE, truncate(5, 200)),
    ),
    (
        "a.b#next after-response close",
        Instruction("a.b", None, 1, Stage.AFTER_RESPONSE, close()),
    ),
    (
        "* before-handler stall seconds=0.5",
        Instruction(None, None, None, BEFORE, stall(0.5)),
    ),
    (
        'x#1 before-handler 400 header:body=1 body="{\\"a\\":1}" size=50000000 framing=chunked',
        Instruction.of(
            respond(400, {"a": 1}, {"body": "1"}, size=50_000_000, framing="chunked"), "x"
        ),
    ),
    (
        "x#1 mid-response garbage body=base64:/w== after=0",
        Instruction.of(garbage(b"\xff", 0), "x", stage=Stage.MID_RESPONSE),
    ),
    (
        "x#1 after-commit 429 retry-after={imf+30}",
        Instruction.of(respond(429, headers={"retry-after": "{imf+30}"}), "x", stage=AFTER),
    ),
]


@pytest.mark.parametrize("example", READABLE, ids=lambda e: e[0])
def test_text_form_reads_as_it_is_documented(example: tuple[str, Instruction]) -> None:
    """Each written form means this value and is what the value prints."""
    text, *instructions = example
    script = Script.of(*instructions)
    assert Script.parse(text) == script
    assert script.short() == text


def test_long_words_are_cut_for_readers() -> None:
    """A header of a megabyte does not make a report of a megabyte."""
    script = Script.of(Instruction.of(respond(503, b"", {"x-long": "a" * 10**6}), "ingest"))
    wanted = 'ingest#1 before-handler 503 x-long=aaaaaaa…(1000007 characters) body=""'
    assert script.brief(len("before-handler")) == wanted
    assert len(script.brief()) < 150


def test_stage_may_be_left_out() -> None:
    """Without a stage an instruction bites before the handler."""
    assert Script.parse("ingest 503") == Script.parse("ingest before-handler 503")


SENSELESS = [
    ("ingest", "says when but not what"),
    ("#1 503", "is no trigger"),
    ("ingest#0 503", "counted from 1"),
    ("ingest#1x0 503", "less than once"),
    ("ingest#next+ 503", "every next one"),
    ("ingest#1 sideways", "neither a stage"),
    ("ingest#1 before-accept 503", "before the request was read"),
    ("ingest#1 after-commit refuse", "cannot be refused"),
    ("ingest#1 before-accept refuse", "seen by nobody"),
    ("ingest#1 before-accept late", "seen by nobody"),
    ("*#2+ before-accept late", "from its beginning"),
    ("* before-handler late", "made wait"),
    ("*#1 before-accept refuse", "seen by nobody"),
    ("ingest#1 mid-response 503", "`garbage`"),
    ("ingest#1 mid-response close", "`truncate`"),
    ("ingest#1 after-response truncate", "went out whole"),
    ("ingest#1 after-response stall", "nothing to wait for"),
    ("ingest#1 after-response garbage after=3", "nothing to count"),
    ("ingest#1 reset 503", "no answer here"),
    ("ingest#1 42", "three digits"),
    ("ingest#1 stall seconds=nan", "length of time"),
    ("ingest#1 503 seconds=1", "only `stall`"),
    ("ingest#1 503 after=x", "cannot be read"),
    ("ingest#1 503 after=1 after=2", "given twice"),
    ("ingest#1 503 framing=loose", "no such framing"),
    ("ingest#1 503 word", "name=value"),
    ('ingest#1 503 x="open', "not closed"),
    ("ingest#1 503 body=base64:!", "cannot be read"),
    ("ingest#1 truncate 103", "interim"),
    ("ingest#1 503 size=99999999999", "`size`"),
    ("ingest#1 503 x=\"\\u2603\"", "Latin-1"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "words"), SENSELESS)
def test_what_makes_no_sense_is_refused_with_the_reason(text: str, words: str) -> None:
    """A script that cannot be played is refused before it runs, in words."""
    with pytest.raises(ScriptError) as caught:
        Script.parse(text)
    assert words in str(caught.value)


PLAYED = [
    ("a#1 503; a#2 reset", "aaa", [0, 1, None], ()),
    ("a#2 503", "ba", [None, None], (0,)),
    ("*#2 503", "ba", [None, 0], ()),
    ("a#2x2 503", "abaaa", [None, None, 0, 0, None], ()),
    ("a#2+ 503", "aaa", [None, 0, 0], ()),
    ("a 503; a reset", "aa", [0, 0], (1,)),
    ("a#next 503; a#nextx2 reset", "aaaa", [0, 1, 1, None], ()),
    ("a#1x3 503", "aa", [0, 0], (0,)),
    ("b 503", "aa", [None, None], (0,)),
]  # fmt: skip


@pytest.mark.parametrize(("text", "requests", "met", "left"), PLAYED)
def test_requests_meet_instructions_as_documented(
    text: str, requests: str, met: list[int | None], left: tuple[int, ...]
) -> None:
    """Attempts are counted by operation or over all; what was not played is known afterwards."""
    playback = Playback(Script.parse(text))
    assert [playback.next(operation) for operation in requests] == met
    assert playback.unconsumed() == left


COMMITS = [
    ("a 503", False), ("a reset", False), ("a 103", True), ("a stall", False),
    ("a stall seconds=1", True), ("a trickle", True), ("a trickle 500", False),
    ("a after-commit reset", True), ("a after-commit 500", True),
    ("a mid-response truncate", True), ("a mid-response truncate 500", False),
    ("a after-response close", True), ("* before-accept refuse", False),
]  # fmt: skip


@pytest.mark.parametrize(("text", "commits"), COMMITS)
def test_which_faults_let_the_effect_through(text: str, commits: bool) -> None:
    """An instruction says whether its request takes effect although it is harmed."""
    assert Script.parse(text).instructions[0].commits is commits


def test_json_bodies_are_written_for_you() -> None:
    """A body that is neither None nor bytes is sent as JSON."""
    assert respond(200, ["é", None]).body == '["é",null]'.encode()
    assert trickle(body={}).body == b"{}"
