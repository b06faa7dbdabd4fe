"""The host: an SDK that misbehaves in every way is still told of truthfully."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from conformance.drivers import host, tables
from conformance.drivers.environment import prepare
from conformance.drivers.process import CallReply, DriverProcess, host_command

HERE = Path(__file__).parents[2]
TABLE = HERE / "packages" / "odd_table.py"


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DriverProcess]:
    """A host that drives the odd SDK, installed from its source folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEMCONFORM_CACHE", str(tmp_path_factory.mktemp("cache")))
        environment = prepare(str(HERE / "packages" / "pocketmem"))
    command = host_command(environment.python, TABLE, "odd")
    with DriverProcess(command, call_timeout=20) as process:
        yield process


@pytest.fixture(scope="module")
def sync(driver: DriverProcess) -> str:
    """An open blocking client."""
    return _opened(driver, "sync")


@pytest.fixture(scope="module")
def asynchronous(driver: DriverProcess) -> str:
    """An open client for event loops."""
    return _opened(driver, "async")


def _opened(driver: DriverProcess, mode: Any) -> str:
    client = driver.open("http://127.0.0.1:1", "k", mode)
    assert isinstance(client, str)
    return client


def _value(reply: CallReply) -> Any:
    assert reply.outcome.kind == "value", reply.outcome
    return reply.outcome.value


def test_hello_tells_missing_names_from_other_names(driver: DriverProcess) -> None:
    """A documented name that lacks is `missing`; `via` is the other name, where there is one."""
    operations = driver.hello().operations
    found = {
        id: (o.modes, o.name, o.via, o.missing)
        for id, o in operations.items()
        if id in ("echo", "renamed", "absent", "undocumented", "fail")
    }
    assert found == {
        "echo": (("sync", "async"), "echo", None, None),
        "fail": (("sync",), "fail", None, "`AsyncOdd` has no attribute `fail`"),
        "renamed": (("sync",), "sub.echo", "group.echo", "`Odd` has no attribute `sub`"),
        "absent": ((), "sub.nothing", None, "`Odd` has no attribute `sub`"),
        "undocumented": (("sync", "async"), None, None, None),
    }


def test_hello_looks_for_options_and_exceptions(driver: DriverProcess) -> None:
    """Options and exception classes are looked for in the package, not believed."""
    hello = driver.hello()
    options = {role: (o.modes, o.via, o.missing is None) for role, o in hello.options.items()}
    assert options["debug"] == (("sync",), "slow", False)
    assert options["timeout"] == ((), None, False)
    exceptions = {n: (e.found, e.exported, e.bases[:1]) for n, e in hello.exceptions.items()}
    assert exceptions == {
        "OddError": ("pocketmem.odd.OddError", True, ("Exception",)),
        "LateOddError": ("pocketmem.odd.LateOddError", True, ("OddError",)),
        "MissingError": (None, False, ()),
    }


def test_an_unknown_operation_is_unsupported(driver: DriverProcess, sync: str) -> None:
    """What the table does not know is answered `unsupported`, as is what the SDK lacks."""
    kinds = {o: driver.call(sync, o).outcome.kind for o in ("qz-unheard-of", "absent", "stubborn")}
    assert kinds == dict.fromkeys(kinds, "unsupported")


def test_an_unknown_option_is_unsupported(driver: DriverProcess) -> None:
    """An option that the constructor lacks opens no client, and is said so."""
    outcome = driver.open("http://127.0.0.1:1", "k", "sync", {"timeout": 1})
    assert not isinstance(outcome, str)
    assert (outcome.kind, outcome.detail) == ("unsupported", "`Odd()` has no parameter `timeout`")


def test_a_constructor_that_raises_is_an_error(driver: DriverProcess) -> None:
    """What the constructor raises is the outcome of `open`."""
    outcome = driver.open("http://127.0.0.1:1", "refused")
    assert not isinstance(outcome, str)
    assert outcome.kind == "error"
    assert outcome.error is not None
    assert outcome.error.attributes["code"] == 401


@pytest.mark.parametrize("mode", ["sync", "async"])
@pytest.mark.parametrize(
    "value",
    [None, True, 1, -0.5, "", "é\u2028\U0001f600", [], {"a": [1, {"b": None}]}, 2**60, '\\"\n'],
    ids=repr,
)
def test_plain_values_come_back_as_they_are(
    driver: DriverProcess, sync: str, asynchronous: str, mode: str, value: Any
) -> None:
    """JSON goes in and out of an SDK call unchanged."""
    client = sync if mode == "sync" else asynchronous
    assert _value(driver.call(client, "echo", {"value": value})) == value


