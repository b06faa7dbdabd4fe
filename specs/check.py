"""Is a spec fit for use? Every fault with file, line, what is wrong, why it matters, what to do.

Here are the rules about the file as a whole: that it can be read, that it is OpenAPI 3.1, that
`x-conformance` uses known words, that sources exist. The rules about what single promises point
at are in `rules.py`. Nothing here sends anything or judges a subject.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, get_args

import orjson
import yaml
from pydantic import BaseModel, ConfigDict, ValidationError
from rich.console import Console
from rich.markup import escape

from specs import listing, places, pointers, positions, reading, rules, spelling
from specs.constraints import Kind
from specs.contract import METHODS, _merge_shared, from_document, load, names, pointer
from specs.pointers import Fault
from specs.reading import HERE, SpecError, is_url, split
from specs.vocabulary import Basis, OperationBehaviour, RootBehaviour, Word

KEYWORDS = frozenset({
    "$ref", "$defs", "$id", "$schema", "$anchor", "$comment", "$dynamicRef", "$dynamicAnchor",
    "$vocabulary", "title", "description", "default", "examples", "example", "deprecated",
    "readOnly", "writeOnly", "type", "enum", "const", "format", "pattern", "minLength",
    "maxLength", "contentMediaType", "contentEncoding", "contentSchema", "minimum", "maximum",
    "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "properties", "patternProperties",
    "additionalProperties", "propertyNames", "unevaluatedProperties", "required", "minProperties",
    "maxProperties", "dependentRequired", "dependentSchemas", "items", "prefixItems", "contains",
    "minContains", "maxContains", "minItems", "maxItems", "uniqueItems", "unevaluatedItems",
    "allOf", "anyOf", "oneOf", "not", "if", "then", "else", "discriminator", "xml",
    "externalDocs",
})  # fmt: skip
"""Words of JSON Schema 2020-12 and of OpenAPI 3.1's vocabulary beside it."""
MEND = "mend it where the file is made"
TYPED = "write the word that was meant"
WRITE = "say what it does in an overlay, or leave it so"
SOURCE = re.compile(r"^(?P<document>\S+) § (?P<section>.+)$")
RELEASE = re.compile(r"\S+ v?\d+(\.\d+)+")


@dataclass(frozen=True, order=True)
class Problem:
    """One fault of a spec; lines and columns count from 1."""

    file: str
    line: int
    column: int
    what: str
    why: str
    fix: str
    note: bool = False
    """True of what a person should know and what is no fault of ours: the rest is judged."""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}"
        return f"{place}: {self.what}\n    why: {self.why}\n    fix: {self.fix}"


