"""Our gates and findings on Locust's own web page, live, as two tabs.

One of the files that work inside a Locust process. The page asks `/stats/requests` every two
seconds; its answer is given our rows. `/memconform` gives the same as JSON, for scripts.
"""

from __future__ import annotations

import hmac
import json
import os
import secrets
import sys
from typing import Any, cast
from urllib.parse import urlsplit

from flask import Response, jsonify, redirect, request

from conformance.clock import monotonic
from conformance.report.results import CaseEntry, SubjectEntry
from conformance.verdict import Verdict
from load.gates import CASES, OPEN
from load.session import Session

LOOPBACK = ("127.0.0.1", "localhost", "::1")
FRESH = 1.5
"""Seconds that one judgement is shown before another is made."""
TABLES: tuple[dict[str, Any], ...] = (
    {
        "key": "gates",
        "structure": [
            {"key": "gate", "title": "Gate"},
            {"key": "verdict", "title": "Verdict"},
            {"key": "words", "title": "In words"},
        ],
    },
    {
        "key": "findings",
        "structure": [
            {"key": "requirement", "title": "Requirement"},
            {"key": "operation", "title": "Operation"},
            {"key": "words", "title": "What is wrong"},
            {"key": "witness", "title": "First seen in"},
        ],
    },
)
SHORT = {Verdict.NOT_APPLICABLE: "n/a"}
ORDER = ("error", "fail", "inconclusive", "open", "pass", "n/a")
TABS = ({"title": "Gates", "key": "gates"}, {"title": "Findings", "key": "findings"})


class Page:
    """The rows of both tabs, judged anew at most every `FRESH` seconds."""

    def __init__(self, environment: Any) -> None:
        self._environment = environment
        self._made: SubjectEntry | None = None
        self._when = -1e9

    def entry(self) -> SubjectEntry:
        """Return the run as it stands: the last judgement once it is over."""
        session: Session = self._environment.memconform
        if session.entry is not None:
            return session.entry
        if self._made is None or monotonic() - self._when > FRESH:
            self._made, self._when = session.look(), monotonic()
        return self._made

    def tables(self) -> list[dict[str, Any]]:
        """Return the rows as Locust's page wants them."""
        made = self.entry()
        words: dict[str, list[str]] = {}
        for finding in made.findings:
            words.setdefault(finding.case, []).append(finding.message)
        gates = [
            {
                "gate": f"{case.case.removeprefix('load.')} "
                f"({', '.join(CASES.cases[case.case].requirements)})",
                "verdict": _verdict(case),
                "words": _first(words.get(case.case, [])) or case.reason,
            }
            for case in sorted(made.cases, key=_urgency)
        ]
        findings = [
            {
                "requirement": finding.requirement,
                "operation": finding.operation or "",
                "words": finding.message.removeprefix(f"{finding.operation}: "),
                "witness": finding.timeline[0] if finding.timeline else "",
            }
            for finding in made.findings
        ]
        return [{"key": "gates", "data": gates}, {"key": "findings", "data": findings}]


def _urgency(case: CaseEntry) -> int:
    """What broke comes first, what does not apply last."""
    return ORDER.index(_verdict(case))


def _verdict(case: CaseEntry) -> str:
    return "open" if case.reason == OPEN else SHORT.get(case.verdict, str(case.verdict))


def _first(words: list[str]) -> str:
    more = f", and {len(words) - 1} more" if len(words) > 1 else ""
    return f"{words[0]}{more}" if words else ""


SETTABLE = frozenset(("user_count", "spawn_rate", "run_time", "user_classes", "shape_class",
                      "profile", "host"))  # fmt: skip
"""Fields of the form that starts a run; the host may only be the one that is shown."""
COOKIE, HEADER, TOKEN = "memconform", "X-Memconform-Token", "MEMCONFORM_WEB_TOKEN"


class Guard:
    """Lets in who knows the token, from this very page, and settles what may be set from it."""

    def __init__(self, environment: Any, token: str) -> None:
        self._environment, self._token = environment, token

    def __call__(self) -> Response | None:
        """Return the refusal of a request, None where it may pass."""
        given = request.args.get("token", "")
        if request.method == "GET" and self._known(given):
            made = cast(Response, redirect(request.path))
            made.set_cookie(COOKIE, given, httponly=True, samesite="Strict")
            return made
        shown = request.cookies.get(COOKIE, "") or request.headers.get(HEADER, "")
        if not self._known(shown):
            return _refused(403, "open the address with the token that the command printed")
        if not self._ours():
            return _refused(403, "another page asked for this, or another name of this machine")
        if request.path.endswith("/swarm") and (odd := self._odd()):
            return _refused(403, f"{odd} cannot be set from the page: give it on the command line")
        return None

    def _known(self, token: str) -> bool:
        return hmac.compare_digest(token.encode("utf-8", "replace"), self._token.encode())

    def _ours(self) -> bool:
        """Return False where another page sent the request, or one by another name (rebinding)."""
        if request.headers.get("Sec-Fetch-Site", "") in ("cross-site", "same-site"):
            return False
        origin = request.headers.get("Origin")
        if origin is not None and urlsplit(origin).netloc != request.host:
            return False
        name = urlsplit(f"//{request.host}").hostname
        wanted = self._environment.parsed_options.web_host
        return wanted not in LOOPBACK or name in LOOPBACK

    def _odd(self) -> str:
        """Return a field of a form that may not be set, '' where there is none."""
        for name, value in request.form.items():
            if name not in SETTABLE or (name == "host" and value != self._environment.host):
                return repr(name[:40])
        return ""


def _refused(code: int, why: str) -> Response:
    return Response(f"memconform: {why}\n", code, content_type="text/plain; charset=utf-8")


def extend(environment: Any) -> None:
    """Add the tabs, their rows and `/memconform` to the web page of an environment, and guard it.

    The token is MEMCONFORM_WEB_TOKEN, or made up; the address with it is printed.
    """
    token = os.environ.get(TOKEN) or secrets.token_urlsafe(24)
    environment.web_ui.app.before_request(Guard(environment, token))
    asked = environment.parsed_options
    where = f"http://{asked.web_host or 'localhost'}:{asked.web_port}{asked.web_base_path or '/'}"
    shown = "the token in " + TOKEN if os.environ.get(TOKEN) else f"{where}?token={token}"
    print(f"memconform: Locust's page: {shown}", file=sys.stderr, flush=True)  # noqa: T201
    page = Page(environment)
    app = environment.web_ui.app
    given = environment.web_ui.template_args
    given["extendedTabs"] = [*given.get("extendedTabs", []), *TABS]
    given["extendedTables"] = [*given.get("extendedTables", []), *TABLES]

    def add_rows(response: Response) -> Response:
        if request.path.endswith("/stats/requests") and response.is_json:
            value = response.get_json()
            ours = page.tables()  # Locust answers from a cache, so ours may be there already
            keys = {table["key"] for table in ours}
            others = [t for t in value.get("extended_stats", []) if t["key"] not in keys]
            value["extended_stats"] = [*others, *ours]
            response.set_data(json.dumps(value))
        return response

    def show() -> Response:
        made: Response = jsonify(json.loads(page.entry().model_dump_json()))
        return made

    app.after_request(add_rows)
    app.add_url_rule("/memconform", "memconform", environment.web_ui.auth_required_if_enabled(show))
