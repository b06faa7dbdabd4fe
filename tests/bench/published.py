"""From the description of a published server to a verdict, with nothing written by hand.

    python -m tests.bench.published [NAME ...] [--folder DIR] [--beside]

For each server: install its package, start it on loopback, let its owner create a few records,
then `spec draft --probe`, `backend`, `load --load-profile smoke`. Printed are seconds, lines
written by hand, the share of a hand-written extension that the draft found, findings, the MUST
list, and how many of the owner's records changed; `--beside` runs `st run` on the same server.
Exit 1 if a record of the owner's changed, a command ended in an error of memconform's own, or
a draft found less than 90 %.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import yaml

import specs
from specs.reading import joined
from tests.bench.published_servers import SERVERS, Call, Published

HAND_WRITTEN = Path(__file__).parent / "hand_written"
UV = str(Path(sys.executable).parent / "uv")
SHARE = 0.9
"""Part of a hand-written extension that a draft must find."""
PATIENCE = 180.0
"""Seconds that a server may take to listen."""
ST_SECONDS = 180
INSTALL_SECONDS = 1800


@dataclass
class Row:
    """What was seen of one server."""

    name: str
    operations: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    codes: dict[str, int] = field(default_factory=dict)
    share: float | None = None
    missed: list[str] = field(default_factory=list)
    findings: int = 0
    must: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    foreign: int = 0
    changed: list[str] = field(default_factory=list)
    beside: str = ""

    @property
    def bad(self) -> list[str]:
        """What the bench fails for."""
        found = [f"{n} ended with exit {c}" for n, c in self.codes.items() if c in (2, 3)]
        found += [f"changed: {each}" for each in self.changed]
        if self.share is not None and self.share < SHARE:
            found.append(f"the draft found {self.share:.0%} of what was written by hand")
        return found


# --- installing and starting ----------------------------------------------------------------------


def pythons(server: Published) -> Iterator[str]:
    """Yield the interpreters here that a server can run on."""
    version = ".".join(map(str, server.python))
    places = [shutil.which(f"python{version}"), "/usr/bin/python3", sys.executable]
    places += [str(p) for p in Path.home().glob(f".pyenv/versions/{version}.*/bin/python3")]
    ask = "import sys; assert sys.version_info[:2] >= {}; import sqlite3; c = sqlite3.connect('')"
    ask = ask.format(server.python) + ("; c.enable_load_extension" if server.extensions else "")
    for place in filter(None, places):
        if subprocess.run([place, "-c", ask], capture_output=True, check=False).returncode == 0:
            yield place


def install(server: Published, folder: Path) -> Path:
    """Install a server into a folder and return where its programs are."""
    folder.mkdir(parents=True, exist_ok=True)
    if server.kind == "npm":
        programs = folder / "node_modules" / ".bin"
        if not programs.exists():
            run(["npm", "install", "--no-audit", "--no-fund", "--loglevel=error",
                 *server.packages], cwd=folder)  # fmt: skip
        return programs
    programs = folder / "bin"
    if not programs.exists():
        python = next(pythons(server), None)
        if python is None:
            raise SystemExit(f"{server.name} needs Python {server.python}, and none is here")
        run([UV, "venv", "-q", "-p", python, str(folder)])
        run([UV, "pip", "install", "-q", "--python", str(programs / "python"), *server.packages])
    return programs


def run(command: Sequence[str], cwd: Path | None = None, env: Any = None) -> None:
    """Run a command that must succeed."""
    done = subprocess.run(
        command, cwd=cwd, env=env, capture_output=True, text=True, timeout=INSTALL_SECONDS,
        check=False,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}: exit {done.returncode}\n{done.stderr[-1500:]}")


def free_port() -> int:
    """Return a port that nothing listens on."""
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        return int(made.getsockname()[1])


@contextmanager
def started(server: Published, programs: Path, home: Path) -> Iterator[str]:
    """Start a server on data of its own and yield its root URL."""
    words = {"port": str(free_port()), "other": str(free_port()), "home": str(home),
             "bin": str(programs)}  # fmt: skip
    env = {**os.environ, "HOME": str(home)}
    env |= {name: value.format(**words) for name, value in server.environment.items()}
    home.mkdir(parents=True, exist_ok=True)
    for command in server.before:
        run([word.format(**words) for word in command], cwd=home, env=env)
    command = [word.format(**words) for word in server.command]
    root = f"http://127.0.0.1:{words['port']}"
    with (home / "server.log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=home, env=env, stdout=log, stderr=log, start_new_session=True
        )
    try:
        _wait(process, root + server.spec, server.headers, home / "server.log")
        yield root
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(15)


def _wait(process: subprocess.Popen[bytes], url: str, headers: Any, log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            if httpx.get(url, headers=dict(headers), timeout=60).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.2)
    raise SystemExit(f"{url}: nothing answers\n{log.read_text('utf-8', 'replace')[-1500:]}")


# --- what its owner has ---------------------------------------------------------------------------


def called(root: str, server: Published, call: Call, seen: bool = False) -> Any:
    """Send one plain call of the owner's and return the answer's JSON.

    Ends the bench if it is refused; with `seen`, the refusal is what is seen.
    """
    method, path, body = call
    answer = httpx.request(
        method, root + path, json=body, headers=dict(server.headers), timeout=30,
        follow_redirects=True,
    )  # fmt: skip
    if answer.status_code >= 400 and not seen:
        raise SystemExit(f"{server.name}: {method} {path}: {answer.status_code} {answer.text:.300}")
    if answer.status_code >= 400:
        return f"answered {answer.status_code}"
    return answer.json() if answer.content else None


def snapshot(root: str, server: Published) -> list[Any]:
    """Return what the owner has, without what changes by being read."""
    return [_kept(called(root, server, call, True), server.exclude) for call in server.shown]


def _kept(value: Any, exclude: tuple[str, ...]) -> Any:
    if isinstance(value, dict):
        timed = ("processing_time_ms", "relevance_reason", "similarity_score")
        return {n: _kept(v, exclude) for n, v in value.items() if n not in (*exclude, *timed)}
    if isinstance(value, list):
        return sorted((_kept(v, exclude) for v in value), key=lambda v: json.dumps(v, default=str))
    return value


# --- the share of what was written by hand --------------------------------------------------------


def share(name: str, source: str, overlay: Path) -> tuple[float | None, list[str]]:
    """Return which part of a hand-written extension a draft found, and what it missed."""
    file = HAND_WRITTEN / f"{name}.yaml"
    if not file.exists():
        return None, []
    wanted = yaml.safe_load(file.read_text("utf-8"))
    document = specs.load(joined(source, [overlay])).document
    root = document["x-conformance"]
    pairs = [("root", *pair, root) for pair in flat(wanted["root"])]
    for place, blocks in wanted["operations"].items():
        verb, _, path = place.partition(" ")
        item = document["paths"].get(path) or document["paths"].get(path.rstrip("/")) or {}
        drafted = item.get(verb.lower(), {}).get("x-conformance", {})
        drafted = {"fixed": root.get("fixed"), **drafted}
        pairs += [(place, *pair, drafted) for pair in flat(blocks)]
    missed = [f"{place} {'.'.join(at)}: {value!r}" for place, at, value, there in pairs
              if not holds(there, at, value)]  # fmt: skip
    return 1 - len(missed) / len(pairs), missed


Statement = tuple[tuple[str, ...], Any]


def flat(value: Mapping[str, Any], at: tuple[str, ...] = ()) -> Iterator[Statement]:
    """Yield each statement of a block: where it stands, and its value."""
    for name, inner in value.items():
        if name == "resource":
            continue  # a name that its author makes up
        if isinstance(inner, dict):
            yield from flat(inner, (*at, name))
        elif isinstance(inner, list):
            yield from (((*at, name), each) for each in inner)
        else:
            yield (*at, name), inner


def holds(block: Any, at: tuple[str, ...], value: Any) -> bool:
    """Return True if a block states a value."""
    for step in at:
        if not isinstance(block, dict) or step not in block:
            return False
        block = block[step]
    return value in block if isinstance(block, list) else bool(block == value)


# --- one server -----------------------------------------------------------------------------------


def command(row: Row, what: str, words: Sequence[str], folder: Path) -> str:
    """Run a command of memconform's, timed; return what it said."""
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "conformance", *words], capture_output=True, text=True, check=False,
        timeout=INSTALL_SECONDS,
    )  # fmt: skip
    row.seconds[what] = time.monotonic() - began
    row.codes[what] = done.returncode
    (folder / f"{what}.txt").write_text(done.stdout + done.stderr, "utf-8")
    return done.stdout + done.stderr


