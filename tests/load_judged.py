"""Good answers of each operation, and what the load judge says of them."""

import json
import time

import specs
from load.judge import PLAIN, Asked, Judge, exchange_of
from specs.examples import example_response

NOW = time.time()


EVERY = [(api, o.id) for api in specs.names() for o in specs.load(api)]


def good(api: str, operation: str) -> tuple[Judge, int, bytes, bytes]:
    """Return a judge with an answer as the contract declares it."""
    declared = specs.load(api)[operation]
    status, headers, body = example_response(declared)
    limit = declared.rate_limit
    if limit is not None and limit.headers != "none":
        fields = (limit.limit, limit.remaining, limit.reset)
        values = ("100", "42", str(int(NOW) + 30))
        headers |= {str(n).lower(): v for n, v in zip(fields, values, strict=True)}
    if declared.usage is not None:
        if declared.usage.plan:
            headers[declared.usage.plan.lower()] = "pro"
        for figure in declared.usage.figures:
            headers[figure.used.lower()] = "1"
            if figure.limit:
                headers[figure.limit.lower()] = "100"
    raw = (
        b""
        if body is None
        else body.encode()
        if isinstance(body, str)
        else json.dumps(body).encode()
    )
    lines = [f"HTTP/1.1 {status} OK", *(f"{n}: {v}" for n, v in headers.items())]
    return Judge(declared), status, ("\r\n".join(lines) + "\r\n").encode(), raw


def told(judge: Judge, status: int, head: bytes, body: bytes, asked: Asked = PLAIN) -> list[str]:
    """Return the causes that the oracles find in an answer."""
    data = f"{judge.operation.verb} /x HTTP/1.1\r\n\r\n".encode()
    exchange = exchange_of(1, judge.operation.id, data, status, head, body, 0.0, 0.1)
    return [f.cause for f in judge.explain(exchange, asked, NOW)]
