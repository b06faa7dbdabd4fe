"""One thin adapter per API: how its resources look and what it does beyond the generic.

System names appear here and nowhere else in the backend.
"""

from __future__ import annotations

from importlib import import_module

from conformance.reference.backend.adapters.base import Adapter
from conformance.reference.backend.adapters.plain import plain
from specs import Contract


def adapter(contract: Contract) -> Adapter:
    """Return the adapter of a contract: its module here, else one made from the contract alone."""
    name = contract.api.replace("-", "_")
    package = f"{__name__}.{name}"
    try:
        module = import_module(package)
    except ModuleNotFoundError as why:
        if why.name != package:
            raise
        return plain(contract)
    made: Adapter = module.ADAPTER
    return made
