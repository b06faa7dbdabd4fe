"""One API of the embedded backend, made ready: its contract compiled, its keys, quotas and plans.

What every request needs and none changes, but for what defects keep between requests. What
happens to a single request is in `job.py`, how requests come and answers go in `endpoint.py`.
"""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Mapping

from conformance.clock import Clock
from conformance.reference.backend import crud, limits
from conformance.reference.backend.adapters import adapter
from conformance.reference.backend.calls import Settings
from conformance.reference.backend.keys import Principal, fingerprint, presented
from conformance.reference.backend.meter import Meter
from conformance.reference.backend.plan import Plan, Routes, answers
from conformance.reference.backend.store import Store
from conformance.reference.backend.validate import Compiled, compile_operation
from conformance.reference.defects import Defects
from specs import Contract

PROBLEM = "application/problem+json"
"""Media type of problem documents, RFC 9457."""

_COMPILED: dict[int, tuple[Contract, tuple[Compiled, ...]]] = {}


def _compiled(contract: Contract) -> tuple[Compiled, ...]:
    """Return the compiled operations of a contract, made once while it lives."""
    known = _COMPILED.get(id(contract))
    if known is None or known[0] is not contract:
        known = (contract, tuple(compile_operation(o) for o in contract))
        _COMPILED[id(contract)] = known
    return known[1]


class Service:
    """One API, ready to be served."""

    def __init__(
        self,
        contract: Contract,
        store: Store,
        keys: Mapping[str, Principal],
        quota: limits.Quota,
        book: limits.Book,
        defects: Defects,
        clock: Clock,
        settings: Settings,
        meters: dict[str, Meter],
        shared: bool,
    ) -> None:
        self.contract, self.store, self.defects, self.clock = contract, store, defects, clock
        self.settings, self.keys, self.book = settings, keys, book
        self.adapter = adapter(contract)
        self.realm = self.adapter.realm or contract.api
        self.meter = meters.setdefault(self.realm, Meter(store, self.realm, shared))
        self.answered = 0
        self.arrivals: set[bytes] = set()
        self.refusals: set[bytes] = set()
        self.under_way: set[bytes] = set()
        self.penalties: dict[str, float] = {}
        self.prefix = contract.root.base_path.rstrip("/").encode()
        self.tenants = tuple(dict.fromkeys(p.tenant for p in keys.values()))
        self.plans = [self._plan(c) for c in _compiled(contract)]
        self.routes = Routes(self.plans)
        self.root_answers = answers(contract, None)
        declared = contract.root.rate_limit
        name = quota.algorithm or (declared and declared.algorithm) or "fixed-window"
        self.algorithm, self.policy = limits.ALGORITHMS[name], quota.policy
        errors = contract.root.errors
        self.id_header = (
            errors.request_id_header.lower() if errors and errors.request_id_header else None
        )
        self.problem_documents = any(
            PROBLEM in r.content for o in contract for s, r in o.responses.items() if s[0] == "4"
        )
        self._id_start = f"req_{secrets.token_hex(5)}"
        self._id_number = itertools.count(1)

    def _plan(self, compiled: Compiled) -> Plan:
        operation = compiled.operation
        handler = self.adapter.handlers.get(operation.id) or crud.generic(self.adapter, operation)
        success = self.adapter.success.get(operation.id) or int(operation.success.status[:3])
        return Plan(
            operation=operation,
            compiled=compiled,
            handler=handler,
            success=success,
            writes=not operation.safe,
            media_type=next(iter(operation.responses[str(success)].content), "application/json"),
            answers=answers(self.contract, operation),
        )

    def request_id(self) -> str:
        """Return a name for a request that no other has."""
        return f"{self._id_start}{next(self._id_number):06x}"

    def principal(self, headers: Mapping[bytes, bytes]) -> Principal | None:
        """Return who is behind the key that a request shows; None where nobody is."""
        key = presented(
            self.contract.auth,
            headers,
            last_wins="auth.precedence-reversed" in self.defects,
            exact="auth.scheme-exact" in self.defects,
        )
        if not key:
            return None
        known = self.keys.get(key)
        if known is not None:
            return known
        hashed = fingerprint(key)
        granted = self.store.granted(hashed, self.realm)
        if granted is None:
            return self._stranger(key)
        tenant, rights = granted
        scopes, ends = tuple(rights.pop("scopes")), rights.get("ends")
        expired = ends is not None and ends <= self.clock.time()
        return Principal(tenant, hashed[:16], scopes=scopes, expired=expired, **rights)

    def _stranger(self, key: str) -> Principal | None:
        if "auth.any-key-accepted" in self.defects:
            return next(iter(self.keys.values()))
        for known, principal in self.keys.items():
            if (
                known.startswith(key[:-1])
                and len(key) > 8
                and "auth.prefix-compared" in self.defects
            ):
                return principal
            if known.lower() == key.lower() and "auth.case-ignored" in self.defects:
                return principal
        return None
