"""Stand-alone scripts: short, of the SDK and the standard library only, and they tell the truth."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import specs
from conformance import claims as c
from conformance.claims import Base
from conformance.drivers.environment import EnvironmentUnavailable, prepare
from conformance.drivers.hosting.table import Operation as Row
from conformance.drivers.hosting.table import Option, Shape, Table, Way
from conformance.faults.script import Script
from conformance.sdk import run_release
from conformance.sdk.reproduce import LONGEST, Unwritable, Witness, script
from conformance.sdk.telling import About, told
from specs.sources import spelt

CLAIV = specs.load("claiv")
TABLE = Table(
    api="claiv", package="claiv-memory", module="claiv",
    clients={"sync": "ClaivClient", "async": "AsyncClaivClient"},
    operations={"ingest": Row(Way("ingest", Shape(rest="dict")))},
    options={
        "api-key": Option("api_key"), "base-url": Option("base_url"),
        "max-retries": Option("max_retries"),
    },
)  # fmt: skip
FAKE = """
import http.client, json, urllib.parse
class ClaivError(Exception):
    pass
class ClaivClient:
    def __init__(self, *, api_key, base_url, max_retries=2):
        self.at = urllib.parse.urlsplit(base_url)
    def ingest(self, request):
        link = http.client.HTTPConnection(self.at.hostname, self.at.port)
        link.request("POST", "/v1/ingest", json.dumps(request))
        answer = link.getresponse()
        if answer.status == 500:
            raise ClaivError(answer.read())
        return answer.status, answer.read()
class AsyncClaivClient(ClaivClient):
    async def ingest(self, request):
        return super().ingest(request)
"""


VALUE = c.ValueInstead("ClaivError", "status 503", "5XX", "5XX")
LEAK = c.Leaked("ClaivError", "OSError", "OSError", "a reset", "ClaivError")


def witness(text: str, mode: str = "sync", claim: Base = VALUE) -> Witness:
    """Return a call of `ingest` under a fault script."""
    return Witness(
        CLAIV["ingest"], mode, {"user_id": "u", "content": "hé"}, {"max-retries": 0},
        Script.parse(text), None, (), claim=claim, expected="ClaivError (documented)", sent=1,
    )  # fmt: skip


def shown(text: str, folder: Path, python: Path | str = sys.executable) -> tuple[int, str]:
    """Run a script and return its exit code and last line."""
    (folder / "show.py").write_text(text)
    done = subprocess.run(
        [python, "show.py"], cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.stderr == ""
    return done.returncode, done.stdout.splitlines()[-1]


@pytest.mark.parametrize("mode", ["sync", "async"])
@pytest.mark.parametrize(("status", "code"), [(503, 1), (500, 0)])
def test_a_script_says_whether_it_shows(tmp_path: Path, mode: str, status: int, code: int) -> None:
    """Exit 1 and the contradiction in the last line where it shows; exit 0 where it does not."""
    (tmp_path / "claiv.py").write_text(FAKE)
    text = script(CLAIV, TABLE, witness(f'ingest {status} body="busy"', mode), "claiv: ER1 (abc)")
    seen = {503: "returned (503, b'busy')", 500: "raised claiv.ClaivError: b'busy'"}[status]
    assert shown(text, tmp_path) == (code, f"expected: ClaivError (documented); seen: {seen}")


FAULTS = ["* before-accept refuse", "ingest reset", "ingest stall", "",
          "ingest#1 mid-response truncate", "ingest 429 retry-after={imf+30}",
          "ingest close", "ingest#1+ mid-response trickle size=150 seconds=0.01"]  # fmt: skip


@pytest.mark.parametrize("mode", ["sync", "async"])
@pytest.mark.parametrize("text", FAULTS)
def test_scripts_are_short(text: str, mode: str) -> None:
    """Every script fits on a screen and compiles, whatever its server has to do."""
    made = script(
        CLAIV,
        TABLE,
        witness(text, mode, {"sync": c.Unpicklable("E", "pickled", "…"), "async": LEAK}[mode]),
        "title",
    )
    compile(made, "show.py", "exec")
    assert made.count("\n") <= LONGEST
    assert max(map(len, re.sub(r"(?m)^    .*,$", "", made).splitlines())) <= 120


MIXED = [
    "ingest#1 stall ; ingest#2 reset",
    "ingest#1 reset ; ingest#2 503",
    "ingest#1 stall ; ingest#2 503",
]


@pytest.mark.parametrize("text", MIXED)
def test_a_script_answers_in_several_ways(text: str) -> None:
    """Resets, silence and answers may follow each other."""
    made = script(CLAIV, TABLE, witness(text), "title")
    for word, kind in (("'reset'", "reset"), ("'silence'", "stall"), ("HTTP/1.1 503", "503")):
        assert (word in made) == (kind in text)


def test_a_script_answers_as_the_call_was_answered() -> None:
    """Attempts that were not harmed succeed, and what earlier calls took is not given again."""
    made = Script.parse("ingest#1 503; ingest#2 500; ingest#4 502")
    later = replace(witness(""), script=made, before=("ingest", "other", "ingest"))
    text = script(CLAIV, TABLE, later, "title")
    answers = re.findall(r"^    b'HTTP/1.1 (\d+)", text, re.MULTILINE)
    assert ["200", "502", "200"] == answers


def test_a_refused_connection_is_shown_at_a_closed_port(tmp_path: Path) -> None:
    """Where nobody listens, the script closes its server before it calls."""
    (tmp_path / "claiv.py").write_text(FAKE)
    text = script(CLAIV, TABLE, witness("* before-accept refuse", claim=LEAK), "title")
    assert "Thread" not in text
    code, line = shown(text, tmp_path)
    assert (code, "ConnectionRefusedError" in line) == (1, True)


def test_a_redirect_points_to_the_script_itself(tmp_path: Path) -> None:
    """A location below the server's own URL is written with the URL that the script has."""
    (tmp_path / "claiv.py").write_text(
        FAKE.replace("answer.read()", "answer.getheader('location')")
    )
    given = witness('ingest 302 location="{base}{target}" body=""', claim=c.UnfollowedRedirect(302))
    code, line = shown(script(CLAIV, TABLE, given, "title"), tmp_path)
    assert code == 1
    assert re.search(r"returned \(302, 'http://127.0.0.1:\d+/moved'\)$", line)


