"""How fast the embedded backend answers a read, beside a bare Starlette route.

    python tests/bench/backend.py [--seconds 3] [--connections 16]

Both servers run under the same uvicorn settings in a process of their own and are driven in
turn, several rounds each, over keep-alive connections by the same plain client. Printed are
answers a second, the server's CPU time per answer where the system tells it, and the ratios.
A server that is kept busy answers as many requests as its CPU time allows, so the exit code
goes by CPU time, which neighbours on the machine disturb least: 1 where the ratio is below 0.4.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

FLOOR = 0.4
BARE = """
import sys
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route
import uvicorn
from conformance.reference.backend.server import configuration, listening_socket

MEMORY = {memory!r}

async def show(request):
    return JSONResponse(MEMORY)

listening = listening_socket("127.0.0.1", 0)
print(listening.getsockname()[1], flush=True)
uvicorn.Server(configuration(Starlette(routes=[Route("/memories/{{id}}", show)]))).run([listening])
"""
OURS = """
import sys
from conformance.reference.backend.app import create_app
from conformance.reference.backend.keys import KeySpec
from conformance.reference.backend.server import configuration, listening_socket
import uvicorn

listening = listening_socket("127.0.0.1", 0)
print(listening.getsockname()[1], flush=True)
app = create_app(db=sys.argv[1], keys=["bench-key-of-one-tenant"], rate_limit="100000000/60")
uvicorn.Server(configuration(app)).run([listening])
"""
HEADERS = "host: 127.0.0.1\r\nx-sovant-api-key: bench-key-of-one-tenant\r\n"


class Client(asyncio.Protocol):
    """One connection that asks again as soon as it is answered."""

    def __init__(self, request: bytes) -> None:
        self.request, self.answers, self.buffer = request, 0, b""
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the first time."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        """Count a whole answer and ask again."""
        self.buffer += data
        head, end, body = self.buffer.partition(b"\r\n\r\n")
        if not end:
            return
        assert head.startswith(b"HTTP/1.1 200"), head[:200]
        length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        if len(body) >= length:
            self.buffer = b""
            self.answers += 1
            assert self.transport is not None
            self.transport.write(self.request)


async def drive(port: int, path: str, connections: int, seconds: float) -> float:
    """Return answers a second."""
    loop = asyncio.get_running_loop()
    request = f"GET {path} HTTP/1.1\r\n{HEADERS}\r\n".encode()
    made = [
        await loop.create_connection(lambda: Client(request), "127.0.0.1", port)
        for _ in range(connections)
    ]
    started = time.perf_counter()
    await asyncio.sleep(seconds)
    taken = time.perf_counter() - started
    answers = sum(client.answers for _, client in made)
    for transport, _ in made:
        transport.abort()
    return answers / taken


def cpu_seconds(pid: int) -> float:
    """Return a process' CPU time so far; NaN where the system does not tell."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError):
        return float("nan")


def create(port: int) -> dict[str, object]:
    """Store one memory in our backend and return it."""
    body = json.dumps({"content": "Prefers short answers", "tags": ["bench"]}).encode()
    import http.client

    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request(
        "POST", "/sovant/api/v1/memory", body,
        {"content-type": "application/json", "x-sovant-api-key": "bench-key-of-one-tenant"},
    )  # fmt: skip
    found: dict[str, object] = json.loads(connection.getresponse().read())
    return found


def start(code: str, *arguments: str) -> tuple[subprocess.Popen[str], int]:
    """Start a server and return it with its port."""
    child = subprocess.Popen(
        [sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    return child, int(child.stdout.readline())


def main() -> int:
    """Measure and print; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each round; default 2")
    parser.add_argument("--rounds", type=int, default=3, help="of each server; default 3")
    parser.add_argument("--connections", type=int, default=16, help="at once; default 16")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        ours, port = start(OURS, os.path.join(folder, "bench.sqlite"))
        time.sleep(1)
        memory = create(port)
        bare, bare_port = start(BARE.format(memory=memory))
        time.sleep(1)
        rates: dict[str, list[float]] = {"bare": [], "ours": []}
        costs: dict[str, list[float]] = {"bare": [], "ours": []}
        targets = {
            "bare": (bare, bare_port, f"/memories/{memory['id']}"),
            "ours": (ours, port, f"/sovant/api/v1/memories/{memory['id']}"),
        }
        try:
            for _ in range(asked.rounds):
                for name, (child, where, path) in targets.items():
                    before = cpu_seconds(child.pid)
                    rate = asyncio.run(drive(where, path, asked.connections, asked.seconds))
                    spent = cpu_seconds(child.pid) - before
                    rates[name].append(rate)
                    costs[name].append(spent / (rate * asked.seconds) * 1e6)
        finally:
            for child in (ours, bare):
                child.terminate()
                child.wait()
    rate = {name: statistics.median(found) for name, found in rates.items()}
    cost = {name: statistics.median(found) for name, found in costs.items()}
    for name in rate:
        print(f"{name}: {rate[name]:8.0f} answers/s {cost[name]:8.0f} µs CPU per answer")
    ratio = rate["ours"] / rate["bare"]
    by_cpu = cost["bare"] / cost["ours"]
    print(f"ratio: {ratio:.2f} by answers/s, {by_cpu:.2f} by CPU")
    return 0 if (by_cpu if by_cpu == by_cpu else ratio) >= FLOOR else 1


if __name__ == "__main__":
    sys.exit(main())