class Document(BaseModel):
    """What is known of a source document; its text is not kept here."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    package: str
    version: str
    sha256: str
    sections: tuple[str, ...]


@cache
def documents() -> Mapping[str, Document]:
    """Return the known source documents by id."""
    raw = yaml.safe_load((HERE / "documents.yaml").read_text("utf-8"))
    return MappingProxyType({key: Document(**value) for key, value in raw.items()})


def run(paths: Sequence[Path | str], folder: Path | None = None, listed: str | None = None) -> int:
    """Check the files (all that ship, where none is given) and print what is found.

    With `folder`, the known source documents are verified against their texts there. `listed`
    names the constraints to list, as `listing.lines` wants it. Returns the exit code: 0 where
    nothing is wrong, 1 otherwise.
    """
    console, complaints = Console(highlight=False, soft_wrap=True), Console(stderr=True)
    paths = paths or [HERE / f"{name}.yaml" for name in names()]
    problems = [problem for path in paths for problem in check(path)]
    if folder is not None:
        problems += verify(folder)
    for problem in problems:
        console.print(escape(str(problem)))
    broken = {problem.file for problem in problems}
    for contract in (load(path) for path in paths if split(path)[0] not in broken):
        if any(operation.bare for operation in contract):
            continue  # nobody has said on what its constraints rest
        for line in listing.lines(contract, listed) if listed else ():
            console.print(escape(line))
        console.print(escape(listing.summary(contract)))
    counted = f"{len(paths)} spec{'s' if len(paths) != 1 else ''} checked"
    problems = [problem for problem in problems if not problem.note]
    if problems:
        complaints.print(f"{counted}: {len(problems)} problem{'s' * (len(problems) != 1)}")
        return 1
    console.print(f"{counted}: nothing wrong")
    return 0


def check(path: Path | str) -> list[Problem]:
    """Return every problem of one spec, overlays included, in the order of its lines."""
    first, overlays = split(path)
    try:
        text = first if is_url(first) else Path(first).read_text(encoding="utf-8-sig")
        located = _Located(reading.read(str(path)).text if is_url(first) else text)
        own = isinstance(located.document, dict) and "x-conformance" in located.document
        faults = list(
            _own_faults(located, Path(first)) if own and not overlays else _faults(str(path))
        )
    except OSError as error:
        fix = "give the path of a spec"
        return [Problem(first, 1, 1, f"cannot be read: {error.strerror}", "no text", fix)]
    except UnicodeDecodeError as error:
        what = f"is not UTF-8: {error.reason} at byte {error.start}"
        return [Problem(first, 1, 1, what, "OpenAPI documents are UTF-8", "save it as UTF-8")]
    except positions.Unreadable as error:
        why, fix = "nothing behind this place can be read", "mend the syntax here"
        return [Problem(first, *error.place, f"is not YAML: {error}", why, fix)]
    except SpecError as error:
        what = str(error).removeprefix(f"{first}: ")
        return [Problem(first, 1, 1, what, "it cannot be loaded", "mend it")]
    return sorted(
        {
            Problem(first, *located.place(f.path), f.what, f.why, f.fix, f.fix in (MEND, WRITE))
            for f in set(faults)
        }
    )


class _Located:
    """A document, and the place of everything in it, sought only once something is wrong."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._known: positions.Located | None = None
        self._json = False
        try:
            self.document: Any = orjson.loads(text)
            self._text, self._json = positions.as_yaml(text), True
        except orjson.JSONDecodeError:
            self.document = self._all.document

    @property
    def _all(self) -> positions.Located:
        if self._known is None:
            try:
                self._known = positions.read(self._text)
            except positions.Unreadable:
                if not self._json:
                    raise
                self._known = positions.Located(self.document, {}, ())  # all but the lines is known
        return self._known

    def place(self, path: positions.Path) -> positions.Place:
        """Return where something stands."""
        return self._all.place(path)

    @property
    def repeated(self) -> Iterable[positions.Path]:
        """Keys that are given twice; readers keep the last one and tell nobody."""
        return self._all.repeated


def _faults(source: str) -> Iterator[Fault]:
    """Yield what is wrong with somebody else's description: what is left out, and our blocks."""
    try:
        contract = load(source)
    except SpecError:  # a mistyped word may be why: then it is the better answer
        typed = list(spelling.faults(reading.read(source).document, TYPED))
        if not typed:
            raise
        yield from typed
        return
    yield from spelling.faults(contract.document, MEND)
    for left in contract.left_out:
        path = ("paths", left.path, left.verb.lower())
        fix = WRITE if left.withheld else MEND
        yield Fault(path, f"is left out: {left.reason}", "the rest is judged without it", fix)
    for mended in contract.mended:
        why = "what it says is not held against any answer"
        yield Fault(mended.path, mended.what, why, MEND)
    for each in contract.idle:
        why = "the overlay was written for another state of the file"
        yield Fault((), each, why, "mend the target, or remove the action")
    yield from rules.faults(contract, own=False)


