"""The requirement catalogue, `requirements.yaml`, read and frozen."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field


class Level(StrEnum):
    """How binding a requirement is (RFC 2119); SHOULD NOT and MUST NOT count as their positive."""

    MUST = "MUST"
    SHOULD = "SHOULD"
    MAY = "MAY"


class Requirement(BaseModel):
    """One normative clause."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(pattern=r"^[A-Z]{2}\d+$")
    level: Level
    ours: bool = Field(default=False, description="the level is ours: no standard sets one")
    subject: tuple[Literal["backend", "sdk", "load", "cache"], ...]
    concern: str = Field(description="column of the matrix")
    statement: str
    source: str = Field(description="standard and section, or what it rests on")
    retired: bool = False
    untestable: str = Field(default="", description="why no case can test it, where none does")


@cache
def requirements() -> Mapping[str, Requirement]:
    """Return every requirement by id, in catalogue order."""
    text = (Path(__file__).parent / "requirements.yaml").read_text("utf-8")
    raw = yaml.load(text, Loader=yaml.CSafeLoader)
    made = (Requirement(id=key, **value) for key, value in raw.items())
    return MappingProxyType({r.id: r for r in made})
