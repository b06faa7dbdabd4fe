"""`memconform spec show`: what a spec promises, operation by operation, for a person to read."""

from __future__ import annotations

from collections.abc import Iterator

from specs import Contract, Operation, quotas


def show(contract: Contract) -> str:
    """Return the operations, methods, exceptions and headers of a contract, as Markdown."""
    return "\n".join((*_head(contract), *_operations(contract), *_behaviour(contract))) + "\n"


def _head(contract: Contract) -> Iterator[str]:
    yield f"# {contract.title} {contract.version}: {len(contract.operations)} operations"
    yield ""


def _operations(contract: Contract) -> Iterator[str]:
    yield "| operation | request | SDK method | effect | answers | basis |"
    yield "|---|---|---|---|---|---|"
    for operation in contract:
        yield f"| {' | '.join(_row(operation))} |"
    yield ""


def _row(operation: Operation) -> tuple[str, ...]:
    effect = operation.effect
    return (
        f"`{operation.id}`",
        f"{operation.verb} {operation.path}",
        f"`{operation.method}`" if operation.method else "",
        f"{effect.kind} {effect.resource or ''}".strip() if effect else "",
        " ".join(operation.responses),
        f"skipped: {operation.skip}" if operation.skip else str(operation.basis),
    )


def _behaviour(contract: Contract) -> Iterator[str]:
    root = contract.root
    if root.retries:
        again = ", ".join(s.status for s in root.retries.statuses)
        most = f"at most {root.retries.max_attempts} attempts"
        yield f"Retries ({root.retries.basis}): {most}, {again}."
    if root.rate_limit:
        named = ", ".join(quotas.names(root.rate_limit))
        yield f"Rate limit ({root.rate_limit.basis}): {named}."
    if root.errors:
        yield f"Errors ({root.errors.basis}), base {root.errors.base or 'none'}:"
        for entry in root.errors.map:
            when = entry.status or f"network {', '.join(entry.network)}"
            yield f"- {when}{f' {entry.code}' if entry.code else ''} → `{entry.exception}`"
