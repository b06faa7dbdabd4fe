"""The guides: where each lies, and which question it answers. They lie beside what they explain."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files

SUMMARY = (
    "Conformance and load tests for memory-as-a-service APIs, and for the SDKs that call them. "
    "Each guide is tried from its first line to its last by a test."
)


@dataclass(frozen=True)
class Guide:
    """One guide: a Markdown file of a package."""

    name: str
    question: str
    package: str
    file: str = "GUIDE.md"

    def text(self) -> str:
        """Return its Markdown."""
        return files(self.package).joinpath(self.file).read_text("utf-8")


GUIDES = (
    Guide("backend", "I build a backend: does it keep what the document promises?",
          "conformance.backend"),
    Guide("own-api", "My API is my own: how do I describe it?", "specs"),
    Guide("sdk", "I write an SDK: does it retry, map errors and page as promised?",
          "conformance.sdk"),
    Guide("other-language", "My SDK is in another language: how is it driven?",
          "conformance.drivers"),
    Guide("load", "I run a backend: how much does it take while keeping its promises?", "load"),
    Guide("pipeline", "I own a pipeline: how do I stop what is new?", "conformance.report"),
)  # fmt: skip
