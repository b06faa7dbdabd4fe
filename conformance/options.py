"""Every option of every command, once: its name, kind, default, help, and where it applies.

The command line (`commanding.py`), the pytest plugin, Locust's command line, `OPTIONS.md` and
the messages about wrong values derive from `TABLE`. A new option is one row here and its use.
Nothing here reads an environment or a file's content; importing it costs next to nothing, since
pytest loads it at every start.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from conformance.option_kinds import (
    Address,
    Choice,
    Counted,
    File,
    Flag,
    Header,
    Kind,
    Named,
    Number,
    Port,
    Quota,
    Text,
    WrongValue,
)

Given = Mapping[str, Any]
"""Option key (`base-url`) -> its checked value."""


class OptionError(ValueError):
    """A value that an option does not take; the message shows it, says why and what to type."""


@dataclass(frozen=True)
class Option:
    """One option or argument, and everything that anybody must know of it."""

    name: str
    """`--base-url`; an argument is its metavar, `RECORDING`."""
    kind: Kind
    metavar: str
    help: str
    """What it does, with its unit; the default is added from `default`."""
    where: tuple[str, ...]
    """Commands that take it (`driver init`), and `pytest` and `locust`."""
    default: Any = None
    repeatable: bool = False
    required: tuple[str, ...] = ()
    """Commands that cannot do without it."""
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """Command -> a default of its own."""
    env: Mapping[str, str] = field(default_factory=dict)
    """Place -> environment variable that the value may stand in instead."""
    secret: bool = False
    """True where no output may show the value."""
    shown: str = ""
    """The default in words, where the value does not tell it."""
    aliases: Mapping[str, str] = field(default_factory=dict)
    """Place -> the name that it has there, where its own is taken."""

    @property
    def key(self) -> str:
        """The name under which its value is handed on: `base-url`, `recording`."""
        return self.name.lstrip("-").lower()

    @property
    def identifier(self) -> str:
        """The key as a Python name."""
        return self.key.replace("-", "_")

    @property
    def flag(self) -> bool:
        """True where it takes no value."""
        return isinstance(self.kind, Flag)

    @property
    def positional(self) -> bool:
        """True where it is an argument."""
        return not self.name.startswith("-")

    def name_at(self, place: str) -> str:
        """Return its name at one place."""
        return self.aliases.get(place, self.name)

    def default_at(self, place: str) -> Any:
        """Return its default at one place; a repeatable one has a list."""
        if self.repeatable:
            return []
        return False if self.flag else self.defaults.get(place, self.default)

    def read(self, value: Any, place: str = "") -> Any:
        """Return the checked value of what was typed. Raises OptionError."""
        try:
            return self.kind.read(value)
        except WrongValue as why:
            shown = "" if self.secret else f" {shortened(value)}"
            raise OptionError(f"{self.name_at(place)}{shown}: {why}") from None

    def help_at(self, place: str, required: bool = True) -> str:
        """Return its help with its default; `required`: say too where it cannot be left out."""
        default = self.default_at(place)
        told = self.shown or ("" if default in (None, False, [], "") else str(default))
        more = [f"default: {told}"] if told else []
        more += ["repeatable"] if self.repeatable else []
        more += ["required"] if required and place in self.required else []
        return self.help + (f" ({'; '.join(more)})" if more else "")


def shortened(value: Any) -> str:
    """Return a value as a message shows it: quoted, escaped, at most 60 characters."""
    text = ascii(value) if not isinstance(value, str) or not value.isprintable() else repr(value)
    return text if len(text) <= 60 else f"{text[:40]}… ({len(str(value)):,} characters)"


def at(place: str) -> tuple[Option, ...]:
    """Return the options that one place has, in the order in which help lists them."""
    return tuple(option for option in TABLE if place in option.where)


def find(place: str, key: str) -> Option:
    """Return one option of a place. Raises KeyError where it has none of that name."""
    for option in at(place):
        if option.key == key:
            return option
    raise KeyError(f"{place} has no option {key!r}")


def places() -> tuple[str, ...]:
    """Return every place that has options, in the order of the table."""
    return tuple(dict.fromkeys(place for option in TABLE for place in option.where))


def checked(place: str, get: Callable[[Option], Any]) -> dict[str, Any]:
    """Return a place's options, read and checked; `get` gives what was typed, None for nothing.

    Raises OptionError.
    """
    made: dict[str, Any] = {}
    for option in at(place):
        typed = get(option)
        if option.repeatable:
            made[option.key] = [option.read(each, place) for each in typed or []]
        elif option.flag:
            made[option.key] = bool(typed)
        elif typed is None or typed == option.default_at(place):
            made[option.key] = option.default_at(place)
        else:
            made[option.key] = option.read(typed, place)
    return made


def secrets(given: Given) -> tuple[str, ...]:
    """Return every word in the given options that no output may show."""
    found: list[str] = []
    for key, value in given.items():
        option = next((o for o in TABLE if o.key == key), None)
        if option is None:
            continue
        for each in value if isinstance(value, list | tuple) else [value]:
            if each:
                found += option.kind.secrets(each) if not option.secret else [str(each)]
    return tuple(dict.fromkeys(w for w in found if w))


def document() -> str:
    """Return the table for people, as Markdown: one section for each place."""
    lines = [
        "# Options",
        "",
        "Made from `conformance/options.py` by `python -m conformance.options`. A wrong value ends",
        "a command with exit 2, before anything is sent.",
        "",
    ]
    for place in places():
        title = {"pytest": "pytest", "locust": "locust -f load/locustfile.py"}.get(
            place, f"memconform {place}".strip()
        )
        lines += [f"## `{title}`", "", "| option | what it does |", "|---|---|"]
        lines += [_row(option, place) for option in at(place)]
        lines.append("")
    return "\n".join(lines)


def _row(option: Option, place: str) -> str:
    name = option.name_at(place)
    shown = name if option.flag or option.positional else f"{name} {option.metavar}"
    env = f" Environment: `{option.env[place]}`." if place in option.env else ""
    text = re.sub(r"([|<>*_])", r"\\\1", option.help_at(place))
    return f"| `{shown.replace('|', chr(92) + '|')}` | {text}.{env} |"


_OF_RESULTS = ("report", "baseline write", "baseline update", "baseline prune")
_OF_BASELINE = ("baseline update", "baseline prune", "baseline check", "baseline show")
_JUDGING = ("backend", "sdk", "load")
_FOLDER = File.path("memconform-out")
_KEYS = (
    "key to call with; a second one, of another tenant, tests isolation; member=KEY, "
    "limited=KEY, free=KEY and expired=KEY name a key without rights, one to use up, one of a "
    "plan without features, one that has expired; under load several share it"
)


def _table() -> Iterator[Option]:
    yield from _subjects()
    yield from _reaching()
    yield from _spending()
    yield from _choosing()
    yield from _results()
    yield from _pipelines()
    yield from _tools()
    yield from _serving()


def _subjects() -> Iterator[Option]:
    """What is judged."""
    yield Option("--version", Flag(), "", "print memconform's version and exit", ("",))
    yield Option(
        "SDK", Text(), "SDK", "NAME, NAME==VERSION, a wheel or a source folder", ("sdk",),
        repeatable=True,
    )  # fmt: skip
    yield Option(
        "--sdk", Text(), "SDK", "SDK to judge: NAME, NAME==VERSION, a wheel or a source folder",
        ("pytest",),
    )  # fmt: skip
    yield Option(
        "--driver", Text(), "COMMAND", "command that starts a driver of an SDK in any language",
        ("sdk", "pytest"),
    )  # fmt: skip
    yield Option(
        "--table", File(), "FILE", "driver table that `driver init` wrote", ("sdk", "pytest")
    )
    yield Option(
        "--base-url", Address(), "URL",
        "the API's base URL, its path included; USER:PASSWORD@ and ?NAME=VALUE in it are sent "
        "with every request and never shown",
        ("backend", "load", "pytest"), required=("backend", "load"),
    )  # fmt: skip
    drivers = ("driver check", "driver init")
    yield Option(
        "--api", Text(), "NAME", "name of an API (`memconform spec check` lists them), or path or "
        "URL of an OpenAPI file", (*_JUDGING, *drivers, "pytest", "locust"),
        required=("backend", "load", *drivers), env={"locust": "MEMCONFORM_API"},
    )  # fmt: skip
    yield Option(
        "--overlay", Text(), "FILE", "OpenAPI Overlay that says more of the API, path or URL",
        (*_JUDGING, *drivers, "pytest", "locust", "spec check", "spec draft"), repeatable=True,
        env={"locust": "MEMCONFORM_OVERLAY"},
    )  # fmt: skip
    yield Option(
        "--api-key", Text(), "KEY", _KEYS, ("backend", "load", "pytest", "locust", "spec draft"),
        repeatable=True, secret=True,
        env={**dict.fromkeys(("backend", "load", "pytest"), "MEMCONFORM_API_KEY"),
             "locust": "MEMCONFORM_API_KEYS"},
    )  # fmt: skip


def _reaching() -> Iterator[Option]:
    """How a backend is reached."""
    reaching = ("backend", "load", "pytest", "locust", "spec draft")
    yield Option(
        "--header", Header(), "NAME=VALUE", "header to send with every request; never shown",
        reaching, repeatable=True, env={"locust": "MEMCONFORM_HEADERS"},
    )  # fmt: skip
    yield Option(
        "--ca", File(exists=True), "PEM", "file of certificate authorities to trust over TLS",
        reaching,
    )  # fmt: skip
    yield Option("--insecure", Flag(), "", "accept any TLS certificate", reaching)
    yield Option(
        "--timeout", Number(above=0, high=3600), "S",
        "seconds that one answer may take; under load, instead of the profile's",
        reaching, shown="15; under load the profile's",
        aliases={"pytest": "--request-timeout"},
    )  # fmt: skip
    yield Option(
        "--also", Named(Address()), "NAME=URL",
        "another API of the same product, which makes what this one shows",
        ("backend", "pytest"), repeatable=True,
    )  # fmt: skip
    yield Option(
        "--quota", Quota(), "Q/W", "its rate limit, requests/seconds, if no header tells it",
        ("backend", "load", "pytest", "locust"),
    )  # fmt: skip
    yield Option(
        "--restart-command", Text(), "COMMAND", "command that restarts the backend on its data",
        ("backend", "pytest"),
    )  # fmt: skip


def _spending() -> Iterator[Option]:
    """What a run may do and spend."""
    backend, calling = ("backend", "pytest"), ("backend", "pytest", "spec draft")
    sending = (*backend, "load", "locust")
    yield Option(
        "--read-only", Flag(), "",
        "send GET, HEAD and OPTIONS only, with plain values: nothing that could change data",
        backend,
    )  # fmt: skip
    yield Option(
        "--allow-hostile", Flag(), "",
        "with --read-only, send values too that a server may choke on: half characters, NUL, "
        "huge numbers, bodies that are not JSON", backend,
    )  # fmt: skip
    yield Option(
        "--exclude", Text(), "OPERATION", "never send this operation", sending, repeatable=True
    )
    yield Option(
        "--only", Text(), "OPERATION",
        "send this operation and no other; sends one too that is left out for its name",
        sending, repeatable=True,
    )  # fmt: skip
    yield Option("--max-requests", Counted(1), "N", "stop after N requests", calling)
    yield Option(
        "--max-seconds", Number(above=0, high=31_536_000), "S", "stop after S seconds", calling
    )
    yield Option(
        "--rate", Number(low=1e-6, high=1e9), "N", "send at most N requests a second", calling
    )
    yield Option(
        "--processes", Counted(1, 256), "N", "worker processes of the generator", ("load",),
        shown="1",
    )  # fmt: skip
    yield Option(
        "--seconds", Number(above=0, high=31_536_000), "S",
        "shorten the profile to about S seconds",
        ("load", "locust"),
    )  # fmt: skip
    yield Option(
        "--jobs", Counted(1, 1024), "N",
        "subjects at once; of a driver in real time, copies", ("sdk",),
        shown="one more than cores; 8 copies",
    )  # fmt: skip
    yield Option(
        "--jobs", Counted(1, 1024), "N", "parts or defects at once", ("run", "teeth"),
        shown="one a core",
    )  # fmt: skip


def _choosing() -> Iterator[Option]:
    """Which cases run, and how."""
    yield Option(
        "--case", Text(), "START", "run only the cases whose id starts with START",
        ("backend", "sdk"), repeatable=True,
    )  # fmt: skip
    yield Option(
        "--deep", Flag(), "",
        "backends: fuzz for minutes; SDKs: every fault on every operation",
        ("backend", "sdk", "pytest"),
    )  # fmt: skip
    yield Option(
        "--fast", Flag(), "", "backends: take seconds, generate nothing, wait little",
        ("backend", "run", "pytest"),
    )  # fmt: skip
    yield Option(
        "--clock", Choice("virtual", "real"), "CLOCK",
        "clock of a Python SDK: virtual (back-off costs no time) or real", ("sdk",), "virtual",
    )  # fmt: skip
    yield Option(
        "--load-profile", Text(), "NAME", "name of a shipped load profile, or path of a TOML file",
        ("load", "locust"), "smoke", env={"locust": "MEMCONFORM_LOAD_PROFILE"},
    )  # fmt: skip
    yield Option(
        "--failed", File(), "RESULTS",
        "judge again only the cases that failed in this results.json: new findings, errors",
        ("backend", "sdk", "run"),
    )  # fmt: skip
    yield Option(
        "--no-cache", Flag(), "",
        "judge each release again, even if the same release, contract, seed and memconform were "
        "judged before", ("sdk", "run"),
    )  # fmt: skip
    yield Option(
        "--only", Choice("backend", "sdk", "load"), "KIND", "judge only this kind", ("run",),
        repeatable=True, shown="all",
    )  # fmt: skip
    yield Option(
        "--suite", Choice("backend", "sdk", "load"), "KIND", "run only this suite", ("teeth",),
        repeatable=True, shown="all",
    )  # fmt: skip
    yield Option(
        "--defect", Text(), "START", "run only the defects whose id starts with START",
        ("teeth",), repeatable=True,
    )  # fmt: skip
    yield Option(
        "--references-only", Flag(), "", "run only the perfect references, no defect", ("teeth",)
    )
    yield Option(
        "--seeds", Counted(1, 10_000), "N", "judge the references on N seeds, from --seed on",
        ("teeth",), 1,
    )  # fmt: skip
    yield Option(
        "--pairs", Flag(), "", "run defects in pairs: each must still be reported", ("teeth",)
    )
    yield Option(
        "--seed", Counted(-(2**63), 2**63 - 1), "N", "seed of every random choice",
        (*_JUDGING, "run", "teeth", "pytest", "locust"), 0,
    )  # fmt: skip


def _results() -> Iterator[Option]:
    """What a run reads and leaves."""
    yield Option(
        "--record", File(), "FILE", "write every exchange to FILE, for `memconform judge`",
        ("backend", "pytest"),
    )  # fmt: skip
    yield Option(
        "--resume", Flag(), "", "continue the run that --record wrote", ("backend", "pytest")
    )
    yield Option("RECORDING", File(), "RECORDING", "file that --record wrote", ("judge",),
                 required=("judge",))  # fmt: skip
    yield Option("RESULTS", File(), "RESULTS", "a results.json", _OF_RESULTS,
                 required=_OF_RESULTS)  # fmt: skip
    yield Option("FILE", File(), "FILE", "a baseline, JSON or TOML", _OF_BASELINE,
                 required=_OF_BASELINE)  # fmt: skip
    yield Option(
        "--sensitivity", Flag(), "", "say which damage this run would have noticed",
        ("backend", "judge", "pytest"),
    )  # fmt: skip
    yield Option(
        "--against",
        File(),
        "FILE",
        "earlier results.json to compare with: new findings fail",
        (*_JUDGING, "run", "judge", "report", "locust"),
    )
    yield Option(
        "--out", File(), "DIR", "folder for results.json and the reports",
        (*_JUDGING, "run", "judge", "report", "pytest", "locust"), required=("report",),
        defaults=dict.fromkeys((*_JUDGING, "run", "judge"), File.path("memconform-out")),
    )  # fmt: skip
    yield Option(
        "--baseline", File(), "FILE", "known deviations to compare with",
        (*_JUDGING, "run", "judge", "report"),
    )  # fmt: skip
    yield Option(
        "--fail-on", Choice("must", "should", "may", "new"), "LEVEL",
        "findings without a waiver that fail the run: from this level on, or all that are new",
        (*_JUDGING, "run", "judge", "report"), shown="must; with --baseline: new",
    )  # fmt: skip
    yield Option(
        "--no-baseline", Flag(), "", "judge by the promises alone, with no known deviations",
        ("run",),
    )  # fmt: skip
    yield Option("--json", File(), "FILE", "write the kill matrix to FILE", ("teeth",))
    yield Option(
        "--to", File(), "FILE", "file to write", ("baseline write", "driver init", "spec draft"),
        shown="standard output",
    )  # fmt: skip
    yield Option("--to", File(), "DIR", "folder to write the site into", ("docs",),
                 required=("docs",))  # fmt: skip


def _pipelines() -> Iterator[Option]:
    """What a pipeline asks and tells."""
    trend = ("trend",)
    yield Option(
        "RESULTS", File(), "RESULTS", "results.json of each run; sorted by the runs' start", trend,
        repeatable=True, required=trend,
    )  # fmt: skip
    yield Option(
        "--commit", Text(), "NAME", "commit of each RESULTS, in the same order", trend,
        repeatable=True, shown="the start of each run",
    )  # fmt: skip
    yield Option("--out", File(), "DIR", "folder for trend.html", trend, _FOLDER)
    publish = ("ci publish",)
    yield Option("RESULTS", File(), "RESULTS", "a results.json", publish, required=publish)
    yield Option("--baseline", File(), "FILE", "known deviations that the run had", publish,
                 shown="those that RESULTS remembers")  # fmt: skip
    yield Option("--against", File(), "FILE", "results.json that the run had beside it", publish)
    yield Option(
        "--name", Text(), "NAME", "name of the check; each name has a comment of its own", publish,
        "memconform",
    )  # fmt: skip
    yield Option(
        "--badge-branch", Text(), "BRANCH",
        "on GitHub, on push: branch that keeps NAME/BRANCH.json, a badge's data", publish,
    )  # fmt: skip
    yield Option(
        "--to", File(), "DIR", "repository to write the files into", ("ci github", "ci gitlab"),
        shown="standard output",
    )  # fmt: skip


def _tools() -> Iterator[Option]:
    """Specs, drivers, replays."""
    yield Option(
        "SPEC", Text(), "SPEC", "OpenAPI files to check, paths or URLs", ("spec check",),
        repeatable=True, shown="all that ship",
    )  # fmt: skip
    yield Option(
        "OPENAPI", Text(), "OPENAPI", "OpenAPI file to draft for, path or URL", ("spec draft",)
    )
    yield Option(
        "--package", Text(), "PACKAGE",
        "draft a whole contract from an SDK instead: NAME==VERSION, a wheel or a source folder; "
        "its code is read, not run", ("spec draft",),
    )  # fmt: skip
    yield Option(
        "--arazzo", Text(), "FILE", "Arazzo 1.0 description of workflows to read, path or URL",
        ("spec draft",), repeatable=True,
    )  # fmt: skip
    yield Option(
        "--probe", Address(), "URL",
        "base URL of a server to confirm guesses on: a few calls on records of its own, which it "
        "deletes again", ("spec draft",),
    )  # fmt: skip
    yield Option(
        "--documents", File(), "DIR", "folder of the source documents, to verify sections in",
        ("spec check",),
    )  # fmt: skip
    yield Option(
        "--constraints", Choice("documented", "observed", "assumed", "moved", "all"), "WHICH",
        "list the constraints that rest on this, or those that are about something documented "
        "and are not documented themselves (moved)", ("spec check",),
    )  # fmt: skip
    yield Option("COMMAND", Text(), "COMMAND", "the driver's command line, quoted",
                 ("driver check",), required=("driver check",))  # fmt: skip
    yield Option("PACKAGE", Text(), "PACKAGE", "NAME, NAME==VERSION, wheel or source folder",
                 ("driver init",), required=("driver init",))  # fmt: skip
    yield Option(
        "--schema", Flag(), "", "print the JSON Schema of every message instead",
        ("driver protocol",),
    )  # fmt: skip
    yield Option("API", Text(), "API", "an API's name, or a spec's path or URL", ("spec show",),
                 required=("spec show",))  # fmt: skip
    yield Option("ID", Text(), "ID", "a finding's id, as reports show it; `explain` takes any id",
                 ("replay", "explain"), required=("replay", "explain"))  # fmt: skip
    yield Option(
        "--trust", Flag(), "", "run the driver, table or package that the results.json names",
        ("replay",),
    )  # fmt: skip
    yield Option(
        "--results", File(), "FILE", "results.json that holds the finding", ("replay", "explain"),
        File.path("memconform-out/results.json"),
    )  # fmt: skip


def _serving() -> Iterator[Option]:
    """The reference backend."""
    serve = ("serve",)
    yield Option("--port", Port(), "N", "port to listen on; 0 takes a free one", serve, 0)
    yield Option("--host", Text(), "NAME", "address to listen on", serve, "127.0.0.1")
    for name, what in (
        ("--api-key", "key of a tenant of its own"),
        ("--member-key", "key of the first tenant, without admin rights or seat"),
        ("--limited-key", "key of the first tenant, with a low quota of its own"),
        ("--expired-key", "key that is no longer valid"),
    ):
        yield Option(name, Text(), "KEY", what, serve, repeatable=True, secret=True)
    yield Option(
        "--rate-limit", Text(), "N/S[/KIND]",
        "limit of each key, requests/seconds, as in 100/60; KIND is fixed-window or token-bucket",
        serve, shown="what the contract says",
    )  # fmt: skip
    yield Option("--defect", Text(), "ID", "be wrong in this way", serve, repeatable=True)
    yield Option("--list-defects", Flag(), "", "list the seeded defects and exit", serve)
    yield Option("--db", File(), "FILE", "keep data in FILE", serve, shown="a temporary file")
    yield Option("--workers", Counted(1, 64), "N", "processes on the one port", serve, 1)
    yield Option("--delay", Number(low=0, high=3600), "S", "seconds before each answer", serve, 0.0)
    yield Option(
        "--processing-delay", Number(low=0, high=86_400), "S",
        "seconds until asynchronous work is done", serve, 0.0,
    )  # fmt: skip


TABLE: tuple[Option, ...] = tuple(_table())

if __name__ == "__main__":
    print(document(), end="")  # noqa: T201 - how OPTIONS.md is made
