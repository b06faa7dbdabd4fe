"""A server for benchmarks: one memory resource as `sovant` declares it, as fast as Python goes.

Answers are whole and right (schema, rate-limit headers, the id that was asked for), so that they
can be judged; bodies differ from one another, request ids from answer to answer. `--stall AT`
stops answering for a second, once, AT seconds after the first request; `--wrong N` makes every
Nth read wrong, in the ways of `DAMAGES` by turns; `--fresh` gives each answer a body that none
before it had. Run as a process of its own; prints its port.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time

MEMORY = {
    "type": "journal",
    "tags": ["support"],
    "metadata": {"ticket_id": "12345"},
    "thread_id": None,
    "is_archived": False,
    "created_at": "2026-01-01T00:00:00.000Z",
    "updated_at": "2026-01-01T00:00:00.000Z",
}
TICKET = b'"12345"'
HEAD = (
    "HTTP/1.1 {status}\r\ncontent-type: application/json\r\nx-ratelimit-limit: 1000000\r\n"
    "x-ratelimit-remaining: {left}\r\nx-ratelimit-reset: {reset}\r\n"
    "content-length: {length}\r\nx-request-id: req_"
)
DAMAGES = (
    (b'"journal"', b'"nothing"'),  # an enum's value
    (b'"is_archived": false', b'"is_archived":  null'),  # a type
    (b'"created_at": "2026', b'"created_at": "none'),  # a format
    (b'{"id": "mem_0', b'{"id": "mem_9'),  # another memory than was asked for
    (b"remaining: ", b"remaining: 9"),  # more left than there are
    (b"-reset: 1", b"-reset: 4"),  # a window that ends in a lifetime
    (b"application/json", b"text/html"),
    (b"\r\nx-ratelimit-limit: 1000000", b""),
    (b"req_%d", b"req_%d"),  # the id that the answer before it had
)
"""What is replaced in a right answer by what; bodies keep their length."""
NOT_FOUND = b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"


class Memories:
    """Answers made beforehand, by path, but for the request id and what comes after it."""

    def __init__(self, fresh: bool = False) -> None:
        self.fresh = fresh
        self.answers: dict[bytes, tuple[bytes, bytes]] = {}
        self.count = self.requests = self.reads = 0
        for _ in range(64):
            self.create(f"made beforehand {self.count}")

    def create(self, content: str) -> bytes:
        """Store a memory and return the answer that says so."""
        self.count += 1
        name = f"mem_{self.count:020d}"
        body = json.dumps({"id": name, "content": content, **MEMORY}).encode()
        self.answers[b"/api/v1/memories/" + name.encode()] = self._answer("200 OK", body)
        return self.whole(self._answer("201 Created", body))

    def whole(self, answer: tuple[bytes, bytes]) -> bytes:
        """Return an answer with a request id that none before it had."""
        self.requests += 1
        body = answer[1]
        if self.fresh:
            body = body.replace(TICKET, b'"%05d"' % (self.requests % 100_000), 1)
        return b"%b%d%b" % (answer[0], self.requests, body)

    def _answer(self, status: str, body: bytes) -> tuple[bytes, bytes]:
        head = HEAD.format(
            status=status, left=999_999 - self.count % 1000, reset=int(time.time()) + 3600,
            length=len(body),
        )  # fmt: skip
        return head.encode(), b"\r\n\r\n" + body


class Protocol(asyncio.Protocol):
    """One connection: requests come whole, as small ones do on loopback."""

    def __init__(self, memories: Memories, stall_at: float | None, wrong: int = 0) -> None:
        self.memories = memories
        self.stall_at = stall_at
        self.wrong = wrong

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.write = transport.write  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        """Answer one request."""
        if self.stall_at is not None:
            _stall_once(self.stall_at)
        verb, path, _ = data.split(b" ", 2)
        if verb == b"GET":
            answer = self.memories.answers.get(path)
            whole = self.memories.whole(answer) if answer is not None else NOT_FOUND
            if self.wrong:
                whole = self.damaged(whole)
            self.write(whole)
            return
        content = json.loads(data.partition(b"\r\n\r\n")[2])["content"]
        self.write(self.memories.create(content))

    def damaged(self, answer: bytes) -> bytes:
        """Return every so manyeth answer damaged, the others as they are."""
        self.memories.reads += 1
        turn, left = divmod(self.memories.reads, self.wrong)
        if left:
            return answer
        right, wrong = DAMAGES[turn % len(DAMAGES)]
        if b"%d" in right:
            right, wrong = right % self.memories.requests, wrong % (self.memories.requests - 1)
        return answer.replace(right, wrong, 1)


_BEGAN: list[float] = []
_STALLED: list[bool] = []


def _stall_once(at: float) -> None:
    now = time.monotonic()
    if not _BEGAN:
        _BEGAN.append(now)
    if not _STALLED and now - _BEGAN[0] >= at:
        _STALLED.append(True)
        time.sleep(1.0)


async def _serve(stall_at: float | None, wrong: int, fresh: bool) -> None:
    memories = Memories(fresh)
    server = await asyncio.get_running_loop().create_server(
        lambda: Protocol(memories, stall_at, wrong), "127.0.0.1", 0, backlog=1024
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--stall", type=float)
    parser.add_argument("--wrong", type=int, default=0)
    parser.add_argument("--fresh", action="store_true")
    given = parser.parse_args()
    asyncio.run(_serve(given.stall, given.wrong, given.fresh))
