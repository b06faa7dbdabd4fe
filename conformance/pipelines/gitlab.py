"""GitLab: a code quality report, variables for later jobs, one note on a merge request.

Everything is taken from the variables that GitLab sets for a job. A job's own token may not
write notes, so a project's token stands in MEMCONFORM_GITLAB_TOKEN; without one nothing is
noted, and what GitLab refuses never changes the verdict of a run.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from conformance.pipelines.api import Api, Refused
from conformance.pipelines.told import Annotation, Told, comment, mark
from conformance.report import write

Say = Callable[[str], None]
SEVERITIES = {"error": "major", "warning": "minor"}
"""Level of an annotation -> GitLab's word (documentation, Code Quality report format)."""


def code_quality(found: Sequence[Annotation]) -> str:
    """Return the Code Quality report of annotations, as JSON."""
    entries = [
        {
            "description": f"{each.title}: {each.message}",
            "check_name": each.title,
            "fingerprint": hashlib.sha256(each.key.encode()).hexdigest(),
            "severity": SEVERITIES[each.level],
            "location": {
                "path": each.spot.path if each.spot else "memconform",
                "lines": {"begin": each.spot.line if each.spot else 1},
            },
        }
        for each in found
    ]
    return json.dumps(entries, ensure_ascii=False, indent=1) + "\n"


def variables(told: Told) -> str:
    """Return the counts of a run as a dotenv report: `MEMCONFORM_VERDICT=conforms`."""
    pairs = told.outputs().items()
    return "".join(f"MEMCONFORM_{n.upper().replace('-', '_')}={v}\n" for n, v in pairs)


def leave(told: Told, found: Sequence[Annotation], out: Path) -> None:
    """Write the reports that GitLab reads beside the results."""
    write.file(out / "codequality.json", code_quality(found), "RESULTS")
    write.file(out / "memconform.env", variables(told), "RESULTS")


def tell(told: Told, name: str, env: Mapping[str, str], say: Say) -> None:
    """Keep one note on the merge request up to date."""
    url, project = env.get("CI_API_V4_URL", ""), env.get("CI_PROJECT_ID", "")
    request, token = env.get("CI_MERGE_REQUEST_IID", ""), env.get("MEMCONFORM_GITLAB_TOKEN", "")
    if not request:
        return
    if not token:
        say("memconform: no note: MEMCONFORM_GITLAB_TOKEN is not set (a token with scope api)")
        return
    notes = f"projects/{project}/merge_requests/{request}/notes"
    body = {"body": comment(told, name, env.get("CI_JOB_URL", ""))}
    with Api(url, {"PRIVATE-TOKEN": token}) as api:
        try:
            for each in api.pages(f"{notes}?per_page=100"):
                if str(each.get("body", "")).startswith(mark(name)):
                    api.ask("PUT", f"{notes}/{each['id']}", body)
                    return
            api.ask("POST", notes, body)
        except Refused as why:
            say(f"memconform: GitLab refused the note: {why}")
