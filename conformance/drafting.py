"""`memconform spec draft`: a draft for an OpenAPI file, confirmed by a probe, written to a file."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from shlex import quote

from conformance.backend.reach import withheld
from conformance.option_kinds import Credentials
from conformance.options import Given
from specs import Basis
from specs.draft import Draft, draft, render
from specs.reading import SpecError, is_url, joined


def main(given: Given) -> int:
    """Write the draft that options ask for; return the exit code."""
    if given["package"] or not given["openapi"]:
        return _of_package(given)
    source, to = given["openapi"], given["to"]
    lines: list[str] = []
    try:
        made = draft(joined(source, given["overlay"]), given["arazzo"])
        if given["probe"]:
            lines = _probed(made, given)
    except (SpecError, ValueError) as error:
        sys.stderr.write(f"memconform: {error}\n")
        return 2
    text = render(made, extends=_extended(source, to))
    if to is None:
        sys.stdout.write(text)
    else:
        Path(to).write_text(text, encoding="utf-8")
    sys.stderr.write("".join(f"{line}\n" for line in [*lines, *told(made, given)]))
    return 0


def _of_package(given: Given) -> int:
    """Write the contract that a package shows; return the exit code."""
    from conformance.contracting import NothingRead, contract
    from conformance.drivers.environment import EnvironmentUnavailable

    package, to = given["package"], given["to"]
    if bool(package) == bool(given["openapi"]) or given["probe"] or given["overlay"]:
        wrong = "give an OpenAPI file, or --package PACKAGE alone: spec draft reads one of them"
        sys.stderr.write(f"memconform: {wrong}\n")
        return 2
    try:
        text = contract(package)
    except NothingRead as why:
        sys.stderr.write(f"memconform: {why}\n")
        return 2
    except EnvironmentUnavailable as why:
        sys.stderr.write(f"memconform: {why}\n")
        return 5
    if to is None:
        sys.stdout.write(text)
        return 0
    Path(to).write_text(text, encoding="utf-8")
    count = text.count("operationId:")
    table = Path(to).with_name("table.py")
    sys.stderr.write(
        f"{count} operations, all observed; the README's promises stand at the top of {to}\n"
        f"Next: memconform driver init {quote(package)} --api {quote(str(to))} --to {table}\n"
    )
    return 0


def _probed(made: Draft, given: Given) -> list[str]:
    """Confirm a draft's guesses on a server; return what a person reads of it.

    Raises ValueError if the server is not there, or refuses the key.
    """
    from conformance.backend.probing import confirm, described
    from conformance.backend.subject import BackendSubject
    from conformance.backend.trust import TIMEOUT, Trust
    from conformance.backend.words import header

    subject = BackendSubject(
        described(made),
        given["probe"],
        given["api-key"],
        hostile=False,
        timeout=given["timeout"] or TIMEOUT,
        trust=Trust(given["ca"], given["insecure"]),
        extra=tuple(map(header, given["header"])),
        max_requests=given["max-requests"],
        max_seconds=given["max-seconds"],
        rate=given["rate"],
    )
    left = confirm(made, subject)
    seen = sum(g.basis is Basis.OBSERVED for g in made.guesses)
    lines = [
        f"probe: {subject.exchanged} calls; {seen} of {len(made.guesses)} guesses were seen to be "
        "so and are observed, the others are assumed"
    ]
    if subject.proof is not None:
        proof = subject.proof
        lines.append(
            f"probe: {proof.before} records were there before; {proof.same} are the same, "
            f"{len(proof.changed)} changed, {len(proof.gone)} gone"
        )
    return lines + [f"probe: left behind: {each}" for each in left]


def _extended(source: str, to: Path | None) -> str | None:
    """Return how the overlay names its description, None where it stands nowhere."""
    if is_url(source):
        return source
    folder = Path(to).parent if to is not None else Path()
    return os.path.relpath(source, folder)


def told(made: Draft, given: Given) -> list[str]:
    """Return what a person reads after a draft: what was found, what is open, what to type next."""
    source, to = given["openapi"], given["to"]
    url = Credentials.of(given["probe"]).url if given["probe"] else "URL"
    effects = sum(guess.block == "effect" for guess in made.guesses)
    lines = [
        f"{effects} of {len(made.contract.operations)} operations: what they do was guessed; "
        f"{len(made.questions)} questions stand in the overlay"
    ]
    lines += withheld(made.contract)
    lines += [f"left out: {e}" for e in made.contract.left_out if not e.withheld][:5]
    if to is not None:
        overlays = "".join(f" --overlay {quote(str(each))}" for each in (*given["overlay"], to))
        lines.append(f"Next: memconform backend --base-url {url} --api {quote(source)}{overlays}")
    return lines
