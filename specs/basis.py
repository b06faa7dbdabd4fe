"""What a promise rests on, and the models that every word of `x-conformance` is made of."""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel


class Basis(StrEnum):
    """Where a promise comes from, and so how much a broken one weighs."""

    DOCUMENTED = "documented"
    """The document says it: a broken promise is a MUST failure."""
    OBSERVED = "observed"
    """The published SDK of the documented version does it on the wire: a SHOULD failure."""
    ASSUMED = "assumed"
    """Nobody says; the field's usual way. Reported, and never fails a run by itself."""


class Word(BaseModel):
    """Base of all models here: immutable, camelCase outside, unknown keys refused."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True
    )


class Stated(Word):
    """A behaviour that says on what it rests."""

    basis: Basis = Field(description="documented, observed or assumed")
    source: str = Field(
        default="",
        description="document id and section, as in `002_d3cf2a5acba3ba5a § Retries`; for an "
        "observed fact, the releases that show it",
    )
