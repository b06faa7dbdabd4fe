"""`memconform serve`: the embedded backend for people, in one process or in several.

Standard output carries one line of JSON once connections are accepted, and nothing else. A person
at a terminal is told on standard error what to type next.
Several workers share one listening socket and one database file; each ends when its standard
input does, so none outlives its parent.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import uvicorn

import specs
from conformance.contained import folder as temporary_folder
from conformance.reference.backend.app import create_app
from conformance.reference.backend.calls import Settings
from conformance.reference.backend.defects import DEFECTS
from conformance.reference.backend.keys import LIMITED, KeySpec, standard_keys
from conformance.reference.backend.limits import parse
from conformance.reference.backend.server import configuration, listening_socket
from conformance.reference.defects import Defects

USAGE, OURS = 2, 3
"""Exit codes: what was asked cannot be done; we failed."""


@dataclass(frozen=True)
class Options:
    """What `serve` was asked for."""

    db: str
    keys: tuple[KeySpec, ...]
    rate_limit: str | None
    defects: tuple[str, ...]
    settings: Settings
    workers: int = 1
    host: str = "127.0.0.1"
    port: int = 0

    @classmethod
    def read(cls, raw: dict[str, Any]) -> Options:
        """Return options from their JSON form."""
        keys = tuple(KeySpec(**{**k, "scopes": tuple(k["scopes"])}) for k in raw["keys"])
        settings = Settings(**raw["settings"])
        plain = {k: raw[k] for k in ("db", "rate_limit", "workers", "host", "port")}
        return cls(keys=keys, settings=settings, defects=tuple(raw["defects"]), **plain)

    def write(self) -> str:
        """Return the JSON form, one line."""
        keys = [{n: getattr(k, n) for n in KeySpec.__dataclass_fields__} for k in self.keys]
        settings = {n: getattr(self.settings, n) for n in Settings.__dataclass_fields__}
        plain = {n: getattr(self, n) for n in ("db", "rate_limit", "workers", "host", "port")}
        return json.dumps({**plain, "keys": keys, "defects": self.defects, "settings": settings})


def main(
    *,
    port: int = 0,
    host: str = "127.0.0.1",
    api_keys: Sequence[str] = (),
    member_keys: Sequence[str] = (),
    limited_keys: Sequence[str] = (),
    expired_keys: Sequence[str] = (),
    rate_limit: str | None = None,
    defects: Sequence[str] = (),
    list_defects: bool = False,
    db: str | None = None,
    workers: int = 1,
    delay: float = 0.0,
    processing_delay: float = 0.0,
    output: TextIO | None = None,
) -> int:
    """Serve until interrupted and return the exit code.

    Each of `api_keys` is the administrator of a tenant of its own; `member_keys` belong to the
    first tenant and have neither an administrator's rights nor a seat; `limited_keys` are of the
    first tenant and have a low quota of their own; `expired_keys` are past.
    Without any key a set is made up and shown in the ready line. `delay` and
    `processing_delay` are seconds. Without `db` the data goes when the server does.
    """
    out = output or sys.stdout
    if list_defects:
        for each in DEFECTS:
            print(f"{each.id}\t{each.api}\t{each.requirement}\t{each.summary}", file=out)
        return 0
    problem = _refusal(rate_limit, defects, db)
    if problem:
        print(f"memconform serve: {problem}", file=sys.stderr)  # noqa: T201
        return USAGE
    keys, made = _keys(api_keys, member_keys, limited_keys, expired_keys)
    with temporary_folder("serve") as folder:
        options = Options(
            db=db or os.path.join(folder, "backend.sqlite"),
            keys=keys,
            rate_limit=rate_limit,
            defects=tuple(defects),
            settings=Settings(processing_delay=processing_delay, delay=delay),
            workers=workers,
            host=host,
            port=port,
        )
        return _serve(options, out, made)


def _refusal(rate_limit: str | None, defects: Sequence[str], db: str | None) -> str | None:
    known = {each.id for each in DEFECTS}
    unknown = [each for each in defects if each not in known]
    if unknown:
        return f"no such defect: {', '.join(unknown)}; --list-defects names them all"
    if db and (Path(db).is_dir() or not Path(db).resolve().parent.is_dir()):
        return f"--db {db!r}: it is no file in a folder that exists; name one"
    try:
        parse(rate_limit or "1/1")
    except ValueError as why:
        return str(why)
    return None


def _keys(
    api: Sequence[str], member: Sequence[str], limited: Sequence[str], expired: Sequence[str]
) -> tuple[tuple[KeySpec, ...], dict[str, list[str]]]:
    """Return the keys to serve, and those made up here, by role: only these are shown."""
    if not (api or member or limited or expired):
        made = standard_keys()
        shown = {
            "keys": [made["first"].key, made["second"].key],
            "member_keys": [made["member"].key],
            "limited_keys": [made["limited"].key],
            "expired_keys": [made["expired"].key],
            "free_keys": [made["free"].key],
        }
        return tuple(made.values()), shown
    specs_ = [KeySpec(key, f"tenant-{n}") for n, key in enumerate(api, 1)]
    specs_ += [KeySpec(key, "tenant-1", admin=False, seat=False) for key in member]
    specs_ += [KeySpec(key, "tenant-1", rate_limit=LIMITED) for key in limited]
    specs_ += [KeySpec(key, "tenant-1", expired=True) for key in expired]
    return tuple(specs_), {"keys": []}


def _serve(options: Options, out: TextIO, made: dict[str, list[str]] | None = None) -> int:
    try:
        listening = listening_socket(options.host, options.port)
    except OSError as why:
        where = f"{options.host}:{options.port}"
        print(f"memconform serve: cannot listen on {where}: {why}", file=sys.stderr)  # noqa: T201
        return USAGE
    ready = _ready_line(listening, options.host, made or {"keys": []})
    if options.workers > 1:
        return _serve_by_workers(options, listening, out, ready)
    return _run(options, listening, lambda: _say(out, ready))


def _ready_line(listening: socket.socket, host: str, made: dict[str, list[str]]) -> str:
    shown = f"[{host}]" if ":" in host else host
    url = f"http://{shown}:{listening.getsockname()[1]}"
    apis = {name: url + specs.load(name).root.base_path for name in specs.names()}
    return json.dumps({"event": "ready", "url": url, "apis": apis, **made})


def _say(out: TextIO, line: str) -> None:
    print(line, file=out, flush=True)
    if sys.stderr.isatty() and line.startswith("{"):
        print(words(json.loads(line)), file=sys.stderr, flush=True)  # noqa: T201


def words(ready: Mapping[str, Any]) -> str:
    """Return for a person what is served, and a command to paste that judges it."""
    api, url = next(iter(ready["apis"].items()))
    keys = [*ready["keys"], *(f"limited={key}" for key in ready.get("limited_keys", ()))]
    given = " ".join(f"--api-key {key}" for key in keys) or "--api-key KEY"
    return (
        f"The reference backend serves {', '.join(ready['apis'])} at {ready['url']} until Ctrl-C.\n"
        "Judge it from another terminal:\n\n"
        f"  memconform backend --base-url {url} --api {api} {given}\n"
    )


class _Server(uvicorn.Server):
    """A server that says when it accepts connections."""

    def __init__(self, config: uvicorn.Config, ready: Any) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then tell."""
        await super().startup(sockets=sockets)
        self._ready()


