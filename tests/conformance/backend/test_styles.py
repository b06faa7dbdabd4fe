"""Paging of every style on backends made for it: the honest ones clean, the broken ones told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from conformance.backend import suite
from conformance.backend.subject import BackendSubject
from conformance.cases import CaseResult
from conformance.reference.backend.server import Embedded
from conformance.reference.defects import Defects
from conformance.verdict import Verdict
from specs import Basis
from tests.paged_notes import STYLES, notes


def judged(
    style: str, *defects: str, select: Sequence[str] = ("pagination.",), **more: Any
) -> list[CaseResult]:
    """Judge a backend that lists notes in one style, with some defects; `more` is declared too."""
    declared: dict[str, Any] = {
        "items": "/items", "total": "/total", "itemKey": "/id", **STYLES[style], **more
    }  # fmt: skip
    contract = notes(declared)
    with Embedded(contracts=[contract], defects=Defects.of(defects)) as served:
        subject = BackendSubject(contract, served.url_for("notes"), served.keys)
        try:
            return suite.run(subject, select=select)
        finally:
            subject.close()


def failed(results: list[CaseResult]) -> list[str]:
    """Return what failed or crashed, in words; what nobody declared for these lists is left out."""
    return [
        f"{r.case}: {r.reason or [f.message for f in r.findings]}"
        for r in results if r.verdict in (Verdict.FAIL, Verdict.ERROR)
        and any(f.basis is not Basis.ASSUMED for f in r.findings)
    ]  # fmt: skip


@pytest.mark.parametrize("style", STYLES)
def test_every_style_of_paging_is_walked(style: str) -> None:
    """Offsets, page numbers, cursors, tokens and links are walked to the end, without a finding."""
    results = judged(style)
    assert [] == failed(results)
    assert {"pagination.sizes", "pagination.inserts", "pagination.concurrent"} <= {
        r.case for r in results if r.verdict is Verdict.PASS
    }


@pytest.mark.parametrize("style", STYLES)
def test_every_style_is_seen_through(style: str) -> None:
    """An item that is lost between pages is missed whatever carries one from page to page."""
    results = failed(judged(style, "page.drops-last"))
    assert any(line.startswith("pagination.sizes") for line in results)


@pytest.mark.parametrize("style", STYLES)
def test_a_list_that_grows_in_front_of_the_reader_is_no_fault(style: str) -> None:
    """Newest first, an offset shows things again when others come in; nothing is missed."""
    results = judged(style, order="desc")
    assert [] == failed(results)
    assert "pagination.concurrent" in {r.case for r in results if r.verdict is Verdict.PASS}


@pytest.mark.parametrize(
    ("style", "defect"),
    [
        (style, "page.cursor-overtaken" if "cursor" in declared else "page.torn-by-writes")
        for style, declared in STYLES.items()
    ],
)
def test_what_a_write_tears_is_seen_while_it_lasts(style: str, defect: str) -> None:
    """An item lost only where a write meets a page is told by the case that makes them meet."""
    busy = ("pagination.inserts", "pagination.concurrent")
    told = {line.partition(":")[0] for line in failed(judged(style, defect, select=busy))}
    assert {"pagination.concurrent"} == told


@pytest.mark.parametrize("style", ["cursor", "token", "link-cursor"])
@pytest.mark.parametrize(
    ("defect", "case"),
    [
        ("page.forged-cursor-fails", "pagination.forged-cursor"),
        ("page.cursor-of-anybody", "pagination.foreign-cursor"),
        ("page.repeats-item", "pagination.sizes"),
    ],
)
def test_cursors_are_seen_through_in_every_style(style: str, defect: str, case: str) -> None:
    """What a cursor gives away or breaks is told, whether it comes plainly or inside a link."""
    results = judged(style, defect)
    assert any(line.startswith(case) for line in failed(results))
