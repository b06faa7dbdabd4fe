"""Locust, closed by default: who may see its page, set what, and whose reports are believed."""

from __future__ import annotations

import math
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from flask import Flask

import load
from load import cluster
from load.record import Tally, pack, unpack
from load.reports import NoReport
from load.web import Guard

SECRET = "a secret of this test only"


class Asked:
    """What the guard asks of an environment."""

    host = "http://127.0.0.1:9/api"

    class parsed_options:
        """Locust's own options."""

        web_host = "127.0.0.1"


@pytest.fixture
def page() -> Any:
    """A page behind the guard, as Locust's is."""
    app = Flask("page")
    app.before_request(Guard(Asked(), "the-token"))
    app.add_url_rule("/", "index", lambda: "shown")
    app.add_url_rule("/swarm", "swarm", lambda: "started", methods=["POST"])
    return app.test_client()


def test_page_is_for_who_knows_the_token(page: Any) -> None:
    """Without the token nothing is shown or started; with it a cookie lets the browser in."""
    assert 403 == page.get("/").status_code
    assert 403 == page.post("/swarm", data={"user_count": "1"}).status_code
    assert 403 == page.get("/?token=wrong").status_code
    assert 302 == page.get("/?token=the-token").status_code
    assert b"shown" == page.get("/").data
    assert b"started" == page.post("/swarm", data={"user_count": "1"}).data


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Host": "rebound.example:8089"},
    ],
    ids=lambda h: next(iter(h.items()))[1],
)
def test_another_page_cannot_start_a_run(page: Any, headers: dict[str, str]) -> None:
    """A form on another page, or a name that was rebound to loopback, starts nothing."""
    page.get("/?token=the-token")
    page.set_cookie("memconform", "the-token", domain=headers.get("Host", "localhost"))
    done = page.post("/swarm", data={"user_count": "1"}, headers=headers)
    assert (403, True) == (done.status_code, b"another page" in done.data)


@pytest.mark.parametrize(
    "form",
    [
        {"host": "http://attacker.example/claiv"},
        {"out": "/any/dir"},
        {"memconform_out": "/any/dir"},
        {"memconform_api_key": "mine"},
        {"seconds": "nan"},
        {"against": "/etc/passwd"},
    ],
    ids=lambda f: next(iter(f)),
)
def test_page_sets_neither_place_nor_keys_nor_files(page: Any, form: dict[str, str]) -> None:
    """What the command line settled, the page's form cannot change."""
    page.get("/?token=the-token")
    done = page.post("/swarm", data={"user_count": "1", **form})
    assert (403, True) == (done.status_code, b"cannot be set from the page" in done.data)
    same = page.post("/swarm", data={"user_count": "1", "host": Asked.host})
    assert b"started" == same.data


