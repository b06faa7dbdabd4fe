"""One Python environment per SDK under test, made by `uv` and kept for the next run.

A subject is whatever uv can install: `NAME` (its newest release), `NAME==VERSION`, a wheel or
source archive, a source folder. Environments are kept by the content of what is installed, so
two checkouts of one name and version are two subjects. Nothing here runs the SDK.
"""

from __future__ import annotations

import contextlib
import email.parser
import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import uv

from conformance.contained import (
    INSTALLING,
    TooMuch,
    allowed,
    environments,
    folder,
    note,
    ran,
)
from conformance.drivers.pipe import redact
from conformance.drivers.tables import normalise
from conformance.verdict import Blame

FORMAT = "1"
"""Changes when environments of an older make must not be used any more."""
UV_TIMEOUT = 300.0
RECORD = "memconform.json"
_NAME = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)(\[[^\]]*\])?\s*(==\s*([A-Za-z0-9.!+_-]+))?$")
_JUNK = {
    ".git", ".hg", ".venv", "venv", ".tox", ".nox", "__pycache__", "node_modules", ".mypy_cache",
    ".pytest_cache", ".ruff_cache", "build", "dist", ".eggs",
}  # fmt: skip
_NETWORK_SIGNS = (
    "failed to fetch", "dns error", "connection refused", "connect error", "timed out", "offline",
    "error sending request", "network is unreachable", "network connectivity is disabled",
)  # fmt: skip
_ABSENT_SIGNS = (
    "no version of", "not found in the package registry", "no solution found",
    "there are no versions",
)  # fmt: skip


class EnvironmentUnavailable(Exception):
    """The SDK cannot be installed here and now; the text says why."""

    blame = Blame.ENVIRONMENT


@dataclass(frozen=True)
class Environment:
    """An installed SDK."""

    subject: str
    """What was asked for."""
    name: str
    """Distribution name, as its metadata spells it."""
    version: str
    digest: str
    """Of the content that was installed."""
    python: str
    """Interpreter of the environment."""
    packages: tuple[str, ...] = ()
    """`name==version` of everything in it."""


def prepare(subject: str) -> Environment:
    """Return an environment that has the subject installed; make it where there is none.

    Raises EnvironmentUnavailable.
    """
    source = _source(subject)
    home = environments()
    try:
        home.mkdir(parents=True, exist_ok=True)
    except OSError as why:
        raise EnvironmentUnavailable(
            f"no folder to keep environments in: {why}; name another one in MEMCONFORM_CACHE"
        ) from why
    place = home / source.digest
    with _locked(home / f"{source.digest}.lock"):
        found = _read(place, subject)
        if found is not None:
            return found
        shutil.rmtree(place, ignore_errors=True)
        return _make(source, place)


def resolve(name: str) -> str:
    """Return the newest release of a package, as `NAME==VERSION`.

    Raises EnvironmentUnavailable.
    """
    said = _uv(
        ["pip", "compile", "--quiet", "--no-deps", "--no-header", "--no-annotate",
         "--python", sys.executable, "-"],
        what=name, stdin=name + "\n",
    )  # fmt: skip
    for line in said.splitlines():
        if "==" in line and not line.startswith(("#", "-")):
            return line.split(";")[0].strip()
    raise EnvironmentUnavailable(f"uv names no release of {name!r}")


@dataclass(frozen=True)
class _Source:
    """What is to be installed."""

    subject: str
    install: str
    digest: str
    folder: Path | None = None


def _source(subject: str) -> _Source:
    path = Path(subject).expanduser()
    if path.is_dir():
        if not any((path / n).exists() for n in ("pyproject.toml", "setup.py", "setup.cfg")):
            raise EnvironmentUnavailable(
                f"{subject} is a folder without pyproject.toml or setup.py: nothing to install; "
                "give the folder that has one of them"
            )
        path = path.resolve()
        return _Source(subject, str(path), _digest("folder", _tree(path)), path)
    if path.is_file():
        if not path.name.endswith((".whl", ".tar.gz", ".zip")):
            raise EnvironmentUnavailable(
                f"{subject} is no wheel (.whl), no archive (.tar.gz, .zip) and no source folder"
            )
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        return _Source(subject, str(path.resolve()), _digest("file", content))
    if os.sep in subject and "@" not in subject:
        raise EnvironmentUnavailable(
            f"no such file or folder: {subject}; give NAME, NAME==VERSION, a wheel or a folder"
        )
    match = _NAME.match(subject.strip())
    if match is None:
        return _Source(subject, subject, _digest("other", subject))
    name, extra, _, version = match.groups()
    pinned = subject.replace(" ", "") if version else resolve(name + (extra or ""))
    return _Source(subject, pinned, _digest("release", pinned.lower()))


def _digest(kind: str, content: str) -> str:
    """Return the key of an environment: what is installed, for which interpreter, how made."""
    whole = "\n".join([FORMAT, kind, content, sys.version, sys.platform, sys.base_prefix])
    return hashlib.sha256(whole.encode()).hexdigest()[:32]


def _tree(folder: Path) -> str:
    """Return a hash over the names and contents of a source folder."""
    total = hashlib.sha256()
    for path in _files(folder):
        total.update(str(path.relative_to(folder)).encode("utf-8", "surrogateescape") + b"\0")
        total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


def _files(folder: Path) -> Iterator[Path]:
    for at, folders, names in os.walk(folder):
        folders[:] = sorted(f for f in folders if f not in _JUNK and not f.endswith(".egg-info"))
        for name in sorted(names):
            path = Path(at, name)
            if path.is_file() and not name.endswith((".pyc", ".pyo")):
                yield path


