"""Peak memory and leftovers under attacks on memory: `python -m tests.bench.hostile [NAME ...]`.

Each attack is a server, a build, a driver or a file that gives more than memory holds. memconform
runs against it as a person would, in a process of its own; watched are the memory of the largest
process and of all together, and what is left behind: processes, temporary folders, open ports.
Exits 1 if one process took a gigabyte, or if anything was left.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

MOST = 1024 * 1024 * 1024
"""Bytes that the largest process may take."""
ROOT = Path(__file__).parents[2]
KEY = "a-key-of-the-hostile-bench"
OK = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
LIST = json.dumps({"id": f"{'x' * 1000}", "content": "y" * 28_000}).encode()
Say = Callable[[socket.socket], None]


def _endless_trailers(sock: socket.socket) -> None:
    sock.sendall(OK + b"transfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n")
    while True:
        sock.sendall(b"x-trailer: " + b"y" * 60_000 + b"\r\n")


def _short_trailers(sock: socket.socket) -> None:
    sock.sendall(OK + b"transfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n")
    while True:
        sock.sendall(b"a:\r\n" * 15_000)


def _endless_body(sock: socket.socket) -> None:
    sock.sendall(OK + b'transfer-encoding: chunked\r\n\r\n2\r\n{"\r\n')
    while True:
        sock.sendall(b"10000\r\n" + b"z" * 65_536 + b"\r\n")


def _whole(body: bytes) -> Say:
    def say(sock: socket.socket) -> None:
        sock.sendall(OK + b"content-length: %d\r\n\r\n" % len(body) + body)

    return say


def _many_fields(sock: socket.socket) -> None:
    sock.sendall(OK + b"a:\r\n" * 60_000 + b"content-length: 2\r\n\r\n{}")


SERVERS: dict[str, Say] = {
    "endless trailers": _endless_trailers,
    "endless short trailers": _short_trailers,
    "endless bodies": _endless_body,
    "answers of 30 MB": _whole(b'{"x": "' + b"y" * 30_000_000 + b'"}'),
    "7 MB of empty lists": _whole(b"[" + b"[]," * 2_400_000 + b"[]]"),
    "lists without end": _whole(
        b'{"memories": [' + b",".join([LIST] * 100) + b'], "has_more": true, "total": 99999999}'
    ),
    "60,000 fields": _many_fields,
}


@contextlib.contextmanager
def _served(say: Say) -> Iterator[str]:
    listener = socket.create_server(("127.0.0.1", 0), backlog=256)

    def answer(near: socket.socket) -> None:
        with near, contextlib.suppress(OSError):
            data = b""
            while True:
                while b"\r\n\r\n" not in data:
                    more = near.recv(65_536)
                    if not more:
                        return
                    data += more
                data = b""  # bodies are small: one piece
                say(near)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = listener.accept()
                threading.Thread(target=answer, args=(near,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    with listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/sovant"


@dataclass
class Watched:
    """What one run took and left."""

    name: str
    code: int
    seconds: float
    largest: int = 0
    """Bytes of the largest process at its height."""
    whole: int = 0
    left: str = ""
    words: str = ""

    @property
    def wrong(self) -> bool:
        """True where it took too much, left something, or ended in an error of ours."""
        return self.largest >= MOST or bool(self.left) or "an error of its own" in self.words


def _tree(pid: int) -> list[psutil.Process]:
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    return []


def watch(name: str, words: list[str], limit: float = 400.0) -> Watched:
    """Run memconform with these words and watch it; what it leaves is looked for at its end."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        mine = {"TMPDIR": folder, "MEMCONFORM_CACHE": str(place / "cache")}
        child = subprocess.Popen(
            [sys.executable, "-m", "conformance", *words], cwd=ROOT, env={**os.environ, **mine},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        assert child.stdout is not None
        said: list[bytes] = []
        reader = threading.Thread(target=lambda: said.append(child.stdout.read()), daemon=True)  # type: ignore[union-attr]
        reader.start()
        made, began = Watched(name, -1, 0.0), time.monotonic()
        while child.poll() is None and time.monotonic() < began + limit:
            sizes = []
            for process in _tree(child.pid):
                with contextlib.suppress(psutil.Error):
                    sizes.append(process.memory_info().rss)
            made.largest = max(made.largest, *sizes, 0)
            made.whole = max(made.whole, sum(sizes))
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(0.02)
        if child.poll() is None:
            child.kill()
        made.code, made.seconds = child.wait(), time.monotonic() - began
        reader.join(10)
        made.words = b"".join(said).decode("utf-8", "replace")
        made.left = ", ".join(_left(place))
    return made


def _left(place: Path) -> Iterator[str]:
    """Yield what a run left: folders, processes that know its folder, and ports they hold."""
    yield from (p.name for p in place.iterdir() if p.name not in ("cache",))
    for process in psutil.process_iter(["pid"]):
        with contextlib.suppress(psutil.Error):
            if process.environ().get("TMPDIR") == str(place):
                yield f"process {process.pid}"
                yield from (f"port {c.laddr.port}" for c in process.net_connections("inet"))


BUILD = """
import sys
def _print(*_, **__):
    for _ in range(9000):
        sys.stdout.write("x" * 65000 + "\\n")
        sys.stderr.write("y" * 200 + "\\n")
    raise SystemExit("the build fails")
get_requires_for_build_wheel = get_requires_for_build_editable = lambda *_, **__: []
build_wheel = prepare_metadata_for_build_wheel = _print
"""
PROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
[project]
name = "prints"
version = "1"
"""
DRIVER = """
import sys
for line in sys.stdin:
    sys.stderr.write("e" * 50_000_000)
    sys.stdout.write('{"reply": "hello", "x": "' + "y" * 15_000_000)
    while True:
        sys.stdout.write("z" * 1_000_000)
"""
ALIASES = "openapi: 3.1.0\na0: &a0 [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)
)


def attacks(folder: Path) -> Iterator[tuple[str, Say | None, list[str]]]:
    """Yield (name, what the server says, words): URL stands for the server's address."""
    backend = ["backend", "--base-url", "URL", "--api", "sovant", "--api-key", KEY, "--fast",
               "--max-seconds", "40", "--timeout", "5", "--out", str(folder / "out")]  # fmt: skip
    for name, say in SERVERS.items():
        yield name, say, backend
    load = ["load", "--base-url", "URL", "--api", "sovant", "--api-key", KEY, "--seconds", "5",
            "--timeout", "5", "--out", str(folder / "load")]  # fmt: skip
    for name in ("answers of 30 MB", "7 MB of empty lists", "endless trailers"):
        yield f"load: {name}", SERVERS[name], load
    source = folder / "prints"
    source.mkdir()
    (source / "backend.py").write_text(BUILD, "utf-8")
    (source / "pyproject.toml").write_text(PROJECT, "utf-8")
    yield "a build prints 600 MB", None, ["sdk", str(source), "--api", "octamem",
                                          "--out", str(folder / "sdk")]  # fmt: skip
    (folder / "driver.py").write_text(DRIVER, "utf-8")
    yield "a driver floods", None, [
        "sdk", "--driver", f"{sys.executable} {folder / 'driver.py'}", "--api", "octamem",
        "--case", "surface.", "--out", str(folder / "driven"),
    ]  # fmt: skip
    (folder / "aliases.yaml").write_text(ALIASES, "utf-8")
    yield "aliases of YAML", None, ["spec", "check", str(folder / "aliases.yaml")]
    with (folder / "long.yaml").open("w") as file:
        file.writelines("a: [x, x, x, x]\n" * 1000 for _ in range(20_000))
    yield "a spec of 320 MB", None, ["spec", "check", str(folder / "long.yaml")]


def main(wanted: list[str]) -> int:
    """Run the attacks (all, or those whose names begin so), print a table; 1 if one is wrong."""
    wrong = 0
    print(f"{'attack':28} {'exit':>4} {'seconds':>7} {'largest':>9} {'all':>9}  left behind")
    with tempfile.TemporaryDirectory() as folder:
        for name, say, words in attacks(Path(folder)):
            if wanted and not name.startswith(tuple(wanted)):
                continue
            with _served(say) if say else contextlib.nullcontext("") as url:
                made = watch(name, [url if word == "URL" else word for word in words])
            wrong += made.wrong
            print(
                f"{name:28} {made.code:4} {made.seconds:7.1f} {made.largest >> 20:6} MB "
                f"{made.whole >> 20:6} MB  {made.left or 'nothing'}", flush=True,
            )  # fmt: skip
            if made.wrong:
                print(made.words[-2000:])
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
