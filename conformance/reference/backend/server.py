"""The embedded backend, running: on a thread of this process or as a process of its own.

A thread starts in milliseconds and shares its `Defects` with the caller; a process (with any
number of workers) leaves the caller's interpreter to the caller. Both listen on 127.0.0.1, on a
port that the system picks.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self

import uvicorn

import specs
from conformance.clock import Clock
from conformance.contained import folder
from conformance.reference.backend.app import create_app
from conformance.reference.backend.calls import Settings
from conformance.reference.backend.keys import KeySpec, standard_keys
from conformance.reference.defects import Defects
from specs import Contract

READY_SECONDS = 30.0
"""Longest wait for a server to listen; it takes well under two."""


def listening_socket(host: str, port: int) -> socket.socket:
    """Return a socket that listens; port 0 lets the system pick. Raises OSError where it cannot."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol is named because asyncio sets TCP_NODELAY only where it is; without it every
    # answer waits 40 ms for the peer's delayed acknowledgement.
    made = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((host, port))
    except OSError:
        made.close()
        raise
    made.listen(2048)
    return made


def configuration(app: Any) -> uvicorn.Config:
    """Return how uvicorn runs an application here: quiet, keep-alive, no proxy headers."""
    return uvicorn.Config(
        app,
        http="httptools",
        log_config=None,
        log_level="error",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=2,
        ws="none",
        lifespan="on",
    )


class Embedded:
    """A running backend.

    >>> with Embedded() as backend:
    ...     backend.url_for("claiv")  # doctest: +SKIP

    `keys` are the keys of two tenants, unless others are given; `member_key` is one of the first
    tenant without an administrator's rights and without a seat, `expired_key` one that is past.
    With `process` it runs in `workers` processes of its own, and defects are switched on there.
    """

    def __init__(
        self,
        keys: Mapping[str, KeySpec] | Sequence[str] | None = None,
        *,
        db: str | None = None,
        rate_limit: str | None = None,
        defects: Defects | None = None,
        contracts: Sequence[Contract] | None = None,
        clock: Clock | None = None,
        settings: Settings | None = None,
        process: bool = False,
        workers: int = 1,
    ) -> None:
        given = standard_keys() if keys is None else keys
        self._specs = _as_specs(given)
        self._room = ExitStack()
        place = self._room.enter_context(folder("backend"))
        self.db = db or str(place / "backend.sqlite")
        self.defects = defects or Defects()
        self.url = ""
        self._app: dict[str, Any] = {
            "rate_limit": rate_limit, "contracts": contracts, "clock": clock, "settings": settings,
        }  # fmt: skip
        self._process, self._workers = process, workers
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None
        self._child: subprocess.Popen[str] | None = None

    @property
    def keys(self) -> list[str]:
        """Usable keys with all rights, one for each tenant."""
        usable = [
            s for s in self._specs if s.admin and s.seat and not s.expired and not s.rate_limit
        ]
        return list({s.tenant: s.key for s in reversed(usable)}.values())[::-1]

    @property
    def member_key(self) -> str | None:
        """A usable key without rights; None where none was given."""
        return next((s.key for s in self._specs if not s.admin and not s.expired), None)

    @property
    def limited_key(self) -> str | None:
        """A usable key with a low quota of its own (`LIMITED`); None where none was given."""
        return next((s.key for s in self._specs if s.rate_limit and not s.expired), None)

    @property
    def expired_key(self) -> str | None:
        """A key that is past; None where none was given."""
        return next((s.key for s in self._specs if s.expired), None)

    def url_for(self, api: str) -> str:
        """Return the base URL of an API, without a closing slash."""
        contracts = self._app["contracts"]
        known = {c.api: c for c in contracts} if contracts is not None else {}
        contract = known.get(api) or specs.load(api)
        return self.url + contract.root.base_path.rstrip("/")

    def start(self) -> Self:
        """Start serving and return once connections are accepted.

        Raises RuntimeError where the server does not come up.
        """
        if self._process:
            self._start_process()
        else:
            self._start_thread()
        return self

    def close(self) -> None:
        """Stop serving and remove the temporary folder; a second time does nothing."""
        if self._server is not None and self._thread is not None:
            self._server.should_exit = True
            self._thread.join(10)
            self._server = None
        if self._child is not None:
            assert self._child.stdin is not None
            self._child.stdin.close()
            try:
                self._child.wait(10)
            except subprocess.TimeoutExpired:
                self._child.kill()
                self._child.wait()
            assert self._child.stdout is not None
            self._child.stdout.close()
            self._child = None
        self._room.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _start_thread(self) -> None:
        app = create_app(
            db=self.db, keys={s.key: s for s in self._specs}, defects=self.defects, **self._app
        )
        listening = listening_socket("127.0.0.1", 0)
        self._server = server = uvicorn.Server(configuration(app))
        ready = threading.Event()
        original = server.startup

        async def startup(sockets: list[socket.socket] | None = None) -> None:
            await original(sockets=sockets)
            ready.set()

        server.startup = startup  # type: ignore[method-assign]
        self._thread = threading.Thread(
            target=server.run, kwargs={"sockets": [listening]}, name="backend", daemon=True
        )
        self._thread.start()
        if not ready.wait(READY_SECONDS):
            raise RuntimeError(f"the embedded backend did not start in {READY_SECONDS:.0f} s")
        self.url = f"http://127.0.0.1:{listening.getsockname()[1]}"

    def _start_process(self) -> None:
        if self._app["contracts"] is not None or self._app["clock"] is not None:
            raise ValueError("contracts and a clock cannot be handed to another process")
        settings = self._app["settings"] or Settings()
        config = {
            "db": self.db,
            "keys": [_as_json(s) for s in self._specs],
            "rate_limit": self._app["rate_limit"],
            "defects": sorted(self.defects.active),
            "settings": {
                "processing_delay": settings.processing_delay,
                "delay": settings.delay,
                "max_body": settings.max_body,
            },
            "workers": self._workers,
            "host": "127.0.0.1",
            "port": 0,
        }
        self._child = subprocess.Popen(
            [sys.executable, "-m", "conformance.reference.backend.serve", "--configured"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self._child.stdin.write(json.dumps(config) + "\n")
        self._child.stdin.flush()
        line = self._child.stdout.readline()
        if not line:
            self.close()
            raise RuntimeError("the embedded backend's process ended before it was ready")
        self.url = json.loads(line)["url"]


def _as_specs(keys: Mapping[str, KeySpec] | Sequence[str]) -> list[KeySpec]:
    if isinstance(keys, Mapping):
        return list(keys.values())
    return [KeySpec(key, f"tenant-{number}") for number, key in enumerate(keys, 1)]


def _as_json(spec: KeySpec) -> dict[str, Any]:
    return {name: getattr(spec, name) for name in KeySpec.__dataclass_fields__}
