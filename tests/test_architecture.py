"""The shape of the project, checked from its own source: a rule that nothing enforces rots."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import specs

ROOT = Path(__file__).parent.parent
PACKAGES = ("specs", "conformance", "load")
SOURCES = sorted(p for package in PACKAGES for p in (ROOT / package).rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("test_*.py"))
TABLES = "conformance/drivers/tables/"

# Inside conformance, a layer may import from itself and from layers above it in this list.
LAYERS: tuple[tuple[str, ...], ...] = (
    ("claims", "plural", "programs"),
    ("history", "verdict", "clock", "cases", "progress", "foreign", "redaction", "evidence"),
    ("contained", "supervise"),
    ("option_kinds", "options"),
    ("oracles",),
    ("faults", "drivers", "reference"),
    ("report",),
    ("backend", "sdk"),
    ("pipelines",),
    ("teeth", "subjects", "children", "run", "rerun", "live", "trace"),
    ("drafting", "contracting", "docs", "explain", "showing"),
    ("plugin", "cli", "commanding", "commands", "waiving", "pipelining", "outlets", "__main__"),
)
# A suite brings what `teeth` asks of it, in `teeth`'s words.
UPWARD = {("backend", "teeth"), ("sdk", "teeth")}

# Only these touch Locust: importing it patches the process.
MAY_IMPORT_LOCUST = re.compile(
    r"^load/(locustfile|users|web|locust_\w+|shapes|transport_client)\.py$"
)

LONGEST_FUNCTION = 60
LONGEST_FILE = 600


def relative(path: Path) -> str:
    """The path from the root, with forward slashes."""
    return path.relative_to(ROOT).as_posix()


def imports(path: Path) -> Iterator[str]:
    """Every module that a file imports, at its top or inside functions, outside type checking."""
    tree = ast.parse(path.read_text("utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            node.body = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def layer(module: str) -> int | None:
    """Which layer of conformance a module belongs to; None where it is no part of it."""
    parts = module.split(".")
    if parts[0] != "conformance" or len(parts) < 2:
        return None
    return next((n for n, names in enumerate(LAYERS) if parts[1] in names), None)


def test_packages_depend_one_way() -> None:
    """Arrows go specs ← conformance ← load, never back."""
    forbidden = {"specs": ("conformance", "load"), "conformance": ("load",), "load": ()}
    wrong = [
        f"{relative(path)} imports {name}"
        for path in SOURCES
        for name in imports(path)
        if name.split(".")[0] in forbidden[relative(path).split("/")[0]]
    ]
    assert [] == wrong


def test_layers_of_conformance_depend_one_way() -> None:
    """Inside conformance, values know no oracle, oracles no driver, suites no command line."""
    wrong = []
    for path in SOURCES:
        own = relative(path).removesuffix(".py").replace("/", ".")
        here = layer(own)
        if here is None or relative(path).startswith(TABLES):
            continue
        for name in imports(path):
            there = layer(name)
            pair = (own.split(".")[1], name.split(".")[1] if there is not None else "")
            if there is not None and there > here and pair not in UPWARD:
                wrong.append(f"{relative(path)} imports {name}")
    assert [] == wrong


def test_every_module_of_conformance_has_a_layer() -> None:
    """A new module states where it stands before anything can depend on it."""
    homeless = [
        relative(path)
        for path in SOURCES
        if relative(path).startswith("conformance/")
        and path.parent.name + path.stem != "conformance__init__"
        and layer(relative(path).removesuffix(".py").replace("/", ".")) is None
    ]
    assert [] == homeless


def test_only_named_files_import_locust() -> None:
    """Importing Locust patches the process, so it happens in the few files that must."""
    wrong = [
        relative(path)
        for path in SOURCES
        if any(n.split(".")[0] in ("locust", "gevent", "geventhttpclient") for n in imports(path))
        and any(n.split(".")[0] == "locust" for n in imports(path))
        and not MAY_IMPORT_LOCUST.match(relative(path))
    ]
    assert [] == wrong


def test_no_system_is_named_in_generic_code() -> None:
    """A system is data: its name stands in specs, its driver table and its reference adapter."""
    names = re.compile(r"\b(" + "|".join({n.split("-")[0] for n in specs.names()}) + r")\b", re.I)
    # A seeded defect names the contract that it is shown on: that is data too.
    allowed = (
        "specs/", TABLES, "conformance/reference/backend/adapters/",
        "conformance/reference/backend/defects", "conformance/reference/sdk/defects",
        "load/defects",
    )  # fmt: skip
    wrong = []
    for path in SOURCES:
        if relative(path).startswith(allowed):
            continue
        for node in _strings_and_names(path):
            if names.search(node):
                wrong.append(f"{relative(path)}: {node[:60]}")
    assert [] == wrong


def _strings_and_names(path: Path) -> Iterator[str]:
    tree = ast.parse(path.read_text("utf-8"))
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            if id(node) not in docstrings:
                yield node.value
        elif isinstance(node, ast.Name):
            yield node.id


def test_functions_can_be_seen_whole() -> None:
    """No function is longer than a screen."""
    long = []
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or 0) - node.lineno + 1
                if length > LONGEST_FUNCTION:
                    long.append(f"{relative(path)}:{node.lineno} {node.name}: {length} lines")
    assert [] == long


def test_files_have_one_subject() -> None:
    """A file longer than 600 lines has more than one subject."""
    long = [
        f"{relative(p)}: {n}"
        for p in SOURCES
        if (n := len(p.read_text("utf-8").splitlines())) > LONGEST_FILE
    ]
    assert [] == long


def test_modules_say_what_belongs_in_them() -> None:
    """Every module opens with a docstring."""
    silent = [
        relative(p)
        for p in (*SOURCES, *TESTS)
        if not ast.get_docstring(ast.parse(p.read_text("utf-8")))
    ]
    assert [] == silent


def test_every_test_states_its_rule() -> None:
    """Every test has a docstring: one sentence, the rule and not the steps."""
    silent = [
        f"{relative(path)}:{node.lineno} {node.name}"
        for path in TESTS
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
        and not ast.get_docstring(node)
    ]
    assert [] == silent


def test_tests_do_not_sleep() -> None:
    """Tests wait on conditions or on the virtual clock, never on time itself."""
    sleepy = [
        f"{relative(path)}:{node.lineno}"
        for path in TESTS
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("time.sleep", "sleep")
    ]
    assert [] == sleepy


def test_no_unfinished_marks() -> None:
    """What is committed is finished: no marks that promise to come back."""
    marks = re.compile(r"\b(TODO|FIXME|XXX|HACK|NotImplementedError)\b")
    found = [
        f"{relative(path)}: {marks.search(path.read_text('utf-8'))}"
        for path in SOURCES
        if marks.search(path.read_text("utf-8"))
    ]
    assert [] == found


WORDS = frozenset({"message", "reason", "expected", "actual"})
"""Fields that hold sentences of ours."""
READING = frozenset({
    "startswith", "endswith", "partition", "rpartition", "removeprefix", "removesuffix", "split",
    "match", "search", "fullmatch", "findall", "finditer", "sub",
})  # fmt: skip
RENDERERS = ("conformance/report/", "conformance/claims/", "load/web.py")
OTHERS_WORDS = {"conformance/oracles/exceptions.py": "'integer string' in raised.message"}
"""What the interpreter says of a number that is too long, and has no class of its own for."""


def test_nothing_parses_a_sentence() -> None:
    """What a finding or a result states is a value: its words are for people, outside renderers."""
    wrong = []
    for path in SOURCES:
        name = relative(path)
        if name.startswith(RENDERERS):
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if _reads_words(node) and ast.unparse(node) != OTHERS_WORDS.get(name):
                wrong.append(f"{name}:{node.lineno}: {ast.unparse(node)[:80]}")  # type: ignore[attr-defined]
    assert [] == wrong


def _reads_words(node: ast.AST) -> bool:
    """True for a string method, a regex or `in` over a field of words."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        texts = [node.func.value, *(node.args if ast.unparse(node.func.value) == "re" else ())]
        return node.func.attr in READING and any(map(_words, texts))
    if isinstance(node, ast.Compare):
        inside = any(isinstance(op, ast.In | ast.NotIn) for op in node.ops)
        return inside and any(map(_words, node.comparators))
    return False