def _make(source: _Source, place: Path) -> Environment:
    with folder("build", place.parent) as building:
        env = building / "env"
        _uv(["venv", "--quiet", "--relocatable", "--python", sys.executable, str(env)], "venv")
        with _copied(source) as install:
            _uv(
                ["pip", "install", "--quiet", "--python", str(_python(env)), install],
                what=source.subject,
            )
        name, version = _installed(env, source)
        made = Environment(
            subject=source.subject, name=name, version=version, digest=source.digest,
            python=str(_python(place)), packages=_packages(env),
        )  # fmt: skip
        (env / RECORD).write_text(json.dumps(asdict(made), indent=2), encoding="utf-8")
        env.rename(place)
        return made


@contextlib.contextmanager
def _copied(source: _Source) -> Iterator[str]:
    """Yield what to install; a folder is copied first, so that building leaves no trace in it."""
    if source.folder is None:
        yield source.install
        return
    versioned = "scm" in _text(source.folder / "pyproject.toml") + _text(source.folder / "setup.py")
    junk = _JUNK - {".git"} if versioned else _JUNK

    def ignored(_: str, names: list[str]) -> set[str]:
        return {n for n in names if n in junk or n.endswith(".egg-info")}

    with folder("source") as temporary:
        copy = Path(temporary, source.folder.name or "source")
        shutil.copytree(source.folder, copy, ignore=ignored, symlinks=True)
        yield str(copy)


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""


def _python(env: Path) -> Path:
    return env / "bin" / "python"


def _read(place: Path, subject: str) -> Environment | None:
    try:
        raw = json.loads((place / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not _python(place).exists():
        return None
    known = {**raw, "subject": subject, "packages": tuple(raw["packages"])}
    return Environment(**{**known, "python": str(_python(place))})


def _installed(env: Path, source: _Source) -> tuple[str, str]:
    """Return name and version of the distribution that was asked for."""
    wanted = re.split(r"[\[=<>!~ @;]", source.install)[0]
    for info in env.glob("lib/*/site-packages/*.dist-info"):
        name, version = _metadata(info)
        if (info / "direct_url.json").exists() or normalise(name) == normalise(wanted):
            return name, version
    raise EnvironmentUnavailable(f"{source.subject} was installed, but under no known name")


def _packages(env: Path) -> tuple[str, ...]:
    found = (_metadata(info) for info in env.glob("lib/*/site-packages/*.dist-info"))
    return tuple(sorted(f"{name}=={version}" for name, version in found))


def _metadata(info: Path) -> tuple[str, str]:
    text = _text(info / "METADATA").split("\n\n", 1)[0]
    headers = email.parser.HeaderParser().parsestr(text)
    return headers.get("Name", info.name), headers.get("Version", "unknown")


def _uv(arguments: list[str], what: str, stdin: str | None = None) -> str:
    """Run uv and return what it printed. Raises EnvironmentUnavailable with its last words."""
    try:
        with folder("uv") as place:
            left = note(place, "uv", _uv_folders(), ("UV_CACHE_DIR", "XDG_CACHE_HOME", "HOME"))
            done = ran(
                [uv.find_uv_bin(), "--no-progress", "--color", "never", *arguments],
                stdin=stdin, timeout=UV_TIMEOUT, env=_uv_environment(),
            )  # fmt: skip
            left.unlink()  # it ended by itself, and so left nothing
    except FileNotFoundError as why:
        raise EnvironmentUnavailable(f"uv is not installed: {why}") from why
    except TooMuch as why:
        raise EnvironmentUnavailable(f"{what} cannot be built: {why}") from None
    except subprocess.TimeoutExpired:
        raise EnvironmentUnavailable(f"uv needed more than {UV_TIMEOUT:g} s for {what}") from None
    if done.returncode != 0:
        raise EnvironmentUnavailable(_reason(what, done.stderr))
    return str(done.stdout)


def _uv_folders() -> list[Path]:
    """Return the folders of uv's cache: in them it builds, and unpacks what it fetched."""
    root = _uv_cache()
    return [root, *(path for path in root.glob("*-v*") if path.is_dir()), root / "builds-v0"]


@cache
def _uv_cache() -> Path:
    return Path(ran([uv.find_uv_bin(), "cache", "dir"], timeout=UV_TIMEOUT,
                    env=_uv_environment()).stdout.strip())  # fmt: skip


def _uv_environment() -> dict[str, str]:
    """Return what uv, and the code that it builds, may see: the indexes, nothing else of ours."""
    return allowed(INSTALLING)


def _reason(what: str, stderr: str) -> str:
    """Say in one sentence why uv failed, and quote its last lines."""
    text = redact(re.sub(r"://[^/@\s]+@", "://[redacted]@", stderr))
    last = " | ".join(line.strip() for line in text.strip().splitlines()[-8:] if line.strip())
    lower = text.lower()
    if any(sign in lower for sign in _NETWORK_SIGNS):
        said = (
            f"the package index cannot be reached for {what}: mend the network or the index's "
            "address (UV_DEFAULT_INDEX), or give a wheel or a source folder instead"
        )
    elif any(sign in lower for sign in _ABSENT_SIGNS):
        python = ".".join(map(str, sys.version_info[:2]))
        said = f"there is no such release for Python {python}: {what}; check name and version"
    elif "build" in lower:
        said = f"{what} cannot be built"
    else:
        said = f"{what} cannot be installed"
    return f"{said} ({last[-900:]})"


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a lock that other processes of this machine see; released even when we die."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