def judged(server: Published, folder: Path, beside: bool) -> Row:
    """Take one server from its description to a verdict."""
    row = Row(server.name)
    programs = install(server, folder / "installed")
    api, overlay = folder / (server.described or "openapi.json"), folder / "overlay.yaml"
    key = ["--api-key", server.key] if server.key else []
    with seeded(row, server, programs, folder, "draft and backend") as root:
        base = root + server.base
        if server.described:
            api.write_bytes((Path(__file__).parent / server.described).read_bytes())
        else:
            described = httpx.get(root + server.spec, headers=dict(server.headers), timeout=60)
            api.write_bytes(described.content)
        words = ["spec", "draft", str(api), "--probe", base, *key, "--to", str(overlay)]
        command(row, "draft", words, folder)
        row.operations = len(specs.load(api).operations)
        row.share, row.missed = share(server.name, str(api), overlay)
        command(row, "check", ["spec", "check", str(api), "--overlay", str(overlay)], folder)
        drafted = ["--base-url", base, "--api", str(api), "--overlay", str(overlay), *key]
        command(row, "backend", ["backend", *drafted, "--out", str(folder / "backend")], folder)
    # on fresh data: what the backend run sent may have broken a server for good
    with seeded(row, server, programs, folder, "load") as root:
        drafted[1] = root + server.base
        words = ["load", *drafted, "--load-profile", "smoke", "--out", str(folder / "load")]
        command(row, "load", words, folder)
    for part in ("backend", "load"):
        _read(row, folder / part / "results.json")
    if beside:
        with seeded(row, server, programs, folder, "") as root:
            row.beside = schemathesis(server, api, root + server.base)
    return row


