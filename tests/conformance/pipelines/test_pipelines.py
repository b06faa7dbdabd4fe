"""Pipelines: the steps that repositories copy, run as shell against doubles of the two APIs."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from importlib.resources import files
from pathlib import Path
from typing import Any

import check_jsonschema
import jsonschema
import pytest
import yaml
from typer.testing import CliRunner

from conformance.cli import app
from conformance.pipelines import github, gitlab
from conformance.pipelines.told import Annotation, Told, annotated, comment
from conformance.pipelining import FILES
from conformance.reference.backend.server import Embedded
from conformance.reference.defects import Defects
from conformance.report import baseline as known
from conformance.report import write
from conformance.report.baseline import compare
from conformance.report.exit import decide
from conformance.report.results import Results
from conformance.report.spots import Spot
from conformance.report.waiver import Baseline
from tests.judged_results import case, finding, results, subject
from tests.platforms import Platform, served

ROOT = Path(__file__).parents[3]
VENDOR = Path(check_jsonschema.__file__).parent / "builtin_schemas" / "vendor"
SOURCES = files("conformance.pipelines").joinpath("files")
ARGUMENTS = "--fast --case auth.missing"
BASH = ("bash", "--noprofile", "--norc", "-eo", "pipefail", "-c")
"""How GitHub and GitLab run a step."""


def document(name: str, at: int = -1) -> Any:
    """Return one YAML document of a file of ours."""
    return list(yaml.safe_load_all(SOURCES.joinpath(name).read_text("utf-8")))[at]


def environment(**more: str) -> dict[str, str]:
    """Return the variables of a runner that has memconform on its path."""
    kept = {n: v for n, v in os.environ.items() if n in ("HOME", "LANG", "TMPDIR")}
    return {**kept, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", **more}


def shell(script: str, env: dict[str, str], cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a step."""
    return subprocess.run(
        [*BASH, script], env=env, cwd=cwd, capture_output=True, text=True, timeout=240, check=False
    )


@dataclass
class Runner:
    """A GitHub runner: a workspace, files for summary and outputs, an event."""

    work: Path
    api: Platform
    inputs: dict[str, str]
    event: dict[str, Any]
    outputs: dict[str, dict[str, str]] = field(default_factory=dict)
    said: dict[str, str] = field(default_factory=dict)

    def run(self) -> int:
        """Run the action's steps as GitHub does and return the exit code of the last."""
        code = 0
        for step in document("action.yml")["runs"]["steps"]:
            if "run" not in step or (code and step.get("if") != "always()"):
                continue
            name = step.get("id", step["name"])
            env = {k: self._value(v) for k, v in step.get("env", {}).items()}
            done = shell(self._value(step["run"]), {**self._github(name), **env}, self.work)
            self.said[name] = done.stdout + done.stderr
            lines = (self.work / f"{name}.out").read_text("utf-8").splitlines()
            self.outputs[name] = dict(line.split("=", 1) for line in lines)
            code = code or done.returncode
        return code

    def _github(self, step: str) -> dict[str, str]:
        event = self.work / "event.json"
        event.write_text(json.dumps(self.event), "utf-8")
        output = self.work / f"{step}.out"
        output.write_text("", "utf-8")
        return environment(
            GITHUB_ACTIONS="true", GITHUB_API_URL=self.api.url, GITHUB_REPOSITORY="o/r",
            GITHUB_EVENT_PATH=str(event), GITHUB_OUTPUT=str(output), GITHUB_RUN_ID="12",
            GITHUB_STEP_SUMMARY=str(self.work / "summary.md"), GITHUB_SERVER_URL="http://host",
            GITHUB_EVENT_NAME="pull_request" if self.event else "push", GITHUB_REF_NAME="main",
        )  # fmt: skip

    def _value(self, text: str) -> str:
        def filled(found: re.Match[str]) -> str:
            words = found[1].split(".")
            if words[0] == "inputs":
                declared = document("action.yml")["inputs"][words[1]]
                return self._value(str(self.inputs.get(words[1], declared.get("default", ""))))
            if words[0] == "steps":
                return self.outputs.get(words[1], {}).get(words[3], "")
            assert "github.token" == found[1]
            return "t0ken"

        return re.sub(r"\$\{\{\s*([\w.-]+)\s*\}\}", filled, text)


@pytest.fixture
def hub() -> Iterator[Platform]:
    """GitHub, with two comments of other people on the pull request and a third page to turn."""
    comments = {n: f"comment {n}" for n in (1, 2, 3)}
    with served(Platform("Bearer t0ken", "Authorization", comments=comments)) as platform:
        yield platform


