"""The specs that ship are right, and what is wrong with a spec is said so that one can mend it."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from openapi_spec_validator import OpenAPIV31SpecValidator

import specs
from specs import Basis, check, positions, schema
from specs.catalogue import Level, requirements
from specs.reading import Loader
from specs.sources import source

OPERATIONS = {"sovant": 24, "claiv": 11, "memsy": 26, "memsy-control": 13, "octamem": 3}
DOCUMENT = "004_02cd18ee9950a948"


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_shipped_spec_is_openapi(name: str) -> None:
    """Each shipped spec is valid OpenAPI 3.1."""
    contract = specs.load(name)
    assert contract.document["openapi"].startswith("3.1")
    assert list(OpenAPIV31SpecValidator(dict(contract.document)).iter_errors()) == []


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_shipped_spec_checks_clean(name: str) -> None:
    """The checker finds nothing wrong with what we ship."""
    assert check.check(specs.load(name).path) == []


@pytest.mark.parametrize(("name", "count"), OPERATIONS.items())
def test_every_operation_is_there(name: str, count: int) -> None:
    """No operation has been lost."""
    assert len(specs.load(name).operations) == count


def test_specs_that_ship() -> None:
    """Five APIs, and nothing else is taken for one."""
    assert set(specs.names()) == set(OPERATIONS)


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_spec_loads_by_name_and_by_path(name: str) -> None:
    """A name and the path of its file mean the same contract."""
    assert specs.load(specs.load(name).path) is specs.load(name)


def test_an_unknown_name_is_explained() -> None:
    """Whoever mistypes an API is told which there are."""
    with pytest.raises(specs.SpecError, match=r"claiv.*octamem.*nor a path"):
        specs.load("klaiv")


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_behaviour_has_basis_and_source(name: str) -> None:
    """Each operation says on what it rests."""
    for operation in specs.load(name):
        for promise in (operation, operation.effect, operation.pagination, operation.errors):
            if promise is not None:
                assert promise.basis in specs.Basis
                assert promise.source, operation.id


@pytest.mark.parametrize("name", OPERATIONS)
def test_links_lead_to_operations(name: str) -> None:
    """Each API shows how its operations follow on each other."""
    contract = specs.load(name)
    linked = [link["operationId"] for o in contract for link in o.links.values()]
    assert linked
    assert set(linked) <= set(contract.operations)


@pytest.mark.parametrize("name", OPERATIONS)
def test_requests_and_answers_find_their_operation(name: str) -> None:
    """A concrete request is matched to the operation that it means."""
    contract = specs.load(name)
    for operation in contract:
        path = re.sub(r"\{[^}]+\}", "some-id", operation.path)
        assert contract.match(operation.verb, path) is operation


# The catalogue


def test_requirements_are_complete() -> None:
    """Every group has its numbers, from 1 and without a gap."""
    counts = {
        "RA": 10, "RT": 22, "ER": 16, "PD": 6, "RL": 20, "IK": 10, "PG": 19, "LK": 4,
        "WR": 9, "AU": 9, "CT": 15, "HD": 6, "ST": 13, "IS": 4, "RB": 11, "LD": 13,
        "CN": 5, "DP": 2,
    }  # fmt: skip
    wanted = [f"{group}{n}" for group, most in counts.items() for n in range(1, most + 1)]
    assert sorted(requirements()) == sorted(wanted)


def test_requirements_say_what_they_mean() -> None:
    """Each requirement is one sentence with a source, under a column of the matrix."""
    columns = {
        "retries", "error mapping", "rate-limit headers", "pagination", "idempotency", "wire",
        "auth", "contract", "usage headers", "state", "isolation", "robustness", "load",
    }  # fmt: skip
    for requirement in requirements().values():
        assert requirement.statement.endswith(".")
        assert len(requirement.statement) > 20
        assert requirement.source
        assert requirement.concern in columns
        assert requirement.level in Level


def test_levels_that_no_standard_sets_are_ours() -> None:
    """A requirement that rests on no standard says so."""
    for requirement in requirements().values():
        if requirement.source.startswith(("our own rule", "the load profile")):
            assert requirement.ours, requirement.id


# What is wrong with a spec


@pytest.fixture
def broken(tmp_path: Path) -> Callable[..., check.Problem]:
    """Return a function that breaks a shipped spec and gives the one problem that is found."""

    def find(old: str, new: str, spec: str = "octamem", count: int = 1) -> check.Problem:
        text = specs.load(spec).path.read_text("utf-8")
        assert old in text, old
        changed = text.replace(old, new, count)
        path = tmp_path / "broken.yaml"
        path.write_text(changed, encoding="utf-8")
        problems = check.check(path)
        assert problems, "nothing was found"
        for problem in problems:
            assert problem.file == str(path)
            assert problem.what
            assert problem.why
            assert problem.fix
        where = text[: text.index(old)].count("\n") + 1
        return min(problems, key=lambda p: abs(p.line - where))

    return find


BROKEN: list[tuple[str, str, str, str, str, str]] = [
    ("syntax", "octamem", "  bearer:\n", "  bearer: [\n", "is not YAML", "mend the syntax"),
    ("key twice", "octamem", "  api: octamem\n", "  api: octamem\n  api: octamem\n",
     "'api' is given twice", "keep one"),
    ("version", "octamem", "openapi: 3.1.0", "openapi: 1.2.0", "openapi is '1.2.0'", "mend"),
    ("not openapi", "octamem", "  title: OctaMem memory API\n", "",
     '"title" is a required property', "OpenAPI 3.1"),
    ("reference", "octamem", '"#/components/schemas/Added"', '"#/components/schemas/Adde"',
     "points to nothing", "#/components/schemas/Added"),
    ("reference outside", "octamem", '"#/components/schemas/Added"', '"other.yaml#/Added"',
     "points out of this file", "components"),
    ("schema", "octamem", "success: {type: boolean", "success: {type: bool",
     "is no JSON Schema", "2020-12"),
    ("schema word", "octamem", "content: {type: string, minLength: 1",
     "content: {type: string, minLenght: 1", "'minLenght' is no word of JSON Schema", "minLength"),
    ("word", "octamem", "    maxAttempts: 4\n", "    maxAttempts: 4\n    retryAftr: {}\n",
     "'retryAftr' is no word", "'retryAfter'"),
    ("word in operation", "octamem", "          kind: search\n",
     "          kind: search\n          querry: query\n", "'querry' is no word", "'query'"),
    ("wrong value", "octamem", "kind: search", "kind: find", "effect.kind", "schema.json"),
    ("missing word", "sovant", "    base: SovantError\n", "", "'base' is missing", "add `base`"),
    ("no operation id", "octamem", "      operationId: details\n", "",
     "has no operationId", "give"),
    ("no source", "octamem", "      source: octamem 1.0.1 reads it\n", "",
     "is observed without a source", "add `source`"),
    ("no section", "octamem", f"source: {DOCUMENT} § API at a glance",
     f"source: {DOCUMENT} § API at a glanse", "has no section", "'API at a glance'"),
    ("no document", "octamem", f"source: {DOCUMENT} § API at a glance", "source: the website",
     "names no section", "DOCUMENT § Section"),
    ("no release", "octamem", "source: octamem 1.0.1 reads it", "source: somebody saw it",
     "names no release", "package and version"),
    ("items pointer", "octamem", "items: /results", "items: /result",
     "'/result' points to nothing", "'results'"),
    ("content pointer", "octamem", "items: /results\n          content: /content",
     "items: /results\n          content: /text", "'/text' points to nothing", "content"),
    ("pointer of another type", "sovant", "total: /total", "total: /memories",
     "is array", "point elsewhere"),
    ("parameter", "sovant", "offset: offset\n", "offset: start\n",
     "'start' is no parameter of memory.list", "use one of"),
    ("default", "sovant", "defaultLimit: 20", "defaultLimit: 50", "the schema says 20", "equal"),
    ("idempotency key", "claiv", "name: idempotency_key", "name: idempotency-key",
     "is no parameter of ingest", "'idempotency_key'"),
    ("replay flag", "claiv", "replayed: /deduped", "replayed: /dedupe",
     "points to nothing", "'deduped'"),
    ("target", "sovant", "target: memory_id", "target: memory", "is no argument", "'memory_id'"),
    ("scope", "octamem", "scope: {previousContext: free}", "scope: {previous_context: free}",
     "is no argument of add", "'previousContext'"),
    ("effect without resource", "octamem", "          resource: plan\n", "",
     "read without resource", "add 'resource'"),
    ("envelope", "octamem", "message: /error}", "message: /message}",
     "'/message' points to nothing", "code, error"),
    ("attribute", "octamem", '{retry_after: "header:retry-after"}', "{retry_after: retry-after}",
     "is nowhere to take a value from", "header:NAME"),
    ("attribute's header", "octamem", '"header:retry-after"', '"header:retry-in"',
     "declares no header 'retry-in'", "'retry-after'"),
    ("row never reached", "octamem", '      - status: "400"\n', "      - status: 4XX\n",
     "an earlier row takes every 401", "narrower row first"),
    ("impossible code", "memsy", "code: seat_required", "code: seat_requierd",
     "may carry the code", "schema"),
    ("rate-limit header", "sovant", "limit: x-ratelimit-limit", "limit: x-rate-limit-limit",
     "does not declare the header", "'x-ratelimit-limit'"),
    ("reset without unit", "sovant", "    resetUnit: epoch-seconds\n", "",
     "has no unit", "resetUnit"),
    ("attempts", "octamem", "maxAttempts: 4", "maxAttempts: 3", "max_retries is by default 3", "4"),
    ("status on both lists", "octamem", 'statuses: ["429", 5XX]', 'statuses: ["429", "404"]',
     "404 is retried and never retried", "one list"),
    ("stream", "sovant", "  parameter: stream", "  parameter: streaming",
     "is no argument of chat.send_message", "'stream'"),
    ("link target", "octamem", "              operationId: search\n",
     "              operationId: serch\n", "no operation", "'search'"),
    ("link pointer", "sovant", '{id: "$response.body#/memories/0/id"}',
     '{id: "$response.body#/memory/0/id"}', "points to nothing", "'memories'"),
    ("example", "octamem", "examples: [42]", "examples: [-1]",
     "not valid under its own schema", "mend"),
    ("open object", "octamem", "    Added:\n      type: object\n      additionalProperties: true\n",
     "    Added:\n      type: object\n", "does not say whether", "additionalProperties"),
    ("no auth", "octamem", "header: authorization", "header: x-key",
     "no security scheme", "securitySchemes"),
    ("two options of a role", "octamem", "role: backoff-base", "role: timeout",
     "two options have the role timeout", "keep one"),
    ("relation", "sovant", "left: /memories, op: max-items", "left: /memory, op: max-items",
     "'/memory' points to nothing", "memories"),
    ("basis of a shape", "octamem", "x-basis: observed", "x-basis: rumoured",
     "x-basis is 'rumoured'", "documented, observed, assumed"),
    ("named example", "octamem", "value: {content: The beta opens on March 20.}",
     "value: {contents: The beta opens on March 20.}", "example 'plain' is not valid", "mend"),
    ("scope of no resource", "sovant", "scope: {id: session}", "scope: {id: sessions}",
     "'sessions' is no resource", "'session'"),
    ("base of nothing", "octamem", "bases: [OctaMemError]", "bases: [OctamemError]",
     "'OctamemError' is neither", "'OctaMemError'"),
    ("default of another kind", "octamem", "default: 30.0", "default: thirty",
     "timeout is 'thirty' by default", "mend"),
    ("tag", "octamem", "tags: [plan]", "tags: [plans]", "the tag 'plans'", "'plan'"),
    ("auth without source", "octamem",
     "basis: observed, source: octamem 1.0.1 sends it}", "basis: observed}",
     "is observed without a source", "add `source`"),
    ("part without source", "octamem", '    envelopeSource: "octamem 1.0.1, 1.1.2"\n', "",
     "is observed without a source", "add `envelopeSource`"),
    ("observed in no release", "octamem", '  observedIn: "octamem 1.0.1, 1.1.2"\n', "",
     "no release is named", "add `observedIn`"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("spec", "old", "new", "what", "fix"),
    [row[1:] for row in BROKEN],
    ids=[row[0] for row in BROKEN],
)
def test_a_broken_spec_is_explained(
    broken: Callable[..., check.Problem], spec: str, old: str, new: str, what: str, fix: str
) -> None:
    """Each way of breaking a spec is found, with what is wrong and what to do about it."""
    problem = broken(old, new, spec)
    assert what in problem.what
    assert fix in problem.fix


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("    maxAttempts: 4\n", "    maxAttempts: 4\n    retryAftr: {}\n"),
        ("          kind: search\n", "          kind: search\n          querry: query\n"),
        ("success: {type: boolean", "success: {tipe: boolean"),
        ("items: /results", "items: /result"),
    ],
)
def test_a_problem_names_its_line(broken: Callable[..., check.Problem], old: str, new: str) -> None:
    """The line that is named is one of those that were broken."""
    text = specs.load("octamem").path.read_text("utf-8")
    first = text[: text.index(old)].count("\n") + 1
    problem = broken(old, new)
    assert first <= problem.line <= first + new.count("\n")


def test_a_file_that_is_not_there_is_a_problem(tmp_path: Path) -> None:
    """A path that leads nowhere is reported like any other problem."""
    [problem] = check.check(tmp_path / "none.yaml")
    assert "cannot be read" in problem.what


def test_a_file_that_is_not_text_is_a_problem(tmp_path: Path) -> None:
    """Bytes that are not UTF-8 are named with their place."""
    path = tmp_path / "bad.yaml"
    path.write_bytes(b"openapi: \xff")
    [problem] = check.check(path)
    assert "not UTF-8" in problem.what


@pytest.mark.parametrize("text", ["", "[]", "just words", "42", "paths: {}", "x-conformance: 3"])
def test_what_is_no_spec_at_all_is_a_problem(tmp_path: Path, text: str) -> None:
    """Whatever YAML it is, the checker answers with a problem and never with a crash."""
    path = tmp_path / "odd.yaml"
    path.write_text(text, encoding="utf-8")
    assert check.check(path)


ODD: list[Any] = [
    None, True, 3, -1, "x", "", [], {}, [1], {"a": 1}, "/x", "#/components/schemas/nope",
    {"$ref": "#/components/schemas/Nope"}, {"type": "object"},
]  # fmt: skip


def nodes(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of everything in a document, the document itself left out."""
    inner = node.items() if isinstance(node, dict) else enumerate(node)
    for key, value in inner:
        yield (*path, key)
        if isinstance(value, dict | list):
            yield from nodes(value, (*path, key))


