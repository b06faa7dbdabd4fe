"""GitHub: annotations, job summary, step outputs, one comment on a pull request, a badge's file.

Everything is taken from the variables that GitHub sets for a step. What GitHub refuses is a
warning: it never changes the verdict of a run.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from conformance.pipelines.api import Api, Refused
from conformance.pipelines.told import Annotation, Told, comment, mark
from conformance.report import badge
from conformance.report import markdown as summary

AT_ONCE = 10
"""Errors, and warnings, of one step that GitHub shows."""
SUMMARY = 1_000_000
"""Bytes of a job summary: GitHub takes 1 MiB."""

Say = Callable[[str], None]


def annotate(found: Sequence[Annotation], say: Say) -> None:
    """Print annotations as workflow commands, each kind as many as GitHub shows."""
    for level in ("error", "warning"):
        each = [a for a in found if a.level == level]
        for annotation in each[:AT_ONCE]:
            say(command(annotation))
        if len(each) > AT_ONCE:
            say(f"… and {len(each) - AT_ONCE} more of level {level}, in the job summary")


def command(annotation: Annotation) -> str:
    """Return an annotation as a workflow command. A file outside the repository is named in it."""
    spot, message = annotation.spot, annotation.message
    fields = {"title": annotation.title}
    if spot is not None and spot.inside:
        fields = {"file": spot.path, "line": str(spot.line), **fields}
    elif spot is not None:
        message = f"{message} The promise: {spot.path}:{spot.line}."
    told = ",".join(f"{name}={_property(value)}" for name, value in fields.items())
    return f"::{annotation.level} {told}::{_data(message)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def summarise(told: Told, env: Mapping[str, str]) -> None:
    """Append the summary of a run to the job summary, and its counts to the step's outputs."""
    text = summary.render(told.results, told.decision, told.comparison)
    kept = text.encode()[:SUMMARY].decode(errors="ignore")
    _append(env.get("GITHUB_STEP_SUMMARY"), kept if kept.endswith("\n") else f"{kept}\n")
    lines = [f"{name}={value}" for name, value in told.outputs().items()]
    _append(env.get("GITHUB_OUTPUT"), "\n".join(lines) + "\n")


def _append(path: str | None, text: str) -> None:
    if path:
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(text)


def tell(told: Told, name: str, badges: str, env: Mapping[str, str], say: Say) -> None:
    """Keep one comment on the pull request up to date, and the badge of a branch."""
    number = _pull_request(env)
    branch = env.get("GITHUB_REF_NAME", "") if env.get("GITHUB_EVENT_NAME") == "push" else ""
    if not number and not (badges and branch):
        return
    token, repository = env.get("GITHUB_TOKEN", ""), env.get("GITHUB_REPOSITORY", "")
    if not token or not repository:
        say("::warning title=memconform::no comment: GITHUB_TOKEN or GITHUB_REPOSITORY is not set")
        return
    headers = {
        "Authorization": f"Bearer {token}",
        "Accept": "application/vnd.github+json",
        "X-GitHub-Api-Version": "2022-11-28",
    }
    with Api(env.get("GITHUB_API_URL", "https://api.github.com"), headers) as api:
        try:
            if number:
                _comment(api, f"repos/{repository}/issues", number, told, name, _run(env))
            else:
                _badge(api, f"repos/{repository}", told, badges, f"{name}/{branch}.json")
        except Refused as why:
            say(f"::warning title=memconform::{_data(f'GitHub refused: {why}; {_NEEDS}')}")


_NEEDS = (
    "the job needs `permissions: pull-requests: write`, for badges `contents: write`; "
    "a fork's pull request has neither"
)


def _pull_request(env: Mapping[str, str]) -> int:
    """Return the number of the pull request that a step runs for; 0 if it runs for none."""
    try:
        event: Any = json.loads(Path(env["GITHUB_EVENT_PATH"]).read_text("utf-8"))
        return int(event["pull_request"]["number"])
    except (KeyError, OSError, ValueError, TypeError):
        return 0


def _run(env: Mapping[str, str]) -> str:
    parts = [env.get(n, "") for n in ("GITHUB_SERVER_URL", "GITHUB_REPOSITORY", "GITHUB_RUN_ID")]
    return f"{parts[0]}/{parts[1]}/actions/runs/{parts[2]}" if all(parts) else ""


def _comment(api: Api, issues: str, number: int, told: Told, name: str, link: str) -> None:
    body = {"body": comment(told, name, link)}
    for each in api.pages(f"{issues}/{number}/comments?per_page=100"):
        if str(each.get("body", "")).startswith(mark(name)):
            api.ask("PATCH", f"{issues}/comments/{each['id']}", body)
            return
    api.ask("POST", f"{issues}/{number}/comments", body)


def _badge(api: Api, repository: str, told: Told, badges: str, file: str) -> None:
    """Write the badge of a branch into a file on another branch, which is made if it is absent."""
    text = badge.render(told.decision, told.comparison)
    path = f"{repository}/contents/{quote(file)}"
    body = {
        "message": f"memconform: {told.verdict}",
        "content": base64.b64encode(text.encode()).decode(),
        "branch": badges,
    }
    try:
        api.ask("GET", f"{repository}/git/ref/heads/{quote(badges)}")
    except Refused as why:
        if why.status != 404:
            raise
        entry = {"path": file, "mode": "100644", "type": "blob", "content": text}
        tree = api.ask("POST", f"{repository}/git/trees", {"tree": [entry]})
        made = {"message": body["message"], "tree": tree["sha"], "parents": []}
        commit = api.ask("POST", f"{repository}/git/commits", made)
        api.ask("POST", f"{repository}/git/refs",
                {"ref": f"refs/heads/{badges}", "sha": commit["sha"]})  # fmt: skip
        return
    try:
        body["sha"] = api.ask("GET", f"{path}?ref={quote(badges)}")["sha"]
    except Refused as why:
        if why.status != 404:
            raise
    api.ask("PUT", path, body)
