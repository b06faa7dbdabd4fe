"""A recorded run that was cut off and gone on with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from conformance.backend import recording, resuming, suite, teeth
from conformance.backend.subject import BackendSubject
from conformance.backend.transport import Answer, SocketTransport
from conformance.history import Exchange, Response
from conformance.verdict import Verdict


def test_a_run_that_was_cut_off_is_gone_on_with(tmp_path: Path) -> None:
    """What the recording holds whole is not sent again; the rest is, and all is judged as ever."""
    file = tmp_path / "run.jsonl"
    select = ["contract.", "errors."]

    def stop(exchange: Exchange, case: str, at: float) -> None:
        writer(exchange, case, at)
        if subject.exchanged > 60:
            raise KeyboardInterrupt

    with teeth.judged("octamem", seed=5) as subject:
        writer = recording.Recorder(file, subject)
        subject.recorder = stop
        with pytest.raises(KeyboardInterrupt):
            suite.run(subject, select=select)
        subject.recorder = writer
        subject.close()
        writer.close()
        mark, sent = subject.mark, subject.exchanged
    whole = resuming.whole(recording.read(file)[1])
    assert len(whole) > 5
    with teeth.judged("octamem", seed=5) as subject:
        kept = resuming.resume(file, subject)
        writer = recording.Recorder(file, subject, kept)
        live: list[str] = []
        wire = subject.wire
        assert isinstance(wire, SocketTransport)
        exchange = wire.exchange

        def noted(data: bytes, timeout: float, *, fresh: bool = False) -> Answer:
            live.append(subject.case)
            return exchange(data, timeout, fresh=fresh)

        wire.exchange = noted  # type: ignore[method-assign]
        results = suite.run(subject, select=select)
        subject.close()
        writer.close()
        assert subject.mark == mark
    assert {r.verdict for r in results} <= {Verdict.PASS, Verdict.NOT_APPLICABLE}
    assert not set(live) & set(whole)
    assert "probe" in live
    played = recording.judge(file)
    assert [r.verdict for r in results] == [r.verdict for r in suite.run(played, select=select)]
    assert played.exchanged > sent - 20


def test_a_recording_of_another_run_is_not_gone_on_with(tmp_path: Path) -> None:
    """Another seed would send something else: refused, with both seeds in the words."""
    file = tmp_path / "run.jsonl"
    with teeth.judged("octamem", seed=5) as subject:
        recording.Recorder(file, subject).close()
    words = "recorded with seed 5, this run has 6"
    with (
        teeth.judged("octamem", seed=6) as subject,
        pytest.raises(recording.RecordingError, match=words),
    ):
        resuming.resume(file, subject)


def test_a_text_with_other_ends_of_lines_is_one_line(tmp_path: Path) -> None:
    """U+2028 and its like end lines for Unicode and stand inside texts of a recording."""
    file = tmp_path / "run.jsonl"
    with teeth.judged("octamem", seed=5) as subject:
        writer = recording.Recorder(file, subject)
        sent = subject.send("add", {"content": "one\u2028two\x85three\x0bfour"})
        subject.recorder = None
        odd = Response(200, (), '{"said": "one\u2028two\x85three"}'.encode(), True)
        writer(replace(sent, response=odd), "case", 1.0)
        writer(replace(sent, response=odd), "next", 2.0)
        writer.close()
    assert [kept.case for kept in recording.read(file)[1]][-2:] == ["case", "next"]
    assert len(recording.lines_of(file)) == len(file.read_bytes().split(b"\n")) - 1


def _another(first: BackendSubject) -> BackendSubject:
    """Return a new process's view of the server that a run was killed on."""
    keys = [f"{name}={key}" for name, key in first.keys.items()]
    return BackendSubject(
        first.contract, first.base_url, keys, seed=first.seed, quota=first.quota,
        restart=first.restart,
    )  # fmt: skip


@pytest.mark.parametrize("moment", [3, 9, 26])
def test_a_run_that_was_killed_is_gone_on_with_and_accuses_nobody(
    tmp_path: Path, moment: int
) -> None:
    """Killed inside a case, whose keys the server keeps: the second attempt makes other names.

    What the first attempt created is removed by the second, or named where its body, which no
    recording holds, is needed for that.
    """
    file = tmp_path / "run.jsonl"
    select = ["idempotency.concurrent", "idempotency.replay", "state.deleted"]
    for api in ("claiv", "sovant") if moment == 9 else ("claiv",):
        with teeth.judged(api, seed=5) as first:
            killed = _another(first)
            writer = recording.Recorder(file, killed)

            def die(
                exchange: Exchange, case: str, at: float, killed: Any = killed, write: Any = writer
            ) -> None:
                write(exchange, case, at)
                if killed.exchanged >= moment + 3:
                    raise KeyboardInterrupt

            killed.recorder = die
            with pytest.raises(KeyboardInterrupt):
                suite.run(killed, select=select)
            killed.wire.close()
            again = _another(first)
            kept = resuming.resume(file, again)
            writer = recording.Recorder(file, again, kept)
            results = suite.run(again, select=select)
            left = again.close()
            writer.close(whole=True)
            assert {r.verdict for r in results} <= {Verdict.PASS, Verdict.NOT_APPLICABLE}
            assert [] == [each for each in left if not each.startswith(("receipt", "event"))]
            assert 40 > len(left)
        played = recording.judge(file)
        assert [r.verdict for r in results] == [r.verdict for r in suite.run(played, select=select)]
