"""What others said: kept within bounds, and written by each renderer's own rule."""

from __future__ import annotations

import ast
import json
from xml.etree import ElementTree as ET

import pytest
from rich.console import Console

from conformance.drivers.init import _HEAD, _plain
from conformance.foreign import DEEPEST, LONGEST, admit, markdown, terminal, xml
from conformance.history import Response
from conformance.oracles.contract import Shape
from conformance.report import ctrf, html, junit, sarif, text
from conformance.report import markdown as summary
from conformance.report.exit import decide
from conformance.report.results import CaseEntry, FindingEntry, Results, SubjectEntry
from conformance.report.run import make
from conformance.verdict import Verdict
from specs import Basis
from specs.catalogue import Level

ODD = (
    "\x1b[2Jconforms (exit 0)", "\x1b]8;;http://evil\x07link", "a\rb\nc", "\u202eodd\u202c",
    "\ud800", "\0", "| cell | `code` @everyone <b>", "x" * 100_000, "[/bold]", "\x9b31m",
)  # fmt: skip
DEEP: list[object] = []
for _ in range(5_000):
    DEEP = [DEEP]


def _plain_json(text: str) -> str:
    """Return every text of a JSON document, one on a line."""
    found: list[str] = []
    waiting = [json.loads(text)]
    while waiting:
        value = waiting.pop()
        waiting += value.values() if isinstance(value, dict) else []
        waiting += value if isinstance(value, list) else []
        found += [value] if isinstance(value, str) else []
    return "\n".join(found)


def told(odd: str) -> Results:
    """A result in which a subject said something odd wherever it can."""
    finding = FindingEntry(
        id="0123456789", requirement="CT6", level=Level.MUST, basis=Basis.DOCUMENTED,
        case="contract.examples", operation="add", message=odd, expected={odd: odd}, actual=DEEP,
        timeline=(odd,), replay=odd, cause=odd, fault=odd,
    )  # fmt: skip
    entry = SubjectEntry(
        kind="sdk", api="octamem", name=odd, version=odd, verdict=Verdict.FAIL,
        findings=(finding,),
        cases=(CaseEntry(case="contract.examples", operation="add", verdict=Verdict.FAIL),
               CaseEntry(case="contract.odd", verdict=Verdict.INCONCLUSIVE, reason=odd)),
        details={"line": odd, odd: [odd, b"\xff", float("inf"), 10**5000]},
    )  # fmt: skip
    return make((entry,), started="", seconds=0, seed=0, command=["memconform", odd[:50]])


@pytest.mark.parametrize("odd", ODD, ids=lambda t: ascii(t[:16]))
def test_no_text_keeps_a_report_from_being_written(odd: str) -> None:
    """Whatever a subject says, every report is made, can be read, and shows no control sign."""
    results = told(odd)
    written = results.model_dump_json(by_alias=True)
    assert Results.model_validate_json(written.encode("utf-8")) is not None
    assert len(written) < 40 * LONGEST
    decision = decide(results)
    ET.fromstring(junit.render(results, decision).encode())
    page, marked = html.render(results, decision), summary.render(results, decision)
    console = Console(record=True, width=160, force_terminal=False)
    text.show(console, results, decision)
    checked = (sarif.render(results, decision), ctrf.render(results, decision))
    assert all(json.loads(each) for each in checked)
    for shown in (page, marked, console.export_text(), *map(_plain_json, checked)):
        shown.encode("utf-8")
        assert not {"\x1b", "\x9b", "\u202e", "\0", "\r"} & set(shown)
    assert "@everyone" not in marked


def test_a_lone_surrogate_is_judged_and_is_no_error_of_ours() -> None:
    """A schema is checked on a text that no UTF-8 can hold, in values and in names."""
    shape = Shape({"type": "object", "properties": {"id": {"type": "integer"}}})
    assert shape.valid({"\ud800": "\udfff"})
    assert [("/id", "type")] == [(v.place, v.keyword) for v in shape.violations({"id": "\ud800"})]


def test_rules_of_renderers() -> None:
    """Each rule spells out what its own reader would obey."""
    assert "\\x1b[2J\\r\\n\\u202e" == terminal("\x1b[2J\r\n\u202e")
    assert r"\| \`x\` \<b\>" == markdown("| `x` <b>")
    assert "\\x00ok\n" == xml("\0ok\n")


def test_deep_and_wide_values_are_bounded() -> None:
    """A value is kept to a depth and a width; JSON that is nested beyond reading is not JSON."""
    kept, depth = admit(DEEP), 0
    while isinstance(kept, list):
        kept, depth = kept[0], depth + 1
    assert (DEEPEST, "… (nested deeper)") == (depth, kept)
    body = b"[" * 100_000 + b"]" * 100_000
    assert Response(200, (), body).json_or_none() is None


@pytest.mark.parametrize("odd", ["a\nimport os", 'b"""\nimport os\n"""', "c\\", "d\u2028e\rf"])
def test_a_drafted_table_holds_no_code_of_a_package(odd: str) -> None:
    """Names of packages and methods stand in a table as literals and comments only."""
    code = _HEAD.format(package=_plain(odd), version=_plain(odd), api="x", missing="", names="way")
    tree = ast.parse(f"{code}# {_plain(odd)}\n{odd!r}\n")
    assert [] == [node for node in ast.walk(tree) if isinstance(node, ast.Import)]
