"""Where texts of others come in and go out: every place is in a table here, with what guards it."""

from __future__ import annotations

import ast
import re
from importlib import import_module
from pathlib import Path

import pytest
from pydantic import BaseModel

import conformance
from conformance import foreign
from conformance.outlets import harmless
from conformance.report import results

ROOT = Path(conformance.__file__).parents[1]
RULES = ("terminal", "lines", "markdown", "xml", "page")
RENDERERS = {
    "ctrf": "lines", "html": "page", "junit": "xml", "markdown": "markdown", "sarif": "lines",
    "text": "terminal", "trend": "page", "badge": "",
}  # fmt: skip
"""Module of `conformance.report` that makes what people read -> its rule; '' shows no such text."""
OWN = "a process of ours, whose output a program reads"
BEHIND = "a command, whose streams are outlets"
RULED = "writes by a rule of `foreign` itself"
WRITERS = {
    "conformance/cli.py": BEHIND, "conformance/commanding.py": BEHIND,
    "conformance/commands.py": BEHIND, "conformance/drafting.py": BEHIND,
    "conformance/drivers/check.py": BEHIND, "conformance/drivers/init.py": BEHIND,
    "conformance/pipelining.py": BEHIND,
    "conformance/progress.py": BEHIND,
    "conformance/sdk/replay.py": BEHIND,
    "conformance/waiving.py": BEHIND, "specs/check.py": BEHIND,
    "conformance/subjects.py": RULED, "load/users.py": RULED,
    "conformance/options.py": OWN, "conformance/reference/backend/serve.py": OWN,
    "conformance/docs/timelines.py": OWN, "load/storm.py": OWN, "load/web.py": OWN,
}  # fmt: skip
"""Module that writes to a standard stream -> what keeps it from steering a terminal."""
APART = ("conformance/drivers/hosting/", "conformance/drivers/examples/", "conformance/outlets.py",
         "conformance/drivers/tables/")  # fmt: skip
"""Run in an SDK's own process, or are the outlets."""


def writes(path: Path) -> bool:
    """True for a module that writes to a standard stream, or makes what does."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if called in ("print", "typer.echo", "Console") or re.fullmatch(
                r"sys\.(stdout|stderr)\.(write|writelines)", called
            ):
                return True
        if isinstance(node, ast.Attribute) and ast.unparse(node) in (
            "sys.stdout.write", "sys.stderr.write"
        ):  # fmt: skip
            return True
    return False


def test_who_writes_to_a_terminal_is_known() -> None:
    """Each module that writes to a standard stream stands in the table, and no other."""
    found = {
        name
        for folder in ("conformance", "load", "specs")
        for path in sorted((ROOT / folder).rglob("*.py"))
        if not (name := path.relative_to(ROOT).as_posix()).startswith(APART) and writes(path)
    }
    assert set(WRITERS) == found
    for name in (n for n, guard in WRITERS.items() if guard is RULED):
        assert re.search(r"from conformance\.foreign import .*\b(lines|terminal)\b",
                         (ROOT / name).read_text("utf-8"))  # fmt: skip


@pytest.mark.parametrize("name", sorted(RENDERERS))
def test_each_renderer_has_its_rule(name: str) -> None:
    """A report is written by the rule of who reads it; a badge shows words of ours only."""
    text = (ROOT / "conformance/report" / f"{name}.py").read_text("utf-8")
    used = {rule for rule in RULES if re.search(rf"\b{rule}\b\)|\b{rule}\(", text)}
    assert not RENDERERS[name] or RENDERERS[name] in used


def test_every_renderer_is_known() -> None:
    """A module with `render` or `show` makes something that people read."""
    folder = ROOT / "conformance" / "report"
    found = {
        p.stem
        for p in folder.glob("*.py")
        if re.search(r"^def (render|show)\(", p.read_text(), re.M)
    }
    assert set(RENDERERS) == found


def test_results_are_the_way_in() -> None:
    """Every model of a result admits what it is given: bounded, and writable as JSON."""
    entries = {
        name for name, each in vars(results).items()
        if isinstance(each, type) and issubclass(each, BaseModel)
        and each.__module__ == results.__name__
    }  # fmt: skip
    assert all(issubclass(getattr(results, name), results.Entry) for name in entries)
    made = results.Entry._enter({"a": "\ud800" + "x" * 100_000, "b": {"\ud800": ["\ud801"]}})
    assert isinstance(made["a"], foreign.Said)
    assert len(made["a"]) < foreign.LONGEST + 100
    ((name, inner),) = made["b"].items()
    assert (foreign.Said, foreign.Said) == (type(name), type(inner[0]))


@pytest.mark.parametrize(
    ("said", "tty", "shown"),
    [
        ("\x1b[31mred\x1b[0m\n", True, "\x1b[31mred\x1b[0m\n"),
        ("\x1b[31mred\x1b[0m\n", False, "\\x1b[31mred\\x1b[0m\n"),
        ("\x1b[2Jconforms (exit 0)", True, "\\x1b[2Jconforms (exit 0)"),
        ("\x1b]8;;http://evil\x07link", True, "\\x1b]8;;http://evil\\x07link"),
        ("\x9b2J\u202eodd\0", True, "\\x9b2J\\u202eodd\\x00"),
        ("a\rb", True, "a\\rb"),
        ("\r\x1b[2K\x1b[1A", True, "\r\x1b[2K\x1b[1A"),
        ("\ud800", False, "\\ud800"),
    ],
)
def test_a_standard_stream_writes_nothing_that_steers(said: str, tty: bool, shown: str) -> None:
    """Whoever forgets a rule: the outlet spells out all that is not our own drawing."""
    assert shown == harmless(said, tty)


def test_rules_are_those_of_one_module() -> None:
    """The table names rules that there are."""
    module = import_module("conformance.foreign")
    assert all(callable(getattr(module, rule)) for rule in RULES)