def _words(node: ast.AST) -> bool:
    return isinstance(node, ast.Attribute) and node.attr in WORDS


def test_sentences_that_are_parsed_are_seen() -> None:
    """The rule above bites on each way of reading a sentence, and lets values be."""
    bad = (
        "finding.message.startswith('x')", "re.search('a', f.reason)", "'x' in case.reason",
        "kind.actual.partition(':')",
    )  # fmt: skip
    good = ("finding.cause.startswith('x')", "re.search('a', text)", "f.reason == ''")
    seen = [any(map(_reads_words, ast.walk(ast.parse(text)))) for text in (*bad, *good)]
    assert [True] * len(bad) + [False] * len(good) == seen


@pytest.mark.parametrize(
    "pattern",
    [r"(?<![\w.])/(work|root|home/\w+)/", r"https?://[\w.-]*(pypi|pythonhosted|npmjs|debian)\.\w+"],
)
def test_nothing_names_a_machine_or_a_registry(pattern: str) -> None:
    """Tracked files hold no path of a machine and no registry's host."""
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    found = []
    for name in listed.stdout.splitlines():
        path = ROOT / name
        if path.suffix in (".py", ".md", ".yaml", ".yml", ".toml", ".json", "") and path.is_file():
            text = path.read_text("utf-8", errors="ignore")
            if path != Path(__file__) and re.search(pattern, text):
                found.append(name)
    assert [] == found