@pytest.fixture
def lab() -> Iterator[Platform]:
    """GitLab, with two notes of other people on the merge request."""
    comments = {n: f"note {n}" for n in (1, 2, 3)}
    with served(Platform("glt", "PRIVATE-TOKEN", comments=comments)) as platform:
        yield platform


def broken() -> Embedded:
    """The reference backend, wrong in one way that a promise forbids."""
    return Embedded(defects=Defects.of(["auth.missing-key-is-403"]))


def inputs(backend: Embedded, **more: str) -> dict[str, str]:
    """The inputs of a repository that tests a backend."""
    return {
        "suite": "backend", "base-url": backend.url_for("octamem"), "api": "octamem",
        "arguments": ARGUMENTS, "version": "", "api-keys": backend.keys[0], **more,
    }  # fmt: skip


def test_a_red_then_a_green_pull_request_on_github(hub: Platform, tmp_path: Path) -> None:
    """A pull request that breaks a promise fails with one comment, and its mending updates it."""
    event = {"pull_request": {"number": 7}}
    with broken() as wrong:
        runner = Runner(tmp_path, hub, inputs(wrong), event)
        assert 1 == runner.run(), runner.said
        told = runner.outputs["publish"]
    assert ("deviates", "1") == (told["verdict"], told["exit-code"])
    assert "0" != told["new"]
    assert re.search(
        r"(?m)^::error title=MUST AU3::.*specs/octamem.yaml:\d+", runner.said["publish"]
    )
    assert "AU3" in (tmp_path / "summary.md").read_text("utf-8")
    assert {1, 2, 3, 4} == set(hub.comments)
    assert "does not conform" not in hub.comments[3]
    assert "deviates (exit 1)" in hub.comments[4]
    assert "http://host/o/r/actions/runs/12" in hub.comments[4]
    with Embedded() as right:
        runner = Runner(tmp_path, hub, inputs(right), event)
        assert 0 == runner.run(), runner.said
    assert {1, 2, 3, 4} == set(hub.comments)
    assert "conforms (exit 0)" in hub.comments[4]
    assert "::error" not in runner.said["publish"]
    assert wrong.keys[0] not in "".join(hub.comments.values()) + str(runner.said)


def test_a_red_then_a_green_merge_request_on_gitlab(lab: Platform, tmp_path: Path) -> None:
    """A merge request that breaks a promise fails with one note, and its mending updates it."""
    for backend, code, word in ((broken(), 1, "deviates"), (Embedded(), 0, "conforms")):
        with backend as server:
            done = gitlab_job(server, lab, tmp_path)
        assert code == done.returncode, done.stdout + done.stderr
        assert {1, 2, 3, 4} == set(lab.comments)
        assert f"{word} (exit {code})" in lab.comments[4]
        out = tmp_path / "memconform-out"
        assert f"MEMCONFORM_VERDICT={word}\n" in (out / "memconform.env").read_text("utf-8")
        quality = json.loads((out / "codequality.json").read_text("utf-8"))
        assert bool(code) == bool(quality)


def gitlab_job(backend: Embedded, lab: Platform, work: Path) -> subprocess.CompletedProcess[str]:
    """Run the component's job as GitLab does: inputs filled in, lines of the script as one."""
    header = document("gitlab.yml", 0)["spec"]["inputs"]
    given = {k: v for k, v in inputs(backend).items() if k != "api-keys"}
    (job,) = document("gitlab.yml").values()

    def filled(text: str) -> str:
        return re.sub(
            r"\$\[\[ inputs\.([\w-]+) \]\]",
            lambda m: str(given.get(m[1], header[m[1]].get("default", ""))), text,
        )  # fmt: skip

    env = environment(
        GITLAB_CI="true", CI_API_V4_URL=lab.url, CI_PROJECT_ID="9", CI_MERGE_REQUEST_IID="7",
        MEMCONFORM_GITLAB_TOKEN="glt", MEMCONFORM_API_KEY=backend.keys[0],
        **{name: filled(value) for name, value in job["variables"].items()},
    )  # fmt: skip
    return shell("\n".join(job["script"]), env, work)


def publish(tmp_path: Path, made: Results, env: dict[str, str], *words: str) -> str:
    """Run `memconform ci publish` in this process and return what it prints."""
    write.results(tmp_path, made)
    done = CliRunner().invoke(
        app, ["ci", "publish", str(tmp_path / "results.json"), *words], env=env
    )
    assert 0 == done.exit_code, done.output
    return done.output


