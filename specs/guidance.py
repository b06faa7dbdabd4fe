"""`guidance.yaml`, read and frozen: what a reader of a finding asks next.

For each requirement: why it matters, what it does not flag, and how to fix it. Sentences only;
levels and sources stand in the catalogue.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType

import yaml
from pydantic import BaseModel, ConfigDict


class Guidance(BaseModel):
    """What stands in the file for one requirement; each value is one or two sentences."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    why: str
    """Why it matters."""
    lets: str
    """What it does not flag."""
    fix: str
    """How to fix it in the subject that the requirement judges."""


@cache
def guidance() -> Mapping[str, Guidance]:
    """Return requirement id -> guidance, for every requirement of the catalogue at least."""
    text = (Path(__file__).parent / "guidance.yaml").read_text("utf-8")
    raw = yaml.load(text, Loader=yaml.CSafeLoader)
    return MappingProxyType({id: Guidance(**each) for id, each in raw.items()})