def test_no_test_imports_another_test() -> None:
    """What two test modules share stands in a module of its own."""
    wrong = [
        f"{relative(path)} imports {name}"
        for path in TESTS
        for name in imports(path)
        if name.startswith("tests.") and any(p.startswith("test_") for p in name.split(".")[1:])
    ]
    assert [] == wrong


def test_tests_lie_in_the_folders_that_they_test() -> None:
    """The folders of tests mirror those of the product; only this module stands above them."""
    if not SOURCES:
        pytest.skip("the sources are installed elsewhere")
    folders = {relative(p.parent) for p in SOURCES}
    homeless = [
        relative(path)
        for path in TESTS
        if path != Path(__file__) and relative(path.parent).removeprefix("tests/") not in folders
    ]
    assert [] == homeless


# Only these read real time: the module of clocks, what runs inside an SDK's own process, and the
# supervisor, a script that runs by its path and imports nothing of ours.
MAY_READ_CLOCKS = (
    "conformance/clock.py",
    "conformance/drivers/ho",
    "conformance/supervise.py",
    "conformance/drivers/examples/",
    "conformance/reference/sdk/",
    TABLES,
)
CLOCKS = frozenset({"time", "monotonic", "perf_counter", "time_ns", "monotonic_ns",
                    "perf_counter_ns"})  # fmt: skip


def test_clocks_are_read_in_one_module() -> None:
    """Time is handed over, or asked of one module: nothing else knows which clock runs."""
    wrong = []
    for path in SOURCES:
        if relative(path).startswith(MAY_READ_CLOCKS):
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            read = isinstance(node, ast.Attribute) and (
                (node.attr in CLOCKS and ast.unparse(node.value) == "time")
                or (node.attr in ("now", "utcnow", "today")
                and ast.unparse(node.value) in ("datetime", "datetime.datetime", "date"))
            )  # fmt: skip
            imported = isinstance(node, ast.ImportFrom) and node.module == "time"
            if read or imported:
                wrong.append(f"{relative(path)}:{getattr(node, 'lineno', 0)} {ast.unparse(node)}")
    assert [] == wrong


# What the contract's words mean is asked of one module each: nobody else tells them apart.
# Home -> the words that nobody else names, and the attribute that nobody else branches on.
HOMES: dict[str, tuple[frozenset[str], str]] = {
    "specs/quotas.py": (frozenset({"draft-6", "draft-7", "draft-8", "x-ratelimit"}), "headers"),
    "specs/paging.py": (frozenset(), "style"),
}
VOCABULARY = "specs/vocabulary.py"


@pytest.mark.parametrize("home", HOMES)
def test_what_a_word_of_the_contract_means_is_asked_of_its_home(home: str) -> None:
    """Dialects and styles are told apart in one module each, so that no two users can differ."""
    words, attribute = HOMES[home]
    wrong = []
    for path in SOURCES:
        if relative(path) in (home, VOCABULARY):
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Constant) and node.value in words:
                wrong.append(f"{relative(path)}:{node.lineno} names {node.value!r}")
            elif _branches_on(node, attribute):
                wrong.append(f"{relative(path)}:{getattr(node, 'lineno', 0)} asks .{attribute}")
    assert [] == wrong


def _branches_on(node: ast.AST, attribute: str) -> bool:
    """Return True if code compares an attribute with a text, or looks it up in a table."""
    if isinstance(node, ast.Compare):
        sides: list[ast.expr] = [node.left, *node.comparators]
        texts = [n for side in sides for n in ast.walk(side) if isinstance(n, ast.Constant)]
        return any(isinstance(n.value, str) for n in texts) and _any_is(sides, attribute)
    if isinstance(node, ast.Match):
        return _any_is([node.subject], attribute)
    if isinstance(node, ast.Subscript):
        return _any_is([node.slice], attribute)
    looked_up = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    return looked_up and node.func.attr == "get" and _any_is(node.args, attribute)  # type: ignore[attr-defined]


def _any_is(nodes: list[ast.expr], attribute: str) -> bool:
    return any(isinstance(n, ast.Attribute) and n.attr == attribute for n in nodes)
