"""The published servers that nobody here wrote: how each is installed, started and seeded.

Nothing of them is kept here: packages come from their registries when the bench runs, into a
folder of its own. What an owner has on a server is created by plain HTTP, without memconform.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Call = tuple[str, str, Any]
"""Method, path below the root of the server, JSON body (None: none)."""


@dataclass(frozen=True)
class Published:
    """One server: packages, command line, where its description is, what its owner has.

    In words `{port}`, `{other}` (a second free port), `{home}` and `{bin}` stand for what the
    bench chooses.
    """

    name: str
    packages: tuple[str, ...]
    command: tuple[str, ...]
    spec: str
    environment: Mapping[str, str] = field(default_factory=dict)
    kind: str = "pypi"
    before: tuple[tuple[str, ...], ...] = ()
    """Commands that prepare its data."""
    base: str = ""
    key: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    """How its owner shows the key by plain HTTP."""
    seeds: tuple[Call, ...] = ()
    """What its owner creates before the run."""
    shown: tuple[Call, ...] = ()
    """Reads that show what the owner has; their answers must be the same after the run."""
    extensions: bool = False
    """True if it needs a Python whose SQLite loads extensions."""
    python: tuple[int, int] = (3, 11)
    exclude: tuple[str, ...] = ()
    """Properties that change by being read."""
    described: str = ""
    """File beside this one that describes it, where it does not describe itself."""


def _basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


def _bearer(text: str) -> Mapping[str, str]:
    return {"authorization": f"Bearer {text}"}


MEMORY_KEY = "bench-key-of-the-owner-1234567890"
DIRECTUS_TOKEN = "bench-token-of-the-admin-123456"
HOMES = "/api/v2/tenants/default_tenant/databases/default_database/collections"

SERVERS: tuple[Published, ...] = (
    Published(
        "mcp-memory-service", ("mcp-memory-service==12.4.0",),
        ("{bin}/memory", "server", "--http", "--http-host", "127.0.0.1", "--http-port", "{port}"),
        "/openapi.json",
        {"MCP_MEMORY_ALLOW_HASH_EMBEDDINGS": "true", "MCP_MEMORY_OFFLINE": "true",
         "MCP_MEMORY_BASE_DIR": "{home}/d", "MCP_MEMORY_SQLITE_PATH": "{home}/d/m.db",
         "MCP_API_KEY": MEMORY_KEY, "MCP_HTTP_ENABLED": "true", "MCP_OAUTH_ENABLED": "false",
         "MCP_MDNS_ENABLED": "false", "HF_HUB_OFFLINE": "1"},
        key=MEMORY_KEY, headers=_bearer(MEMORY_KEY), extensions=True,
        # it writes down with each memory when and by which queries it was found
        exclude=("access_count", "last_accessed_at", "access_queries"),
        seeds=tuple(("POST", "/api/memories", {"content": f"The owner's memory {n}",
                                               "tags": ["owner"]}) for n in range(3)),
        shown=(("POST", "/api/search/by-tag", {"tags": ["owner"]}),),
    ),
    Published(
        "chroma", ("chromadb==1.5.9",),
        ("{bin}/chroma", "run", "--path", "{home}/data", "--host", "127.0.0.1", "--port",
         "{port}"),
        "/openapi.json",
        seeds=tuple(("POST", HOMES, {"name": f"owner-{n}"}) for n in range(3)),
        shown=tuple(("GET", f"{HOMES}/owner-{n}", None) for n in range(3)),
    ),
    Published(
        "phoenix", ("arize-phoenix",), ("{bin}/phoenix", "serve"), "/openapi.json",
        {"PHOENIX_WORKING_DIR": "{home}", "PHOENIX_HOST": "127.0.0.1", "PHOENIX_PORT": "{port}",
         "PHOENIX_GRPC_PORT": "{other}", "PHOENIX_TELEMETRY_ENABLED": "false"},
        seeds=tuple(("POST", "/v1/projects", {"name": f"owner-{n}"}) for n in range(3)),
        shown=tuple(("GET", f"/v1/projects/owner-{n}", None) for n in range(3)),
    ),
    Published(
        "basic-memory", ("basic-memory==0.24.1",),
        ("{bin}/python", "-m", "uvicorn", "basic_memory.api.app:app", "--host", "127.0.0.1",
         "--port", "{port}"),
        "/openapi.json",
        {"BASIC_MEMORY_HOME": "{home}/kb", "BASIC_MEMORY_PROJECT_ROOT": "{home}/root",
         "BASIC_MEMORY_SEMANTIC_SEARCH_ENABLED": "false", "LOGFIRE_IGNORE_NO_CONFIG": "1",
         "HF_HUB_OFFLINE": "1"},
        python=(3, 12),
        seeds=tuple(("POST", "/v2/projects/", {"name": f"owner-{n}", "path": f"owner-{n}",
                                               "set_default": False}) for n in range(3)),
        shown=(("POST", "/v2/projects/resolve", {"identifier": "owner-0"}),
               ("POST", "/v2/projects/resolve", {"identifier": "owner-2"}),
               ("POST", "/v2/projects/resolve", {"identifier": "main"})),
    ),
    Published(
        "prefect", ("prefect==3.9.1",),
        ("{bin}/prefect", "server", "start", "--host", "127.0.0.1", "--port", "{port}",
         "--no-services"),
        "/openapi.json",
        {"PREFECT_HOME": "{home}/h", "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
         "DO_NOT_TRACK": "1", "PREFECT_SERVER_API_AUTH_STRING": "admin:owner-pass-1234"},
        base="/api", key="admin:owner-pass-1234",
        headers={"authorization": _basic("admin:owner-pass-1234")},
        seeds=tuple(("POST", "/api/variables/", {"name": f"owner_{n}", "value": "hers"})
                    for n in range(3)),
        shown=tuple(("GET", f"/api/variables/name/owner_{n}", None) for n in range(3)),
    ),
    Published(
        "directus", ("directus@11.3",), ("node", "{bin}/directus", "start"),
        "/server/specs/oas",
        {"HOST": "127.0.0.1", "PORT": "{port}", "KEY": "bench", "SECRET": "bench-secret",
         "DB_CLIENT": "sqlite3", "DB_FILENAME": "{home}/data.db", "TELEMETRY": "false",
         "ADMIN_EMAIL": "admin@example.com", "ADMIN_PASSWORD": "bench-password",
         "ADMIN_TOKEN": DIRECTUS_TOKEN, "STORAGE_LOCAL_ROOT": "{home}/uploads"},
        kind="npm", before=(("node", "{bin}/directus", "bootstrap"),),
        key=DIRECTUS_TOKEN, headers=_bearer(DIRECTUS_TOKEN),
        seeds=tuple(("POST", "/folders", {"name": f"owner-{n}"}) for n in range(3)),
        shown=(("GET", "/folders?filter[name][_starts_with]=owner-&sort=name", None),
               ("GET", "/users/me", None)),
        exclude=("last_access", "last_page"),
    ),
    Published(
        "json-server", ("json-server@0.17.4",),
        ("node", "{bin}/json-server", "--host", "127.0.0.1", "--port", "{port}", "{home}/db.json"),
        "/notes", kind="npm", described="json_server.yaml",
        before=(("node", "-e", "require('fs').writeFileSync('{home}/db.json', "
                 "JSON.stringify({{notes: []}}))"),),
        seeds=tuple(("POST", "/notes", {"title": f"owner {n}", "text": "hers"}) for n in range(3)),
        shown=tuple(("GET", f"/notes/{n + 1}", None) for n in range(3)),
    ),
)  # fmt: skip
