"""The table of attacks (`tests/HOSTILE.md`) names tests that exist, and every row of the review."""

from __future__ import annotations

import ast
import re
from functools import lru_cache
from importlib import import_module
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
TABLE = (TESTS / "HOSTILE.md").read_text("utf-8")
ROW = re.compile(r"^\| (?P<row>\w+) \| (?P<tried>[^|]+) \| (?P<now>[^|]+) \| (?P<tests>[^|]+) \|$")
ROWS = [row for line in TABLE.splitlines() if (row := ROW.match(line)) and row["row"] != "row"]


@lru_cache
def written_in(name: str) -> frozenset[str]:
    """Return the names of the tests of one file, relative to `tests/`; none where it is none."""
    path = TESTS / name
    if not path.is_file():
        return frozenset()
    tree = ast.parse(path.read_text("utf-8"))
    return frozenset(n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef))


def test_every_row_names_tests_that_there_are() -> None:
    """A row without a test, or with the name of one that is gone, proves nothing."""
    lost = []
    for row in ROWS:
        named = re.findall(r"`(\S+?)::(test_\w+)`", row["tests"])
        lost += [row["row"]] if not named else []
        lost += [f"{row['row']}: {file}::{test}" for file, test in named
                 if test not in written_in(file)]  # fmt: skip
    assert [] == lost


def test_every_line_of_the_table_is_a_row() -> None:
    """A line that is no row would be looked at by nobody."""
    lines = [n for n in TABLE.splitlines() if n.startswith("|") and not n.startswith("|---")]
    heads = [n for n in lines if n == "| row | tried | now | tests |"]
    assert len(lines) - len(heads) == len(ROWS)


def test_every_finding_of_the_review_has_its_row() -> None:
    """The review numbers sixteen findings of weight; each stands here once, whole or in parts."""
    rows = [row["row"] for row in ROWS]
    assert len(rows) == len(set(rows))
    numbers = {int(found[0]) for row in rows if (found := re.match(r"\d+", row))}
    assert set(range(1, 17)) == numbers


LIMIT = re.compile(r"^\| [^|]+ \| [^|]+ \| ([\d,]+)( KiB| MiB)? \| `([\w.]+)\.([A-Z_]+)` \|$")
UNITS = {"": 1, " KiB": 1024, " MiB": 1024 * 1024}


def test_limits_that_people_read_are_those_of_the_code() -> None:
    """`SECURITY.md` names each limit with its number, and the number is the one that holds."""
    file = TESTS.parent / ".github" / "SECURITY.md"
    if not file.is_file():
        pytest.skip("no SECURITY.md beside an installed package: the checkout's tests read it")
    text = file.read_text("utf-8")
    part = text.partition("## What is bounded")[2].partition("\n`--max-requests`")[0]
    lines = [n for n in part.splitlines() if n.startswith("|") and not n.startswith("|--")][1:]
    rows = [LIMIT.match(line) for line in lines]
    assert len(rows) > 20
    assert [] == [line for line, row in zip(lines, rows, strict=True) if row is None]
    for row in filter(None, rows):
        told = int(row[1].replace(",", "")) * UNITS[row[2] or ""]
        assert told == getattr(import_module(row[3]), row[4]), row[0]
