"""From a file or a URL to an OpenAPI 3.1 document: text, overlays, other files, older versions.

A source is a path or a URL, with overlays behind it (`openapi.json|mine.yaml`); `joined` writes
one. What the document promises is read in `contract.py`; what is wrong with it, in `check.py`.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import orjson
import yaml

from specs import directions, overlay, upgrade
from specs.mending import Mended, mend
from specs.proxies import is_loopback
from specs.references import VALUES

FETCH_SECONDS = 30.0
"""Longest wait for a description that stands at a URL."""
HERE = Path(__file__).parent
"""Where the specs that ship are; the tests hold them to the rules."""
FILES = "x-files"
"""Where the parts of other files are kept inside the document, by their path from its folder."""


class Loader(yaml.CSafeLoader):
    """YAML 1.2's core schema, as OpenAPI wants: `on` is a word, and a date is a string."""


Loader.yaml_implicit_resolvers = {
    first: [
        (tag, pattern)
        for tag, pattern in resolvers
        if tag != "tag:yaml.org,2002:timestamp"
        and (tag != "tag:yaml.org,2002:bool" or first in "tTfF")
    ]
    for first, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}


VALUES_MAX = 5_000_000
"""Values that a document may stand for once its aliases are followed."""
FILE_MAX = 16 * 1024 * 1024
"""Bytes of one file, at a path or a URL."""
YAML_MAX = 1_000_000
"""Values and names that one file of YAML may hold: its reader takes a kilobyte for each."""


class SpecError(ValueError):
    """A spec cannot be used. The message says where, what, why, and what to do."""


@dataclass(frozen=True)
class Reading:
    """A document as it is judged, and the text that lines are counted in."""

    source: str
    """As given: a path or a URL, overlays behind it."""
    document: Any
    text: str
    idle: tuple[str, ...] = ()
    """Actions of overlays that found nothing to act on."""
    mended: tuple[Mended, ...] = ()
    """What was taken out of its schemas, for nobody could judge by it."""


def joined(source: str | Path, overlays: Sequence[str | Path]) -> str:
    """Return a source with overlays behind it."""
    return "|".join(map(str, (source, *overlays)))


def split(source: str | Path) -> tuple[str, list[str]]:
    """Return the description and the overlays that a source names."""
    first, *overlays = str(source).split("|")
    return first, overlays


def is_url(source: str) -> bool:
    """Return True if a source is to be fetched."""
    return source.startswith(("http://", "https://"))


def read(source: str) -> Reading:
    """Return what a source holds, overlays applied, as OpenAPI 3.1. Raises SpecError."""
    first, overlays = split(source)
    text = _text(first)
    document = parsed(text, first)
    if overlay.is_overlay(document):
        overlays = [first, *overlays]
        first = _extended(document, first)
        text = _text(first)
        document = parsed(text, first)
    if not isinstance(document, dict):
        raise SpecError(f"{first}: not an OpenAPI document: it is no mapping")
    _items(document)
    idle: list[str] = []
    for name in overlays:
        try:
            unused = overlay.apply(document, parsed(_text(name), name))
        except overlay.OverlayError as error:
            raise SpecError(f"{name}: {error}") from error
        idle += [f"{name}: {each}" for each in unused]
    try:
        document = upgrade.upgraded(document)
    except upgrade.Unsupported as error:
        raise SpecError(f"{first}: {error}") from error
    if not is_url(first):
        _bundle(document, Path(first).resolve().parent)
    directions.write_out(document)
    mended = () if Path(first).parent == HERE else tuple(mend(document))
    return Reading(source, document, text, tuple(idle), mended)


def document(name: str) -> Any:
    """Return what a file or a URL holds, as it stands there. Raises SpecError."""
    return parsed(_text(name), name)


def parsed(text: str, name: str) -> Any:
    """Return what a text holds: JSON where it is, else YAML. Raises SpecError."""
    if text.lstrip()[:1] == "{":
        try:
            return orjson.loads(text)
        except orjson.JSONDecodeError:
            try:
                return json.loads(text)  # numbers of any size
            except ValueError:
                pass  # YAML may begin so, too
    try:
        _counted(text, name)
        made = yaml.load(text, Loader=Loader)  # noqa: S506 - a safe loader, YAML 1.2's words
        _bounded(made, name)
        return made
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise SpecError(f"{name}: not readable as YAML or JSON: {error}") from error


def _counted(text: str, name: str) -> None:
    """Raise SpecError for YAML of more values than can be read; a short text has few."""
    if len(text) <= 2 * YAML_MAX:
        return
    for number, _ in enumerate(yaml.parse(text, Loader=Loader)):
        if number > YAML_MAX:
            raise SpecError(
                f"{name}: it holds more than {YAML_MAX:,} values and names, which are too many to "
                "read as YAML; write it as JSON, or leave operations out"
            )


def _bounded(document: Any, name: str) -> None:
    """Raise SpecError for a document whose aliases hold it in itself, or stand for too much."""
    sizes: dict[int, int] = {}

    def size(node: Any) -> int:
        if not isinstance(node, dict | list):
            return 1
        known = sizes.get(id(node))
        if known is None:
            sizes[id(node)] = -1  # being counted
            inner = node.values() if isinstance(node, dict) else node
            known = sizes[id(node)] = 1 + sum(size(each) for each in inner)
        if known < 0:
            raise SpecError(f"{name}: an alias stands for what it stands in; write it out")
        if known > VALUES_MAX:
            raise SpecError(
                f"{name}: its aliases stand for more than {VALUES_MAX:,} values; write out what "
                "is meant"
            )
        return known

    size(document)


