"""A draft held against its server: each guess is tried on records of the probe's own.

>>> from conformance.backend.probing import confirm
>>> left = confirm(draft("openapi.json"), subject)

What was seen is written into the draft with the basis `observed`. Nothing here judges, and what
may go out is the subject's to decide.
"""

from conformance.backend.probing.probe import confirm, described

__all__ = ["confirm", "described"]
