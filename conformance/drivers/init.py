"""Write a first driver table for a package that no table knows.

The package is installed, looked at in its own environment, and its methods are matched to the
contract's operations. What comes out is a file for a person to finish: each line says how sure
the match is, and what could not be matched is listed with what came nearest.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import specs
from conformance.contained import ran
from conformance.drivers import generators, matching, tables
from conformance.drivers.environment import Environment, EnvironmentUnavailable, prepare
from conformance.drivers.matching import (
    CLEAR,
    ROLES,
    Match,
    Method,
    match,
    needed_names,
    option,
    raw,
    shape,
    snake,
    wire_names,
)
from conformance.drivers.pipe import redact
from conformance.drivers.process import DriverError, DriverProcess, clean_environment, host_command
from conformance.faults.testbench import Testbench
from specs import Contract

LOOK = Path(__file__).parent / "hosting" / "look.py"
LOOK_TIMEOUT = 60.0


class NothingFound(Exception):
    """The package has nothing that looks like a client; the text says what it has."""


@dataclass(frozen=True)
class Draft:
    """A table in the making."""

    environment: Environment
    contract: Contract
    module: str
    clients: Mapping[str, str]
    matches: tuple[Match, ...]
    options: Mapping[str, str]
    exceptions: tuple[str, ...]
    no_exceptions: tuple[str, ...]
    """Documented exception names that the package lacks."""
    models: Mapping[str, tuple[str, ...]]
    """Classes beside the client -> what their constructors need."""
    exceptions_module: str = ""
    """Where they are imported from, if not from `module`."""
    news: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Role -> mode -> `module:Class` of which the option takes an object."""
    twins: Mapping[str, str] = field(default_factory=dict)
    """Method -> the async one of the same class, as `recall` and `arecall`."""
    unused: tuple[str, ...] = ()
    """Methods that no operation was found for."""
    warnings: tuple[str, ...] = ()

    @property
    def clear(self) -> tuple[Match, ...]:
        """Operations whose method needs no second look."""
        return tuple(m for m in self.matches if m.method is not None and not doubts(m, self.models))

    @property
    def unmatched(self) -> tuple[Match, ...]:
        """Operations that no method was found for."""
        return tuple(m for m in self.matches if m.method is None)


def draft(subject: str, contract: Contract) -> Draft:
    """Return a first table of a package.

    Raises EnvironmentUnavailable where it cannot be installed, NothingFound where it holds no
    client.
    """
    environment = prepare(subject)
    seen = look(environment, [o.method for o in contract if o.method])
    classes = [c for c in seen["classes"] if not c["exception"]]
    ranked = sorted(
        classes,
        key=lambda c: (-_worth(c, contract), c["module"].count("."), len(c["name"]), c["name"]),
    )
    clients = _promised(classes, contract, environment.name) or _clients(ranked, contract)
    if not clients:
        raise NothingFound(
            f"{environment.name} {environment.version} has no class whose methods look like "
            f"{contract.api}'s operations; it has: {', '.join(c['name'] for c in ranked[:12])}"
        )
    chosen = next(iter(clients.values()))
    told = [_method(m) for c in clients.values() for m in c["methods"]]
    twins = {} if "async" in clients else matching.twins(told)
    methods = [m for m in _merged(told) if m.path not in twins.values()]
    if twins:
        clients["async"] = chosen
    module = _home(list(clients.values()))
    named = [c["name"] for c in seen["classes"] if c["exception"]]
    documented = _documented(contract)
    parameters = [p["name"] for p in chosen["constructor"]]
    promised: dict[str, str] = (
        {o.role: o.name for o in contract.client.options} if contract.client else {}
    )
    options = {
        role: found
        for role in ROLES
        if (found := option(role, promised.get(role, ""), parameters)) is not None
    }
    news = {r: _new(chosen, clients, n) for r, n in options.items() if r == "http-client"}
    options = {role: name for role, name in options.items() if news.get(role) != {}}
    matches = tuple(match(contract, methods, _sent(environment, contract)))
    used = {m.method.path for m in matches if m.method is not None}
    return Draft(
        environment=environment,
        contract=contract,
        module=module,
        clients={mode: c["name"] for mode, c in clients.items()},
        matches=matches,
        options=options,
        exceptions=tuple(n for n in documented if n in named),
        no_exceptions=tuple(n for n in documented if n not in named),
        exceptions_module=_exceptions_home(seen["classes"], contract, module),
        news=news,
        twins=twins,
        models={
            c["name"]: tuple(p["name"] for p in c["constructor"] if p["required"])
            for c in classes if c["module"] == module
        },
        unused=tuple(sorted({m.path for m in methods} - used)),
        warnings=tuple(f"{name}: {why}" for name, why in seen["failed"].items()),
    )  # fmt: skip


