"""`memconform explain` and `spec show`: every id that a report shows can be looked up."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

import specs
from conformance import explain
from conformance.cli import app
from conformance.options import TABLE
from conformance.report.exit import Exit
from specs.catalogue import requirements
from tests.judged_results import case, finding, results, subject

TYPED = CliRunner()


@pytest.mark.parametrize(
    ("id", "said"),
    [
        ("RA4", "comes no earlier than Retry-After asks"),
        ("ra4", "Proven by seeded defects"),
        ("errors.unknown-id", "--case errors.unknown-id"),
        ("5", "less than half of what applies"),
        ("--fail-on", "fail the run"),
        ("maxAttempts", "Retries"),
        ("Pagination", "style"),
    ],
)
def test_an_id_is_explained(id: str, said: str) -> None:
    """A requirement, case, exit code, option or word is told in the words of its table."""
    assert said in explain.explain(id)


def test_everything_that_has_an_id_is_explained() -> None:
    """No requirement, case, defect, exit code or option is without an explanation."""
    ids = [
        *requirements(),
        *(c.id for c in explain.cases()),
        *(d.id for d in explain.defects()),
        *(str(int(code)) for code in Exit),
        *(row.name for row in TABLE if row.name.startswith("--")),
    ]
    assert all(explain.explain(id).startswith("# ") for id in ids)


def test_a_finding_is_explained_from_its_results(tmp_path: Path) -> None:
    """A finding's id shows what was expected and seen, and where to read on."""
    made = results(subject(case("a.b", finding(expected="3 attempts", timeline=("GET /x",)))))
    file = tmp_path / "results.json"
    file.write_text(made.model_dump_json(by_alias=True))
    id = made.subjects[0].findings[0].id
    done = TYPED.invoke(app, ["explain", id, "--results", str(file)])
    assert 0 == done.exit_code
    assert all(part in done.stdout for part in ("3 attempts", "GET /x", "explain RT1"))


def test_an_unknown_id_names_what_is_alike() -> None:
    """An id that no table knows exits 2 and lists ids like it."""
    done = TYPED.invoke(app, ["explain", "errors.unknwn"])
    assert 2 == done.exit_code
    assert "errors.unknown-id" in done.output


@pytest.mark.parametrize("api", specs.names())
def test_a_spec_is_shown_whole(api: str) -> None:
    """`spec show` lists every operation with its request, and every exception."""
    done = TYPED.invoke(app, ["spec", "show", api])
    assert 0 == done.exit_code
    contract = specs.load(api)
    assert all(f"`{o.id}` | {o.verb} {o.path}" in done.stdout for o in contract)
    assert all(rule.exception in done.stdout for rule in contract.root.errors.map)
