"""A proxy that passes requests on to a real server and drops some of its answers.

What a client cannot know after a lost answer, whether its write was done, is thus made to happen
in front of any server: the server has done it, and the answer is gone.

    with DroppingProxy("http://127.0.0.1:8000", drop=lambda request: request.method == "POST") as p:
        ...  # send to p.base_url instead
"""

from __future__ import annotations

import ssl
from collections.abc import Callable

from conformance.faults.script import Effect, Instruction, Stage, reset
from conformance.faults.session import Session
from conformance.faults.testbench import Testbench
from conformance.faults.upstream import Upstream
from conformance.history import Exchange, Request
from specs import Operation

Drop = Callable[[Request], bool]
"""Called with each request once it is whole in its head; True loses the answer to it.

The body is not there yet. It is called on the proxy's thread, one request at a time.
"""


class DroppingProxy:
    """A running proxy. Use it as a context manager, or call `close()`.

    `effect` is what the client meets in place of the answer (a reset where none is given); it is
    played once the server has answered. `verify` is the SSL context for a server with `https`.
    """

    def __init__(
        self,
        base_url: str,
        drop: Drop = lambda request: False,
        *,
        effect: Effect | None = None,
        verify: ssl.SSLContext | bool = True,
        timeout: float = 60.0,
        testbench: Testbench | None = None,
    ) -> None:
        self.drop = drop
        self._instruction = Instruction.of(effect or reset(), stage=Stage.AFTER_COMMIT)
        self._upstream = Upstream(base_url, verify, timeout)
        self._bench = testbench or Testbench()
        self._owned = testbench is None
        self._session: Session = self._bench.session(None, self._choose, upstream=self._upstream)
        self.base_url = self._session.base_url
        """Where to send requests instead; paths below it are those below the server's URL."""

    def __enter__(self) -> DroppingProxy:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def exchanges(self) -> tuple[Exchange, ...]:
        """Return what passed so far; answers that were dropped have the failure `reset`."""
        return self._session.exchanges()

    @property
    def dropped(self) -> int:
        """How many answers were lost so far."""
        return sum(exchange.failure is not None for exchange in self.exchanges())

    @property
    def problems(self) -> tuple[str, ...]:
        """Why requests could not be passed on, if any: such answers (502, 504) are ours."""
        return tuple(self._upstream.problems)

    def close(self) -> None:
        """Close the proxy's connections; its history stays readable."""
        self._session.close()
        if self._owned:
            self._bench.close()

    def _choose(self, operation: Operation | None, request: Request) -> Instruction | None:
        return self._instruction if self.drop(request) else None