def _sent(environment: Environment, contract: Contract) -> dict[str, str]:
    """Return operation id -> the method that sends it, where a generator's sources say so."""
    written = generators.installed(environment)
    return generators.senders(written.made, contract) if written is not None else {}


def doubts(each: Match, models: Mapping[str, tuple[str, ...]]) -> list[str]:
    """Return what makes a match one to check, in words; nothing where it is clear."""
    if each.method is None:
        return []
    shaped = shape(each.operation, each.method, models)
    found = []
    if each.score < CLEAR:
        found.append(
            f"please check ({each.score:.2f}): {each.operation.summary or each.operation.id}"
        )
    homeless = [n for n in shaped.left_over if n in needed_names(each.operation)]
    if homeless:
        found.append(f"needed, and without a place: {', '.join(homeless)}")
    if shaped.asked:
        found.append(f"it asks for more: {', '.join(shaped.asked)}; `fixed` can give it")
    given = {snake(name) for name in wire_names(each.operation)}
    if shaped.whole:
        found.append(f"the whole body goes into `{shaped.whole}`; an `adapt` can say it otherwise")
    wanting = [n for n in models.get(shaped.model, ()) if snake(n) not in given]
    if wanting:
        found.append(f"{shaped.model} needs more: {', '.join(wanting)}; an `adapt` can give it")
    return found


def look(environment: Environment, documented: Sequence[str] = ()) -> dict[str, Any]:
    """Return what `hosting/look.py` sees in an environment. Raises NothingFound.

    `documented`: expressions that a document names, which are looked up as they stand.
    """
    modules = top_level(environment)
    if not modules:
        raise NothingFound(f"{environment.name} installs no importable module")
    command = [environment.python, "-I", str(LOOK), *modules, "--", *documented]
    try:
        done = ran(command, timeout=LOOK_TIMEOUT, env=clean_environment())
        seen = json.loads(done.stdout)
    except subprocess.TimeoutExpired:
        raise NothingFound(f"looking at {environment.name} took too long") from None
    except ValueError:
        last = redact(done.stderr)[-500:]
        raise NothingFound(f"{environment.name} cannot be looked at: {last}") from None
    if not isinstance(seen, dict):
        raise NothingFound(f"{environment.name} cannot be looked at")
    return seen


def top_level(environment: Environment) -> list[str]:
    """Return the import names that a distribution installs, from its own list of files."""
    site = next(Path(environment.python).parents[1].glob("lib/*/site-packages"), None)
    if site is None:
        return []
    wanted = tables.normalise(environment.name)
    for info in site.glob("*.dist-info"):
        if tables.normalise(info.name.removesuffix(".dist-info").rsplit("-", 1)[0]) == wanted:
            rows = (info / "RECORD").read_text(encoding="utf-8").splitlines()
            paths = [row.split(",")[0] for row in rows]
            folders = {p.split("/")[0] for p in paths if "/" in p and p.endswith(".py")}
            single = {p[:-3] for p in paths if "/" not in p and p.endswith(".py")}
            names = sorted(folders | single)
            return [n for n in names if n.isidentifier() and n not in ("tests", "test", "docs")]
    return []


