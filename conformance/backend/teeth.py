"""Proof that the backend suite can fail: the seeded defects of the embedded backend, one by one.

`kill` judges the embedded backend with one defect by every case of the group that must notice
it; `references` judges the perfect one by the whole suite. Judging is the suite's business.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import specs
from conformance.backend.subject import BackendSubject
from conformance.backend.suite import run
from conformance.backend.words import ROLES
from conformance.cases import CaseResult
from conformance.contained import folder as temporary_folder
from conformance.oracles.limits import Quota
from conformance.reference.backend import demo
from conformance.reference.backend.defects import DEFECTS
from conformance.reference.backend.keys import KeySpec, standard_keys
from conformance.reference.backend.server import Embedded
from conformance.reference.defects import Defect, Defects
from conformance.teeth import Kill
from conformance.verdict import Verdict

WORKERS = 4
"""Processes that the perfect backend is served by besides a single one."""
QUOTA = Quota(20, 1.0)
"""What the key that is made to be used up may send; see `conformance.reference.backend.keys`."""


@contextmanager
def judged(
    api: str, *, seed: int = 0, defects: Defects | None = None, workers: int = 1
) -> Iterator[BackendSubject]:
    """Serve the embedded backend for one API and give a subject that is connected to it.

    Several `workers` are processes that share one file; then only shipped APIs can be served.
    """
    keys = standard_keys()
    shown = [keys["first"].key, keys["second"].key]
    shown += [f"{role}={keys[role].key}" for role in ROLES]
    with temporary_folder("teeth") as folder:
        server = _Restarting(api, keys, Path(folder) / "data.sqlite", defects, workers)
        subject = BackendSubject(
            demo.load(api), server.start().url_for(api), shown, seed=seed,
            restart=lambda: server.restart().url_for(api), quota=QUOTA,
            also=siblings(api, server.embedded.url_for),
        )  # fmt: skip
        try:
            yield subject
            subject.close()
        finally:
            subject.wire.close()
            server.embedded.close()


def siblings(api: str, url_of: Callable[[str], str]) -> dict[str, str]:
    """Return API -> base URL of the other APIs that the same document describes."""
    document = demo.load(api).root.document
    others = [n for n in specs.names() if n != api and specs.load(n).root.document == document]
    return {name: url_of(name) for name in others}


class _Restarting:
    """The embedded backend on a file, able to end and to come back with the same data and keys."""

    def __init__(
        self, api: str, keys: dict[str, KeySpec], db: Path, defects: Defects | None, workers: int
    ) -> None:
        self._contracts = [demo.load(api)] if api in demo.names() else None
        self._workers = workers
        self._keys, self._db, self._defects = keys, db, defects
        self.embedded = self._made()

    def _made(self) -> Embedded:
        return Embedded(
            self._keys, db=str(self._db), defects=self._defects, contracts=self._contracts,
            process=self._workers > 1, workers=self._workers,
        )  # fmt: skip

    def start(self) -> Embedded:
        return self.embedded.start()

    def restart(self) -> Embedded:
        self.embedded.close()
        self.embedded = self._made()
        return self.start()


def group(case: str) -> str:
    """Return the first part of a case id, with its dot: what one defect is judged by."""
    return case.split(".")[0] + "."


def kill(defect: Defect) -> Kill:
    """Judge the embedded backend with one defect; tell which cases failed because of it."""
    defects = Defects.of([defect.id])
    with judged(defect.api, defects=defects) as subject:
        results = run(subject, select=[group(defect.case)])
    failed = dict.fromkeys(r.case for r in results if r.verdict is Verdict.FAIL)
    return Kill(
        defect,
        killed_by=tuple(failed),
        exercised=defect.id in defects.exercised,
        detail=_detail(defect, results),
    )


def _detail(defect: Defect, results: list[CaseResult]) -> str:
    """Return what the expected case came to, in words."""
    told = [r for r in results if r.case == defect.case]
    if not told:
        return "the expected case does not run on this API"
    odd = [r for r in results if r.verdict is Verdict.ERROR] or told
    found = [f"{f.requirement}: {f.message}" for r in odd for f in r.findings]
    return "; ".join(dict.fromkeys(found or [f"{r.verdict} {r.reason}".strip() for r in odd]))[:300]


def references(seed: int) -> list[tuple[str, bool, str]]:
    """Judge the perfect backend by the whole suite; return (api, clean, what is not) for each.

    Every API in one process, and the shipped ones in several on one file as well.
    """
    alone = [_reference(api, api, seed, 1) for api in (*specs.names(), *demo.names())]
    several = [_reference(f"{api}, {WORKERS} workers", api, seed, WORKERS) for api in specs.names()]
    return alone + several


def _reference(name: str, api: str, seed: int, workers: int) -> tuple[str, bool, str]:
    with judged(api, seed=seed, workers=workers) as subject:
        results = run(subject)
    dirty = [r for r in results if r.verdict.rank > Verdict.PASS.rank]
    detail = "; ".join(
        f"{r.name}: {r.reason or (r.findings[0].message if r.findings else '')}" for r in dirty[:5]
    )
    return name, not dirty, detail


__all__ = ["DEFECTS", "kill", "references"]
