"""Walks along declared links, made by Schemathesis' state machine and sent by the subject.

Schemathesis chooses which operation comes next, by the links of the spec and those that it infers,
and fills in what earlier answers gave. As with every generated request, what belongs to somebody
is replaced by this run's own, unless a link gave it; nothing is asserted inside the walk, so
that it is the same whatever is found. Same seed, same walks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from unittest import mock

import hypothesis
from hypothesis import HealthCheck, Phase
from hypothesis.internal.conjecture.providers import HypothesisProvider

from conformance.backend.generated import Generated, from_case, readable, schema_of
from conformance.verdict import Inconclusive, NotApplicable
from specs import Operation

if TYPE_CHECKING:
    from conformance.backend.subject import BackendSubject
    from conformance.history import Exchange

WALKS, DEEP_WALKS = 8, 60
STEPS, DEEP_STEPS = 6, 15

Send = Callable[[Operation, Generated, frozenset[str]], "Exchange"]
"""Sends a generated request; the names are those whose values a link gave."""


def walk(subject: BackendSubject, send: Send) -> int:
    """Walk, send each step, and return how many took a link.

    Raises Inconclusive where the run may send no more.
    """
    followed = 0
    ended: list[Inconclusive] = []
    operations = {(o.verb, o.path): o for o in subject.contract}

    with readable("the links"):
        machine: Any = schema_of(subject.contract).as_state_machine()

    class Walk(machine):  # type: ignore[misc]
        def step(self, input: Any) -> Any:
            self.linked = frozenset(n for _, n in input.applied_parameters if n)
            return super().step(input)

        def call(self, case: Any, **_: Any) -> Any:
            nonlocal followed
            operation = operations[case.method.upper(), case.operation.path]
            made = from_case(operation, case)
            if ended or made is None:
                return answered(case, None)
            try:
                exchange = send(operation, made, self.linked)
            except NotApplicable:
                return answered(case, None)
            except Inconclusive as why:
                ended.append(why)
                return answered(case, None)
            followed += bool(self.linked)
            return answered(case, exchange)

        def validate_response(self, *_: Any, **__: Any) -> None:
            """Judge nothing here."""

    settings = hypothesis.settings(
        max_examples=DEEP_WALKS if subject.deep else WALKS,
        stateful_step_count=DEEP_STEPS if subject.deep else STEPS,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    # constants that Hypothesis reads from whatever is imported would make walks differ
    constants = mock.patch.object(HypothesisProvider, "_maybe_draw_constant", return_value=None)
    with readable("the links"), constants:
        hypothesis.seed(subject.seed)(Walk).run(settings=settings)
    if ended:
        raise ended[0]
    return followed


def answered(case: Any, exchange: Exchange | None) -> Any:
    """Return an exchange as Schemathesis reads answers; one that leads nowhere for None."""
    import requests
    from schemathesis.core.transport import Response

    request = requests.Request(case.method, "http://127.0.0.1/").prepare()
    response = exchange.response if exchange is not None else None
    if response is None:
        return Response(599, {}, b"", request, 0.0, verify=False)
    headers: dict[str, list[str]] = {}
    for name, value in response.headers:
        headers.setdefault(name.lower(), []).append(value)
    return Response(response.status, headers, response.body, request, 0.0, verify=False)


def at_home_but(
    linked: frozenset[str], made: Generated, arguments: Mapping[str, Any], body: Any
) -> tuple[dict[str, Any], Any]:
    """Return arguments and body with what a link gave put back in its place."""
    given = {n: v for n, v in made.arguments.items() if n in linked}
    if isinstance(body, dict) and isinstance(made.body, dict):
        body = {**body, **{n: v for n, v in made.body.items() if n in linked}}
    return {**arguments, **given}, body