def render(made: Draft) -> str:
    """Return the table's file."""
    head = _HEAD.format(
        package=_plain(made.environment.name), version=_plain(made.environment.version),
        api=_plain(made.contract.api),
        missing="".join(f"{_plain(line)}\n" for line in _missing(made).splitlines()),
        names="Operation, Option, Table, attempts, way" if "attempt" in made.options.get(
            "max-retries", "") else "Operation, Option, Table, way",
    )  # fmt: skip
    lines = [head, "OPERATIONS = {"]
    for each in made.matches:
        lines += _operation(each, made.models, made.twins)
    lines += ["}", "", "TABLES = (", "    Table("]
    lines += [
        f"        api={made.contract.api!r},",
        f"        package={made.environment.name!r},",
        f"        module={made.module!r},",
        f"        clients={dict(made.clients)!r},",
        "        operations=OPERATIONS,",
        "        options={",
        *(_option(role, name, made.news) for role, name in made.options.items()),
        "        },",
        f"        exceptions={made.exceptions!r},",
        *(
            [f"        exceptions_module={made.exceptions_module!r},"]
            * bool(made.exceptions_module)
        ),
        "    ),",
        ")",
    ]
    return re.sub(r"'([^'\"\\\n]*)'", r'"\1"', "\n".join(lines)) + "\n"


def _plain(text: str) -> str:
    """Return what a package said as it may stand in a comment or in the docstring: never code."""
    return "".join(c if c.isprintable() and c not in '"\\' else "?" for c in text)


def _option(role: str, name: str, news: Mapping[str, Mapping[str, str]]) -> str:
    new = f", new={dict(news[role])!r}" if news.get(role) else ""
    counts = role == "max-retries" and "attempt" in name
    return f"            {role!r}: Option({name!r}{new}{', wrap=attempts' * counts}),"


def _operation(
    each: Match, models: Mapping[str, tuple[str, ...]], twins: Mapping[str, str]
) -> list[str]:
    id = each.operation.id
    if each.method is None:
        documented = each.operation.method or id
        near = ", ".join(f"{path} ({score:.2f})" for path, score in each.nearest) or "nothing"
        return [
            f"    # not found; nearest: {_plain(near)}",
            f"    {id!r}: Operation(way({documented!r})),",
        ]
    shaped = shape(each.operation, each.method, models)
    words = [repr(each.method.path), *(repr(name) for name in shaped.first)]
    if shaped.rest != "keywords":
        words.append(f"rest={shaped.rest!r}")
    if shaped.model:
        words.append(f"model={shaped.model!r}")
    if shaped.rename:
        words.append(f"rename={dict(shaped.rename)!r}")
    remarks = [f"    # {_plain(doubt)}" for doubt in doubts(each, models)]
    spare = [n for n in shaped.left_over if n not in needed_names(each.operation)]
    if spare:
        remarks.append(f"    # no place found for: {_plain(', '.join(spare))}")
    twin = twins.get(each.method.path)
    if twin is None:
        return [*remarks, f"    {id!r}: Operation(way({', '.join(words)})),"]
    other = [repr(twin), *words[1:]]
    return [
        *remarks,
        f"    {id!r}: Operation(",
        f"        way({', '.join([*words, 'mode=' + repr('sync')])}),",
        f"        also=(way({', '.join([*other, 'mode=' + repr('async')])}),),",
        "    ),",
    ]


_HEAD = '''"""Driver table of `{package}` as a client of `{api}`, drafted from version {version}.

Check each line: the drafts were matched by name, nothing was called. `way("get", "id")` passes
`id` by position and everything else as keywords; `rest="dict"` passes one dict;
`fixed={{"space": "x"}}` passes that always. What no line can say, `Operation(Way("get", adapt=f))`
does: `f(module, arguments)` returns `Built((...), {{...}})`.
{missing}"""

from __future__ import annotations

from conformance.drivers.hosting.table import {names}
'''


def _missing(made: Draft) -> str:
    lines = []
    if made.unmatched:
        lines.append(f"Not found: {', '.join(m.operation.id for m in made.unmatched)}.")
    lacking = [r for r in ("api-key", "base-url") if r not in made.options]
    if lacking:
        lines.append(f"The constructor seems to have no parameter for: {', '.join(lacking)}.")
    return "\n" + "\n".join(lines) + "\n" if lines else ""