@contextmanager
def locust(*words: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """Start Locust as a person would; end it afterwards."""
    line = [sys.executable, "-m", "locust", "--api", "octamem", *words]
    if "-f" not in words:
        line += [
            "-f",
            str(Path(load.__file__).parent / "locustfile.py"),
            "--host",
            "http://127.0.0.1:9/x",
        ]
    child = subprocess.Popen(
        line, env={**os.environ, "LOCUST_SKIP_UPDATE_CHECK": "1", **environment},
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        yield child
    finally:
        child.kill()
        child.wait()


def free() -> str:
    """Return a port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def test_page_listens_on_loopback_and_prints_its_token() -> None:
    """The README's command opens a page that only this machine reaches, and only with the token."""
    port = free()
    with locust("--web-port", port) as child:
        assert child.stderr is not None
        said = next(filter(None, (re.search(r"http\S+\?token=\S+", line) for line in child.stderr)))
        threading.Thread(target=child.stderr.read, daemon=True).start()
        with httpx.Client(transport=httpx.HTTPTransport(retries=20)) as client:
            refused = client.post(f"http://127.0.0.1:{port}/swarm", data={"user_count": "1"})
            shown = client.get(said[0], follow_redirects=True)
        listening = [c.laddr.ip for c in psutil.Process(child.pid).net_connections("inet")
                     if c.status == psutil.CONN_LISTEN]  # fmt: skip
    assert (403, 200) == (refused.status_code, shown.status_code)
    assert ["127.0.0.1"] == listening


@pytest.mark.parametrize("part", ["--master", "--worker"])
def test_master_and_worker_need_a_secret(part: str) -> None:
    """Joined commands without a shared secret end with exit 2 and name the variable."""
    with locust("--headless", part, MEMCONFORM_CLUSTER_SECRET="") as child:
        assert child.stderr is not None
        said = child.stderr.read()
        assert (2, True) == (child.wait(60), cluster.VARIABLE in said), said


TELLER = """
import sys
from locust import events
from load.users import MemoryUser, ProfileShape

@events.init.add_listener
def tell(environment, **_):
    print("SENT", vars(environment.parsed_options), environment.host, file=sys.stderr, flush=True)
    sys.exit(0)
"""


def test_no_message_holds_a_key(tmp_path: Path) -> None:
    """Locust sends its options to every worker that connects: no key and no password is left."""
    file, key = tmp_path / "teller.py", "sk-live-0123456789abcdef"
    file.write_text(TELLER, "utf-8")
    with locust("--headless", "--master", "--expect-workers", "1", "--master-bind-port", free(),
                "-f", str(file), "--host", f"http://me:{key}@127.0.0.1:9/x", "--header",
                f"X-Tenant={key}", MEMCONFORM_CLUSTER_SECRET=SECRET,
                MEMCONFORM_API_KEYS=key) as child:  # fmt: skip
        assert child.stderr is not None
        said = child.stderr.read()
    assert ("SENT" in said, "memconform_api_key" in said, key in said) == (True, True, False), said


def report() -> dict[str, Any]:
    """A small report of a worker."""
    tally = Tally()
    tally.of("search").sent = 3
    tally.of("search").response.merge_counts({2000: 3})
    tally.series.at(1.0).sent = 3
    return pack(tally)


def test_signed_report_is_read_as_it_was() -> None:
    """What a worker packs, signs and sends is what the master counts."""
    message = cluster.sealed(SECRET, "done", "w1", "run", report())
    read = unpack(cluster.opened(SECRET, "done", "w1", "run", message))
    assert pack(read) == report()


@pytest.mark.parametrize(
    ("kind", "sender", "run", "key"),
    [
        ("done", "w2", "run", SECRET),
        ("step", "w1", "run", SECRET),
        ("done", "w1", "another", SECRET),
        ("done", "w1", "run", "another secret of a stranger"),
    ],
)
def test_report_of_a_stranger_is_not_believed(kind: str, sender: str, run: str, key: str) -> None:
    """A report counts for its worker, its kind and its run, and only with the secret."""
    message = cluster.sealed(key, kind, sender, run, report())
    with pytest.raises(cluster.Unbelievable):
        cluster.opened(SECRET, "done", "w1", "run", message)
    with pytest.raises(cluster.Unbelievable):
        cluster.opened(SECRET, "done", "w1", "run", report())


WRONG: tuple[tuple[str, Any], ...] = (
    ("series.width", math.inf), ("series.width", -1), ("series.width", 10**30),
    ("series.width", "1"), ("series.points", {"-5": [1, 1, 1, 1, {}]}),
    ("series.points", {10**9: [1, 1, 1, 1, {}]}), ("series.points", {1: [math.nan, 1, 1, 1, {}]}),
    ("series.points", 7), ("lag", {10**18: 1}), ("lag", {5: -1}), ("lag", {5: 10**40}),
    ("numbers", {"x": 1.5}), ("numbers", {"x": math.inf}), ("stages", {"x": -3}),
    ("notes", "text"), ("notes", ["x" * 10**6]), ("facts", {"a": math.inf}), ("facts", []),
    ("findings", [{"count": 1}]), ("findings", 3), ("operations", {"x": {"counts": [1]}}),
    ("operations", [1]),
)  # fmt: skip


@pytest.mark.parametrize(("where", "value"), WRONG, ids=lambda v: repr(v)[:24])
def test_report_that_cannot_be_true_is_refused(where: str, value: Any) -> None:
    """Figures out of range, odd types and sizes are refused whole; nothing hangs on them."""
    raw: Any = report()
    *way, last = where.split(".")
    inner = raw
    for name in way:
        inner = inner[name]
    inner[last] = value
    with pytest.raises(NoReport):
        unpack(raw)


BEFORE = """
from types import SimpleNamespace
import load.users
master = SimpleNamespace(memconform=SimpleNamespace(run_id="r"), memconform_secret="s" * 20)
for data in ({"series": {"width": float("inf")}}, {"body": b"x", "code": b"y"}, 3, None):
    message = SimpleNamespace(node_id="stranger", data=data)
    load.users._worker_done(master, message)
    load.users._worker_step(master, message)
"""


def test_a_message_before_the_start_is_of_nobody() -> None:
    """A stranger who reports to a master that has not started is named, and nothing raises."""
    with subprocess.Popen(
        [sys.executable, "-c", BEFORE], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as child:
        said = child.communicate(timeout=60)
    assert (0, True) == (child.returncode, "which has no part in this run" in said[1]), said
