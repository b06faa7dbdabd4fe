"""Credentials: missing, wrong, malformed, doubled, expired, of the wrong role (AU3–AU6, AU8)."""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import UTC, datetime

from conformance.backend.judging import authenticated, judge_all
from conformance.backend.registry import CASES
from conformance.backend.requests import credentials
from conformance.backend.subject import BackendSubject
from conformance.backend.world import operations_on, properties
from conformance.history import Exchange, Headers
from conformance.oracles import envelope
from conformance.oracles.found import found, ok, told, value_at
from conformance.oracles.headers import date_of
from conformance.verdict import Finding, Inconclusive, Need, NotApplicable
from specs import Basis, Contract, Operation

LIVES = (2, 4, 8)
"""Seconds that a key is made for; the longer where making it took the shorter."""


def _refused(
    operation: Operation, exchange: Exchange, what: str, requirement: str, cause: str
) -> Iterable[Finding]:
    """Judge the answer to a request without a valid key: the declared 401, else any 401."""
    status = exchange.status
    if status is None or status >= 500:
        yield found(
            "CT6", f"a request with {what} makes the server fail ({told(exchange)})", exchange,
            cause=f"fails {cause}", operation=operation,
        )  # fmt: skip
        return
    if status < 400:
        yield found(
            requirement, f"a request with {what} is accepted", exchange, cause=f"accepted {cause}",
            operation=operation, expected=401, actual=status,
        )  # fmt: skip
        return
    declared = envelope.expected_answer(operation, "unauthenticated")
    if operation.bare and declared is None and status not in (401, 403):
        return  # what a made-up id leads to may be looked at before the key
    wanted = declared.status if declared else 401
    if status != wanted:
        yield found(
            requirement, f"a request with {what} is answered {status}", exchange,
            cause=f"status {cause} {status}", operation=operation, expected=wanted, actual=status,
            basis=(declared.basis if declared else None) or _usual(operation),
        )  # fmt: skip
        return
    yield from envelope.provoked(
        operation, exchange, "unauthenticated", f"a request with {what}",
        requirement=requirement, cause=cause,
    )  # fmt: skip


def _usual(operation: Operation) -> Basis:
    """Return on what it rests that 401 is the answer where no table of errors says one."""
    return Basis.OBSERVED if operation.bare else Basis.DOCUMENTED


@CASES.case("auth.missing", "AU3", "ER4", each=authenticated)
def test_missing(subject: BackendSubject, operation: Operation) -> Iterable[Finding]:
    """A request without credentials is answered with the declared 401."""
    exchange = subject.send(operation, subject.world.arguments(operation), key=None)
    yield from judge_all(subject, [exchange])
    yield from _refused(operation, exchange, "no key", "AU3", "no-key")


def wrong_credentials(contract: Contract, key: str) -> list[tuple[str, str, Headers]]:
    """Return (what, cause, headers) of credentials that must not be taken for `key`."""
    table: list[tuple[str, str, Headers]] = []
    for rule in contract.auth:
        name = rule.header.lower()
        near = key[:-1] + ("x" if key[-1:] != "x" else "y")
        table += [
            (f"a wrong key in {name}", "wrong-key", ((name, rule.prefix + "memconform-no-key"),)),
            (f"a key that differs in its last character in {name}", "near-key",
             ((name, rule.prefix + near),)),
            (f"a key in other case in {name}", "swapped-case",
             ((name, rule.prefix + key.swapcase()),)),
            (f"a key cut short in {name}", "cut-key", ((name, rule.prefix + key[:-3]),)),
            (f"an empty key in {name}", "empty-key", ((name, rule.prefix),)),
        ]  # fmt: skip
        if rule.prefix.strip():
            table += [
                (f"a key without its scheme in {name}", "no-scheme", ((name, key),)),
                (f"a key under another scheme in {name}", "other-scheme",
                 ((name, f"Basic {key}"),)),
                (f"a scheme without a key in {name}", "scheme-only",
                 ((name, rule.prefix.strip()),)),
            ]  # fmt: skip
    return table


@CASES.case("auth.wrong", "AU4", "ER4", each=authenticated)
def test_wrong(subject: BackendSubject, operation: Operation) -> Iterable[Finding]:
    """A key that is wrong, empty, cut short or under another scheme is answered with 401."""
    if not subject.contract.auth or "a" not in subject.keys:
        raise NotApplicable("the contract declares no credentials")
    table = wrong_credentials(subject.contract, subject.keys["a"])
    arguments = subject.world.arguments(operation)
    chosen = table if subject.deep or operation is _sample(subject.contract) else table[:1]
    for what, cause, headers in chosen:
        exchange = subject.send(operation, arguments, auth=headers, key=None)
        yield from judge_all(subject, [exchange])
        yield from _refused(operation, exchange, what, "AU4", cause)


def _sample(contract: Contract) -> Operation:
    """Return one operation on which the whole table is tried: a plain safe one."""
    return min(authenticated(contract), key=lambda o: (not o.safe, len(o.parameters), o.id))


