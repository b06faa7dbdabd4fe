"""The worked driver for another language: it keeps the protocol, and its SDK is really judged."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

import conformance.drivers
import specs
from conformance.drivers.process import DriverProcess
from conformance.faults.script import Script
from conformance.faults.testbench import Testbench
from conformance.sdk.suite import run_release
from conformance.verdict import Verdict

NODE = shutil.which("node")
FOLDER = Path(conformance.drivers.__file__).parent / "examples" / "node"
EVENT = {"user_id": "u", "type": "message", "content": "h\u00e9llo"}
pytestmark = pytest.mark.skipif(NODE is None, reason="node is not installed")


def command(folder: Path = FOLDER) -> list[str]:
    """Return the command that starts the driver in a folder."""
    return [str(NODE), str(folder / "driver.mjs"), "--time-scale", "0.001"]


def test_a_driver_is_at_most_120_lines() -> None:
    """What we ask of an author in another language is as little as we say."""
    assert len((FOLDER / "driver.mjs").read_text().splitlines()) <= 120


def test_the_driver_tells_what_its_sdk_did() -> None:
    """Value, error, waits and both clocks come through, and fit what the testbench saw."""
    script = Script.parse("ingest#2 429 retry-after=90; recall 404")
    with Testbench() as bench, DriverProcess(command()) as driver:
        session = bench.session(specs.load("claiv"), script)
        client = driver.open(session.base_url, "sk_1", "async")
        assert isinstance(client, str)
        plain, waited = (driver.call(client, "ingest", EVENT) for _ in range(2))
        failed = driver.call(client, "recall", {"user_id": "u", "task": "t", "token_budget": 500})
        first, second, third, fourth = session.exchanges()
        driver.close(client)
        assert session.wait_for(lambda s: s.connections.open == 0)
    assert (plain.outcome.kind, plain.sleeps) == ("value", ())
    (pause,) = waited.sleeps
    assert 90 <= pause.seconds <= 95
    assert second.received <= waited.sleeps[0].at <= third.sent
    assert first.request.json() == EVENT
    assert failed.outcome.error is not None
    assert failed.outcome.error.name == "ClaivApiError"
    assert failed.outcome.error.bases == ("ClaivError", "Error")
    assert failed.outcome.error.attributes["status"] == fourth.status == 404
    assert failed.started <= fourth.sent <= failed.ended


def test_half_a_surrogate_pair_does_not_break_the_protocol() -> None:
    """Strings that only JavaScript has are told as near as JSON in UTF-8 can."""
    with Testbench() as bench, DriverProcess(command()) as driver:
        body = b'{"event_id":"a\\ud800b","deduped":false,"x":"\\\\ud800"}'
        session = bench.session(specs.load("claiv"), default=lambda *_: (200, {}, body))
        client = driver.open(session.base_url, "sk_1", "async")
        assert isinstance(client, str)
        told = driver.call(client, "ingest", EVENT).outcome.value
    assert told == {"event_id": "a\ufffdb", "deduped": False, "x": "\\ud800"}


def test_an_sdk_in_another_language_can_conform() -> None:
    """The example keeps all that its contract promises, and nothing stays untested but by reason.

    Promises about blocking clients are not applicable to a language that has none.
    """
    (entry,) = run_release(None, command(), "claiv")
    verdicts = {r.id: r.verdict for r in entry.requirements}
    assert list(entry.findings) == []
    assert set(verdicts.values()) <= {Verdict.PASS, Verdict.NOT_APPLICABLE}
    assert sum(v is Verdict.PASS for v in verdicts.values()) >= 40


BROKEN = [
    # what is changed in the SDK, the cases that must notice, the requirement
    (r"maxRetries = 2", "maxRetries = 1", "retry.default", "RT1"),
    (r"answer\.status === 429 \|\| ", "", "retry.statuses", "RT5"),
    (r"wish === undefined \? .* : spread\(wish\)", "backoff(1)", "retry-after.seconds", "RA4"),
    (r"encodeURIComponent\(id\)", "id", "wire.encoding", "WR8"),
    (r"if \(!open\) headers", "if (open) headers", "wire.request", "AU1"),
    (r"throw new ClaivNetworkError\(", "throw new TypeError(", "errors.network", "ER9"),
    (r"this\.#agent\.destroy\(\);", "", "robust.closing", "RB10"),
]


@pytest.mark.parametrize(("old", "new", "case", "requirement"), BROKEN)
def test_a_broken_sdk_in_another_language_is_noticed(
    tmp_path: Path, old: str, new: str, case: str, requirement: str
) -> None:
    """Each way of breaking the example is a finding against the promise that it breaks."""
    shutil.copytree(FOLDER, tmp_path / "sdk")
    source = tmp_path / "sdk" / "claiv.mjs"
    changed, count = re.subn(old, lambda _: new, source.read_text())
    assert count == 1
    source.write_text(changed)
    (entry,) = run_release(None, command(tmp_path / "sdk"), "claiv", select=[case])
    assert requirement in {finding.requirement for finding in entry.findings}