FOUND = results(subject(case("a.b", finding(message="a %0A::set-env b", operation="add"))))
ON_GITHUB = {
    "GITHUB_ACTIONS": "true", "GITLAB_CI": "", "GITHUB_REPOSITORY": "o/r",
    "GITHUB_REF_NAME": "main", "GITHUB_EVENT_NAME": "push", "GITHUB_TOKEN": "t0ken",
    "GITHUB_EVENT_PATH": "", "GITHUB_OUTPUT": "", "GITHUB_STEP_SUMMARY": "",
}  # fmt: skip


def test_a_push_keeps_the_badge_of_its_branch(hub: Platform, tmp_path: Path) -> None:
    """On push the badge stands on its branch, which is made at first and updated later."""
    env = {**ON_GITHUB, "GITHUB_API_URL": hub.url}
    publish(tmp_path, FOUND, env, "--badge-branch", "badges", "--name", "api")
    first = json.loads(hub.branches["badges"]["api/main.json"])
    assert "red" == first["color"]
    publish(tmp_path, results(subject(case())), env, "--badge-branch", "badges", "--name", "api")
    second = json.loads(base64.b64decode(hub.branches["badges"]["api/main.json"]))
    assert ("conforms", "brightgreen") == (second["message"], second["color"])
    assert {1, 2, 3} == set(hub.comments)


@pytest.mark.parametrize("token", ["wrong", ""])
def test_a_refused_comment_is_a_warning(hub: Platform, tmp_path: Path, token: str) -> None:
    """What the platform refuses is told with the permission that it needs, and fails nothing."""
    event = tmp_path / "event.json"
    event.write_text('{"pull_request": {"number": 7}}', "utf-8")
    env = {**ON_GITHUB, "GITHUB_API_URL": hub.url, "GITHUB_TOKEN": token,
           "GITHUB_EVENT_PATH": str(event)}  # fmt: skip
    said = publish(tmp_path, FOUND, env)
    assert "::warning title=memconform::" in said
    assert ("pull-requests: write" in said) == bool(token)
    assert {1, 2, 3} == set(hub.comments)


def test_no_note_without_a_token(lab: Platform, tmp_path: Path) -> None:
    """On GitLab a job without a token says which variable is missing, and asks nothing."""
    env = {"GITLAB_CI": "true", "CI_API_V4_URL": lab.url, "CI_PROJECT_ID": "9",
           "CI_MERGE_REQUEST_IID": "7", "MEMCONFORM_GITLAB_TOKEN": ""}  # fmt: skip
    assert "MEMCONFORM_GITLAB_TOKEN" in publish(tmp_path, FOUND, env)
    assert [] == lab.asked


def test_publish_outside_a_pipeline_is_a_usage_error(tmp_path: Path) -> None:
    """Outside a pipeline the command says what it needs, with exit 2."""
    write.results(tmp_path, FOUND)
    done = CliRunner().invoke(
        app, ["ci", "publish", str(tmp_path / "results.json")],
        env={"GITLAB_CI": "", "GITHUB_ACTIONS": ""},
    )  # fmt: skip
    assert 2 == done.exit_code
    assert "GITHUB_ACTIONS" in done.output


def told(made: Results, baseline: Baseline | None) -> Told:
    """Return what a pipeline tells of a run with a baseline."""
    comparison = compare(made, baseline) if baseline is not None else None
    return Told(made, decide(made, comparison), comparison)


def test_an_expired_waiver_is_annotated_at_its_line(tmp_path: Path) -> None:
    """What an expired waiver lets through points at the waiver and names its owner."""
    waivers = [w.model_copy(update={"expires": date(2025, 1, 1), "owner": "ann"})
               for w in known.of(FOUND).waivers]  # fmt: skip
    accepted = Baseline(waivers=tuple(waivers))
    (tmp_path / "known.toml").write_text(known.dump(accepted, ".toml"), "utf-8")
    (one,) = annotated(told(FOUND, accepted), tmp_path / "known.toml", tmp_path)
    assert one.spot is not None
    assert ("error", "known.toml", True) == (one.level, one.spot.path, one.spot.inside)
    assert "owner ann" in one.message