def test_hard_values_leave_marks(driver: DriverProcess, sync: str) -> None:
    """What JSON cannot write is written by a mark; what is cut says why."""
    shown = _value(driver.call(sync, "values"))
    deep = shown.pop("deep")
    depth = 0
    while isinstance(deep, list):
        deep, depth = deep[0], depth + 1
    assert deep == {"$cut": "depth", "$of": "list"}
    assert 20 < depth < 60
    assert shown.pop("text")["$length"] == 300_000
    assert shown.pop("stranger")["$type"] == "lock"
    assert shown.pop("many") == {"$type": "range", "$str": "range(0, 3)"}
    assert shown == {
        "nan": {"$number": "nan"},
        "big": {"$number": "an integer of 16610 bits"},
        "bytes": {"$bytes": "aGk=", "$length": 2},
        "set": [3],
        "7": "key",
        "loop": [1, {"$cut": "cycle", "$of": "list"}],
        "half": "\\ud800",
        "red": "red",
        "when": {"$type": "datetime", "$str": "2020-01-01 00:00:00+00:00"},
        "thing": {
            "$type": "Thing",
            "id": "t",
            "data": [1],
            "upper": "T",
            "broken": {"$raised": "RuntimeError: no"},
        },
    }


def test_a_huge_value_is_cut(driver: DriverProcess, sync: str) -> None:
    """A value of 80 MB comes as what fits, and the rest as a mark."""
    shown = _value(driver.call(sync, "huge"))
    assert shown[-1] == {"$cut": "size", "$of": "list"}
    assert 10 < len(shown) < 40


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_a_stream_is_consumed(
    driver: DriverProcess, sync: str, asynchronous: str, mode: str
) -> None:
    """Events come in order with their times, and waits between them are recorded."""
    reply = driver.call(sync if mode == "sync" else asynchronous, "stream")
    shown = _value(reply)
    assert shown["$error"] is None
    assert len(shown["$stream"]) == len(shown["$times"]) == 2
    assert [s.seconds for s in reply.sleeps] == [1.0 if mode == "sync" else 2.0]


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_a_stream_that_breaks_says_how(
    driver: DriverProcess, sync: str, asynchronous: str, mode: str
) -> None:
    """What a stream raises in the middle stands beside the events before it."""
    client = sync if mode == "sync" else asynchronous
    shown = _value(driver.call(client, "stream", {"breaks": True}))
    assert len(shown["$stream"]) == (2 if mode == "sync" else 1)
    assert (shown["$error"]["name"], shown["$error"]["attributes"]["code"]) == ("OddError", 5)


def test_an_endless_stream_is_cut(driver: DriverProcess, sync: str) -> None:
    """A stream without end is read as far as the cap."""
    shown = _value(driver.call(sync, "endless"))
    assert (len(shown["$stream"]), shown["$cut"]) == (10_000, "size")


def test_an_exception_is_told_whole(driver: DriverProcess, sync: str) -> None:
    """Class, bases, attributes, cause, and whether it pickles: all as they are."""
    error = driver.call(sync, "fail").outcome.error
    assert error is not None
    assert (error.name, error.module) == ("LateOddError", "pocketmem.odd")
    assert error.bases == ("OddError", "Exception", "BaseException")
    assert error.attributes == {
        "code": 7, "tokens": {"a": {"$number": "nan"}}, "hint": "see 7",
    }  # fmt: skip
    assert error.cause == "KeyError"
    assert (error.picklable, error.copyable) == (False, False)
    assert "missing 1 required positional argument" in error.fault
    assert error.where.startswith("pocketmem.odd:")


def test_what_is_no_exception_is_an_error_too(driver: DriverProcess, sync: str) -> None:
    """An SDK that calls `exit` does not end its driver."""
    error = driver.call(sync, "leave").outcome.error
    assert error is not None
    assert error.name == "SystemExit"


def test_arguments_that_do_not_fit_are_no_fault_of_the_sdk(
    driver: DriverProcess, sync: str
) -> None:
    """A missing argument leaves the call unmade; one that the method lacks is named."""
    lacking = driver.call(sync, "needs").outcome
    assert lacking.kind == "unsupported"
    assert "needs cannot be called: missing a required argument: 'id'" in lacking.detail
    assert "`fixed`" in lacking.detail
    extra = driver.call(sync, "needs", {"id": "a", "colour": "red"})
    assert (_value(extra), extra.dropped) == ("a", ("colour",))


