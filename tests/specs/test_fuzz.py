"""No foreign description makes memconform fail: what it cannot use it refuses or leaves out."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

import specs
from specs import check
from specs.draft import draft, render
from specs.reading import joined
from tests.mutants import CORPUS, corpus, mutated, trouble

MUTANTS = 8
"""Mutants of each description in a run of the tests; `python -m tests.bench.fuzz` makes more."""


@pytest.mark.parametrize("path", CORPUS, ids=lambda p: p.name)
def test_what_frameworks_write_is_read_and_drafted(path: Path, tmp_path: Path) -> None:
    """Each description of the corpus gives operations, and a draft that passes the check."""
    assert len(specs.load(path).operations) >= 3
    overlay = tmp_path / "overlay.yaml"
    overlay.write_text(render(draft(str(path)), extends=str(path)), encoding="utf-8")
    assert [p for p in check.check(joined(path, [overlay])) if not p.note] == []


@pytest.mark.parametrize("path", CORPUS, ids=lambda p: p.name)
def test_no_mutant_is_an_error_of_ours(path: Path, tmp_path: Path) -> None:
    """Broken at random, a description is refused in a sentence, or judged as far as it goes."""
    for seed in range(MUTANTS):
        random = Random(f"{path.name} {seed}")
        made = mutated(corpus(path), random, times=1 + seed % 4)
        assert trouble(made, tmp_path, random, run=seed == 0) == [], f"seed {seed}"
