"""The JSON Schema of `x-conformance`, made from the vocabulary, for editors and other tools.

It describes an OpenAPI document as far as the extension goes: the block at the root, and the one
at each operation, where a block that the root has as well may name only what differs. What
pointers point at is not in a schema's reach; `check.py` looks at that.
"""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

from specs.contract import METHODS
from specs.reading import HERE
from specs.vocabulary import OperationBehaviour, RootBehaviour, Word

FILE = HERE / "x-conformance.schema.json"
SHARED = ("Retries", "Errors", "RateLimit", "Usage")
"""Blocks that an operation merges over the root's, so that there nothing in them is required."""


class Extension(Word):
    """Both places together; this is what the published JSON Schema describes."""

    root: RootBehaviour
    operation: OperationBehaviour


def schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) that documents with `x-conformance` are valid under."""
    made = Extension.model_json_schema(by_alias=True, mode="validation")
    definitions = made["$defs"]
    for name in SHARED:
        change = copy.deepcopy(definitions[name])
        change.pop("required", None)
        change["description"] = f"What differs from the root's {name}, word by word."
        definitions[f"{name}Change"] = change
    operation = json.dumps(definitions["OperationBehaviour"])
    for name in SHARED:
        operation = operation.replace(f'"#/$defs/{name}"', f'"#/$defs/{name}Change"')
    definitions["OperationBehaviour"] = json.loads(operation)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "OpenAPI documents with x-conformance",
        "description": "What an API promises beyond the shapes of its requests and answers. "
        "Durations are seconds; pointers are JSON Pointers (RFC 6901).",
        "type": "object",
        "required": ["openapi", "paths", "x-conformance"],
        "properties": {
            "x-conformance": {"$ref": "#/$defs/RootBehaviour"},
            "paths": {
                "type": "object",
                "additionalProperties": {
                    "type": "object",
                    "properties": {
                        verb: {
                            "type": "object",
                            "required": ["operationId", "x-conformance"],
                            "properties": {"x-conformance": {"$ref": "#/$defs/OperationBehaviour"}},
                        }
                        for verb in METHODS
                    },
                },
            },
        },
        "$defs": definitions,
    }


def render() -> str:
    """Return the schema as the text of the published file."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


def write(path: Path = FILE) -> None:
    """Write the published file anew."""
    path.write_text(render(), encoding="utf-8")