def test_the_call_is_said_as_its_caller_would(driver: DriverProcess, sync: str) -> None:
    """A reply holds the expression that was called, and which name was used."""
    reply = driver.call(sync, "renamed", {"value": {"é": 1}})
    assert (reply.via, reply.said) == ("group.echo", "client.group.echo({'\\xe9': 1})")
    assert driver.said[sync] == "Odd(url=BASE_URL, key=API_KEY)"


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_waits_are_virtual(driver: DriverProcess, sync: str, asynchronous: str, mode: str) -> None:
    """An hour passes on the SDK's clocks and not on ours; the loop keeps real time."""
    client = sync if mode == "sync" else asynchronous
    reply = driver.call(client, "waits", {"seconds": [3600, 0.25]})
    assert [s.seconds for s in reply.sleeps] == [3600.0, 0.25]
    assert reply.ended - reply.started < 5
    passed = _value(reply)
    if mode == "sync":
        assert [math.isclose(p, 3600.25, abs_tol=1) for p in passed] == [True] * 3
    else:
        assert math.isclose(passed[0], 3600.25, abs_tol=1)
        assert passed[1] < 5
    assert reply.started <= reply.sleeps[0].at <= reply.sleeps[1].at <= reply.ended


def test_a_wait_without_end_is_said_at_once(driver: DriverProcess, asynchronous: str) -> None:
    """A wait that never ends is a hang that nobody waits for: the host lives on."""
    pid = driver.pid
    outcome = driver.call(asynchronous, "wait_for_ever").outcome
    assert (outcome.kind, outcome.detail) == ("hang", "a wait began that never ends")
    assert _value(driver.call(asynchronous, "echo", {"value": 2})) == 2
    assert driver.pid == pid


def test_wrong_waits_raise_as_the_real_ones(driver: DriverProcess, sync: str) -> None:
    """A negative wait is a ValueError on a virtual clock too."""
    error = driver.call(sync, "waits", {"seconds": [-1]}).outcome.error
    assert error is not None
    assert error.name == "ValueError"


def test_waits_of_other_kinds_are_seen(driver: DriverProcess, sync: str) -> None:
    """Waiting by an event, or in a thread of the SDK's own, is waiting."""
    for operation in ("wait_on_event", "wait_in_thread"):
        reply = driver.call(sync, operation, {"seconds": 500})
        assert (operation, [s.seconds for s in reply.sleeps]) == (operation, [500.0])


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_calls_at_once_have_each_their_own_time(
    driver: DriverProcess, sync: str, asynchronous: str, mode: str
) -> None:
    """Sixteen calls that wait side by side do not move each other's clocks, nor mix answers."""
    client = sync if mode == "sync" else asynchronous
    wanted = [("waits", {"seconds": [float(n)]}) for n in range(1, 17)]
    replies = driver.calls(client, wanted, concurrency=16)
    assert [[s.seconds for s in r.sleeps] for r in replies] == [[float(n)] for n in range(1, 17)]
    for n, reply in enumerate(replies, 1):
        assert math.isclose(_value(reply)[0], n, abs_tol=0.9)


def test_cancelling_stops_in_the_wait(driver: DriverProcess, asynchronous: str) -> None:
    """A call that is cancelled in its second wait ends there, with CancelledError."""
    reply = driver.cancel(asynchronous, "waits", {"seconds": [1, 2, 3]}, at_sleep=2)
    assert reply.outcome.error is not None
    assert (reply.cancelled, reply.outcome.error.name) == (True, "CancelledError")
    assert [s.seconds for s in reply.sleeps] == [1.0, 2.0]


def test_a_call_that_refuses_to_be_cancelled_shows(
    driver: DriverProcess, asynchronous: str
) -> None:
    """An SDK that swallows the cancellation returns a value: it is told, not judged."""
    reply = driver.cancel(asynchronous, "stubborn", {"seconds": 60})
    assert (reply.cancelled, _value(reply)) == (True, "still here")
    never = driver.cancel(asynchronous, "stubborn", {"seconds": 60}, at_sleep=2)
    assert never.cancelled is False


def test_what_the_sdk_prints_stays_apart(driver: DriverProcess, sync: str) -> None:
    """Prints, raw writes, children, logs and warnings are kept, and break nothing."""
    reply = driver.call(sync, "chatter")
    assert _value(reply) == "quiet"
    for said in ('"reply": "stop"', "on stderr", "raw", "from a child", "sk_test_123"):
        assert said in reply.printed
    assert reply.warnings == ("DeprecationWarning: old",)
    assert _value(driver.call(sync, "echo", {"value": 1})) == 1


