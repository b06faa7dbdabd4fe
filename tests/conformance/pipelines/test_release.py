"""The release: its workflow is valid, and refuses a tag that differs from what is released."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import check_jsonschema
import jsonschema
import pytest
import yaml

ROOT = Path(__file__).parents[3]
VENDOR = Path(check_jsonschema.__file__).parent / "builtin_schemas" / "vendor"
PATH = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
HERE = pytest.mark.skipif(not WORKFLOWS, reason="the repository's own files are not here")


def read(path: Path) -> Any:
    """Return a workflow; YAML 1.1 takes its `on` for a truth value."""
    made = yaml.safe_load(path.read_text("utf-8"))
    return {("on" if key is True else key): value for key, value in made.items()}


@HERE
@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda p: p.name)
def test_a_workflow_is_valid(path: Path) -> None:
    """Each workflow is valid under the schema that its platform publishes."""
    schema = json.loads((VENDOR / "github-workflows.json").read_text("utf-8"))
    jsonschema.Draft7Validator(schema).validate(read(path))


def tagged(folder: Path, tag: str, changelog: str = "## [1.2.3] - 2026-01-01\n") -> str:
    """Run the step that looks at a tag, for version 1.2.3; return what it says against it."""
    (folder / "pyproject.toml").write_text('[project]\nversion = "1.2.3"\n', "utf-8")
    (folder / "CHANGELOG.md").write_text(changelog, "utf-8")
    steps = read(ROOT / ".github" / "workflows" / "release.yml")["jobs"]["build"]["steps"]
    (step,) = (s for s in steps if s.get("id") == "version")
    done = subprocess.run(
        ["bash", "-eo", "pipefail", "-c", step["run"]], cwd=folder, check=False, text=True,
        capture_output=True, env={"PATH": PATH, "TAG": tag},
    )  # fmt: skip
    assert bool(done.returncode) == bool(done.stdout), done.stderr
    return done.stdout


@HERE
def test_a_tag_names_the_version_and_the_changelog_has_it(tmp_path: Path) -> None:
    """A tag that differs from the version, or that the changelog lacks, releases nothing."""
    assert "" == tagged(tmp_path, "v1.2.3")
    assert "the tag is v1.2.4 and the version is 1.2.3" in tagged(tmp_path, "v1.2.4")
    assert "no section for 1.2.3" in tagged(tmp_path, "v1.2.3", "## [1.2.2]\n")


@HERE
def test_nothing_but_the_publishing_job_gets_an_identity() -> None:
    """Trusted publishing: one job, in an environment of its own, may ask for an identity."""
    workflow = read(ROOT / ".github" / "workflows" / "release.yml")
    allowed = {n for n, j in workflow["jobs"].items() if "id-token" in j.get("permissions", {})}
    assert {"publish"} == allowed
    assert "environment" in workflow["jobs"]["publish"]
    assert {"contents": "read"} == workflow["permissions"]


@HERE
def test_the_metadata_is_complete_and_the_changelog_has_the_version() -> None:
    """The package says what it is, for whom, under which licence and where; its version is told."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    wanted = {"description", "readme", "license", "license-files", "requires-python", "authors",
              "keywords", "classifiers", "urls"}  # fmt: skip
    assert wanted <= set(project)
    assert {"Homepage", "Documentation", "Changelog", "Issues"} == set(project["urls"])
    text = (ROOT / "CHANGELOG.md").read_text("utf-8")
    assert f"## [{project['version']}] - " in text
