"""The generated reference: options, words, load profiles, exit codes, results. Nothing is written
here that a table, a model or a schema says elsewhere.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from conformance import options
from conformance.report import write
from conformance.report.exit import MEANING
from specs.schema import schema


def words() -> str:
    """Return every word of `x-conformance`, block by block."""
    return "\n".join(("# Words of x-conformance", "", *_blocks(schema(), "x-conformance"))) + "\n"


def exit_codes() -> str:
    """Return what each exit code means."""
    rows = [f"| {int(code)} | {meaning} |" for code, meaning in MEANING.items()]
    head = ["# Exit codes", "", "The first that is true decides: 3, 1, 5, 4, 0.", ""]
    return "\n".join((*head, "| code | meaning |", "|---|---|", *rows)) + "\n"


def results() -> str:
    """Return every field of `results.json`, model by model."""
    head = "`memconform.results/1`. Every report derives from this file alone."
    return "\n".join(
        ("# Results", "", head, "", *_blocks(json.loads(write.schema()), "results.json"))
    )


def profiles() -> str:
    """Return every shipped load profile, and every field that a profile may have."""
    load = import_module(next(iter(entry_points(group="memconform.suites", name="load"))).value
                         + ".profile")  # fmt: skip
    lines = ["# Load profiles", "", "| shipped | kind | what it is for |", "|---|---|---|"]
    for name in load.names():
        made = load.load_profile(name)
        lines.append(f"| `{name}` | {made.kind} | {made.summary} |")
    fields = load.Profile.model_json_schema(by_alias=True)
    return "\n".join((*lines, "", *_blocks(fields, "a profile"))) + "\n"


def _blocks(root: Mapping[str, Any], name: str) -> Iterator[str]:
    """Yield each block of a JSON Schema as a table of its members."""
    for title, block in {name: root, **root.get("$defs", {})}.items():
        properties: Mapping[str, Any] = block.get("properties", {})
        if not properties:
            continue
        yield from (f"## {title}", "", *_about(block))
        yield from ("| name | kind | what it says |", "|---|---|---|")
        required: Sequence[str] = block.get("required", ())
        for word, rule in properties.items():
            needed = " Required." if word in required else ""
            told = f"{rule.get('description', '')}{needed}".strip()
            yield f"| `{word}` | {_cell(_kind(rule))} | {_cell(told)} |"
        yield ""


def _about(block: Mapping[str, Any]) -> Iterator[str]:
    if block.get("description"):
        yield from (str(block["description"]), "")


def _kind(rule: Mapping[str, Any]) -> str:
    if "$ref" in rule:
        return str(rule["$ref"]).rpartition("/")[2]
    if "enum" in rule:
        return " or ".join(f"`{each}`" for each in rule["enum"])
    for many in ("anyOf", "oneOf", "allOf"):
        if many in rule:
            return " or ".join(dict.fromkeys(_kind(each) for each in rule[many]))
    if rule.get("type") == "array":
        return f"list of {_kind(rule.get('items', {}))}"
    kind = "constant" if "const" in rule else str(rule.get("type", "any"))
    default = rule.get("default")
    return kind if default in (None, "", [], {}) else f"{kind}; default `{default}`"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


PAGES: Mapping[str, Callable[[], str]] = {
    "options": options.document, "words": words, "profiles": profiles,
    "exit-codes": exit_codes, "results": results,
}  # fmt: skip
"""Page name -> what makes its Markdown."""
