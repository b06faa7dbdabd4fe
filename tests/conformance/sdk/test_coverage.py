"""What the SDK suite covers: each kind of fault that was asked for, each promise, each tooth.

The tables here are the list of what must be judged; they are compared with the fault classes,
with the cases that play them, and with the seeded defects.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator
from fnmatch import fnmatch
from typing import Any

import pytest

import specs
from conformance.faults.classes import FAULTS, FaultClass, classes_for
from conformance.reference.sdk import demo
from conformance.reference.sdk.defects import DEFECTS
from conformance.sdk import cases, judging, reference, suite
from conformance.sdk.subject import SdkSubject
from conformance.verdict import NotApplicable
from specs import Contract, Operation

CONTRACTS = [specs.load(demo.source(name)) for name in (*specs.names(), *demo.names())]
PLACES = ("before-accept", "before-handler", "after-commit", "mid-response")
FORMS = (
    "seconds", "zero", "decimal", "imf-date", "rfc850-date", "asctime-date", "past-date",
    "far-date", "negative", "garbage", "twice", "absent",
)  # fmt: skip
BODIES = (
    "empty", "html", "array", "number", "string", "true", "null", "latin-1", "utf-16",
    "broken-gzip", "not-gzip", "50MB",
)  # fmt: skip

ASKED: dict[str, list[str]] = {
    "other 4xx and 5xx": [
        f"status-{s}"
        for s in (400, 401, 403, 404, 408, 409, 413, 421, 422, 425, 429, 451,
                  500, 501, 502, 503, 504, 505, 507, 511, 520, 599)
    ],
    "interim answers": [f"interim-{s}" for s in (100, 101, 102, 103)],
    "redirects": [
        f"redirect-{s}-{o}-origin" for s in (301, 302, 303, 307, 308) for o in ("same", "cross")
    ],
    "bodies at 200": [
        "body-success-204", "body-success-wrong-types",
        *(f"body-success-{b}" for b in BODIES),
    ],
    "bodies at errors": [
        f"body-{s}-{b}" for s in (400, 500) for b in BODIES if (s, b) != (400, "50MB")
    ],
    "lengths": [f"framing-{f}" for f in ("length-twice", "lengths-differ", "until-close",
                                         "endless", "length-too-long", "length-too-short")],
    "reset": [f"network-reset-{p}" for p in (*PLACES, "after-response")],
    "refused": ["network-refused"],
    "stalled": [*(f"network-stall-{p}" for p in PLACES), "network-stall-in-head", "stream-stall"],
    "trickled": ["network-trickle-after-commit", "network-trickle-mid-response", "stream-trickle"],
    "truncated": [f"network-truncate-{p}" for p in ("before-handler", "after-commit",
                                                    "mid-response")] + ["stream-truncate"],
    "kept connections": ["network-close-after-response", "network-reset-after-response"],
    "slow connects": ["connect-late", "connect-never"],
    "Retry-After": [f"retry-after-{f}-{s}" for f in FORMS for s in (429, 503, 500, 413)],
    "rate-limit headers": [f"rate-limit-{f}-{s}" for s in ("success", 429)
                           for f in ("right", "absent", "garbage", "huge", "negative")],
    "usage headers": [f"usage-{f}-{s}" for s in ("success", 429)
                      for f in ("right", "absent", "garbage", "huge", "negative")],
}  # fmt: skip
"""What must be played -> its fault classes."""


@pytest.mark.parametrize("asked", ASKED)
def test_every_kind_of_fault_is_a_class(asked: str) -> None:
    """What the suite must play is in the table of fault classes."""
    assert [name for name in ASKED[asked] if name not in {f.id for f in FAULTS}] == []


class Overheard:
    """Stands for `chosen`: notes what each case wants, and gives it nothing to play."""

    def __init__(self) -> None:
        self.wanted: dict[str, set[str]] = {}
        self.case = ""

    def __call__(
        self, subject: Any, operation: Operation, mode: str, want: judging.Selection
    ) -> Iterator[FaultClass]:
        """Take note; yield nothing."""
        for fault in classes_for(subject.contract, operation):
            if want(fault):
                self.wanted.setdefault(fault.id, set()).add(self.case)
        return iter(())


class Idle:
    """A subject that can be asked for its contract, and plays nothing."""

    hung: frozenset[str] = frozenset()

    def __init__(self, contract: Contract) -> None:
        self.contract = contract

    def needs(self, operation: Operation, mode: str) -> str:
        """Take any mode."""
        return mode

    def option(self, role: str) -> bool:
        """Take any option."""
        return True

    def __getattr__(self, name: str) -> Any:
        raise NotApplicable("nothing is played here")


def test_every_class_is_played_by_a_case(monkeypatch: pytest.MonkeyPatch) -> None:
    """No fault class is left that applies somewhere and that no case wants."""
    heard = Overheard()
    every = cases()
    for name in suite.MODULES:
        module = importlib.import_module(f"conformance.sdk.{name}")
        if hasattr(module, "chosen"):
            monkeypatch.setattr(module, "chosen", heard)
    applying: set[str] = set()
    for contract in CONTRACTS:
        for operation in contract:
            applying |= {f.id for f in classes_for(contract, operation)}
            for case in every:
                if case.each is None or operation not in list(case.each(contract)):
                    continue
                heard.case = case.id
                _listen(case.function, contract, operation, case.modes)
    assert applying - set(heard.wanted) == set()
    assert {n for names in ASKED.values() for n in names} <= set(heard.wanted)


def _listen(function: Any, contract: Contract, operation: Operation, modes: Any) -> None:
    given = {} if modes == ("",) else {"mode": "sync"}
    with contextlib.suppress(NotApplicable):  # it says which faults it wants, then asks for a play
        list(function(Idle(contract), operation, **given))


@pytest.mark.parametrize("contract", CONTRACTS, ids=lambda c: c.api)
def test_every_class_is_played_on_some_operation(contract: Contract) -> None:
    """Spreading faults over the operations leaves none out that applies to any of them."""
    with reference(demo.source(contract.api)) as subject:
        lost = [f.id for f in FAULTS if _lost(subject, f)]
    assert lost == []


def _lost(subject: SdkSubject, fault: FaultClass) -> bool:
    able = [o for o in subject.contract if fault.applies(subject.contract, o)]
    played = [
        o for o in able
        if not judging._spread(subject, o, fault, subject.faults(o).index(fault))
    ]  # fmt: skip
    return bool(able) and not played


PROMISED: dict[str, tuple[str, ...]] = {
    # retries by prediction
    "number of attempts": ("retry.default", "retry.statuses"),
    "allowed interval of each wait": ("retry.backoff", "retry.statuses"),
    "jitter, and how it is distributed over 200 calls": ("retry.jitter",),
    "longest wait": ("retry.cap",),
    "max_retries 0, 1, 5": ("retry.max-retries",),
    "documented options exist and work": (
        "surface.options",
        "retry.max-retries",
        "retry.backoff-base",
        "errors.timeouts",
        "surface.environment",
        "auth.quiet",
    ),
    "nothing retried that must not be": ("retry.statuses", "retry.recovery"),
    "body and headers identical": ("retry.recovery", "attempts.whole-body", "attempts.marks"),
    "idempotency key stable and new": ("retry.idempotency-key",),
    "a write sent again whose answer was lost": ("retry.duplicates",),
    "no retry after bytes of a stream": ("stream.breaks",),
    "cancellation stops a back-off at once": ("retry.cancel",),
    "no sleep without bound": ("retry-after.odd", "retry-after.dates"),
    # errors
    "class, bases, attributes, values": ("errors.documented", "surface.exceptions"),
    "usable messages": ("errors.documented", "errors.said"),
    "chained causes": ("errors.network",),
    "nothing foreign leaks": (
        "errors.bodies",
        "errors.network",
        "errors.unsure",
        "robust.framing",
        "answers.odd",
    ),
    "handlers in the documented order": ("surface.exceptions", "errors.documented"),
    "picklable, printable, without the key": ("errors.documented",),
    # answers
    "documented fields": ("answers.fields",),
    "further fields": ("answers.extra-fields",),
    "missing optional fields": ("answers.required-only",),
    "usage and rate-limit objects": ("headers.surfaced", "headers.absent", "headers.garbage"),
    "pages": ("paging.*",),
    "streams event by event": ("stream.events",),
    "streams that break or fall silent": ("stream.breaks", "stream.stalls"),
    "closed connections": ("robust.closing", "surface.context-manager"),
    "one client, 16 threads or 64 tasks": ("robust.concurrency",),
    # composed scripts
    "scripts of one to six faults": ("composed.scripts",),
}
"""What must be judged -> the cases that judge it."""


@pytest.mark.parametrize("promise", PROMISED)
def test_every_promise_has_its_cases(promise: str) -> None:
    """What must be judged has a case, and each of its cases has a seeded defect that it kills."""
    known = {c.id for c in cases()}
    killing = {d.case for d in DEFECTS}
    for pattern in PROMISED[promise]:
        named = {c for c in known if fnmatch(c, pattern)}
        assert named, pattern
        assert named <= killing, pattern


def test_every_case_is_named_by_a_defect() -> None:
    """A case that no seeded defect must die by is not proven to be able to fail."""
    assert {c.id for c in cases()} - {d.case for d in DEFECTS} == set()


def test_callers_at_once() -> None:
    """One client is used from sixteen threads, or from sixty-four tasks."""
    from conformance.sdk.test_robustness import WORKERS

    assert WORKERS == {"sync": 16, "async": 64}
