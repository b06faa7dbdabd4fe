"""`memsy`: one package, two clients for two services; keywords throughout, events as objects."""

from __future__ import annotations

from types import ModuleType

from conformance.drivers.hosting.table import (
    Arguments,
    Built,
    Operation,
    Option,
    Table,
    Way,
    construct,
    way,
)


def events(module: ModuleType, arguments: Arguments) -> Built:
    """Return the arguments of `ingest`: a list of EventPayload."""
    given = arguments.get("events", [])
    if not isinstance(given, list):
        return Built((given,), {})
    made: list[object] = []
    dropped: set[str] = set()
    for event in given:
        if not isinstance(event, dict):
            made.append(event)
            continue
        payload, lost = construct(module.EventPayload, event)
        made.append(payload)
        dropped.update(f"events[].{name}" for name in lost)
    return Built((made,), {}, tuple(sorted(dropped)))


def onboarding(group: str, id: str) -> dict[str, Operation]:
    """Return the operations of roles or teams: records of an org, with an id of their own."""
    return {
        f"{group}.create": Operation(way(f"{group}.create")),
        f"{group}.list": Operation(way(f"{group}.list")),
        f"{group}.get": Operation(way(f"{group}.get")),
        f"{group}.update": Operation(way(f"{group}.update", id, "org_id")),
        f"{group}.regenerate_prompt": Operation(way(f"{group}.regenerate_prompt", id, "org_id")),
        f"{group}.delete": Operation(way(f"{group}.delete", id, "org_id")),
    }


DATA = {
    "ingest": Operation(Way("ingest", adapt=events)),
    "search": Operation(way("search")),
    "status": Operation(way("status")),
    "health": Operation(way("health")),
    "clear": Operation(way("clear", "container_tag")),
    "orgs.create": Operation(way("orgs.create")),
    "orgs.list": Operation(way("orgs.list")),
    "orgs.get": Operation(way("orgs.get", "org_id")),
    "orgs.update": Operation(way("orgs.update", "org_id")),
    "orgs.regenerate_prompt": Operation(way("orgs.regenerate_prompt", "org_id")),
    "orgs.delete": Operation(way("orgs.delete", "org_id")),
    **onboarding("roles", "role_id"),
    **onboarding("teams", "team_id"),
    "memories.list": Operation(way("memories.list")),
    "memories.stats": Operation(way("memories.stats")),
    "memories.get": Operation(way("memories.get", "memory_id")),
}

CONTROL = {
    "me": Operation(way("me")),
    "health": Operation(None, also=(way("health"),)),
    "events.list": Operation(way("events.list")),
    "usage.summary": Operation(way("usage.summary")),
    "usage.timeseries": Operation(way("usage.timeseries")),
    "billing.summary": Operation(way("billing.summary")),
    "billing.invoices": Operation(way("billing.invoices")),
    "keys.list": Operation(way("keys.list")),
    "keys.create": Operation(way("keys.create", "name")),
    "keys.usage": Operation(way("keys.usage", "key_id")),
    "keys.delete": Operation(way("keys.delete", "key_id")),
    "interest.express": Operation(way("interest.express")),
    "interest.status": Operation(way("interest.status")),
}

OPTIONS = {
    "api-key": Option("api_key"),
    "base-url": Option("base_url"),
    "timeout": Option("timeout"),
    "max-retries": Option("max_retries"),
    "backoff-base": Option("retry_backoff"),
}

EXCEPTIONS = (
    "MemsyError",
    "MemsyConnectionError",
    "MemsyAPIError",
    "AuthenticationError",
    "AuthorizationError",
    "BillingNotEnabledError",
    "FeatureNotAvailable",
    "KeyLimitReachedError",
    "OrgIdNotAllowedError",
    "OrgLimitReachedError",
    "RateLimitExceeded",
    "SeatLimitReachedError",
    "SeatRequiredError",
    "UsageLimitExceeded",
)

TABLES = (
    Table(
        api="memsy",
        package="memsy",
        module="memsy",
        clients={"sync": "MemsyClient", "async": "AsyncMemsyClient"},
        operations=DATA,
        options=OPTIONS,
        exceptions=EXCEPTIONS,
        exceptions_module="memsy.exceptions",
    ),
    Table(
        api="memsy-control",
        package="memsy",
        module="memsy",
        clients={"sync": "MemsyControlClient", "async": "AsyncMemsyControlClient"},
        operations=CONTROL,
        options=OPTIONS,
        exceptions=EXCEPTIONS,
        exceptions_module="memsy.exceptions",
    ),
)