def _own_faults(located: _Located, path: Path) -> Iterator[Fault]:
    """Yield faults stage by stage; a stage that fails ends it, for the next would only echo."""
    faults = list(_shape(located.document))
    if faults:
        yield from faults
        return
    found = reading.read(str(path))
    document = found.document
    for mended in found.mended:
        why, fix = "answers could not be judged by it", "see JSON Schema 2020-12"
        yield Fault(mended.path, mended.what, why, fix)
    for stage in (_references, _keywords, _openapi, _words):
        faults = list(stage(document))
        yield from faults
        if faults:
            break
    else:
        try:
            contract = from_document(document, path)
        except SpecError as error:
            yield Fault((), str(error).removeprefix(f"{path}: "), "it cannot be loaded", "mend it")
            return
        yield from _sources(document)
        yield from rules.faults(contract)
    for repeated in located.repeated:
        yield Fault(
            repeated, f"{repeated[-1]!r} is given twice", "only the last one counts", "keep one"
        )


def _shape(document: Any) -> Iterator[Fault]:
    for key in ("paths", "x-conformance"):
        if not isinstance(document.get(key), dict):
            yield Fault(
                (),
                f"has no `{key}`",
                "there would be nothing to judge",
                f"add `{key}` (see specs/x-conformance.schema.json)",
            )


def _references(document: Any) -> Iterator[Fault]:
    for path, node in _nodes(document):
        reference = node.get("$ref") if isinstance(node, dict) else None
        if not isinstance(reference, str):
            continue
        if not reference.startswith("#/"):
            yield Fault(
                (*path, "$ref"),
                f"{reference!r} points out of this file, and to no file in its folder",
                "what it stands for is unknown",
                "copy what it points to under `components`, or put the file beside this one",
            )
            continue
        try:
            pointer(document, reference.removeprefix("#"))
        except (LookupError, TypeError):
            yield Fault(
                (*path, "$ref"),
                f"{reference!r} points to nothing",
                "what it stands for is unknown",
                _did_you_mean(reference, document),
            )


def _did_you_mean(reference: str, document: Any) -> str:
    parent, _, name = reference.removeprefix("#").rpartition("/")
    try:
        known = list(pointer(document, parent))
    except (LookupError, TypeError):
        return "define it under `components`"
    near = get_close_matches(name, known, 1)
    return f"write {f'#{parent}/{near[0]}'!r}" if near else f"define it under `#{parent}`"


def _keywords(document: Any) -> Iterator[Fault]:
    """Yield words inside schemas that JSON Schema does not have: mostly typing errors."""
    for path, outer in places.schemas(document):
        for inner, schema in pointers.inside(outer):
            for word in schema:
                if word in KEYWORDS or str(word).startswith("x-"):
                    continue
                near = get_close_matches(str(word), KEYWORDS, 1)
                yield Fault(
                    (*path, *inner, str(word)),
                    f"{word!r} is no word of JSON Schema",
                    "it says nothing, and what it was meant to say is not tested",
                    f"write {near[0]!r}" if near else "mend it, or start its name with `x-`",
                )


def _openapi(document: Any) -> Iterator[Fault]:
    from openapi_spec_validator import OpenAPIV31SpecValidator  # takes long to import

    try:
        errors = list(OpenAPIV31SpecValidator(document).iter_errors())
    except Exception as error:  # the validator follows what it reads, wherever that leads
        yield Fault(
            (),
            f"is not OpenAPI 3.1: its validator gave up ({type(error).__name__}: {error})",
            "tools that read OpenAPI would stumble here",
            "look for a part that is of another kind than it should be",
        )
        return
    for found in errors:
        yield Fault(
            tuple(map(str, found.absolute_path)),
            f"is not OpenAPI 3.1: {found.message.splitlines()[0]}",
            "tools that read OpenAPI would stumble here",
            "see the OpenAPI 3.1 specification for this place",
        )