def _new(
    chosen: Mapping[str, Any], clients: Mapping[str, Mapping[str, Any]], name: str
) -> dict[str, str]:
    """Return by mode the class that an option takes an object of; nothing where that is unknown."""
    found = {}
    for mode, client in clients.items():
        kinds = [p["type"] for p in client["constructor"] if p["name"] == name]
        for word, (sync, asynchronous) in _HTTP_CLIENTS.items():
            if kinds and re.search(rf"\b{re.escape(word)}\b", kinds[0]):
                found[mode] = sync if mode == "sync" else asynchronous
    return found


_HTTP_CLIENTS = {
    "httpx": ("httpx:Client", "httpx:AsyncClient"),
    "requests": ("requests:Session", "requests:Session"),
}
"""Library in a parameter's type -> what a caller makes one of, blocking and async."""


def _exceptions_home(classes: Sequence[Mapping[str, Any]], contract: Contract, module: str) -> str:
    """Return where the documented exceptions are imported from; '' where it is the SDK's module."""
    errors = contract.root.errors
    if errors is None:
        return ""
    if errors.module is not None:
        return errors.module if errors.module != module else ""
    wanted = set(_documented(contract))
    places = Counter(c["module"] for c in classes if c["exception"] and c["name"] in wanted)
    best = max(places, key=lambda m: (places[m], -m.count(".")), default=module)
    return best if places[best] > places[module] else ""


def _promised(
    classes: Sequence[Mapping[str, Any]], contract: Contract, package: str
) -> dict[str, Mapping[str, Any]]:
    """Return the classes that the contract names as clients of this package, where they are."""
    client = contract.client
    if client is None or tables.normalise(client.package) != tables.normalise(package):
        return {}
    found = {}
    for mode, name in (("sync", client.sync), ("async", client.asynchronous)):
        fitting = [c for c in classes if name is not None and c["name"] == name]
        fitting.sort(key=lambda c: (c["module"] != client.module, c["module"].count(".")))
        if fitting:
            found[mode] = fitting[0]
    return found


def _clients(
    ranked: Iterable[Mapping[str, Any]], contract: Contract
) -> dict[str, Mapping[str, Any]]:
    """Return the best class of each mode: enough of its methods must look right."""
    found: dict[str, Mapping[str, Any]] = {}
    for each in ranked:
        if _worth(each, contract) < 0.5:
            continue
        waits = [m["asynchronous"] for m in each["methods"] if not m["path"].endswith("close")]
        mode = "async" if sum(waits) * 2 > len(waits) else "sync"
        found.setdefault(mode, each)
    return {mode: found[mode] for mode in ("sync", "async") if mode in found}


def _worth(each: Mapping[str, Any], contract: Contract) -> float:
    """Return how much of a contract a class's methods seem to do; clients have an address."""
    methods = _merged([_method(m) for m in each["methods"]])
    if not methods:
        return 0.0
    total = sum(m.score for m in match(contract, methods))
    names = [p["name"] for p in each["constructor"]]
    addressed = any(option(role, "", names) for role in ("api-key", "base-url"))
    return total if addressed else total / 10


def _merged(methods: Iterable[Method]) -> list[Method]:
    """Return methods with each path once, and without what every client has."""
    plain = {"close", "aclose", "open", "connect", "request"}
    kept = (m for m in reversed(list(methods)) if m.path not in plain and not raw(m))
    return list({m.path: m for m in kept}.values())


def _method(told: Mapping[str, Any]) -> Method:
    return Method(told["path"], tuple(told["parameters"]), bool(told["asynchronous"]))


def _home(clients: Sequence[Mapping[str, Any]]) -> str:
    """Return the shallowest module that the clients can be imported from."""
    return str(min((c["module"] for c in clients), key=lambda m: (m.count("."), m)))


def _documented(contract: Contract) -> tuple[str, ...]:
    errors = contract.root.errors
    if errors is None:
        return ()
    return tuple(dict.fromkeys([errors.base, *(rule.exception for rule in errors.map)]))


