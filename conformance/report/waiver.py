"""Waivers: accepted findings, each with who answers for it and until when. Values only, no I/O.

A waiver names what is judged, not where: `backend claiv` on any host and port, `sdk claiv-memory`
in any version. It may name the versions that it holds for.
"""

from __future__ import annotations

from datetime import date, timedelta
from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from conformance.report.extent import Extent
from specs.catalogue import Level

WARNING = timedelta(days=14)
"""A waiver that expires within this time is told as a warning."""


class Waiver(BaseModel):
    """One accepted finding; `subject`, `id` and `versions` decide, the rest is for people."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(default="", description="the finding's id; empty: requirement and message")
    requirement: str
    subject: str = Field(description="`backend API`, `sdk PACKAGE` or `load API under PROFILE`")
    versions: tuple[str, ...] = Field(default=(), description="versions it holds for; empty: any")
    operation: str = ""
    message: str
    owner: str = Field(default="", description="who answers for it")
    reason: str = Field(default="", description="why it is accepted")
    ticket: str = ""
    since: date | None = Field(default=None, description="the day it was accepted")
    expires: date | None = Field(default=None, description="the last day on which it holds")
    first_seen: date | None = None
    last_seen: date | None = None
    cases: tuple[str, ...] = Field(default=(), description="ids of the cases that show it")
    extent: Extent = Field(default=Extent(), description="where it showed when it was accepted")

    def holds_for(self, version: str) -> bool:
        """Return True if the waiver covers a version of its subject."""
        return not self.versions or version in self.versions

    def expired(self, today: date) -> bool:
        """Return True if the last day has passed."""
        return self.expires is not None and self.expires < today

    def expiring(self, today: date) -> bool:
        """Return True if the last day is near, but has not passed."""
        return self.expires is not None and today <= self.expires <= today + WARNING

    def names(self) -> str:
        """Return requirement, subject and message, as one line for a person."""
        where = f" {self.operation}" if self.operation else ""
        return f"{self.requirement} on {self.subject}{where}: {self.message}"


class Baseline(BaseModel):
    """All waivers of a team, `memconform.baseline/2`."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    schema_: Literal["memconform.baseline/2"] = Field(
        default="memconform.baseline/2", alias="schema"
    )
    waivers: tuple[Waiver, ...] = ()


class FailOn(StrEnum):
    """Which findings fail a run; waived ones never do."""

    MUST = "must"
    SHOULD = "should"
    MAY = "may"
    NEW = "new"

    def fails(self, level: Level) -> bool:
        """Return True if a finding of a level fails the run."""
        if self in (FailOn.NEW, FailOn.MAY):
            return True
        return level is Level.MUST or (self is FailOn.SHOULD and level is Level.SHOULD)
