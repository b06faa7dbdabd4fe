"""A contract of notes that are listed in each style of paging."""

from __future__ import annotations

from typing import Any

import specs
from specs import Contract


def notes(pagination: dict[str, Any], **extra: Any) -> Contract:
    """Return a contract of our own: notes, listed in one style of paging."""
    behaviour = {"basis": "documented", "source": "ours"}
    note = {"type": "object", "required": ["id", "text"],
            "properties": {"id": {"type": "string"}, "text": {"type": "string"}}}  # fmt: skip
    names = [v for k, v in pagination.items() if k in ("limit", "offset", "page", "cursor")]
    numeric = {n: n != pagination.get("cursor") for n in names}
    page = {"description": "page", "content": {"application/json": {"schema": {}}}}
    wrong = {"description": "wrong"}
    create = {
        "operationId": "notes.create",
        "requestBody": {"required": True, "content": {"application/json": {"schema": {
            "type": "object", "required": ["text"],
            "properties": {"text": {"type": "string"}, "kind": {"type": "string"}}}}}},
        "responses": {"201": {"description": "made", "content": {
            "application/json": {"schema": note}}}, "400": wrong, "409": wrong, "422": wrong},
        "x-conformance": {**behaviour, **extra, "effect": {
            **behaviour, "kind": "create", "resource": "note", "id": "/id"}},
    }  # fmt: skip
    listing = {
        "operationId": "notes.list",
        "parameters": [
            {"name": n, "in": "query", "schema": {"type": "integer" if numeric[n] else "string"}}
            for n in names
        ] + [{"name": "kind", "in": "query", "schema": {"type": "string"}}],
        "responses": {"200": page, "400": wrong},
        "x-conformance": {**behaviour, "pagination": {**behaviour, **pagination}, "effect": {
            **behaviour, "kind": "list", "resource": "note", "items": pagination["items"],
            "itemId": "/id"}},
    }  # fmt: skip
    return specs.contract.from_document({
        "openapi": "3.1.0", "info": {"title": "notes", "version": "1"},
        "security": [{"key": []}],
        "x-conformance": {"api": "notes", "document": "ours", "documentVersion": "1",
                          "basePath": "/notes-api",
                          "auth": [{"header": "x-key"}]},
        "paths": {"/notes": {"post": create, "get": listing}},
    })  # fmt: skip


STYLES: dict[str, dict[str, Any]] = {
    "offset": {"style": "offset", "limit": "limit", "offset": "offset", "hasMore": "/more"},
    "page": {"style": "page", "limit": "size", "page": "page", "next": "/next_page"},
    "cursor": {"style": "cursor", "limit": "limit", "cursor": "after", "next": "/next"},
    "token": {"style": "token", "limit": "limit", "cursor": "page_token", "next": "/token"},
    "link": {"style": "link", "limit": "limit", "page": "page"},
    "link-cursor": {"style": "link", "limit": "limit", "cursor": "after"},
}