@contextmanager
def seeded(row: Row, server: Published, programs: Path, folder: Path, what: str) -> Iterator[str]:
    """Start a server with its owner's records; at the end see what became of them in `what`."""
    home = Path(tempfile.mkdtemp(prefix="home-", dir=folder))
    try:
        with started(server, programs, home) as root:
            for call in server.seeds:
                called(root, server, call)
            before = snapshot(root, server)
            row.foreign = len(server.seeds)
            yield root
            if what:
                row.changed += differences(before, snapshot(root, server), what)
    finally:
        shutil.rmtree(home, ignore_errors=True)


def differences(before: list[Any], after: list[Any], when: str) -> list[str]:
    """Return the owner's reads that are answered otherwise than before."""
    return [
        f"after {when}: {json.dumps(old)[:300]} became {json.dumps(new)[:300]}"
        for old, new in zip(before, after, strict=True) if old != new
    ]  # fmt: skip


def _read(row: Row, file: Path) -> None:
    if not file.exists():
        row.errors.append(f"no {file.name} of {file.parent.name}")
        return
    for subject in json.loads(file.read_text("utf-8"))["subjects"]:
        row.findings += len(subject["findings"])
        row.must += [
            f"{f['requirement']} {f['operation']}: {f['message']}"
            for f in subject["findings"] if f["level"] == "MUST"
        ]  # fmt: skip
        row.errors += [
            f"{c['case']} {c.get('operation') or ''}: {c['reason']}"
            for c in subject["cases"] if c["verdict"] == "error"
        ]  # fmt: skip


def schemathesis(server: Published, api: Path, base: str) -> str:
    """Run `st run` with all checks on the same server; return its findings and seconds."""
    began = time.monotonic()
    words = [str(Path(sys.executable).parent / "st"), "run", str(api), "--url", base]
    words += ["--checks", "all"]
    for name, value in server.headers.items():
        words += ["-H", f"{name}: {value}"]
    try:
        done = subprocess.run(
            words, capture_output=True, text=True, check=False, timeout=ST_SECONDS,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return f"not done after {ST_SECONDS} s"
    found = re.search(r"(\d+) unique failures?", done.stdout) or re.search(
        r"(\d+) failures?", done.stdout
    )
    return f"{found[1] if found else '?'} failures, {time.monotonic() - began:.0f} s"


def show(row: Row) -> None:
    """Print what was seen of one server."""
    seconds = ", ".join(f"{n} {s:.0f} s (exit {row.codes[n]})" for n, s in row.seconds.items())
    told = "not measured" if row.share is None else f"{row.share:.0%}"
    print(f"\n## {row.name}: {row.operations} operations; {seconds}")
    print(f"lines written by hand: 0; of a hand-written extension found: {told}")
    print(f"findings: {row.findings}, MUST: {len(row.must)}; errors of our own: {len(row.errors)}")
    print(f"records of the owner: {row.foreign}, changed: {len(row.changed)}")
    for title, lines in (("MUST", row.must), ("missed", row.missed), ("error", row.errors),
                         ("BAD", row.bad)):  # fmt: skip
        for line in lines:
            print(f"  {title}: {line[:300]}")
    if row.beside:
        print(f"beside it, st run with all checks: {row.beside}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the bench; return the exit code."""
    parser = argparse.ArgumentParser(description="see the text at the top of this file")
    names = [server.name for server in SERVERS]
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"all, or of: {', '.join(names)}")
    parser.add_argument("--folder", type=Path, help="folder to work in, kept (default: temporary)")
    parser.add_argument("--beside", action="store_true", help="run `st run` on each as well")
    given = parser.parse_args(arguments)
    unknown = set(given.names) - set(names)
    if unknown:
        parser.error(f"no such server: {', '.join(sorted(unknown))}")
    folder = given.folder or Path(tempfile.mkdtemp(prefix="published-"))
    rows = []
    try:
        for server in SERVERS:
            if not given.names or server.name in given.names:
                rows.append(judged(server, folder / server.name, given.beside))
                show(rows[-1])
    finally:
        if given.folder is None:
            shutil.rmtree(folder, ignore_errors=True)
    return 1 if any(row.bad or row.errors for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