def test_a_waiver_that_is_gone_is_annotated_at_its_line(tmp_path: Path) -> None:
    """A run that exits 4 marks each waiver that may go."""
    accepted = known.of(FOUND)
    (tmp_path / "known.json").write_text(known.dump(accepted), "utf-8")
    made = told(results(subject(case("a.b"))), accepted)
    (one,) = annotated(made, tmp_path / "known.json", tmp_path)
    assert one.spot is not None
    assert ("error", "waiver is gone", "known.json") == (one.level, one.title, one.spot.path)


@pytest.mark.parametrize("accepted", [known.of(FOUND), None])
def test_what_does_not_fail_the_run_is_no_annotation(accepted: Baseline | None) -> None:
    """A waived finding has no annotation; one that nothing waives has."""
    assert (accepted is None) == bool(list(annotated(told(FOUND, accepted), None, Path.cwd())))


def test_a_workflow_command_cannot_be_forged() -> None:
    """Signs that mean something in a workflow command are escaped in what others said."""
    spot = Spot("a,b:c.yaml", 3, True)
    line = github.command(Annotation("error", "t", "x %0A\n::set-env name=a::b", spot, "k"))
    assert "::error file=a%2Cb%3Ac.yaml,line=3,title=t::x %250A%0A::set-env name=a::b" == line


def test_annotations_are_as_many_as_github_shows() -> None:
    """Of many annotations GitHub shows ten of a level, so the rest are counted."""
    said: list[str] = []
    github.annotate([Annotation("error", "t", "m", None, "k")] * 13, said.append)
    assert 11 == len(said)
    assert "3 more" in said[-1]


def test_a_comment_stays_within_the_limit() -> None:
    """However much a run found, its comment is one that the platforms take."""
    many = [case("a.b", finding(cause=str(n), message="x" * 900)) for n in range(200)]
    text = comment(told(results(subject(*many)), None), "memconform")
    assert len(text) <= 65_536
    assert "and 180 more" in text


def test_fingerprints_of_code_quality_are_unique_and_stable() -> None:
    """GitLab tells findings apart, and the same one from run to run."""
    two = results(subject(case("a.b", finding("one"), finding("two"))))
    first, second = (
        {e["fingerprint"] for e in json.loads(gitlab.code_quality(found))}
        for found in (list(annotated(told(two, None), None, Path.cwd())),) * 2
    )
    assert 2 == len(first)
    assert first == second


SCHEMAS = {
    "action.yml": ("github-actions.json", -1),
    "workflow.yml": ("github-workflows.json", -1),
    "gitlab.yml": ("gitlab-ci.json", -1),
    "gitlab-ci.yml": ("gitlab-ci.json", -1),
}


@pytest.mark.parametrize("name", SCHEMAS)
def test_files_are_valid_under_the_published_schemas(name: str) -> None:
    """What a repository copies is valid under the schema that its platform publishes."""
    schema, at = SCHEMAS[name]
    validator = jsonschema.Draft7Validator(json.loads((VENDOR / schema).read_text("utf-8")))
    made = json.loads(json.dumps(document(name, at), default=str).replace('"true": {', '"on": {'))
    validator.validate(made)


def test_both_platforms_offer_the_same() -> None:
    """The action and the component take the same inputs, and give the same outputs."""
    action, component = document("action.yml"), document("gitlab.yml", 0)["spec"]["inputs"]
    # A key and a token are variables on GitLab; a stage and an image are none of GitHub's.
    only = {"api-keys", "token", "badge-branch"}
    assert set(action["inputs"]) - only == set(component) - {"stage", "image"}
    declared = set(action["outputs"]) - {"exit-code"}
    assert declared <= set(told(FOUND, None).outputs())


@pytest.mark.parametrize("platform", FILES)
def test_the_files_are_printed_and_written(platform: str, tmp_path: Path) -> None:
    """`memconform ci` prints each file under its path, or writes it and overwrites nothing."""
    printed = CliRunner().invoke(app, ["ci", platform]).output
    words = ["ci", platform, "--to", str(tmp_path)]
    assert 0 == CliRunner().invoke(app, words).exit_code
    for name in FILES[platform]:
        assert f"# {name}\n" in printed
        assert (tmp_path / name).read_text("utf-8") in printed
    again = CliRunner().invoke(app, words)
    assert 2 == again.exit_code
    assert "is there already" in again.output


def test_the_action_of_this_repository_is_the_one_that_is_printed() -> None:
    """Who uses the action from this repository and who copies it run the same steps."""
    here = ROOT / ".github" / "actions" / "memconform" / "action.yml"
    if not here.exists():
        pytest.skip("the repository's own files are not here")
    assert here.read_text("utf-8") == SOURCES.joinpath("action.yml").read_text("utf-8")
