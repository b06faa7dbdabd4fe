"""Is what the document names there at all? Methods, clients, options, exceptions.

What is missing is said here, once; every other case then judges through another name, or leaves
the operation out.
"""

from __future__ import annotations

from collections.abc import Iterator

from conformance.claims import Lacks, MissingBases, OwnClient
from conformance.faults.script import Script
from conformance.oracles.exceptions import same_value
from conformance.sdk.judging import CASES, MODES, every, needs_option
from conformance.sdk.subject import KEY, SdkSubject, Unconstructed
from conformance.verdict import Finding, Inconclusive, NotApplicable
from specs import Basis, Operation


@CASES.case("surface.methods", "WR6", each=every)
def test_methods(subject: SdkSubject, operation: Operation) -> Iterator[Finding]:
    """Every documented operation can be called by its documented name."""
    if operation.method is None:
        raise NotApplicable("no document or release names a method for it")
    found = subject.hello.operations.get(operation.id)
    missing = "the driver does not know it" if found is None else found.missing
    if missing is not None:
        for mode in subject.hello.unopened:
            raise Inconclusive(subject.unmade(mode) or missing)
        via = f"; `{found.via}` does the same" if found is not None and found.via else ""
        claim = _lacking(operation.id, operation.method, missing, missing + via)
        said = f"{operation.basis}: {operation.source}"
        yield Finding.of("WR6", claim, operation.basis, said)


def _lacking(operation: str, method: str, why: str, seen: str) -> Lacks:
    """Return the claim of a missing method: its whole group, where that is what is missing."""
    group, dot, _ = method.partition(".")
    if dot and why.endswith(f"`{group}`"):
        says = f"has no `{group}`, and so no `{method}`"
        return Lacks("methods", method, group, group, says, seen)
    return Lacks("method", method, method, operation, f"has no method `{method}`", seen)


@CASES.case("surface.clients", "WR9")
def test_clients(subject: SdkSubject) -> list[Finding]:
    """The documented clients exist, blocking and async, and both have every operation."""
    found = list(_clients(subject))
    for mode in () if found else subject.hello.unopened:
        raise Inconclusive(subject.unmade(mode) or f"no {mode} client can be made")
    return found


def _clients(subject: SdkSubject) -> Iterator[Finding]:
    client = subject.contract.client
    if client is None:
        raise NotApplicable("the contract describes no SDK")
    wanted = {"sync": client.sync, "async": client.asynchronous}
    there = {str(m) for m in (*subject.hello.clients, *subject.hello.unopened)}
    looked = {str(m) for m in subject.hello.clients}
    for mode, name in wanted.items():
        if name is not None and mode not in there and (subject.speaks(mode) or not there):
            yield Finding(
                "WR9", f"has no {mode} client", mode=mode,
                expected=f"a class `{name}` ({client.basis}: {client.source})",
                actual=f"clients: {', '.join(subject.hello.clients.values()) or 'none'}",
                basis=client.basis, cause=f"client:{mode}",
            )  # fmt: skip
    for operation in subject.contract:
        found = subject.hello.operations.get(operation.id)
        if found is None or not found.modes:
            continue
        for mode in sorted(looked - set(found.modes)):
            yield Finding(
                "WR9", f"has an operation in one client and not in the {mode} one",
                operation=operation.id, mode=mode, expected=f"{operation.id} in both clients",
                actual=f"only {', '.join(found.modes)}",
                basis=operation.basis, cause=f"mode:{mode}:{operation.id}",
            )  # fmt: skip


@CASES.case("surface.options", "WR7")
def test_options(subject: SdkSubject) -> Iterator[Finding]:
    """Every documented option can be given to the constructor."""
    client = subject.contract.client
    if client is None or not client.options:
        raise NotApplicable("the document names no options")
    for option in client.options:
        found = subject.hello.options.get(option.role)
        if found is None or found.missing is None:
            continue
        name = option.name
        says = f"its constructor has no option `{name}`"
        claim = Lacks("option", name, name, name, says, found.missing)
        yield Finding.of("WR7", claim, option.basis, f"{option.basis}: {option.source}")


@CASES.case("surface.defaults", "WR7")
def test_defaults(subject: SdkSubject) -> Iterator[Finding]:
    """An option that is left out has its documented default, where the constructor names one."""
    client = subject.contract.client
    options = client.options if client is not None else ()
    told = {o: subject.hello.options.get(o.role) for o in options if o.default is not None}
    known = {o: f.default for o, f in told.items() if f is not None and f.default is not None}
    if not known:
        raise NotApplicable("no default of an option is both documented and named")
    for option, default in known.items():
        wanted = str(option.default).rstrip("/") if option.role == "base-url" else option.default
        given = str(default).rstrip("/") if option.role == "base-url" else default
        if not same_value(given, wanted):
            yield Finding(
                "WR7", f"its option `{option.name}` has another default than documented",
                expected=f"{option.default!r} ({option.basis}: {option.source})",
                actual=repr(default), basis=option.basis, cause=f"default:{option.name}",
            )  # fmt: skip


