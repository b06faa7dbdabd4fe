"""The backend suite as a whole: which cases there are, in which order, and one run of them.

The order is that of the modules: what is cheap and basic first, what uses up quotas last, and
the one look back over every answer at the very end.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib import import_module

from conformance.backend.ownership import SAFE
from conformance.backend.recording import SHORT
from conformance.backend.registry import CASES, LOOKING_BACK
from conformance.backend.subject import BackendSubject, SubjectError
from conformance.cases import Case, CaseResult, Interrupted, execute, instances
from conformance.history import Exchange
from conformance.progress import Progress
from conformance.verdict import Finding, Inconclusive, Verdict
from specs import Operation
from specs.proxies import proxy_for

MODULES = (
    "test_contract",
    "test_auth",
    "test_errors",
    "test_robustness",
    "test_lawful",
    "test_pagination",
    "test_changing_lists",
    "test_idempotency",
    "test_state",
    "test_verbatim",
    "test_conditional",
    "test_alike",
    "test_collections",
    "test_concurrent",
    "test_machine",
    "test_isolation",
    "test_usage",
    "test_plan",
    "test_figures",
    "test_rate_limit",
)
NOWHERE = frozenset({404, 405, 501})
"""Statuses of a server that has nothing where it was asked."""


def cases() -> list[Case]:
    """Return every case in the order in which a run takes them."""
    for module in MODULES:
        import_module(f"conformance.backend.{module}")
    place = {f"conformance.backend.{module}": n for n, module in enumerate(MODULES)}

    def order(case: Case) -> tuple[int, int]:
        module = case.function.__module__
        known = next((n for name, n in place.items() if module.endswith(name)), len(place))
        return (1 if case.id in LOOKING_BACK else 0, known)

    return sorted(CASES, key=order)


def selected(select: Sequence[str] | None) -> list[Case]:
    """Return the cases whose id starts with one of `select`; all where nothing is selected.

    Raises ValueError where a selector fits nothing: a typo must not look like a pass.
    """
    every = cases()
    for start in select or ():
        if not any(case.id.startswith(start) for case in every):
            raise ValueError(f"no case starts with {start!r}; there are: {', '.join(groups())}")
    if not select:
        return every
    return [case for case in every if any(case.id.startswith(start) for start in select)]


def groups() -> list[str]:
    """Return the first parts of all case ids."""
    return list(dict.fromkeys(case.id.split(".")[0] + "." for case in cases()))


def run(
    subject: BackendSubject,
    select: Sequence[str] | None = None,
    seed: int | None = None,
    progress: Progress | None = None,
) -> list[CaseResult]:
    """Run the suite on a backend and return what each case came to.

    Raises SubjectError where the backend is not there or refuses the key, Interrupted with what
    is finished where it is ended from outside. The caller closes the subject, which removes what
    the run created.
    """
    if seed is not None:
        subject.seed = seed
    take = Taker(subject)
    take.begin()
    planned = [
        (case, operation, mode)
        for case in selected(select)
        for operation, mode in instances(case, subject.contract)
    ]
    results: list[CaseResult] = []
    for number, (case, operation, mode) in enumerate(planned):
        try:
            if progress is not None:
                name = f"{case.id}[{operation.id}]" if operation else case.id
                progress(number, len(planned), name)
            results.append(take(case, operation, mode))
        except KeyboardInterrupt:
            raise Interrupted(results) from None
    if progress is not None:
        progress(len(planned), len(planned), "")
    return results


class Taker:
    """Takes one case after the other, and notices where the server went away.

    From then on nothing is sent: what was not tested is inconclusive, and says since when.
    """

    def __init__(self, subject: BackendSubject, probes: bool = False) -> None:
        self._subject = subject
        self._probes = probes
        """True where nobody has asked yet whether the server is there."""
        self._gone = ""

    def begin(self) -> None:
        """Ask whether the server is there, and look at what it holds.

        Raises SubjectError where nothing could be tested. Where a budget ends here, no case is
        tested, and each says why.
        """
        try:
            probe(self._subject)
            self._subject.stand()
        except Inconclusive as why:
            self._gone = str(why)

    def __call__(self, case: Case, operation: Operation | None, mode: str) -> CaseResult:
        """Run one instance of a case and return what it came to."""
        subject = self._subject
        if self._probes:
            self._probes = False
            try:
                self.begin()
            except SubjectError as why:
                self._gone = str(why)
        if self._gone:
            return _untested(case, operation, mode, self._gone)
        if operation is not None and operation.id in subject.excluded:
            out = f"left out: {subject.excluded[operation.id]}"
            return _untested(case, operation, mode, out, Verdict.NOT_APPLICABLE)
        first = subject.exchanged
        result = execute(case, subject, operation, mode, subject.clock)
        if result.verdict is Verdict.PASS and result.name in getattr(subject.wire, "short", ()):
            # it saw less than it asked for, and made do with that
            result = replace(result, verdict=Verdict.INCONCLUSIVE, reason=SHORT)
        if _gone(subject, first):
            self._gone = f"nothing listens at {subject.base_url} any more since {result.name}"
            result = _ended(subject, result, first)
        return result


def _gone(subject: BackendSubject, first: int) -> bool:
    """Return True where the last exchange of a case was refused, and one more is too."""
    during = subject.exchanges[first:]
    if not during or during[-1].failure != "refused":
        return False
    return all(_ask(subject, each).failure == "refused" for each in list(_harmless(subject))[:1])


def _ended(subject: BackendSubject, result: CaseResult, first: int) -> CaseResult:
    """Return the result of the case in which the server went away.

    What was found on connections that nobody accepted says nothing about the server; that it
    went is one finding, shown by the last exchange that it took part in.
    """
    exchanges = subject.exchanges
    lost = {e.number for e in exchanges[first:] if e.failure == "refused"}
    kept = [f for f in result.findings if not f.witness or set(f.witness) - lost]
    last = next((e for e in reversed(exchanges) if e.failure != "refused"), None)
    kept.append(
        Finding(
            "CT6",
            "the server went away during the run: nothing listens at its address any more",
            case=result.case,
            operation=result.operation,
            witness=(last.number,) if last else (),
            cause="server-gone",
        )
    )
    return replace(result, verdict=Verdict.FAIL, reason="", findings=tuple(kept))


def _untested(
    case: Case,
    operation: Operation | None,
    mode: str,
    why: str,
    verdict: Verdict = Verdict.INCONCLUSIVE,
) -> CaseResult:
    return CaseResult(
        case=case.id,
        requirements=case.requirements,
        verdict=verdict,
        reason=why,
        operation=operation.id if operation else None,
        mode=mode,
    )


def probe(subject: BackendSubject) -> None:
    """Ask the backend something harmless. Raises SubjectError where nothing could be tested."""
    subject.enter("probe")
    answers = [_ask(subject, operation) for operation in _harmless(subject)]
    asked = {e.operation for e in answers}
    failures = [e.failure for e in answers if e.response is None]
    if answers and len(failures) == len(answers):
        raise SubjectError(_unreachable(subject, str(failures[0])))
    if answers and all(e.status in NOWHERE for e in answers):
        answers += [_ask(subject, each) for each in _plain(subject) if each.id not in asked]
        if all(e.status in NOWHERE for e in answers):
            raise SubjectError(_nowhere(subject, answers))
    guarded = [e for e in answers if e.operation and subject.contract[e.operation].authenticated]
    if guarded and all(e.status == 401 for e in guarded):
        given = "the key was refused" if subject.keys.get("a") else "no key was given"
        raise SubjectError(
            f"{subject.base_url}: {given}: every one of {len(guarded)} requests was answered 401; "
            "give a valid key with --api-key"
        )


def _nowhere(subject: BackendSubject, answers: Sequence[Exchange]) -> str:
    told = ", ".join(sorted({str(e.status) for e in answers}))
    return (
        f"{subject.base_url}: every one of {len(answers)} requests was answered {told}: is the "
        f"path missing from --base-url, or is it not an API of {subject.contract.api}? "
        f"(first asked: {answers[0].request.method} {answers[0].request.target})"
    )


def _unreachable(subject: BackendSubject, failure: str) -> str:
    why = {
        "refused": "nothing answers there",
        "timeout": "it accepts connections and does not answer",
        "tls": "no TLS connection comes about",
    }.get(failure, f"the connection ended without an answer ({failure})")
    if failure == "tls" and proxy_for("https", subject.origin.host) is None:
        why = subject.trust.refusal(subject.origin.host, subject.origin.port)
    return f"{subject.base_url}: {why}"


def _harmless(subject: BackendSubject) -> Iterator[Operation]:
    """Yield up to three safe operations that need no record, with and without a key."""
    plain = _plain(subject)
    for wanted in (True, False):
        yield from [o for o in plain if o.authenticated is wanted][: 2 if wanted else 1]


def _plain(subject: BackendSubject) -> list[Operation]:
    return [
        o for o in subject.contract
        if o.safe and not o.parameters_in("path") and o.id not in subject.excluded
        and (o.verb in SAFE or not subject.limits.read_only)
    ]  # fmt: skip


def _ask(subject: BackendSubject, operation: Operation) -> Exchange:
    from specs.examples import arguments

    key = "a" if "a" in subject.keys else None
    return subject.send(operation, arguments(operation, optional=False), key=key, patient=False)
