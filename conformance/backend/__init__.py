"""Cases for a base URL: `pytest conformance/backend --base-url URL --api NAME --api-key KEY`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from conformance.backend.subject import BackendSubject
    from conformance.cases import Case, CaseResult
    from conformance.progress import Progress


def cases() -> list[Case]:
    """Return every case of the suite, in the order in which a run takes them."""
    from conformance.backend.suite import cases as every

    return every()


def run(
    subject: BackendSubject,
    select: Sequence[str] | None = None,
    seed: int | None = None,
    progress: Progress | None = None,
) -> list[CaseResult]:
    """Run the suite on a backend; see `conformance.backend.suite.run`."""
    from conformance.backend.suite import run as run_suite

    return run_suite(subject, select, seed, progress)