def test_the_sdk_cannot_read_our_requests(driver: DriverProcess, sync: str) -> None:
    """Standard input is empty for the SDK."""
    assert _value(driver.call(sync, "read_input")) == ""


def test_context_managers_are_entered_and_left(driver: DriverProcess) -> None:
    """A client opened as a context manager is closed by leaving it."""
    for mode in ("sync", "async"):
        client = driver.open("http://127.0.0.1:1", "k", mode, context=True)  # type: ignore[arg-type]
        assert isinstance(client, str)
        assert driver.close(client).kind == "value"


def test_closing_may_fail(driver: DriverProcess) -> None:
    """What `close` raises is its outcome, and a client without `close` is unsupported."""
    outcome = driver.close(_opened(driver, "sync"))
    assert outcome.error is not None
    assert outcome.error.attributes["code"] == 3
    assert driver.close(_opened(driver, "async")).kind == "unsupported"


def test_a_hang_is_ended_and_the_next_call_works(driver: DriverProcess) -> None:
    """A call that never returns is a hang; the driver starts anew with the same client."""
    client = _opened(driver, "sync")
    before = driver.pid
    assert driver.call(client, "hang", timeout=0.3).outcome.kind == "hang"
    assert _value(driver.call(client, "echo", {"value": "again"})) == "again"
    assert driver.pid != before


def test_a_death_is_told_with_its_last_words(driver: DriverProcess) -> None:
    """A driver that dies in a call says how it ended; the next call works."""
    client = _opened(driver, "sync")
    outcome = driver.call(client, "die", {"code": 9}).outcome
    assert (outcome.kind, outcome.detail) == ("driver_error", "the driver ended (exit code 9)")
    outcome = driver.call(client, "die", {"code": -1}).outcome
    assert "signal SIGABRT); its last words: Fatal Python error: Aborted" in outcome.detail
    assert _value(driver.call(client, "echo", {"value": 2})) == 2


def test_threads_that_are_left_behind_do_not_delay_the_end(driver: DriverProcess) -> None:
    """A host ends on `stop`, whatever threads the SDK has still running."""
    with DriverProcess(driver.command) as littered:
        assert _value(littered.call(_opened(littered, "sync"), "litter")) == "left"
        pipe = littered._pipe
        littered.stop()
    assert pipe is not None
    assert pipe.process.returncode == 0


def test_the_real_clock_really_waits(driver: DriverProcess) -> None:
    """With `--clock real` a wait takes its time and is recorded all the same."""
    command = [*driver.command[:-4], "--clock", "real", "--api", "odd"]
    with DriverProcess(command) as real:
        assert real.hello().clock == "real"
        client = _opened(real, "sync")
        reply = real.call(client, "waits", {"seconds": [0.05]})
        assert [s.seconds for s in reply.sleeps] == [0.05]
        assert reply.ended - reply.started >= 0.05


def test_the_host_needs_nothing_but_python_39() -> None:
    """The host's files parse as Python 3.9 and import only each other and the standard library."""
    import sys

    files = [Path(host.__file__), *Path(host.__file__).parent.glob("hosting/*.py")]
    files += [entry.path for entry in tables.shipped()]
    foreign = set()
    for file in files:
        tree = ast.parse(file.read_text(encoding="utf-8"), feature_version=(3, 9))
        for node in ast.walk(tree):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            foreign |= {n for n in names if n.split(".")[0] not in sys.stdlib_module_names}
    assert {n for n in foreign if not n.startswith("conformance.drivers.hosting")} == set()


def test_a_module_that_is_not_there_is_sought_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second import fails as the first, with no search; parts of packages are left alone."""
    sought: list[str] = []

    class Spy:
        @staticmethod
        def find_spec(name: str, path: Any = None, target: Any = None) -> None:
            sought.append(name)

    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    monkeypatch.setattr(sys, "meta_path", [Spy, *sys.meta_path, host._Missing])
    for _ in range(2):
        for name in ("no_such_module", "email.no_such_part"):
            with pytest.raises(ModuleNotFoundError):
                importlib.import_module(name)
    assert sought == ["no_such_module", "email.no_such_part", "email.no_such_part"]
    assert importlib.util.find_spec("no_such_module") is None