def test_long_runs_are_multiplied() -> None:
    """A body of five thousand digits is written as a product."""
    made = script(CLAIV, TABLE, witness('ingest 200 body="' + "9" * 5000 + '"'), "title")
    assert "b'9' * 5000" in made


@pytest.mark.parametrize(
    "text", ["ingest#1 trickle", "ingest 200 framing=chunked", "ingest 302 location={other}/x"]
)
def test_what_a_socket_server_cannot_show(text: str) -> None:
    """Faults beyond a plain server have no script, and the reason is said."""
    with pytest.raises(Unwritable):
        script(CLAIV, TABLE, witness(text), "title")


LOOKED: list[tuple[Base | None, str]] = [
    (c.Early(3, 2.0, "", 1.0, True), "sum(waits[1:2]) < 1.99"),
    (c.TooLong(2, 2.0, "", 3.0), "sum(waits[0:1]) > 2.1"),
    (c.WrongAttribute("E", "retry_after", "7", '"7"', "header:retry-after", "null"),
     "getattr(error, 'retry_after', None) not in ['7', 7.0]"),
    (c.WrongTarget("GET /v1/a/{id}", "GET /v6/a/{id}", "", "get:GET /v6/a/{id}"),
     "not re.match('GET /v1/a/[^/ ]+[ ?]', requests[0][0][0])"),
    (c.WrongBody("create", "/", "additionalProperties", ("ttl",), False, "…"),
     "bool({'ttl'} & set(json.loads(requests[0][1])))"),
    (c.WrongFigure("usage.plan", "x-plan", "pro", "None"),
     "str(getattr(getattr(result, 'usage', None), 'plan', None)) != 'pro'"),
    (c.NotRead("usage", "observed", "usage.plan", "pro", ("x-plan",), ("usage.plan",)),
     "str(getattr(getattr(result, 'usage', None), 'plan', None)) != 'pro'"),
    (c.WrongBody("create", "/tags", "minItems", (), False, "…"),
     "len(requests) == 2 and names[0] == 'Odd'"),
    (c.WrongDefault("search", "threshold", 0.3, "0.5"), "str(given) != '0.3'"),
    (c.InventedValue("add", "success", "yes"),
     "error is None and bool(getattr(result, 'success', None))"),
    (c.InventedValue("add", "", "<html>"), "isinstance(result, str)"),
    (None, "len(requests) == 2 and names[0] == 'Odd'"),
]  # fmt: skip


@pytest.mark.parametrize(("claim", "shows"), LOOKED, ids=repr)
def test_what_is_looked_at(claim: Base | None, shows: str) -> None:
    """Each claim has its own look; one without is seen by how the call ends."""
    made = told(About(claim, "Base", sent=2, raised="Odd"))
    assert made.shows == shows
    compile(made.seen, "seen", "eval")
    compile(made.shows, "shows", "eval")


# --- against the published releases ---------------------------------------------------------------

RELEASES = {
    "sovant==1.3.3": ("surface.exceptions", "surface.options", "surface.methods", "wire.request"),
    "claiv-memory==0.2.1": ("retry.cap", "robust.slow-body", "wire.encoding", "errors.unsure"),
    "memsy==0.3.1": ("headers.surfaced", "retry-after.spread"),
    "octamem==1.1.2": ("errors.network", "answers.odd", "errors.documented"),
}
"""Release -> cases that find one of each kind: names, retries, errors, headers, bodies, leaks."""


@pytest.mark.parametrize("release", RELEASES)
def test_scripts_show_what_the_findings_say(release: str, tmp_path: Path) -> None:
    """Run with nothing but the published release, each script shows its finding: exit 1."""
    try:
        python = prepare(release).python
    except EnvironmentUnavailable as why:
        pytest.skip(str(why))
    [entry] = run_release(release, select=RELEASES[release])
    scripts = entry.details["reproductions"]
    assert set(scripts) == {f.id for f in entry.findings}
    kinds = {f.cause.partition(":")[0]: f for f in entry.findings}
    assert len(kinds) >= 2
    for finding in kinds.values():
        text = scripts[finding.id]
        assert text.count("\n") <= LONGEST
        roots = {n.split(".")[0] for line in text.splitlines() if line.startswith("import ")
                 for n in line.split("  #")[0].removeprefix("import ").split(", ")}  # fmt: skip
        own = roots - set(sys.stdlib_module_names)
        assert own == {entry.name.split("-")[0]}
        code, line = shown(text, tmp_path, python)
        assert (finding.cause, code) == (finding.cause, 1)
        assert line.startswith(f"expected: {' '.join(spelt(str(finding.expected)).split())[:40]}")
