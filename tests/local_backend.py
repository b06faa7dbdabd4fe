"""The embedded backend without sockets: requests handed to the application, on a virtual clock."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any

import httpx

from conformance.clock import VirtualClock
from conformance.reference.backend.app import create_app
from conformance.reference.backend.keys import KeySpec
from conformance.reference.defects import Defects
from specs import Contract

FIRST, SECOND = "first-key-of-tests", "second-key-of-tests"


class Local:
    """One application and a way to ask it."""

    def __init__(
        self,
        *,
        contracts: Sequence[Contract] | None = None,
        keys: Mapping[str, KeySpec] | Sequence[str] = (FIRST, SECOND),
        defects: Sequence[str] = (),
        db: str = ":memory:",
        **options: Any,
    ) -> None:
        self.clock = VirtualClock()
        self.app = create_app(
            db=db, keys=keys, contracts=contracts, defects=Defects.of(defects), clock=self.clock,
            **options,
        )  # fmt: skip
        self.services = self.app.services

    def ask(
        self,
        api: str,
        verb: str,
        path: str,
        body: Any = None,
        *,
        key: str | None = FIRST,
        raw: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """Send one request and return the answer; `raw` is a body as it stands."""
        contract = self.services[api].contract
        sent = dict(headers or {})
        if key is not None and contract.auth:
            rule = contract.auth[0]
            sent[rule.header] = rule.prefix + key
        content = raw if raw is not None else (None if body is None else json.dumps(body).encode())
        if content is not None:
            sent.setdefault("content-type", "application/json")
        return asyncio.run(self._ask(verb, contract.root.base_path + path, content, sent))

    async def _ask(
        self, verb: str, path: str, content: bytes | None, headers: Mapping[str, str]
    ) -> httpx.Response:
        transport = httpx.ASGITransport(app=self.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://backend") as client:
            return await client.request(verb, path, content=content, headers=headers)