PLAIN = json.dumps(specs.load("octamem").document)
PLACES = list(nodes(json.loads(PLAIN)))


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(PLACES), st.one_of(st.just(...), st.sampled_from(ODD)))
def test_no_way_of_breaking_a_spec_breaks_the_checker(path: tuple[Any, ...], odd: Any) -> None:
    """Whatever stands anywhere, or is missing, is answered with problems or with none."""
    document = json.loads(PLAIN)
    parent = document
    for key in path[:-1]:
        parent = parent[key]
    if odd is ...:
        del parent[path[-1]]
    else:
        parent[path[-1]] = odd
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "odd.json"
        file.write_text(json.dumps(document), encoding="utf-8")
        problems = check.check(file)
        if not problems:
            specs.load(file)


def test_the_exit_code_says_whether_all_is_well(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Clean specs give 0; one problem gives 1 and is printed with file and line."""
    assert check.run([specs.load("octamem").path]) == 0
    path = tmp_path / "bad.yaml"
    path.write_text("openapi: 3.0.0\n", encoding="utf-8")
    assert check.run([path]) == 1
    assert f"{path}:1:1: " in capsys.readouterr().out


def test_json_is_checked_like_yaml(tmp_path: Path) -> None:
    """Somebody's own spec may be JSON."""
    path = tmp_path / "octamem.json"
    path.write_text(json.dumps(dict(specs.load("octamem").document)), encoding="utf-8")
    assert check.check(path) == []
    assert set(specs.load(path).operations) == {"add", "search", "details"}


# The published JSON Schema


def test_the_published_schema_is_current() -> None:
    """The file is what `memconform spec schema` prints today."""
    assert schema.FILE.read_text("utf-8") == schema.render(), (
        "run: memconform spec schema > specs/x-conformance.schema.json"
    )


@pytest.mark.parametrize("name", OPERATIONS)
def test_shipped_specs_are_valid_under_the_published_schema(name: str) -> None:
    """An editor that knows the schema finds nothing to mark in our specs."""
    validator = jsonschema_rs.validator_for(schema.schema())
    assert [e.message for e in validator.iter_errors(specs.load(name).document)] == []


@pytest.mark.parametrize(
    ("place", "word", "value"),
    [
        (("x-conformance",), "retrys", {}),
        (("x-conformance", "retries"), "maxAttempts", 0),
        (("x-conformance", "retries"), "statuses", ["4XY"]),
        (("x-conformance", "rateLimit"), "headers", "draft-99"),
        (("paths", "/api/memory/add", "post", "x-conformance"), "basis", "rumour"),
        (("paths", "/api/memory/add", "post", "x-conformance", "effect"), "kind", "make"),
        (("paths", "/api/memory/add", "post", "x-conformance"), "retries", {"maxAttempt": 2}),
    ],
)
def test_the_published_schema_refuses_what_the_model_refuses(
    place: tuple[str, ...], word: str, value: Any
) -> None:
    """Words and values that no model knows are marked by an editor too."""
    document = yaml.safe_load(specs.load("octamem").path.read_text("utf-8"))
    specs.pointer(document, "".join(f"/{p.replace('/', '~1')}" for p in place))[word] = value
    assert not jsonschema_rs.validator_for(schema.schema()).is_valid(document)
    with pytest.raises(specs.SpecError):
        specs.from_document(document)


# Somebody's own spec

OWN = """
openapi: 3.1.0
info: {title: Notes, version: "1"}
paths:
  /notes/{id}:
    get:
      operationId: read
      parameters: [{name: id, in: path, required: true, schema: {type: string}}]
      responses:
        "200": {description: It, content: {application/json: {schema: {type: object}}}}
      x-conformance: {basis: documented, source: handbook § Reading}
x-conformance: {api: notes, document: handbook, documentVersion: "1"}
"""


def test_an_own_spec_needs_little(tmp_path: Path) -> None:
    """A spec whose document we do not know is clean with the few words that nobody can guess."""
    path = tmp_path / "notes.yaml"
    path.write_text(OWN, encoding="utf-8")
    assert check.check(path) == []
    assert specs.load(path)["read"].retries is None


# Source documents


def test_documents_are_verified_against_their_texts(tmp_path: Path) -> None:
    """A text that is missing, changed or lacks a section is told."""
    for id, known in check.documents().items():
        (tmp_path / f"{id}.txt").write_text("\n".join(known.sections[1:]), encoding="utf-8")
    (tmp_path / f"{DOCUMENT}.txt").unlink()
    problems = [p.what for p in check.verify(tmp_path)]
    others = len(check.documents()) - 1
    assert sum("no such text" in what for what in problems) == 1
    assert sum("the text is another one" in what for what in problems) == others
    assert sum("no section" in what for what in problems) == others


def test_each_contract_names_a_known_document() -> None:
    """The document and version of each spec are those that were read."""
    for name in specs.names():
        root = specs.load(name).root
        known = check.documents()[root.document]
        assert root.document_version == known.version
        assert root.client is not None
        assert root.client.package == known.package


# Reading


def test_words_that_yaml_1_1_takes_for_something_else() -> None:
    """`on`, `yes` and dates stay what they are written as."""
    text = "on: yes\nday: 2024-01-01\nflag: true\nsure: True\n"
    assert yaml.load(text, Loader=Loader) == {
        "on": "yes", "day": "2024-01-01", "flag": True, "sure": True,
    }  # fmt: skip


def test_places_count_from_one() -> None:
    """Lines and columns are those that an editor shows."""
    located = positions.read("a:\n  - b: 1\n  - c\n")
    assert located.place(("a", 0, "b")) == (2, 5)
    assert located.place(("a", 1)) == (3, 5)
    assert located.place(("a", 1, "nothing", "here")) == (3, 5)
    assert located.place(("z",)) == (1, 1)


@pytest.mark.parametrize("name", OPERATIONS)
def test_other_yaml_readers_read_the_same(name: str) -> None:
    """A shipped spec uses nothing that YAML 1.1 and 1.2 readers read differently."""
    text = specs.load(name).path.read_text("utf-8")

    assert yaml.safe_load(text) == specs.load(name).document


def test_merging_is_field_by_field() -> None:
    """An operation that changes one word of a shared block keeps the others; false ends it."""
    document: dict[str, Any] = yaml.safe_load(specs.load("octamem").path.read_text("utf-8"))
    own = document["paths"]["/api/memory/details"]["post"]["x-conformance"]
    own["retries"] = {"maxAttempts": 2}
    own["rateLimit"] = False
    contract = specs.from_document(document)
    retries = contract["details"].retries
    assert retries is not None
    assert (retries.max_attempts, retries.statuses) == (2, contract["add"].retries.statuses)  # type: ignore[union-attr]
    assert contract["details"].rate_limit is None
    assert contract["add"].rate_limit is not None


ROWS: list[tuple[dict[str, Any], str | None]] = [
    ({"status": 400}, "ValidationError"),
    ({"status": 418}, "APIError"),
    ({"status": 503}, "InternalServerError"),
    ({"network": "timeout"}, "APITimeoutError"),
    ({"network": "reset"}, "APIConnectionError"),
    ({"status": 302}, None),
]


@pytest.mark.parametrize(("fault", "exception"), ROWS)
def test_the_first_row_of_the_error_table_that_fits(
    fault: dict[str, Any], exception: str | None
) -> None:
    """An answer or network fault means the exception of the first row that fits it."""
    errors = specs.load("octamem")["add"].errors
    assert errors is not None
    rule = specs.error_rule(errors, **fault)
    assert (rule.exception if rule else None) == exception


@pytest.mark.parametrize(
    ("api", "requirement", "operation", "basis", "said"),
    [
        ("claiv", "RT5", "ingest", Basis.DOCUMENTED, "§ Retries"),
        ("claiv", "RT2", "ingest", Basis.OBSERVED, "claiv-memory 0.2.1, 0.6.4"),
        ("memsy", "HD4", "ingest", Basis.DOCUMENTED, "§ Usage Tracking"),
        ("memsy", "HD3", "ingest", Basis.OBSERVED, "memsy 0.3.1"),
        ("sovant", "WR6", "threads.list", Basis.DOCUMENTED, "§ Thread Management"),
        ("sovant", "WR7", None, Basis.DOCUMENTED, "§ Configuration"),
        ("sovant", "ER13", "memory.create", Basis.ASSUMED, ""),
    ],
)
def test_a_requirement_leads_to_the_section_that_promises_it(
    api: str, requirement: str, operation: str | None, basis: Basis, said: str
) -> None:
    """What a finding breaks is found in the contract: section, releases, or nobody said it."""
    found = source(specs.load(api), requirement, operation, basis)
    assert (said in found) if said else not found