@CASES.case("auth.expired", "AU4")
def test_expired(subject: BackendSubject) -> Iterable[Finding]:
    """A key that is no longer valid is answered with 401."""
    if "expired" not in subject.keys:
        raise NotApplicable("no expired key was given (--api-key expired=KEY)")
    operation = _sample(subject.contract)
    arguments = subject.world.arguments(operation)
    exchange = subject.send(operation, arguments, key="expired")
    yield from _refused(operation, exchange, "an expired key", "AU4", "expired-key")


def _several(contract: Contract) -> list[Operation]:
    return authenticated(contract)[:1] if len(contract.auth) > 1 else []


@CASES.case("auth.precedence", "AU5", each=_several)
def test_precedence(subject: BackendSubject, operation: Operation) -> Iterable[Finding]:
    """Where two ways of showing a key disagree, the first declared one wins."""
    operation = _sample(subject.contract)
    contract, key = subject.contract, subject.keys["a"]
    arguments = subject.world.arguments(operation)
    basis = contract.auth[0].basis
    wrong = "memconform-no-key"
    for way in range(1, len(contract.auth)):
        alone = subject.send(operation, arguments, auth=credentials(contract, key, way=way))
        if not ok(alone):
            yield found(
                "AU5", f"a key in {contract.auth[way].header} alone is refused", alone,
                cause=f"second-header-refused {way}", operation=operation,
                basis=contract.auth[way].basis, expected="2xx", actual=told(alone),
            )  # fmt: skip
            continue
        right = (*credentials(contract, key), *credentials(contract, wrong, way=way))
        exchange = subject.send(operation, arguments, auth=right)
        if not ok(exchange):
            yield found(
                "AU5", "a valid key in the preferred header loses against a wrong one in the other",
                exchange, cause="precedence-right-loses", operation=operation, basis=basis,
                expected="2xx", actual=told(exchange),
            )  # fmt: skip
        for order in (0, 1):
            pair = (credentials(contract, wrong), credentials(contract, key, way=way))
            auth = (*pair[order], *pair[1 - order])
            exchange = subject.send(operation, arguments, auth=auth, key=None)
            if ok(exchange):
                yield found(
                    "AU5", "a wrong key in the preferred header is rescued by the other header",
                    exchange, cause="precedence-wrong-rescued", operation=operation, basis=basis,
                    expected=401, actual=exchange.status,
                )  # fmt: skip


def _open(contract: Contract) -> list[Operation]:
    return [o for o in contract if not o.authenticated]


@CASES.case("auth.open", "AU6", each=_open)
def test_open(subject: BackendSubject, operation: Operation) -> Iterable[Finding]:
    """An operation that wants no key answers without one, and with a wrong one too."""
    arguments = subject.world.arguments(operation)
    exchange = subject.send(operation, arguments, key=None)
    yield from judge_all(subject, [exchange])
    shapes_alone = operation.accepts_basis is Basis.ASSUMED
    if shapes_alone and exchange.status not in (401, 403) and not ok(exchange):
        raise Inconclusive(f"refused for another reason: it was answered {told(exchange)}")
    if not ok(exchange):
        yield found(
            "AU6", f"an operation without authentication is answered {told(exchange)} "
            "without a key",
            exchange, cause=f"open-refused {operation.id}", operation=operation,
            basis=operation.basis, expected="2xx", actual=exchange.status,
        )  # fmt: skip


def _guarded(contract: Contract) -> list[Operation]:
    return [o for o in contract if o.roles is not None]


@CASES.case("auth.roles", "AU8", each=_guarded)
def test_roles(subject: BackendSubject, operation: Operation) -> Iterable[Finding]:
    """An operation for one role refuses everyone else with the declared code."""
    roles = operation.roles
    assert roles is not None
    if "member" not in subject.keys:
        raise Inconclusive(
            "no key without that role was given (--api-key member=KEY)",
            Need("a key without the role of an administrator", "--api-key member=KEY"),
        )
    arguments = subject.world.arguments(operation)
    exchange = subject.send(operation, arguments, key="member")
    yield from judge_all(subject, [exchange])
    if exchange.status != roles.status:
        yield found(
            "AU8", f"a key without {roles.needs} is answered {told(exchange)}", exchange,
            cause=f"role-{roles.needs}-status {operation.id}", operation=operation,
            basis=roles.basis, expected=roles.status, actual=exchange.status,
        )  # fmt: skip
        return
    code = value_at(exchange, operation.errors.envelope.code if operation.errors else None)
    if code != roles.code:
        yield found(
            "AU8", f"a key without {roles.needs} is refused with another code", exchange,
            cause=f"role-{roles.needs}-code {operation.id}", operation=operation,
            basis=roles.basis, expected=roles.code,
        )  # fmt: skip