def _words(document: Any) -> Iterator[Fault]:
    """Yield what `x-conformance` says in words that it does not have."""
    for place, node in _nodes(document):
        yield from _of_kinds(place, node)
        for word in ("x-basis", "x-closed-basis", "x-bounds-basis"):
            if isinstance(node, dict) and node.get(word, Basis.ASSUMED) not in list(Basis):
                yield Fault(
                    (*place, word),
                    f"{word} is {node[word]!r:.40}",
                    "it says how much a broken promise weighs",
                    f"write one of: {', '.join(Basis)}",
                )
    root = _parsed(RootBehaviour, document["x-conformance"], ("x-conformance",))
    yield from root if isinstance(root, list) else ()
    for path, operation in _operations(document):
        own = operation.get("x-conformance")
        if "operationId" not in operation:
            yield Fault(
                path, "has no operationId", "cases and drivers name operations by it", "give it one"
            )
        if not isinstance(own, dict):
            yield Fault(
                path,
                "has no x-conformance",
                "nobody knows what its promises rest on",
                "give at least `basis` and `source`",
            )
        elif isinstance(root, RootBehaviour):
            parsed = _parsed(OperationBehaviour, _merge_shared(root, own), (*path, "x-conformance"))
            yield from parsed if isinstance(parsed, list) else ()


def _of_kinds(place: positions.Path, node: Any) -> Iterator[Fault]:
    """Yield what `x-basis-of` says of kinds of constraint that there are not, or in other words."""
    kinds = node.get("x-basis-of", {}) if isinstance(node, dict) else {}
    if not isinstance(kinds, dict):
        kinds = {str(kinds): None}
    for kind, basis in kinds.items():
        if kind not in list(Kind) or basis not in list(Basis):
            yield Fault(
                (*place, "x-basis-of", str(kind)),
                f"x-basis-of is {kind}: {basis!r:.40}",
                "it says how much one kind of broken constraint weighs",
                f"write one of {', '.join(Kind)}, and one of: {', '.join(Basis)}",
            )


def _parsed(model: type[Word], raw: Any, path: positions.Path) -> Word | list[Fault]:
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        return [_word_fault(model, path, e["loc"], dict(e)) for e in error.errors()]


def _word_fault(
    model: type[Word], path: positions.Path, loc: Sequence[str | int], error: dict[str, Any]
) -> Fault:
    # Where a block may also be `false`, pydantic names the alternatives in the location.
    steps = [str(s) for s in loc if not re.fullmatch(r"[A-Z]\w+|literal\[.*\]|function.*", str(s))]
    here = (*path, *steps)
    if error["type"] == "extra_forbidden":
        known = _known(model, steps[:-1])
        near = get_close_matches(steps[-1], known, 1, 0.5)
        return Fault(
            here,
            f"{steps[-1]!r} is no word of x-conformance here",
            "a promise that nobody reads is not tested",
            f"write {near[0]!r}" if near else f"use one of: {', '.join(known)}",
        )
    if error["type"] == "missing":
        return Fault(
            here[:-1], f"{steps[-1]!r} is missing", "it has no default", f"add `{steps[-1]}`"
        )
    return Fault(
        here,
        f"{'.'.join(steps)}: {error['msg']}, got {error['input']!r:.60}",
        "no case would understand it",
        "see specs/x-conformance.schema.json",
    )


def _known(model: type[BaseModel], steps: Sequence[str]) -> list[str]:
    """Return the words that may stand at a place inside a model."""
    for step in steps:
        field = next((f for n, f in model.model_fields.items() if step in (f.alias, n)), None)
        if field is not None:
            model = next(iter(_models(field.annotation)), model)
    return [field.alias or name for name, field in model.model_fields.items()]


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models(inner)


def _sources(document: Any) -> Iterator[Fault]:
    blocks: list[tuple[positions.Path, Any]] = [(("x-conformance",), document["x-conformance"])]
    blocks += [
        ((*path, "x-conformance"), operation["x-conformance"])
        for path, operation in _operations(document)
    ]
    for path, block in blocks:
        for inner, node in _nodes(block):
            here = (*path, *inner)
            if isinstance(node, dict) and here[:2] == ("x-conformance", "auth") and here[2:]:
                node = {"basis": Basis.DOCUMENTED, **node}
            for word in node if isinstance(node, dict) else ():
                if word == "basis" or word.endswith("Basis"):
                    yield from _source(here, word, node)
    yield from _observed(document)