def _run(options: Options, listening: socket.socket, ready: Any, shared: bool = False) -> int:
    app = create_app(
        db=options.db,
        keys={k.key: k for k in options.keys},
        rate_limit=options.rate_limit,
        defects=Defects.of(options.defects),
        settings=options.settings,
        shared=shared,
    )
    server = _Server(configuration(app), ready)
    if not _is_terminal_child():
        threading.Thread(target=_end_with_input, args=(server,), daemon=True).start()
    try:
        server.run(sockets=[listening])
    except KeyboardInterrupt:
        return 0
    return 0


def _is_terminal_child() -> bool:
    """Return True where a person or a shell started this, so that standard input means nothing."""
    return "--configured" not in sys.argv and "--worker" not in sys.argv


def _end_with_input(server: uvicorn.Server) -> None:
    sys.stdin.read()
    server.should_exit = True


def _set_with_input(stop: threading.Event) -> None:
    sys.stdin.read()
    stop.set()


def _serve_by_workers(options: Options, listening: socket.socket, out: TextIO, ready: str) -> int:
    create_app(db=options.db, keys={k.key: k for k in options.keys})
    children = [_worker(options, listening) for _ in range(options.workers)]
    for child in children:
        assert child.stdout is not None
        if not child.stdout.readline():
            _end(children)
            return OURS
    _say(out, ready)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    if not _is_terminal_child():
        threading.Thread(target=_set_with_input, args=(stop,), daemon=True).start()
    while not stop.wait(0.2):
        if any(child.poll() is not None for child in children):
            _end(children)
            return OURS
    _end(children)
    return 0


def _worker(options: Options, listening: socket.socket) -> subprocess.Popen[str]:
    number = listening.fileno()
    child = subprocess.Popen(
        [sys.executable, "-m", __spec__.name if __spec__ else __name__, "--worker", str(number)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, pass_fds=(number,),
        start_new_session=True,
    )  # fmt: skip
    assert child.stdin is not None
    child.stdin.write(options.write() + "\n")
    child.stdin.flush()
    return child


def _end(children: Sequence[subprocess.Popen[str]]) -> None:
    for child in children:
        if child.stdin is not None:
            child.stdin.close()
    for child in children:
        try:
            child.wait(5)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def _child_main(arguments: Sequence[str]) -> int:
    """Run as started by `Embedded` or as a worker: options come as one line of JSON."""
    options = Options.read(json.loads(sys.stdin.readline()))
    if arguments[0] == "--worker":
        listening = socket.socket(fileno=int(arguments[1]))
        return _run(options, listening, lambda: _say(sys.stdout, "ready"), shared=True)
    return _serve(options, sys.stdout)


if __name__ == "__main__":
    sys.exit(_child_main(sys.argv[1:]))