@CASES.case("surface.environment", "WR7", modes=MODES)
def test_environment(subject: SdkSubject, mode: str) -> Iterator[Finding]:
    """An API key that the caller leaves out is taken from the documented environment variable."""
    options = subject.contract.client.options if subject.contract.client else ()
    option = next((o for o in options if o.role == "api-key" and o.env), None)
    if option is None:
        raise NotApplicable("the document names no environment variable")
    operation = next((o for o in subject.contract if mode in subject.modes(o)), None)
    if operation is None:
        raise Inconclusive(f"no operation can be called in {mode}")
    expected = f"the key in `{option.env}` is sent ({option.basis}: {option.source})"
    what = f"does not take the key from `{option.env}` where none is given"
    cause = f"environment:{option.env}"
    ready = subject.needs(operation, mode)
    try:
        made = subject.play(Script(), subject.ask(operation), mode=ready, key=None)
    except Unconstructed as why:
        yield Finding("WR7", what, expected=expected, actual=str(why), basis=option.basis,
                      cause=cause, mode=mode)  # fmt: skip
        return
    sent = [exchange.request for exchange in made.history]
    if not sent or KEY not in str(sent[0].headers):
        actual = "it sends no key" if sent else "it sends nothing"
        found = Finding("WR7", what, expected=expected, actual=actual, basis=option.basis,
                        cause=cause, mode=mode)  # fmt: skip
        yield from made.witnessed([found], made.history.calls[0])


@CASES.case("surface.own-client", "WR7", modes=MODES)
def test_own_client(subject: SdkSubject, mode: str) -> list[Finding]:
    """A client that is given an HTTP client of the caller's own still calls its base URL."""
    options = subject.contract.client.options if subject.contract.client else ()
    option = next((o for o in options if o.role == "http-client"), None)
    if option is None:
        raise NotApplicable("the document names no option for an HTTP client")
    if option.role not in subject.hello.options:
        raise NotApplicable("the driver knows no option for an HTTP client")
    operation = next((o for o in subject.contract if mode in subject.modes(o)), None)
    if operation is None:
        raise Inconclusive(f"no operation can be called in {mode}")
    ready = subject.needs(operation, mode)
    needs_option(subject, operation, mode, option.role)
    plain = subject.play(Script(), subject.ask(operation), mode=ready)
    if plain.history.calls[0].outcome.kind != "value":
        raise Inconclusive(f"{operation.id} fails with the SDK's own HTTP client too")
    made = subject.play(Script(), subject.ask(operation), mode=ready, options={option.role: True})
    call = made.history.calls[0]
    if call.outcome.kind == "value":
        return []
    error = call.outcome.error
    seen = error.text or error.name if error else call.outcome.kind
    found = Finding.of("WR7", OwnClient(option.name, seen), Basis.ASSUMED, mode=mode)
    return made.witnessed([found], call)


@CASES.case("surface.exceptions", "ER16", "ER10")
def test_exceptions(subject: SdkSubject) -> Iterator[Finding]:
    """Every documented exception class exists where the document imports it, with its bases."""
    tables = [o.errors for o in subject.contract if o.errors is not None]
    if not tables:
        raise NotApplicable("the contract has no error table")
    told: set[str] = set()
    for errors in tables:
        anywhere = errors.module is None
        rows: list[tuple[str, tuple[str, ...], Basis, str]] = [
            (errors.base, (), errors.basis, errors.source)
        ]
        rows += [
            (r.exception, r.bases, r.basis or errors.basis, r.source or errors.source)
            for r in errors.map
        ]
        for name, bases, basis, source in rows:
            if name not in told:
                told.add(name)
                yield from _exception(subject, name, bases, basis, source, anywhere)


def _exception(
    subject: SdkSubject, name: str, bases: tuple[str, ...], basis: Basis, source: str,
    anywhere: bool,
) -> Iterator[Finding]:  # fmt: skip
    """Yield what is wrong with one class; `anywhere`: no document says where it is imported."""
    found = subject.hello.exceptions.get(name)
    if found is None:
        return
    if found.found is None or not (found.exported or anywhere):
        says = (
            f"has no exception `{name}`" if found.found is None
            else f"does not export `{name}` from where the document imports it"
        )  # fmt: skip
        why = f"it is at {found.found}" if found.found else "no module has it"
        claim = Lacks("exception", name, name, name, says, why)
        yield Finding.of("ER16", claim, basis, f"{basis}: {source}")
        return
    lacking = [b for b in bases if b not in found.bases]
    there = subject.hello.exceptions
    lacking = [b for b in lacking if b not in there or there[b].found is not None]
    if lacking:
        bare = MissingBases(name, bases, tuple(found.bases))
        yield Finding.of("ER10", bare, basis, f"{basis}: {source}")


@CASES.case("surface.context-manager", "RB10")
def test_context_manager(subject: SdkSubject) -> Iterator[Finding]:
    """The clients that the document uses in a `with` statement can be used there."""
    client = subject.contract.client
    if client is None or not client.context_manager:
        raise NotApplicable("the document promises no context manager")
    promised = {"sync": client.sync, "async": client.asynchronous}
    for mode in subject.hello.clients:
        if promised[mode] is not None and mode not in subject.hello.context_manager:
            yield Finding(
                "RB10", f"the {mode} client is no context manager", mode=mode,
                expected=f"a context manager ({client.basis}: {client.source})",
                actual="no `__enter__`" if mode == "sync" else "no `__aenter__`",
                basis=client.basis, cause=f"context-manager:{mode}",
            )  # fmt: skip
