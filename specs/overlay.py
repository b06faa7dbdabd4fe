"""Overlays (OpenAPI Overlay 1.0 and 1.1): changes to a description that stay in their own file.

A generated file is never edited: the next export would lose what was written into it. An overlay
names its targets by JSONPath (RFC 9535, which `jsonpath-rfc9535` reads); actions are applied in
order. Nothing here knows what is changed.
"""

from __future__ import annotations

import copy
from typing import Any

from jsonpath_rfc9535 import JSONPathError, find
from jsonpath_rfc9535.node import JSONPathNode


class OverlayError(ValueError):
    """An overlay that cannot be applied; the message says which action and why."""


def is_overlay(document: Any) -> bool:
    """Return True if a document is an Overlay."""
    return isinstance(document, dict) and "overlay" in document and "actions" in document


def apply(document: dict[str, Any], overlay: Any) -> list[str]:
    """Apply an overlay's actions to a document, in place; return those that found no target.

    By the specification they change nothing and are no error. Raises OverlayError.
    """
    if not is_overlay(overlay):
        raise OverlayError("is no Overlay: it has no `overlay` version and no `actions`")
    if not str(overlay["overlay"]).startswith("1."):
        raise OverlayError(f"is Overlay {overlay['overlay']!r}; 1.0 and 1.1 are read")
    if not isinstance(overlay["actions"], list):
        raise OverlayError("`actions` is no list")
    idle = []
    for number, action in enumerate(overlay["actions"]):
        where = f"actions[{number}]"
        if not _act(document, action, where):
            idle.append(f"{where}: target {action['target']!r} finds nothing")
    return idle


def _act(document: dict[str, Any], action: Any, where: str) -> bool:
    """Apply one action; return whether it found anything to act on."""
    target = action.get("target") if isinstance(action, dict) else None
    if not isinstance(target, str):
        raise OverlayError(f"{where}: has no `target`; give a JSONPath, `$.paths['/items'].get`")
    nodes = _found(document, target, where)
    if action.get("remove") is True:
        for node in reversed(nodes):
            _remove(node, where)
        return bool(nodes)
    if "copy" in action:  # Overlay 1.1, section 4.4.4.3
        sources = _found(document, str(action["copy"]), where)
        if len(sources) != 1:
            raise OverlayError(f"{where}: `copy` {action['copy']!r} finds {len(sources)} places")
        _update(nodes, copy.deepcopy(sources[0].value), where)
    if "update" in action:
        _update(nodes, action["update"], where)
    return bool(nodes)


def _found(document: Any, path: str, where: str) -> list[JSONPathNode]:
    try:
        return list(find(path, document))
    except JSONPathError as error:
        raise OverlayError(f"{where}: {path!r} is no JSONPath: {error}") from error


def _remove(node: JSONPathNode, where: str) -> None:
    if node.parent is None:
        raise OverlayError(f"{where}: the whole document cannot be removed")
    holder: Any = node.parent.value
    del holder[node.location[-1]]


def _update(nodes: list[JSONPathNode], value: Any, where: str) -> None:
    for node in nodes:
        if isinstance(node.value, dict) and isinstance(value, dict):
            _merge(node.value, copy.deepcopy(value))
        elif isinstance(node.value, list):
            node.value.append(copy.deepcopy(value))
        elif node.parent is not None:  # 1.1: a primitive is replaced
            holder: Any = node.parent.value
            holder[node.location[-1]] = copy.deepcopy(value)
        else:
            raise OverlayError(f"{where}: the whole document can only be merged with an object")


def _merge(into: dict[str, Any], update: dict[str, Any]) -> None:
    """Merge recursively: objects by key, arrays end to end, anything else is replaced."""
    for key, value in update.items():
        held = into.get(key)
        if isinstance(held, dict) and isinstance(value, dict):
            _merge(held, value)
        elif isinstance(held, list) and isinstance(value, list):
            held += value
        else:
            into[key] = value
