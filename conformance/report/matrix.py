"""The matrix: subjects down, concerns across, requirements counted by verdict in each cell.

A value that the console, the page and the Markdown summary each draw in their own way.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from conformance.report.results import SubjectEntry
from conformance.verdict import Verdict

COLUMNS = (
    "retries",
    "error mapping",
    "rate-limit headers",
    "usage headers",
    "pagination",
    "idempotency",
    "wire",
    "auth",
    "contract",
    "state",
    "isolation",
    "robustness",
    "load",
)


@dataclass(frozen=True)
class Cell:
    """Requirements of one concern on one subject, by verdict; empty where none applies."""

    counts: tuple[tuple[Verdict, int], ...] = ()

    @property
    def worst(self) -> Verdict:
        """The highest verdict in the cell; not applicable where it is empty."""
        return max(
            (v for v, _ in self.counts), key=lambda v: v.rank, default=Verdict.NOT_APPLICABLE
        )

    def of(self, verdict: Verdict) -> int:
        """Return how many requirements have a verdict."""
        return dict(self.counts).get(verdict, 0)


@dataclass(frozen=True)
class Row:
    """One subject."""

    subject: SubjectEntry
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Matrix:
    """All subjects; only the columns in which some requirement was judged."""

    columns: tuple[str, ...]
    rows: tuple[Row, ...]


def build(subjects: Iterable[SubjectEntry]) -> Matrix:
    """Return the matrix of a run's subjects, in their order."""
    counted = []
    for subject in subjects:
        cells: dict[str, Counter[Verdict]] = {}
        for requirement in subject.requirements:
            if requirement.verdict is not Verdict.NOT_APPLICABLE:
                cells.setdefault(requirement.concern, Counter())[requirement.verdict] += 1
        counted.append((subject, cells))
    present = {concern for _, cells in counted for concern in cells}
    columns = (*(c for c in COLUMNS if c in present), *sorted(present - set(COLUMNS)))
    return Matrix(
        columns,
        tuple(
            Row(subject, tuple(_cell(cells.get(column, Counter())) for column in columns))
            for subject, cells in counted
        ),
    )


KINDS = {"backend": "Backends", "sdk": "SDKs", "load": "Load"}
"""Kind of subject -> the head of its matrix."""


def by_kind(subjects: Sequence[SubjectEntry]) -> list[tuple[str, Matrix]]:
    """Return a matrix for each kind of subject, with its head, so that no column is empty."""
    kinds = ((head, [s for s in subjects if s.kind == kind]) for kind, head in KINDS.items())
    return [(head, build(mine)) for head, mine in kinds if mine]


def _cell(counts: Counter[Verdict]) -> Cell:
    return Cell(tuple(sorted(counts.items(), key=lambda item: item[0].rank)))
