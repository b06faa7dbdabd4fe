"""`claiv-memory`: requests are dicts, the names on the wire are the names in them."""

from __future__ import annotations

from conformance.drivers.hosting.table import Operation, Option, Table, way

OPERATIONS = {
    "ingest": Operation(way("ingest", rest="dict"), also=(way("ingest_v6", rest="dict"),)),
    "recall": Operation(way("recall", rest="dict"), also=(way("recall_v6", rest="dict"),)),
    "forget": Operation(way("forget", rest="dict")),
    "usage.summary": Operation(way("get_usage_summary", "range")),
    "usage.breakdown": Operation(way("get_usage_breakdown", "range")),
    "usage.limits": Operation(way("get_usage_limits")),
    "health": Operation(way("health_check")),
    "receipts.list": Operation(None, also=(way("list_deletion_receipts"),)),
    "receipts.get": Operation(None, also=(way("get_deletion_receipt", "receipt_id"),)),
    "recall_v2": Operation(None, also=(way("recall_v2", rest="dict"),)),
    "forget_v2": Operation(None, also=(way("forget_v2", rest="dict"),)),
}

TABLES = (
    Table(
        api="claiv",
        package="claiv-memory",
        module="claiv",
        clients={"sync": "ClaivClient", "async": "AsyncClaivClient"},
        operations=OPERATIONS,
        options={
            "api-key": Option("api_key"),
            "base-url": Option("base_url"),
            "timeout": Option("timeout"),
            "max-retries": Option("max_retries"),
            "http-client": Option(
                "http_client", new={"sync": "httpx:Client", "async": "httpx:AsyncClient"}
            ),
        },
        exceptions=("ClaivError", "ClaivApiError", "ClaivTimeoutError", "ClaivNetworkError"),
    ),
)
