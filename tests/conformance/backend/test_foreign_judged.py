"""The backend suite on servers that nobody wrote for it: the honest ones clean, the others told."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

import specs
from conformance.backend import suite
from conformance.backend.subject import BackendSubject, SubjectError
from conformance.backend.trust import Trust
from conformance.cases import CaseResult
from conformance.reference.backend.server import Embedded
from conformance.verdict import Finding, Verdict
from specs import Basis
from tests.foreign import servers

BASIC = ("contract.", "auth.", "errors.")


def judged(
    api: str, served: servers.Served, select: Sequence[str] | None = None, trust: bool = True
) -> list[CaseResult]:
    """Run the suite on a server and return what each case came to."""
    ca = Path(served.ca) if served.ca and trust else None
    subject = BackendSubject(specs.load(api), served.url, served.keys, trust=Trust(ca))
    try:
        return suite.run(subject, select=select)
    finally:
        subject.close()


def findings(results: Sequence[CaseResult]) -> list[Finding]:
    """Return the findings of all cases."""
    return [finding for result in results for finding in result.findings]


def told(found: Sequence[Finding]) -> list[tuple[str, str, str]]:
    """Return what findings say, for a message that can be read."""
    return sorted({(f.requirement, f.basis.value, f.cause) for f in found})


def crashed(results: Sequence[CaseResult]) -> list[str]:
    """Return the reasons of cases of ours that crashed."""
    return [f"{r.name}: {r.reason}" for r in results if r.verdict is Verdict.ERROR]


def test_a_server_written_from_the_document_is_clean() -> None:
    """Nothing is found on a server that keeps the document and shares no code with us."""
    with servers.plain() as served:
        results = judged("claiv", served)
    assert crashed(results) == []
    assert told(findings(results)) == []
    assert sum(r.verdict is Verdict.PASS for r in results) > 100


def test_a_server_in_another_framework_keeps_every_documented_promise() -> None:
    """FastAPI, work that finishes later, no record of organisations: only an assumption breaks."""
    with servers.memsy() as served:
        meaning = [group for group in suite.groups() if group != "contract."]
        results = judged("memsy", served, ["contract.examples", *meaning])
    assert crashed(results) == []
    assert told([f for f in findings(results) if f.basis is not Basis.ASSUMED]) == []
    assert told(findings(results)) == [("ER5", "assumed", "accepted unknown-parent create")]


@pytest.mark.parametrize("api", ["claiv", "octamem"])
def test_nginx_in_front_breaks_no_promise(api: str) -> None:
    """Pages of nginx for what never reached the backend are told, and never held against it."""
    if shutil.which("nginx") is None and not Path("/usr/sbin/nginx").exists():
        pytest.skip("nginx is not installed: apt-get install nginx-light")
    with Embedded() as near:
        upstream = servers.Served(near.url_for(api), tuple(near.keys))
        with servers.nginx(upstream) as served:
            results = judged(api, served, (*BASIC, "robustness."))
    assert crashed(results) == []
    assert told([f for f in findings(results) if f.basis is not Basis.ASSUMED]) == []


def test_nginx_before_a_dead_backend_is_told_as_a_failing_server() -> None:
    """Where only nginx lives, every answer is a 502 and none of them passes for conforming."""
    if shutil.which("nginx") is None and not Path("/usr/sbin/nginx").exists():
        pytest.skip("nginx is not installed: apt-get install nginx-light")
    with servers.nginx(servers.Served("http://127.0.0.1:9")) as served:
        results = judged("claiv", served, ("contract.examples",))
    assert crashed(results) == []
    assert {f.requirement for f in findings(results)} >= {"CT6"}
    assert [r.name for r in results if r.verdict is Verdict.PASS] == []


def test_a_certificate_of_its_own_needs_to_be_named() -> None:
    """A self-signed server is refused with a hint, and judged as usual once it is trusted."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed: apt-get install openssl")
    with servers.plain() as near, servers.tls(near) as served:
        with pytest.raises(SubjectError, match="--ca"):
            judged("claiv", served, ("auth.",), trust=False)
        results = judged("claiv", served, ("contract.examples", "auth."))
    assert crashed(results) == []
    assert told(findings(results)) == []


def test_slowness_is_no_fault() -> None:
    """A server that takes its time, and gives every answer, is clean."""
    with servers.slow(0.02) as served:
        results = judged("claiv", served, ("contract.examples", "auth."))
    assert crashed(results) == []
    assert told(findings(results)) == []


def test_a_server_that_dies_is_blamed_once() -> None:
    """The cut answer and the going are found; nothing that came after is held against it."""
    with servers.dying(60) as served:
        results = judged("claiv", served)
    assert crashed(results) == []
    assert {f.requirement for f in findings(results)} == {"CT6"}
    assert "server-gone" in {f.cause for f in findings(results)}
    after = [r for r in results if r.verdict is Verdict.INCONCLUSIVE]
    assert len(after) > 80
    assert {"nothing listens" in r.reason for r in after} == {True}


def test_a_server_that_always_says_yes_passes_for_nothing() -> None:
    """Accepting every key, method, body and id is found, each under its own requirement."""
    with servers.always_200() as served:
        results = judged("claiv", served, BASIC)
    assert crashed(results) == []
    broken = {f.requirement for f in findings(results)}
    assert broken >= {"AU3", "AU4", "CT1", "CT4", "CT11", "CT12", "ER5"}
    examples = [r for r in results if r.case == "contract.examples"]
    assert {r.operation for r in examples if r.verdict is Verdict.PASS} <= {"health"}


def test_a_mock_is_told_from_a_server() -> None:
    """A mock's answers have the declared shapes, and it knows neither keys nor records."""
    with ExitStack() as stack:
        try:
            served = stack.enter_context(servers.prism(specs.load("claiv").path))
        except servers.Missing as missing:
            pytest.skip(str(missing))
        results = judged("claiv", served, (*BASIC, "idempotency."))
    assert crashed(results) == []
    found = findings(results)
    assert {f.requirement for f in found} >= {"AU4", "ER5", "IK4"}
    shapes = [f.cause for f in found if f.requirement == "CT1" and f.cause.startswith("schema")]
    assert [cause for cause in shapes if " 200 " in cause] == []
    assert [f.cause for f in found if f.requirement in ("CT2", "CT3", "CT6")] == []


def test_limits_of_another_maker_are_kept() -> None:
    """A fixed window that somebody else wrote is exhausted, waited out, and found to be exact."""
    with servers.memsy(limit=20, window=1.0) as served:
        results = judged("memsy", served, ("limits.",))
    assert crashed(results) == []
    assert told(findings(results)) == []
    judged_well = {r.case for r in results if r.verdict is Verdict.PASS}
    assert judged_well >= {"limits.exhaustion", "limits.recovery", "limits.partitions"}
