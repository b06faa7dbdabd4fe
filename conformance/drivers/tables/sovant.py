"""`sovant`: the document groups methods (`memory.create`), the releases have flat ones.

The flat ones (`memory_create`) take the same things otherwise: objects or keywords where the
document has dicts. Documented methods that no release has are named all the same.
"""

from __future__ import annotations

from types import ModuleType

from conformance.drivers.hosting.table import (
    Arguments,
    Built,
    Operation,
    Option,
    Table,
    Way,
    way,
)


def created_only(module: ModuleType, arguments: Arguments) -> Built:
    """Return the arguments of `memory_create_batch`: a list of what is to be created."""
    operations = arguments.get("operations", [])
    if not isinstance(operations, list):
        return Built((operations,), {})
    creates = [o["data"] for o in operations if isinstance(o, dict) and o.get("op") == "create"]
    others = sorted({str(o.get("op")) for o in operations if isinstance(o, dict)} - {"create"})
    return Built((creates,), {}, tuple(f"operations[op={op}]" for op in others))


def whole(expression: str, *first: str, **more: object) -> Way:
    """Return a way that passes one dict after the ids."""
    return way(expression, *first, rest="dict", **more)


MEMORY = {
    "memory.create": Operation(
        whole("memory.create"),
        also=(
            way("memory_create", rest="model", model="MemoryCreate", rename={"content": "data"}),
        ),
    ),
    "memory.list": Operation(whole("memory.list"), also=(way("memory_list"),)),
    "memory.get": Operation(way("memory.get", "id"), also=(way("memory_get", "id"),)),
    "memory.update": Operation(whole("memory.update", "id"), also=(whole("memory_update", "id"),)),
    "memory.put": Operation(whole("memory.put", "id"), also=(whole("memory_put", "id"),)),
    "memory.delete": Operation(way("memory.delete", "id"), also=(way("memory_delete", "id"),)),
    "memory.search": Operation(
        whole("memory.search"), also=(way("memory_search", rest="model", model="SearchQuery"),)
    ),
    "memory.batch": Operation(
        whole("memory.batch"), also=(Way("memory_create_batch", adapt=created_only),)
    ),
}

THREADS = {
    "threads.create": Operation(whole("threads.create"), also=(way("threads_create"),)),
    "threads.list": Operation(whole("threads.list"), also=(way("threads_list"),)),
    "threads.get": Operation(way("threads.get", "id"), also=(way("threads_get", "id"),)),
    "threads.update": Operation(whole("threads.update", "id"), also=(way("threads_update", "id"),)),
    "threads.delete": Operation(way("threads.delete", "id"), also=(way("threads_delete", "id"),)),
    "threads.link_memory": Operation(
        way("threads.link_memory", "id", "memory_id"),
        also=(way("threads_link_memory", "id", "memory_id"),),
    ),
}

CHAT = {
    "chat.create_session": Operation(whole("chat.create_session")),
    "chat.send_message": Operation(
        whole("chat.send_message", "id", "content", beside=("stream",), always=False)
    ),
    "chat.get_messages": Operation(way("chat.get_messages", "id")),
}

RECALL = {
    "recall.extract_profile": Operation(way("recall.extract_profile", "text")),
    "recall.save_profile_fact": Operation(whole("recall.save_profile_fact")),
    "recall.get_profile_facts": Operation(way("recall.get_profile_facts")),
}

KEYS = {
    "keys.list": Operation(way("keys.list")),
    "keys.create": Operation(whole("keys.create")),
    "keys.update": Operation(whole("keys.update", "id")),
    "keys.revoke": Operation(way("keys.revoke", "id")),
}

TABLES = (
    Table(
        api="sovant",
        package="sovant",
        module="sovant",
        clients={"sync": "Sovant"},
        operations={**MEMORY, **THREADS, **CHAT, **RECALL, **KEYS},
        options={
            "api-key": Option("api_key"),
            "base-url": Option("base_url"),
            "timeout": Option("timeout"),
            "max-retries": Option("max_retries"),
            "debug": Option("debug"),
        },
        exceptions=("SovantError", "AuthError", "RateLimitError", "NetworkError", "TimeoutError"),
    ),
)
