"""The files for many machines: checked by the schemas of those who read them, and by Locust."""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import check_jsonschema
import jsonschema
import pytest
import yaml

import load
from conformance.options import at

HERE = Path(load.__file__).parent
VENDOR = Path(check_jsonschema.__file__).parent / "builtin_schemas" / "vendor"
DOCUMENT = (HERE / "DISTRIBUTED.md").read_text("utf-8")
COMPOSE, KUBERNETES = re.findall(r"^```yaml\n(.*?)^```", DOCUMENT, re.M | re.S)
OBJECTS = list(yaml.safe_load_all(KUBERNETES))
VERSION = "1.30"
"""Kubernetes release whose schemas the objects are checked by."""


def schema() -> jsonschema.Draft7Validator:
    """Return the Compose specification's own schema."""
    return jsonschema.Draft7Validator(json.loads((VENDOR / "compose-spec.json").read_text("utf-8")))


def test_the_compose_file_is_valid() -> None:
    """The Compose file is valid under the specification's schema, which a wrong one is not."""
    made = yaml.safe_load(COMPOSE)
    schema().validate(made)
    made["services"]["worker"]["deploy"]["replicas"] = []
    assert not schema().is_valid(made)


def test_compose_itself_takes_the_file(tmp_path: Path) -> None:
    """`docker compose config` reads the file, if this machine has Compose."""
    words = ["docker", "compose"]
    if not shutil.which("docker") or subprocess.run([*words, "version"], check=False,
                                                    capture_output=True).returncode:  # fmt: skip
        pytest.skip("docker compose is not installed")
    (tmp_path / "compose.yaml").write_text(COMPOSE, "utf-8")
    done = subprocess.run(
        [*words, "-f", "compose.yaml", "config", "--quiet"], cwd=tmp_path, check=False,
        capture_output=True, text=True, env={"PATH": "/usr/bin:/usr/local/bin", "TARGET": "http://h",
                                             "KEYS": "k", "SECRET": "s" * 16},
    )  # fmt: skip
    assert 0 == done.returncode, done.stderr


@pytest.mark.parametrize("made", OBJECTS, ids=lambda o: f"{o['kind']}-{o['metadata']['name']}")
def test_kubernetes_takes_each_object(made: dict[str, Any]) -> None:
    """Each object is valid under Kubernetes' own schemas, strictly: no unknown field."""
    if importlib.util.find_spec("kubernetes_validate") is None:
        pytest.skip("kubernetes-validate is not installed: pip install kubernetes-validate")
    import kubernetes_validate

    kubernetes_validate.validate(made, VERSION, strict=True)


def test_objects_name_each_other() -> None:
    """Workers find the master by its Service, which selects its pods; all read one Secret."""
    secret, service, master, worker = OBJECTS
    pods = master["spec"]["template"]
    assert service["spec"]["selector"].items() <= pods["metadata"]["labels"].items()
    (container,) = worker["spec"]["template"]["spec"]["containers"]
    assert service["metadata"]["name"] in container["args"]
    (main,) = pods["spec"]["containers"]
    expected = main["args"][main["args"].index("--expect-workers") + 1]
    assert worker["spec"]["parallelism"] == worker["spec"]["completions"] == int(expected)
    for each in (main, container):
        assert [{"secretRef": {"name": secret["metadata"]["name"]}}] == each["envFrom"]


def command_lines() -> list[list[str]]:
    """Return the words that each manifest hands to the image's entry point."""
    services = yaml.safe_load(COMPOSE)["services"].values()
    made = [shlex.split(each["command"]) for each in services]
    return made + [o["spec"]["template"]["spec"]["containers"][0]["args"]
                   for o in OBJECTS if o["kind"] == "Job"]  # fmt: skip


def test_locust_has_every_option_that_the_manifests_use() -> None:
    """Each option of a manifest's command line is one of Locust's, or of ours beside it."""
    done = subprocess.run(
        [sys.executable, "-m", "locust", "-f", str(HERE / "locustfile.py"), "--help"],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    known = set(re.findall(r"--[a-z][\w-]*", done.stdout))
    known |= {option.name_at("locust") for option in at("locust")}
    used = {word for line in command_lines() for word in line if word.startswith("--")}
    assert "--expect-workers" in used
    assert used <= known


def test_the_image_holds_what_its_entry_point_names() -> None:
    """The image's link leads to the folder of `locustfile.py`, and every copied name is there."""
    text = (HERE / "Containerfile").read_text("utf-8")
    (code,) = re.findall(r"python -c '([^']*)'", text)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    entry = json.loads(re.findall(r"^ENTRYPOINT (.*)$", text, re.M)[0])
    assert "/load/locustfile.py" == entry[-1]
    assert (Path(done.stdout.strip()) / "locustfile.py").is_file()
    if not (HERE.parent / "pyproject.toml").is_file():
        pytest.skip("the repository's own files are not here")
    for words in re.findall(r"^COPY (.*) \S+$", text, re.M):
        assert all((HERE.parent / name).exists() for name in words.split())