def _observed(document: Any) -> Iterator[Fault]:
    """Yield shapes that are called observed, where no release is named that shows them."""
    if RELEASE.search(document["x-conformance"].get("observedIn") or ""):
        return
    for path, node in _nodes(document):
        if isinstance(node, dict) and node.get("x-basis") == Basis.OBSERVED:
            yield Fault(
                (*path, "x-basis"),
                "is observed, and no release is named",
                "an observed fact is one of the releases that it was observed in",
                "add `observedIn` to the root's x-conformance, `octamem 1.0.1`",
            )


def _source(path: positions.Path, word: str, node: dict[str, Any]) -> Iterator[Fault]:
    """Hold the source of one basis, `basis` or `envelopeBasis`, against what that basis asks."""
    name = "source" if word == "basis" else f"{word.removesuffix('Basis')}Source"
    source, basis = node.get(name), node[word]
    if not source:
        yield Fault(
            (*path, word),
            f"is {basis} without a source",
            "a promise that cannot be looked up cannot be argued about",
            f"add `{name}`: document and section, the releases that show it, or why it is assumed",
        )
    elif basis == Basis.DOCUMENTED:
        for part in source.split("; "):
            yield from _documented((*path, name), part)
    elif basis == Basis.OBSERVED and not RELEASE.search(source):
        yield Fault(
            (*path, name),
            f"{source!r} names no release",
            "an observed fact is one of the releases that it was observed in",
            "name package and version, `octamem 1.0.1`",
        )


def _documented(path: positions.Path, source: str) -> Iterator[Fault]:
    match = SOURCE.match(source)
    if match is None:
        yield Fault(
            path,
            f"{source!r} names no section",
            "nobody could find the sentence",
            "write `DOCUMENT § Section`",
        )
        return
    known = documents().get(match["document"])
    if known is not None and match["section"] not in known.sections:
        near = get_close_matches(match["section"], known.sections, 1, 0.5)
        yield Fault(
            path,
            f"{match['document']} has no section {match['section']!r}",
            "the promise cannot be looked up",
            f"write {near[0]!r}" if near else "take a title from documents.yaml",
        )


def verify(folder: Path) -> list[Problem]:
    """Return where the known documents differ from the texts in `folder`."""
    found = []
    listing = str(HERE / "documents.yaml")
    located = positions.read(Path(listing).read_text("utf-8"))
    for id, known in documents().items():
        place = located.place((id,))
        file = next((f for f in sorted(folder.glob(f"{id}*")) if f.is_file()), None)
        if file is None:
            found.append(
                Problem(
                    listing,
                    *place,
                    f"{id}: no such text in {folder}",
                    "it cannot be verified",
                    "add the text, or leave it out",
                )
            )
            continue
        content = file.read_bytes()
        if hashlib.sha256(content).hexdigest() != known.sha256:
            found.append(
                Problem(
                    listing,
                    *place,
                    f"{id}: the text is another one",
                    "the specs were written from the text of the digest",
                    "read the changes, mend the specs, then the digest",
                )
            )
        lines = [line.strip() for line in content.decode("utf-8", "replace").splitlines()]
        for index, title in enumerate(known.sections):
            # Pages turned to text glue a title to what stands before or behind it.
            if not any(line.startswith(title) or line.endswith(title) for line in lines):
                found.append(
                    Problem(
                        listing,
                        *located.place((id, "sections", index)),
                        f"{id}: no section {title!r} in the text",
                        "a source that cites it leads nowhere",
                        "mend the title",
                    )
                )
    return found


def _operations(document: Any) -> Iterator[tuple[positions.Path, dict[str, Any]]]:
    for template, item in document["paths"].items():
        for verb in METHODS:
            if isinstance(item, dict) and isinstance(item.get(verb), dict):
                yield ("paths", template, verb), item[verb]


def _nodes(node: Any, path: positions.Path = ()) -> Iterator[tuple[positions.Path, Any]]:
    yield path, node
    inner: Iterable[tuple[object, Any]] = ()
    if isinstance(node, dict):
        inner = node.items()
    elif isinstance(node, list):
        inner = enumerate(node)
    for key, value in inner:
        yield from _nodes(value, (*path, str(key)))
