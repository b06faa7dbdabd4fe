"""The documentation site: whole, linked, made of the tables, and shown by what really ran."""

from __future__ import annotations

import html
import re
from collections import Counter
from pathlib import Path

import pytest
from typer.testing import CliRunner

from conformance import explain
from conformance.cli import app
from conformance.docs import site, timelines
from conformance.options import TABLE
from conformance.report import html as report
from conformance.report.exit import Exit, decide
from conformance.report.results import Results
from specs.catalogue import requirements
from specs.guidance import guidance
from specs.schema import schema
from tests.judged_results import case, finding, results, subject

LONGEST = 20
"""Words of a sentence."""
HEADS = ("Why it matters", "What is sent", "What it does not flag", "How to fix it",
         "Published releases that break it", "What to do")  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the whole site by its command."""
    folder = tmp_path_factory.mktemp("site")
    done = CliRunner().invoke(app, ["docs", "--to", str(folder)])
    assert (0, "") == (done.exit_code, done.stderr)
    return folder


def test_every_requirement_is_guided() -> None:
    """No requirement lacks a reason, what it lets pass and a way to fix it."""
    assert set() == set(requirements()) - set(guidance())


def test_guidance_is_plain() -> None:
    """No sentence of the guidance has more than twenty words."""
    said = [text for each in guidance().values() for text in (each.why, each.lets, each.fix)]
    sentences = [s for text in said for s in re.split(r"(?<=[.:?])\s", text)]
    assert [] == [s for s in sentences if len(s.split()) > LONGEST]


def test_every_proven_requirement_is_shown() -> None:
    """Each requirement with a defect has a passing and a failing timeline that differ."""
    proven = {d.requirement for d in explain.defects()}
    shown = timelines.shows()
    assert set() == proven - set(shown), "python -m conformance.docs.timelines ID makes them"
    known = {d.id: d for d in explain.defects()}
    for id, each in shown.items():
        assert (id, each.case) == (known[each.defect].requirement, known[each.defect].case)
        assert each.passing
        assert each.failing
        assert (id, each.passing) != (id, each.failing)


@pytest.mark.parametrize("id", ["RA4", "AU3"])
def test_timelines_are_what_runs_show(id: str) -> None:
    """An SDK's and a backend's timeline are made again by running reference and defect."""
    made, kept = timelines.make(id), timelines.shows()[id]
    assert made is not None
    assert (kept.defect, kept.operation, kept.message) == (
        made.defect,
        made.operation,
        made.message,
    )
    same = [set(map(_bare, a)) & set(map(_bare, b)) for a, b in
            ((kept.passing, made.passing), (kept.failing, made.failing))]  # fmt: skip
    assert all(same)
    assert made.passing != made.failing


def _bare(line: str) -> str:
    """Return a line without what differs from run to run."""
    return re.sub(r"[0-9a-f]{6,}|\d+(\.\d+)?", "0", line)


def test_each_page_has_every_part(folder: Path) -> None:
    """A page says level and source, why, what is sent, what passes, how to fix and to waive it."""
    for id, each in requirements().items():
        page = (folder / f"requirements/{id}.html").read_text("utf-8")
        assert html.escape(each.source, quote=False) in html.unescape(page)
        assert [] == [head for head in HEADS if f">{head}</h2>" not in page]
        assert (id in timelines.shows()) == (">Kept: the perfect reference</h2>" in page)
        assert "baseline update" in page


def test_every_link_leads_somewhere(folder: Path) -> None:
    """No link of the site is dead, none leads outside it, and nothing needs a server."""
    for path in folder.rglob("*.html"):
        page = path.read_text("utf-8")
        assert "<script" not in page
        for link in re.findall(r'href="([^"]*)"', page):
            assert not link.startswith(("http:", "https:", "/")), (path, link)
            target, _, fragment = html.unescape(link).partition("#")
            aim = (path.parent / target).resolve() if target else path
            assert aim.is_file(), (path, link)
            assert not fragment or f'id="{fragment}"' in aim.read_text("utf-8"), (path, link)


def test_ids_on_a_page_are_unique(folder: Path) -> None:
    """A link to a case reaches that case and no other."""
    page = (folder / "cases.html").read_text("utf-8")
    wanted = {site.anchor(c.id) for c in explain.cases()}
    counts = Counter(re.findall(r'<h2 id="([^"]*)"', page))
    assert wanted == set(counts)
    assert set(counts.values()) == {1}


def test_the_reference_holds_every_table(folder: Path) -> None:
    """Options, words, exit codes and result fields are all there."""
    pages = {p.stem: html.unescape(p.read_text("utf-8")) for p in (folder / "reference").iterdir()}
    assert [] == [row.name for row in TABLE if row.name not in pages["options"]]
    assert [] == [str(int(c)) for c in Exit if f"<td>{int(c)}</td>" not in pages["exit-codes"]]
    assert [] == [name for name in Results.model_fields if name.strip("_") not in pages["results"]]
    words = [w for block in schema()["$defs"].values() for w in block.get("properties", {})]
    assert [] == [word for word in words if f"<code>{word}</code>" not in pages["words"]]
    assert "<code>breakpoint</code>" in pages["profiles"]


def test_a_report_links_to_pages_beside_it(tmp_path: Path) -> None:
    """Every link of a report to a requirement finds its page in the report's folder."""
    made = results(subject(case("a.b", finding())))
    file = tmp_path / "results.json"
    file.write_text(made.model_dump_json(by_alias=True))
    out = tmp_path / "out"
    CliRunner().invoke(app, ["report", str(file), "--out", str(out)])
    page = (out / "report.html").read_text("utf-8")
    links = set(re.findall(r'href="(docs/[^"]*)"', page))
    assert links == {report.page_of("RT1")}
    assert all((out / link).is_file() for link in links)
    assert decide(made).code == Exit.DEVIATES
