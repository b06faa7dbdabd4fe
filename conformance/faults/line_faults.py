"""Fault classes about how it is answered: framing, headers, the network, waits, quotas, streams."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from conformance.faults.fault import (
    Build,
    FaultClass,
    always,
    first,
    has_body,
    plays,
    success,
    success_status,
)
from conformance.faults.script import (
    Effect,
    Instruction,
    Stage,
    close,
    garbage,
    late,
    refuse,
    reset,
    respond,
    stall,
    trickle,
    truncate,
)
from specs import Contract, Operation, quotas


def _framings() -> Iterator[FaultClass]:
    def harmed(name: str, words: str, effect: Effect, **more: Any) -> FaultClass:
        def build(contract: Contract, operation: Operation) -> Instruction:
            whole = replace(effect, status=success_status(operation))
            return first(operation, whole, Stage.AFTER_COMMIT)

        return FaultClass(f"framing-{name}", "framing", words, build, has_body, **more)

    yield harmed("chunked", "Sends the answer in chunks.", respond(200, framing="chunked"))
    yield harmed("until-close", "Gives no length; the end of the connection is the end.",
                 respond(200, framing="close"), core=True)  # fmt: skip
    yield harmed("endless", "Gives no length and never ends the connection.",
                 respond(200, framing="none"), timeout=True)  # fmt: skip
    for name, words, values in (
        ("lengths-differ", "Gives two different lengths.", ("5", "7")),
        ("length-too-long", "Announces more than it sends, and keeps the connection.", ("99999",)),
        ("length-too-short", "Announces less than it sends.", ("1",)),
        ("length-negative", "Announces a negative length.", ("-1",)),
        ("length-garbage", "Announces a length that is no number.", ("many",)),
        ("length-huge", "Announces a length of 400 digits.", ("9" * 400,)),
    ):
        headers = tuple(("content-length", value) for value in values)
        waits = name in ("length-too-long", "length-huge")
        yield harmed(name, words, respond(200, headers=headers), timeout=waits)
    yield harmed("length-and-chunked", "Gives a length and chunks at once.",
                 respond(200, headers={"content-length": "3"}, framing="chunked"))  # fmt: skip

    def doubled(contract: Contract, operation: Operation) -> Instruction:
        headers = (("content-length", "2"), ("content-length", "2"))
        return first(
            operation, respond(success_status(operation), b"{}", headers), Stage.AFTER_COMMIT
        )

    yield FaultClass("framing-length-twice", "framing", "Gives the same length twice.",
                     doubled, has_body)  # fmt: skip
    yield FaultClass(
        "framing-bad-chunk", "framing", "Sends junk where the next chunk should begin.",
        plays(garbage(framing="chunked"), Stage.MID_RESPONSE), has_body,
    )  # fmt: skip
    yield FaultClass(
        "framing-chunks-cut", "framing", "Ends the connection between two chunks.",
        plays(truncate(framing="chunked"), Stage.MID_RESPONSE), has_body,
    )  # fmt: skip


_JUNK: tuple[tuple[str, str, tuple[tuple[str, str], ...]], ...] = (
    ("many", "2,000 headers", tuple((f"x-h{n}", "v") for n in range(2000))),
    ("long", "a header of 1 MB", (("x-long", "a" * 10**6),)),
    ("space", "a header name with a space", (("x y", "1"),)),
    ("empty-name", "a header without a name", (("", "1"),)),
    ("latin", "a header with bytes beyond ASCII", (("x-name", "caf\xe9"),)),
    ("nul", "a header with a NUL", (("x-nul", "a\x00b"),)),
    ("fold", "a header folded over two lines", (("x-fold", "a\r\n b"),)),
    ("twice-type", "two content types", (("content-type", "text/html"),
                                         ("content-type", "application/json"))),
    ("no-type", "no content type", (("content-type", "{drop}"),)),
    ("bad-date", "a date that is none", (("date", "yesterday"),)),
)  # fmt: skip


def _junk() -> Iterator[FaultClass]:
    for name, words, headers in _JUNK:

        def build(
            contract: Contract,
            operation: Operation,
            headers: tuple[tuple[str, str], ...] = headers,
        ) -> Instruction:
            effect = respond(success_status(operation), headers=headers)
            return first(operation, effect, Stage.AFTER_COMMIT)

        yield FaultClass(f"headers-{name}", "headers", f"Answers with {words}.", build, has_body)


# --- the network ----------------------------------------------------------------------------------


def _network() -> Iterator[FaultClass]:
    yield FaultClass(
        "network-refused", "network", "Has nobody listening: every connection is refused.",
        lambda contract, operation: Instruction(None, None, None, Stage.BEFORE_ACCEPT, refuse()),
        always, core=True,
    )  # fmt: skip
    for stage, kind, words, core in _ROUGH:
        inside = stage is Stage.MID_RESPONSE
        effect = {"reset": reset(), "close": close(), "truncate": truncate(),
                  "garbage": garbage()}[kind]  # fmt: skip
        yield FaultClass(
            f"network-{kind}-{stage}", "network", words, plays(effect, stage),
            has_body if inside else always, core=core,
            calls=2 if stage is Stage.AFTER_RESPONSE else 1,
            once=stage is Stage.AFTER_RESPONSE,
        )  # fmt: skip
    for stage in (
        Stage.BEFORE_ACCEPT, Stage.BEFORE_HANDLER, Stage.AFTER_COMMIT, Stage.MID_RESPONSE,
    ):  # fmt: skip
        yield FaultClass(
            f"network-stall-{stage}", "network", f"Falls silent for ever, {stage}.",
            plays(stall(), stage), has_body if stage is Stage.MID_RESPONSE else always,
            core=stage is Stage.BEFORE_HANDLER, timeout=True,
        )  # fmt: skip
    yield FaultClass(
        "network-stall-in-head", "network", "Falls silent inside the status line.",
        plays(stall(after=10)), always, timeout=True,
    )  # fmt: skip
    for stage, words in ((Stage.AFTER_COMMIT, "the whole answer"), (Stage.MID_RESPONSE, "a body")):
        yield FaultClass(
            f"network-trickle-{stage}", "network", f"Sends {words} byte by byte.",
            plays(trickle(0.0), stage),
            has_body if stage is Stage.MID_RESPONSE else always,
        )  # fmt: skip


def _slow_connects() -> Iterator[FaultClass]:
    for name, words, seconds in (
        ("late", "Takes the connection a second late.", 0.1),
        ("never", "Never takes the connection: connecting hangs.", None),
    ):
        yield FaultClass(
            f"connect-{name}", "connect", words, _late(seconds), always,
            timeout=seconds is None, bulky=seconds is not None,
        )  # fmt: skip


def _late(seconds: float | None) -> Build:
    made = Instruction(None, None, None, Stage.BEFORE_ACCEPT, late(seconds))
    return lambda contract, operation: made


_ROUGH = (
    (Stage.BEFORE_ACCEPT, "reset", "Resets the connection before the request is read.", False),
    (Stage.BEFORE_ACCEPT, "close", "Closes the connection before the request is read.", False),
    (Stage.BEFORE_HANDLER, "reset", "Resets the connection; nothing was changed.", True),
    (Stage.BEFORE_HANDLER, "close", "Closes the connection; nothing was changed.", True),
    (Stage.BEFORE_HANDLER, "truncate", "Ends the connection inside the head.", False),
    (Stage.BEFORE_HANDLER, "garbage", "Answers with bytes that are no HTTP.", True),
    (Stage.AFTER_COMMIT, "reset", "Does what was asked, then resets the connection.", True),
    (Stage.AFTER_COMMIT, "close", "Does what was asked, then closes the connection.", False),
    (Stage.AFTER_COMMIT, "truncate", "Does what was asked, ends inside the head.", False),
    (Stage.AFTER_COMMIT, "garbage", "Does what was asked, answers with no HTTP.", False),
    (Stage.MID_RESPONSE, "reset", "Resets the connection inside the body.", True),
    (Stage.MID_RESPONSE, "truncate", "Closes the connection inside the body.", True),
    (Stage.MID_RESPONSE, "garbage", "Fills the rest of the body with junk.", False),
    (Stage.AFTER_RESPONSE, "close", "Closes a connection that it promised to keep.", True),
    (Stage.AFTER_RESPONSE, "reset", "Resets a connection that it promised to keep.", False),
    (Stage.AFTER_RESPONSE, "garbage", "Sends junk after the answer.", False),
)  # fmt: skip


# --- waits and quotas -----------------------------------------------------------------------------

RETRY_AFTER: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("seconds", "2 seconds", ("2",)),
    ("minute", "60 seconds", ("60",)),
    ("zero", "0 seconds", ("0",)),
    ("decimal", "1.5 seconds", ("1.5",)),
    ("imf-date", "a date 30 s ahead (IMF-fixdate)", ("{imf+30}",)),
    ("rfc850-date", "a date 30 s ahead (RFC 850)", ("{rfc850+30}",)),
    ("asctime-date", "a date 30 s ahead (asctime)", ("{asctime+30}",)),
    ("past-date", "a date an hour ago", ("{imf-3600}",)),
    ("far-date", "a date a year ahead", ("{imf+31536000}",)),
    ("day", "86,400 seconds", ("86400",)),
    ("years", "315,360,000 seconds, which are ten years", ("315360000",)),
    ("negative", "less than no time", ("-5",)),
    ("garbage", "a word", ("soon",)),
    ("empty", "nothing", ("",)),
    ("infinite", "infinity", ("inf",)),
    ("nan", "not a number", ("nan",)),
    ("exponent", "a number with an exponent", ("1e3",)),
    ("hex", "a hexadecimal number", ("0x10",)),
    ("digits", "400 digits", ("9" * 400,)),
    ("twice", "two different times", ("1", "3")),
    ("list", "two times in one header", ("1, 3",)),
)
_CORE_WAITS = ("seconds", "zero", "imf-date", "past-date", "negative", "garbage", "digits")


def _waits() -> Iterator[FaultClass]:
    for status in (429, 503, 500, 413):
        for name, words, values in RETRY_AFTER:
            headers = tuple(("retry-after", value) for value in values)
            yield FaultClass(
                f"retry-after-{name}-{status}", "retry-after",
                f"Answers {status} and asks to wait for {words}.",
                plays(respond(status, headers=headers)), always,
                core=status in (429, 503) and name in _CORE_WAITS,
            )  # fmt: skip
        yield FaultClass(
            f"retry-after-absent-{status}", "retry-after",
            f"Answers {status} without saying how long to wait.",
            plays(respond(status)), always, core=status in (429, 503),
        )  # fmt: skip


_FIGURES: tuple[tuple[str, str, str | None], ...] = (
    ("right", "as declared", None),
    ("absent", "left out", "{drop}"),
    ("empty", "empty", ""),
    ("garbage", "words", "plenty"),
    ("huge", "400 digits long", "9" * 400),
    ("negative", "negative", "-1"),
    ("decimal", "not whole", "1.5"),
    ("nan", "not a number", "nan"),
    ("list", "lists", "1, 2"),
)


def _figures() -> Iterator[FaultClass]:
    for group, named, applies in (
        ("rate-limit", rate_limit_headers, _has_rate_limit),
        ("usage", _usage_headers, _has_usage),
    ):
        for name, words, value in _FIGURES:
            for status in (None, 429):
                yield FaultClass(
                    f"{group}-{name}-{status or 'success'}", group,  # type: ignore[arg-type]
                    f"Answers {status or 'well'}; the {group} headers are {words}.",
                    _figured(named, value, status), applies,
                    core=name in ("absent", "garbage") and status is None,
                )  # fmt: skip


def _figured(
    named: Callable[[Operation], tuple[str, ...]], value: str | None, status: int | None
) -> Build:
    """Return what gives all these headers one value; None: each a right one of its own."""

    def build(contract: Contract, operation: Operation) -> Instruction:
        headers = tuple(
            (name, _right(operation, name, place) if value is None else value)
            for place, name in enumerate(named(operation))
        )
        if status is not None:
            return first(operation, respond(status, headers=headers))
        return first(
            operation, respond(success_status(operation), headers=headers), Stage.AFTER_COMMIT
        )

    return build


def _right(operation: Operation, name: str, place: int) -> str:
    """Return a value that a quota or usage header may well have."""
    limit, usage = operation.rate_limit, operation.usage
    if usage is not None and usage.plan is not None and name == usage.plan.lower():
        return "pro"
    written = quotas.write(limit, quotas.Figures(142, 135, 60), quotas.ahead) if limit else []
    return dict(written).get(name, str(142 - 7 * place))


def rate_limit_headers(operation: Operation) -> tuple[str, ...]:
    """Return the names of the quota headers that an operation declares, lower case."""
    return quotas.names(operation.rate_limit) if operation.rate_limit is not None else ()


def _usage_headers(operation: Operation) -> tuple[str, ...]:
    declared = operation.usage
    if declared is None:
        return ()
    figures = [name for f in declared.figures for name in (f.used, f.limit)]
    return tuple(n.lower() for n in (declared.plan, *figures) if n)


def _has_rate_limit(contract: Contract, operation: Operation) -> bool:
    return bool(rate_limit_headers(operation))


def _has_usage(contract: Contract, operation: Operation) -> bool:
    return bool(_usage_headers(operation))


# --- streams --------------------------------------------------------------------------------------


def _streams(contract: Contract, operation: Operation) -> bool:
    return operation.stream is not None


def _broken_streams() -> Iterator[FaultClass]:
    for name, words, effect in (
        ("reset", "Resets the connection inside a stream.", reset()),
        ("truncate", "Ends the connection inside a stream.", truncate()),
        ("garbage", "Sends junk inside a stream.", garbage()),
        ("trickle", "Sends a stream byte by byte.", trickle(0.0)),
    ):
        yield FaultClass(
            f"stream-{name}", "stream", words, plays(effect, Stage.MID_RESPONSE), _streams,
            core=True,
        )  # fmt: skip
    yield FaultClass(
        "stream-stall", "stream", "Falls silent inside a stream.",
        plays(stall(), Stage.MID_RESPONSE), _streams, timeout=True,
    )  # fmt: skip
    for name, words, data in (
        ("bad-json", "an event that is not JSON", b"data: {oops\n\n"),
        ("no-data", "events without data, comments and blank lines", b": hi\n\n\nevent: x\n\n"),
        ("error-event", "an error in place of a piece", b'data: {"error":{"code":"busy"}}\n\n'),
        ("crlf", "lines that end in CR LF", b'data: {"x":1}\r\n\r\n'),
        ("done-word", "the word [DONE] as an event", b"data: [DONE]\n\n"),
    ):
        headers = {"content-type": "text/event-stream"}
        yield FaultClass(
            f"stream-{name}", "stream", f"Streams {words}.", success(data, headers), _streams
        )


def table() -> Iterator[FaultClass]:
    """Yield every class of this module, in a fixed order."""
    yield from _framings()
    yield from _junk()
    yield from _network()
    yield from _slow_connects()
    yield from _waits()
    yield from _figures()
    yield from _broken_streams()