def _secret_makers(contract: Contract) -> list[Operation]:
    """Return the operations that create a key which this same API then takes, and can revoke."""
    return [
        o for o in contract
        if o.effect and o.effect.kind == "create" and o.effect.secret
        and operations_on(contract, o.effect.resource, "delete")
    ]  # fmt: skip


@CASES.case("auth.revoked", "AU4", "ST6", each=_secret_makers)
def test_revoked(subject: BackendSubject, operation: Operation) -> Iterable[Finding]:
    """A key that was made works until it is revoked, and not after."""
    effect = operation.effect
    assert effect is not None
    made = subject.world.make(effect.resource or "")
    secret = value_at(made.exchange, effect.secret)
    if not isinstance(secret, str):
        raise Inconclusive("the answer shows no key where it is declared")
    sample = _sample(subject.contract)
    auth = credentials(subject.contract, secret)
    arguments = subject.world.arguments(sample)
    before = subject.send(sample, arguments, auth=auth)
    if not ok(before):
        raise Inconclusive(f"a key that was just made is answered {told(before)}")
    revoke = operations_on(subject.contract, effect.resource, "delete")[0]
    target = revoke.effect.target if revoke.effect else None
    revoked = subject.send(revoke, {target or "id": made.id})
    if not ok(revoked):
        raise Inconclusive(f"revoking was answered {told(revoked)}")
    after = subject.send(sample, arguments, auth=auth)
    if ok(after):
        yield found(
            "AU4", "a revoked key still works", made.exchange, revoked, after,
            cause="revoked-key-works", operation=operation, basis=effect.basis,
            expected=401, actual=after.status,
        )  # fmt: skip


def _expiring(contract: Contract) -> list[Operation]:
    return [o for o in _secret_makers(contract) if o.effect and o.effect.expires]


@CASES.case("auth.expiry", "AU4", each=_expiring)
def test_expiry(subject: BackendSubject, operation: Operation) -> Iterable[Finding]:
    """A key that was made with an end works until then, and not after."""
    effect = operation.effect
    assert effect is not None
    assert effect.expires is not None
    sample = _sample(subject.contract)
    arguments = subject.world.arguments(sample)
    for seconds in LIVES:
        asked = subject.send(sample, arguments)
        now = date_of(asked, subject.at[asked.number])  # by the server's clock
        end = datetime.fromtimestamp(math.floor(now) + seconds, UTC)
        given = {effect.expires: end.isoformat().replace("+00:00", "Z")}
        made = subject.world.make(effect.resource or "", given=given)
        secret = value_at(made.exchange, effect.secret)
        if not isinstance(secret, str):
            raise Inconclusive("the answer shows no key where it is declared")
        auth = credentials(subject.contract, secret)
        before = subject.send(sample, arguments, auth=auth)
        if ok(before):
            break
    else:
        raise Inconclusive(f"a key with {LIVES[-1]} s to live is answered {told(before)} at once")
    subject.wait(seconds + 1.0, "waiting until a key has expired")
    after = subject.send(sample, arguments, auth=auth)
    if ok(after):
        yield found(
            "AU4", "a key works beyond the end that it was made with", made.exchange, before,
            after, cause="expired-key-works", operation=operation,
            basis=Basis(properties(operation)[effect.expires].get("x-basis", effect.basis)),
            expected=401, actual=after.status,
        )  # fmt: skip


def _granting(contract: Contract) -> list[Operation]:
    return [o for o in _secret_makers(contract) if o.effect and o.effect.grants]


@CASES.case("auth.scopes", "AU8", each=_granting)
def test_scopes(subject: BackendSubject, operation: Operation) -> Iterable[Finding]:
    """A key that may only read reads, and is refused what changes something."""
    effect = operation.effect
    assert effect is not None
    grants = effect.grants
    assert grants is not None
    made = subject.world.make(effect.resource or "", given={grants.property: [grants.reading]})
    secret = value_at(made.exchange, effect.secret)
    if not isinstance(secret, str):
        raise Inconclusive("the answer shows no key where it is declared")
    auth, sample = credentials(subject.contract, secret), _sample(subject.contract)
    read = subject.send(sample, subject.world.arguments(sample), auth=auth)
    if not ok(read):
        yield found(
            "AU8", f"a key that may read is answered {told(read)} when it reads", read,
            cause=f"scope-read-refused {operation.id}", operation=sample, basis=grants.basis,
            expected="2xx", actual=told(read),
        )  # fmt: skip
    arguments = subject.world.arguments(operation)
    write = subject.send(operation, arguments, auth=auth)
    subject.world.note(operation, arguments, write, "a")
    code = value_at(write, operation.errors.envelope.code if operation.errors else None)
    if write.status != grants.status or code != grants.code:
        yield found(
            "AU8", f"a key that may only read is answered {told(write)} when it writes",
            made.exchange, write, cause=f"scope-write {operation.id}", operation=operation,
            basis=grants.basis, expected=f"{grants.status} {grants.code}", actual=write.status,
        )  # fmt: skip