def verify(path: Path, made: Draft) -> str:
    """Start the written table once; return what it can do, and why not the rest that matched."""
    command = host_command(made.environment.python, path.resolve(), made.contract.api)
    try:
        with Testbench() as bench, bench.session(made.contract) as session:
            with DriverProcess(command, base_url=session.base_url) as driver:
                hello = driver.hello()
            strange = [e for e in session.exchanges() if e.operation is None]
    except DriverError as why:
        return f"the table cannot be run yet: {why}; mend the file and try the next line"
    found = [m.operation.id for m in made.matches if m.method is not None]
    lost: dict[str, list[str]] = {}
    for id in found:
        told = hello.operations[id]
        if not told.modes:
            lost.setdefault(told.missing or "no reason given", []).append(id)
    callable_ = sum(bool(o.modes) for o in hello.operations.values())
    lines = [f"the table runs: {callable_} of {len(hello.operations)} operations can be called"]
    for why_not, ids in lost.items():
        named = "none of those found" if len(ids) == len(found) else ", ".join(ids)
        lines.append(f"  cannot be called: {named}: {why_not}{_advice(why_not)}")
    asked = dict.fromkeys(f"{e.request.method} {e.request.path}" for e in strange)
    if asked:
        lines.append(
            f"  its constructor asks the server {', '.join(asked)}, which the spec does not "
            "declare: add that operation, with an example of its answer"
        )
    return "\n".join(lines)


def _advice(why_not: str) -> str:
    """Return what to do about a client that cannot be made; '' where it is something else."""
    if not why_not.startswith("no ") or " client: " not in why_not:
        return ""
    return (
        ". Its constructor was given a key, and an address that answers as the spec declares. "
        "Where it needs more arguments, give them in `fixed` of the table"
    )


def main(
    package: str,
    api: str,
    to: Path | None = None,
    *,
    write: Callable[[str], Any] | None = None,
    tell: Callable[[str], Any] | None = None,
) -> int:
    """Write a first table to a file (or standard output); return 0, 1 (nothing) or 2 (usage).

    What was found is told on standard output too, where the table is not there.
    """
    write, tell = write or sys.stdout.write, tell or sys.stderr.write
    try:
        contract = specs.load(api)
        made = draft(package, contract)
    except specs.SpecError as why:
        write(f"{why}\n")
        return 2
    except (EnvironmentUnavailable, NothingFound) as why:
        write(f"{why}\n")
        return 1
    text = render(made)
    if to is None:
        write(text)
        tell(report(made) + "next: the same with --to FILE, which also tries the table\n")
        return 0
    try:
        to.write_text(text, encoding="utf-8")
    except OSError as why:
        write(f"cannot write {to}: {why}\n")
        return 2
    write(report(made))
    write(f"{to}: {verify(to, made)}\n")
    subject = shlex.quote(made.environment.subject)
    table = shlex.quote(str(to))
    own = "" if api in specs.names() else f" --api {shlex.quote(api)}"
    write(f"next: read the table, then memconform sdk {subject} --table {table}{own}\n")
    return 0


def report(made: Draft) -> str:
    """Return what was found and what was not."""
    clear = made.clear
    unsure = [m for m in made.matches if m.method is not None and m not in clear]
    lines = [
        f"{made.environment.name} {made.environment.version}: clients "
        + ", ".join(f"{name} ({mode})" for mode, name in made.clients.items()),
        f"{len(clear)} operations matched clearly, {len(unsure)} to check, "
        f"{len(made.unmatched)} not found",
    ]
    for m in unsure:
        assert m.method is not None
        why = "; ".join(d for d in doubts(m, made.models) if not d.startswith("please check"))
        lines.append(f"  check     {m.operation.id} = {m.method.path}{f' ({why})' * bool(why)}")
    for m in made.unmatched:
        near = ", ".join(path for path, _ in m.nearest)
        lines.append(f"  not found {m.operation.id} (nearest: {near or 'nothing'})")
    if made.unmatched:
        lines.append("  where the SDK does one of these by another name, write it into the table")
    if made.unused:
        lines.append(f"methods of no operation ({len(made.unused)}): {_some(made.unused)}")
    if made.no_exceptions:
        lines.append(f"no exception class named {_some(made.no_exceptions)}")
    if made.warnings:
        lines.append(
            f"modules that cannot be imported, whose clients were not seen ({len(made.warnings)}): "
            + _some(made.warnings, 2, "; ")
        )
    return "\n".join(lines) + "\n"


def _some(names: Sequence[str], most: int = 12, between: str = ", ") -> str:
    """Return the first names, and how many more there are."""
    shown = between.join(names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown
