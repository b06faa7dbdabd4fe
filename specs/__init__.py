"""What each API promises: the only place that knows.

>>> import specs
>>> specs.load("claiv")["ingest"].idempotency.name
'idempotency_key'
"""

from specs.contract import (
    Contract,
    Operation,
    Parameter,
    Response,
    error_rule,
    from_document,
    load,
    names,
    pointer,
)
from specs.reading import SpecError
from specs.vocabulary import Basis

__all__ = [
    "Basis",
    "Contract",
    "Operation",
    "Parameter",
    "Response",
    "SpecError",
    "error_rule",
    "from_document",
    "load",
    "names",
    "pointer",
]
