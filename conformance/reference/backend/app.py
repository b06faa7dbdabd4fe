"""The embedded backend as an ASGI application: one mounted service per contract."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route

import specs
from conformance.clock import Clock, SystemClock
from conformance.reference.backend import limits
from conformance.reference.backend.calls import Settings
from conformance.reference.backend.endpoint import Endpoint, Receive, Scope, Send
from conformance.reference.backend.keys import KeySpec, principals
from conformance.reference.backend.meter import Meter
from conformance.reference.backend.service import Service
from conformance.reference.backend.store import Store
from conformance.reference.defects import Defects
from specs import Contract

DEFAULT_LIMIT = "100000/60"
"""High enough to be out of the way, low enough that the headers mean something."""


class Application(Starlette):
    """Every API at its base path; what goes to one is handed over without a detour."""

    def __init__(self, services: Sequence[Service], lifespan: Any) -> None:
        made = [(s.contract.root.base_path.rstrip("/"), Endpoint(s)) for s in services]
        routes: list[Any] = [Mount(path, app=endpoint) for path, endpoint in made]
        routes.append(Route("/{rest:path}", _nowhere, methods=None))
        super().__init__(routes=routes, lifespan=lifespan)
        self.services = {s.contract.api: s for s in services}
        self._mounted = [(path + "/", endpoint) for path, endpoint in made]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or start up and shut down."""
        if scope["type"] == "http":
            path = scope["path"]
            for prefix, endpoint in self._mounted:
                if path.startswith(prefix):
                    await endpoint(scope, receive, send)
                    return
        await super().__call__(scope, receive, send)


async def _nowhere(request: Request) -> JSONResponse:
    return JSONResponse({"error": "not_found", "message": "no API is mounted here"}, 404)


def create_app(
    *,
    db: str,
    keys: Mapping[str, KeySpec] | Sequence[str],
    rate_limit: str | None = None,
    defects: Defects | None = None,
    contracts: Sequence[Contract] | None = None,
    clock: Clock | None = None,
    settings: Settings | None = None,
    shared: bool = False,
) -> Application:
    """Return the application, every API at its base path.

    `db` is a file, or `:memory:`. `rate_limit` is `REQUESTS/SECONDS[/ALGORITHM]`. `shared` says
    that other processes serve from the same file. Raises ValueError for what cannot be served:
    a limit that does not parse, a key given twice, an operation that nothing answers.
    """
    defects, clock = defects or Defects(), clock or SystemClock()
    quota = limits.parse(rate_limit or DEFAULT_LIMIT)
    store = Store(":memory:" if "state.kept-in-memory" in defects else db)
    book: limits.Book = limits.SharedBook(f"{db}-quotas") if shared else limits.LocalBook()
    who = principals(keys)
    chosen = contracts if contracts is not None else [specs.load(name) for name in specs.names()]
    meters: dict[str, Meter] = {}
    services = [
        Service(c, store, who, quota, book, defects, clock, settings or Settings(), meters, shared)
        for c in chosen
    ]

    @asynccontextmanager
    async def lifespan(app: Starlette) -> Any:
        yield
        for service in services:
            service.meter.flush()
        store.close()

    return Application(services, lifespan)
