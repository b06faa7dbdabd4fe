"""`octamem`: keywords, and one name on the wire in camel case."""

from __future__ import annotations

from conformance.drivers.hosting.table import Operation, Option, Table, way

CONTEXT = {"previousContext": "previous_context"}

OPERATIONS = {
    "search": Operation(way("get", rename=CONTEXT)),
    "add": Operation(way("add", rename=CONTEXT)),
    "details": Operation(way("details")),
}

TABLES = (
    Table(
        api="octamem",
        package="octamem",
        module="octamem",
        clients={"sync": "OctaMem", "async": "AsyncOctaMem"},
        operations=OPERATIONS,
        options={
            "api-key": Option("api_key"),
            "base-url": Option("base_url"),
            "timeout": Option("timeout"),
            "max-retries": Option("max_retries"),
            "backoff-base": Option("retry_delay"),
        },
        exceptions=(
            "OctaMemError",
            "AuthenticationError",
            "MethodNotSupportedError",
            "NotFoundError",
            "ValidationError",
            "RateLimitError",
            "APIError",
            "APIConnectionError",
            "APITimeoutError",
            "InternalServerError",
        ),
    ),
)
