"""Our gates and findings on Locust's own web page, live, as two tabs.

One of the files that work inside a Locust process. The page asks `/stats/requests` every two
seconds; its answer is given our rows. `/memconform` gives the same as JSON, for scripts.
"""

from __future__ import annotations

import json
import time
from typing import Any

from flask import Response, jsonify, request

from conformance.report.results import CaseEntry, SubjectEntry
from conformance.verdict import Verdict
from load.gates import CASES, OPEN
from load.session import Session

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
        if self._made is None or time.monotonic() - self._when > FRESH:
            self._made, self._when = session.look(), time.monotonic()
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


def extend(environment: Any) -> None:
    """Add the tabs, their rows and `/memconform` to the web page of an environment."""
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