def line_of(text: str, template: str, verb: str) -> int:
    """Return about where in a text an operation stands, counted from 1; 1 if it is not found."""
    path = re.search(rf"""^[ \t]*["']?{re.escape(template)}["']?\s*:""", text, re.MULTILINE)
    if path is None:
        found = text.find(f'"{template}"')
        return text.count("\n", 0, found) + 1 if found >= 0 else 1
    method = re.compile(rf"""["'\s]{verb}["']?\s*:""").search(text, path.end())
    return text.count("\n", 0, method.start() + 1 if method else path.start()) + 1


def _text(name: str) -> str:
    if is_url(name):
        return _fetched(name)
    try:
        with Path(name).open("rb") as file:
            raw = file.read(FILE_MAX + 1)
        return _fitting(raw, name).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SpecError(f"{name}: not readable as YAML or JSON: {error}") from error
    except FileNotFoundError:
        raise SpecError(f"no such spec: {name}") from None
    except OSError as error:
        raise SpecError(f"{name}: cannot be read: {error.strerror}") from error


def _fetched(url: str) -> str:
    import httpx  # takes long to import, and most specs are files

    try:
        near = is_loopback(urlsplit(url).hostname or "")
        with httpx.stream(
            "GET", url, timeout=FETCH_SECONDS, follow_redirects=True, trust_env=not near
        ) as answer:
            answer.raise_for_status()
            raw = b""
            for piece in answer.iter_bytes(65_536):
                raw += piece
                _fitting(raw, url)
            return raw.decode(answer.encoding or "utf-8", "replace").removeprefix("\ufeff")
    except httpx.HTTPStatusError as error:
        raise SpecError(
            f"{url}: answered {error.response.status_code}; give the URL of the OpenAPI file "
            "itself, or download it and give its path"
        ) from error
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise SpecError(f"{url}: cannot be fetched: {error or type(error).__name__}") from error


def _fitting(raw: bytes, name: str) -> bytes:
    """Return what was read of a source. Raises SpecError where it is too long."""
    if len(raw) > FILE_MAX:
        raise SpecError(
            f"{name}: longer than {FILE_MAX >> 20} MiB, which is the most that is read; leave "
            "operations out, or give the part that is to be judged"
        )
    return raw


def _extended(document: dict[str, Any], name: str) -> str:
    """Return the description that an overlay says it is for (`extends`)."""
    extends = document.get("extends")
    if not isinstance(extends, str):
        raise SpecError(
            f"{name}: is an Overlay and says not of what; give the OpenAPI file, and this one "
            "with --overlay"
        )
    if is_url(extends) or is_url(name):
        return extends
    return str(Path(name).parent / unquote(extends.removeprefix("file://")))


def _items(document: dict[str, Any]) -> None:
    """Write out path items that only refer to one of the file's, so that overlays find them."""
    paths, components = document.get("paths"), document.get("components")
    shared = components.get("pathItems") if isinstance(components, dict) else None
    if not isinstance(paths, dict) or not isinstance(shared, dict):
        return
    for template, item in paths.items():
        reference = item.get("$ref") if isinstance(item, dict) else None
        name = str(reference).removeprefix("#/components/pathItems/")
        if isinstance(shared.get(name), dict) and name != reference:
            beside = {key: value for key, value in item.items() if key != "$ref"}
            paths[template] = {**copy.deepcopy(shared[name]), **beside}


def _bundle(document: dict[str, Any], folder: Path) -> None:
    """Bring the parts of other files in, where a reference stays inside the file's folder."""
    files: dict[str, Any] = {}
    waiting: list[tuple[Any, Path]] = [(document, folder)]
    while waiting:
        node, base = waiting.pop()
        for holder in _referring(node):
            file, _, fragment = holder["$ref"].partition("#")
            path = (base / unquote(file)).resolve() if file else base
            if not file or "://" in file or not path.is_relative_to(folder):
                continue
            name = path.relative_to(folder).as_posix()
            if name not in files:
                if not path.is_file():
                    continue
                files[name] = parsed(_text(str(path)), str(path))
                if document.get("openapi") == upgrade.FROM_3_0:
                    upgrade.part(files[name])
                waiting.append((_Inner(files[name], name), path.parent))
            escaped = name.replace("~", "~0").replace("/", "~1")
            holder["$ref"] = f"#/{FILES}/{escaped}{fragment}"
    if files:
        document[FILES] = files


@dataclass(frozen=True)
class _Inner:
    """A part of another file; its own local references mean that file."""

    node: Any
    name: str


def _referring(node: Any) -> Iterator[dict[str, Any]]:
    """Yield what refers to other files; local references of a brought part are mended at once."""
    prefix = None
    if isinstance(node, _Inner):
        prefix = node.name.replace("~", "~0").replace("/", "~1")
        node = node.node
    waiting = [node]
    while waiting:
        node = waiting.pop()
        if isinstance(node, list):
            waiting += node
        if not isinstance(node, dict):
            continue
        reference = node.get("$ref")
        if isinstance(reference, str) and reference.startswith("#") and prefix is not None:
            node["$ref"] = f"#/{FILES}/{prefix}{reference[1:]}"
        elif isinstance(reference, str) and not reference.startswith("#"):
            yield node
        waiting += [v for k, v in node.items() if k not in VALUES or isinstance(v, dict)]
