"""What an OpenAPI file says of behaviour in its own words: the blocks that nobody wrote.

A description without `x-conformance` is judged by its shapes; its root block is made here: a name,
and how a key is shown. What operations do is no business of this module: `draft/` guesses that.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import PurePath
from typing import Any
from urllib.parse import urlsplit

HEADERS_OF_KEYS = frozenset({"authorization", "x-api-key", "api-key"})
"""Header parameters that are a key: some frameworks write them so instead of a scheme."""

BEYOND = re.compile(
    r"restart|shutdown|reboot|terminate|purge|wipe|reset|clear|truncate|drop|flush|prune|erase"
    r"|delete|remove|destroy|forget|upgrade|downgrade|migrate|restore|import|install|uninstall"
    r"|rotate|revoke|logout|log-out|sign-?out|deactivate|disable|cleanup|clean-up|consolidate"
    r"|merge|move|rename|sync|execute|(?<!last)run(?!s)|kill|stop|cancel|password|billing|pay"
)
"""Words of operations that may reach beyond what a run creates, and of those that nobody undoes."""
FOR_EVERYBODY = re.compile(
    r"(^|/)(config|configuration|settings?|preferences|credentials?|secrets?|backups?|snapshots?"
    r"|trigger|harvest|reload|maintenance|default|admin|system)(/|$)"
)
"""Parts of a path that belong to the whole server."""


def acts_on_everything(verb: str, template: str, id: str) -> bool:
    """Return True if an operation of which nobody says what it does had better not be called."""
    if verb in ("get", "head", "options"):
        return False
    words = re.sub(r"\{[^}]*\}", "", template).lower()
    if verb == "delete":
        return not template.rstrip("/").endswith("}")
    if verb in ("put", "patch") and "{" not in template:
        return True  # the settings of everybody
    return BEYOND.search(words) is not None or FOR_EVERYBODY.search(words) is not None


def root(document: Mapping[str, Any], source: str) -> dict[str, Any]:
    """Return the `x-conformance` block of a description that has none."""
    info = document.get("info")
    info = info if isinstance(info, dict) else {}
    name = file_name(source)
    block: dict[str, Any] = {
        "api": slug(str(info.get("title") or "")) or slug(PurePath(name).stem) or "api",
        "document": name,
        "documentVersion": str(info.get("version") or "unknown"),
    }
    shown = list(_shown(document, name))
    return {**block, "auth": shown} if shown else block


def file_name(source: str) -> str:
    """Return a description's short name, as sources cite it: no spaces, no folder."""
    path = urlsplit(source).path if "://" in source else source
    return re.sub(r"\s+", "-", PurePath(path).name or "openapi")


def slug(text: str) -> str:
    """Return a text as the id of an API: lower case, digits and dashes, a letter first."""
    made = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    return re.sub(r"^[^a-z]+", "", made)[:40].strip("-")


def _shown(document: Mapping[str, Any], name: str) -> Iterator[dict[str, Any]]:
    """Yield how a key is shown, the scheme that most operations name first."""
    components = document.get("components")
    schemes = components.get("securitySchemes") if isinstance(components, dict) else None
    schemes = schemes if isinstance(schemes, dict) else {}
    counted = dict.fromkeys(schemes, 0)
    for wanted in _required(document):
        for scheme in wanted:
            if scheme in counted:
                counted[scheme] += 1
    told: set[str] = set()
    for scheme in sorted(counted, key=lambda s: -counted[s]):
        found = _header(schemes[scheme])
        if found is not None and found[0].lower() not in told:
            told.add(found[0].lower())
            source = f"{name} § {scheme}"
            yield {"header": found[0], "prefix": found[1], "source": source}


def _required(document: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield each security requirement, of the document and of its operations."""
    places = [document.get("security")]
    paths = document.get("paths")
    for item in paths.values() if isinstance(paths, dict) else ():
        for operation in item.values() if isinstance(item, dict) else ():
            if isinstance(operation, dict):
                places.append(operation.get("security"))
    for listed in places:
        yield from (e for e in listed if isinstance(e, dict)) if isinstance(listed, list) else ()


def _header(scheme: Any) -> tuple[str, str] | None:
    """Return the header that shows a key by a scheme, and what stands before the key."""
    if not isinstance(scheme, dict):
        return None
    kind = scheme.get("type")
    if kind == "apiKey":
        name = str(scheme.get("name", ""))
        if scheme.get("in") == "header" and name:
            return name, ""
        if scheme.get("in") == "cookie" and name:
            return "cookie", f"{name}="
        return None
    if kind == "http":
        given = str(scheme.get("scheme", "bearer"))
        prefix = {"bearer": "Bearer", "basic": "Basic"}.get(given.lower(), given)
        return "Authorization", f"{prefix} "
    return ("Authorization", "Bearer ") if kind in ("oauth2", "openIdConnect") else None
