"""How lists are walked, how repeats are told, what limits say: guessed from names and bounds.

What vendors' extensions state is taken before any guess: `x-speakeasy-pagination`,
`x-fern-pagination`, `x-basecamp-pagination`, `x-stainless-pagination-property`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from specs.contract import Operation, Schema
from specs.draft import shapes
from specs.draft.guesses import Draft, Guess
from specs.pointers import branches

SIZES = (
    "limit",
    "page_size",
    "per_page",
    "size",
    "top",
    "max_results",
    "count",
    "take",
    "n_results",
)
OFFSETS = ("offset", "skip", "start", "from")
PAGES = ("page", "page_number", "page_num", "current_page")
CURSORS = ("cursor", "page_token", "next_token", "continuation_token", "continuation", "after",
           "starting_after", "next_cursor", "marker", "next_page_token")  # fmt: skip
NEXT = ("next_cursor", "next_page_token", "next_token", "next", "cursor", "continuation_token",
        "end_cursor", "after", "next_page")  # fmt: skip
TOTAL = ("total", "total_count", "total_items", "total_results")
MORE = ("has_more", "has_next", "more", "has_next_page")
AROUND = ("meta", "pagination", "page_info", "paging", "page")


def guess(draft: Draft) -> None:
    """Add how each list is walked, and which operation takes a key against repeats."""
    for operation in draft.contract:
        raw = _raw(draft, operation)
        effect = draft.effect(operation)
        if effect.get("kind") in ("list", "search"):
            found = _stated(raw, operation) or _guessed(operation)
            if found is not None and effect["kind"] == "list":
                value, why = found
                value = {**value, "items": effect["items"], "itemKey": effect["itemId"]}
                draft.guesses.append(Guess(operation, "pagination", value, why))
        _idempotency(draft, operation, raw)


def _raw(draft: Draft, operation: Operation) -> Mapping[str, Any]:
    item = draft.contract.document["paths"].get(operation.path) or {}
    found = item.get(operation.verb.lower()) if isinstance(item, dict) else None
    return found if isinstance(found, dict) else {}


def _pick(known: Mapping[str, Schema], names: tuple[str, ...]) -> str | None:
    plain = {shapes.plain(name): name for name in known}
    return next((plain[n] for n in map(shapes.plain, names) if n in plain), None)


def _guessed(operation: Operation) -> tuple[dict[str, Any], str] | None:
    known = shapes.inputs(operation)
    size = _pick(known, SIZES)
    for style, word, names in (
        ("page", "page", PAGES), ("offset", "offset", OFFSETS), ("cursor", "cursor", CURSORS)
    ):  # fmt: skip
        place = _pick(known, names)
        if place is None:
            continue
        if style == "cursor" and _member(operation, NEXT) is None:
            continue
        value: dict[str, Any] = {"style": style, word: place}
        value |= _sized(operation, size, known)
        value |= _around(operation, style)
        return value, f"it takes `{place}`" + (f" and `{size}`" if size else "")
    links = any("link" in {*r.headers} for s, r in operation.responses.items() if s.startswith("2"))
    if links:
        value = {"style": "link", **_sized(operation, size, known)}
        return value, "its answer declares a Link header (RFC 8288)"
    return None


def _sized(operation: Operation, size: str | None, known: Mapping[str, Schema]) -> dict[str, Any]:
    """Return the parameter of the page size with its bounds, as the schema says them."""
    if size is None:
        return {}
    value: dict[str, Any] = {"limit": size}
    default, most = _said(known[size], "default"), _said(known[size], "maximum")
    if isinstance(default, int) and default >= 1:
        value["defaultLimit"] = default
    if isinstance(most, int | float) and most >= 1:
        value["maxLimit"] = int(most)
        if {"422", "400"} & set(operation.responses):
            value["overMax"] = "error"
    return value


def _said(schema: Schema, word: str) -> Any:
    found = (b[word] for b in branches(schema) if word in b)
    return next((f for f in found if f is not None and not isinstance(f, bool)), None)


def _member(
    operation: Operation, names: tuple[str, ...], wanted: tuple[str, ...] = ()
) -> str | None:
    """Return where an answer says one of `names`: at its root or in what describes the page."""
    answer = shapes.success(operation)
    places = [("", answer)] if answer else []
    for name, inner in shapes.properties(answer).items():
        if shapes.plain(name) in map(shapes.plain, AROUND) or name == "data":
            places.append((f"/{name}", inner))
    for place, schema in places:
        if "array" in shapes.kinds(schema):
            continue
        found = shapes.named(schema, names, wanted)
        if found is not None:
            return f"{place}/{shapes.escaped(found)}"
    return None


def _around(operation: Operation, style: str) -> dict[str, Any]:
    found = {
        "total": _member(operation, TOTAL, ("integer",)),
        "hasMore": _member(operation, MORE, ("boolean",)),
        "next": _member(operation, NEXT, ("string", "integer")) if style == "cursor" else None,
    }
    return {word: pointer for word, pointer in found.items() if pointer}


# --- what vendors' extensions state ---------------------------------------------------------------


def _stated(raw: Mapping[str, Any], operation: Operation) -> tuple[dict[str, Any], str] | None:
    stainless = _stainless(operation)
    if stainless:
        known = shapes.inputs(operation)
        sized = _sized(operation, _pick(known, SIZES), known)
        value = {**_around(operation, stainless["style"]), **sized, **stainless}
        return value, f"{STAINLESS} says so"
    for name, read in (
        ("x-speakeasy-pagination", _speakeasy), ("x-fern-pagination", _fern),
        ("x-basecamp-pagination", _basecamp),
    ):  # fmt: skip
        if isinstance(raw.get(name), dict):
            value = read(raw[name])
            known = shapes.inputs(operation)
            size = value.get("limit") or _pick(known, SIZES)
            if value and all(
                v in known for w, v in value.items() if w in ("page", "offset", "cursor", "limit")
            ):
                sized = _sized(operation, size, known) if size in known else {}
                return {**value, **sized, **_around(operation, value["style"])}, f"{name} says so"
    return None


STAINLESS = "x-stainless-pagination-property"
_PURPOSES = {"next_cursor_param": "cursor", "offset_count_param": "offset",
             "page_number_param": "page"}  # fmt: skip


def _stainless(operation: Operation) -> dict[str, Any]:
    """Return the style that parameters and members of the answer name by their purposes."""
    value: dict[str, Any] = {}
    for name, schema in shapes.inputs(operation).items():
        word = _PURPOSES.get(_purpose(schema))
        if word is not None:
            value |= {"style": word, word: name}
    if not value:
        return {}
    for place, schema in shapes.inside(shapes.success(operation)):
        for name, inner in shapes.properties(schema).items():
            pointer = f"{place}/{shapes.escaped(name)}"
            if value["style"] == "cursor" and _purpose(inner) == "next_cursor_field":
                value["next"] = pointer
            elif _purpose(inner) == "offset_total_count_field":
                value["total"] = pointer
    return value


def _purpose(schema: Schema) -> str:
    stated = schema.get(STAINLESS)
    return str(stated.get("purpose")) if isinstance(stated, dict) else ""


def _speakeasy(stated: Mapping[str, Any]) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for each in stated.get("inputs") or ():
        if isinstance(each, dict) and each.get("type") in ("page", "offset", "limit", "cursor"):
            value[each["type"]] = each.get("name")
    style = next((s for s in ("cursor", "page", "offset") if s in value), None)
    return {"style": style, **value} if style else {}


def _fern(stated: Mapping[str, Any]) -> dict[str, Any]:
    def last(word: str) -> str:
        return str(stated.get(word, "")).rpartition(".")[2]

    if "cursor" in stated:
        return {"style": "cursor", "cursor": last("cursor")}
    if "offset" in stated:
        name = last("offset")
        style = "page" if "page" in name.lower() else "offset"
        return {"style": style, style: name}
    return {}


def _basecamp(stated: Mapping[str, Any]) -> dict[str, Any]:
    return {"style": "link"} if stated.get("style") == "link" else {}


def _idempotency(draft: Draft, operation: Operation, raw: Mapping[str, Any]) -> None:
    for parameter in operation.parameters_in("header"):
        if shapes.plain(parameter.name) in ("idempotencykey", "xidempotencykey"):
            value: dict[str, Any] = {"location": "header", "name": parameter.name}
            value |= {"required": True} if parameter.required else {}
            why = f"it takes the header {parameter.name}"
            draft.guesses.append(Guess(operation, "idempotency", value, why))
            return
    body = operation.body.schema if operation.body is not None else None
    name = shapes.named(body, ("idempotency_key",), ("string",))
    if name is not None:
        value = {"location": "body", "name": name}
        draft.guesses.append(Guess(operation, "idempotency", value, f"its body has `{name}`"))
    _retries(draft, operation, raw)
    for word in ("x-fern-idempotent", "x-speakeasy-retries", "x-stainless-retries"):
        if word in raw and name is None:
            draft.questions.append(
                f"{operation.id} states {word}: how is a repeat told from a new call, and how "
                "often does a client send? (idempotency, retries)"
            )


def _retries(draft: Draft, operation: Operation, raw: Mapping[str, Any]) -> None:
    """`x-basecamp-retry` says how often a client sends; other vendors' words do not."""
    stated = raw.get("x-basecamp-retry")
    attempts = stated.get("maxAttempts") if isinstance(stated, dict) else None
    if not isinstance(stated, dict) or not isinstance(attempts, int) or attempts < 1:
        return
    value: dict[str, Any] = {"maxAttempts": attempts}
    listed = stated.get("retryOn")
    on = (
        [str(s) for s in listed if re.fullmatch(r"[1-5]\d\d", str(s))]
        if isinstance(listed, list)
        else []
    )
    value |= {"statuses": on} if on else {}
    delay = stated.get("baseDelayMs")
    if isinstance(delay, int | float) and delay >= 0:
        value["backoff"] = {"base": delay / 1000}
    draft.guesses.append(Guess(operation, "retries", value, "x-basecamp-retry says so"))


def rate_limit(draft: Draft) -> str | None:
    """Return what to ask about a quota, None if nothing in the description speaks of one."""
    headers: set[str] = set()
    limited = False
    for operation in draft.contract:
        for status, response in operation.responses.items():
            headers |= {name for name in response.headers if re.search(r"rate-?limit", name)}
            limited = limited or status == "429"
    if not limited and not headers:
        return None
    told = f"its answers declare {', '.join(sorted(headers))}" if headers else "429 is declared"
    return f"what is its quota, and in which unit does its reset count? {told} (rateLimit)"
